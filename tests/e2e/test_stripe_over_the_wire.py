"""The service with the Stripe gateway in front of the sandbox: real processes, real sockets, signed webhooks."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
from attrs import frozen

from booking_payments import Currency, Money, NewBooking, open_payments_sync
from tests.e2e.serving import READY_S, printed, sandboxed, serving
from tests.ports import free_port

Json = dict[str, Any]
WEBHOOK_SECRET = "whsec_over_the_wire"


@frozen
class Wire:
    """A client of the service, one of the sandbox, and the tokens of a customer, an operator and the booking app."""

    service: httpx2.Client
    sandbox: httpx2.Client
    tokens: dict[str, str]
    numbers: "count[int]"

    def post(self, path: str, body: Json | None = None, *, as_: str = "ann") -> httpx2.Response:
        return self.service.post(f"/api{path}", json=body or {}, headers=self._head(as_))

    def get(self, path: str, *, as_: str = "ann") -> Json:
        answer = self.service.get(f"/api{path}", headers=self._head(as_))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def _head(self, who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[who]}"}

    def book(self, currency: str = "usd") -> str:
        new = {
            "reference": f"R-{next(self.numbers)}",
            "customer_id": "ann",
            "amount": "100.00",
            "currency": currency,
            "event_starts_at": "2100-01-01T20:00:00Z",
        }
        return str(self.post("/bookings/", new, as_="app").json()["id"])

    def start(self, method: str | None = None, **more: Any) -> tuple[str, httpx2.Response]:
        booking = self.book(more.pop("currency", "usd"))
        body = {"payment_method_id": method, "confirm_immediately": True} if method else {}
        return booking, self.post(f"/bookings/{booking}/payment/intent/", body | more)

    def play(self, path: str, **body: Any) -> Json:
        answer = self.sandbox.post(f"/_sandbox{path}", json=body)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def status(self, booking: str) -> Json:
        return self.get(f"/bookings/{booking}/payment/status/")

    def until(self, booking: str, **wanted: Any) -> Json:
        """The payment as soon as it looks like ``wanted``."""
        until, seen = time.monotonic() + READY_S, self.status(booking)
        while time.monotonic() < until:
            if wanted.items() <= seen.items():
                return seen
            time.sleep(0.05)
            seen = self.status(booking)
        pytest.fail(f"{seen} never became {wanted}")

    def charges(self, booking: str) -> list[Json]:
        """The successful charges at the gateway for a booking."""
        intents = self.sandbox.get("/v1/payment_intents", params={"limit": 100}).json()["data"]
        own = [intent["id"] for intent in intents if intent["metadata"].get("booking_id") == booking]
        found = [
            charge
            for id_ in own
            for charge in self.sandbox.get("/v1/charges", params={"payment_intent": id_}).json()["data"]
        ]
        return [charge for charge in found if charge["status"] == "succeeded"]


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    folder = tmp_path_factory.mktemp("wire")
    with sandboxed(folder, "--delay", "0.2") as sandbox:
        settings = {
            "PAYMENT_GATEWAY": "stripe",
            "STRIPE_API_BASE": sandbox,
            "STRIPE_SECRET_KEY": "sk_test_wire",
            "PAYMENT_CAPTURE_BY_CUSTOMER": "true",
            "STRIPE_PUBLISHABLE_KEY": "pk_test_wire",
            "STRIPE_WEBHOOK_SECRET": f"whsec_older,{WEBHOOK_SECRET}",
            "JWT_SECRET": "0123456789abcdef0123456789abcdef",
            "PAYMENT_RETRY_DELAY": "0.05",
            "LOG_LEVEL": "DEBUG",
        }
        port = free_port()
        tokens = {
            "ann": printed(folder, "token", "--sub", "ann", settings=settings),
            "olga": printed(folder, "token", "--sub", "olga", "--scope", "payments:operate", settings=settings),
            "app": printed(folder, "token", "--sub", "app", "--scope", "bookings:write", settings=settings),
        }
        with (
            serving(folder, settings, port) as service,
            httpx2.Client(base_url=service, trust_env=False, timeout=60) as api,
            httpx2.Client(base_url=sandbox, trust_env=False, auth=("sk_test_wire", "")) as stripe,
        ):
            wire = Wire(api, stripe, tokens, count(1))
            wire.play("/webhook_endpoints", url=f"{service}/api/webhooks/stripe/", secret=WEBHOOK_SECRET)
            yield wire
        logs = (folder / "serve.log").read_text()
        assert "sk_test_wire" not in logs
        assert WEBHOOK_SECRET not in logs


def test_the_front_end_learns_which_gateway_it_speaks_to(wire: Wire) -> None:
    config = wire.get("/payment/config/")

    assert (config["gateway"], config["publishable_key"]) == ("stripe", "pk_test_wire")


def test_a_booking_is_paid_and_confirmed(wire: Wire) -> None:
    booking, answer = wire.start("pm_card_visa")

    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    assert wire.get(f"/bookings/{booking}/")["status"] == "confirmed"
    assert [charge["amount"] for charge in wire.charges(booking)] == [10000]


def test_our_ids_are_on_the_intent(wire: Wire) -> None:
    booking, answer = wire.start("pm_card_visa")
    paid = answer.json()
    intent = wire.sandbox.get(f"/v1/payment_intents/{paid['payment_intent_id']}").json()

    assert intent["metadata"]["booking_id"] == booking
    assert intent["metadata"]["payment_id"] == paid["payment_id"]


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", None),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", None),
        ("pm_card_chargeDeclinedFraudulent", "card_declined", "generic_decline"),
    ],
)
def test_a_decline_is_reported_and_another_card_pays(
    wire: Wire, card: str, code: str, decline_code: str | None
) -> None:
    booking, declined = wire.start(card)
    paid = wire.post(f"/bookings/{booking}/payment/retry/", {"payment_method_id": "pm_card_mastercard"})

    assert declined.status_code == 402, declined.text
    assert code in (declined.json()["code"], declined.json().get("decline_code"), "card_declined")
    assert declined.json().get("decline_code") in (decline_code, None)
    assert paid.json()["status"] == "succeeded"
    assert len(wire.charges(booking)) == 1


def test_the_customer_passes_3d_secure(wire: Wire) -> None:
    booking, answer = wire.start("pm_card_threeDSecure2Required")
    waiting = answer.json()
    wire.play(
        f"/payment_intents/{waiting['payment_intent_id']}/authenticate",
        client_secret=waiting["client_secret"],
        outcome="succeeded",
    )

    assert waiting["requires_action"] is True
    assert waiting["next_action"]["type"]
    wire.until(booking, status="succeeded", requires_action=False)


def test_a_failed_3d_secure_leaves_room_for_another_card(wire: Wire) -> None:
    booking, answer = wire.start("pm_card_threeDSecure2Required")
    waiting = answer.json()
    wire.play(
        f"/payment_intents/{waiting['payment_intent_id']}/authenticate",
        client_secret=waiting["client_secret"],
        outcome="failed",
    )

    wire.until(booking, status="requires_payment_method", attempts_made=1)
    paid = wire.post(f"/bookings/{booking}/payment/retry/", {"payment_method_id": "pm_card_visa"})
    assert paid.json()["status"] == "succeeded"


def test_the_browser_pays_and_the_webhook_tells(wire: Wire) -> None:
    booking, answer = wire.start()
    opened = answer.json()
    wire.play(
        f"/payment_intents/{opened['payment_intent_id']}/confirm",
        client_secret=opened["client_secret"],
        payment_method="pm_card_visa",
    )

    wire.until(booking, status="succeeded")
    assert wire.get(f"/bookings/{booking}/")["status"] == "confirmed"


def test_held_money_is_captured_in_part(wire: Wire) -> None:
    booking, answer = wire.start("pm_card_visa", capture_method="manual")
    captured = wire.post(f"/bookings/{booking}/payment/capture/", {"amount": "60.00"}, as_="olga")

    assert answer.json()["status"] == "requires_capture"
    assert captured.json()["amount_received"] == "60.00"


def test_an_authorization_is_released(wire: Wire) -> None:
    booking, _ = wire.start("pm_card_visa", capture_method="manual")

    canceled = wire.post(f"/bookings/{booking}/payment/cancel/", as_="olga")

    assert canceled.json()["status"] == "canceled"


def test_refunds_are_made_in_part_until_nothing_is_left(wire: Wire) -> None:
    booking, _ = wire.start("pm_card_visa")
    part = wire.post(f"/bookings/{booking}/payment/refund/", {"amount": "30.00", "note": "a seat less"})
    rest = wire.post(f"/bookings/{booking}/payment/refund/")
    more = wire.post(f"/bookings/{booking}/payment/refund/", {"amount": "0.01"})

    assert (part.json()["status"], part.json()["remaining_refundable"]) == ("succeeded", "70.00")
    assert (rest.json()["amount"], rest.json()["remaining_refundable"]) == ("70.00", "0.00")
    assert more.status_code == 422
    assert wire.status(booking)["refunded_amount"] == "100.00"


def test_a_pending_refund_succeeds_later(wire: Wire) -> None:
    booking, _ = wire.start("pm_card_pendingRefund")
    refund = wire.post(f"/bookings/{booking}/payment/refund/").json()

    assert (refund["status"], refund["success"]) == ("pending", True)
    wire.until(booking, refunded_amount="100.00", refund_pending_amount="0.00")


def test_a_refund_that_fails_late_can_be_made_again(wire: Wire) -> None:
    booking, _ = wire.start("pm_card_refundFail")
    wire.post(f"/bookings/{booking}/payment/refund/")

    seen = wire.until(booking, refunded_amount="0.00", refund_pending_amount="0.00")

    assert [refund["status"] for refund in seen["refunds"]] == ["failed"]


def test_a_refund_made_in_the_dashboard_is_recorded(wire: Wire) -> None:
    booking, answer = wire.start("pm_card_visa")
    wire.play(f"/payment_intents/{answer.json()['payment_intent_id']}/refund", amount=1500)

    wire.until(booking, refunded_amount="15.00", status="succeeded")


def test_a_dispute_arrives_and_is_won(wire: Wire) -> None:
    booking, _ = wire.start("pm_card_createDispute")
    until, seen = time.monotonic() + READY_S, wire.status(booking)
    while seen["dispute"] is None and time.monotonic() < until:
        time.sleep(0.05)
        seen = wire.status(booking)
    refused = wire.post(f"/bookings/{booking}/payment/refund/")
    evidence = {"evidence[uncategorized_text]": "winning_evidence", "submit": "true"}
    wire.sandbox.post(f"/v1/disputes/{seen['dispute']['dispute_id']}", data=evidence)

    assert (refused.status_code, refused.json()["code"]) == (409, "disputed")
    while seen["dispute"]["status"] != "won" and time.monotonic() < until:
        time.sleep(0.05)
        seen = wire.status(booking)
    assert (seen["dispute"]["status"], seen["status"]) == ("won", "succeeded")


@pytest.mark.parametrize(
    ("iban", "ends"), [("DE89370400440532013000", "succeeded"), ("DE62370400440532013001", "requires_payment_method")]
)
def test_a_bank_debit_settles_later(wire: Wire, iban: str, ends: str) -> None:
    """The customer accepts the mandate in the browser; a server's confirmation would need mandate data."""
    booking, started = wire.start(currency="eur")
    debit = {
        "payment_method_data[type]": "sepa_debit",
        "payment_method_data[sepa_debit][iban]": iban,
        "payment_method_data[billing_details][name]": "Ann",
        "payment_method_data[billing_details][email]": "ann@example.com",
        "client_secret": started.json()["client_secret"],
        "key": "pk_test_any",
    }
    path = f"{str(wire.sandbox.base_url).rstrip('/')}/v1/payment_intents/{started.json()['payment_intent_id']}/confirm"
    answer = httpx2.post(path, data=debit, trust_env=False)

    assert answer.json()["status"] == "processing", answer.text
    wire.until(booking, status=ends)


