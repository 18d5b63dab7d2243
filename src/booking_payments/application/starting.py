"""What a new payment of a booking begins with: its terms, and the intent that is made for it."""

from datetime import datetime

from booking_payments.application.dependencies import Dependencies
from booking_payments.application.recording import Recorder
from booking_payments.domain import decisions
from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking
from booking_payments.domain.errors import RefusedByRule
from booking_payments.domain.instructions import CaptureMethod, MethodChoice, Replacement
from booking_payments.domain.payment import Payment
from booking_payments.domain.presenting import texts_of
from booking_payments.domain.vouchers import within_hold


def started(
    deps: Dependencies, booking: Booking, now: datetime, capture_method: CaptureMethod, before: Payment | None = None
) -> ev.PaymentStarted:
    """A new payment under the terms of now, which follows ``before`` where there was one.

    It belongs to ``deps.gateway``. Raises ``RefusedByRule`` for an amount that this gateway can't charge.
    """
    event = decisions.start(
        booking,
        payment_id=deps.ids.new("pay"),
        now=now,
        fee_policy=deps.config.fees,
        refund_policy=deps.config.refunds,
        capture_method=capture_method,
        max_attempts=decisions.attempts_left_of_booking(before, deps.config.max_attempts),
        gateway=deps.gateway.name,
        amount_step=deps.gateway.amount_step(booking.amount.currency),
        before=before,
    )
    deps.gateway.check_charge(event.breakdown.gross)
    return event


def started_anew(deps: Dependencies, booking: Booking, now: datetime, before: Payment) -> ev.PaymentStarted:
    """The payment at ``deps.gateway`` that follows ``before``, under the same terms and with the attempts that are
    left."""
    same = deps.gateway.name == before.gateway
    return decisions.start(
        booking,
        payment_id=deps.ids.new("pay"),
        now=now,
        fee_policy=before.fee_policy,
        refund_policy=before.refund_policy,
        # What an operator has received is there: nothing is left to capture.
        capture_method=CaptureMethod.AUTOMATIC if deps.recorded else before.capture_method,
        max_attempts=decisions.attempts_left_of_booking(before, before.max_attempts),
        gateway=deps.gateway.name,
        amount_step=before.amount_step if same else deps.gateway.amount_step(booking.amount.currency),
        before=before,
    )


def created(
    deps: Dependencies, recorder: Recorder, payment_method_id: str | None, confirm: bool, return_url: str | None
) -> decisions.Events:
    """The making of the intent of the recorder's payment, charged at once with ``confirm``."""
    methods = accepted_methods(deps, recorder)
    return decisions.intend_create(
        recorder.payment,
        idempotency_key=deps.ids.idempotency_key(),
        payment_method_id=payment_method_id,
        confirm=confirm,
        return_url=return_url or recorder.payment.return_url or deps.config.return_url,
        methods=methods,
        texts=texts_of(
            recorder.booking,
            suffix=deps.config.statement_descriptor_suffix,
            receipts=deps.config.receipt_emails,
            methods=methods,
        ),
        correlation_id=recorder.correlation_id,
        installation_id=deps.config.installation_id,
        booking_metadata=recorder.booking.metadata if deps.config.booking_metadata else {},
    )


def accepted_methods(deps: Dependencies, recorder: Recorder) -> MethodChoice:
    """Return the methods that the intent offers: the configured ones, limited by the booking and its remaining hold.

    Raises ``RefusedByRule`` when none remains.
    """
    booking = recorder.booking
    chosen = deps.config.methods.narrowed_by(booking.details.methods)
    if deps.recorded:  # an operator has received the money
        return chosen
    return within_hold(chosen, booking.amount.currency, booking.expires_at - recorder.now)


def has_methods(deps: Dependencies, recorder: Recorder) -> bool:
    """Return whether an intent made now could offer a method; a payment without one must not be started."""
    try:
        accepted_methods(deps, recorder)
    except RefusedByRule:
        return False
    return True


def begin_anew(deps: Dependencies, recorder: Recorder, before: Payment, replacement: Replacement) -> None:
    """Start the payment that follows ``before``, whose intent was canceled to make room for it."""
    deps = deps.at(replacement.gateway or before.gateway)
    recorder.start(started_anew(deps, recorder.booking, recorder.now, before))
    recorder.add(decisions.name_client(recorder.payment, before.client))
    recorder.add(created(deps, recorder, replacement.payment_method_id, replacement.confirm, replacement.return_url))
