"""Payment: the one effort to collect a booking's amount, as the fold of its journal.

``evolve`` folds one recorded fact into the next frozen value; it decides nothing and asks the world nothing.
Decisions, which say what facts happen, are in ``decisions``.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from enum import Enum
from typing import Any, Final, TypeVar

import attrs
from attrs import field, frozen

from booking_payments.domain import events as ev
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.fees import FeeBreakdown, FeePolicy
from booking_payments.domain.instructions import CaptureMethod, CreateIntent, Instruction
from booking_payments.domain.lifecycle import (
    PAYMENT,
    REFUND,
    DisputeStatus,
    PaymentEvent,
    PaymentStatus,
    RefundEvent,
    RefundStatus,
    move,
)
from booking_payments.domain.money import Money, total
from booking_payments.domain.refunds import GivenBack, Refundable, RefundPolicy
from booking_payments.domain.reports import MethodDetails
from booking_payments.domain.retry import Decline


class AttemptOutcome(Enum):
    """``open``: no verdict yet. ``unknown``: the call's outcome is being found out. ``dropped``: there was none."""

    OPEN = "open"
    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    DROPPED = "dropped"


@frozen(kw_only=True)
class Attempt:
    """One try to charge. ``number`` counts from 1; ``idempotency_key`` is None for the customer's own.

    ``payment_method_id`` is the method as it was named to us, ``method_seen`` as the gateway names it in its
    verdict: it may answer with a copy that has another id.
    """

    number: int
    origin: ev.Origin
    idempotency_key: str | None
    payment_method_id: str | None
    started_at: datetime
    outcome: AttemptOutcome = AttemptOutcome.OPEN
    charge_id: str | None = None
    method_seen: str | None = None
    decline: Decline | None = None

    @property
    def has_verdict(self) -> bool:
        return self.outcome in (AttemptOutcome.DONE, AttemptOutcome.REFUSED)

    @property
    def is_running(self) -> bool:
        return self.outcome in (AttemptOutcome.OPEN, AttemptOutcome.UNKNOWN)


@frozen(kw_only=True)
class Refund:
    """Money on its way back, or come back. ``gateway_refund_id`` is None until the gateway has answered."""

    id: str
    origin: ev.Origin
    amount: Money
    fee_refunded: Money
    status: RefundStatus
    reason: str | None
    note: str | None
    idempotency_key: str | None
    created_at: datetime
    updated_at: datetime
    gateway_refund_id: str | None = None
    failure_reason: str | None = None


@frozen(kw_only=True)
class Dispute:
    """A claim of the customer's bank. ``withdrawn`` is what it holds of our balance."""

    id: str
    status: DisputeStatus
    reason: str
    amount: Money
    withdrawn: Money
    evidence_due_by: datetime | None
    opened_at: datetime


@frozen(kw_only=True)
class Operation:
    """The one call to the gateway that is in flight: what, with which key, since when, and whether it went silent."""

    idempotency_key: str
    purpose: ev.Purpose
    instruction: Instruction
    intended_at: datetime
    unknown: bool = False


