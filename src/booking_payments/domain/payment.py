"""Payment: the one effort to collect a booking's amount, as the fold of its journal.

``evolve`` folds one recorded fact into the next frozen value; it decides nothing and asks the world nothing.
Decisions, which say what facts happen, are in ``decisions``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Final, TypeVar

import attrs
from attrs import Factory, field, frozen

from booking_payments.domain import events as ev
from booking_payments.domain.declines import Decline
from booking_payments.domain.fees import FeeBreakdown, FeePolicy
from booking_payments.domain.instructions import (
    CaptureMethod,
    Client,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
    Instruction,
    Replacement,
    UpdateIntent,
)
from booking_payments.domain.lifecycle import (
    COMMANDS,
    PAYMENT,
    REFUND,
    Command,
    Denial,
    DisputeStatus,
    PaymentEvent,
    PaymentStatus,
    RefundEvent,
    RefundStatus,
    move,
)
from booking_payments.domain.money import Money, total
from booking_payments.domain.refunds import (
    Deferral,
    GivenBack,
    QuoteReason,
    Refundable,
    RefundOnCancel,
    RefundPolicy,
    RefundReason,
    fee_by_refunds,
    fee_within,
    not_negative,
)
from booking_payments.domain.reports import MethodDetails
from booking_payments.domain.texts import rfc3339, rfc3339_or_none


def is_template(payment_method_id: str) -> bool:
    """Whether a method is named by one of the gateway's test ids, such as ``pm_card_visa``: it makes a new method, with
    an id of its own (``pm_1N...``), whenever such an id is used."""
    return payment_method_id.count("_") > 1


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

    ``payment_method_id`` is the method as it was named to us, ``method_seen`` as the gateway names it: it may answer
    with a copy that has another id. None until it has named it.
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

    def names(self, payment_method_id: str) -> bool:
        """Whether the attempt was made with the method of this id, in either way of naming it."""
        return payment_method_id in (self.payment_method_id, self.method_seen)

    def may_be_of(self, payment_method_id: str | None) -> bool:
        """Whether what the gateway says of the method that it calls so may be about this attempt.

        While the gateway has not named the attempt's method, one that was named by a template may be any.
        """
        if payment_method_id is None or self.names(payment_method_id):
            return True
        return self.method_seen is None and (self.payment_method_id is None or is_template(self.payment_method_id))


@frozen(kw_only=True)
class Refund:
    """Money on its way back, or come back.

    Attributes:
        amount: what goes back to the customer.
        fee_refunded: the part of the fee that is given back with it.
        idempotency_key: the key of the last sending; None for a refund made in the gateway's dashboard.
        gateway_refund_id: None until the gateway has answered.
        promised: by how much its request raised what the customer was promised; ``promised_in_all`` is that after it.
        requested_by: the subject of the caller who asked for it; None for refunds that followed from something else.
        requested_amount: what the caller named; None for all that could come back.
        acknowledged: whether its caller was given the outcome. An equal request of the same caller is a repetition
            while it was not.
        again: an earlier sending of it was given up, under another key.
        cancels_booking: the customer asked for it and has everything back with it, so that the booking is canceled.
    """

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
    promised: GivenBack | None = None
    promised_in_all: GivenBack | None = None
    requested_by: str | None = None
    requested_amount: Money | None = None
    requested_at: datetime | None = None
    acknowledged: bool = True
    again: bool = False
    cancels_booking: bool = False


@frozen(kw_only=True)
class DeferredRefund:
    """A promised refund that cannot be sent yet. Fields as in ``Refund``; ``why`` is the obstacle.

    ``requested_by`` is None once the caller who asked for it knows that it waits. ``again``: a sending of it was given
    up.
    """

    id: str
    amount: Money
    fee_refunded: Money
    reason: RefundReason
    note: str | None
    why: Deferral
    created_at: datetime
    requested_by: str | None = None
    requested_amount: Money | None = None
    again: bool = False
    cancels_booking: bool = False

    @property
    def given(self) -> GivenBack:
        """What it gives back when it is sent."""
        return GivenBack(amount=self.amount, fee=self.fee_refunded)

    @property
    def status(self) -> RefundStatus:
        """To its caller a refund that waits is pending."""
        return RefundStatus.PENDING

    @property
    def gateway_refund_id(self) -> str | None:
        """None: the gateway does not know of it yet."""
        return None

    @property
    def failure_reason(self) -> str | None:
        """None: it was not tried yet, or never reached the gateway."""
        return None


@frozen(kw_only=True)
class Dispute:
    """A claim of the customer's bank.

    Attributes:
        amount: the disputed amount, in the payment's currency.
        withdrawn: what the dispute has taken from our balance and not given back.
        evidence_due_by: until when it, or its appeal, may be answered; None when the gateway names no deadline.
        charge_refundable: whether the gateway takes a refund of the charge now; None when it does not say.
        contradictory: its last move was impossible, so the disputed amount counts as claimed until it moves on.
    """

    id: str
    status: DisputeStatus
    reason: str
    amount: Money
    withdrawn: Money
    evidence_due_by: datetime | None
    opened_at: datetime
    charge_refundable: bool | None = None
    contradictory: bool = False

    @property
    def is_open(self) -> bool:
        """Whether its end is still to come, be it the bank's decision or the return of what was won."""
        undecided = self.contradictory and self.withdrawn < self.amount
        return self.status.is_open or undecided or (self.status is DisputeStatus.WON and bool(self.withdrawn))

    @property
    def held(self) -> Money:
        """What no refund may go out for: the larger of what was withdrawn and what an open chargeback claims."""
        claims = self.status.is_open_chargeback or self.contradictory
        return max(self.withdrawn, self.amount) if claims else self.withdrawn

    @property
    def taken(self) -> Money:
        """What the customer's bank has taken back for good."""
        return self.withdrawn if self.status.ended_against_us else Money.zero(self.withdrawn.currency)

    @property
    def blocks_refunds(self) -> bool:
        """Whether the gateway takes no refund of the charge because of this dispute."""
        if self.charge_refundable is None:
            return self.status.is_open_chargeback or self.contradictory
        return not self.charge_refundable

    def to_dict(self) -> dict[str, Any]:
        """The dispute as the HTTP API shows it."""
        return {
            "dispute_id": self.id,
            "status": self.status.value,
            "reason": self.reason,
            "amount": self.amount.major(),
            "withdrawn_amount": self.withdrawn.major(),
            "is_inquiry": self.status.is_inquiry,
            "opened_at": rfc3339(self.opened_at),
            "evidence_due_by": rfc3339_or_none(self.evidence_due_by),
        }


