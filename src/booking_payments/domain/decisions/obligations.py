"""Obligations to a customer: quotes, promises, and the refunds that pay them.

An accepted refund request, a canceled booking and late money each *promise* an amount and its fee
(``Payment.promised``, summed over the payment). ``Payment.owed`` is the part of it that has not been paid back. An owed
amount is either *deferred*, and sent by the system once no obstacle remains (``send_deferred``), or its refund *failed*
and has to be requested again. See ``docs/decisions/0009-late-payments.md``.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import evolve, frozen

from booking_payments.domain import events as ev
from booking_payments.domain import metadata_keys
from booking_payments.domain.booking import ItemCount
from booking_payments.domain.decisions.commands import intent_of, metadata_of, require_idle
from booking_payments.domain.decisions.drift import Events, has_drift
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
    RefundQuote,
    RefundReason,
    fee_within,
    not_negative,
)
from booking_payments.domain.reports import DisputeReport

REPEATED_WITHIN: Final = timedelta(hours=24)
"""Within this time an equal request of the same caller repeats an earlier one whose outcome was not received."""

REFUSED_BY_DISPUTE: Final = frozenset({"charge_disputed", "refund_disputed_payment"})
"""The gateway's error codes for the refund of a disputed charge (docs.stripe.com/error-codes)."""

HELD_BY_DISPUTE: Final = "held_by_dispute"
"""Refusal code of a refund that was not sent because the gateway has a dispute that was not recorded yet."""

PAID_OUT_BEYOND: Final = "paid_out_beyond_captured"
"""Drift code: more was refunded or withdrawn than captured, by actions at the gateway."""


