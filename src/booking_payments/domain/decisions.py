"""Decisions: which facts happen. Pure functions of the payment, what was asked or reported, time and new ids.

Intentions (``intend_...``) check the rules and say what we are about to ask of the gateway. Observations
(``observe_...``) judge what the gateway reports. ``settle`` ends an operation. None of them changes anything: the
facts they return are folded by ``payment.evolve``.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import attrs

from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking, BookingStatus, Payability
from booking_payments.domain.errors import (
    AlreadyUnderWay,
    CardDeclined,
    IllegalTransition,
    InvalidAmount,
    NotPossibleNow,
    RefusedByRule,
)
from booking_payments.domain.fees import FeePolicy
from booking_payments.domain.instructions import (
    CancelIntent,
    CancellationReason,
    CaptureIntent,
    CaptureMethod,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
    Instruction,
)
from booking_payments.domain.lifecycle import (
    COMMANDS,
    DISPUTE,
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
    require,
)
from booking_payments.domain.money import Money, total
from booking_payments.domain.payment import Attempt, AttemptOutcome, Dispute, Operation, Payment, Refund
from booking_payments.domain.refunds import Owed, RefundPolicy, RefundQuote, RefundReason
from booking_payments.domain.reports import DisputeReport, Failure, IntentReport, RefundReport
from booking_payments.domain.retry import KEY_LIFETIME

Facts = tuple[ev.Fact, ...]


# --- starting --------------------------------------------------------------------------------------------------


def start(
    booking: Booking,
    *,
    payment_id: str,
    now: datetime,
    fee_policy: FeePolicy,
    refund_policy: RefundPolicy,
    capture_method: CaptureMethod,
    max_attempts: int,
    amount_step: int,
) -> ev.PaymentStarted:
    """A new payment for ``booking``, under the terms of this moment; raises unless the booking is payable.

    ``amount_step`` is the gateway's: it takes and gives back multiples of so many minor units only.
    """
    require_payable(booking, now)
    return ev.PaymentStarted(
        payment_id=payment_id,
        booking_id=booking.id,
        booking_reference=booking.reference,
        customer_id=booking.customer_id,
        booking_amount=booking.amount,
        breakdown=fee_policy.of_booking(booking.amount, amount_step),
        fee_policy=fee_policy,
        refund_policy=booking.refund_policy or refund_policy,
        event_starts_at=booking.event_starts_at,
        capture_method=capture_method,
        max_attempts=max_attempts,
        amount_step=amount_step,
    )


def require_payable(booking: Booking, now: datetime) -> None:
    """Raise the reason unless ``booking`` may be paid at ``now``."""
    payability = booking.payability(now)
    if payability is not Payability.PAYABLE:
        raise payability.error()


# --- intentions ------------------------------------------------------------------------------------------------


def intend_create(
    payment: Payment,
    *,
    idempotency_key: str,
    payment_method_id: str | None,
    confirm: bool,
    return_url: str | None,
    method_types: tuple[str, ...] = (),
    correlation_id: str | None = None,
) -> Facts:
    """Make the intent at the gateway, and charge it in the same call when ``confirm`` is set.

    ``correlation_id`` names the request that asked for it, also at the gateway.
    """
    if confirm:
        _require_chargeable(payment, payment_method_id)
    _require_idle(payment)
    instruction = CreateIntent(
        amount=payment.amount,
        capture_method=payment.capture_method,
        payment_method_id=payment_method_id,
        confirm=confirm,
        return_url=return_url,
        metadata=_metadata(payment, correlation_id),
        method_types=method_types,
    )
    intended = ev.OperationIntended(idempotency_key=idempotency_key, purpose=ev.Purpose.PAY, instruction=instruction)
    return (*_server_attempt(payment, idempotency_key, payment_method_id), intended) if confirm else (intended,)


def intend_confirm(
    payment: Payment, *, idempotency_key: str, payment_method_id: str | None, return_url: str | None
) -> Facts:
    """Charge the intent, with ``payment_method_id`` or with the method attached already."""
    _require_chargeable(payment, payment_method_id)
    _require_idle(payment)
    instruction = ConfirmIntent(
        intent_id=_intent_of(payment), payment_method_id=payment_method_id, return_url=return_url
    )
    intended = ev.OperationIntended(idempotency_key=idempotency_key, purpose=ev.Purpose.PAY, instruction=instruction)
    return (*_server_attempt(payment, idempotency_key, payment_method_id), intended)


def intend_capture(payment: Payment, *, idempotency_key: str, amount: Money | None) -> Facts:
    """Collect ``amount`` of the held money (None: all of it); the rest is released."""
    require(payment.status, Command.CAPTURE)
    _require_idle(payment)
    amount = payment.authorized if amount is None else amount
    if amount.minor <= 0:
        raise InvalidAmount("the amount to capture must be more than zero")
    if amount > payment.authorized:
        raise RefusedByRule(f"only {payment.authorized} is held", code="amount_exceeds_authorized")
    instruction = CaptureIntent(intent_id=_intent_of(payment), amount=amount)
    return (ev.OperationIntended(idempotency_key=idempotency_key, purpose=ev.Purpose.CAPTURE, instruction=instruction),)


def intend_cancel(payment: Payment, *, idempotency_key: str, purpose: ev.Purpose) -> Facts:
    """Give the intent up. Without one at the gateway the payment is canceled at once, with no call."""
    require(payment.status, Command.CANCEL)
    _require_idle(payment)
    if payment.intent_id is None:
        return (ev.PaymentFailed(),) if purpose is ev.Purpose.END_ATTEMPTS else (ev.PaymentCanceled(),)
    asked = purpose is ev.Purpose.CANCEL_PAYMENT or purpose is ev.Purpose.CANCEL_BOOKING
    reason = CancellationReason.REQUESTED_BY_CUSTOMER if asked else CancellationReason.ABANDONED
    instruction = CancelIntent(intent_id=payment.intent_id, reason=reason)
    return (ev.OperationIntended(idempotency_key=idempotency_key, purpose=purpose, instruction=instruction),)


def intend_refund(
    payment: Payment,
    quote: RefundQuote,
    *,
    refund_id: str,
    idempotency_key: str,
    reason: RefundReason,
    note: str | None,
    correlation_id: str | None = None,
) -> Facts:
    """Give back what ``quote`` says; the amount is reserved from this moment. ``correlation_id`` as with the intent."""
    require(payment.status, Command.REFUND)
    _require_idle(payment)
    if not quote.allowed:
        raise quote.reason.error()
    own = _metadata(payment, correlation_id)
    metadata = {**own, "refund_id": refund_id, **({"note": note} if note else {})}
    requested = ev.RefundRequested(
        refund_id=refund_id,
        amount=quote.amount,
        fee_refunded=quote.fee_refunded,
        reason=reason,
        note=note,
        idempotency_key=idempotency_key,
    )
    instruction = CreateRefund(
        intent_id=_intent_of(payment),
        refund_id=refund_id,
        amount=quote.amount,
        reason=reason,
        metadata=metadata,
    )
    intended = ev.OperationIntended(idempotency_key=idempotency_key, purpose=ev.Purpose.REFUND, instruction=instruction)
    return requested, intended


def quote(
    payment: Payment, booking: Booking, now: datetime, amount: Money | None, *, in_full: bool = False
) -> RefundQuote:
    """What refunding ``amount`` (None: all that can come back) would give at ``now``.

    ``in_full``: the organizer cancels, and all comes back, fee included. Late money comes back so by itself, and as
    well when somebody has to ask for it again.
    """
    refundable = attrs.evolve(payment.refundable, owed=owed_back(payment, booking))
    return refundable.quote(now, amount, organizer_canceled=in_full or payment.late)


def owed_back(payment: Payment, booking: Booking) -> Owed | None:
    """What a canceled booking was to give back and does not; None when that is nothing.

    Who has given the seat up gets what was said then, or later, however late it turns out that it did not reach them.
    What their bank has taken back by a dispute counts. While a call is in flight or the payment is disputed nobody
    knows yet.
    """
    promised, given = payment.promised, payment.given_back
    if booking.status is not BookingStatus.CANCELED or payment.operation is not None or payment.disputed:
        return None
    taken = total((dispute.withdrawn for dispute in payment.disputes), given.amount.currency)
    if promised is None or promised.amount <= given.amount + taken:
        return None
    zero = Money.zero(given.fee.currency)
    return Owed(amount=promised.amount - given.amount - taken, fee=max(promised.fee - given.fee, zero))


def needs_ending(payment: Payment) -> bool:
    """True when the last attempt is used up, so that the intent has to be canceled and the payment fails."""
    admitted = COMMANDS[payment.status][Command.CANCEL] is None
    return admitted and payment.status.awaits_customer and not payment.attempts_left and payment.operation is None


def holds_in_vain(payment: Payment, report: IntentReport | None) -> bool:
    """True when the bank holds money for a payment that is over: its call arrived after it was given up. What the
    gateway refused to release is left to a person."""
    over = payment.status in (PaymentStatus.CANCELED, PaymentStatus.FAILED) and payment.operation is None
    over = over and not _has_drift(payment, RELEASE_REFUSED)
    held = report is not None and report.status is PaymentStatus.REQUIRES_CAPTURE and report.id == payment.intent_id
    return over and held


def intend_release(payment: Payment, *, idempotency_key: str) -> Facts:
    """Give held money up for which there is no payment any more."""
    _require_idle(payment)
    instruction = CancelIntent(intent_id=_intent_of(payment), reason=CancellationReason.ABANDONED)
    purpose = ev.Purpose.RELEASE_HOLD
    return (ev.OperationIntended(idempotency_key=idempotency_key, purpose=purpose, instruction=instruction),)


def _require_chargeable(payment: Payment, payment_method_id: str | None) -> None:
    require(payment.status, Command.CONFIRM)
    if not payment.attempts_left:
        raise Denial.ATTEMPTS_EXHAUSTED.error()
    _refuse_burnt_card(payment, payment_method_id)


def _refuse_burnt_card(payment: Payment, payment_method_id: str | None) -> None:
    """Repeat the verdict instead of the charge where the bank said never again with this card.

    The answer is the first one's to the letter, so that a hidden reason stays hidden.
    """
    for attempt in payment.attempts:
        names = (attempt.payment_method_id, attempt.method_seen)
        same = payment_method_id is not None and payment_method_id in names
        if same and attempt.decline is not None and not attempt.decline.rule.same_card:
            raise CardDeclined(attempt.decline)


def _require_idle(payment: Payment) -> None:
    if payment.operation is not None:
        raise AlreadyUnderWay()


def _intent_of(payment: Payment) -> str:
    if payment.intent_id is None:
        raise NotPossibleNow("this payment has not reached the payment provider yet", code="no_intent")
    return payment.intent_id


def _server_attempt(payment: Payment, key: str, payment_method_id: str | None) -> Facts:
    number = len(payment.attempts) + 1
    return (
        ev.AttemptStarted(
            number=number, origin=ev.Origin.SERVER, idempotency_key=key, payment_method_id=payment_method_id
        ),
    )


def _metadata(payment: Payment, correlation_id: str | None) -> dict[str, str]:
    return {
        "booking_id": payment.booking_id,
        "payment_id": payment.id,
        "booking_reference": payment.booking_reference,
        **({"correlation_id": correlation_id} if correlation_id else {}),
    }


# --- what became of an operation -------------------------------------------------------------------------------


def may_send(operation: Operation, booking: Booking, now: datetime) -> bool:
    """Whether an operation may be sent (again): its key is young enough, and a charge only while payable."""
    if now - operation.intended_at >= KEY_LIFETIME:
        return False
    return not charges(operation.instruction) or booking.payability(now) is Payability.PAYABLE


def charges(instruction: Instruction) -> bool:
    """True when carrying the instruction out may take money from the customer."""
    return isinstance(instruction, ConfirmIntent) or (isinstance(instruction, CreateIntent) and instruction.confirm)


def settle(payment: Payment, operation: Operation, *, refusal: str | None = None) -> Facts:
    """The operation is over: done, or refused with the gateway's ``refusal`` code, which drops what it began."""
    if payment.operation is None or payment.operation.idempotency_key != operation.idempotency_key:
        return ()
    settled = ev.OperationSettled(idempotency_key=operation.idempotency_key, refusal=refusal)
    return (settled, *_dropped(payment, operation, refusal)) if refusal else (settled,)


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
    readable = report is not None and _intent_drift(payment, report) is None
    if readable and drift not in payment.drifts:
        return (drift,)
    return (*_unless_known(payment, drift), _ended(payment))


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


