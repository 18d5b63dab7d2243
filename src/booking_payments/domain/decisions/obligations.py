"""What is to go back to a customer: quotes, promises, and the refunds that fulfill them.

A refund request that is accepted, a canceled booking and late money each *promise* an amount and its fee
(``Payment.promised``, over the whole payment). ``Payment.owed`` is what of it has not gone back. What is owed is either
*deferred*, and sent by the system as soon as nothing stands against it (``send_deferred``), or its refund *failed*, and
somebody has to ask for it again. See ``docs/decisions/0009-late-payments.md``.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import evolve, frozen

from booking_payments.domain import events as ev
from booking_payments.domain.decisions.facts import Facts, has_drift
from booking_payments.domain.decisions.intending import intent_of, metadata_of, require_idle
from booking_payments.domain.decisions.lost import NEVER_SENT, may_send_again
from booking_payments.domain.decisions.observe_disputes import observe_dispute
from booking_payments.domain.errors import InvalidAmount, RefusedByRule
from booking_payments.domain.fees import FeeOnRefund
from booking_payments.domain.instructions import CreateRefund
from booking_payments.domain.lifecycle import Command, PaymentStatus, RefundStatus, require
from booking_payments.domain.money import Money, total
from booking_payments.domain.payment import DeferredRefund, Operation, Payment, Refund, applied
from booking_payments.domain.refunds import (
    Deferral,
    GivenBack,
    QuoteReason,
    Refundable,
    RefundQuote,
    RefundReason,
    fee_within,
    not_negative,
)
from booking_payments.domain.reports import DisputeReport

REPEATED_WITHIN: Final = timedelta(hours=24)
"""How long an equal request of the same caller counts as a repetition of one whose outcome it was not given."""

REFUSED_BY_DISPUTE: Final = frozenset({"charge_disputed", "refund_disputed_payment"})
"""The gateway's codes for a refund of a charge that is disputed (docs.stripe.com/error-codes)."""

HELD_BY_DISPUTE: Final = "held_by_dispute"
"""The refusal of a refund that was not sent, since disputes were read that our books did not have."""

PAID_OUT_BEYOND: Final = "paid_out_beyond_captured"
"""The drift of a payment of which more has left than was captured, by the gateway's doing."""


@frozen(kw_only=True)
class Request:
    """Who asks for a refund of how much, and what is told of it.

    Attributes:
        amount: what the caller named; None for all that can come back.
        by: the subject of the caller; None when no caller waits for the outcome.
        note: free text for our own books; it is not sent to the gateway.
        made_at: when the request was first made; its deadlines are measured then.
        override: an operator passes over the refund rules.
        again: an earlier sending of the same refund was given up, and may still turn up.
        denied: why this caller may ask for no refund of this booking; None when they may.
        for_customer: the customer wants it, so that a full refund cancels the booking.
    """

    amount: Money | None
    reason: RefundReason
    note: str | None
    made_at: datetime
    by: str | None = None
    override: bool = False
    correlation_id: str | None = None
    installation_id: str | None = None
    again: bool = False
    denied: QuoteReason | None = None
    for_customer: bool = False


@frozen(kw_only=True)
class NewIds:
    """Makes the ids that a refund needs: ours, and the idempotency key of its call."""

    refund_id: Callable[[], str]
    idempotency_key: Callable[[], str]


def quote(
    payment: Payment,
    now: datetime,
    amount: Money | None,
    *,
    override: bool = False,
    denied: QuoteReason | None = None,
) -> RefundQuote:
    """What refunding ``amount`` (None: all that can come back) would give at ``now``; nothing to a caller who is
    ``denied``."""
    quoted = payment.refundable.quote(now, amount, override=override)
    if denied is None or not quoted.allowed:
        return quoted
    zero = Money.zero(quoted.amount.currency)
    return RefundQuote(reason=denied, amount=zero, fee_refunded=zero, refundable_until=None)


