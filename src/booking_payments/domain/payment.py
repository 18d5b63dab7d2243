"""Payment: the state that results from folding its journal.

``evolve`` applies one recorded event to the frozen state and returns the next one. It decides nothing and performs no
I/O. The events are decided in ``decisions``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from enum import Enum
from functools import cached_property
from types import MemberDescriptorType
from typing import Any, Final, TypeVar

import attrs
from attrs import Factory, field, frozen

from booking_payments.domain import events as ev
from booking_payments.domain import metadata_keys
from booking_payments.domain.amendments import Amendment
from booking_payments.domain.booking import BookingStatus, ItemCount
from booking_payments.domain.changing import changed
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
from booking_payments.domain.vouchers import longest_voucher


def is_template(payment_method_id: str) -> bool:
    """True for one of the gateway's test ids, such as ``pm_card_visa``.

    Each use of a test id creates a new payment method with another id (``pm_1N...``).
    """
    return payment_method_id.count("_") > 1


class AttemptOutcome(Enum):
    """Outcome of an attempt.

    - ``open``: no verdict yet.
    - ``done``: the charge was authorized or collected.
    - ``refused``: declined, or the authentication failed.
    - ``unknown``: the call's outcome is unknown and is being resolved.
    - ``dropped``: ended without a verdict.
    """

    OPEN = "open"
    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    DROPPED = "dropped"


@frozen(kw_only=True)
class Attempt:
    """One attempt to charge.

    Attributes:
        number: counts from 1 within the payment.
        origin: who made the attempt.
        idempotency_key: None for an attempt of the customer in the browser.
        payment_method_id: the method id as submitted; None if the request named none.
        method_seen: the method id as the gateway reports it, which may be a copy with another id; None until reported.
        decline: the verdict of a refused attempt.
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
        """True when the gateway accepted or refused the charge."""
        return self.outcome in (AttemptOutcome.DONE, AttemptOutcome.REFUSED)

    @property
    def is_running(self) -> bool:
        """True until the attempt has a verdict or was dropped."""
        return self.outcome in (AttemptOutcome.OPEN, AttemptOutcome.UNKNOWN)

    def names(self, payment_method_id: str) -> bool:
        """True when this is the attempt's method, as submitted or as reported."""
        return payment_method_id in (self.payment_method_id, self.method_seen)

    def may_be_of(self, payment_method_id: str | None) -> bool:
        """True when a report with this method id may be about this attempt.

        Until the gateway has reported the attempt's method, a method submitted as a test id fits any id.
        """
        if payment_method_id is None or self.names(payment_method_id):
            return True
        return self.method_seen is None and (self.payment_method_id is None or is_template(self.payment_method_id))


@frozen(kw_only=True)
class Refund:
    """A refund that was sent, or is about to be.

    Attributes:
        amount: the amount returned to the customer.
        fee_refunded: the part of the fee that is returned with it.
        idempotency_key: the key of the last call; None for a refund made in the gateway's dashboard.
        gateway_refund_id: None until the gateway has responded.
        promised: the increase of the promise by its request; None if it had none.
        promised_in_all: the total promise after its request.
        requested_by: the subject of the caller; None for a refund that follows from another operation.
        requested_amount: the amount in the request; None for everything refundable.
        requested_at: when an equal request that was never sent was first made; None: at ``created_at``.
        acknowledged: the caller received the outcome. Until then an equal request of the same caller is a repetition.
        again: an earlier call for it was abandoned, under another key.
        cancels_booking: the customer requested it and it completes a full refund, so that the booking is canceled.
        requested_items: the units of items in the request; empty for a request without items.
        change: the change of the booking that is still to be made by a refund of items; None when there is none any
            more.
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
    requested_items: tuple[ItemCount, ...] = ()
    change: ev.ItemsChange | None = None


@frozen(kw_only=True)
class DeferredRefund:
    """A promised refund that cannot be sent yet. Fields as in ``Refund``, and:

    Attributes:
        why: the obstacle.
        requested_by: None once the caller has received the response that the refund is deferred.
        again: an earlier call for it was abandoned.
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
    requested_items: tuple[ItemCount, ...] = ()
    change: ev.ItemsChange | None = None

    @property
    def given(self) -> GivenBack:
        """The amount and the fee that it returns when it is sent."""
        return GivenBack(amount=self.amount, fee=self.fee_refunded)

    @property
    def status(self) -> RefundStatus:
        """``pending``: callers see a deferred refund as pending."""
        return RefundStatus.PENDING

    @property
    def gateway_refund_id(self) -> str | None:
        """None: the gateway does not have it yet."""
        return None

    @property
    def failure_reason(self) -> str | None:
        """None: it was not sent, or never reached the gateway."""
        return None