def _has_drift(payment: Payment, code: str) -> bool:
    return any(drift.code == code for drift in payment.drifts)


def _may_be_given_up(payment: Payment, operation: Operation) -> bool:
    """Who only waited for the end of the hold or of the attempts has not done their part; a booking that is canceled
    gives held money up, too."""
    if operation.purpose is ev.Purpose.CANCEL_BOOKING:
        return COMMANDS[payment.status][Command.CANCEL] is None
    return operation.purpose in _BY_ITSELF and payment.status.awaits_customer


def _dropped(payment: Payment, operation: Operation, refusal: str) -> Facts:
    key = operation.idempotency_key
    attempts = [a.number for a in payment.attempts if a.idempotency_key == key and a.is_running]
    refunds = [
        ev.RefundMoved(refund_id=r.id, status=RefundStatus.FAILED, failure_reason=refusal)
        for r in payment.refunds
        if r.idempotency_key == key and move(REFUND, r.status, RefundEvent.REFUSED) is RefundStatus.FAILED
    ]
    return (*(ev.AttemptDropped(number=number) for number in attempts), *refunds)


# --- observing an intent ---------------------------------------------------------------------------------------


def observe_intent(payment: Payment, report: IntentReport, booking: Booking, *, alone: bool = True) -> Facts:
    """What a trusted report of the intent means: an answer of ours, a fresh read, or final news of a webhook.

    ``alone`` is False when another payment of the booking holds it, which makes a success a late one. A report that
    can't be true is recorded as drift, once, and never booked.
    """
    drift = _intent_drift(payment, report)
    if drift is not None:
        return _unless_known(payment, drift)
    link: Facts = () if payment.intent_id else (ev.IntentLinked(intent_id=report.id),)
    try:
        return (*link, *_intent_news(payment, report, booking, alone))
    except IllegalTransition as contradiction:
        return (*link, *_contradicted(payment, report.id, contradiction))


