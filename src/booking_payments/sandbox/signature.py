"""Stripe's signature of a webhook (docs.stripe.com/webhooks#verify-manually), as Stripe itself writes it."""

import hmac
from datetime import datetime
from hashlib import sha256


def sign(body: bytes, secret: str, at: datetime) -> str:
    """The value of ``Stripe-Signature`` for ``body``, signed with the endpoint's ``secret`` at the time ``at``."""
    timestamp = int(at.timestamp())
    digest = hmac.digest(secret.encode(), b"%d.%b" % (timestamp, body), sha256).hex()
    return f"t={timestamp},v1={digest}"