@frozen(kw_only=True)
class Operation:
    """The one call to the gateway that is in flight: what, with which key, since when, and whether it went silent.

    ``stored_at``: when we heard that the gateway repeats an error of its own for this key. ``walks`` complete walks
    through its lists were counted that did not find what the call was to make; the last one began at ``walked_at``.
    """

    idempotency_key: str
    purpose: ev.Purpose
    instruction: Instruction
    intended_at: datetime
    unknown: bool = False
    refund_on_cancel: RefundOnCancel | None = None
    replacement: Replacement | None = None
    stored_at: datetime | None = None
    walks: int = 0
    walked_at: datetime | None = None

    @property
    def stored_error(self) -> bool:
        """Whether the gateway repeats an error of its own for this key."""
        return self.stored_at is not None


@frozen(kw_only=True)
class LostCall:
    """A call that was given up, and that may still turn out to have made an intent or a refund.

    ``sent_at``: when it was first sent, at the earliest; ``key_from``: when the gateway first had its key, at the
    latest. They differ where a process died before it sent anything. ``refund_id`` and ``amount`` are those of a
    refund, None for an intent. ``named``: the refund names its idempotency key at the gateway, since it is not the
    first sending of it.
    """

    idempotency_key: str
    sent_at: datetime
    key_from: datetime
    refund_id: str | None = None
    amount: Money | None = None
    named: bool = False