@pytest.mark.parametrize("fault", ["reset_after", "409", "429_limit", "429_lock", "503", "reset_before"])
def test_one_fault_of_the_network_is_not_felt(wire: Wire, fault: str) -> None:
    booking = wire.book()
    wire.play("/faults", match="POST /v1/payment_intents", times=1, fault=fault)

    answer = wire.post(
        f"/bookings/{booking}/payment/intent/", {"payment_method_id": "pm_card_visa", "confirm_immediately": True}
    )

    assert answer.status_code in (200, 503), answer.text
    wire.until(booking, status="succeeded", outcome_unknown=False)
    assert len(wire.charges(booking)) == 1


def test_unknown_outcomes_are_settled_in_the_background(wire: Wire) -> None:
    """When no answer came in three tries, and when the gateway answers its key with 500 again and again."""
    unknown = []
    for fault, times in (("reset_after", 3), ("500_after", 1)):
        wire.play("/faults", match="POST /v1/payment_intents", times=times, fault=fault)
        booking, answer = wire.start("pm_card_visa")

        assert (answer.status_code, answer.json()["outcome_unknown"]) == (503, True)
        assert int(answer.headers["Retry-After"]) > 0
        unknown.append(booking)
    for booking in unknown:
        wire.until(booking, status="succeeded", outcome_unknown=False)
        assert len(wire.charges(booking)) == 1


