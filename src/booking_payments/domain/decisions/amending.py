"""What an amendment of a booking means for its payment, as one literal table, and the events that follow from it.

The rules are written down in ``docs/decisions/0025-amendments.md``; a test compares its table with ``AMENDMENTS``.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Final

from attrs import evolve

from booking_payments.domain import events as ev
from booking_payments.domain.amendments import Amendment, require_has_items
from booking_payments.domain.booking import Booking, BookingStatus, ItemCount, money_left, with_refunded
from booking_payments.domain.decisions.commands import intent_of, require_idle
from booking_payments.domain.decisions.drift import Events
from booking_payments.domain.decisions.obligations import (
    NewIds,
    RefundParameters,
    marked,
    promise_on_cancel,
    promise_reduction,
    quote,
)
from booking_payments.domain.errors import NotPossibleNow
from booking_payments.domain.instructions import CancelIntent, CancellationReason, Replacement, UpdateIntent
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Operation, Payment
from booking_payments.domain.refunds import QuoteReason, Reduction, RefundOnCancel, RefundQuote, not_negative
from booking_payments.domain.reports import IntentReport


class PriceChange(Enum):
    """How an amendment changes a booking's price. ``free``: it costs nothing any more."""

    SAME = "same"
    CHEAPER = "cheaper"
    FREE = "free"
    DEARER = "dearer"


class Step(Enum):
    """How an amendment is carried out.

    - ``apply``: the booking gets its new content; nothing is asked of the gateway.
    - ``update``: the gateway charges the new amount from now on. A gateway that refuses it leads to ``replace``.
    - ``replace``: the intent is canceled. Once the gateway has confirmed it, the booking gets its new content and a new
      payment with a new intent begins, unless it is free.
    - ``capture_less``: the hold stays, and less of it is captured.
    - ``refund``: the difference goes back, as the caller's ``refund`` says.
    """

    APPLY = "apply"
    UPDATE = "update"
    REPLACE = "replace"
    CAPTURE_LESS = "capture_less"
    REFUND = "refund"


class AmendmentDenial(Enum):
    """Why a payment does not allow an amendment: a stable ``code`` and a ``message`` for the caller."""

    PAYMENT_IN_FLIGHT = (
        "payment_in_flight",
        "the bank is working on this booking's payment; amend the booking when its outcome is known",
    )
    BALANCE_NEEDED = (
        "balance_needed",
        "this booking is paid or its money is held, and it would cost more than before; a second payment for one "
        "booking is not possible yet: register another booking for the difference",
    )
    ALREADY_PAID = (
        "already_paid",
        "this booking was paid in the meantime, at its old price; nothing was changed: read it again, and decide again",
    )

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message

    def error(self) -> NotPossibleNow:
        """Return the error to raise."""
        return NotPossibleNow(self.message, code=self.code)


P = PriceChange
D = AmendmentDenial

# fmt: off
AMENDMENTS: Final[Mapping[PaymentStatus | None, Mapping[PriceChange, Step | AmendmentDenial]]] = {
    None:                                  {P.SAME: Step.APPLY, P.CHEAPER: Step.APPLY,        P.FREE: Step.APPLY,          P.DEARER: Step.APPLY},  # noqa: E501
    PaymentStatus.REQUIRES_PAYMENT_METHOD: {P.SAME: Step.APPLY, P.CHEAPER: Step.UPDATE,       P.FREE: Step.REPLACE,        P.DEARER: Step.REPLACE},  # noqa: E501
    PaymentStatus.REQUIRES_CONFIRMATION:   {P.SAME: Step.APPLY, P.CHEAPER: Step.UPDATE,       P.FREE: Step.REPLACE,        P.DEARER: Step.REPLACE},  # noqa: E501
    PaymentStatus.REQUIRES_ACTION:         {P.SAME: Step.APPLY, P.CHEAPER: Step.REPLACE,      P.FREE: Step.REPLACE,        P.DEARER: Step.REPLACE},  # noqa: E501
    PaymentStatus.PROCESSING:              {P.SAME: Step.APPLY, P.CHEAPER: D.PAYMENT_IN_FLIGHT, P.FREE: D.PAYMENT_IN_FLIGHT, P.DEARER: D.PAYMENT_IN_FLIGHT},  # noqa: E501
    PaymentStatus.REQUIRES_CAPTURE:        {P.SAME: Step.APPLY, P.CHEAPER: Step.CAPTURE_LESS, P.FREE: Step.REPLACE,        P.DEARER: D.BALANCE_NEEDED},  # noqa: E501
    PaymentStatus.SUCCEEDED:               {P.SAME: Step.APPLY, P.CHEAPER: Step.REFUND,       P.FREE: Step.REFUND,         P.DEARER: D.BALANCE_NEEDED},  # noqa: E501
    PaymentStatus.CANCELED:                {P.SAME: Step.APPLY, P.CHEAPER: Step.APPLY,        P.FREE: Step.APPLY,          P.DEARER: Step.APPLY},  # noqa: E501
    PaymentStatus.FAILED:                  {P.SAME: Step.APPLY, P.CHEAPER: Step.APPLY,        P.FREE: Step.APPLY,          P.DEARER: Step.APPLY},  # noqa: E501
}
# fmt: on
"""The next step, or the reason for refusing, by the status of the booking's payment (None: it has none) and the change
of the price. A payment that succeeded late does not count, since its booking is closed."""


