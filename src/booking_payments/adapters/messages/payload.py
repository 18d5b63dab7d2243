"""What a message looks like outside: the same over every way that it takes."""

from datetime import UTC

import msgspec

from booking_payments.ports.publisher import Message

MEDIA_TYPE = "application/json"


def payload(message: Message) -> bytes:
    """The message as JSON: ``type``, ``timestamp`` and ``data`` as Standard Webhooks names them, and what orders it."""
    content = {
        "id": message.id,
        "type": message.type,
        "timestamp": message.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "booking_id": message.booking_id,
        "payment_id": message.payment_id,
        "sequence": message.sequence,
        "data": dict(message.data),
    }
    return msgspec.json.encode(content)