def request_refund(payment: Payment, request: Request, ids: NewIds) -> Facts:
    """Promise a refund and send it, or defer it while it cannot be sent.

    Raises ``RefusedByRule`` or ``NotPossibleNow`` where the rules or the bound forbid it, ``AlreadyUnderWay`` while
    another operation runs.
    """
    require(payment.status, Command.REFUND)
    require_idle(payment)
    quoted = quote(payment, request.made_at, request.amount, override=request.override, denied=request.denied)
    if not quoted.allowed:
        raise quoted.reason.error()
    given = GivenBack(amount=quoted.amount, fee=quoted.fee_refunded)
    raised, beside = _raise_on_request(payment, given)
    # Where banks have taken more than was promised, what waited for a better end of their disputes is given up.
    dropped = [ev.DeferredRefundDropped(refund_id=each.id) for each in payment.deferred] if beside else []
    if quoted.deferred_by is None:
        sent = _send(payment, ids, request, given, raised, beside)
        return (*dropped, *_marked(payment, request, sent))
    deferred = _defer(ids.refund_id(), request, given, raised, beside, quoted.deferred_by)
    return (*dropped, *_marked(payment, request, (deferred,)))


def _marked(payment: Payment, request: Request, facts: Facts) -> Facts:
    """``facts``, with the refund marked as one that cancels the booking where it completes what the customer wants."""
    after = payment
    for fact in facts:
        after = applied(after, fact, request.made_at)
    if not request.for_customer or request.override or not after.refundable.is_whole:
        return facts
    kinds = (ev.RefundRequested, ev.RefundDeferred)
    return tuple(evolve(fact, cancels_booking=True) if isinstance(fact, kinds) else fact for fact in facts)


def promise_on_cancel(payment: Payment, request: Request, ids: NewIds, *, in_full: bool, again: bool) -> Facts:
    """Promise what a cancellation gives back, and send what can be sent now; nothing where nothing was paid.

    A cancellation always promises, whatever disputes hold or have taken: what they give back to us in the end goes to
    the customer. ``in_full``: the organizer gives everything back, fee included. ``again``: the booking was canceled
    before, so by policy only a failed refund of it is asked for once more.
    """
    if payment.status is not PaymentStatus.SUCCEEDED:
        return ()
    if again and not in_full:
        return _promise_in_all(payment, request, ids, Money.zero(payment.amount.currency), in_full=False)
    ceiling = payment.refundable.promised_on_cancel(request.made_at, in_full=in_full)
    return _promise_in_all(payment, request, ids, ceiling, in_full=in_full)


def promise_late_money(payment: Payment, request: Request, ids: NewIds) -> Facts:
    """Promise all of the money that came for a closed booking, and send it, or defer it while it cannot be sent."""
    return _promise_in_all(payment, request, ids, payment.captured, in_full=True)


def _promise_in_all(payment: Payment, request: Request, ids: NewIds, ceiling: Money, *, in_full: bool) -> Facts:
    """Raise the promise to ``ceiling`` in all, and send or defer what of it is neither sent nor waiting: what is new,
    and what failed."""
    promised = payment.promised
    beside = min(payment.beside, not_negative(promised.amount - ceiling))
    waiting = payment.deferred_in_all
    level = max(promised.amount, ceiling)
    new = not_negative(level - beside - payment.given_back.amount - waiting.amount).rounded_down(payment.amount_step)
    confirmed = _confirmed(payment, ceiling)
    if not new:
        return confirmed
    given = GivenBack(amount=new, fee=_fee_of_promise(payment, new, in_full=in_full))
    return (*confirmed, *_promise(payment, request, ids, given, beside if beside != payment.beside else None))


def _fee_of_promise(payment: Payment, amount: Money, *, in_full: bool) -> Money:
    """The part of the fee that goes back with ``amount``: what was promised of it before, and, where the fee goes back,
    what running totals give."""
    breakdown, counted = payment.breakdown, payment.given_back + payment.deferred_in_all
    fee = not_negative(payment.promised.fee - counted.fee)
    if in_full or payment.late or payment.refund_policy.fee is FeeOnRefund.RETURNED:
        fee = max(fee, breakdown.fee_in(counted.amount + amount) - counted.fee)
    return fee_within(min(fee, not_negative(breakdown.fee - counted.fee)), amount, breakdown.payer)