def price_change(booking: Booking, amendment: Amendment) -> PriceChange:
    """Return how the amendment changes the booking's price."""
    if amendment.amount == booking.amount:
        return PriceChange.SAME
    if amendment.amount > booking.amount:
        return PriceChange.DEARER
    return PriceChange.CHEAPER if amendment.amount else PriceChange.FREE


def step_of(booking: Booking, payment: Payment | None, amendment: Amendment) -> Step:
    """Return how the amendment is carried out, as ``AMENDMENTS`` says.

    A confirmed booking counts as paid, also one that is free and has no payment, or one that was canceled when the
    price became zero: it is not made dearer, since nobody would pay the price.

    Raises ``NotPossibleNow``: ``payment_in_flight`` or ``balance_needed``.
    """
    change = price_change(booking, amendment)
    relied_on = payment if payment is not None and not payment.late else None
    found = AMENDMENTS[relied_on.status if relied_on else None][change]
    if booking.status is BookingStatus.CONFIRMED and change is PriceChange.DEARER:
        found = AmendmentDenial.BALANCE_NEEDED
    if isinstance(found, AmendmentDenial):
        raise found.error()
    return found


def intend_amendment(
    payment: Payment,
    step: Step,
    amendment: Amendment,
    *,
    idempotency_key: str,
    amount: Money,
    replacement: Replacement | None,
) -> Events:
    """Intend the gateway call of ``update`` or ``replace``; the booking gets its new content once it is confirmed.

    A payment without an intent ends at once, without a call: nothing can pay its old price.

    Args:
        amount: what the customer would be charged.
        replacement: the parameters of the payment that follows ``replace``; None if the booking becomes free.

    Raises ``AlreadyUnderWay`` while an operation is in flight.
    """
    require_idle(payment)
    if payment.intent_id is None:
        return (ev.PaymentCanceled(),)
    update = step is Step.UPDATE
    changed = UpdateIntent(intent_id=payment.intent_id, amount=amount)
    canceled = CancelIntent(intent_id=payment.intent_id, reason=_SUPERSEDED)
    intended = ev.OperationIntended(
        idempotency_key=idempotency_key,
        purpose=ev.Purpose.AMEND_BOOKING,
        instruction=changed if update else canceled,
        replacement=None if update else replacement,
        amendment=amendment,
    )
    return (intended,)


def amended(booking: Booking, payment: Payment | None, amendment: Amendment) -> ev.BookingAmended:
    """Return the event that gives the booking its new content, without a refund.

    An unpaid payment that is still open has the new price to pay from now on.
    """
    change = price_change(booking, amendment)
    priced = payment is not None and payment.status.is_open and change is not PriceChange.SAME
    return ev.BookingAmended(
        amendment=amendment,
        changed=amendment.changed(booking),
        amount_before=booking.amount,
        priced=amendment.amount if priced else None,
    )


def amend_paid(
    booking: Booking, payment: Payment, amendment: Amendment, request: RefundParameters, ids: NewIds
) -> Events:
    """Return the events that give a paid booking its new content and send the difference back.

    Nothing goes back for units whose money has gone back already. The booking lives on, also when everything has gone
    back: units that nobody gave up stay in it.
    """
    event = amended(booking, payment, amendment)
    before = money_left(booking.amount, booking.items)
    reduction = reduction_of(payment, before, amendment.money_left)
    mode = RefundOnCancel(amendment.refund)
    moved = evolve(payment, event_starts_at=amendment.event_starts_at, refund_grace_until=amendment.refund_grace_until)
    given = moved.refundable.for_reduction(request.made_at, reduction, mode)
    event = evolve(event, reduced=reduction.amount, given_back=given)
    in_full = mode is RefundOnCancel.FULL or moved.refundable.in_grace(request.made_at)
    return (event, *promise_reduction(payment, event, given, request, ids, in_full=in_full))


