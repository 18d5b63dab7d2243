"""Applying what the gateway reports of an intent."""

from collections.abc import Callable, Mapping

from attrs import evolve

from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.changing import changed
from booking_payments.domain.decisions.amending import amount_update_seen, shows_update
from booking_payments.domain.decisions.commands import charges
from booking_payments.domain.decisions.drift import Events, contradicted, unless_known
from booking_payments.domain.errors import IllegalTransition
from booking_payments.domain.instructions import CaptureMethod, CreateIntent
from booking_payments.domain.lifecycle import PAYMENT, PaymentEvent, PaymentStatus, move
from booking_payments.domain.payment import Attempt, AttemptOutcome, Operation, Payment, applied
from booking_payments.domain.reports import Failure, IntentReport


def observe_intent(
    payment: Payment,
    report: IntentReport,
    booking: Booking,
    *,
    alone: bool = True,
    read: bool = False,
    answered_with: str | None = None,
) -> Events:
    """Return the events that follow from a trusted report of the payment's intent.

    The report is the response to a call, a fresh read, or the object of a webhook in a final state. A report that
    contradicts the payment is recorded as drift, once, and changes nothing else.

    Args:
        alone: no other payment holds the booking; otherwise a success is late.
        read: the report is not the response to the call in flight.
        answered_with: with ``read``, the payment method named in that response; None where it is not known.
    """
    amendment = amount_update_seen(payment, report, booking)
    if amendment:
        after = payment
        for event in amendment:
            after = applied(after, event, payment.updated_at)
        priced = changed(booking, amount=after.booking_amount)
        rest = observe_intent(after, report, priced, alone=alone, read=read, answered_with=answered_with)
        return (*amendment, *rest)
    drift = intent_drift(payment, report)
    if drift is not None:
        return unless_known(payment, drift)
    link: Events = () if payment.intent_id else (ev.IntentLinked(intent_id=report.id),)
    known = _with_answer(payment, answered_with if read else report.method_tried)
    try:
        return (*link, *_intent_news(known, report, booking, alone), *observe_method(payment, report))
    except IllegalTransition as contradiction:
        return (*link, *contradicted(payment, report.id, contradiction))


def observe_method(payment: Payment, report: IntentReport) -> Events:
    """Return the event that records what a charge was made with; nothing when the payment has it already.

    A report without a capture deadline leaves the known one unchanged. The first receipt of a method is kept: Stripe
    signs the link anew for each response, so a later one is no change.
    """
    if report.method is None or report.status not in _CHARGED:
        return ()
    receipt_url = payment.receipt_url if payment.method == report.method else None
    seen = ev.MethodSeen(
        charge_id=report.charge_id,
        method=report.method,
        capture_before=report.capture_before or payment.capture_before,
        receipt_url=receipt_url or report.receipt_url or payment.receipt_url,
    )
    known = (payment.method, payment.capture_before, payment.receipt_url)
    return () if (seen.method, seen.capture_before, seen.receipt_url) == known else (seen,)


_CHARGED = (PaymentStatus.PROCESSING, PaymentStatus.REQUIRES_CAPTURE, PaymentStatus.SUCCEEDED)


def is_stale_intent(payment: Payment, report: IntentReport) -> bool:
    """True when a snapshot contains nothing new, so that the intent need not be read.

    A snapshot in ``requires_action`` may be about another action than the known one; the payment does not record it.
    """
    linked = payment.intent_id == report.id and intent_drift(payment, report) is None
    waits = report.status in (PaymentStatus.REQUIRES_PAYMENT_METHOD, PaymentStatus.REQUIRES_CONFIRMATION)
    return linked and report.failure is None and (waits or report.status is payment.status)


def observe_verdict(payment: Payment, failure: Failure) -> Events:
    """Return the events of a decline that is the response to a call; nothing when a webhook has recorded it already."""
    known = _with_answer(payment, failure.payment_method_id)
    return _refused(known, failure) if _is_unrecorded(known, failure) else ()