def _confirmed(payment: Payment, ceiling: Money) -> Facts:
    """The refund in flight whose request alone has promised what a cancellation up to ``ceiling`` promises, too."""
    key = payment.operation.idempotency_key if payment.operation else None
    in_flight = [each for each in payment.refunds if key is not None and each.idempotency_key == key]
    return tuple(
        ev.PromiseConfirmed(refund_id=each.id)
        for each in in_flight
        if each.promised is not None and ceiling > payment.promised.amount - each.promised.amount
    )


def _promise(payment: Payment, request: Request, ids: NewIds, given: GivenBack, beside: Money | None) -> Facts:
    """Defer ``given``, and send at once what nothing stands against."""
    deferral = Deferral.GATEWAY_UNAVAILABLE if payment.operation is not None else None
    why = deferral or payment.refundable.deferral_of(given.amount) or Deferral.DISPUTE
    waiting, kept = payment.deferred_in_all, payment.beside if beside is None else beside
    level = payment.given_back + waiting + given
    raised = GivenBack(
        amount=not_negative(level.amount + kept - payment.promised.amount),
        fee=not_negative(level.fee - payment.promised.fee),
    )
    deferred = _defer(ids.refund_id(), request, given, raised if raised.amount or raised.fee else None, beside, why)
    after = applied(payment, deferred, request.made_at)
    sent = send_deferred(after, ids, request.correlation_id, request.installation_id)
    first = sent[0] if sent else None
    if not isinstance(first, ev.RefundRequested) or first.refund_id != deferred.refund_id:
        return (deferred, *sent)
    return (evolve(first, promised=deferred.promised, beside=deferred.beside), *sent[1:])


def owes_late_refund(payment: Payment) -> bool:
    """True for money that came for a closed booking and whose return nobody has promised yet."""
    paid = payment.late and payment.status is PaymentStatus.SUCCEEDED
    left = not_negative(payment.captured - payment.given_back.amount).rounded_down(payment.amount_step)
    return paid and payment.operation is None and not payment.promised.amount and bool(left)


def send_deferred(
    payment: Payment, ids: NewIds, correlation_id: str | None, installation_id: str | None = None
) -> Facts:
    """Send the first deferred refund that nothing stands against any more.

    A dispute that was lost has paid a part of what was promised, and an open one may hold a part: so much less is sent.
    The rest stays deferred, since the dispute may still be won.
    """
    if payment.operation is not None:
        return ()
    refundable, left = payment.refundable, payment.refundable.deferred.amount
    for deferred in payment.deferred:
        part = min(deferred.amount, left)
        left = left - part
        part = min(part, refundable.sendable).rounded_down(payment.amount_step)
        if part and _may_send(refundable) and may_send_again(payment, deferred.id, part):
            return _send_part(payment, ids, deferred, part, correlation_id, installation_id)
    return ()


def _may_send(refundable: Refundable) -> bool:
    """Whether the gateway takes refunds now, and no inquiry is open that a part would have to wait for."""
    everything = refundable.deferred.amount >= refundable.sendable
    return not refundable.blocked and (everything or not refundable.inquiry)


def _send_part(
    payment: Payment,
    ids: NewIds,
    deferred: DeferredRefund,
    amount: Money,
    correlation_id: str | None,
    installation_id: str | None,
) -> Facts:
    request = Request(
        amount=deferred.requested_amount,
        reason=deferred.reason,
        note=deferred.note,
        made_at=deferred.created_at,
        by=deferred.requested_by,
        correlation_id=correlation_id,
        installation_id=installation_id,
        again=deferred.again,
    )
    again = NewIds(refund_id=lambda: deferred.id, idempotency_key=ids.idempotency_key)
    # With the last of what is owed goes the last of its fee, so that the order of events does not change a cent of it.
    owed = payment.owed
    given = owed if amount == owed.amount else deferred.given.part(amount)
    sent = _send(payment, again, request, given, None, None)
    rest = GivenBack(amount=deferred.amount - given.amount, fee=not_negative(deferred.fee_refunded - given.fee))
    if not rest.amount:
        return sent
    return (*sent, _defer(ids.refund_id(), request, rest, None, None, Deferral.DISPUTE))