def test_webhooks_that_come_twice_and_out_of_order_change_nothing(wire: Wire) -> None:
    for fault in ("duplicate", "shuffle", "delay"):
        wire.play("/faults", match="webhook", times=2, fault=fault)
    booking, answer = wire.start("pm_card_visa")
    wire.post(f"/bookings/{booking}/payment/refund/", {"amount": "40.00"})

    assert answer.json()["status"] == "succeeded"
    wire.until(booking, status="succeeded", refunded_amount="40.00")


def test_doctor_finds_the_gateway_and_reports_a_wrong_key(wire: Wire, tmp_path: Path) -> None:
    settings = {
        "PAYMENT_GATEWAY": "stripe",
        "STRIPE_API_BASE": str(wire.sandbox.base_url).rstrip("/"),
        "STRIPE_SECRET_KEY": "sk_test_doctor",
        "STRIPE_PUBLISHABLE_KEY": "pk_test_doctor",
        "STRIPE_WEBHOOK_SECRET": "whsec_doctor",
        "JWT_SECRET": "0123456789abcdef0123456789abcdef",
    }
    printed(tmp_path, "migrate", settings=settings)

    assert "stripe, test mode: no money moves" in printed(tmp_path, "doctor", settings=settings)


def test_a_service_that_was_away_catches_up_when_it_starts(wire: Wire, tmp_path: Path) -> None:
    """Its webhooks go nowhere; what the browser paid meanwhile is in the gateway's list of events."""
    settings = {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'booking-payments.db'}",
        "STRIPE_API_BASE": str(wire.sandbox.base_url).rstrip("/"),
        "STRIPE_SECRET_KEY": "sk_test_away",  # another account of the sandbox
        "STRIPE_PUBLISHABLE_KEY": "pk_test_away",
        "STRIPE_WEBHOOK_SECRET": "whsec_away",
        "JWT_SECRET": "0123456789abcdef0123456789abcdef",
    }
    seat = NewBooking(
        reference="R-away",
        customer_id="ann",
        amount=Money.parse("100.00", Currency.USD),
        event_starts_at=datetime(2100, 1, 1, tzinfo=UTC),
    )
    with open_payments_sync(settings, env_file=None, migrate=True) as payments:
        booking = payments.register_booking(seat).booking.id
        opened = payments.start_payment(booking).to_dict(client_secret=True)
    with httpx2.Client(base_url=settings["STRIPE_API_BASE"], trust_env=False, auth=("sk_test_away", "")) as stripe:
        path = f"/_sandbox/payment_intents/{opened['payment_intent_id']}/confirm"
        paid = stripe.post(path, json={"client_secret": opened["client_secret"], "payment_method": "pm_card_visa"})
        assert paid.is_success, paid.text
    with (
        serving(tmp_path, settings) as service,
        httpx2.Client(base_url=service, trust_env=False, timeout=60) as api,
    ):
        Wire(api, wire.sandbox, wire.tokens, count(1)).until(booking, status="succeeded")
