"""Closing operations, and the payments and bookings that end with them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking, BookingStatus, EndReason, Payability
from booking_payments.domain.decisions.commands import charges, is_burnt
from booking_payments.domain.decisions.drift import Events, has_drift, unless_known
from booking_payments.domain.decisions.lost import ends_payment
from booking_payments.domain.decisions.obligations import after_refusal, increase_of
from booking_payments.domain.decisions.observe_intents import ended, intent_drift
from booking_payments.domain.errors import NotPossibleNow, PaymentError, RefusedByRule
from booking_payments.domain.instructions import ConfirmIntent, Replacement, UpdateIntent
from booking_payments.domain.lifecycle import COMMANDS, REFUND, Command, PaymentStatus, RefundEvent, RefundStatus, move
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Operation, Payment, Refund
from booking_payments.domain.refunds import GivenBack, QuoteReason
from booking_payments.domain.reports import IntentReport
from booking_payments.domain.retry import KEY_LIFETIME


def attempts_exhausted(payment: Payment) -> bool:
    """True when the intent has to be canceled because no charge attempt is left and no operation is in flight.

    The payment then fails.
    """
    admitted = COMMANDS[payment.status][Command.CANCEL] is None
    return admitted and payment.status.awaits_customer and not payment.attempts_left and payment.operation is None


def has_stale_authorization(payment: Payment, report: IntentReport | None) -> bool:
    """True when the bank holds money for a payment that is canceled or failed, so that the hold has to be released.

    This happens when a charge arrives at the gateway after its payment was abandoned. For a payment whose creating call
    was lost it is also true while the intent can still be paid. It is False after the gateway refused the release: an
    operator has to act.

    Args:
        report: the payment's intent as just read; None where the gateway has none.
    """
    over = payment.status in (PaymentStatus.CANCELED, PaymentStatus.FAILED) and payment.operation is None
    over = over and not has_drift(payment, RELEASE_REFUSED)
    held = report is not None and report.id == payment.intent_id
    return over and held and report is not None and report.status in _stale_statuses(payment)


def _stale_statuses(payment: Payment) -> tuple[PaymentStatus, ...]:
    held = (PaymentStatus.REQUIRES_CAPTURE,)
    return held if payment.lost_intent is None else (*held, *_MAY_BE_PAID)


_MAY_BE_PAID = (
    PaymentStatus.REQUIRES_PAYMENT_METHOD,
    PaymentStatus.REQUIRES_CONFIRMATION,
    PaymentStatus.REQUIRES_ACTION,
)


def may_send(operation: Operation, booking: Booking, now: datetime) -> bool:
    """True when the operation may be sent, or sent again.

    Its idempotency key has to be younger than ``KEY_LIFETIME``; a charge also needs a payable booking.
    """
    if now - operation.intended_at >= KEY_LIFETIME:
        return False
    return not charges(operation.instruction) or booking.payability(now) is Payability.PAYABLE


def settle(payment: Payment, operation: Operation, *, refusal: str | None = None, answered: bool = True) -> Events:
    """Close the operation in flight; returns no events when it is closed already.

    A refusal drops the attempt or the refund that the operation began. If the operation was lost and was to create the
    payment's intent, the payment ends as well.

    Args:
        refusal: the gateway's error code, or a code of ``lost``; None when the operation succeeded.
        answered: the caller that began the operation receives this outcome. Ignored once the outcome was unknown.
    """
    if payment.operation is None or payment.operation.idempotency_key != operation.idempotency_key:
        return ()
    # A caller that already got "outcome unknown" does not receive this outcome.
    answered = answered and not payment.operation.unknown
    settled = ev.OperationSettled(idempotency_key=operation.idempotency_key, refusal=refusal, answered=answered)
    if not refusal:
        return (settled,)
    over = (ended(payment),) if ends_payment(payment, operation, refusal) else ()
    return (settled, *_dropped(payment, operation, refusal, answered), *over)


def abandon(payment: Payment, operation: Operation, refusal: str, report: IntentReport | None) -> Events:
    """Close a payment whose intent the gateway refuses to cancel, which would otherwise be retried forever.

    It applies to cancellations that close the booking or follow the last attempt. While the intent can be read and
    matches the payment, the first refusal is only recorded as drift, because the intent may have changed in between;
    the second one closes the payment. An intent that is missing or contradicts the payment closes it at once. A later
    success is still recorded, and refunded when the booking is closed. A hold that the gateway refuses to release is
    recorded as drift.

    Args:
        refusal: the gateway's error code.
        report: the intent as read after the refusal; None where the gateway has none.
    """
    detail = f"{payment.intent_id}: {refusal} ({operation.purpose.value})"
    if operation.purpose is ev.Purpose.RELEASE_HOLD and has_stale_authorization(payment, report):
        return (ev.DriftFound(code=RELEASE_REFUSED, detail=detail),)
    if payment.operation is not None or not _may_be_abandoned(payment, operation):
        return ()
    drift = ev.DriftFound(code=CANCEL_REFUSED, detail=detail)
    readable = report is not None and intent_drift(payment, report) is None
    if readable and drift not in payment.drifts:
        return (drift,)
    return (*unless_known(payment, drift), ended(payment))


def counts_as_deleted(operation: Operation, now: datetime) -> bool:
    """True when an unknown intent, found so while canceling it, is treated as deleted.

    With API keys of another account or mode every intent is unknown, including paid ones. Cancellations by the system
    therefore wait a day, so that an operator can notice; a cancellation that a caller requested does not wait.
    """
    return operation.purpose not in _BY_ITSELF or now - operation.intended_at >= KEY_LIFETIME


_BY_ITSELF = (ev.Purpose.EXPIRE_BOOKING, ev.Purpose.END_ATTEMPTS)

CANCEL_REFUSED = "cancel_refused"
"""Drift code: the gateway refuses to cancel the intent."""

RELEASE_REFUSED = "release_refused"
"""Drift code: the gateway refuses to release the money that it holds for a closed payment."""


def _may_be_abandoned(payment: Payment, operation: Operation) -> bool:
    """True when the payment may be closed although its intent was not canceled.

    A cancellation by the system closes it only while it waits for the customer; canceling a booking also abandons held
    money.
    """
    if operation.purpose is ev.Purpose.CANCEL_BOOKING:
        return COMMANDS[payment.status][Command.CANCEL] is None
    return operation.purpose in _BY_ITSELF and payment.status.awaits_customer


def _dropped(payment: Payment, operation: Operation, refusal: str, answered: bool) -> Events:
    key = operation.idempotency_key
    attempts = [a.number for a in payment.attempts if a.idempotency_key == key and a.is_running]
    events: list[ev.Event] = [ev.AttemptDropped(number=number) for number in attempts]
    for refund in payment.refunds:
        if refund.idempotency_key == key and move(REFUND, refund.status, RefundEvent.REFUSED) is RefundStatus.FAILED:
            events.extend(after_refusal(payment, refund, refusal, answered=answered))
    return tuple(events)


def replacement_after(payment: Payment, operation: Operation, refusal: str | None) -> Replacement | None:
    """Return the parameters of a new payment that replaces this one; None where none is needed or possible.

    A replacement is needed when the gateway rejected another payment method because of the intent's state, while the
    customer has to act.
    """
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
"""Stripe's error code for a request that the intent's state does not allow (docs.stripe.com/error-codes)."""


def starts_replacement(operation: Operation, payment: Payment, booking: Booking, now: datetime) -> bool:
    """True when a replacement payment is to be started: its predecessor is canceled, and the booking is payable.

    False when the bank has meanwhile forbidden the replacement's payment method.
    """
    replacement = operation.replacement
    if replacement is None or is_burnt(payment, replacement.payment_method_id):
        return False
    over = payment.operation is None
    return over and payment.status is PaymentStatus.CANCELED and booking.payability(now) is Payability.PAYABLE


def release_after(operation: Operation, payment: Payment, booking: Booking) -> Events:
    """Return the event that closes the booking once the payment is closed, if that was the purpose of ``operation``."""
    given_up = payment.status in (PaymentStatus.CANCELED, PaymentStatus.FAILED)
    if booking.status is not BookingStatus.PENDING or not given_up:
        return ()
    target = _RELEASES.get(operation.purpose)
    return (ev.BookingReleased(status=target.value),) if target else ()


def release_exhausted(payment: Payment, status: BookingStatus) -> Events:
    """Return the event that expires a pending booking whose payment has failed; otherwise nothing.

    A payment fails when no charge attempt is left.

    ``status`` is the booking's current status.
    """
    if payment.status is not PaymentStatus.FAILED or status is not BookingStatus.PENDING:
        return ()
    return (ev.BookingReleased(status=BookingStatus.EXPIRED.value, reason=EndReason.ATTEMPTS_EXHAUSTED.value),)


def release_refunded(
    booking: Booking, status: BookingStatus, payment: Payment, events: Sequence[ev.Event], *, by_dashboard: bool
) -> Events:
    """Return the events that cancel a confirmed booking whose whole payment is refunded; otherwise nothing.

    The refund that completes the amount is one of two kinds. (a) The customer requested it, and it can no longer be
    refused: it is deferred, its outcome is unknown, or the gateway accepted it. If the customer requested items only,
    the booking is canceled when no item is left (``change_refunded_items``). (b) ``by_dashboard`` is set, and
    ``events``, the events just recorded, contain a refund made in the gateway's dashboard. Refunds that operators send
    through this service leave the booking confirmed, since operators can cancel it; so does a refund made after the
    start of the event.

    Args:
        status: the booking's current status.
        events: the events that were just recorded.
        by_dashboard: a full refund in the gateway's dashboard cancels the booking.
    """
    in_time = status is BookingStatus.CONFIRMED and payment.status is PaymentStatus.SUCCEEDED and not payment.late
    if not in_time or not (payment.refunds or payment.deferred) or not payment.refundable.is_whole:
        return ()
    found = _found_in(payment, events) if by_dashboard else ()
    wanted = [each for each in payment.refunds if each.cancels_booking and _stands(payment, each)]
    waiting = [each for each in payment.deferred if each.cancels_booking]
    made_at = [each.created_at for each in (*wanted, *found)] + [each.created_at for each in waiting]
    if not any(each < booking.event_starts_at for each in made_at):
        return ()
    released = ev.BookingReleased(status=BookingStatus.CANCELED.value, reason=EndReason.REFUNDED.value)
    raised = _promised_by(payment)
    return (ev.PromiseRaised(promised=raised), released) if raised else (released,)


def change_refunded_items(status: BookingStatus, payment: Payment) -> Events:
    """Return the event of a refund of items that changes its booking; nothing while its promise can be withdrawn.

    It can't be any more when the refund is deferred, when its outcome is unknown, and when the gateway accepted it.
    A booking that was closed meanwhile keeps its items. One without any item left is canceled, with the reason
    ``refunded`` when everything has gone back.

    ``status`` is the booking's current status.
    """
    changes = [each.change for each in payment.deferred]
    changes += [each.change for each in payment.refunds if each.change is not None and _stands(payment, each)]
    found = next(filter(None, changes), None)
    if found is None or not status.is_live:
        return ()
    if found.amended is not None:
        return (found.amended,)
    reason = EndReason.REFUNDED.value if payment.refundable.is_whole else None
    return (ev.BookingReleased(status=BookingStatus.CANCELED.value, reason=reason),)


def _stands(payment: Payment, refund: Refund) -> bool:
    """True when a refusal of the refund's call can no longer withdraw the amount that its request promised."""
    operation = payment.operation
    if operation is not None and operation.idempotency_key == refund.idempotency_key:
        return operation.unknown or refund.gateway_refund_id is not None
    return not (refund.status.is_lost and refund.acknowledged)