def settle_debt(payment: Payment, amount: Money, how: ev.Settlement, note: str) -> Facts:
    """Take ``amount`` off what is owed, because an operator paid it elsewhere or the customer waived it.

    Raises ``InvalidAmount`` for nothing or less, ``RefusedByRule`` with ``exceeds_owed`` for more than is owed.
    """
    require_idle(payment)
    owed = payment.owed
    if amount.minor <= 0:
        raise InvalidAmount("the amount to settle must be more than zero")
    if amount > owed.amount:
        raise RefusedByRule(f"only {owed.amount} is owed", code="exceeds_owed")
    part = owed.part(amount)
    return (ev.DebtSettled(settled=part, how=how, note=note),)


# --- repetitions -----------------------------------------------------------------------------------------------


def repeated(payment: Payment, by: str, amount: Money | None, now: datetime) -> Refund | DeferredRefund | None:
    """The refund of an equal request of the same caller whose outcome that caller was not given, the oldest first."""
    candidates: list[Refund | DeferredRefund] = [each for each in payment.refunds if not each.acknowledged]
    candidates += [each for each in payment.deferred if each.requested_by is not None]
    for refund in candidates:
        fresh = now - refund.created_at < REPEATED_WITHIN
        if fresh and refund.requested_by == by and _is_same_amount(refund, amount):
            return refund
    return None


def first_made_at(payment: Payment, by: str, amount: Money | None, now: datetime) -> datetime:
    """When this request was first made: before ``now`` where an equal one of the same caller was never sent."""
    for refund in payment.refunds:
        never_sent = refund.failure_reason == NEVER_SENT and refund.requested_by == by
        made_at = refund.requested_at or refund.created_at
        if never_sent and _is_same_amount(refund, amount) and now - made_at < REPEATED_WITHIN:
            return made_at
    return now


def _is_same_amount(refund: Refund | DeferredRefund, amount: Money | None) -> bool:
    return refund.requested_amount == amount or (amount is not None and refund.amount == amount)


# --- the end of a refund's call --------------------------------------------------------------------------------


def after_refusal(payment: Payment, refund: Refund, refusal: str, *, answered: bool) -> Facts:
    """What becomes of a refund that the gateway refused, or certainly never had, and of its promise.

    A refund that a dispute stands against is deferred. Otherwise a request whose caller is ``answered`` with the
    refusal promised nothing. Of a promise that stands, one that was never sent is deferred, and one that was refused
    is listed as owed.
    """
    waits = None if answered else refund.requested_by
    if refusal in REFUSED_BY_DISPUTE or refusal == HELD_BY_DISPUTE:
        return (_put_back(refund, Deferral.DISPUTE, waits),)
    failed = ev.RefundMoved(refund_id=refund.id, status=RefundStatus.FAILED, failure_reason=refusal)
    if answered and refund.requested_by is not None:
        if refund.promised is None or payment.promised != refund.promised_in_all:
            return (failed,)  # nothing was promised by it, or something else has promised more since
        return failed, ev.PromiseWithdrawn(refund_id=refund.id, promised=refund.promised)
    return (_put_back(refund, Deferral.GATEWAY_UNAVAILABLE, waits),) if refusal == NEVER_SENT else (failed,)


def _put_back(refund: Refund, why: Deferral, requested_by: str | None) -> ev.RefundDeferred:
    return ev.RefundDeferred(
        refund_id=refund.id,
        amount=refund.amount,
        fee_refunded=refund.fee_refunded,
        reason=RefundReason.read(refund.reason or "")[0],
        note=refund.note,
        why=why,
        requested_by=requested_by,
        requested_amount=refund.requested_amount,
        cancels_booking=refund.cancels_booking,
    )