@frozen(kw_only=True)
class RefundParameters:
    """The parameters of a refund that is requested, or that a rule requires.

    Attributes:
        amount: the requested amount; None for everything that can be refunded.
        reason: one of the gateway's refund reasons.
        note: free text for the merchant's own records; it is not sent to the gateway.
        made_at: when the request was first made; its deadlines are measured at that time.
        by: the subject of the caller; None when no caller waits for the outcome.
        override: an operator overrides the refund rules.
        again: an earlier call for the same refund was abandoned, and its refund may still appear.
        denied: why this caller may not request refunds of this booking; None when they may.
        by_operator: an operator or the booking app wants the refund.
        for_customer: the customer wants the refund, so that a full refund cancels the booking.
        items: the units of items that are requested instead of an amount; with ``by`` they identify the request.
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
    by_operator: bool = False
    for_customer: bool = False
    items: tuple[ItemCount, ...] = ()


@frozen(kw_only=True)
class NewIds:
    """Makers of the ids that a refund needs: its own id and the idempotency key of its call."""

    refund_id: Callable[[], str]
    idempotency_key: Callable[[], str]


def quote(
    payment: Payment,
    now: datetime,
    amount: Money | None,
    *,
    override: bool = False,
    by_operator: bool = False,
    denied: QuoteReason | None = None,
) -> RefundQuote:
    """Return the result that refunding ``amount`` would have at ``now``.

    Args:
        amount: None for everything that can be refunded.
        override: an operator overrides the refund rules.
        by_operator: an operator or the booking app asks: what a cancellation kept binds the customer only.
        denied: why this caller may not request refunds; the quote is then refused for this reason. None when they may.
    """
    return payment.refundable.quote(now, amount, override=override, by_operator=by_operator, denied=denied)


def request_refund(payment: Payment, request: RefundParameters, ids: NewIds) -> Events:
    """Promise a refund and send it, or defer it while an obstacle remains.

    Raises:
        RefusedByRule, NotPossibleNow: the rules, the limit or the payment's state do not allow the refund.
        AlreadyUnderWay: another operation is in flight.
    """
    require(payment.status, Command.REFUND)
    require_idle(payment)
    quoted = quote(
        payment,
        request.made_at,
        request.amount,
        override=request.override,
        by_operator=request.by_operator,
        denied=request.denied,
    )
    if not quoted.allowed:
        raise quoted.reason.error()
    given = GivenBack(amount=quoted.amount, fee=quoted.fee_refunded)
    raised, beside = _raise_on_request(payment, given)
    # Banks have withdrawn more than was promised: the deferred refunds, which waited for a won dispute, are replaced.
    dropped = [ev.DeferredRefundDropped(refund_id=each.id) for each in payment.deferred] if beside else []
    new = _NewRefund(refund_id=ids.refund_id(), request=request, given=given, promised=raised, beside=beside)
    if quoted.deferred_by is None:
        return (*dropped, *marked(payment, request, new.sent(payment, ids.idempotency_key())))
    return (*dropped, *marked(payment, request, (new.deferred(quoted.deferred_by),)))


def marked(payment: Payment, request: RefundParameters, events: Events) -> Events:
    """Return the events; a refund that completes a full refund for the customer is marked as canceling the booking.

    A refund of items passes here only if its customer has asked for an amount before.
    """
    after = payment
    for event in events:
        after = applied(after, event, request.made_at)
    if not request.for_customer or request.override or not after.refundable.is_whole:
        return events
    kinds = (ev.RefundRequested, ev.RefundDeferred)
    return tuple(evolve(event, cancels_booking=True) if isinstance(event, kinds) else event for event in events)


def promise_on_cancel(
    payment: Payment, request: RefundParameters, ids: NewIds, *, in_full: bool, again: bool
) -> Events:
    """Promise the refund of a cancellation, and send the part that can be sent now.

    Returns no events unless the payment succeeded. Disputes do not reduce the promise of a cancellation; money won back
    in a dispute goes to the customer.

    Args:
        in_full: the organizer refunds everything, including the fee; otherwise the refund policy applies.
        again: the booking was canceled before; by policy only a failed refund is then requested again.
    """
    if payment.refundable.denied is not None:
        return ()
    if again and not in_full:
        return _promise_in_all(payment, request, ids, Money.zero(payment.amount.currency), in_full=False)
    ceiling = payment.refundable.promised_on_cancel(request.made_at, in_full=in_full)
    with_fee = in_full or payment.refundable.in_grace(request.made_at)
    return _promise_in_all(payment, request, ids, ceiling, in_full=with_fee)


def promise_reduction(
    payment: Payment,
    event: ev.BookingAmended | ev.Overcaptured,
    given: Money,
    request: RefundParameters,
    ids: NewIds,
    *,
    in_full: bool,
) -> Events:
    """Promise the refund of a price reduction in addition to earlier promises and refunds; send or defer it.

    The promise is the same whatever disputes there are. What banks have withdrawn for good does not pay it as long as
    the charge has enough left for both; the rest is owed only when a dispute is won after all.

    Args:
        event: the event of the reduction, which is not part of ``payment`` yet.
        given: the amount that goes back, zero or more.
        in_full: the fee goes back with it.
    """
    if payment.status is not PaymentStatus.SUCCEEDED or not given:
        return ()
    after = applied(payment, event, request.made_at)
    bank, by_refunds = after.taken_by_disputes, after.refundable.by_refunds + given
    left = not_negative(after.captured - after.given_back.amount - after.owed.amount - bank)
    now_owed = after.owed.amount + min(given, left)
    paid_by_bank = not_negative(by_refunds - after.given_back.amount - now_owed)
    beside = max(not_negative(bank - paid_by_bank), not_negative(after.promised.amount - by_refunds))
    return _promise_up_to(after, request, ids, by_refunds + beside, beside, in_full=in_full)


def promise_late_money(payment: Payment, request: RefundParameters, ids: NewIds) -> Events:
    """Promise a full refund of a payment that succeeded for a closed booking; send or defer it.

    Returns no events unless ``owes_late_refund``.
    """
    if not owes_late_refund(payment):
        return ()
    ceiling = payment.refundable.promised_on_cancel(request.made_at, in_full=True)
    return _promise_in_all(payment, request, ids, ceiling, in_full=True)


def _promise_in_all(
    payment: Payment, request: RefundParameters, ids: NewIds, ceiling: Money, *, in_full: bool
) -> Events:
    """Raise the promise to a total of ``ceiling``; send or defer the part that is neither sent nor deferred.

    That part is the increase, and refunds that failed. The promise is also raised when refunds in the gateway's
    dashboard have returned the amount already: if one of these fails, its amount is owed.
    """
    promised = payment.promised.amount
    beside = min(payment.beside, not_negative(promised - ceiling))
    return _promise_up_to(payment, request, ids, ceiling, beside, in_full=in_full)


def _promise_up_to(
    payment: Payment, request: RefundParameters, ids: NewIds, ceiling: Money, beside: Money, *, in_full: bool
) -> Events:
    """Raise the promise to a total of ``ceiling``, of which banks have withdrawn ``beside`` before; never lower it.

    Sends or defers the part that is neither sent nor deferred.
    """
    promised, counted = payment.promised, payment.given_back + payment.deferred_in_all
    changed = beside if beside != payment.beside else None
    level = max(promised.amount, ceiling)
    new = not_negative(level - beside - counted.amount).rounded_down(payment.amount_step)
    confirmed = _confirmed(payment, ceiling)
    if new:
        given = GivenBack(amount=new, fee=_fee_of_promise(payment, new, in_full=in_full))
        return (*confirmed, *_promise(payment, request, ids, given, changed))
    # A rest below the gateway's step cannot be sent, so it is not promised either.
    raised = increase_of(payment, min(counted.amount + beside, level), counted.fee)
    if raised is None and changed is None:
        return confirmed
    return (*confirmed, ev.PromiseRaised(promised=raised or GivenBack.zero(payment.captured), beside=changed))


def increase_of(payment: Payment, amount: Money, fee: Money) -> GivenBack | None:
    """Return the increase of the promise to a total of ``amount`` and ``fee``; None when both are promised already."""
    promised = payment.promised
    raised = GivenBack(amount=not_negative(amount - promised.amount), fee=not_negative(fee - promised.fee))
    return raised if raised.amount or raised.fee else None


def _fee_of_promise(payment: Payment, amount: Money, *, in_full: bool) -> Money:
    """Return the part of the fee that is refunded with ``amount``.

    It is at least the promised fee that is still open; where the fee is returned, also the share from running totals.
    """
    breakdown, counted = payment.breakdown, payment.given_back + payment.deferred_in_all
    fee = not_negative(payment.promised.fee - counted.fee)
    if in_full or payment.late or payment.refund_policy.fee is FeeOnRefund.RETURNED:
        fee = max(fee, breakdown.fee_in(counted.amount + amount) - counted.fee)
    return fee_within(min(fee, not_negative(breakdown.fee - counted.fee)), amount, breakdown.payer)


def _confirmed(payment: Payment, ceiling: Money) -> Events:
    """Return the confirmation of a refund in flight whose promise a cancellation up to ``ceiling`` makes as well."""
    key = payment.operation.idempotency_key if payment.operation else None
    in_flight = [each for each in payment.refunds if key is not None and each.idempotency_key == key]
    return tuple(
        ev.PromiseConfirmed(refund_id=each.id)
        for each in in_flight
        if each.promised is not None and ceiling > payment.promised.amount - each.promised.amount
    )


def _promise(
    payment: Payment, request: RefundParameters, ids: NewIds, given: GivenBack, beside: Money | None
) -> Events:
    """Defer ``given``, and send the part without an obstacle at once."""
    deferral = Deferral.GATEWAY_UNAVAILABLE if payment.operation is not None else None
    why = deferral or payment.refundable.deferral_of(given.amount) or Deferral.DISPUTE
    waiting, kept = payment.deferred_in_all, payment.beside if beside is None else beside
    level = payment.given_back + waiting + given
    raised = increase_of(payment, level.amount + kept, level.fee)
    deferred = _NewRefund(
        refund_id=ids.refund_id(), request=request, given=given, promised=raised, beside=beside
    ).deferred(why)
    after = applied(payment, deferred, request.made_at)
    sent = send_deferred(after, ids, request.correlation_id, request.installation_id)
    first = sent[0] if sent else None
    if not isinstance(first, ev.RefundRequested) or first.refund_id != deferred.refund_id:
        return (deferred, *sent)
    in_part = any(isinstance(each, ev.RefundDeferred) for each in sent)
    by = None if in_part else request.by  # a refund that is deferred in part is promised, whatever the call's outcome
    first = evolve(first, promised=deferred.promised, beside=deferred.beside, requested_by=by)
    return (evolve(first, override=request.override), *sent[1:])


def owes_overcaptured(payment: Payment) -> Money:
    """Return the amount that was captured of a hold beyond the price to which the booking was reduced; zero if none.

    Such captures are made at the gateway: this service captures the new price.
    """
    zero = Money.zero(payment.amount.currency)
    idle = payment.operation is None and payment.status is PaymentStatus.SUCCEEDED and not payment.late
    if payment.intent_price is None or not idle or payment.reduced:
        return zero
    price = payment.fee_policy.of_booking(payment.booking_amount, payment.amount_step).gross
    return not_negative(payment.captured - price).rounded_down(payment.amount_step)


def promise_overcaptured(payment: Payment, request: RefundParameters, ids: NewIds) -> Events:
    """Promise the amount captured beyond the booking's price, with its part of the fee; send or defer it."""
    amount = owes_overcaptured(payment)
    priced = payment.fee_policy.of_booking(payment.booking_amount, payment.amount_step)
    event = ev.Overcaptured(reduced=payment.refundable.price_beyond(priced), given_back=amount)
    return (event, *promise_reduction(payment, event, amount, request, ids, in_full=True))