def _with_answer(payment: Payment, answered_with: str | None) -> Payment:
    """Return the payment with the reported method id set on the attempt whose call is in flight."""
    if answered_with is None:
        return payment
    attempts = tuple(
        evolve(each, method_seen=answered_with) if each.is_running and payment.is_in_flight(each) else each
        for each in payment.attempts
    )
    return changed(payment, attempts=attempts)


def intent_drift(payment: Payment, report: IntentReport) -> ev.DriftFound | None:
    """Return the drift of a report that is about another intent or cannot be correct; None for a plausible report."""
    if payment.intent_id is not None and payment.intent_id != report.id:
        return ev.DriftFound(code="other_intent", detail=f"{report.id} is not the intent of this payment")
    if payment.status is PaymentStatus.SUCCEEDED and report.status is PaymentStatus.SUCCEEDED:
        return None if report.amount_received == payment.captured else _amount_drift(payment, report)
    if report.amount != payment.asked:
        return _amount_drift(payment, report)
    if report.status is None:
        return ev.DriftFound(
            code="unknown_status", detail="the gateway reports a status that this version does not know"
        )
    return _received_drift(payment, report)


def _amount_drift(payment: Payment, report: IntentReport) -> ev.DriftFound:
    detail = f"requested {payment.amount}; the gateway reports {report.amount}, received {report.amount_received}"
    same = payment.amount.currency is report.amount.currency
    return ev.DriftFound(code="amount_differs" if same else "currency_differs", detail=detail)


def _received_drift(payment: Payment, report: IntentReport) -> ev.DriftFound | None:
    if report.status is not PaymentStatus.SUCCEEDED:
        return None
    whole = report.amount_received == report.amount
    partial = payment.capture_method is CaptureMethod.MANUAL and report.amount_received.minor > 0
    fits = whole or (partial and report.amount_received < report.amount)
    return None if fits else _amount_drift(payment, report)


def _intent_news(payment: Payment, report: IntentReport, booking: Booking, alone: bool) -> Events:
    event = _EVENTS[report.status] if report.status else PaymentEvent.METHOD_REQUIRED
    if event is PaymentEvent.METHOD_REQUIRED and report.failure and _is_unrecorded(payment, report.failure):
        return _refused(payment, report.failure)
    if event in _UNDER_WAY and payment.status is report.status:
        return _goes_on(payment, report, event)
    if move(PAYMENT, payment.status, event) is None:
        return ()
    if event is PaymentEvent.SUCCEEDED:
        return _succeeded(payment, report, booking, alone)
    if event is PaymentEvent.AUTHORIZED:
        return _authorized(payment, report)
    if event is PaymentEvent.CANCELED:
        return _canceled(payment, report.failure)
    if event in _UNDER_WAY:
        return _under_way(payment, report, event)
    over = _dropped(payment, None) if event is PaymentEvent.METHOD_ATTACHED else ()
    return (*over, _SIMPLE_NEWS[event]())


def _canceled(payment: Payment, failure: Failure | None) -> Events:
    """Return the end of the payment, preceded by a verdict that was not recorded before it."""
    unrecorded = failure is not None and payment.status.awaits_customer and _is_unrecorded(payment, failure)
    verdict = _refused(payment, failure) if failure is not None and unrecorded else ()
    after = payment
    for event in verdict:
        after = applied(after, event, payment.updated_at)
    return (*verdict, ended(after))


def _goes_on(payment: Payment, report: IntentReport, event: PaymentEvent) -> Events:
    """Return the events of a report with an unchanged status: nothing, unless another payment method is being tried."""
    method = report.payment_method_id
    known = _running_with(payment, method)
    is_recorded = known is not None and known.method_seen == method and not payment.is_in_flight(known)
    if method is None or (is_recorded and not _dropped(payment, known)):
        return ()
    return _under_way(payment, report, event)


def _under_way(payment: Payment, report: IntentReport, event: PaymentEvent) -> Events:
    began, number = _attempt_for(payment, report.payment_method_id)
    return (*began, _UNDER_WAY[event](attempt=number, payment_method_id=report.payment_method_id))