def is_old_intent_news(payment: Payment, report: IntentReport) -> bool:
    """Whether a snapshot tells nothing that our books don't have: then nothing has to be read."""
    linked = payment.intent_id == report.id and _intent_drift(payment, report) is None
    waits = report.status in (PaymentStatus.REQUIRES_PAYMENT_METHOD, PaymentStatus.REQUIRES_CONFIRMATION)
    return linked and report.failure is None and (waits or report.status is payment.status)


def is_old_refund_news(payment: Payment, report: RefundReport) -> bool:
    """Whether a snapshot of a refund tells nothing that our books don't have."""
    known = payment.refund(report.id)
    return known is not None and known.status is report.status and known.amount == report.amount


def is_old_dispute_news(payment: Payment, report: DisputeReport) -> bool:
    """Whether a snapshot of a dispute tells nothing that our books don't have."""
    known = payment.dispute_by_id(report.id)
    if known is None or _dispute_terms(known, report):
        return False
    return (known.status, known.withdrawn) == (report.status, report.withdrawn)


def observe_verdict(payment: Payment, failure: Failure) -> Facts:
    """What a decline means that answered a call of ours; nothing when a webhook was faster."""
    return _refused(payment, failure) if _is_news(payment, failure) else ()


def _contradicted(payment: Payment, subject: str, contradiction: IllegalTransition) -> Facts:
    drift = ev.DriftFound(code=contradiction.code, detail=f"{subject}: {contradiction.message}")
    return _unless_known(payment, drift)


