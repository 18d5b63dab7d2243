"""Webhooks over HTTP: genuine ones are processed, everything else is a 400, and nothing is a 500."""

import json
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from booking_payments.adapters.gateways.fake.gateway import due_deliveries
from booking_payments.domain.errors import TryAgainLater
from booking_payments.entrypoints.http.parsing import HEADERS_LIMIT
from booking_payments.ports.storage import StorageConflict
from booking_payments.sandbox.signature import sign
from booking_payments.testing.kit import SECRET, PaymentsTestKit
from tests.hostile_signatures import AT, hostile_headers
from tests.integration.http.api import ANN, Api, open_api, problem_of

EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "invoice.paid",
    "livemode": False,
    "data": {"object": {"id": "in_1"}},
}


BODY = json.dumps(EVENT).encode()


def test_an_unknown_event_type_is_ignored_with_200(api: Api) -> None:
    response = api.deliver(json.dumps(EVENT).encode())

    assert response.json() | {"reason": None} == {
        "received": True,
        "event_id": "evt_1",
        "type": "invoice.paid",
        "outcome": "ignored",
        "reason": None,
    }


@pytest.mark.parametrize("path", ["/api/webhooks/stripe", "/api/webhooks/stripe/"])
def test_the_path_is_accepted_with_and_without_trailing_slash(api: Api, path: str) -> None:
    signature = {"Stripe-Signature": sign(BODY, SECRET, api.kit.clock.now())}

    response = api.post(path, headers=signature, content=BODY)

    assert (response.status_code, response.json()["event_id"]) == (200, "evt_1")


def test_a_body_in_chunks_is_joined_before_verification(api: Api) -> None:
    signature = {"Stripe-Signature": sign(BODY, SECRET, api.kit.clock.now())}

    response = api.post("/api/webhooks/stripe/", headers=signature, content=iter([BODY[:7], b"", BODY[7:]]))

    assert (response.status_code, response.json()["event_id"]) == (200, "evt_1")


def test_a_body_that_is_no_event_object_is_refused(api: Api) -> None:
    response = api.send("GET", "/api/webhooks/stripe/")

    assert (response.status_code, problem_of(response)["code"]) == (405, "method_not_allowed")
    assert set(response.headers["allow"].split(", ")) == {"OPTIONS", "POST"}


async def test_an_interrupted_delivery_is_refused(api: Api) -> None:
    sent: list[Any] = []

    async def breaks_off() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    app: Any = api.client.app
    path = {"path": "/api/webhooks/stripe", "raw_path": b"/api/webhooks/stripe", "query_string": b"", "root_path": ""}
    addresses = {"client": ("192.0.2.1", 1), "server": ("shop", 80), "scheme": "http", "http_version": "1.1"}
    await app({"type": "http", "method": "POST", "headers": [], **path, **addresses}, breaks_off, send)

    assert sent[0]["status"] == 400
    assert json.loads(sent[1]["body"])["code"] == "bad_request"


def test_a_repeated_event_is_a_duplicate(api: Api) -> None:
    api.paid()
    body = next(iter(due_deliveries(api.kit.stripe)))[2]
    api.deliver(body)

    assert api.deliver(body).json()["outcome"] == "duplicate"


def test_a_payment_in_the_browser_is_recorded_by_its_webhook(api: Api) -> None:
    booking_id = api.book()
    payment = api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json={}).json()
    api.kit.stripe.confirm_as_customer(payment["payment_intent_id"], payment["client_secret"], "pm_card_visa")
    api.deliver_all()

    assert api.status(booking_id)["status"] == "succeeded"


def test_without_a_signature_it_is_400(api: Api) -> None:
    response = api.post("/api/webhooks/stripe/", content=BODY)

    assert response.status_code == 400
    assert problem_of(response)["code"]


@pytest.mark.parametrize(
    "signature",
    ["", "t=1", "v1=abc", "t=x,v1=y", "t=1,v1=", "t=-1,v1=00", "nonsense", "t=99999999999999999999,v1=00", "\u00e4"],
)
def test_an_invalid_signature_is_400(api: Api, signature: str) -> None:
    headers = [(b"Stripe-Signature", signature.encode("latin-1"))]

    response = api.client.post("/api/webhooks/stripe/", headers=headers, content=BODY)

    assert response.status_code == 400


def test_a_signature_of_another_body_is_400(api: Api) -> None:
    signature = sign(BODY, SECRET, api.kit.clock.now())

    assert api.deliver(BODY + b" ", signature).status_code == 400


@pytest.mark.parametrize("off", [timedelta(minutes=-6), timedelta(minutes=6)])
def test_a_stale_or_future_signature_is_400(api: Api, off: timedelta) -> None:
    assert api.deliver(BODY, sign(BODY, SECRET, api.kit.clock.now() + off)).status_code == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 5000, b"{}", b'{"id": 5}', b'{"id": "evt_1", "type": 7}'],
)
def test_a_signed_body_that_is_not_an_event_is_400(api: Api, body: bytes) -> None:
    response = api.deliver(body)

    assert response.status_code == 400, response.text
    assert problem_of(response)["detail"]


class FailingWebhooksKit(PaymentsTestKit):
    """A test kit whose processing of webhooks raises."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

        async def receive(body: bytes, headers: Any, *, gateway: str | None = None) -> Any:
            raise self.error

        self.payments.receive_webhook = receive  # type: ignore[method-assign]


@pytest.mark.parametrize("error", [TryAgainLater(), StorageConflict("busy"), RuntimeError("canary")])
def test_failed_processing_is_400_so_that_the_event_is_sent_again(error: Exception) -> None:
    with open_api(kit=FailingWebhooksKit(error)) as api:
        response = api.deliver(BODY)

    assert (response.status_code, problem_of(response)["code"]) == (400, "webhook_failed")
    assert "canary" not in response.text


def test_the_health_of_webhooks_is_public(api: Api) -> None:
    assert api.get("/api/webhooks/health/").json() == {"status": "ok"}


ON_THE_WIRE = [name for name, header in hostile_headers(BODY, SECRET, AT).items() if header.isascii()]
"""Other headers cannot be sent by a client."""


@pytest.mark.parametrize("name", ON_THE_WIRE)
def test_a_hostile_signature_is_refused(api: Api, name: str) -> None:
    header = hostile_headers(BODY, SECRET, api.kit.clock.now())[name]
    expected = 413 if len(header) > HEADERS_LIMIT else 400

    response = api.deliver(BODY, header)

    assert (response.status_code, problem_of(response)["status"]) == (expected, expected)


def test_an_alert_is_logged_with_its_object(api: Api) -> None:
    booking_id = api.paid()
    payment = api.status(booking_id)
    subject = {"id": "prv_1", "payment_intent": payment["payment_intent_id"]}
    event = {"id": "evt_1", "type": "review.opened", "api_version": "2020-08-27", "data": {"object": subject}}

    with capture_logs() as lines:
        assert api.deliver(json.dumps(event).encode()).status_code == 200

    [alert] = [line for line in lines if line["event"] == "gateway.alert"]
    [webhook] = [line for line in lines if line["event"] == "webhook.received"]
    assert (alert["intent_id"], alert["payment_id"]) == (payment["payment_intent_id"], payment["payment_id"])
    assert webhook["api_version"] == "2020-08-27"