def _found_in(payment: Payment, events: Sequence[ev.Event]) -> tuple[Refund, ...]:
    """Return the refunds that ``events`` record as found at the gateway, without failed ones."""
    ids = {event.refund_id for event in events if isinstance(event, ev.RefundFound)}
    return tuple(each for each in payment.refunds if each.id in ids and not each.status.is_lost)


def _promised_by(payment: Payment) -> GivenBack | None:
    """Return the increase after which every refund sent or deferred is promised; None when it is zero."""
    counted, bank = payment.given_back + payment.deferred_in_all, max(payment.taken_by_disputes, payment.beside)
    return increase_of(payment, min(counted.amount + bank, payment.captured), counted.fee)


def require_cancelable_by_owner(
    booking: Booking, payment: Payment | None, now: datetime, *, denied: QuoteReason | None = None
) -> None:
    """Raise unless the customer may cancel their own booking, or items of it, at ``now``.

    A paid booking may be given up before its event starts if nothing goes back for it: ``require_nothing_back`` decides
    that once the decision to cancel is known. Otherwise the customer requests a refund.

    Args:
        payment: the payment that holds the booking, or else its latest; None where it has none.
        denied: why this customer may not request refunds; None when they may.

    Raises:
        NotPossibleNow, RefusedByRule: the booking is paid, and its event has started: the reason for which a refund is
            refused, such as ``event_started``, or ``already_paid`` if it would be possible.
        RefusedByRule: as ``require_given_up_in_time``.
    """
    if _is_paid(booking, payment) and now >= booking.event_starts_at:
        raise _refund_instead(payment, now, denied)
    require_given_up_in_time(booking, payment, now)