def request_items(
    booking: Booking,
    payment: Payment,
    amendment: Amendment | None,
    request: RefundParameters,
    ids: NewIds,
    *,
    in_full: bool,
) -> Events:
    """Return the events of a refund of single items. The booking changes once its promise can't be withdrawn any more.

    A refund that is refused to its caller so changes nothing. Until then the refund carries the booking's change, which
    ``change_refunded_items`` makes; the booking has no other amendment in between, since the refund is in flight.

    Args:
        amendment: the booking's new content; None when no unit is left, and the booking is canceled.
        request: who asks for which items.
        in_full: an operator overrides the tiers; used where no unit is left.

    Raises ``RefusedByRule`` (``nothing_left``) when nothing can go back.
    """
    amended: ev.BookingAmended | None = None
    if amendment is None:
        events = promise_on_cancel(payment, request, ids, in_full=in_full, again=False)
    else:
        changes = amend_paid(booking, payment, amendment, request, ids)
        first, *rest = marked(payment, request, changes) if _asked_for_amount(payment, request) else changes
        assert isinstance(first, ev.BookingAmended)  # noqa: S101 - its first event is the amendment
        amended, events = first, tuple(rest)
    deferred = [each for each in events if isinstance(each, ev.RefundDeferred)]
    sent = [each for each in events if isinstance(each, ev.RefundRequested)]
    if not deferred and not sent:
        raise QuoteReason.NOTHING_LEFT.error()
    carrier = (deferred or sent)[0]  # the promise of a refund that is deferred in part can't be withdrawn any more
    change = ev.ItemsChange(amended=amended)
    return tuple(evolve(each, change=change) if each is carrier else each for each in events)


def _asked_for_amount(payment: Payment, request: RefundParameters) -> bool:
    """True when the caller has had an amount refunded, which names no item.

    When everything has gone back by such requests and by items, the customer has asked for all of it. What an operator
    gave back does not count: the customer keeps the items that were not named.
    """
    own = [each for each in payment.refunds if each.requested_by == request.by and not each.status.is_lost]
    return any(not each.requested_items for each in own)


def quote_items(
    booking: Booking,
    payment: Payment,
    now: datetime,
    named: Sequence[ItemCount],
    *,
    override: bool = False,
    denied: QuoteReason | None = None,
) -> RefundQuote:
    """Return the result that refunding units of the booking's items would have at ``now``: the tier's share of each.

    Units that cost nothing have the reason ``items_free``. Arguments as in ``quote``. Raises as ``with_refunded``;
    ``RefusedByRule`` (``no_items``) for a booking without items.
    """
    require_has_items(booking)
    after = with_refunded(booking.items, named)
    whole = quote(payment, now, None, override=override, denied=denied)
    left, left_after = money_left(booking.amount, booking.items), money_left(booking.amount, after)
    if left == left_after and (whole.allowed or whole.reason.keeps_money):
        return _refused(booking, QuoteReason.ITEMS_FREE)
    if not whole.allowed:
        return whole
    reduction = reduction_of(payment, left, left_after)
    given = payment.refundable.for_reduction(now, reduction, RefundOnCancel.FULL if override else RefundOnCancel.POLICY)
    if not given:
        return _refused(booking, QuoteReason.NOTHING_LEFT)
    return quote(payment, now, given, override=override, denied=denied)


def _refused(booking: Booking, reason: QuoteReason) -> RefundQuote:
    zero = Money.zero(booking.amount.currency)
    return RefundQuote(reason=reason, amount=zero, fee_refunded=zero, refundable_until=None)


def reduction_of(payment: Payment, before: Money, after: Money) -> Reduction:
    """Return the part of the charge that a booking no longer costs when its price falls from ``before`` to ``after``.

    With a fee on top that is given back its amount includes the fee's part. If less than the price was captured, only
    what was captured above the new price counts.
    """
    zero = Money.zero(before.currency)
    if after >= before or payment.status is not PaymentStatus.SUCCEEDED:
        return Reduction(amount=zero, kept_fee=zero)
    refundable = payment.refundable
    charges = [payment.fee_policy.of_booking(price, payment.amount_step) for price in (before, after)]
    kept = [charge.gross - refundable.returnable_of(charge) for charge in charges]
    amount = refundable.price_beyond(charges[1])
    return Reduction(amount=amount, kept_fee=not_negative(kept[0] - kept[1]) if amount else zero)