_UNDER_WAY: Mapping[PaymentEvent, type[ev.ActionRequired] | type[ev.ProcessingStarted]] = {
    PaymentEvent.ACTION_REQUIRED: ev.ActionRequired,
    PaymentEvent.PROCESSING: ev.ProcessingStarted,
}

_EVENTS = {
    PaymentStatus.REQUIRES_PAYMENT_METHOD: PaymentEvent.METHOD_REQUIRED,
    PaymentStatus.REQUIRES_CONFIRMATION: PaymentEvent.METHOD_ATTACHED,
    PaymentStatus.REQUIRES_ACTION: PaymentEvent.ACTION_REQUIRED,
    PaymentStatus.PROCESSING: PaymentEvent.PROCESSING,
    PaymentStatus.REQUIRES_CAPTURE: PaymentEvent.AUTHORIZED,
    PaymentStatus.SUCCEEDED: PaymentEvent.SUCCEEDED,
    PaymentStatus.CANCELED: PaymentEvent.CANCELED,
}

_SIMPLE_NEWS: Mapping[PaymentEvent, Callable[[], ev.Event]] = {
    PaymentEvent.METHOD_REQUIRED: ev.MethodRequired,
    PaymentEvent.METHOD_ATTACHED: ev.MethodAttached,
}


def ended(payment: Payment) -> ev.Event:
    """Return ``PaymentFailed`` when no attempt is left, otherwise ``PaymentCanceled``.

    A canceled hold always counts as canceled, however many attempts preceded it.
    """
    exhausted = not payment.attempts_left and payment.status is not PaymentStatus.REQUIRES_CAPTURE
    return ev.PaymentFailed() if exhausted else ev.PaymentCanceled()


def _is_unrecorded(payment: Payment, failure: Failure) -> bool:
    """True when the failure is not recorded yet: it names an unknown charge, or fits an attempt that is running."""
    if failure.charge_id is not None:
        return all(attempt.charge_id != failure.charge_id for attempt in payment.attempts)
    if any(attempt.is_running and attempt.may_be_of(failure.payment_method_id) for attempt in payment.attempts):
        return True
    return all(attempt.method_seen != failure.payment_method_id for attempt in payment.attempts if attempt.decline)


def _refused(payment: Payment, failure: Failure) -> Events:
    started, number = _attempt_for(payment, failure.payment_method_id)
    refused = ev.AttemptRefused(
        number=number,
        decline=failure.decline,
        charge_id=failure.charge_id,
        payment_method_id=failure.payment_method_id,
    )
    return (*started, refused)


def _attempt_for(payment: Payment, payment_method_id: str | None) -> tuple[Events, int]:
    """Return the events and the number of the attempt that a report with this payment method belongs to.

    It is a running attempt with that method, or else a new one made by the customer in the browser. An intent tries one
    method at a time, so all other running attempts are dropped.
    """
    attempt = _running_with(payment, payment_method_id)
    if attempt is not None:
        return _dropped(payment, attempt), attempt.number
    number = len(payment.attempts) + 1
    started = ev.AttemptStarted(
        number=number, origin=ev.Origin.CLIENT, idempotency_key=None, payment_method_id=payment_method_id
    )
    return (*_dropped(payment, None), started), number


def _running_with(payment: Payment, payment_method_id: str | None) -> Attempt | None:
    """Return the latest running attempt with this method, preferring those whose method the gateway has named."""
    running = [attempt for attempt in reversed(payment.attempts) if attempt.is_running]
    named = [attempt for attempt in running if payment_method_id is not None and attempt.names(payment_method_id)]
    possible = [attempt for attempt in running if attempt.may_be_of(payment_method_id)]
    return next(iter((*named, *possible)), None)


def _dropped(payment: Payment, kept: Attempt | None) -> Events:
    """Return the end of all running attempts except ``kept`` and one whose call has not been answered yet."""
    over = [attempt for attempt in payment.attempts if attempt.is_running and attempt is not kept]
    return tuple(ev.AttemptDropped(number=each.number) for each in over if not _may_still_come(payment, each))


def _may_still_come(payment: Payment, attempt: Attempt) -> bool:
    return payment.is_in_flight(attempt) and attempt.method_seen is None