def require_nothing_back(
    booking: Booking, payment: Payment | None, added: Money, now: datetime, *, denied: QuoteReason | None = None
) -> None:
    """Raise when a customer cancels what is paid, and ``added`` would go back.

    The customer requests a refund instead, whose quote says how much: ``NotPossibleNow`` (``already_paid``). Where the
    refund would be refused, its reason is raised.

    Args:
        payment: the one before the decision.
        denied: why this customer may not request refunds; None when they may.
    """
    if added and _is_paid(booking, payment):
        raise _refund_instead(payment, now, denied)


def _is_paid(booking: Booking, payment: Payment | None) -> bool:
    paid = payment is not None and payment.status is PaymentStatus.SUCCEEDED and not payment.late
    return paid or (booking.status is BookingStatus.CONFIRMED and not booking.free)


def _refund_instead(payment: Payment | None, now: datetime, denied: QuoteReason | None) -> PaymentError:
    """Return the error that points a customer to a refund, or says why a refund would be refused as well."""
    paid = payment is not None and payment.status is PaymentStatus.SUCCEEDED
    reason = payment.refundable.quote(now, None, denied=denied).reason if payment is not None and paid else None
    if reason is not None and not reason.allows:
        return reason.error()
    return NotPossibleNow("this booking is paid already; ask for a refund instead", code="already_paid")


