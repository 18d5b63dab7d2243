"""A gateway that signs its webhooks with a certificate from its own server, in five headers."""

import json
from collections.abc import Mapping
from datetime import datetime

import anyio.lowlevel

from booking_payments.ports.gateway import NotSent
from booking_payments.testing import certificate_webhooks as certificates
from booking_payments.testing.certificate_webhooks import CertificateWebhooks

WEBHOOK_ID = "WH-1"
ADDRESS = f"{certificates.CERTIFICATES}cert-1"
KEY = b"the key of the certificate"


class CertificateGateway:
    """Signs, and serves its certificate: ``fetched`` are the addresses that were asked for."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.reachable = True
        self.reader = CertificateWebhooks(WEBHOOK_ID, self._certificate)

    async def _certificate(self, url: str) -> bytes:
        self.fetched.append(url)
        await anyio.lowlevel.checkpoint()
        if not self.reachable:
            raise NotSent("no certificate", code="certificate_unreachable")
        return KEY

    def event(self, event_id: str, intent_id: str = "pi_1", type_: str = "PAYMENT.CAPTURE.COMPLETED") -> bytes:
        event = {"id": event_id, "event_type": type_, "create_time": "2026-03-01T11:59:00Z"}
        return json.dumps({**event, "resource": {"id": intent_id}}).encode()

    def sign(self, body: bytes, at: datetime) -> Mapping[str, str]:
        sent_id, sent_at = "tr-1", at.isoformat()
        return {
            certificates.TRANSMISSION_ID: sent_id,
            certificates.TRANSMISSION_TIME: sent_at,
            certificates.CERT_URL: ADDRESS,
            certificates.AUTH_ALGO: certificates.ALGORITHM,
            certificates.SIGNATURE: certificates.sign(body, sent_id, sent_at, WEBHOOK_ID, KEY),
        }