@frozen(kw_only=True)
class Payment:
    """The state of a payment after ``version`` facts.

    ``late`` marks money that came for a closed booking; ``drifts`` are the contradictions found, for a person.
    ``promised`` is what the customer was to have back in all since the booking was canceled, None before.
    ``return_url`` is the one that the intent was made with: where methods that redirect come back to.
    ``amount_step``: at the gateway all its amounts are multiples of so many minor units. ``method`` is what was paid
    with, ``capture_before`` until when a hold of it could be captured.
    """

    id: str
    booking_id: str
    booking_reference: str
    customer_id: str
    status: PaymentStatus
    booking_amount: Money
    breakdown: FeeBreakdown
    fee_policy: FeePolicy
    refund_policy: RefundPolicy
    event_starts_at: datetime
    capture_method: CaptureMethod
    max_attempts: int
    captured: Money
    authorized: Money
    created_at: datetime
    updated_at: datetime
    version: int
    amount_step: int = 1
    intent_id: str | None = None
    attempts: tuple[Attempt, ...] = ()
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    operation: Operation | None = None
    late: bool = False
    drifts: tuple[ev.DriftFound, ...] = ()
    promised: GivenBack | None = None
    method: MethodDetails | None = None
    capture_before: datetime | None = None
    # Earlier releases kept it in the journal alone: a snapshot of theirs lacks it, and tells of the same payment.
    return_url: str | None = field(default=None, eq=False)

    @property
    def amount(self) -> Money:
        """What the customer is charged, or was charged after a partial capture."""
        return self.breakdown.gross

    @property
    def asked(self) -> Money:
        """What the customer was asked for, however much of it was captured."""
        return self.fee_policy.of_booking(self.booking_amount, self.amount_step).gross

    @property
    def captured_by(self) -> datetime | None:
        """Until when the money that is held has to be captured; None while none is held."""
        return self.capture_before if self.status is PaymentStatus.REQUIRES_CAPTURE else None

    @property
    def holds_booking(self) -> bool:
        """True for the one payment that its booking counts on: it is open, or it paid in time."""
        return self.status.is_open or (self.status is PaymentStatus.SUCCEEDED and not self.late)

    @property
    def is_final(self) -> bool:
        """True when nothing is under way any more: closed, with no operation, refund or dispute that may move."""
        moving = bool(self.refund_pending) or any(dispute.status.is_open for dispute in self.disputes)
        return not (self.status.is_open or self.operation or moving)

    @property
    def attempts_made(self) -> int:
        """Attempts that got a verdict of the gateway. Unknown outcomes and our own mistakes do not count."""
        return sum(attempt.has_verdict for attempt in self.attempts)

    @property
    def attempts_left(self) -> int:
        return max(self.max_attempts - self.attempts_made, 0)

    @property
    def running_attempt(self) -> Attempt | None:
        """The latest attempt when it has no verdict yet."""
        latest = self.attempts[-1] if self.attempts else None
        return latest if latest and latest.is_running else None

    @property
    def last_decline(self) -> Decline | None:
        """The decline of the latest attempt that got a verdict, while no later attempt runs or was done."""
        latest = self.attempts[-1] if self.attempts else None
        return latest.decline if latest else None

    @property
    def refunded(self) -> Money:
        """What refunds that succeeded have given back."""
        done = (refund.amount for refund in self.refunds if refund.status is RefundStatus.SUCCEEDED)
        return total(done, self.amount.currency)

    @property
    def refund_pending(self) -> Money:
        """What refunds on their way hold: requested, pending, or waiting for the customer."""
        return total((r.amount for r in self.refunds if r.status.is_pending), self.amount.currency)

    @property
    def disputed(self) -> bool:
        """True while any dispute is open, and after one was lost: that money is gone already."""
        return any(d.status.is_open or d.status is DisputeStatus.LOST for d in self.disputes)

    @property
    def dispute(self) -> Dispute | None:
        """The dispute to show: an open one before a settled one, the newest first."""
        newest = sorted(self.disputes, key=lambda dispute: (dispute.status.is_open, dispute.opened_at))
        return newest[-1] if newest else None

    @property
    def fee_returned(self) -> Money:
        """The part of the fee in refunds that succeeded or are on their way."""
        counted = (refund.fee_refunded for refund in self.refunds if not refund.status.is_lost)
        return total(counted, self.amount.currency)

    @property
    def given_back(self) -> GivenBack:
        """What refunds that succeeded or are on their way give back."""
        return GivenBack(amount=self.refunded + self.refund_pending, fee=self.fee_returned)

    @property
    def refundable(self) -> Refundable:
        """All that decides about a refund of this payment."""
        return Refundable(
            breakdown=self.breakdown,
            reserved=self.refunded + self.refund_pending,
            fee_returned=self.fee_returned,
            policy=self.refund_policy,
            event_starts_at=self.event_starts_at,
            paid=self.status is PaymentStatus.SUCCEEDED,
            disputed=self.disputed,
            amount_step=self.amount_step,
        )

    def refund(self, refund_id: str) -> Refund | None:
        """The refund with our id or the gateway's."""
        found = [r for r in self.refunds if refund_id in (r.id, r.gateway_refund_id)]
        return found[0] if found else None

    def dispute_by_id(self, dispute_id: str) -> Dispute | None:
        found = [dispute for dispute in self.disputes if dispute.id == dispute_id]
        return found[0] if found else None