@frozen(kw_only=True)
class Dispute:
    """A dispute of the customer's bank.

    Attributes:
        amount: the disputed amount, in the payment's currency.
        withdrawn: the amount that the dispute has withdrawn from the balance and not returned.
        evidence_due_by: deadline for evidence in the dispute or its appeal; None without one.
        charge_refundable: the gateway accepts a refund of the charge now; None when it does not say.
        contradictory: its last change of status was impossible; the disputed amount counts as claimed until the next
            one.
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
        """True until the bank has decided, and until the withdrawn amount of a won dispute is returned."""
        undecided = self.contradictory and self.withdrawn < self.amount
        return self.status.is_open or undecided or (self.status is DisputeStatus.WON and bool(self.withdrawn))

    @property
    def held(self) -> Money:
        """The amount that must not be refunded: the withdrawn one or, if larger, the claim of an open chargeback."""
        claims = self.status.is_open_chargeback or self.contradictory
        return max(self.withdrawn, self.amount) if claims else self.withdrawn

    @property
    def taken(self) -> Money:
        """The amount that the customer's bank has withdrawn for good."""
        return self.withdrawn if self.status.ended_against_us else Money.zero(self.withdrawn.currency)

    @property
    def blocks_refunds(self) -> bool:
        """True when the gateway accepts no refund of the charge because of this dispute."""
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
    """The gateway call that is in flight; a payment has at most one.

    Attributes:
        intended_at: when the call was recorded, before it was first sent.
        unknown: a response of the gateway is missing or does not show the outcome.
        refund_on_cancel: for a cancellation, the refund to give if the payment turns out to have succeeded.
        replacement: the parameters of the payment that follows once this one is canceled.
        stored_at: when the gateway first answered with an internal error, which it repeats for this key; None without
            one.
        walks: number of complete walks through the gateway's lists that did not find the call's object (see ``lost``).
        walked_at: when the last counted walk began.
        amendment: the booking's new content, which applies once the gateway has confirmed the call.
        amended: the amendment was applied already.
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
    amendment: Amendment | None = None
    amended: bool = False

    @property
    def only_prepares(self) -> bool:
        """True when the call makes an intent that nobody has confirmed: it charges nothing, whatever its outcome."""
        return isinstance(self.instruction, CreateIntent) and not self.instruction.confirm

    @property
    def stored_error(self) -> bool:
        """True when the gateway has stored an internal error under this key and repeats it."""
        return self.stored_at is not None


@frozen(kw_only=True)
class LostCall:
    """An abandoned call that may still have created an intent or a refund.

    Attributes:
        sent_at: the earliest time at which it was sent.
        key_from: the latest time at which the gateway received its key. The two differ when a process died before
            sending.
        refund_id: the refund that it was to create; None for an intent.
        amount: the refund's amount; None for an intent.
        named: the refund's metadata contain its idempotency key, because it is not the first call for this refund.
    """

    idempotency_key: str
    sent_at: datetime
    key_from: datetime
    refund_id: str | None = None
    amount: Money | None = None
    named: bool = False


@frozen(kw_only=True)
class Payment:
    """The state of a payment after ``version`` events.

    Attributes:
        booking_amount: the booking's price, before a fee that the customer pays.
        breakdown: how the charge divides into fee and net; follows the captured amount.
        captured: the collected amount; zero until the payment succeeds.
        authorized: the held amount; zero unless the payment requires capture.
        gateway: the name of the gateway that the payment belongs to; it never changes.
        amount_step: all its amounts at the gateway are multiples of this many minor units.
        operation: the call in flight; None while there is none.
        late: the payment succeeded for a closed booking.
        drifts: contradictions between the gateway and the journal, for an operator.
        promised: the total that the customer was promised back, by refunds or by their bank.
        beside: the part of ``promised`` that the bank had withdrawn before a refund was requested in addition. If the
            bank returns it to the merchant, it is not owed.
        settled: what operators settled of promises without a refund: paid elsewhere, or waived. It is not part of
            ``promised`` any more, and is never refunded.
        deferred: promised refunds that could not be sent yet.
        releases: refunds at the gateway that released held money.
        method: the method that paid; None until reported.
        capture_before: capture deadline of a hold; None if the gateway did not report one.
        receipt_url: the https address of the gateway's receipt for the customer; None without one.
        lost: abandoned calls that are watched, since their objects may still appear.
        return_url: the newest URL for the return from a redirect.
        takes_redirects: the intent was created with a return URL; without one it excludes methods that redirect.
        voucher_lasts_s: seconds for which a voucher of the intent can be paid, at the longest; 0: it offers none.
        client: what carries out the customer's action in the front end; None for a redirect.
        attached: the method attached to the intent without a charge, by the id it was submitted with.
        burnt: methods that the bank has forbidden to charge again in earlier payments of the booking.
        event_starts_at: start of the booked event, as it is now.
        refund_grace_until: until then the customer may have everything back; None without such a time.
        reduced: the part of the charge that the booking no longer costs since it was paid, or whose items were
            refunded.
        reduced_back: the part of ``reduced`` that was given back.
        intent_price: the booking's price for which the intent of a hold was made, if the booking became cheaper since;
            None: ``booking_amount``.
        booking_canceled: the booking was canceled, which decided what goes back.
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
    settled: GivenBack = field(default=Factory(lambda self: GivenBack.zero(self.captured), takes_self=True))
    deferred: tuple[DeferredRefund, ...] = ()
    releases: tuple[ev.AuthorizationReleased, ...] = ()
    method: MethodDetails | None = None
    capture_before: datetime | None = None
    receipt_url: str | None = field(default=None, repr=False)
    lost: tuple[LostCall, ...] = ()
    # Left out of comparisons: snapshots of earlier versions lack both, and describe the same payment.
    return_url: str | None = field(default=None, eq=False)
    takes_redirects: bool = field(default=False, eq=False)
    voucher_lasts_s: int = field(default=0, eq=False)
    client: Client | None = None
    attached: str | None = None
    burnt: tuple[ev.BurntMethod, ...] = ()
    refund_grace_until: datetime | None = None
    reduced: Money = field(default=Factory(lambda self: Money.zero(self.captured.currency), takes_self=True))
    reduced_back: Money = field(default=Factory(lambda self: Money.zero(self.captured.currency), takes_self=True))
    intent_price: Money | None = None
    booking_canceled: bool = False

    @property
    def amount(self) -> Money:
        """The amount charged to the customer; after a partial capture the captured amount."""
        return self.breakdown.gross

    @property
    def asked(self) -> Money:
        """The amount of the intent, before any partial capture."""
        return self.fee_policy.of_booking(self.intent_price or self.booking_amount, self.amount_step).gross

    @property
    def captured_by(self) -> datetime | None:
        """Deadline for the capture of the held money; None while no money is held."""
        return self.capture_before if self.status is PaymentStatus.REQUIRES_CAPTURE else None

    @property
    def holds_booking(self) -> bool:
        """True for the one payment that its booking relies on: it is open, or it succeeded in time."""
        return self.status.is_open or (self.status is PaymentStatus.SUCCEEDED and not self.late)

    @property
    def is_final(self) -> bool:
        """True when nothing about the payment can change by itself.

        It is closed, without an operation, a pending or owed refund, an open dispute, or a watched call.
        """
        moving = bool(self.refund_pending or self.lost) or any(dispute.is_open for dispute in self.disputes)
        return not (self.status.is_open or self.operation or moving or self.owed.amount)

    @property
    def attempts_made(self) -> int:
        """Number of attempts with a verdict.

        Unknown outcomes and requests that the gateway rejected as invalid do not count.
        """
        return sum(attempt.has_verdict for attempt in self.attempts)

    @property
    def attempts_left(self) -> int:
        """Number of further attempts that are allowed."""
        return max(self.max_attempts - self.attempts_made, 0)

    @property
    def running_attempt(self) -> Attempt | None:
        """The latest attempt without a verdict; None without one."""
        return next((attempt for attempt in reversed(self.attempts) if attempt.is_running), None)

    def is_in_flight(self, attempt: Attempt) -> bool:
        """True when the call that makes this attempt is in flight."""
        key = self.operation.idempotency_key if self.operation else None
        return key is not None and attempt.idempotency_key == key

    @property
    def last_decline(self) -> Decline | None:
        """The decline of the last attempt; None when it does not explain the payment's state.

        That is the case when no attempt was made, or when the payment has continued since: a later attempt, another
        method, or a late success of the attempt before.
        """
        latest = self.attempts[-1] if self.attempts else None
        paid = any(attempt.outcome is AttemptOutcome.DONE for attempt in self.attempts)
        shown = self.status in _AFTER_REFUSAL and not paid
        return latest.decline if latest and shown else None

    @cached_property
    def refunded(self) -> Money:
        """Sum of the refunds that succeeded."""
        done = (refund.amount for refund in self.refunds if refund.status is RefundStatus.SUCCEEDED)
        return total(done, self.amount.currency)

    @cached_property
    def refund_pending(self) -> Money:
        """Sum of the refunds that are requested, pending, or waiting for the customer."""
        return total((r.amount for r in self.refunds if r.status.is_pending), self.amount.currency)

    @property
    def has_open_dispute(self) -> bool:
        """True while any dispute is open."""
        return any(dispute.is_open for dispute in self.disputes)

    @cached_property
    def withdrawn(self) -> Money:
        """The amount that all disputes have withdrawn from the balance and not returned."""
        return total((dispute.withdrawn for dispute in self.disputes), self.amount.currency)

    @cached_property
    def held_by_disputes(self) -> Money:
        """The amount that must not be refunded because disputes have withdrawn or claim it."""
        return total((dispute.held for dispute in self.disputes), self.amount.currency)

    @cached_property
    def taken_by_disputes(self) -> Money:
        """The amount that the customer's bank has withdrawn for good."""
        return total((dispute.taken for dispute in self.disputes), self.amount.currency)

    @property
    def dispute(self) -> Dispute | None:
        """The dispute that needs attention; None without disputes.

        It is the open one with the earliest deadline, or else the newest.
        """
        if not self.disputes:
            return None
        still_open = [dispute for dispute in self.disputes if dispute.is_open]
        if still_open:
            return min(
                still_open, key=lambda each: (each.evidence_due_by is None, each.evidence_due_by or each.opened_at)
            )
        return max(self.disputes, key=lambda each: each.opened_at)

    @cached_property
    def fee_returned(self) -> Money:
        """The part of the fee in refunds that succeeded or are pending."""
        counted = (refund.fee_refunded for refund in self.refunds if not refund.status.is_lost)
        return total(counted, self.amount.currency)

    @cached_property
    def given_back(self) -> GivenBack:
        """Amount and fee of the refunds that succeeded or are pending."""
        if not self.refunds:
            return GivenBack.zero(self.amount)
        return GivenBack(amount=self.refunded + self.refund_pending, fee=self.fee_returned)

    @cached_property
    def owed(self) -> GivenBack:
        """The promised amount that has not been returned: promised - refunded - withdrawn for good by disputes.

        An amount held by an open dispute stays owed until the dispute ends.
        """
        if not self.promised.amount:
            return GivenBack.zero(self.amount)
        given = self.given_back
        bank = max(self.taken_by_disputes, self.beside)
        amount = not_negative(self.promised.amount - given.amount - bank)
        fee = not_negative(fee_by_refunds(self.promised, bank, self.breakdown) - given.fee)
        return GivenBack(amount=amount, fee=fee_within(fee, amount, self.breakdown.payer))

    @cached_property
    def owed_waiting(self) -> Money:
        """The part of ``owed`` that needs no operator.

        The system sends it when a dispute has ended or the gateway responds again.
        """
        if not self.owed.amount:
            return Money.zero(self.amount.currency)
        deferred = self._waiting.amount
        # Without an open or blocking dispute the next pass sends it, independent of the reason for its deferral.
        blocked = any(dispute.blocks_refunds for dispute in self.disputes)
        sent_later = self.has_open_dispute or not blocked
        waiting = deferred if sent_later else Money.zero(deferred.currency)
        held = self.held_by_disputes - self.taken_by_disputes
        return min(self.owed.amount, waiting + min(self.owed.amount - deferred, held))

    @cached_property
    def _waiting(self) -> GivenBack:
        """The deferred refunds that are still owed: disputes may have withdrawn a part of them since the promise."""
        if not self.deferred:
            return GivenBack.zero(self.amount)
        deferred = self.deferred_in_all
        taken_since = not_negative(self.taken_by_disputes - self.beside)
        amount = min(not_negative(deferred.amount - taken_since), self.owed.amount)
        return deferred.part(amount)

    @cached_property
    def deferred_in_all(self) -> GivenBack:
        """The deferred refunds, disregarding disputes.

        Refunds made in the gateway's dashboard meanwhile have paid a part of them.
        """
        if not self.deferred:
            return GivenBack.zero(self.amount)
        deferred = sum((each.given for each in self.deferred), GivenBack.zero(self.amount))
        unpaid = not_negative(self.promised.amount - self.beside - self.given_back.amount)
        return deferred if deferred.amount <= unpaid else deferred.part(unpaid)

    @cached_property
    def refundable(self) -> Refundable:
        """The values that decide about a refund of this payment."""
        return Refundable(
            breakdown=self.breakdown,
            given=self.given_back,
            deferred=self._waiting,
            promised=self.promised,
            settled=self.settled,
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
            grace_until=self.refund_grace_until,
            reduced=self.reduced,
            reduced_back=self.reduced_back,
            canceled=self.booking_canceled,
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
            "receipt_url": self.receipt_url if self.captured.minor else None,
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
        """The lost call that was to create the payment's intent; None without one."""
        return next((each for each in self.lost if each.refund_id is None), None)

    def refund(self, refund_id: str) -> Refund | None:
        """Return the refund with this id, ours or the gateway's; None if it is unknown."""
        found = [r for r in self.refunds if refund_id in (r.id, r.gateway_refund_id)]
        return found[0] if found else None

    def deferred_refund(self, refund_id: str) -> DeferredRefund | None:
        """Return the deferred refund with this id; None if it is unknown."""
        found = [each for each in self.deferred if each.id == refund_id]
        return found[0] if found else None

    def dispute_by_id(self, dispute_id: str) -> Dispute | None:
        """Return the dispute with this gateway id; None if it is unknown."""
        found = [dispute for dispute in self.disputes if dispute.id == dispute_id]
        return found[0] if found else None


_AFTER_REFUSAL: Final = (PaymentStatus.REQUIRES_PAYMENT_METHOD, PaymentStatus.FAILED, PaymentStatus.CANCELED)
"""States whose latest cause may be the last refusal."""


_DENIED: Final = {
    None: None,
    Denial.NOT_PAID: QuoteReason.NOT_PAID,
    Denial.NOT_CAPTURED: QuoteReason.NOT_CAPTURED,
}
"""Reasons of the command table as reasons of a quote."""


def payment_of_booking(payments: Sequence[Payment]) -> Payment | None:
    """Return the payment that commands on a booking act on: the one that holds it, or else the newest.

    ``payments`` are all payments of one booking, oldest first. Returns None for no payments.
    """
    holding = [payment for payment in payments if payment.holds_booking]
    ordered = holding or list(payments)
    return ordered[-1] if ordered else None


# --- the fold --------------------------------------------------------------------------------------------------

F = TypeVar("F")
Changes = dict[str, Any]
"""Changed fields of a payment and their new values."""

Fold = Callable[[Payment, Any, datetime], Changes]
_FOLDS: Final[dict[type, Fold]] = {}


def _folds(kind: type[F]) -> Callable[[Callable[[Payment, F, datetime], Changes]], Fold]:
    def register(fold: Callable[[Payment, F, datetime], Changes]) -> Fold:
        _FOLDS[kind] = fold
        return fold

    return register


def evolve(payment: Payment | None, recorded: ev.Recorded) -> Payment:
    """Return the payment after one more recorded event. A journal begins with ``PaymentStarted``.

    Raises ``ValueError`` when the first event is another one.
    """
    event = recorded.event
    if payment is None:
        if not isinstance(event, ev.PaymentStarted):
            raise ValueError("a journal begins with PaymentStarted")
        return _started(event, recorded)
    changes = _FOLDS[type(event)](payment, event, recorded.at)
    after = changed(payment, **changes, version=recorded.sequence, updated_at=recorded.at)
    if not changes:
        _keep_refundable(payment, after)
    return after


def applied(payment: Payment, event: ev.Event, at: datetime) -> Payment:
    """Return ``payment`` as it would be after one more event, with an unchanged version.

    For decisions that build on each other.
    """
    return changed(payment, **_FOLDS[type(event)](payment, event, at))


_REFUNDABLE: Final[MemberDescriptorType] = vars(Payment)["refundable"]
"""Where a payment keeps ``Payment.refundable`` after it was first asked for: it takes longest to compute."""


def _keep_refundable(before: Payment, after: Payment) -> None:
    """Keep it from ``before``, if it was asked for: ``after`` differs in version and time only."""
    with suppress(AttributeError):
        _REFUNDABLE.__set__(after, _REFUNDABLE.__get__(before))


def fold(journal: Iterable[ev.Recorded]) -> Payment:
    """Return the payment that results from a whole journal. Raises ``ValueError`` for an empty one."""
    payment: Payment | None = None
    for recorded in journal:
        payment = evolve(payment, recorded)
    if payment is None:
        raise ValueError("the journal is empty")
    return payment


def _started(event: ev.PaymentStarted, recorded: ev.Recorded) -> Payment:
    status = move(PAYMENT, None, PaymentEvent.STARTED)
    zero = Money.zero(event.breakdown.gross.currency)
    return Payment(
        id=event.payment_id,
        booking_id=event.booking_id,
        booking_reference=event.booking_reference,
        customer_id=event.customer_id,
        status=status or PaymentStatus.REQUIRES_PAYMENT_METHOD,
        booking_amount=event.booking_amount,
        breakdown=event.breakdown,
        fee_policy=event.fee_policy,
        refund_policy=event.refund_policy,
        event_starts_at=event.event_starts_at,
        capture_method=event.capture_method,
        max_attempts=event.max_attempts,
        gateway=event.gateway,
        amount_step=event.amount_step,
        burnt=event.burnt,
        refund_grace_until=event.refund_grace_until,
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
        changed(attempt, **changes) if attempt.number == number else attempt for attempt in payment.attempts
    )
    return {"attempts": attempts}


@_folds(ev.OperationIntended)
def _operation_intended(payment: Payment, event: ev.OperationIntended, at: datetime) -> Changes:
    operation = Operation(
        idempotency_key=event.idempotency_key,
        purpose=event.purpose,
        instruction=event.instruction,
        intended_at=at,
        refund_on_cancel=event.refund_on_cancel,
        replacement=event.replacement,
        amendment=event.amendment,
    )
    return {"operation": operation, **_comes_back(event.instruction)}


def _comes_back(instruction: Instruction) -> Changes:
    if isinstance(instruction, CreateIntent):
        return {
            "return_url": instruction.return_url,
            "takes_redirects": instruction.return_url is not None,
            "voucher_lasts_s": int(longest_voucher(instruction.methods, instruction.amount.currency).total_seconds()),
        }
    named = instruction.return_url if isinstance(instruction, ConfirmIntent) else None
    return {"return_url": named} if named is not None else {}


@_folds(ev.ReturnUrlChosen)
def _return_url_chosen(payment: Payment, event: ev.ReturnUrlChosen, at: datetime) -> Changes:
    return {"return_url": event.return_url}


@_folds(ev.OutcomeLeftUnknown)
def _outcome_left_unknown(payment: Payment, event: ev.OutcomeLeftUnknown, at: datetime) -> Changes:
    operation = payment.operation
    if operation is None or operation.idempotency_key != event.idempotency_key:
        return {}
    stored_at = operation.stored_at or (at if event.stored_error else None)
    unknown = {"operation": attrs.evolve(operation, unknown=True, stored_at=stored_at)}
    running = _running_under(payment, event.idempotency_key)
    return unknown | _attempt(payment, running.number, outcome=AttemptOutcome.UNKNOWN) if running else unknown


def _running_under(payment: Payment, idempotency_key: str) -> Attempt | None:
    found = [each for each in payment.attempts if each.is_running and each.idempotency_key == idempotency_key]
    return found[0] if found else None


@_folds(ev.CallNotFound)
def _call_not_found(payment: Payment, event: ev.CallNotFound, at: datetime) -> Changes:
    operation = payment.operation
    if operation is None or operation.idempotency_key != event.idempotency_key:
        return {}
    return {"operation": attrs.evolve(operation, walks=operation.walks + 1, walked_at=event.begun_at)}


@_folds(ev.CallGivenUp)
def _call_given_up(payment: Payment, event: ev.CallGivenUp, at: datetime) -> Changes:
    operation = payment.operation
    if operation is None or operation.idempotency_key != event.idempotency_key:
        return {}
    key_from = operation.stored_at or at
    lost = LostCall(idempotency_key=event.idempotency_key, sent_at=operation.intended_at, key_from=key_from)
    if isinstance(operation.instruction, CreateRefund):
        refund, named = operation.instruction, metadata_keys.IDEMPOTENCY_KEY in operation.instruction.metadata
        lost = attrs.evolve(lost, refund_id=refund.refund_id, amount=refund.amount, named=named)
    return {"lost": (*payment.lost, lost)}


@_folds(ev.LostCallEnded)
def _lost_call_ended(payment: Payment, event: ev.LostCallEnded, at: datetime) -> Changes:
    return {"lost": tuple(each for each in payment.lost if each.idempotency_key != event.idempotency_key)}


@_folds(ev.OperationSettled)
def _operation_settled(payment: Payment, event: ev.OperationSettled, at: datetime) -> Changes:
    operation = payment.operation
    if operation is None or operation.idempotency_key != event.idempotency_key:
        return {}
    over: Changes = {"operation": None, **_answered(payment, event), **_given_method(operation, event)}
    running = _running_under(payment, event.idempotency_key)
    return over | _attempt(payment, running.number, outcome=AttemptOutcome.OPEN) if running else over


def _given_method(operation: Operation, event: ev.OperationSettled) -> Changes:
    """Return the change of ``attached`` after an operation that attaches a method without charging it."""
    match operation.instruction:
        case UpdateIntent(payment_method_id=None):
            return {}
        case UpdateIntent(payment_method_id=given) | CreateIntent(payment_method_id=given, confirm=False):
            return {} if event.refusal else {"attached": given}
    return {}


def _answered(payment: Payment, event: ev.OperationSettled) -> Changes:
    asked = [r for r in payment.refunds if r.idempotency_key == event.idempotency_key and r.requested_by is not None]
    return _refund(payment, asked[0].id, acknowledged=event.answered) if asked else {}


@_folds(ev.IntentLinked)
def _intent_linked(payment: Payment, event: ev.IntentLinked, at: datetime) -> Changes:
    return {"intent_id": event.intent_id}


@_folds(ev.AttemptStarted)
def _attempt_started(payment: Payment, event: ev.AttemptStarted, at: datetime) -> Changes:
    attempt = Attempt(
        number=event.number,
        origin=event.origin,
        idempotency_key=event.idempotency_key,
        payment_method_id=event.payment_method_id,
        started_at=at,
    )
    return {"attempts": (*payment.attempts, attempt)}


@_folds(ev.AttemptRefused)
def _attempt_refused(payment: Payment, event: ev.AttemptRefused, at: datetime) -> Changes:
    return {**_moved(payment, PaymentEvent.REFUSED), "attached": None} | _attempt(
        payment,
        event.number,
        outcome=AttemptOutcome.REFUSED,
        decline=event.decline,
        charge_id=event.charge_id,
        method_seen=event.payment_method_id,
    )


@_folds(ev.AttemptDropped)
def _attempt_dropped(payment: Payment, event: ev.AttemptDropped, at: datetime) -> Changes:
    return _attempt(payment, event.number, outcome=AttemptOutcome.DROPPED)


@_folds(ev.ClientNamed)
def _client_named(payment: Payment, event: ev.ClientNamed, at: datetime) -> Changes:
    return {"client": event.client}


@_folds(ev.MethodRequired)
def _method_required(payment: Payment, event: ev.MethodRequired, at: datetime) -> Changes:
    return {**_moved(payment, PaymentEvent.METHOD_REQUIRED), "attached": None}


@_folds(ev.MethodAttached)
def _method_attached(payment: Payment, event: ev.MethodAttached, at: datetime) -> Changes:
    return _moved(payment, PaymentEvent.METHOD_ATTACHED)


@_folds(ev.ActionRequired)
def _action_required(payment: Payment, event: ev.ActionRequired, at: datetime) -> Changes:
    return _moved(payment, PaymentEvent.ACTION_REQUIRED) | _method_named(payment, event)


@_folds(ev.ProcessingStarted)
def _processing_started(payment: Payment, event: ev.ProcessingStarted, at: datetime) -> Changes:
    return _moved(payment, PaymentEvent.PROCESSING) | _method_named(payment, event)


def _method_named(payment: Payment, event: ev.ActionRequired | ev.ProcessingStarted) -> Changes:
    return _attempt(payment, event.attempt, **_seen(event.payment_method_id))


def _seen(payment_method_id: str | None) -> Changes:
    """Return the change of an attempt whose method the gateway has reported; none if it has not."""
    return {"method_seen": payment_method_id} if payment_method_id is not None else {}


@_folds(ev.PaymentAuthorized)
def _payment_authorized(payment: Payment, event: ev.PaymentAuthorized, at: datetime) -> Changes:
    seen = _seen(event.payment_method_id)
    attempt = _attempt(payment, event.attempt, outcome=AttemptOutcome.DONE, charge_id=event.charge_id, **seen)
    return {**_moved(payment, PaymentEvent.AUTHORIZED), **attempt, "authorized": event.amount}


@_folds(ev.PaymentSucceeded)
def _payment_succeeded(payment: Payment, event: ev.PaymentSucceeded, at: datetime) -> Changes:
    seen = _seen(event.payment_method_id)
    return {
        **_moved(payment, PaymentEvent.SUCCEEDED),
        **_attempt(payment, event.attempt, outcome=AttemptOutcome.DONE, charge_id=event.charge_id, **seen),
        "captured": event.breakdown.gross,
        "authorized": Money.zero(event.breakdown.gross.currency),
        "breakdown": event.breakdown,
        "late": event.late,
    }


@_folds(ev.MethodSeen)
def _method_seen(payment: Payment, event: ev.MethodSeen, at: datetime) -> Changes:
    return {"method": event.method, "capture_before": event.capture_before, "receipt_url": event.receipt_url}


@_folds(ev.PaymentCanceled)
def _payment_canceled(payment: Payment, event: ev.PaymentCanceled, at: datetime) -> Changes:
    return {**_moved(payment, PaymentEvent.CANCELED), "authorized": Money.zero(payment.amount.currency)}


@_folds(ev.PaymentFailed)
def _payment_failed(payment: Payment, event: ev.PaymentFailed, at: datetime) -> Changes:
    return _moved(payment, PaymentEvent.EXHAUSTED)


@_folds(ev.RefundRequested)
def _refund_requested(payment: Payment, event: ev.RefundRequested, at: datetime) -> Changes:
    refund = Refund(
        id=event.refund_id,
        origin=ev.Origin.SERVER,
        amount=event.amount,
        fee_refunded=event.fee_refunded,
        status=move(REFUND, None, RefundEvent.REQUESTED) or RefundStatus.PENDING,
        reason=event.reason.value,
        note=event.note,
        idempotency_key=event.idempotency_key,
        created_at=at,
        updated_at=at,
        promised=event.promised,
        promised_in_all=_raised(payment, event)["promised"],
        requested_by=event.requested_by,
        requested_amount=event.requested_amount,
        requested_at=event.requested_at,
        acknowledged=event.requested_by is None,
        again=event.again,
        cancels_booking=event.cancels_booking,
        requested_items=event.requested_items,
        change=event.change,
    )
    return {
        "refunds": (*payment.refunds, refund),
        "deferred": _without(payment, event.refund_id),
        **_raised(payment, event),
    }


@_folds(ev.RefundDeferred)
def _refund_deferred(payment: Payment, event: ev.RefundDeferred, at: datetime) -> Changes:
    given_up = any(lost.refund_id == event.refund_id for lost in payment.lost)
    again = given_up or any(each.again for each in payment.refunds if each.id == event.refund_id)
    deferred = DeferredRefund(
        id=event.refund_id,
        amount=event.amount,
        fee_refunded=event.fee_refunded,
        reason=event.reason,
        note=event.note,
        why=event.why,
        created_at=at,
        requested_by=event.requested_by,
        requested_amount=event.requested_amount,
        again=again,
        cancels_booking=event.cancels_booking,
        requested_items=event.requested_items,
        change=event.change,
    )
    return {
        # A refund that was requested and never sent is only a deferred one until it is sent.
        "refunds": tuple(refund for refund in payment.refunds if refund.id != event.refund_id),
        "deferred": (*_without(payment, event.refund_id), deferred),
        **_raised(payment, event),
    }


@_folds(ev.PromiseRaised)
def _promise_raised(payment: Payment, event: ev.PromiseRaised, at: datetime) -> Changes:
    return _raised(payment, event)


def _raised(payment: Payment, event: ev.RefundRequested | ev.RefundDeferred | ev.PromiseRaised) -> Changes:
    promised = payment.promised if event.promised is None else payment.promised + event.promised
    return {"promised": promised, "beside": payment.beside if event.beside is None else event.beside}


def _without(payment: Payment, refund_id: str) -> tuple[DeferredRefund, ...]:
    return tuple(each for each in payment.deferred if each.id != refund_id)


@_folds(ev.DeferredRefundDropped)
def _deferred_refund_dropped(payment: Payment, event: ev.DeferredRefundDropped, at: datetime) -> Changes:
    return {"deferred": _without(payment, event.refund_id)}


@_folds(ev.PromiseConfirmed)
def _promise_confirmed(payment: Payment, event: ev.PromiseConfirmed, at: datetime) -> Changes:
    return _refund(payment, event.refund_id, promised=None)


@_folds(ev.PromiseWithdrawn)
def _promise_withdrawn(payment: Payment, event: ev.PromiseWithdrawn, at: datetime) -> Changes:
    withdrawn = {"promised": payment.promised - event.promised}
    return withdrawn | _refund(payment, event.refund_id, cancels_booking=False, change=None)


@_folds(ev.DebtSettled)
def _debt_settled(payment: Payment, event: ev.DebtSettled, at: datetime) -> Changes:
    """Settle failed refunds before deferred ones, and of these the last first."""
    promised = payment.promised - event.settled
    most = not_negative(promised.amount - payment.beside - payment.given_back.amount)
    deferred: list[DeferredRefund] = []
    for each in payment.deferred:
        left = each.given.part(min(each.amount, most))
        most = most - left.amount
        if left.amount:
            deferred.append(attrs.evolve(each, amount=left.amount, fee_refunded=left.fee))
    return {"promised": promised, "settled": payment.settled + event.settled, "deferred": tuple(deferred)}


@_folds(ev.RefundAcknowledged)
def _refund_acknowledged(payment: Payment, event: ev.RefundAcknowledged, at: datetime) -> Changes:
    deferred = tuple(
        attrs.evolve(each, requested_by=None) if each.id == event.refund_id else each for each in payment.deferred
    )
    return {**_refund(payment, event.refund_id, acknowledged=True), "deferred": deferred}


@_folds(ev.AuthorizationReleased)
def _authorization_released(payment: Payment, event: ev.AuthorizationReleased, at: datetime) -> Changes:
    return {"releases": (*payment.releases, event)}


@_folds(ev.RefundFound)
def _refund_found(payment: Payment, event: ev.RefundFound, at: datetime) -> Changes:
    refund = Refund(
        id=event.refund_id,
        origin=ev.Origin.GATEWAY,
        amount=event.amount,
        fee_refunded=event.fee_refunded,
        status=event.status,
        reason=event.reason,
        note=None,
        idempotency_key=None,
        created_at=at,
        updated_at=at,
        gateway_refund_id=event.gateway_refund_id,
    )
    return {"refunds": (*payment.refunds, refund)}


def _refund(payment: Payment, refund_id: str, **changes: Any) -> Changes:
    refunds = tuple(attrs.evolve(r, **changes) if r.id == refund_id else r for r in payment.refunds)
    return {"refunds": refunds}


@_folds(ev.RefundLinked)
def _refund_linked(payment: Payment, event: ev.RefundLinked, at: datetime) -> Changes:
    return _refund(payment, event.refund_id, gateway_refund_id=event.gateway_refund_id, updated_at=at)


@_folds(ev.RefundMoved)
def _refund_moved(payment: Payment, event: ev.RefundMoved, at: datetime) -> Changes:
    return _refund(payment, event.refund_id, status=event.status, failure_reason=event.failure_reason, updated_at=at)


@_folds(ev.DisputeOpened)
def _dispute_opened(payment: Payment, event: ev.DisputeOpened, at: datetime) -> Changes:
    dispute = Dispute(
        id=event.dispute_id,
        status=event.status,
        reason=event.reason,
        amount=event.amount,
        withdrawn=Money.zero(event.amount.currency),
        evidence_due_by=event.evidence_due_by,
        opened_at=at,
        charge_refundable=event.charge_refundable,
    )
    return {"disputes": (*payment.disputes, dispute)}


def _dispute(payment: Payment, dispute_id: str, **changes: Any) -> Changes:
    disputes = tuple(attrs.evolve(d, **changes) if d.id == dispute_id else d for d in payment.disputes)
    return {"disputes": disputes}


@_folds(ev.DisputeMoved)
def _dispute_moved(payment: Payment, event: ev.DisputeMoved, at: datetime) -> Changes:
    return _dispute(
        payment,
        event.dispute_id,
        status=event.status,
        evidence_due_by=event.evidence_due_by,
        charge_refundable=event.charge_refundable,
        contradictory=event.contradictory,
    )


@_folds(ev.DisputeChanged)
def _dispute_changed(payment: Payment, event: ev.DisputeChanged, at: datetime) -> Changes:
    return _dispute(
        payment,
        event.dispute_id,
        amount=event.amount,
        evidence_due_by=event.evidence_due_by,
        charge_refundable=event.charge_refundable,
    )


@_folds(ev.DisputeFundsMoved)
def _dispute_funds_moved(payment: Payment, event: ev.DisputeFundsMoved, at: datetime) -> Changes:
    return _dispute(payment, event.dispute_id, withdrawn=event.withdrawn)


def _unchanged(payment: Payment, event: object, at: datetime) -> Changes:
    """Fold an event about the booking or the processing, which does not change the payment's state."""
    return {}


@_folds(ev.BookingAmended)
def _booking_amended(payment: Payment, event: ev.BookingAmended, at: datetime) -> Changes:
    amendment = event.amendment
    changes: Changes = {
        "event_starts_at": amendment.event_starts_at,
        "refund_grace_until": amendment.refund_grace_until,
        **_reduced(payment, event),
        **_changed_booking(payment),
    }
    operation = payment.operation
    if operation is not None and operation.amendment == amendment:
        changes["operation"] = attrs.evolve(operation, amended=True)
    if event.priced is None:
        return changes
    breakdown = payment.fee_policy.of_booking(event.priced, payment.amount_step)
    if payment.status is PaymentStatus.REQUIRES_CAPTURE:  # the intent keeps its amount, and less of it is captured
        changes["intent_price"] = payment.intent_price or payment.booking_amount
    return {**changes, "booking_amount": event.priced, "breakdown": breakdown}


@_folds(ev.Overcaptured)
def _overcaptured(payment: Payment, event: ev.Overcaptured, at: datetime) -> Changes:
    return _reduced(payment, event)


def _reduced(payment: Payment, event: ev.BookingAmended | ev.Overcaptured) -> Changes:
    if event.reduced is None or event.given_back is None:
        return {}
    return {"reduced": payment.reduced + event.reduced, "reduced_back": payment.reduced_back + event.given_back}


@_folds(ev.BookingReleased)
def _booking_released(payment: Payment, event: ev.BookingReleased, at: datetime) -> Changes:
    canceled = {"booking_canceled": True} if event.status == BookingStatus.CANCELED.value else {}
    return {**canceled, **_changed_booking(payment)}


def _changed_booking(payment: Payment) -> Changes:
    """Return the change after which no refund of items waits to change the booking: that has happened now."""
    if all(each.change is None for each in payment.refunds) and all(each.change is None for each in payment.deferred):
        return {}
    return {
        "refunds": tuple(attrs.evolve(each, change=None) for each in payment.refunds),
        "deferred": tuple(attrs.evolve(each, change=None) for each in payment.deferred),
    }


for _kind in (
    ev.BookingConfirmed,
    ev.LatePaymentDecided,
    ev.ObservationDeferred,
    ev.PaymentAdopted,
):
    _FOLDS[_kind] = _unchanged


@_folds(ev.DriftFound)
def _drift_found(payment: Payment, event: ev.DriftFound, at: datetime) -> Changes:
    return {"drifts": (*payment.drifts, event)}
