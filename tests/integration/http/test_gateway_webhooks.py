"""Webhooks over HTTP of a gateway with five headers and a certificate, and of gateways that are not configured."""

from collections.abc import Iterator

import pytest
from attrs import evolve, frozen
from structlog.testing import capture_logs

from booking_payments.adapters.gateways.bank_transfer.events import BankTransferEvents
from booking_payments.application.payments import BookingPayments
from booking_payments.ports.webhooks import WebhookReader
from booking_payments.sandbox.signature import sign
from booking_payments.testing import certificate_webhooks as certificates
from booking_payments.testing.kit import SECRET, PaymentsTestKit
from tests.certificate_gateway import CertificateGateway
from tests.integration.http.api import ANN, Api, Json, open_api, problem_of

BODY = b'{"id": "evt_1", "type": "customer.created"}'


def kit_with(reader: WebhookReader, *names: str) -> PaymentsTestKit:
    """A test kit whose gateway's webhooks are parsed by ``reader``, under ``names``."""
    kit = PaymentsTestKit()
    kit.deps = evolve(kit.deps, webhooks=reader, webhook_names=names)
    kit.payments = BookingPayments(kit.deps)
    return kit


@frozen
class Paypal:
    """The API with a gateway that signs in five headers."""

    api: Api
    gateway: CertificateGateway

    def paid_in_the_browser(self) -> tuple[str, str]:
        """Return the ids of a booking and its intent, which the customer has paid; no webhook was delivered yet."""
        booking_id = self.api.book()
        payment: Json = self.api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json={}).json()
        intent_id = payment["payment_intent_id"]
        self.api.kit.stripe.confirm_as_customer(intent_id, payment["client_secret"], "pm_card_visa")
        return booking_id, intent_id


@pytest.fixture
def paypal() -> Iterator[Paypal]:
    gateway = CertificateGateway()
    with open_api(kit=kit_with(gateway.reader, "paypal")) as api:
        yield Paypal(api, gateway)


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_webhook_with_five_headers_is_processed(paypal: Paypal, slash: str) -> None:
    booking_id, intent_id = paypal.paid_in_the_browser()
    body = paypal.gateway.event("WH-EVENT-1", intent_id)
    headers = paypal.gateway.sign(body, paypal.api.kit.clock.now())

    response = paypal.api.post(f"/api/webhooks/paypal{slash}", headers=headers, content=body)

    assert (response.status_code, response.json()["event_id"]) == (200, "WH-EVENT-1")
    assert paypal.api.status(booking_id)["status"] == "succeeded"
    assert len(paypal.gateway.fetched) == 1


def test_a_repeated_event_changes_nothing(paypal: Paypal) -> None:
    _, intent_id = paypal.paid_in_the_browser()
    body = paypal.gateway.event("WH-EVENT-1", intent_id)
    headers = paypal.gateway.sign(body, paypal.api.kit.clock.now())

    outcomes = [
        paypal.api.post("/api/webhooks/paypal/", headers=headers, content=body).json()["outcome"] for _ in range(2)
    ]

    assert outcomes == ["processed", "duplicate"]


@pytest.mark.parametrize("left_out", certificates.HEADERS)
def test_without_one_of_the_five_headers_it_is_400(paypal: Paypal, left_out: str) -> None:
    booking_id, intent_id = paypal.paid_in_the_browser()
    body = paypal.gateway.event("WH-EVENT-1", intent_id)
    signed = paypal.gateway.sign(body, paypal.api.kit.clock.now())
    headers = {name: value for name, value in signed.items() if name != left_out}

    response = paypal.api.post("/api/webhooks/paypal/", headers=headers, content=body)

    assert (response.status_code, problem_of(response)["code"]) == (400, "signature_missing")
    assert paypal.api.status(booking_id)["status"] == "requires_payment_method"


def test_a_signature_that_cannot_be_verified_now_is_400_so_that_the_event_is_sent_again(paypal: Paypal) -> None:
    booking_id, intent_id = paypal.paid_in_the_browser()
    body = paypal.gateway.event("WH-EVENT-1", intent_id)
    headers = paypal.gateway.sign(body, paypal.api.kit.clock.now())
    paypal.gateway.reachable = False

    with capture_logs() as lines:
        response = paypal.api.post("/api/webhooks/paypal/", headers=headers, content=body)

    assert (response.status_code, problem_of(response)["code"]) == (400, "webhook_failed")
    assert [line["error"] for line in lines if line["event"] == "webhook.received"] == ["WebhookFailed"]
    paypal.gateway.reachable = True
    assert paypal.api.post("/api/webhooks/paypal/", headers=headers, content=body).status_code == 200
    assert paypal.api.status(booking_id)["status"] == "succeeded"


# --- which gateway


@pytest.mark.parametrize("name", ["stripe", "paypal2", "PayPal", "fake", "a b", "\u00e4", "x" * 300])
def test_an_unconfigured_gateway_is_404_without_verification(paypal: Paypal, name: str) -> None:
    body = paypal.gateway.event("WH-EVENT-1")
    headers = paypal.gateway.sign(body, paypal.api.kit.clock.now())

    response = paypal.api.post(f"/api/webhooks/{name}/", headers=headers, content=body)

    assert (response.status_code, problem_of(response)["code"]) == (404, "not_found")
    assert paypal.gateway.fetched == []


@pytest.mark.parametrize("path", ["/api/webhooks/", "/api/webhooks/stripe/events/", "/api/webhooks/stripe/x"])
def test_paths_above_and_below_a_gateway_are_404(api: Api, path: str) -> None:
    assert api.post(path, content=BODY).status_code == 404


@pytest.mark.parametrize("name", ["stripe", "fake"])
def test_the_fake_gateway_accepts_events_under_its_name_and_stripes(api: Api, name: str) -> None:
    headers = {"Stripe-Signature": sign(BODY, SECRET, api.kit.clock.now())}

    assert api.post(f"/api/webhooks/{name}/", headers=headers, content=BODY).status_code == 200


@pytest.mark.parametrize("names", [(), ("bank_transfer",)], ids=["no names", "a name"])
@pytest.mark.parametrize("path", ["/api/webhooks/bank_transfer/", "/api/webhooks/stripe/"])
def test_a_gateway_without_webhooks_accepts_none(names: tuple[str, ...], path: str) -> None:
    with open_api(kit=kit_with(BankTransferEvents(), *names)) as api:
        response = api.post(path, content=BODY)

    assert (response.status_code, problem_of(response)["code"]) == (404, "not_found")


def test_the_health_path_is_not_a_gateway(api: Api) -> None:
    response = api.client.post("/api/webhooks/health/", content=BODY)

    assert (response.status_code, problem_of(response)["code"]) == (405, "method_not_allowed")


# --- rate limits


def test_webhooks_of_a_configured_gateway_are_never_rate_limited() -> None:
    limits = {"RATE_LIMIT_ENABLED": "true", "RATE_LIMIT_ADDRESS": "2/minute"}
    with open_api(kit=kit_with(CertificateGateway().reader, "paypal"), changes=limits) as api:
        statuses = {api.post("/api/webhooks/paypal/", content=BODY).status_code for _ in range(5)}

    assert statuses == {400}


def test_webhooks_of_an_unconfigured_gateway_are_rate_limited() -> None:
    limits = {"RATE_LIMIT_ENABLED": "true", "RATE_LIMIT_ADDRESS": "2/minute"}
    with open_api(kit=kit_with(CertificateGateway().reader, "paypal"), changes=limits) as api:
        statuses = [api.post("/api/webhooks/stripe/", content=BODY).status_code for _ in range(3)]

    assert statuses == [404, 404, 429]