# --- the fold --------------------------------------------------------------------------------------------------

F = TypeVar("F")
Changes = dict[str, Any]
"""Fields of a payment and their new values."""

Fold = Callable[[Payment, Any, datetime], Changes]
_FOLDS: Final[dict[type, Fold]] = {}


def _folds(kind: type[F]) -> Callable[[Callable[[Payment, F, datetime], Changes]], Fold]:
    def register(fold: Callable[[Payment, F, datetime], Changes]) -> Fold:
        _FOLDS[kind] = fold
        return fold

    return register


def evolve(payment: Payment | None, recorded: ev.Recorded) -> Payment:
    """The payment after one more recorded fact. The first fact of a journal is ``PaymentStarted``."""
    fact = recorded.fact
    if payment is None:
        if not isinstance(fact, ev.PaymentStarted):
            raise ValueError("a journal begins with PaymentStarted")
        return _started(fact, recorded)
    changes = _FOLDS[type(fact)](payment, fact, recorded.at)
    return attrs.evolve(payment, **changes, version=recorded.sequence, updated_at=recorded.at)


def fold(journal: Iterable[ev.Recorded]) -> Payment:
    """The payment that a whole journal tells of; raises ``ValueError`` for an empty one."""
    payment: Payment | None = None
    for recorded in journal:
        payment = evolve(payment, recorded)
    if payment is None:
        raise ValueError("the journal is empty")
    return payment


def _started(fact: ev.PaymentStarted, recorded: ev.Recorded) -> Payment:
    status = move(PAYMENT, None, PaymentEvent.STARTED)
    zero = Money.zero(fact.breakdown.gross.currency)
    return Payment(
        id=fact.payment_id,
        booking_id=fact.booking_id,
        booking_reference=fact.booking_reference,
        customer_id=fact.customer_id,
        status=status or PaymentStatus.REQUIRES_PAYMENT_METHOD,
        booking_amount=fact.booking_amount,
        breakdown=fact.breakdown,
        fee_policy=fact.fee_policy,
        refund_policy=fact.refund_policy,
        event_starts_at=fact.event_starts_at,
        capture_method=fact.capture_method,
        max_attempts=fact.max_attempts,
        amount_step=fact.amount_step,
        captured=zero,
        authorized=zero,
        created_at=recorded.at,
        updated_at=recorded.at,
        version=recorded.sequence,
    )


def _moved(payment: Payment, event: PaymentEvent) -> Changes:
    target = move(PAYMENT, payment.status, event)
    return {} if target is None else {"status": target}


def _attempt(payment: Payment, number: int | None, **changes: Any) -> Changes:
    attempts = tuple(
        attrs.evolve(attempt, **changes) if attempt.number == number else attempt for attempt in payment.attempts
    )
    return {"attempts": attempts}


@_folds(ev.OperationIntended)
def _operation_intended(payment: Payment, fact: ev.OperationIntended, at: datetime) -> Changes:
    operation = Operation(
        idempotency_key=fact.idempotency_key,
        purpose=fact.purpose,
        instruction=fact.instruction,
        intended_at=at,
    )
    made_with = {"return_url": fact.instruction.return_url} if isinstance(fact.instruction, CreateIntent) else {}
    return {"operation": operation, **made_with}


@_folds(ev.OutcomeLeftUnknown)
def _outcome_left_unknown(payment: Payment, fact: ev.OutcomeLeftUnknown, at: datetime) -> Changes:
    operation = payment.operation
    if operation is None or operation.idempotency_key != fact.idempotency_key:
        return {}
    unknown = {"operation": attrs.evolve(operation, unknown=True)}
    running = payment.running_attempt
    if running is None or running.idempotency_key != fact.idempotency_key:
        return unknown
    return unknown | _attempt(payment, running.number, outcome=AttemptOutcome.UNKNOWN)


@_folds(ev.OperationSettled)
def _operation_settled(payment: Payment, fact: ev.OperationSettled, at: datetime) -> Changes:
    operation = payment.operation
    ours = operation is not None and operation.idempotency_key == fact.idempotency_key
    if not ours:
        return {}
    over: Changes = {"operation": None}
    running = payment.running_attempt
    known_again = running is not None and running.idempotency_key == fact.idempotency_key
    return over | _attempt(payment, running.number, outcome=AttemptOutcome.OPEN) if running and known_again else over


