"""The end of operations, and of payments and bookings with them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking, BookingStatus, EndReason, Payability
from booking_payments.domain.decisions.facts import Facts, has_drift, unless_known
from booking_payments.domain.decisions.intending import charges, is_burnt
from booking_payments.domain.decisions.intents import ended, intent_drift
from booking_payments.domain.decisions.lost import ends_payment
from booking_payments.domain.decisions.obligations import after_refusal
from booking_payments.domain.errors import NotPossibleNow, RefusedByRule
from booking_payments.domain.instructions import ConfirmIntent, Replacement, UpdateIntent
from booking_payments.domain.lifecycle import COMMANDS, REFUND, Command, PaymentStatus, RefundEvent, RefundStatus, move
from booking_payments.domain.payment import Operation, Payment, Refund
from booking_payments.domain.refunds import GivenBack, not_negative
from booking_payments.domain.reports import IntentReport
from booking_payments.domain.retry import KEY_LIFETIME


def needs_ending(payment: Payment) -> bool:
    """True when the last attempt is used up, so that the intent has to be canceled and the payment fails."""
    admitted = COMMANDS[payment.status][Command.CANCEL] is None
    return admitted and payment.status.awaits_customer and not payment.attempts_left and payment.operation is None


def holds_in_vain(payment: Payment, report: IntentReport | None) -> bool:
    """True when the bank holds money for a payment that is over: its call arrived after it was given up. Where that
    call was lost, also when its intent may still be paid. What the gateway refused to release is left to a person."""
    over = payment.status in (PaymentStatus.CANCELED, PaymentStatus.FAILED) and payment.operation is None
    over = over and not has_drift(payment, RELEASE_REFUSED)
    held = report is not None and report.id == payment.intent_id
    return over and held and report is not None and report.status in _in_vain(payment)


def _in_vain(payment: Payment) -> tuple[PaymentStatus, ...]:
    held = (PaymentStatus.REQUIRES_CAPTURE,)
    return held if payment.lost_intent is None else (*held, *_MAY_BE_PAID)


_MAY_BE_PAID = (
    PaymentStatus.REQUIRES_PAYMENT_METHOD,
    PaymentStatus.REQUIRES_CONFIRMATION,
    PaymentStatus.REQUIRES_ACTION,
)


def may_send(operation: Operation, booking: Booking, now: datetime) -> bool:
    """Whether an operation may be sent (again): its key is young enough, and a charge only while payable."""
    if now - operation.intended_at >= KEY_LIFETIME:
        return False
    return not charges(operation.instruction) or booking.payability(now) is Payability.PAYABLE


def settle(payment: Payment, operation: Operation, *, refusal: str | None = None, answered: bool = True) -> Facts:
    """The operation is over: done, or refused with the gateway's ``refusal`` code, which drops what it began. Where it
    was lost and was to make the payment's intent, the payment ends with it.

    ``answered``: the run that began it ends it, so that its caller is given this outcome.
    """
    if payment.operation is None or payment.operation.idempotency_key != operation.idempotency_key:
        return ()
    # Who was told before that the outcome is unknown is not given it by this run.
    answered = answered and not payment.operation.unknown
    settled = ev.OperationSettled(idempotency_key=operation.idempotency_key, refusal=refusal, answered=answered)
    if not refusal:
        return (settled,)
    over = (ended(payment),) if ends_payment(payment, operation, refusal) else ()
    return (settled, *_dropped(payment, operation, refusal, answered), *over)


def give_up(payment: Payment, operation: Operation, refusal: str, report: IntentReport | None) -> Facts:
    """The end of a payment whose intent the gateway refuses to cancel, where that was to close its booking or to end
    its attempts: what could not be done would be tried for ever. ``report`` is the intent as it was read after the
    refusal, None where the gateway has none.

    A refusal that the intent as it was read does not explain may have been overtaken, so the first one is only noted.
    Money that comes all the same is booked, and sent back when its booking is closed. Held money that is not released
    is noted.
    """
    detail = f"{payment.intent_id}: {refusal} ({operation.purpose.value})"
    if operation.purpose is ev.Purpose.RELEASE_HOLD and holds_in_vain(payment, report):
        return (ev.DriftFound(code=RELEASE_REFUSED, detail=detail),)
    if payment.operation is not None or not _may_be_given_up(payment, operation):
        return ()
    drift = ev.DriftFound(code=CANCEL_REFUSED, detail=detail)
    readable = report is not None and intent_drift(payment, report) is None
    if readable and drift not in payment.drifts:
        return (drift,)
    return (*unless_known(payment, drift), ended(payment))


def is_gone(operation: Operation, now: datetime) -> bool:
    """Whether an intent that the gateway does not know, when asked to cancel it, is taken for gone.

    With keys of another account or mode all intents are unknown, those that were paid in time among them. So what we do
    by ourselves waits until somebody had a day to notice; who gives a booking up need not.
    """
    return operation.purpose not in _BY_ITSELF or now - operation.intended_at >= KEY_LIFETIME


_BY_ITSELF = (ev.Purpose.EXPIRE_BOOKING, ev.Purpose.END_ATTEMPTS)

CANCEL_REFUSED = "cancel_refused"
"""The drift of an intent that the gateway does not cancel."""

RELEASE_REFUSED = "release_refused"
"""The drift of an intent that goes on to hold money for a payment that is over."""


def _may_be_given_up(payment: Payment, operation: Operation) -> bool:
    """Who only waited for the end of the hold or of the attempts has not done their part; a booking that is canceled
    gives held money up, too."""
    if operation.purpose is ev.Purpose.CANCEL_BOOKING:
        return COMMANDS[payment.status][Command.CANCEL] is None
    return operation.purpose in _BY_ITSELF and payment.status.awaits_customer


def _dropped(payment: Payment, operation: Operation, refusal: str, answered: bool) -> Facts:
    key = operation.idempotency_key
    attempts = [a.number for a in payment.attempts if a.idempotency_key == key and a.is_running]
    facts: list[ev.Fact] = [ev.AttemptDropped(number=number) for number in attempts]
    for refund in payment.refunds:
        if refund.idempotency_key == key and move(REFUND, refund.status, RefundEvent.REFUSED) is RefundStatus.FAILED:
            facts.extend(after_refusal(payment, refund, refusal, answered=answered))
    return tuple(facts)


def replacement_after(payment: Payment, operation: Operation, refusal: str | None) -> Replacement | None:
    """What to begin a new payment with where the gateway refused to take another payment method for this intent in its
    present state, while the customer is to act: the intent has to make room. None where it need not, or can't."""
    instruction = operation.instruction
    if refusal != STATE_REFUSED or not isinstance(instruction, ConfirmIntent | UpdateIntent):
        return None
    method = instruction.payment_method_id
    idle = payment.operation is None and payment.status.awaits_customer
    if method is None or not idle or not payment.attempts_left:
        return None
    charged = isinstance(instruction, ConfirmIntent)
    named = instruction.return_url if isinstance(instruction, ConfirmIntent) else None
    return Replacement(payment_method_id=method, confirm=charged, return_url=named or payment.return_url)