@frozen(kw_only=True)
class Payment:
    """The state of a payment after ``version`` facts.

    ``late`` marks money that came for a closed booking; ``drifts`` are the contradictions found, for a person.
    ``promised`` is what the customer was promised to have back in all, by refunds or by their bank. ``beside`` is the
    part of it that the bank had taken already when a refund was requested on top: should the bank give that back to us,
    it is not owed. ``deferred`` are the promised refunds that could not be sent yet, ``releases`` the refunds at the
    gateway that released held money.
    ``return_url`` is the newest that was named: where methods that redirect come back to. ``takes_redirects``: the
    intent was made with one, without which it takes no such methods.
    ``attached`` is the method, as it was named to us, that the intent was given without being charged yet. ``burnt``
    are the methods that were never to be charged again in earlier payments of the booking.
    ``client`` is what the front end carries the customer's action out with, None for a redirect.
    ``gateway`` is the name of the gateway that the payment belongs to for good.
    ``amount_step``: at the gateway all its amounts are multiples of so many minor units. ``method`` is what was paid
    with, ``capture_before`` until when a hold of it could be captured. ``lost`` are the calls that were given up and
    are watched, since what they were to make may still turn up.
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
    gateway: str
    amount_step: int = 1
    intent_id: str | None = None
    attempts: tuple[Attempt, ...] = ()
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    operation: Operation | None = None
    late: bool = False
    drifts: tuple[ev.DriftFound, ...] = ()
    promised: GivenBack = field(default=Factory(lambda self: GivenBack.zero(self.captured), takes_self=True))
    beside: Money = field(default=Factory(lambda self: Money.zero(self.captured.currency), takes_self=True))
    deferred: tuple[DeferredRefund, ...] = ()
    releases: tuple[ev.AuthorizationReleased, ...] = ()
    method: MethodDetails | None = None
    capture_before: datetime | None = None
    lost: tuple[LostCall, ...] = ()
    # Earlier releases kept it in the journal alone: a snapshot of theirs lacks it, and tells of the same payment.
    return_url: str | None = field(default=None, eq=False)
    takes_redirects: bool = field(default=False, eq=False)
    client: Client | None = None
    attached: str | None = None
    burnt: tuple[ev.BurntMethod, ...] = ()

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
        """True when nothing is under way any more: closed, with no operation, refund, debt or dispute that may move,
        and no lost call that is watched."""
        moving = bool(self.refund_pending or self.lost) or any(dispute.is_open for dispute in self.disputes)
        return not (self.status.is_open or self.operation or moving or self.owed.amount)

    @property
    def attempts_made(self) -> int:
        """Attempts that got a verdict of the gateway. Unknown outcomes and our own mistakes do not count."""
        return sum(attempt.has_verdict for attempt in self.attempts)

    @property
    def attempts_left(self) -> int:
        return max(self.max_attempts - self.attempts_made, 0)

    @property
    def running_attempt(self) -> Attempt | None:
        """The latest attempt that has no verdict yet."""
        return next((attempt for attempt in reversed(self.attempts) if attempt.is_running), None)

    def is_in_flight(self, attempt: Attempt) -> bool:
        """Whether the call that makes this attempt is in flight."""
        key = self.operation.idempotency_key if self.operation else None
        return key is not None and attempt.idempotency_key == key

    @property
    def last_decline(self) -> Decline | None:
        """Why the last attempt was refused; None where no attempt was made, or something else has come of the payment
        since: a later attempt, another method, or a success of the attempt before, whose answer was late."""
        latest = self.attempts[-1] if self.attempts else None
        paid = any(attempt.outcome is AttemptOutcome.DONE for attempt in self.attempts)
        shown = self.status in _AFTER_REFUSAL and not paid
        return latest.decline if latest and shown else None

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
    def has_open_dispute(self) -> bool:
        """True while the end of any dispute is still to come."""
        return any(dispute.is_open for dispute in self.disputes)

    @property
    def withdrawn(self) -> Money:
        """What all disputes have taken from our balance and not given back."""
        return total((dispute.withdrawn for dispute in self.disputes), self.amount.currency)

    @property
    def held_by_disputes(self) -> Money:
        """What no refund may go out for, because disputes have withdrawn it or claim it."""
        return total((dispute.held for dispute in self.disputes), self.amount.currency)

    @property
    def taken_by_disputes(self) -> Money:
        """What the customer's bank has taken back for good."""
        return total((dispute.taken for dispute in self.disputes), self.amount.currency)

    @property
    def dispute(self) -> Dispute | None:
        """The dispute that needs attention: an open one before a settled one, the earliest deadline first; of settled
        ones the newest."""
        if not self.disputes:
            return None
        still_open = [dispute for dispute in self.disputes if dispute.is_open]
        if still_open:
            return min(
                still_open, key=lambda each: (each.evidence_due_by is None, each.evidence_due_by or each.opened_at)
            )
        return max(self.disputes, key=lambda each: each.opened_at)

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
    def owed(self) -> GivenBack:
        """What was promised and has not gone back: promised - refunded - withdrawn by disputes that ended against us.

        What an open dispute holds stays owed until its end decides who pays it.
        """
        given = self.given_back
        bank = max(self.taken_by_disputes, self.beside)
        amount = not_negative(self.promised.amount - given.amount - bank)
        fee = not_negative(fee_by_refunds(self.promised, bank, self.breakdown) - given.fee)
        return GivenBack(amount=amount, fee=fee_within(fee, amount, self.breakdown.payer))

    @property
    def owed_waiting(self) -> Money:
        """The part of ``owed`` that nobody has to act on: the system sends it when an open dispute has ended, or the
        gateway answers again."""
        deferred = self._waiting.amount
        # With no dispute open and none that blocks refunds the next look sends it, whatever it was deferred for.
        blocked = any(dispute.blocks_refunds for dispute in self.disputes)
        sent_later = self.has_open_dispute or not blocked
        waiting = deferred if sent_later else Money.zero(deferred.currency)
        held = self.held_by_disputes - self.taken_by_disputes
        return min(self.owed.amount, waiting + min(self.owed.amount - deferred, held))

    @property
    def _waiting(self) -> GivenBack:
        """Deferred refunds, as far as they are still owed: what a dispute took since they were promised is not."""
        deferred = self.deferred_in_all
        taken_since = not_negative(self.taken_by_disputes - self.beside)
        amount = min(not_negative(deferred.amount - taken_since), self.owed.amount)
        return deferred.part(amount)

    @property
    def deferred_in_all(self) -> GivenBack:
        """What deferred refunds would give back if no dispute had taken anything.

        A refund that somebody made in the gateway's dashboard meanwhile has paid a part of them.
        """
        deferred = sum((each.given for each in self.deferred), GivenBack.zero(self.amount))
        unpaid = not_negative(self.promised.amount - self.beside - self.given_back.amount)
        return deferred if deferred.amount <= unpaid else deferred.part(unpaid)

    @property
    def refundable(self) -> Refundable:
        """All that decides about a refund of this payment."""
        return Refundable(
            breakdown=self.breakdown,
            given=self.given_back,
            deferred=self._waiting,
            promised=self.promised,
            taken=self.taken_by_disputes,
            beside=self.beside,
            held=self.held_by_disputes,
            policy=self.refund_policy,
            event_starts_at=self.event_starts_at,
            blocked=any(dispute.blocks_refunds for dispute in self.disputes),
            inquiry=any(dispute.status.is_open_inquiry for dispute in self.disputes),
            denied=_DENIED.get(COMMANDS[self.status][Command.REFUND]),
            late=self.late,
            amount_step=self.amount_step,
        )

    def to_dict(
        self,
        now: datetime,
        *,
        client_secret: str | None = None,
        next_action: Mapping[str, object] | None = None,
        operator: bool = False,
    ) -> dict[str, Any]:
        """The payment as the HTTP API shows it.

        Every field is named here, so that nothing else gets out.

        Args:
            now: the time by which it is decided how much can still be refunded.
            client_secret: shown while the customer has to act; a payment does not hold its own.
            next_action: what the customer's browser does next; shown while the status is ``requires_action``.
            operator: include the decline and refund reasons that are hidden from customers.
        """
        refused = bool(self.attempts) and self.attempts[-1].outcome is AttemptOutcome.REFUSED
        decline = self.last_decline if refused else None
        if decline and not operator:
            decline = decline.for_customer()
        awaits_customer = self.status.is_open and self.status.awaits_customer
        requires_action = self.status is PaymentStatus.REQUIRES_ACTION
        return {
            "success": self.status not in (PaymentStatus.FAILED, PaymentStatus.CANCELED),
            "booking_id": self.booking_id,
            "payment_id": self.id,
            "payment_intent_id": self.intent_id,
            "gateway": self.gateway,
            "client_secret": client_secret if awaits_customer else None,
            "status": self.status.value,
            "requires_action": requires_action,
            "next_action": dict(next_action) if requires_action and next_action else None,
            "outcome_unknown": self.operation is not None and self.operation.unknown,
            "amount": self.amount.major(),
            "currency": self.amount.currency.code,
            "amount_received": self.captured.major(),
            "fee": self.breakdown.to_dict(),
            "refunded_amount": self.refunded.major(),
            "refund_pending_amount": self.refund_pending.major(),
            "refund_owed": self.owed.amount.major(),
            "refund_waiting": self.owed_waiting.major(),
            "withdrawn_amount": self.withdrawn.major(),
            "refunds": [self.refund_to_dict(each, now, operator=operator) for each in self.refunds],
            "dispute": self.dispute.to_dict() if self.dispute else None,
            "disputes": [each.to_dict() for each in self.disputes],
            "capture_before": rfc3339_or_none(self.captured_by),
            "method": self.method.to_dict() if self.method else None,
            "attempts_made": self.attempts_made,
            "attempts_left": self.attempts_left,
            "error": decline.message if decline else None,
            "error_code": decline.code if decline else None,
            "decline_code": decline.decline_code if decline else None,
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(self.updated_at),
        }

    def refund_to_dict(
        self, refund: Refund | DeferredRefund, now: datetime, *, operator: bool = False
    ) -> dict[str, Any]:
        """A refund of this payment as the HTTP API shows it, with the amount that can still be refunded at ``now``.

        Only an ``operator`` sees that a refund was made because of fraud.
        """
        reason = refund.reason.value if isinstance(refund.reason, RefundReason) else refund.reason
        hidden = reason == RefundReason.FRAUDULENT.value and not operator
        return {
            "success": not refund.status.is_lost,
            "refund_id": refund.id,
            "gateway_refund_id": refund.gateway_refund_id,
            "status": refund.status.value,
            "amount": refund.amount.major(),
            "currency": refund.amount.currency.code,
            "reason": None if hidden else reason,
            "refunded_amount": self.refunded.major(),
            "remaining_refundable": self.refundable.remaining(now).major(),
            "deferred": isinstance(refund, DeferredRefund),
            "refund_owed": self.owed.amount.major(),
        }

    @property
    def lost_intent(self) -> LostCall | None:
        """The lost call that was to make the payment's intent."""
        return next((each for each in self.lost if each.refund_id is None), None)

    def refund(self, refund_id: str) -> Refund | None:
        """The refund with our id or the gateway's."""
        found = [r for r in self.refunds if refund_id in (r.id, r.gateway_refund_id)]
        return found[0] if found else None

    def deferred_refund(self, refund_id: str) -> DeferredRefund | None:
        """The deferred refund with our id."""
        found = [each for each in self.deferred if each.id == refund_id]
        return found[0] if found else None

    def dispute_by_id(self, dispute_id: str) -> Dispute | None:
        found = [dispute for dispute in self.disputes if dispute.id == dispute_id]
        return found[0] if found else None