def _charged_attempt(payment: Payment, report: IntentReport) -> tuple[Events, int]:
    known = [a for a in payment.attempts if a.outcome is AttemptOutcome.DONE and _same_charge(a, report)]
    return ((), known[0].number) if known else _attempt_for(payment, report.payment_method_id)


def _same_charge(attempt: Attempt, report: IntentReport) -> bool:
    return attempt.charge_id is None or report.charge_id is None or attempt.charge_id == report.charge_id


def _authorized(payment: Payment, report: IntentReport) -> Events:
    started, number = _charged_attempt(payment, report)
    authorized = ev.PaymentAuthorized(
        amount=report.amount_capturable or report.amount,
        charge_id=report.charge_id,
        attempt=number,
        payment_method_id=report.payment_method_id,
    )
    return (*started, authorized)


def _succeeded(payment: Payment, report: IntentReport, booking: Booking, alone: bool) -> Events:
    """Return the events of a success. A success is always recorded.

    It is late when the booking no longer waits, when another payment holds it, or when the booking costs something else
    by now. Only a payment that had ended can succeed at an old price: an amendment changes the price of an open one.
    """
    started, number = _charged_attempt(payment, report)
    breakdown = payment.fee_policy.of_captured(report.amount_received, payment.breakdown)
    late = not alone or booking.status is not BookingStatus.PENDING or payment.booking_amount != booking.amount
    succeeded = ev.PaymentSucceeded(
        breakdown=breakdown,
        charge_id=report.charge_id,
        attempt=number,
        late=late,
        payment_method_id=report.payment_method_id,
    )
    if late:
        decided = ev.LatePaymentDecided(booking_status=booking.status.value)
        return (*started, succeeded, decided)
    return (*started, succeeded, ev.BookingConfirmed())


def is_conclusive(payment: Payment, operation: Operation, report: IntentReport) -> bool:
    """True when a fresh read of the intent settles an operation whose outcome was unknown.

    - A charge is settled when the intent has left the states that wait for a charge, newly waits for the customer's
      authentication, or shows a failed charge that is not recorded yet.
    - A creation without a charge is settled by any read.
    - An update of the amount is settled when the intent has the new amount.
    - Any other operation is settled when the intent is final.

    Refunds are settled by reading refunds.
    """
    if charges(operation.instruction):
        settled = report.status not in (None, *_WAITS_FOR_CHARGE) or _asks_for_action_now(payment, operation, report)
        return settled or _tells_of_new_charge(payment, operation, report.failure)
    if isinstance(operation.instruction, CreateIntent) or shows_update(operation, report):
        return True
    return report.status in (PaymentStatus.SUCCEEDED, PaymentStatus.CANCELED)


def _asks_for_action_now(payment: Payment, operation: Operation, report: IntentReport) -> bool:
    """True when the intent has entered ``requires_action`` since the call.

    Only a charge makes the bank ask for authentication; an intent that was in that state before shows nothing.
    """
    waits = PaymentStatus.REQUIRES_ACTION
    return (
        report.status is waits
        and payment.status is not waits
        and _is_ours(payment, operation, report.payment_method_id)
    )


def _tells_of_new_charge(payment: Payment, operation: Operation, failure: Failure | None) -> bool:
    charged = failure is not None and failure.charge_id is not None and _is_unrecorded(payment, failure)
    return charged and failure is not None and _is_ours(payment, operation, failure.payment_method_id)


def _is_ours(payment: Payment, operation: Operation, payment_method_id: str | None) -> bool:
    """True when a report with this payment method may be about the operation's charge.

    It may also be about a method that the customer tries in the browser meanwhile.
    """
    ours = [each for each in payment.attempts if each.idempotency_key == operation.idempotency_key]
    return not ours or _running_with(payment, payment_method_id) in ours


_WAITS_FOR_CHARGE = (
    PaymentStatus.REQUIRES_PAYMENT_METHOD,
    PaymentStatus.REQUIRES_CONFIRMATION,
    PaymentStatus.REQUIRES_ACTION,
)