STATE_REFUSED: Final = "payment_intent_unexpected_state"
"""The gateway's refusal of what an intent does not admit in its present state."""


def begins_anew(operation: Operation, payment: Payment, booking: Booking, now: datetime) -> bool:
    """Whether a new payment follows now: the one that was to make room is canceled, and the booking may be paid. Not
    with a method that the bank has forbidden meanwhile."""
    replacement = operation.replacement
    if replacement is None or is_burnt(payment, replacement.payment_method_id):
        return False
    over = payment.operation is None
    return over and payment.status is PaymentStatus.CANCELED and booking.payability(now) is Payability.PAYABLE


def release_after(operation: Operation, payment: Payment, booking: Booking) -> Facts:
    """Closing the booking, when the operation that has just ended was the first half of that and worked."""
    given_up = payment.status in (PaymentStatus.CANCELED, PaymentStatus.FAILED)
    if booking.status is not BookingStatus.PENDING or not given_up:
        return ()
    target = _RELEASES.get(operation.purpose)
    return (ev.BookingReleased(status=target.value),) if target else ()


def release_exhausted(payment: Payment, status: BookingStatus) -> Facts:
    """Closing the booking, whose status is ``status`` by now, when its payment has failed for good: with no attempt
    left nobody can pay for it any more."""
    if payment.status is not PaymentStatus.FAILED or status is not BookingStatus.PENDING:
        return ()
    return (ev.BookingReleased(status=BookingStatus.EXPIRED.value, reason=EndReason.ATTEMPTS_EXHAUSTED.value),)