@_folds(ev.IntentLinked)
def _intent_linked(payment: Payment, fact: ev.IntentLinked, at: datetime) -> Changes:
    return {"intent_id": fact.intent_id}


@_folds(ev.AttemptStarted)
def _attempt_started(payment: Payment, fact: ev.AttemptStarted, at: datetime) -> Changes:
    attempt = Attempt(
        number=fact.number,
        origin=fact.origin,
        idempotency_key=fact.idempotency_key,
        payment_method_id=fact.payment_method_id,
        started_at=at,
    )
    return {"attempts": (*payment.attempts, attempt)}


@_folds(ev.AttemptRefused)
def _attempt_refused(payment: Payment, fact: ev.AttemptRefused, at: datetime) -> Changes:
    return _moved(payment, PaymentEvent.REFUSED) | _attempt(
        payment,
        fact.number,
        outcome=AttemptOutcome.REFUSED,
        decline=fact.decline,
        charge_id=fact.charge_id,
        method_seen=fact.payment_method_id,
    )


@_folds(ev.AttemptDropped)
def _attempt_dropped(payment: Payment, fact: ev.AttemptDropped, at: datetime) -> Changes:
    return _attempt(payment, fact.number, outcome=AttemptOutcome.DROPPED)


@_folds(ev.MethodRequired)
def _method_required(payment: Payment, fact: ev.MethodRequired, at: datetime) -> Changes:
    return _moved(payment, PaymentEvent.METHOD_REQUIRED)


@_folds(ev.MethodAttached)
def _method_attached(payment: Payment, fact: ev.MethodAttached, at: datetime) -> Changes:
    return _moved(payment, PaymentEvent.METHOD_ATTACHED)


@_folds(ev.ActionRequired)
def _action_required(payment: Payment, fact: ev.ActionRequired, at: datetime) -> Changes:
    return _moved(payment, PaymentEvent.ACTION_REQUIRED)


@_folds(ev.ProcessingStarted)
def _processing_started(payment: Payment, fact: ev.ProcessingStarted, at: datetime) -> Changes:
    return _moved(payment, PaymentEvent.PROCESSING)


@_folds(ev.PaymentAuthorized)
def _payment_authorized(payment: Payment, fact: ev.PaymentAuthorized, at: datetime) -> Changes:
    attempt = _attempt(payment, fact.attempt, outcome=AttemptOutcome.DONE, charge_id=fact.charge_id)
    return {**_moved(payment, PaymentEvent.AUTHORIZED), **attempt, "authorized": fact.amount}


@_folds(ev.PaymentSucceeded)
def _payment_succeeded(payment: Payment, fact: ev.PaymentSucceeded, at: datetime) -> Changes:
    return {
        **_moved(payment, PaymentEvent.SUCCEEDED),
        **_attempt(payment, fact.attempt, outcome=AttemptOutcome.DONE, charge_id=fact.charge_id),
        "captured": fact.breakdown.gross,
        "authorized": Money.zero(fact.breakdown.gross.currency),
        "breakdown": fact.breakdown,
        "late": fact.late,
    }


@_folds(ev.MethodSeen)
def _method_seen(payment: Payment, fact: ev.MethodSeen, at: datetime) -> Changes:
    return {"method": fact.method, "capture_before": fact.capture_before}


@_folds(ev.PaymentCanceled)
def _payment_canceled(payment: Payment, fact: ev.PaymentCanceled, at: datetime) -> Changes:
    return {**_moved(payment, PaymentEvent.CANCELED), "authorized": Money.zero(payment.amount.currency)}


@_folds(ev.PaymentFailed)
def _payment_failed(payment: Payment, fact: ev.PaymentFailed, at: datetime) -> Changes:
    return _moved(payment, PaymentEvent.EXHAUSTED)


