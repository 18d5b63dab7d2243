"""Stripe's webhook signature, checked on the raw bytes (docs.stripe.com/webhooks#verify-manually).

The SDK's check is not used because it raises ``TypeError`` for non-ASCII headers, decodes the body before it checks the
signature, accepts timestamps in the future, and skips the age check at tolerance 0.
"""

import hmac
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from booking_payments.ports.webhooks import WebhookRefused

TOLERANCE: Final = timedelta(seconds=300)
"""Largest difference between a timestamp and the local clock, in either direction: Stripe's default."""

MAX_HEADER: Final = 1024
"""Longest accepted header; Stripe sends one signature per active secret, about 70 characters each."""

_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def verify(body: bytes, header: str | None, secrets: Sequence[str], now: datetime) -> None:
    """Raise ``WebhookRefused`` unless a ``v1`` signature in ``header`` matches ``body`` under one of ``secrets``.

    Other schemes are ignored, which prevents downgrades. Timestamps more than five minutes in the past or future are
    refused.
    """
    if not header:
        raise WebhookRefused("the Stripe-Signature header is missing", code="signature_missing")
    timestamp, signatures = _parse(header)
    if not any(_fits(body, secret, timestamp, signatures) for secret in secrets if secret):
        raise WebhookRefused("no signature matches the body; check the webhook secret", code="signature_wrong")
    age = now.timestamp() - int(timestamp)
    if abs(age) > TOLERANCE.total_seconds():
        when = "too old" if age > 0 else "from the future"
        raise WebhookRefused(f"the signature's timestamp is {when}; check the clock", code="signature_stale")


def _parse(header: str) -> tuple[str, list[str]]:
    if len(header) > MAX_HEADER:
        raise _malformed()
    pairs = [part.partition("=") for part in header.split(",")]
    timestamps = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1" and _DIGEST.fullmatch(value)]
    named = all(equals for _, equals, _ in pairs)
    if not named or len(timestamps) != 1 or not _TIMESTAMP.fullmatch(timestamps[0]):
        raise _malformed()
    return timestamps[0], signatures


def _malformed() -> WebhookRefused:
    return WebhookRefused("the Stripe-Signature header is not t=...,v1=...", code="signature_malformed")


def _fits(body: bytes, secret: str, timestamp: str, signatures: Sequence[str]) -> bool:
    expected = _digest(body, secret, timestamp)
    fits = [hmac.compare_digest(expected, signature) for signature in signatures]
    return any(fits)


def _digest(body: bytes, secret: str, timestamp: str) -> str:
    return hmac.digest(secret.encode(), timestamp.encode() + b"." + body, sha256).hex()
