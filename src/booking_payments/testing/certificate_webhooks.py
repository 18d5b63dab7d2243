"""Webhooks of a gateway that signs as PayPal does: five headers, and a certificate that has to be fetched.

The contract suite of webhooks runs over it beside Stripe, so that the port suits both. It is an example for a reader of
your own; the certificate is a shared key here, as the standard library verifies no RSA signatures.
"""

import hmac
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from booking_payments.ports.webhooks import GatewayEvent, WebhookHeaders, WebhookRefused, WebhookRequest

TRANSMISSION_ID: Final = "Paypal-Transmission-Id"
TRANSMISSION_TIME: Final = "Paypal-Transmission-Time"
CERT_URL: Final = "Paypal-Cert-Url"
AUTH_ALGO: Final = "Paypal-Auth-Algo"
SIGNATURE: Final = "Paypal-Transmission-Sig"
HEADERS: Final = (TRANSMISSION_ID, TRANSMISSION_TIME, CERT_URL, AUTH_ALGO, SIGNATURE)

ALGORITHM: Final = "HMAC-SHA256"
CERTIFICATES: Final = "https://certificates.gateway.example/"
"""The address that all certificates are below. Any other one may be an attacker's and is never fetched."""

TOLERANCE: Final = timedelta(minutes=5)
KINDS: Final = {"PAYMENT.CAPTURE.COMPLETED": "intent", "PAYMENT.CAPTURE.REFUNDED": "refund"}

FetchCertificate = Callable[[str], Awaitable[bytes]]
"""Returns the key at an address. Raises ``GatewayError`` when it can't be fetched in time."""


class CertificateWebhooks:
    """Reads events that were signed for the endpoint ``webhook_id`` with a key that ``fetch`` returns."""

    def __init__(self, webhook_id: str, fetch: FetchCertificate) -> None:
        self._webhook_id, self._fetch = webhook_id, fetch

    async def read(self, request: WebhookRequest) -> GatewayEvent:
        """The genuine event in ``request.body``. Raises ``WebhookRefused``, and what ``fetch`` raises."""
        sent_id, sent_at, url, algorithm, signature = _five_headers(request.headers)
        if algorithm != ALGORITHM or not url.startswith(CERTIFICATES):
            raise WebhookRefused("the algorithm or the certificate's address is not known", code="signature_malformed")
        if abs(request.received_at - _moment(sent_at)) > TOLERANCE:
            raise WebhookRefused("the webhook was sent too long ago, or in the future", code="signature_stale")
        expected = sign(request.body, sent_id, sent_at, self._webhook_id, await self._fetch(url))
        if not hmac.compare_digest(expected.encode(), signature.encode(errors="replace")):
            raise WebhookRefused("the signature does not fit the body", code="signature_wrong")
        return _event(request.body)

    def read_again(self, body: str) -> GatewayEvent:
        """Return the event in a stored body. Raises ``WebhookRefused`` when it contains no event."""
        return _event(body.encode())


def sign(body: bytes, sent_id: str, sent_at: str, webhook_id: str, key: bytes) -> str:
    """The signature over a delivery: its id, its time, its endpoint and a digest of its raw bytes."""
    signed = "|".join((sent_id, sent_at, webhook_id, sha256(body).hexdigest()))
    return hmac.digest(key, signed.encode(errors="replace"), sha256).hex()


def _five_headers(headers: WebhookHeaders) -> list[str]:
    values = [headers.get(name) for name in HEADERS]
    given = [value for value in values if value]
    if len(given) < len(HEADERS):
        raise WebhookRefused("one of the signature's five headers is missing", code="signature_missing")
    return given


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise WebhookRefused("the time of the delivery is not readable", code="signature_malformed") from error
    if moment.tzinfo is None:
        raise WebhookRefused("the time of the delivery has no time zone", code="signature_malformed")
    return moment


def _event(body: bytes) -> GatewayEvent:
    try:
        given: dict[str, Any] = json.loads(body)
        resource, type_ = given["resource"], str(given["event_type"])
        event_id, object_id = str(given["id"]), str(resource["id"])
        created_at = _moment(given["create_time"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WebhookRefused("the body is no event", code="body_malformed") from error
    return GatewayEvent(
        id=event_id,
        type=type_,
        created_at=created_at,
        livemode=None,
        kind=KINDS.get(type_),
        object_id=object_id,
        intent_id=object_id if KINDS.get(type_) == "intent" else None,
        charge_id=None,
        payment_id=None,
        body=body.decode(),
    )