def must_wait(payment: Payment, operation: Operation, disputes: Sequence[DisputeReport]) -> bool:
    """Whether a refund that the gateway does not have may not be sent again, because of disputes that came after it was
    intended: they hold what it would give back, or our books do not have them yet. ``disputes`` are as just read."""
    if not isinstance(operation.instruction, CreateRefund):
        return False
    after, booked = payment, {dispute.id for dispute in payment.disputes}
    for report in disputes:
        for fact in observe_dispute(after, report):
            after = applied(after, fact, operation.intended_at)
    beyond = after.refundable.given.amount + after.refundable.held > after.refundable.breakdown.gross
    return beyond or any(report.id not in booked for report in disputes)


def paid_out_beyond(payment: Payment) -> Facts:
    """One alert when more has left than was captured: the gateway did it, since our requests keep the bound.

    A refund that the gateway has not answered for has not left; it may well refuse it for what went before.
    """
    asked = (each.amount for each in payment.refunds if each.status.is_pending and each.gateway_refund_id is None)
    left = payment.given_back.amount - total(asked, payment.captured.currency) + payment.withdrawn
    if payment.status is not PaymentStatus.SUCCEEDED or left <= payment.captured:
        return ()
    if has_drift(payment, PAID_OUT_BEYOND):
        return ()
    detail = f"{left} was refunded or withdrawn by disputes, of {payment.captured} captured"
    return (ev.DriftFound(code=PAID_OUT_BEYOND, detail=detail),)


# --- the facts of a refund -------------------------------------------------------------------------------------


def _raise_on_request(payment: Payment, given: GivenBack) -> tuple[GivenBack | None, Money | None]:
    """By how much a request of ``given`` raises the promise (None: it only asks again for what failed), and what of the
    promise stands for money that banks had taken before (None: as it was)."""
    refundable = payment.refundable
    counted = refundable.given + refundable.deferred
    fee = not_negative(counted.fee + given.fee - payment.promised.fee)
    bank = max(payment.taken_by_disputes, payment.beside)
    if payment.promised.amount >= payment.given_back.amount + bank:
        amount, beside = not_negative(given.amount - refundable.failed.amount), None
    else:  # more went back, or was taken, than was promised: the request comes on top of it
        amount = payment.given_back.amount + bank + given.amount - payment.promised.amount
        beside = bank
    return (GivenBack(amount=amount, fee=fee) if amount or fee else None), beside


def _send(
    payment: Payment, ids: NewIds, request: Request, given: GivenBack, raised: GivenBack | None, beside: Money | None
) -> Facts:
    refund_id, key = ids.refund_id(), ids.idempotency_key()
    # Promises made one after another may name more fee than there is, where banks took money in between.
    fee = min(given.fee, not_negative(payment.breakdown.fee - payment.given_back.fee))
    requested = ev.RefundRequested(
        refund_id=refund_id,
        amount=given.amount,
        fee_refunded=fee,
        reason=request.reason,
        note=request.note,
        idempotency_key=key,
        promised=raised,
        beside=beside,
        requested_by=request.by,
        requested_amount=request.amount,
        requested_at=request.made_at,
        override=request.override,
        again=request.again,
    )
    instruction = CreateRefund(
        intent_id=intent_of(payment),
        refund_id=refund_id,
        amount=given.amount,
        reason=request.reason,
        metadata={
            **metadata_of(payment, request.correlation_id, request.installation_id),
            "refund_id": refund_id,
            **({"idempotency_key": key} if request.again else {}),
        },
    )
    intended = ev.OperationIntended(idempotency_key=key, purpose=ev.Purpose.REFUND, instruction=instruction)
    return requested, intended


def _defer(
    refund_id: str,
    request: Request,
    given: GivenBack,
    raised: GivenBack | None,
    beside: Money | None,
    why: Deferral,
) -> ev.RefundDeferred:
    return ev.RefundDeferred(
        refund_id=refund_id,
        amount=given.amount,
        fee_refunded=given.fee,
        reason=request.reason,
        note=request.note,
        why=why,
        promised=raised,
        beside=beside,
        requested_amount=request.amount,
    )
