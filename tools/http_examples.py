"""Requests and responses of the HTTP API for the reference page, from one run against the service in memory.

Clock and ids of the test kit repeat, so the page changes only when the service answers differently.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import httpx
import jwt
import structlog
from attrs import define, field, frozen
from litestar.testing import TestClient
from tests.services import services_over

from booking_payments.adapters.gateways.fake.gateway import due_deliveries
from booking_payments.entrypoints.http.app import create_app
from booking_payments.runtime.settings import load_settings
from booking_payments.sandbox.signature import sign
from booking_payments.testing.kit import SECRET, PaymentsTestKit

Json = dict[str, Any]

NOT_RUN: Final = {("POST", "/api/bookings/{booking_id}/payment/record")}
"""Operations without an example: recorded payments are kept in a database."""
LINES: Final = 4
"""Lines that are shown of a text that is not JSON."""
EVENTS: Final = 3
"""Events that are shown of a journal."""
JWT_SECRET: Final = "a-secret-of-the-examples-of-32-bytes"  # noqa: S105 - of this run only
SETTINGS: Final = {"JWT_SECRET": JWT_SECRET, "RATE_LIMIT_ENABLED": "false"}
REQUEST_ID: Final = re.compile(r"req_[a-z0-9]{24}")
TIMES: Final = {"event_starts_at": "2026-06-01T20:00:00Z", "expires_at": "2026-05-01T12:00:00Z"}


def _bearer(subject: str, scope: str = "") -> Mapping[str, str]:
    token = jwt.encode({"sub": subject, "exp": int(time.time()) + 3600, "scope": scope}, JWT_SECRET, "HS256")
    return {"Authorization": f"Bearer {token}"}


ANN: Final = _bearer("ann")
OPERATOR: Final = _bearer("olga", "payments:operate")
BOOKING_APP: Final = _bearer("app", "bookings:write")


@frozen
class Example:
    """One request with its response; ``body`` is the request's, None without one."""

    method: str
    path: str
    body: Json | None
    status: int
    response: str
    """The response's body: indented JSON, or the first lines of another text."""


@define
class ExampleRecorder:
    """Sends requests and keeps the first example of each status of an operation."""

    client: TestClient[Any]
    kit: PaymentsTestKit
    found: dict[tuple[str, str], list[Example]] = field(factory=dict)

    def send(self, operation: str, who: Mapping[str, str], body: Json | None = None, /, **ids: str) -> Json:
        """Send a request of ``operation``, such as ``GET /api/bookings/{booking_id}``, and return its JSON."""
        method, _, template = operation.partition(" ")
        path = template.format(**ids)
        response = self.client.request(method, path, headers={**who, "X-Request-Id": "req-1"}, json=body)
        if response.status_code not in (200, 201, 202, 402):
            raise RuntimeError(f"{method} {path}: {response.text}")
        key = (method, template.partition("?")[0].rstrip("/"))
        kept = self.found.setdefault(key, [])
        if response.status_code not in {each.status for each in kept}:
            kept.append(Example(method, path, body, response.status_code, _shown(response)))
        content: Json = response.json() if "json" in response.headers["content-type"] else {}
        return content


def _shown(response: httpx.Response) -> str:
    if "json" not in response.headers["content-type"]:
        return "\n".join([*response.text.splitlines()[:LINES], "..."])
    content = response.json()
    if len(content.get("events", ())) > EVENTS:
        content["events"] = content["events"][:EVENTS]
    return REQUEST_ID.sub("req-1", json.dumps(content, indent=2, ensure_ascii=False))


def examples() -> Mapping[tuple[str, str], list[Example]]:
    """Return the examples of each operation, by method and path."""
    kit = PaymentsTestKit()
    with _silent(), TestClient(create_app(services_over(kit, load_settings(SETTINGS, env_file=None)))) as client:
        recorder = ExampleRecorder(client, kit)
        _a_booking_is_paid_and_refunded(recorder)
        _a_card_is_declined(recorder)
        _the_bank_asks(recorder)
        _money_is_held(recorder)
        _a_debt_is_settled(recorder)
        _an_event_is_moved_and_canceled(recorder)
        _the_rest(recorder)
        return recorder.found


def _booked(recorder: ExampleRecorder, reference: str, **changes: Any) -> str:
    body = {"reference": reference, "customer_id": "ann", "amount": "70.00", "currency": "usd", **TIMES, **changes}
    return str(recorder.send("POST /api/bookings/", BOOKING_APP, body)["id"])


def _settle(recorder: ExampleRecorder) -> None:
    """Deliver the gateway's events, and run the background work."""
    recorder.client.blocking_portal.call(recorder.kit.settle)


def _a_booking_is_paid_and_refunded(recorder: ExampleRecorder) -> None:
    seats = [
        {"id": "adult", "label": "Adult", "quantity": 2, "unit_amount": "30.00"},
        {"id": "child", "label": "Child", "unit_amount": "10.00"},
    ]
    booking = _booked(recorder, "order-1001", items=seats, event_id="evening-1", title="Hamlet, 8 pm")
    amended = {"title": "Hamlet, 8.30 pm", "event_starts_at": "2026-06-01T20:30:00Z", "expected_version": 1}
    recorder.send("PATCH /api/bookings/{booking_id}/", BOOKING_APP, amended, booking_id=booking)
    pay = {"payment_method_id": "pm_card_visa", "confirm_immediately": True}
    started = recorder.send("POST /api/bookings/{booking_id}/payment/intent/", ANN, pay, booking_id=booking)
    recorder.send("GET /api/bookings/{booking_id}/", ANN, booking_id=booking)
    _deliver(recorder)
    recorder.send("GET /api/bookings/{booking_id}/payment/refund/quote/?amount=25.00", ANN, booking_id=booking)
    asked = {"amount": "25.00", "reason": "requested_by_customer"}
    recorder.send("POST /api/bookings/{booking_id}/payment/refund/", ANN, asked, booking_id=booking)
    recorder.send("GET /api/bookings/{booking_id}/payment/status/", ANN, booking_id=booking)
    recorder.send("GET /api/bookings/{booking_id}/payment/events/", ANN, booking_id=booking)
    goodwill = {"amount": "5.00", "override": True, "note": "the lights went out"}
    payment = started["payment_id"]
    recorder.send(
        "GET /api/payments/{payment_id}/refund/quote/?amount=5.00&override=true", OPERATOR, payment_id=payment
    )
    recorder.send("POST /api/payments/{payment_id}/refund/", OPERATOR, goodwill, payment_id=payment)


