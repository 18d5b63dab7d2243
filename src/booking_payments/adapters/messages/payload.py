"""The JSON form of a message, the same for every channel."""

import msgspec

from booking_payments.ports.publisher import Message

MEDIA_TYPE = "application/json"


def payload(message: Message) -> bytes:
    """Return the message as JSON: ``type``, ``timestamp`` and ``data`` as in Standard Webhooks, and its position."""
    return msgspec.json.encode(message.to_dict())