def owes_late_refund(payment: Payment) -> bool:
    """True when a payment succeeded for a closed booking and its refund is not promised yet."""
    paid = payment.late and payment.status is PaymentStatus.SUCCEEDED
    given = payment.given_back.amount + payment.settled.amount
    left = not_negative(payment.captured - given).rounded_down(payment.amount_step)
    return paid and payment.operation is None and not payment.promised.amount and bool(left)


def send_deferred(
    payment: Payment, ids: NewIds, correlation_id: str | None, installation_id: str | None = None
) -> Events:
    """Send the first deferred refund without an obstacle; nothing without one, or while an operation is in flight.

    A lost dispute has paid a part of the promise, and an open one may hold a part: the sent amount is reduced by it.
    The rest stays deferred, since the dispute may still be won.
    """
    if payment.operation is not None:
        return ()
    refundable, left = payment.refundable, payment.refundable.deferred.amount
    for deferred in payment.deferred:
        part = min(deferred.amount, left)
        left = left - part
        part = min(part, refundable.sendable).rounded_down(payment.amount_step)
        if part and refundable.may_send_deferred and may_send_again(payment, deferred.id, part):
            return _send_part(payment, ids, deferred, part, correlation_id, installation_id)
    return ()


def _send_part(
    payment: Payment,
    ids: NewIds,
    deferred: DeferredRefund,
    amount: Money,
    correlation_id: str | None,
    installation_id: str | None,
) -> Events:
    request = RefundParameters(
        amount=deferred.requested_amount,
        reason=deferred.reason,
        note=deferred.note,
        made_at=deferred.created_at,
        by=deferred.requested_by,
        correlation_id=correlation_id,
        installation_id=installation_id,
        again=deferred.again,
        items=deferred.requested_items,
    )
    # The last part takes the whole remaining fee, so that rounding does not depend on the order of the events.
    owed = payment.owed
    given = owed if amount == owed.amount else deferred.given.part(amount)
    sent = _NewRefund(refund_id=deferred.id, request=request, given=given).sent(payment, ids.idempotency_key())
    rest = GivenBack(amount=deferred.amount - given.amount, fee=not_negative(deferred.fee_refunded - given.fee))
    if not rest.amount:
        return sent
    return (*sent, _NewRefund(refund_id=ids.refund_id(), request=request, given=rest).deferred(Deferral.DISPUTE))