_AFTER_REFUSAL: Final = (PaymentStatus.REQUIRES_PAYMENT_METHOD, PaymentStatus.FAILED, PaymentStatus.CANCELED)
"""The states in which the last refusal may be the last word."""


_DENIED: Final = {
    None: None,
    Denial.NOT_PAID: QuoteReason.NOT_PAID,
    Denial.NOT_CAPTURED: QuoteReason.NOT_CAPTURED,
}
"""The reasons of the command table as those of a quote."""


def payment_of_booking(payments: Sequence[Payment]) -> Payment | None:
    """The payment that commands on a booking act on: the one that holds the booking, or else the newest.

    Args:
        payments: all payments of one booking, oldest first.

    Returns None when there is none.
    """
    holding = [payment for payment in payments if payment.holds_booking]
    ordered = holding or list(payments)
    return ordered[-1] if ordered else None


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


def applied(payment: Payment, fact: ev.Fact, at: datetime) -> Payment:
    """``payment`` as it would be after ``fact``, for decisions that build on one another; its version is unchanged."""
    return attrs.evolve(payment, **_FOLDS[type(fact)](payment, fact, at))


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
        gateway=fact.gateway,
        amount_step=fact.amount_step,
        burnt=fact.burnt,
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
        refund_on_cancel=fact.refund_on_cancel,
        replacement=fact.replacement,
    )
    return {"operation": operation, **_comes_back(fact.instruction)}