def _unless_known(payment: Payment, drift: ev.DriftFound) -> Facts:
    return () if drift in payment.drifts else (drift,)


def _intent_drift(payment: Payment, report: IntentReport) -> ev.DriftFound | None:
    """Why the report can't be about this payment, or can't be true: nothing of it is booked then."""
    if payment.intent_id is not None and payment.intent_id != report.id:
        return ev.DriftFound(code="other_intent", detail=f"{report.id} is not the intent of this payment")
    if payment.status is PaymentStatus.SUCCEEDED and report.status is PaymentStatus.SUCCEEDED:
        return None if report.amount_received == payment.captured else _amount_drift(payment, report)
    if report.amount != payment.asked:
        return _amount_drift(payment, report)
    if report.status is None:
        return ev.DriftFound(code="unknown_status", detail="the gateway reports a status that we do not know")
    return _received_drift(payment, report)


def _amount_drift(payment: Payment, report: IntentReport) -> ev.DriftFound:
    detail = f"asked for {payment.amount}, the gateway says {report.amount}, received {report.amount_received}"
    same = payment.amount.currency is report.amount.currency
    return ev.DriftFound(code="amount_differs" if same else "currency_differs", detail=detail)


def _received_drift(payment: Payment, report: IntentReport) -> ev.DriftFound | None:
    if report.status is not PaymentStatus.SUCCEEDED:
        return None
    whole = report.amount_received == report.amount
    partial = payment.capture_method is CaptureMethod.MANUAL and report.amount_received.minor > 0
    fits = whole or (partial and report.amount_received < report.amount)
    return None if fits else _amount_drift(payment, report)