def require_given_up_in_time(booking: Booking, payment: Payment | None, now: datetime) -> None:
    """Raise ``RefusedByRule`` (``event_started``) when the customer would give up a seat that may have been used.

    That is a free booking, or one whose money is held or on its way, once its event has started. Nobody pays for an
    other booking any more then, so its customer may close it.
    """
    on_its_way = (PaymentStatus.REQUIRES_CAPTURE, PaymentStatus.PROCESSING)
    held = payment is not None and payment.status in on_its_way
    if (booking.free or held) and now >= booking.event_starts_at:
        raise RefusedByRule("the event has started; the booking can no longer be canceled", code="event_started")


def cancels_although_paid(operation: Operation, payment: Payment, booking: Booking) -> bool:
    """True when a cancellation still has to cancel the booking although the payment succeeded meanwhile.

    Its outcome was unknown at first.

    The response to the cancellation promised that its outcome would be resolved, so the customer relies on it.
    """
    paid = payment.status is PaymentStatus.SUCCEEDED and not payment.late
    open_booking = booking.status in (BookingStatus.PENDING, BookingStatus.CONFIRMED)
    return operation.purpose is ev.Purpose.CANCEL_BOOKING and operation.unknown and paid and open_booking


def cancels_again(operation: Operation, payment: Payment, booking: Booking) -> bool:
    """True when a cancellation whose outcome was unknown had no effect, and the payment can still be canceled."""
    cancels = operation.purpose is ev.Purpose.CANCEL_BOOKING and operation.unknown
    admitted = COMMANDS[payment.status][Command.CANCEL] is None
    return cancels and admitted and booking.status is BookingStatus.PENDING


_RELEASES = {
    ev.Purpose.CANCEL_BOOKING: BookingStatus.CANCELED,
    ev.Purpose.EXPIRE_BOOKING: BookingStatus.EXPIRED,
}


def booking_after(booking: Booking, events: Sequence[ev.Event]) -> BookingStatus:
    """Return the booking's status after these events of its payment."""
    status = booking.status
    for event in events:
        if isinstance(event, ev.BookingConfirmed):
            status = BookingStatus.CONFIRMED
        elif isinstance(event, ev.BookingReleased):
            status = BookingStatus(event.status)
    return status


def end_reason_after(booking: Booking, events: Sequence[ev.Event]) -> EndReason | None:
    """Return why the booking ended, after these events of its payment; None without a further reason."""
    reasons = [event.reason for event in events if isinstance(event, ev.BookingReleased)]
    return EndReason(reasons[-1]) if reasons and reasons[-1] else booking.end_reason
