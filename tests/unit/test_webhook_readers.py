"""The contract of webhooks for every reader: Stripe's, which the fake shares; one with five headers; and one without
any.
"""

import json
from collections.abc import Mapping
from datetime import datetime

import pytest

from booking_payments.adapters.gateways.bank_transfer.events import BankTransferEvents
from booking_payments.adapters.gateways.stripe.webhooks import StripeWebhooks
from booking_payments.ports.gateway import NotSent
from booking_payments.ports.webhooks import WebhookHeaders, WebhookRequest
from booking_payments.sandbox.signature import sign
from booking_payments.testing import certificate_webhooks as certificates
from booking_payments.testing.webhook_contract import (
    NOW,
    NoWebhooksContract,
    WebhookReaderContract,
    delivery,
    refusal_of,
)
from tests.certificate_gateway import CertificateGateway


class StripeSender:
    """Stripe, and the fake gateway in place of it."""

    reader = StripeWebhooks(["whsec_contract"])

    def event(self, event_id: str) -> bytes:
        intent = {"id": "pi_1", "object": "payment_intent"}
        event = {"id": event_id, "object": "event", "type": "payment_intent.succeeded", "data": {"object": intent}}
        return json.dumps(event).encode()

    def sign(self, body: bytes, at: datetime) -> Mapping[str, str]:
        return {"Stripe-Signature": sign(body, "whsec_contract", at)}


class TestStripeWebhooks(WebhookReaderContract):
    @pytest.fixture
    def sender(self) -> StripeSender:
        return StripeSender()


class TestFiveHeadersAndACertificate(WebhookReaderContract):
    @pytest.fixture
    def sender(self) -> CertificateGateway:
        return CertificateGateway()

    async def test_a_certificate_at_another_address_is_never_fetched(self, sender: CertificateGateway) -> None:
        body = sender.event("evt_1")
        headers = {**sender.sign(body, NOW), certificates.CERT_URL: "https://evil.example/certificate"}

        assert await refusal_of(sender.reader, delivery(body, headers)) == "signature_malformed"
        assert sender.fetched == []

    async def test_a_failed_download_of_the_certificate_does_not_refuse_the_webhook(
        self, sender: CertificateGateway
    ) -> None:
        body = sender.event("evt_1")
        sender.reachable = False

        with pytest.raises(NotSent):
            await sender.reader.read(delivery(body, sender.sign(body, NOW)))


class TestBankTransfers(NoWebhooksContract):
    @pytest.fixture
    def reader(self) -> BankTransferEvents:
        return BankTransferEvents()


# --- the delivery's data class


def test_header_names_are_case_insensitive() -> None:
    headers = WebhookHeaders([("Stripe-Signature", "t=1")])

    assert (headers["STRIPE-signature"], headers.get("stripe-signature"), "sTripe-Signature" in headers) == (
        "t=1",
        "t=1",
        True,
    )
    assert (headers.get("other"), list(headers), len(headers)) == (None, ["stripe-signature"], 1)


def test_a_repeated_header_has_both_values() -> None:
    assert WebhookHeaders([("A", "1"), ("b", "2"), ("a", "3")])["A"] == "1, 3"


@pytest.mark.parametrize("given", ["t=1,v1=00", None, b"x"])
def test_a_single_header_instead_of_a_mapping_raises_a_clear_error(given: object) -> None:
    with pytest.raises(TypeError, match=r"request\.headers"):
        WebhookRequest(body=b"", headers=given, received_at=NOW)  # type: ignore[arg-type] # that is the test


def test_the_repr_of_a_delivery_leaves_out_body_and_headers() -> None:
    request = delivery(b"canary", {"Secret": "canary"})

    assert "canary" not in repr(request)
