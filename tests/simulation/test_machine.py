"""A payment and its refunds against a model of a few lines: any sequence of requests has the same result in both."""

from datetime import timedelta
from typing import Any, Final

import pytest
from attrs import define
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec import json

from booking_payments.application.callers import Caller
from booking_payments.application.views import NewBooking, RefundOnCancel
from booking_payments.domain.errors import PaymentError
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.money import Currency, Money
from tests.simulation.invariants import differences
from tests.simulation.scheduler import alone
from tests.simulation.sizes import NIGHTLY
from tests.simulation.world import NOW, Setup, SimulatedWorld

ANN: Final = Caller.customer("ann", "the machine")
OLGA: Final = Caller.operator_of("olga", "the machine")
PRICE: Final = 10_000
ATTEMPTS: Final = 3

GOOD: Final = "pm_card_visa"
DECLINED: Final = "pm_card_chargeDeclined"
ASKS: Final = "pm_card_authenticationRequired"

OPEN: Final = ("requires_payment_method", "requires_action")

amounts = st.none() | st.integers(min_value=1, max_value=PRICE + 500)


@define
class BookingModel:
    """The model: everything that matters about one booking and its payment."""

    booking: str = "pending"
    payment: str = ""
    captured: int = 0
    refunded: int = 0
    attempts: int = 0
    manual: bool = False

    def charged(self) -> None:
        self.payment = "requires_capture" if self.manual else "succeeded"
        if not self.manual:
            self.paid(PRICE)

    def paid(self, amount: int) -> None:
        self.payment, self.captured, self.booking = "succeeded", amount, "confirmed"

    def declined(self) -> None:
        self.attempts += 1
        self.payment = "requires_payment_method"
        if self.attempts == ATTEMPTS:
            self.payment, self.booking = "failed", "expired"