def settle_debt(payment: Payment, amount: Money, how: ev.Settlement, note: str) -> Events:
    """Reduce the owed amount by ``amount``, which an operator paid elsewhere or the customer waived.

    Raises:
        AlreadyUnderWay: an operation is in flight.
        InvalidAmount: the amount is zero or negative.
        RefusedByRule: with code ``exceeds_owed``, the amount is larger than the owed amount.
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


def repeated(
    payment: Payment, by: str, amount: Money | None, now: datetime, items: Sequence[ItemCount] = ()
) -> Refund | DeferredRefund | None:
    """Return the refund that this request repeats; None without one within ``REPEATED_WITHIN``.

    It is the oldest refund of an equal request of the same caller, who has not received its outcome. Requests are equal
    that name the same amount, or the same units of items in any order.
    """
    candidates: list[Refund | DeferredRefund] = [each for each in payment.refunds if not each.acknowledged]
    candidates += [each for each in payment.deferred if each.requested_by is not None]
    for refund in candidates:
        fresh = now - refund.created_at < REPEATED_WITHIN
        if fresh and refund.requested_by == by and _is_same_request(refund, amount, items):
            return refund
    return None


def first_made_at(
    payment: Payment, by: str, amount: Money | None, now: datetime, items: Sequence[ItemCount] = ()
) -> datetime:
    """Return when this request was first made: before ``now`` if an equal one of the same caller was never sent.

    It ends with a refund that was sent: the next equal request is a new one.
    """
    made_at = now
    for refund in payment.refunds:
        if refund.requested_by != by or not _is_same_request(refund, amount, items):
            continue
        asked_at = refund.requested_at or refund.created_at
        never_sent = refund.failure_reason == NEVER_SENT and now - asked_at < REPEATED_WITHIN
        made_at = min(made_at, asked_at) if never_sent else now
    return made_at


def _is_same_request(refund: Refund | DeferredRefund, amount: Money | None, items: Sequence[ItemCount]) -> bool:
    if items or refund.requested_items:  # a refund of items names no amount, just as one of everything
        return frozenset(items) == frozenset(refund.requested_items)
    return refund.requested_amount == amount or (amount is not None and refund.amount == amount)


# --- the end of a refund's call --------------------------------------------------------------------------------


def after_refusal(payment: Payment, refund: Refund, refusal: str, *, answered: bool) -> Events:
    """Return the events for a refund that the gateway refused, or certainly never received, and for its promise.

    - A refund refused because of a dispute is deferred.
    - If the caller receives the refusal (``answered``), the refund fails and its promise is withdrawn.
    - If the promise stands, a refund that was never sent is deferred, and a refused one fails and is owed.
    """
    waits = None if answered else refund.requested_by
    if refusal in REFUSED_BY_DISPUTE or refusal == HELD_BY_DISPUTE:
        return (_NewRefund.again(refund, waits).deferred(Deferral.DISPUTE),)
    failed = ev.RefundMoved(refund_id=refund.id, status=RefundStatus.FAILED, failure_reason=refusal)
    if answered and refund.requested_by is not None:
        if refund.promised is None or payment.promised != refund.promised_in_all:
            return (failed,)  # it promised nothing, or another promise has been added since
        return failed, ev.PromiseWithdrawn(refund_id=refund.id, promised=refund.promised)
    if refusal != NEVER_SENT:
        return (failed,)
    return (_NewRefund.again(refund, waits).deferred(Deferral.GATEWAY_UNAVAILABLE),)


def must_wait(payment: Payment, operation: Operation, disputes: Sequence[DisputeReport]) -> bool:
    """True when a refund must not be sent again because of disputes opened after it was intended.

    These disputes hold its amount, or are not recorded yet.

    Args:
        operation: the refund's operation; the gateway was read and does not have the refund.
        disputes: the charge's disputes as just read.
    """
    if not isinstance(operation.instruction, CreateRefund):
        return False
    after, booked = payment, {dispute.id for dispute in payment.disputes}
    for report in disputes:
        for event in observe_dispute(after, report):
            after = applied(after, event, operation.intended_at)
    return after.refundable.is_exceeded or any(report.id not in booked for report in disputes)


def paid_out_beyond(payment: Payment) -> Events:
    """Return the drift for a payment of which more was refunded or withdrawn than captured; nothing if it is known.

    Only actions at the gateway lead to it, since the requests of this service respect the limit. A refund in flight
    does not count, because the gateway may refuse it for exceeding the limit.
    """
    if not payment.refunds and not payment.disputes:
        return ()
    asked = (each.amount for each in payment.refunds if each.status.is_pending and each.gateway_refund_id is None)
    left = payment.given_back.amount - total(asked, payment.captured.currency) + payment.withdrawn
    if payment.status is not PaymentStatus.SUCCEEDED or left <= payment.captured:
        return ()
    if has_drift(payment, PAID_OUT_BEYOND):
        return ()
    detail = f"{left} was refunded or withdrawn by disputes, of {payment.captured} captured"
    return (ev.DriftFound(code=PAID_OUT_BEYOND, detail=detail),)


# --- the events of a refund ------------------------------------------------------------------------------------


def _raise_on_request(payment: Payment, given: GivenBack) -> tuple[GivenBack | None, Money | None]:
    """Return the increase of the promise by a request of ``given``, and the new ``Payment.beside``.

    The increase is None when the request only repeats failed refunds; ``beside`` is None when it does not change.
    """
    refundable = payment.refundable
    counted = refundable.given + refundable.deferred
    fee = not_negative(counted.fee + given.fee - payment.promised.fee)
    bank = max(payment.taken_by_disputes, payment.beside)
    if payment.promised.amount >= payment.given_back.amount + bank:
        amount, beside = not_negative(given.amount - refundable.failed.amount), None
    else:  # more was refunded or withdrawn than promised: the request is added to that
        amount = payment.given_back.amount + bank + given.amount - payment.promised.amount
        beside = bank
    return (GivenBack(amount=amount, fee=fee) if amount or fee else None), beside


@frozen(kw_only=True)
class _NewRefund:
    """A refund that is about to be sent or deferred. The events of both are built here and nowhere else.

    Attributes:
        given: the amount and its part of the fee.
        promised: the increase of the promise; None without one.
        beside: the new ``Payment.beside``; None when it does not change.
        waits: the subject of a caller who has not received the outcome of an earlier call; None without one.
    """

    refund_id: str
    request: RefundParameters
    given: GivenBack
    promised: GivenBack | None = None
    beside: Money | None = None
    waits: str | None = None
    cancels_booking: bool = False
    change: ev.ItemsChange | None = None

    @classmethod
    def again(cls, refund: Refund, waits: str | None) -> "_NewRefund":
        """Return a refund whose call had no effect, as it was requested."""
        return cls(
            refund_id=refund.id,
            request=RefundParameters(
                amount=refund.requested_amount,
                reason=RefundReason.read(refund.reason or "")[0],
                note=refund.note,
                made_at=refund.requested_at or refund.created_at,
                items=refund.requested_items,
            ),
            given=GivenBack(amount=refund.amount, fee=refund.fee_refunded),
            waits=waits,
            cancels_booking=refund.cancels_booking,
            change=refund.change,
        )

    def deferred(self, why: Deferral) -> ev.RefundDeferred:
        """Return the event that defers the refund."""
        return ev.RefundDeferred(
            refund_id=self.refund_id,
            amount=self.given.amount,
            fee_refunded=self.given.fee,
            reason=self.request.reason,
            note=self.request.note,
            why=why,
            promised=self.promised,
            beside=self.beside,
            requested_by=self.waits,
            requested_amount=self.request.amount,
            cancels_booking=self.cancels_booking,
            requested_items=self.request.items,
            change=self.change,
        )

    def sent(self, payment: Payment, key: str) -> Events:
        """Return the events that send the refund with the idempotency key ``key``."""
        request = self.request
        # Successive promises may add up to more than the fee when banks withdrew money in between.
        fee = min(self.given.fee, not_negative(payment.breakdown.fee - payment.given_back.fee))
        requested = ev.RefundRequested(
            refund_id=self.refund_id,
            amount=self.given.amount,
            fee_refunded=fee,
            reason=request.reason,
            note=request.note,
            idempotency_key=key,
            promised=self.promised,
            beside=self.beside,
            requested_by=request.by,
            requested_amount=request.amount,
            requested_at=request.made_at,
            override=request.override,
            again=request.again,
            requested_items=request.items,
        )
        named = {metadata_keys.IDEMPOTENCY_KEY: key} if request.again else {}
        own = metadata_of(payment, request.correlation_id, request.installation_id)
        instruction = CreateRefund(
            intent_id=intent_of(payment),
            refund_id=self.refund_id,
            amount=self.given.amount,
            reason=request.reason,
            metadata={**own, metadata_keys.REFUND_ID: self.refund_id, **named},
        )
        intended = ev.OperationIntended(idempotency_key=key, purpose=ev.Purpose.REFUND, instruction=instruction)
        return requested, intended