def _intent_news(payment: Payment, report: IntentReport, booking: Booking, alone: bool) -> Facts:
    event = _EVENTS[report.status] if report.status else PaymentEvent.METHOD_REQUIRED
    if event is PaymentEvent.METHOD_REQUIRED and report.failure and _is_news(payment, report.failure):
        return _refused(payment, report.failure)
    if move(PAYMENT, payment.status, event) is None:
        return ()
    if event is PaymentEvent.SUCCEEDED:
        return _succeeded(payment, report, booking, alone)
    if event is PaymentEvent.AUTHORIZED:
        return _authorized(payment, report)
    if event is PaymentEvent.CANCELED:
        return (_ended(payment),)
    began = _attempt_for(payment, report.payment_method_id)[0] if event in _UNDER_WAY else ()
    return (*began, _SIMPLE_NEWS[event]())


_UNDER_WAY = (PaymentEvent.ACTION_REQUIRED, PaymentEvent.PROCESSING)

_EVENTS = {
    PaymentStatus.REQUIRES_PAYMENT_METHOD: PaymentEvent.METHOD_REQUIRED,
    PaymentStatus.REQUIRES_CONFIRMATION: PaymentEvent.METHOD_ATTACHED,
    PaymentStatus.REQUIRES_ACTION: PaymentEvent.ACTION_REQUIRED,
    PaymentStatus.PROCESSING: PaymentEvent.PROCESSING,
    PaymentStatus.REQUIRES_CAPTURE: PaymentEvent.AUTHORIZED,
    PaymentStatus.SUCCEEDED: PaymentEvent.SUCCEEDED,
    PaymentStatus.CANCELED: PaymentEvent.CANCELED,
}

_SIMPLE_NEWS: Mapping[PaymentEvent, Callable[[], ev.Fact]] = {
    PaymentEvent.METHOD_REQUIRED: ev.MethodRequired,
    PaymentEvent.METHOD_ATTACHED: ev.MethodAttached,
    PaymentEvent.ACTION_REQUIRED: ev.ActionRequired,
    PaymentEvent.PROCESSING: ev.ProcessingStarted,
}


def _ended(payment: Payment) -> ev.Fact:
    """Failed where the attempts were used up; held money that is given up was canceled, whatever came before it."""
    exhausted = not payment.attempts_left and payment.status is not PaymentStatus.REQUIRES_CAPTURE
    return ev.PaymentFailed() if exhausted else ev.PaymentCanceled()


def _is_news(payment: Payment, failure: Failure) -> bool:
    """Whether this failure is not in our books yet: a charge we have not seen, or the attempt that is running."""
    if failure.charge_id is not None:
        return all(attempt.charge_id != failure.charge_id for attempt in payment.attempts)
    return payment.running_attempt is not None or all(
        attempt.method_seen != failure.payment_method_id for attempt in payment.attempts if attempt.decline
    )


def _refused(payment: Payment, failure: Failure) -> Facts:
    started, number = _attempt_for(payment, failure.payment_method_id)
    refused = ev.AttemptRefused(
        number=number,
        decline=failure.decline,
        charge_id=failure.charge_id,
        payment_method_id=failure.payment_method_id,
    )
    return (*started, refused)


def _attempt_for(payment: Payment, payment_method_id: str | None) -> tuple[Facts, int]:
    """The attempt that a verdict belongs to: the running one, or else one that the customer made in the browser."""
    running = payment.running_attempt
    if running is not None:
        return (), running.number
    number = len(payment.attempts) + 1
    started = ev.AttemptStarted(
        number=number, origin=ev.Origin.CLIENT, idempotency_key=None, payment_method_id=payment_method_id
    )
    return (started,), number


def _charged_attempt(payment: Payment, report: IntentReport) -> tuple[Facts, int]:
    known = [a for a in payment.attempts if a.outcome is AttemptOutcome.DONE and _same_charge(a, report)]
    return ((), known[0].number) if known else _attempt_for(payment, report.payment_method_id)


