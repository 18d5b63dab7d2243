"""Payments for tests: a builder that lets events happen to a payment, and those that the storage contract stores."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Self

from booking_payments.domain import events as ev
from booking_payments.domain.amendments import BookingChange, amendment_of
from booking_payments.domain.booking import Booking, BookingDetails
from booking_payments.domain.decisions import start
from booking_payments.domain.declines import Decline
from booking_payments.domain.fees import FeePolicy
from booking_payments.domain.instructions import (
    CancelIntent,
    CancellationReason,
    CaptureIntent,
    CaptureMethod,
    Client,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
    Instruction,
    MethodChoice,
    UpdateIntent,
)
from booking_payments.domain.ledger import postings_of
from booking_payments.domain.lifecycle import DisputeStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Payment, fold
from booking_payments.domain.refunds import RefundPolicy, RefundReason, RefundTier
from booking_payments.domain.reports import MethodDetails
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.testing.kit import NOW

USD_100 = Money(10000, Currency.USD)
POLICY = RefundPolicy(tiers=(RefundTier(hours_before=48, percent=Decimal("99.5")),))


class PaymentBuilder:
    """A payment to which events happen one after the other.

    Attributes:
        journal: all events so far, numbered from 1.
        at: when an event happens, unless ``happen`` is given another time.
    """

    def __init__(self, *, at: datetime = NOW, actor: str = "customer:ann", cause: str = "test") -> None:
        self.at = at
        self.journal: list[ev.Recorded] = []
        self._actor, self._cause = actor, cause
        self._saved = 0

    @property
    def payment(self) -> Payment:
        """The payment as the journal has it.

        Raises: ValueError when nothing has happened yet.
        """
        return fold(self.journal)

    def happen(self, *events: ev.Event, at: datetime | None = None) -> Self:
        """Let events happen to the payment; returns the builder."""
        for event in events:
            sequence = len(self.journal) + 1
            self.journal.append(
                ev.Recorded(sequence=sequence, at=at or self.at, actor=self._actor, cause=self._cause, event=event)
            )
        return self

    def mark_saved(self) -> None:
        """Treat all events so far as stored already."""
        self._saved = len(self.journal)

    async def save(self, uow: UnitOfWork) -> Payment:
        """Store the events since the last call; returns the payment."""
        known = len(postings_of(self.journal[: self._saved]))
        payment, postings = self.payment, postings_of(self.journal)
        await uow.payments.append(payment, self.journal[self._saved :], postings[known:])
        self.mark_saved()
        return payment


def booking(number: int = 1, *, customer_id: str = "ann", expires_in: timedelta = timedelta(hours=1)) -> Booking:
    """A booking that was never stored."""
    return Booking(
        id=f"bk_{number}",
        reference=f"R-{number}",
        customer_id=customer_id,
        amount=USD_100,
        event_starts_at=NOW + timedelta(days=30),
        expires_at=NOW + expires_in,
        created_at=NOW,
        refund_policy=POLICY,
        details=BookingDetails(
            title="Night", customer_email="ann@example.com", methods=MethodChoice(allowed=("card",))
        ),
    )


def started_payment(of: Booking, number: int = 1, at: datetime = NOW) -> PaymentBuilder:
    """The payment ``pay_<number>`` of a booking, which was started at ``at`` and has to be captured by hand."""
    event = start(
        of,
        payment_id=f"pay_{number}",
        now=NOW,
        fee_policy=FeePolicy(),
        refund_policy=RefundPolicy(),
        capture_method=CaptureMethod.MANUAL,
        max_attempts=3,
        gateway="stripe",
        amount_step=10,
    )
    return PaymentBuilder(at=at).happen(event)


def payment_with_every_event(of: Booking) -> PaymentBuilder:
    """A payment to which every kind of event has happened."""
    decline = Decline(code="card_declined", message="No.", decline_code="lost_card", advice_code="do_not_try_again")
    create = CreateIntent(
        amount=USD_100,
        capture_method=CaptureMethod.MANUAL,
        payment_method_id="pm_1",
        confirm=True,
        return_url="https://shop.example",
        metadata={"payment_id": "pay_1"},
    )
    confirm = ConfirmIntent(intent_id="pi_1", payment_method_id=None, return_url=None)
    capture = CaptureIntent(intent_id="pi_1", amount=Money(6000, Currency.USD))
    cancel = CancelIntent(intent_id="pi_1", reason=CancellationReason.ABANDONED)
    reason = RefundReason.DUPLICATE
    part = Money(1000, Currency.USD)
    refund = CreateRefund(intent_id="pi_1", refund_id="rf_1", amount=part, reason=reason, metadata={"note": "rain"})
    zero = Money(0, Currency.USD)
    captured = FeePolicy().of_booking(Money(6000, Currency.USD))
    due = NOW + timedelta(days=7)
    change = BookingChange(title="Matinee")
    amendment = amendment_of(of, change, refund="policy", by="test", now=NOW)
    changed = UpdateIntent(intent_id="pi_1", amount=Money(9500, Currency.USD))
    operations: tuple[tuple[Instruction, ev.Purpose], ...] = (
        (create, ev.Purpose.PAY),
        (confirm, ev.Purpose.PAY),
        (cancel, ev.Purpose.EXPIRE_BOOKING),
    )
    builder = started_payment(of)
    for place, (instruction, purpose) in enumerate(operations):
        key = f"key-{place}"
        builder.happen(
            ev.AttemptStarted(number=place + 1, origin=ev.Origin.SERVER, idempotency_key=key, payment_method_id="pm_1"),
            ev.OperationIntended(idempotency_key=key, purpose=purpose, instruction=instruction),
            ev.OutcomeLeftUnknown(idempotency_key=key, reason="http_500", stored_error=True),
            ev.CallNotFound(idempotency_key=key, begun_at=NOW + timedelta(minutes=10)),
            ev.CallGivenUp(idempotency_key=key),
            ev.ObservationDeferred(),
            ev.OperationSettled(idempotency_key=key, refusal="why"),
            ev.AttemptDropped(number=place + 1),
            ev.LostCallEnded(idempotency_key=key, found="pi_1" if place else None),
        )
    return builder.happen(
        ev.PaymentAdopted(intent_id="pi_1", made_for="bk_before"),
        ev.IntentLinked(intent_id="pi_1"),
        ev.MethodAttached(),
        ev.ClientNamed(client=Client.STRIPE_JS),
        ev.MethodRequired(),
        ev.OperationIntended(
            idempotency_key="key-12", purpose=ev.Purpose.AMEND_BOOKING, instruction=changed, amendment=amendment
        ),
        ev.OperationSettled(idempotency_key="key-12"),
        ev.ActionRequired(),
        ev.AttemptStarted(number=4, origin=ev.Origin.CLIENT, idempotency_key=None, payment_method_id=None),
        ev.AttemptRefused(number=4, decline=decline, charge_id="ch_1", payment_method_id="pm_2"),
        ev.ProcessingStarted(),
        ev.AttemptStarted(number=5, origin=ev.Origin.CLIENT, idempotency_key=None, payment_method_id="pm_3"),
        ev.PaymentAuthorized(amount=USD_100, charge_id="ch_2", attempt=5),
        ev.OperationIntended(idempotency_key="key-9", purpose=ev.Purpose.CAPTURE, instruction=capture),
        ev.OperationSettled(idempotency_key="key-9"),
        ev.PaymentSucceeded(breakdown=captured, charge_id="ch_2", attempt=5, late=False),
        ev.MethodSeen(
            charge_id="ch_2",
            method=MethodDetails(type="card", brand="visa", last4="4242", wallet="apple_pay"),
            capture_before=NOW + timedelta(days=7),
            receipt_url="https://pay.stripe.com/receipts/payment/ch_2",
        ),
        ev.BookingConfirmed(),
        ev.LatePaymentDecided(booking_status="expired"),
        ev.BookingReleased(status="canceled"),
        ev.RefundRequested(
            refund_id="rf_1", amount=part, fee_refunded=zero, reason=reason, note="rain", idempotency_key="key-10"
        ),
        ev.OperationIntended(idempotency_key="key-10", purpose=ev.Purpose.REFUND, instruction=refund),
        ev.RefundLinked(refund_id="rf_1", gateway_refund_id="re_1"),
        ev.RefundMoved(refund_id="rf_1", status=RefundStatus.SUCCEEDED),
        ev.RefundMoved(refund_id="rf_1", status=RefundStatus.FAILED, failure_reason="declined"),
        ev.RefundFound(
            refund_id="re_2",
            gateway_refund_id="re_2",
            amount=part,
            fee_refunded=zero,
            status=RefundStatus.SUCCEEDED,
            reason=None,
        ),
        ev.BookingAmended(
            amendment=amendment,
            changed=("title",),
            amount_before=USD_100,
            reduced=Money(500, Currency.USD),
            given_back=Money(400, Currency.USD),
        ),
        ev.Overcaptured(reduced=Money(100, Currency.USD), given_back=Money(100, Currency.USD)),
        ev.DisputeOpened(
            dispute_id="du_1",
            status=DisputeStatus.NEEDS_RESPONSE,
            reason="fraudulent",
            amount=part,
            evidence_due_by=due,
        ),
        ev.DisputeFundsMoved(dispute_id="du_1", withdrawn=part),
        ev.DisputeMoved(dispute_id="du_1", status=DisputeStatus.UNDER_REVIEW, evidence_due_by=due),
        ev.DisputeChanged(dispute_id="du_1", amount=part, evidence_due_by=None),
        ev.DriftFound(code="amount_differs", detail="one cent"),
    )