def _comes_back(instruction: Instruction) -> Changes:
    if isinstance(instruction, CreateIntent):
        return {"return_url": instruction.return_url, "takes_redirects": instruction.return_url is not None}
    named = instruction.return_url if isinstance(instruction, ConfirmIntent) else None
    return {"return_url": named} if named is not None else {}


@_folds(ev.ReturnUrlChosen)
def _return_url_chosen(payment: Payment, fact: ev.ReturnUrlChosen, at: datetime) -> Changes:
    return {"return_url": fact.return_url}


@_folds(ev.OutcomeLeftUnknown)
def _outcome_left_unknown(payment: Payment, fact: ev.OutcomeLeftUnknown, at: datetime) -> Changes:
    operation = payment.operation
    if operation is None or operation.idempotency_key != fact.idempotency_key:
        return {}
    stored_at = operation.stored_at or (at if fact.stored_error else None)
    unknown = {"operation": attrs.evolve(operation, unknown=True, stored_at=stored_at)}
    running = _running_under(payment, fact.idempotency_key)
    return unknown | _attempt(payment, running.number, outcome=AttemptOutcome.UNKNOWN) if running else unknown


def _running_under(payment: Payment, idempotency_key: str) -> Attempt | None:
    found = [each for each in payment.attempts if each.is_running and each.idempotency_key == idempotency_key]
    return found[0] if found else None