def _same_charge(attempt: Attempt, report: IntentReport) -> bool:
    return attempt.charge_id is None or report.charge_id is None or attempt.charge_id == report.charge_id


def _authorized(payment: Payment, report: IntentReport) -> Facts:
    started, number = _charged_attempt(payment, report)
    authorized = ev.PaymentAuthorized(
        amount=report.amount_capturable or report.amount, charge_id=report.charge_id, attempt=number
    )
    return (*started, authorized)


def _succeeded(payment: Payment, report: IntentReport, booking: Booking, alone: bool) -> Facts:
    """A success is always booked; what it means for the booking depends on whether that still waits for it."""
    started, number = _charged_attempt(payment, report)
    breakdown = payment.fee_policy.of_captured(report.amount_received, payment.breakdown)
    late = not alone or booking.status is not BookingStatus.PENDING
    succeeded = ev.PaymentSucceeded(breakdown=breakdown, charge_id=report.charge_id, attempt=number, late=late)
    if late:
        decided = ev.LatePaymentDecided(booking_status=booking.status.value)
        return (*started, succeeded, decided)
    return (*started, succeeded, ev.BookingConfirmed())


# --- observing refunds and disputes ----------------------------------------------------------------------------

_REFUND_EVENTS = {
    RefundStatus.PENDING: RefundEvent.PENDING,
    RefundStatus.REQUIRES_ACTION: RefundEvent.ACTION_REQUIRED,
    RefundStatus.SUCCEEDED: RefundEvent.SUCCEEDED,
    RefundStatus.FAILED: RefundEvent.FAILED,
    RefundStatus.CANCELED: RefundEvent.CANCELED,
}


def observe_refund(payment: Payment, report: RefundReport) -> Facts:
    """What a trusted report of a refund means, be it ours or one made in the gateway's dashboard."""
    if report.status is None:
        return _unless_known(payment, ev.DriftFound(code="unknown_refund_status", detail=report.id))
    refund = payment.refund(report.metadata.get("refund_id", report.id)) or payment.refund(report.id)
    if refund is None:
        return _found_refund(payment, report, report.status)
    try:
        return _known_refund(payment, refund, report, report.status)
    except IllegalTransition as contradiction:
        return _contradicted(payment, report.id, contradiction)


def _known_refund(payment: Payment, refund: Refund, report: RefundReport, status: RefundStatus) -> Facts:
    if refund.amount != report.amount or refund.gateway_refund_id not in (None, report.id):
        detail = f"{report.id}: we asked for {refund.amount}, the gateway says {report.amount}"
        return _unless_known(payment, ev.DriftFound(code="refund_differs", detail=detail))
    link = () if refund.gateway_refund_id else (_linked(refund.id, report.id),)
    target = move(REFUND, refund.status, _REFUND_EVENTS[status])
    if target is None:
        return link
    return (*link, ev.RefundMoved(refund_id=refund.id, status=target, failure_reason=report.failure_reason))


def _linked(refund_id: str, gateway_refund_id: str) -> ev.RefundLinked:
    return ev.RefundLinked(refund_id=refund_id, gateway_refund_id=gateway_refund_id)


def _found_refund(payment: Payment, report: RefundReport, status: RefundStatus) -> Facts:
    if report.amount.currency is not payment.amount.currency:
        detail = f"refund {report.id} of {report.amount}"
        return _unless_known(payment, ev.DriftFound(code="currency_differs", detail=detail))
    reserved = payment.refunded + payment.refund_pending
    if not status.is_lost and reserved + report.amount > payment.captured:
        detail = f"refund {report.id} of {report.amount} goes beyond the {payment.captured} that was captured"
        return _unless_known(payment, ev.DriftFound(code="refund_exceeds_payment", detail=detail))
    return (
        ev.RefundFound(
            refund_id=report.id,
            gateway_refund_id=report.id,
            amount=report.amount,
            fee_refunded=Money.zero(report.amount.currency),
            status=move(REFUND, None, _REFUND_EVENTS[status]) or status,
            reason=report.reason,
        ),
    )