def _deliver(recorder: ExampleRecorder) -> None:
    """Deliver the gateway's events over HTTP; the example is the event that confirms the payment."""
    for event_id, endpoint, body in list(due_deliveries(recorder.kit.stripe)):
        signed = {"Stripe-Signature": sign(body, SECRET, recorder.kit.clock.now())}
        response = recorder.client.post("/api/webhooks/stripe/", headers=signed, content=body)
        if json.loads(body)["type"] == "payment_intent.succeeded":
            example = Example("POST", "/api/webhooks/stripe/", None, response.status_code, _shown(response))
            recorder.found["POST", "/api/webhooks/{gateway}"] = [example]
        recorder.kit.stripe.delivered(event_id, True, endpoint)


def _a_card_is_declined(recorder: ExampleRecorder) -> None:
    booking = _booked(recorder, "order-1002")
    declined = {"payment_method_id": "pm_card_visa_chargeDeclinedInsufficientFunds", "confirm_immediately": True}
    recorder.send("POST /api/bookings/{booking_id}/payment/intent/", ANN, declined, booking_id=booking)
    other = {"payment_method_id": "pm_card_mastercard"}
    recorder.send("POST /api/bookings/{booking_id}/payment/retry/", ANN, other, booking_id=booking)


def _the_bank_asks(recorder: ExampleRecorder) -> None:
    booking = _booked(recorder, "order-1003")
    started = recorder.send("POST /api/bookings/{booking_id}/payment/intent/", ANN, {}, booking_id=booking)
    card = {"payment_method_id": "pm_card_authenticationRequired"}
    recorder.send("POST /api/bookings/{booking_id}/payment/confirm/", ANN, card, booking_id=booking)
    answered = {"client_secret": started["client_secret"], "outcome": "succeeded"}
    intent = started["payment_intent_id"]
    recorder.send("POST /_sandbox/payment_intents/{intent_id}/authenticate", ANN, answered, intent_id=intent)
    _settle(recorder)


def _money_is_held(recorder: ExampleRecorder) -> None:
    held = {"payment_method_id": "pm_card_visa", "confirm_immediately": True}
    captured, released = (
        _booked(recorder, reference, capture_method="manual") for reference in ("order-1004", "order-1005")
    )
    for booking in (captured, released):
        recorder.send("POST /api/bookings/{booking_id}/payment/intent/", ANN, held, booking_id=booking)
    capture = {"amount": "60.00"}
    recorder.send("POST /api/bookings/{booking_id}/payment/capture/", OPERATOR, capture, booking_id=captured)
    recorder.send("POST /api/bookings/{booking_id}/payment/cancel/", OPERATOR, {}, booking_id=released)


def _a_debt_is_settled(recorder: ExampleRecorder) -> None:
    booking = _booked(recorder, "order-1006")
    pay = {"payment_method_id": "pm_card_createDispute", "confirm_immediately": True}
    started = recorder.send("POST /api/bookings/{booking_id}/payment/intent/", ANN, pay, booking_id=booking)
    _settle(recorder)
    everything = {"reason": "the hall is flooded", "refund": "full"}
    recorder.send("POST /api/bookings/{booking_id}/cancel/", BOOKING_APP, everything, booking_id=booking)
    in_cash = {"amount": "50.00", "how": "paid_elsewhere", "note": "in cash at the box office"}
    recorder.send("POST /api/payments/{payment_id}/owed/settle/", OPERATOR, in_cash, payment_id=started["payment_id"])


def _an_event_is_moved_and_canceled(recorder: ExampleRecorder) -> None:
    recorder.send("GET /api/events/{event_id}/", OPERATOR, event_id="evening-1")
    moved = {"event_starts_at": "2026-07-01T20:00:00Z", "refund_grace_until": "2026-06-15T00:00:00Z"}
    recorder.send("POST /api/events/{event_id}/reschedule/", OPERATOR, moved, event_id="evening-1")
    _settle(recorder)
    canceled = {"reason": "the hall is flooded"}
    preview = {**canceled, "preview": True}
    recorder.send("POST /api/events/{event_id}/cancel/", OPERATOR, preview, event_id="evening-1")
    recorder.send("POST /api/events/{event_id}/cancel/", OPERATOR, canceled, event_id="evening-1")


def _the_rest(recorder: ExampleRecorder) -> None:
    recorder.send("GET /api/bookings/?reference=order-1002", BOOKING_APP)
    recorder.send("GET /api/payments/?status=succeeded&limit=1", OPERATOR)
    recorder.send("GET /api/exports/{kind}/", OPERATOR, kind="refunds")
    for path in ("/api/payment/config/", "/api/webhooks/health/", "/health/live", "/health/ready", "/metrics"):
        recorder.send(f"GET {path}", OPERATOR)


@contextmanager
def _silent() -> Iterator[None]:
    """Leave out the log lines of the run."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop(_logger: object, _method: str, _event: Any) -> Any:
    raise structlog.DropEvent
