"""Histories of a payment at the gateway, and the events that it sends about each.

All actions are those of others: the customer in the browser, the dashboard, the bank. The service has created the
intent
and only receives webhooks after that.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec
from attrs import define, field, frozen

from booking_payments.adapters.gateways.stripe.webhooks import KINDS
from booking_payments.application.callers import Caller
from booking_payments.application.views import NewBooking
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.ledger import Account
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Payment
from tests.simulation.invariants import Json, differences
from tests.simulation.scheduler import alone
from tests.simulation.world import NOW, Setup, SimulatedWorld

ANN: Final = Caller.customer("ann", "a history")


@define(eq=False)
class GatewayHistory:
    """A payment with an intent, and the actions of everybody outside the service."""

    world: SimulatedWorld
    intent_id: str
    secret: str
    _sent: dict[str, tuple[bytes, dict[str, str]]] = field(factory=dict)

    @classmethod
    def begin(cls, *, sql: bool = False, capture: CaptureMethod = CaptureMethod.AUTOMATIC) -> "GatewayHistory":
        world = SimulatedWorld(Setup(sql=sql, skews=(timedelta(0),)))
        payments = world.processes[0].payments
        new = NewBooking(
            reference="R-1",
            customer_id="ann",
            amount=Money.parse("100.00", Currency.USD),
            event_starts_at=NOW + timedelta(days=60),
        )
        booking = alone(payments.register_booking(new), world.time).booking
        world.booking_ids.append(booking.id)
        view = alone(payments.start_payment(booking.id, ANN, capture_method=capture), world.time)
        assert view.client_action is not None
        assert view.payment.intent_id is not None
        return cls(world, view.payment.intent_id, view.client_action.client_secret or "")

    # --- what others do

    def browser(self, method: str) -> None:
        """The customer pays in the browser."""
        self.world.stripe.confirm_as_customer(self.intent_id, self.secret, method)

    def window(self, outcome: str) -> None:
        """The customer leaves the bank's window."""
        assert self.world.stripe.authenticate(self.intent_id, self.secret, outcome).ok

    def dashboard(self, verb: str, **params: Any) -> None:
        """An operator captures or cancels in the dashboard."""
        assert self.world.stripe.call("POST", f"/v1/payment_intents/{self.intent_id}/{verb}", params).ok

    def refund(self, amount: int | None = None) -> None:
        assert self.world.stripe.refund_in_dashboard(self.intent_id, amount).ok

    def evidence(self, text: str) -> None:
        dispute_id = next(iter(self.world.theirs.records["dispute"]))
        params = {"evidence": {"uncategorized_text": text}}
        assert self.world.stripe.call("POST", f"/v1/disputes/{dispute_id}", params).ok

    def dispute(self, *, inquiry: bool = False) -> None:
        assert self.world.stripe.open_dispute(self.intent_id, inquiry=inquiry).ok

    def wait(self, **span: float) -> None:
        """Advance the clock, and run the gateway's changes that are due."""
        self.world.time.advance(timedelta(**span))
        self.world.stripe.tick()

    # --- what we hear

    def events(self) -> list[Json]:
        """All events that we act on, in the order in which they were made."""
        return [event for event in self.world.theirs.records["event"].values() if event["type"] in KINDS]

    def hear(self, event: Mapping[str, Any]) -> str:
        """Deliver one event; returns its outcome."""
        body, headers = self._sent.get(event["id"]) or self._send(event)
        payments = self.world.processes[0].payments
        return alone(payments.receive_webhook(body, headers), self.world.time).outcome

    def _send(self, event: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
        """Body and headers of the event's deliveries. The clock stands still while we hear, so all are the same."""
        body = msgspec.json.encode(event)
        return self._sent.setdefault(event["id"], (body, self.world.signed(body)))

    def wrong(self) -> list[str]:
        """Return violated invariants, and differences from the gateway."""
        return [*self.world.invariants.broken, *differences(self.world.ours, self.world.theirs)]

    def state(self) -> tuple[object, ...]:
        """Everything that the events have led to."""
        payment = next(iter(self.world.ours.payments.values()))
        bookings = sorted(status.value for status in self.world.ours.bookings.values())
        return (*_money(payment), bookings)

    # --- going back

    def remember(self) -> "Remembered":
        """The books as they are, to go back to."""
        ours = self.world.ours
        return Remembered(
            books=self.world.books.remember(),
            payments=dict(ours.payments),
            bookings=dict(ours.bookings),
            ledgers={payment_id: ledger.copy() for payment_id, ledger in ours.ledgers.items()},
            promised=ours.promised.copy(),
            lines=len(self.world.log.lines),
        )

    def go_back(self, memory: "Remembered") -> None:
        """Restore a remembered state."""
        ours = self.world.ours
        self.world.books.go_back(memory.books)
        ours.payments, ours.bookings = dict(memory.payments), dict(memory.bookings)
        ours.promised.clear()
        ours.promised.update(memory.promised)
        ours.ledgers.clear()
        ours.ledgers.update({payment_id: ledger.copy() for payment_id, ledger in memory.ledgers.items()})
        del self.world.log.lines[memory.lines :]


@frozen(kw_only=True)
class Remembered:
    """A state of the books, and of their mirror in the invariants."""

    books: Any
    payments: dict[str, Payment]
    bookings: dict[str, BookingStatus]
    ledgers: dict[str, Counter[Account]]
    promised: Counter[str]
    lines: int


def _money(payment: Payment) -> tuple[object, ...]:
    refunds = sorted((each.gateway_refund_id or "", each.status.value, each.amount.minor) for each in payment.refunds)
    disputes = sorted((each.id, each.status.value, each.withdrawn.minor) for each in payment.disputes)
    return payment.status.value, payment.captured.minor, payment.attempts_made, refunds, disputes


# --- the histories ---------------------------------------------------------------------------------------------


def _success(history: GatewayHistory) -> None:
    history.browser("pm_card_visa")


def _decline_then_success(history: GatewayHistory) -> None:
    history.browser("pm_card_chargeDeclined")
    history.browser("pm_card_visa")


def _declined_twice(history: GatewayHistory) -> None:
    history.browser("pm_card_chargeDeclined")
    history.browser("pm_card_chargeDeclinedExpiredCard")


def _three_d_secure(history: GatewayHistory) -> None:
    history.browser("pm_card_authenticationRequired")
    history.window("succeeded")


def _three_d_secure_failed_then_success(history: GatewayHistory) -> None:
    history.browser("pm_card_authenticationRequired")
    history.window("failed")
    history.browser("pm_card_visa")


def _bank_debit(history: GatewayHistory) -> None:
    history.browser("pm_usBankAccount_success")
    history.wait(seconds=3)


def _bank_debit_fails(history: GatewayHistory) -> None:
    history.browser("pm_usBankAccount_insufficientFunds")
    history.wait(seconds=3)


def _manual_capture(history: GatewayHistory) -> None:
    history.browser("pm_card_visa")
    history.dashboard("capture")


def _partial_capture(history: GatewayHistory) -> None:
    history.browser("pm_card_visa")
    history.dashboard("capture", amount_to_capture=6000)


def _canceled(history: GatewayHistory) -> None:
    history.dashboard("cancel")


def _hold_expires(history: GatewayHistory) -> None:
    history.browser("pm_card_visa")
    history.wait(days=8)


def _full_refund(history: GatewayHistory) -> None:
    history.browser("pm_card_visa")
    history.refund()


def _two_partial_refunds(history: GatewayHistory) -> None:
    history.browser("pm_card_visa")
    history.refund(2500)
    history.refund(1500)


def _pending_refund(history: GatewayHistory) -> None:
    history.browser("pm_card_pendingRefund")
    history.refund(4000)
    history.wait(seconds=3)


def _late_refund_failure(history: GatewayHistory) -> None:
    history.browser("pm_card_refundFail")
    history.refund(4000)
    history.wait(seconds=3)


def _chargeback_won(history: GatewayHistory) -> None:
    history.browser("pm_card_visa")
    history.dispute()
    history.evidence("winning_evidence")
    history.wait(seconds=3)


def _chargeback_lost(history: GatewayHistory) -> None:
    history.browser("pm_card_createDispute")
    history.evidence("losing_evidence")
    history.wait(seconds=3)


def _inquiry_closed(history: GatewayHistory) -> None:
    history.browser("pm_card_visa")
    history.dispute(inquiry=True)
    history.wait(days=20)


def _inquiry_escalated(history: GatewayHistory) -> None:
    history.browser("pm_card_visa")
    history.dispute(inquiry=True)
    history.evidence("escalate_inquiry_evidence")
    history.wait(seconds=3)


AUTOMATIC: Final = CaptureMethod.AUTOMATIC
MANUAL: Final = CaptureMethod.MANUAL

GATEWAY_HISTORIES: Final[Mapping[str, tuple[Callable[[GatewayHistory], None], CaptureMethod]]] = {
    "success": (_success, AUTOMATIC),
    "decline, then success": (_decline_then_success, AUTOMATIC),
    "declined twice": (_declined_twice, AUTOMATIC),
    "3-D Secure": (_three_d_secure, AUTOMATIC),
    "3-D Secure failed, then success": (_three_d_secure_failed_then_success, AUTOMATIC),
    "bank debit": (_bank_debit, AUTOMATIC),
    "bank debit fails": (_bank_debit_fails, AUTOMATIC),
    "manual capture": (_manual_capture, MANUAL),
    "partial capture": (_partial_capture, MANUAL),
    "canceled": (_canceled, AUTOMATIC),
    "hold expires": (_hold_expires, MANUAL),
    "full refund": (_full_refund, AUTOMATIC),
    "two partial refunds": (_two_partial_refunds, AUTOMATIC),
    "pending refund": (_pending_refund, AUTOMATIC),
    "late refund failure": (_late_refund_failure, AUTOMATIC),
    "chargeback won": (_chargeback_won, AUTOMATIC),
    "chargeback lost": (_chargeback_lost, AUTOMATIC),
    "inquiry closed": (_inquiry_closed, AUTOMATIC),
    "inquiry escalated": (_inquiry_escalated, AUTOMATIC),
}
"""What may happen to a payment, and how its money is captured."""


def live(name: str, *, sql: bool = False) -> GatewayHistory:
    """A payment that has lived through this, of which we have not heard yet."""
    course, capture = GATEWAY_HISTORIES[name]
    history = GatewayHistory.begin(sql=sql, capture=capture)
    course(history)
    return history