def observe_dispute(payment: Payment, report: DisputeReport) -> Facts:
    """What a trusted report of a dispute means: its status, and what it holds of our balance."""
    if report.status is None:
        return _unless_known(payment, ev.DriftFound(code="unknown_dispute_status", detail=report.id))
    if report.amount.currency is not payment.amount.currency:
        detail = f"dispute {report.id} of {report.amount}"
        return _unless_known(payment, ev.DriftFound(code="currency_differs", detail=detail))
    try:
        return (*_dispute_status(payment, report, report.status), *_dispute_funds(payment, report))
    except IllegalTransition as contradiction:
        return _contradicted(payment, report.id, contradiction)


def _dispute_status(payment: Payment, report: DisputeReport, status: DisputeStatus) -> Facts:
    known = payment.dispute_by_id(report.id)
    if known is None:
        return (
            ev.DisputeOpened(
                dispute_id=report.id,
                status=move(DISPUTE, None, status) or status,
                reason=report.reason,
                amount=report.amount,
                evidence_due_by=report.evidence_due_by,
            ),
        )
    target = move(DISPUTE, known.status, status)
    if target is not None:
        moved = ev.DisputeMoved(dispute_id=known.id, status=target, evidence_due_by=report.evidence_due_by)
        known = attrs.evolve(known, evidence_due_by=report.evidence_due_by)
        return (moved, *_dispute_terms(known, report))
    # A report from before the present status is older than our books, and so are the terms that it tells.
    return _dispute_terms(known, report) if status is known.status else ()


def _dispute_terms(known: Dispute, report: DisputeReport) -> Facts:
    """What a dispute is over, and until when it may be answered, where that is not as we know it."""
    if (known.amount, known.evidence_due_by) == (report.amount, report.evidence_due_by):
        return ()
    return (ev.DisputeChanged(dispute_id=known.id, amount=report.amount, evidence_due_by=report.evidence_due_by),)


def _dispute_funds(payment: Payment, report: DisputeReport) -> Facts:
    known = payment.dispute_by_id(report.id)
    withdrawn = known.withdrawn if known else Money.zero(report.amount.currency)
    if report.withdrawn == withdrawn:
        return ()
    return (ev.DisputeFundsMoved(dispute_id=report.id, withdrawn=report.withdrawn),)


# --- what follows ----------------------------------------------------------------------------------------------


def is_conclusive(payment: Payment, operation: Operation, report: IntentReport) -> bool:
    """Whether a fresh read of the intent settles an operation whose outcome was unknown.

    A charge is settled once the intent has left the states in which it waits for one, now waits for the customer's
    authentication, or tells of a failed charge that we had not heard of; everything else once the intent is final.
    Refunds are settled by reading refunds.
    """
    if charges(operation.instruction):
        settled = report.status not in (None, *_WAITS_FOR_CHARGE) or _asks_for_action_now(payment, report)
        return settled or _tells_of_new_charge(payment, report.failure)
    if isinstance(operation.instruction, CreateIntent):
        return True
    return report.status in (PaymentStatus.SUCCEEDED, PaymentStatus.CANCELED)


def _asks_for_action_now(payment: Payment, report: IntentReport) -> bool:
    """Only a charge that was sent makes the bank ask for the customer; before it, the intent may have waited so
    already."""
    waits = PaymentStatus.REQUIRES_ACTION
    return report.status is waits and payment.status is not waits


def _tells_of_new_charge(payment: Payment, failure: Failure | None) -> bool:
    return failure is not None and failure.charge_id is not None and _is_news(payment, failure)


_WAITS_FOR_CHARGE = (
    PaymentStatus.REQUIRES_PAYMENT_METHOD,
    PaymentStatus.REQUIRES_CONFIRMATION,
    PaymentStatus.REQUIRES_ACTION,
)


def owes_late_refund(payment: Payment) -> bool:
    """True for money that came for a closed booking and that nobody has sent back yet.

    Once a refund was asked for, a person decides about what became of it.
    """
    asked = any(refund.origin is ev.Origin.SERVER for refund in payment.refunds)
    idle = payment.operation is None and not payment.disputed
    return payment.late and payment.status is PaymentStatus.SUCCEEDED and idle and not asked


def release_after(operation: Operation, payment: Payment, booking: Booking) -> Facts:
    """Closing the booking, when the operation that has just ended was the first half of that and worked."""
    given_up = payment.status in (PaymentStatus.CANCELED, PaymentStatus.FAILED)
    if booking.status is not BookingStatus.PENDING or not given_up:
        return ()
    target = _RELEASES.get(operation.purpose)
    return (ev.BookingReleased(status=target.value),) if target else ()


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