@_folds(ev.CallNotFound)
def _call_not_found(payment: Payment, fact: ev.CallNotFound, at: datetime) -> Changes:
    operation = payment.operation
    if operation is None or operation.idempotency_key != fact.idempotency_key:
        return {}
    return {"operation": attrs.evolve(operation, walks=operation.walks + 1, walked_at=fact.begun_at)}


@_folds(ev.CallGivenUp)
def _call_given_up(payment: Payment, fact: ev.CallGivenUp, at: datetime) -> Changes:
    operation = payment.operation
    if operation is None or operation.idempotency_key != fact.idempotency_key:
        return {}
    key_from = operation.stored_at or at
    lost = LostCall(idempotency_key=fact.idempotency_key, sent_at=operation.intended_at, key_from=key_from)
    if isinstance(operation.instruction, CreateRefund):
        refund, named = operation.instruction, "idempotency_key" in operation.instruction.metadata
        lost = attrs.evolve(lost, refund_id=refund.refund_id, amount=refund.amount, named=named)
    return {"lost": (*payment.lost, lost)}


@_folds(ev.LostCallEnded)
def _lost_call_ended(payment: Payment, fact: ev.LostCallEnded, at: datetime) -> Changes:
    return {"lost": tuple(each for each in payment.lost if each.idempotency_key != fact.idempotency_key)}


@_folds(ev.OperationSettled)
def _operation_settled(payment: Payment, fact: ev.OperationSettled, at: datetime) -> Changes:
    operation = payment.operation
    if operation is None or operation.idempotency_key != fact.idempotency_key:
        return {}
    over: Changes = {"operation": None, **_answered(payment, fact), **_given_method(operation, fact)}
    running = _running_under(payment, fact.idempotency_key)
    return over | _attempt(payment, running.number, outcome=AttemptOutcome.OPEN) if running else over


def _given_method(operation: Operation, fact: ev.OperationSettled) -> Changes:
    """The method that the intent has been given by an operation that does not charge it."""
    match operation.instruction:
        case UpdateIntent(payment_method_id=given) | CreateIntent(payment_method_id=given, confirm=False):
            return {} if fact.refusal else {"attached": given}
    return {}


