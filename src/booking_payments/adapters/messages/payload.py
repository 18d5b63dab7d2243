"""What a message looks like outside: the same over every way that it takes."""

import msgspec

from booking_payments.ports.publisher import Message

MEDIA_TYPE = "application/json"


def payload(message: Message) -> bytes:
    """The message as JSON: ``type``, ``timestamp`` and ``data`` as Standard Webhooks names them, and what orders it."""
    return msgspec.json.encode(message.to_dict())