class PaymentMachine(RuleBasedStateMachine):
    """One booking, lived by chance."""

    @initialize(manual=st.booleans(), hours=st.sampled_from([1, 24]))
    def book(self, manual: bool, hours: int) -> None:
        self.world = SimulatedWorld(Setup(skews=(timedelta(0),)))
        self.payments = self.world.processes[0].payments
        self.model = BookingModel(manual=manual)
        self.ends = NOW + timedelta(hours=hours)
        new = NewBooking(
            reference="R-1",
            customer_id="ann",
            amount=Money(PRICE, Currency.USD),
            event_starts_at=NOW + timedelta(days=365),
            expires_at=self.ends,
        )
        self.booking_id = self.do(self.payments.register_booking(new)).booking.id

    # --- asking

    def do(self, work: Any) -> Any:
        return alone(work, self.world.time)

    def code(self, work: Any) -> str:
        """What the request is refused with; empty when it is not."""
        try:
            self.do(work)
        except PaymentError as error:
            return error.code
        return ""

    @property
    def overdue(self) -> bool:
        return self.world.time.now >= self.ends

    def _why_not_pay(self) -> str:
        closed = {"confirmed": "already_paid", "canceled": "booking_canceled", "expired": "booking_expired"}
        if self.model.booking == "expired" and self.model.payment == "failed":
            return "attempts_exhausted"
        if self.model.booking in closed:
            return closed[self.model.booking]
        if self.overdue:
            return "booking_expired"
        return "already_authorized" if self.model.payment == "requires_capture" else ""

    # --- rules

    @rule(method=st.sampled_from([GOOD, DECLINED, ASKS]))
    def pay(self, method: str) -> None:
        expected = self._why_not_pay()
        if not expected:
            self._charge(method)
            expected = "card_declined" if method == DECLINED else ""
        capture = CaptureMethod.MANUAL if self.model.manual else CaptureMethod.AUTOMATIC
        work = self.payments.start_payment(
            self.booking_id, ANN, payment_method_id=method, confirm_immediately=True, capture_method=capture
        )
        assert self.code(work) == expected

    def _charge(self, method: str) -> None:
        if self.model.payment == "canceled":  # verdicts count for the next payment, which has a try
            self.model.attempts = min(self.model.attempts, ATTEMPTS - 1)
        if method == GOOD:
            self.model.charged()
        elif method == DECLINED:
            self.model.declined()
        else:
            self.model.payment = "requires_action"

    @precondition(lambda self: self.model.payment == "requires_action")
    @rule(outcome=st.sampled_from(["succeeded", "failed"]))
    def leave_the_window(self, outcome: str) -> None:
        intent = next(each for each in self._intents() if each["status"] == "requires_action")
        assert self.world.stripe.authenticate(intent["id"], intent["client_secret"], outcome).ok
        if outcome == "succeeded":
            self.model.charged()
        else:
            self.model.declined()
        assert self.code(self.payments.confirm_payment(self.booking_id, ANN)) == ""

    @rule(amount=amounts)
    def refund(self, amount: int | None) -> None:
        left = self.model.captured - self.model.refunded
        if self.model.payment == "":
            expected = "not_found"
        elif self.model.payment != "succeeded":
            expected = "not_captured" if self.model.payment == "requires_capture" else "not_paid"
        elif not left:
            expected = "nothing_left"
        else:
            expected = "exceeds_refundable" if amount is not None and amount > left else ""
            self.model.refunded += 0 if expected else amount or left
            if self.model.refunded == self.model.captured:  # the customer has everything back, and gives the seat up
                self.model.booking = "canceled"
        assert self.code(self.payments.refund_payment(self.booking_id, ANN, amount=_money(amount))) == expected

    @rule(amount=amounts)
    def capture(self, amount: int | None) -> None:
        if self.model.payment == "":
            expected = "not_found"
        elif self.model.payment != "requires_capture":
            expected = _NOT_CAPTURED.get(self.model.payment, "not_authorized")
        else:
            expected = "amount_exceeds_authorized" if amount is not None and amount > PRICE else ""
            if not expected:
                self.model.paid(amount or PRICE)
        assert self.code(self.payments.capture_payment(self.booking_id, OLGA, amount=_money(amount))) == expected

    @rule()
    def cancel(self) -> None:
        expected = _NOT_CANCELED.get(self.model.payment, "")
        if not expected:
            self.model.payment = "canceled"
        assert self.code(self.payments.cancel_payment(self.booking_id, ANN)) == expected

    @rule(refund=st.sampled_from(RefundOnCancel))
    def cancel_booking(self, refund: RefundOnCancel) -> None:
        expected = "booking_expired" if self.model.booking == "expired" else ""
        if self.model.booking in ("pending", "confirmed"):
            self.model.booking = "canceled"
            if self.model.payment in (*OPEN, "requires_capture"):
                self.model.payment = "canceled"
            elif self.model.payment == "succeeded" and refund is not RefundOnCancel.NONE:
                self.model.refunded = self.model.captured
        elif expected == "" and self.model.payment == "succeeded" and refund is RefundOnCancel.FULL:  # the rest too
            self.model.refunded = self.model.captured
        assert self.code(self.payments.cancel_booking(self.booking_id, OLGA, refund=refund)) == expected

    @rule()
    def cancel_own_booking(self) -> None:
        expected = {"expired": "booking_expired", "confirmed": "already_paid"}.get(self.model.booking, "")
        if self.model.booking == "pending":
            self.model.booking = "canceled"
            if self.model.payment in (*OPEN, "requires_capture"):
                self.model.payment = "canceled"
        assert self.code(self.payments.cancel_booking(self.booking_id, ANN)) == expected

    @rule(minutes=st.integers(min_value=1, max_value=90))
    def time_passes(self, minutes: int) -> None:
        self.world.time.advance(timedelta(minutes=minutes))
        self.do(self.payments.work())
        if self.overdue and self.model.booking == "pending" and self.model.payment != "requires_capture":
            self.model.booking = "expired"
            if self.model.payment in OPEN:
                self.model.payment = "canceled"

    @rule()
    def webhooks_come(self) -> None:
        for delivery in self.world.theirs.deliveries():
            self._deliver(delivery.event)
            self.world.stripe.delivered(delivery.event["id"], True, delivery.endpoint_id)

    def _deliver(self, event: dict[str, Any]) -> None:
        body = json.encode(event)
        self.do(self.payments.receive_webhook(body, self.world.signed(body)))

    # --- both say the same

    def _intents(self) -> list[dict[str, Any]]:
        return list(self.world.theirs.records["payment_intent"].values())

    @invariant()
    def nothing_is_broken(self) -> None:
        assert self.world.invariants.broken == []
        assert list(differences(self.world.ours, self.world.theirs)) == []

    @invariant()
    def the_model_agrees(self) -> None:
        payments = list(self.world.ours.payments.values())
        booking = self.do(self.payments.get_booking(self.booking_id))
        assert booking.status.value == self.model.booking
        assert (payments[-1].status.value if payments else "") == self.model.payment
        assert sum(payment.captured.minor for payment in payments) == self.model.captured
        assert sum(payment.refunded.minor for payment in payments) == self.model.refunded


_NOT_CAPTURED: Final = {"succeeded": "already_paid", "canceled": "payment_canceled"}
_NOT_CANCELED: Final = {
    "": "not_found",
    "succeeded": "already_paid",
    "canceled": "payment_canceled",
    "failed": "attempts_exhausted",
}


def _money(amount: int | None) -> Money | None:
    return None if amount is None else Money(amount, Currency.USD)


LENGTH: Final = settings(
    max_examples=2_000 if NIGHTLY else 40,
    stateful_step_count=50,
    derandomize=not NIGHTLY,
    database=None,
    deadline=None,
    print_blob=NIGHTLY,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(3600 if NIGHTLY else 120)
def test_a_payment_and_its_refunds_follow_the_model() -> None:
    run_state_machine_as_test(PaymentMachine, settings=LENGTH)
