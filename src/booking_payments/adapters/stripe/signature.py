"""Stripe's webhook signature, over the raw bytes (docs.stripe.com/webhooks#verify-manually).

Our own check instead of the SDK's, because the SDK raises ``TypeError`` for letters outside ASCII, decodes the body
before it looks at the signature, accepts timestamps from the future and switches the age check off at tolerance 0.
"""

import hmac
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from booking_payments.ports.webhooks import WebhookRefused

TOLERANCE: Final = timedelta(seconds=300)
"""How far a timestamp may lie from our clock, before or after: Stripe's own default."""

MAX_HEADER: Final = 1024
"""Longest header looked at; Stripe sends one signature per active secret, about 70 characters each."""

_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def verify(body: bytes, header: str | None, secrets: Sequence[str], now: datetime) -> None:
    """Raise ``WebhookRefused`` unless one ``v1`` signature in ``header`` fits ``body`` under one of ``secrets``.

    Every other scheme is ignored, so nobody can downgrade us. Timestamps more than five minutes old or ahead are
    refused.
    """
    if not header:
        raise WebhookRefused("the Stripe-Signature header is missing", code="signature_missing")
    timestamp, signatures = _parse(header)
    if not any(_fits(body, secret, timestamp, signatures) for secret in secrets if secret):
        raise WebhookRefused("no signature fits the body; check the webhook secret", code="signature_wrong")
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