def release_refunded(
    booking: Booking, status: BookingStatus, payment: Payment, facts: Sequence[ev.Fact], *, by_dashboard: bool
) -> Facts:
    """Closing the confirmed booking, whose status is ``status`` by now, of which all of the money goes back.

    Either its customer asked for the refund that completes it, and its promise stands: it waits, its outcome is
    unknown, or the gateway has taken it. A request that the gateway refuses to its caller promises nothing. Or, with
    ``by_dashboard``, ``facts``, which were just recorded, tell of a refund that somebody made at the gateway. Refunds
    that operators send through us leave the booking as it is, since they can cancel it; so does one after the event
    has started.
    """
    in_time = status is BookingStatus.CONFIRMED and payment.status is PaymentStatus.SUCCEEDED and not payment.late
    if not in_time or not payment.refundable.is_whole:
        return ()
    found = _found_in(payment, facts) if by_dashboard else ()
    wanted = [each for each in payment.refunds if each.cancels_booking and _stands(payment, each)]
    waiting = [each for each in payment.deferred if each.cancels_booking]
    made_at = [each.created_at for each in (*wanted, *found)] + [each.created_at for each in waiting]
    if not any(each < booking.event_starts_at for each in made_at):
        return ()
    raised = _promised_by(payment)
    return (ev.BookingReleased(status=BookingStatus.CANCELED.value, reason=EndReason.REFUNDED.value, promised=raised),)


def _stands(payment: Payment, refund: Refund) -> bool:
    """Whether what the request of ``refund`` promised can't be taken back any more by a refusal of its call."""
    operation = payment.operation
    if operation is not None and operation.idempotency_key == refund.idempotency_key:
        return operation.unknown or refund.gateway_refund_id is not None
    return not (refund.status.is_lost and refund.acknowledged)


def _found_in(payment: Payment, facts: Sequence[ev.Fact]) -> tuple[Refund, ...]:
    """The refunds made at the gateway that ``facts`` tell of for the first time."""
    ids = {fact.refund_id for fact in facts if isinstance(fact, ev.RefundFound)}
    return tuple(each for each in payment.refunds if each.id in ids and not each.status.is_lost)


def _promised_by(payment: Payment) -> GivenBack | None:
    """By how much the promise is raised, so that all that goes back by now is promised; None where it is already."""
    counted, bank = payment.given_back + payment.deferred_in_all, max(payment.taken_by_disputes, payment.beside)
    level = min(counted.amount + bank, payment.captured)
    raised = GivenBack(
        amount=not_negative(level - payment.promised.amount), fee=not_negative(counted.fee - payment.promised.fee)
    )
    return raised if raised.amount or raised.fee else None


def require_cancelable_by_owner(booking: Booking, payment: Payment | None, now: datetime) -> None:
    """Raise unless the customer may cancel their own booking at ``now``; ``payment`` is the one that holds it, or its
    latest.

    Raises ``NotPossibleNow`` once it is paid: then a refund says what comes back. ``RefusedByRule`` for a free booking
    whose event has started.
    """
    paid = payment is not None and payment.status is PaymentStatus.SUCCEEDED and not payment.late
    if paid or (booking.status is BookingStatus.CONFIRMED and not booking.free):
        raise NotPossibleNow("this booking is paid already; ask for a refund instead", code="already_paid")
    if booking.free and now >= booking.event_starts_at:
        raise RefusedByRule("the event has started; the booking can no longer be canceled", code="event_started")


def cancels_all_the_same(operation: Operation, payment: Payment, booking: Booking) -> bool:
    """Whether a cancellation whose outcome was unknown still has to close its booking: the payment was made meanwhile.

    Its caller was told that the outcome would be found out, and relies on the cancellation.
    """
    paid = payment.status is PaymentStatus.SUCCEEDED and not payment.late
    open_booking = booking.status in (BookingStatus.PENDING, BookingStatus.CONFIRMED)
    return operation.purpose is ev.Purpose.CANCEL_BOOKING and operation.unknown and paid and open_booking


def cancels_anew(operation: Operation, payment: Payment, booking: Booking) -> bool:
    """Whether a cancellation whose outcome was unknown, and which had no effect, still has something to cancel."""
    cancels = operation.purpose is ev.Purpose.CANCEL_BOOKING and operation.unknown
    admitted = COMMANDS[payment.status][Command.CANCEL] is None
    return cancels and admitted and booking.status is BookingStatus.PENDING


_RELEASES = {
    ev.Purpose.CANCEL_BOOKING: BookingStatus.CANCELED,
    ev.Purpose.EXPIRE_BOOKING: BookingStatus.EXPIRED,
}


def booking_after(booking: Booking, facts: Sequence[ev.Fact]) -> BookingStatus:
    """The booking's status after these facts of its payment."""
    status = booking.status
    for fact in facts:
        if isinstance(fact, ev.BookingConfirmed):
            status = BookingStatus.CONFIRMED
        elif isinstance(fact, ev.BookingReleased):
            status = BookingStatus(fact.status)
    return status


def end_reason_after(booking: Booking, facts: Sequence[ev.Fact]) -> EndReason | None:
    """Why the booking has ended, after these facts of its payment; None where its status says it all."""
    reasons = [fact.reason for fact in facts if isinstance(fact, ev.BookingReleased)]
    return EndReason(reasons[-1]) if reasons and reasons[-1] else booking.end_reason
