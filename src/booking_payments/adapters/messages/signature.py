"""Signatures of the Standard Webhooks scheme (standardwebhooks.com, specification 1.0, symmetric ``v1``)."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime


def headers(message_id: str, body: bytes, keys: Sequence[bytes], now: datetime) -> dict[str, str]:
    """Return the three headers of a delivery.

    The body is signed with each key, so that receivers can rotate their secret at any time.
    """
    timestamp = str(int(now.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    signatures = (base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{each}" for each in signatures),
    }