def _answered(payment: Payment, fact: ev.OperationSettled) -> Changes:
    asked = [r for r in payment.refunds if r.idempotency_key == fact.idempotency_key and r.requested_by is not None]
    return _refund(payment, asked[0].id, acknowledged=fact.answered) if asked else {}


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
    return {**_moved(payment, PaymentEvent.REFUSED), "attached": None} | _attempt(
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


@_folds(ev.ClientNamed)
def _client_named(payment: Payment, fact: ev.ClientNamed, at: datetime) -> Changes:
    return {"client": fact.client}


@_folds(ev.MethodRequired)
def _method_required(payment: Payment, fact: ev.MethodRequired, at: datetime) -> Changes:
    return {**_moved(payment, PaymentEvent.METHOD_REQUIRED), "attached": None}


@_folds(ev.MethodAttached)
def _method_attached(payment: Payment, fact: ev.MethodAttached, at: datetime) -> Changes:
    return _moved(payment, PaymentEvent.METHOD_ATTACHED)


@_folds(ev.ActionRequired)
def _action_required(payment: Payment, fact: ev.ActionRequired, at: datetime) -> Changes:
    return _moved(payment, PaymentEvent.ACTION_REQUIRED) | _method_named(payment, fact)


@_folds(ev.ProcessingStarted)
def _processing_started(payment: Payment, fact: ev.ProcessingStarted, at: datetime) -> Changes:
    return _moved(payment, PaymentEvent.PROCESSING) | _method_named(payment, fact)


def _method_named(payment: Payment, fact: ev.ActionRequired | ev.ProcessingStarted) -> Changes:
    return _attempt(payment, fact.attempt, **_seen(fact.payment_method_id))


def _seen(payment_method_id: str | None) -> Changes:
    """The method of an attempt as the gateway names it, where it does."""
    return {"method_seen": payment_method_id} if payment_method_id is not None else {}


@_folds(ev.PaymentAuthorized)
def _payment_authorized(payment: Payment, fact: ev.PaymentAuthorized, at: datetime) -> Changes:
    seen = _seen(fact.payment_method_id)
    attempt = _attempt(payment, fact.attempt, outcome=AttemptOutcome.DONE, charge_id=fact.charge_id, **seen)
    return {**_moved(payment, PaymentEvent.AUTHORIZED), **attempt, "authorized": fact.amount}


@_folds(ev.PaymentSucceeded)
def _payment_succeeded(payment: Payment, fact: ev.PaymentSucceeded, at: datetime) -> Changes:
    seen = _seen(fact.payment_method_id)
    return {
        **_moved(payment, PaymentEvent.SUCCEEDED),
        **_attempt(payment, fact.attempt, outcome=AttemptOutcome.DONE, charge_id=fact.charge_id, **seen),
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
        promised=fact.promised,
        promised_in_all=_raised(payment, fact)["promised"],
        requested_by=fact.requested_by,
        requested_amount=fact.requested_amount,
        requested_at=fact.requested_at,
        acknowledged=fact.requested_by is None,
        again=fact.again,
        cancels_booking=fact.cancels_booking,
    )
    return {
        "refunds": (*payment.refunds, refund),
        "deferred": _without(payment, fact.refund_id),
        **_raised(payment, fact),
    }


@_folds(ev.RefundDeferred)
def _refund_deferred(payment: Payment, fact: ev.RefundDeferred, at: datetime) -> Changes:
    given_up = any(lost.refund_id == fact.refund_id for lost in payment.lost)
    again = given_up or any(each.again for each in payment.refunds if each.id == fact.refund_id)
    deferred = DeferredRefund(
        id=fact.refund_id,
        amount=fact.amount,
        fee_refunded=fact.fee_refunded,
        reason=fact.reason,
        note=fact.note,
        why=fact.why,
        created_at=at,
        requested_by=fact.requested_by,
        requested_amount=fact.requested_amount,
        again=again,
        cancels_booking=fact.cancels_booking,
    )
    return {
        # One that was requested and never sent is no refund any more; it will be one again when it is sent.
        "refunds": tuple(refund for refund in payment.refunds if refund.id != fact.refund_id),
        "deferred": (*_without(payment, fact.refund_id), deferred),
        **_raised(payment, fact),
    }


def _raised(payment: Payment, fact: ev.RefundRequested | ev.RefundDeferred) -> Changes:
    promised = payment.promised if fact.promised is None else payment.promised + fact.promised
    return {"promised": promised, "beside": payment.beside if fact.beside is None else fact.beside}


def _without(payment: Payment, refund_id: str) -> tuple[DeferredRefund, ...]:
    return tuple(each for each in payment.deferred if each.id != refund_id)


@_folds(ev.DeferredRefundDropped)
def _deferred_refund_dropped(payment: Payment, fact: ev.DeferredRefundDropped, at: datetime) -> Changes:
    return {"deferred": _without(payment, fact.refund_id)}


@_folds(ev.PromiseConfirmed)
def _promise_confirmed(payment: Payment, fact: ev.PromiseConfirmed, at: datetime) -> Changes:
    return _refund(payment, fact.refund_id, promised=None)


@_folds(ev.PromiseWithdrawn)
def _promise_withdrawn(payment: Payment, fact: ev.PromiseWithdrawn, at: datetime) -> Changes:
    return {"promised": payment.promised - fact.promised} | _refund(payment, fact.refund_id, cancels_booking=False)


@_folds(ev.DebtSettled)
def _debt_settled(payment: Payment, fact: ev.DebtSettled, at: datetime) -> Changes:
    """What failed is settled before what waits; of that the last is settled first."""
    promised = payment.promised - fact.settled
    most = not_negative(promised.amount - payment.beside - payment.given_back.amount)
    deferred: list[DeferredRefund] = []
    for each in payment.deferred:
        left = each.given.part(min(each.amount, most))
        most = most - left.amount
        if left.amount:
            deferred.append(attrs.evolve(each, amount=left.amount, fee_refunded=left.fee))
    return {"promised": promised, "deferred": tuple(deferred)}


@_folds(ev.RefundAcknowledged)
def _refund_acknowledged(payment: Payment, fact: ev.RefundAcknowledged, at: datetime) -> Changes:
    deferred = tuple(
        attrs.evolve(each, requested_by=None) if each.id == fact.refund_id else each for each in payment.deferred
    )
    return {**_refund(payment, fact.refund_id, acknowledged=True), "deferred": deferred}


@_folds(ev.AuthorizationReleased)
def _authorization_released(payment: Payment, fact: ev.AuthorizationReleased, at: datetime) -> Changes:
    return {"releases": (*payment.releases, fact)}


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
        charge_refundable=fact.charge_refundable,
    )
    return {"disputes": (*payment.disputes, dispute)}