@_folds(ev.RefundRequested)
def _refund_requested(payment: Payment, fact: ev.RefundRequested, at: datetime) -> Changes:
    refund = Refund(
        id=fact.refund_id,
        origin=ev.Origin.SERVER,
        amount=fact.amount,
        fee_refunded=fact.fee_refunded,
        status=move(REFUND, None, RefundEvent.REQUESTED) or RefundStatus.PENDING,
        reason=fact.reason.value,
        note=fact.note,
        idempotency_key=fact.idempotency_key,
        created_at=at,
        updated_at=at,
    )
    refunds = (*payment.refunds, refund)
    after = attrs.evolve(payment, refunds=refunds).given_back
    more = payment.promised is not None and after.amount > payment.promised.amount
    return {"refunds": refunds, "promised": after if more else payment.promised}


@_folds(ev.RefundFound)
def _refund_found(payment: Payment, fact: ev.RefundFound, at: datetime) -> Changes:
    refund = Refund(
        id=fact.refund_id,
        origin=ev.Origin.GATEWAY,
        amount=fact.amount,
        fee_refunded=fact.fee_refunded,
        status=fact.status,
        reason=fact.reason,
        note=None,
        idempotency_key=None,
        created_at=at,
        updated_at=at,
        gateway_refund_id=fact.gateway_refund_id,
    )
    return {"refunds": (*payment.refunds, refund)}


def _refund(payment: Payment, refund_id: str, **changes: Any) -> Changes:
    refunds = tuple(attrs.evolve(r, **changes) if r.id == refund_id else r for r in payment.refunds)
    return {"refunds": refunds}


@_folds(ev.RefundLinked)
def _refund_linked(payment: Payment, fact: ev.RefundLinked, at: datetime) -> Changes:
    return _refund(payment, fact.refund_id, gateway_refund_id=fact.gateway_refund_id, updated_at=at)


@_folds(ev.RefundMoved)
def _refund_moved(payment: Payment, fact: ev.RefundMoved, at: datetime) -> Changes:
    return _refund(payment, fact.refund_id, status=fact.status, failure_reason=fact.failure_reason, updated_at=at)


@_folds(ev.DisputeOpened)
def _dispute_opened(payment: Payment, fact: ev.DisputeOpened, at: datetime) -> Changes:
    dispute = Dispute(
        id=fact.dispute_id,
        status=fact.status,
        reason=fact.reason,
        amount=fact.amount,
        withdrawn=Money.zero(fact.amount.currency),
        evidence_due_by=fact.evidence_due_by,
        opened_at=at,
    )
    return {"disputes": (*payment.disputes, dispute)}


def _dispute(payment: Payment, dispute_id: str, **changes: Any) -> Changes:
    disputes = tuple(attrs.evolve(d, **changes) if d.id == dispute_id else d for d in payment.disputes)
    return {"disputes": disputes}


@_folds(ev.DisputeMoved)
def _dispute_moved(payment: Payment, fact: ev.DisputeMoved, at: datetime) -> Changes:
    return _dispute(payment, fact.dispute_id, status=fact.status, evidence_due_by=fact.evidence_due_by)


@_folds(ev.DisputeChanged)
def _dispute_changed(payment: Payment, fact: ev.DisputeChanged, at: datetime) -> Changes:
    return _dispute(payment, fact.dispute_id, amount=fact.amount, evidence_due_by=fact.evidence_due_by)


@_folds(ev.DisputeFundsMoved)
def _dispute_funds_moved(payment: Payment, fact: ev.DisputeFundsMoved, at: datetime) -> Changes:
    return _dispute(payment, fact.dispute_id, withdrawn=fact.withdrawn)


def _unchanged(payment: Payment, fact: object, at: datetime) -> Changes:
    """Facts about the booking or our own work: part of the story, not of the payment's state."""
    return {}


@_folds(ev.BookingReleased)
def _booking_released(payment: Payment, fact: ev.BookingReleased, at: datetime) -> Changes:
    """From here on the customer has given the seat up for what they have, or are told that they will get."""
    return {"promised": payment.given_back} if fact.status == BookingStatus.CANCELED.value else {}


for _kind in (ev.BookingConfirmed, ev.LatePaymentDecided, ev.NewsDeferred):
    _FOLDS[_kind] = _unchanged


@_folds(ev.DriftFound)
def _drift_found(payment: Payment, fact: ev.DriftFound, at: datetime) -> Changes:
    return {"drifts": (*payment.drifts, fact)}