def amount_update_seen(payment: Payment, report: IntentReport, booking: Booking) -> Events:
    """Return the event of an amendment whose update of the intent's amount shows in ``report``; nothing otherwise.

    The report is any trusted one: the response to the update, a read, or a webhook that arrived before it.
    """
    operation = payment.operation
    if operation is None or operation.amendment is None or operation.amended:
        return ()
    other = payment.intent_id is not None and payment.intent_id != report.id
    if other or not shows_update(operation, report) or booking.status is not BookingStatus.PENDING:
        return ()
    return (amended(booking, payment, operation.amendment),)


def shows_update(operation: Operation, report: IntentReport) -> bool:
    """True when ``report`` shows that the operation's update of the amount has had its effect."""
    instruction = operation.instruction
    is_update = isinstance(instruction, UpdateIntent) and instruction.amount is not None
    return is_update and report.amount == instruction.amount  # type: ignore[union-attr]


def amend_after(operation: Operation, payment: Payment, booking: Booking) -> Events:
    """Return the event of an amendment whose intent was canceled for it, once the gateway has confirmed that.

    Nothing if the payment did not end, or the booking does not wait for a payment any more.
    """
    over = isinstance(operation.instruction, CancelIntent) and payment.status is PaymentStatus.CANCELED
    waits = booking.status is BookingStatus.PENDING
    if operation.amendment is None or operation.amended or not over or not waits:
        return ()
    return (amended(booking, payment, operation.amendment),)


def replace_after_update(payment: Payment, operation: Operation, *, idempotency_key: str) -> Events:
    """Intend to replace an intent whose amount the gateway refuses to change; nothing unless it can still be canceled.

    Only for a refused update of an amendment.
    """
    update = isinstance(operation.instruction, UpdateIntent) and operation.amendment is not None
    open_still = payment.status.is_open and payment.status is not PaymentStatus.PROCESSING
    if not update or operation.amended or not open_still or payment.operation is not None:
        return ()
    if operation.amendment is None or payment.status is PaymentStatus.REQUIRES_CAPTURE:
        return ()
    intended = ev.OperationIntended(
        idempotency_key=idempotency_key,
        purpose=ev.Purpose.AMEND_BOOKING,
        instruction=CancelIntent(intent_id=intent_of(payment), reason=_SUPERSEDED),
        replacement=_without_method(payment),
        amendment=operation.amendment,
    )
    return (intended,)


def amend_again(
    operation: Operation, payment: Payment, booking: Booking, now: datetime, *, idempotency_key: str
) -> Events:
    """Intend an amendment once more whose call had no effect; nothing unless the booking can still be amended so.

    Its caller was told that the outcome would be determined. The booking has to wait for its payment still, and within
    its hold, since an operation in flight keeps it from expiring. The payment has to wait for its customer; a hold is
    canceled again only for a booking that becomes free. An intent that asks for an authentication meanwhile is canceled
    instead of updated.
    """
    amendment, intent_id = operation.amendment, payment.intent_id
    waits = booking.status is BookingStatus.PENDING and now < booking.expires_at and payment.operation is None
    if amendment is None or intent_id is None or operation.amended or not waits:
        return ()
    found = AMENDMENTS[payment.status][price_change(booking, amendment)]
    if found not in (Step.UPDATE, Step.REPLACE):
        return ()
    update = found is Step.UPDATE and isinstance(operation.instruction, UpdateIntent)
    instruction = operation.instruction if update else CancelIntent(intent_id=intent_id, reason=_SUPERSEDED)
    replacement = None if update or amendment.is_free else _without_method(payment)
    return (
        ev.OperationIntended(
            idempotency_key=idempotency_key,
            purpose=ev.Purpose.AMEND_BOOKING,
            instruction=instruction,
            replacement=replacement,
            amendment=amendment,
        ),
    )


def _without_method(payment: Payment) -> Replacement:
    return Replacement(payment_method_id=None, confirm=False, return_url=payment.return_url)


_SUPERSEDED: Final = CancellationReason.ABANDONED