def _dispute(payment: Payment, dispute_id: str, **changes: Any) -> Changes:
    disputes = tuple(attrs.evolve(d, **changes) if d.id == dispute_id else d for d in payment.disputes)
    return {"disputes": disputes}


@_folds(ev.DisputeMoved)
def _dispute_moved(payment: Payment, fact: ev.DisputeMoved, at: datetime) -> Changes:
    return _dispute(
        payment,
        fact.dispute_id,
        status=fact.status,
        evidence_due_by=fact.evidence_due_by,
        charge_refundable=fact.charge_refundable,
        contradictory=fact.contradictory,
    )


@_folds(ev.DisputeChanged)
def _dispute_changed(payment: Payment, fact: ev.DisputeChanged, at: datetime) -> Changes:
    return _dispute(
        payment,
        fact.dispute_id,
        amount=fact.amount,
        evidence_due_by=fact.evidence_due_by,
        charge_refundable=fact.charge_refundable,
    )


@_folds(ev.DisputeFundsMoved)
def _dispute_funds_moved(payment: Payment, fact: ev.DisputeFundsMoved, at: datetime) -> Changes:
    return _dispute(payment, fact.dispute_id, withdrawn=fact.withdrawn)


def _unchanged(payment: Payment, fact: object, at: datetime) -> Changes:
    """Facts about the booking or our own work: part of the story, not of the payment's state."""
    return {}


@_folds(ev.BookingReleased)
def _booking_released(payment: Payment, fact: ev.BookingReleased, at: datetime) -> Changes:
    return {"promised": payment.promised + fact.promised} if fact.promised else {}


for _kind in (
    ev.BookingConfirmed,
    ev.LatePaymentDecided,
    ev.NewsDeferred,
    ev.PaymentAdopted,
):
    _FOLDS[_kind] = _unchanged


@_folds(ev.DriftFound)
def _drift_found(payment: Payment, fact: ev.DriftFound, at: datetime) -> Changes:
    return {"drifts": (*payment.drifts, fact)}
