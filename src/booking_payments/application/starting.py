"""What a new payment of a booking begins with: its terms, and the intent that is made for it."""

from datetime import datetime

from booking_payments.application.recording import Recorder
from booking_payments.application.world import World
from booking_payments.domain import decisions
from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking
from booking_payments.domain.instructions import CaptureMethod, Replacement
from booking_payments.domain.payment import Payment
from booking_payments.domain.presenting import texts_of


def started(
    world: World, booking: Booking, now: datetime, capture_method: CaptureMethod, before: Payment | None = None
) -> ev.PaymentStarted:
    """A new payment under the terms of now, which follows ``before`` where there was one.

    It belongs to ``world.gateway``. Raises ``RefusedByRule`` for an amount that this gateway can't charge.
    """
    fact = decisions.start(
        booking,
        payment_id=world.ids.new("pay"),
        now=now,
        fee_policy=world.config.fees,
        refund_policy=world.config.refunds,
        capture_method=capture_method,
        max_attempts=decisions.attempts_left_of_booking(before, world.config.max_attempts),
        gateway=world.gateway.name,
        amount_step=world.gateway.amount_step(booking.amount.currency),
        before=before,
    )
    world.gateway.check_charge(fact.breakdown.gross)
    return fact


def started_anew(world: World, booking: Booking, now: datetime, before: Payment) -> ev.PaymentStarted:
    """The payment at ``world.gateway`` that follows ``before``, under the same terms and with the attempts that are
    left."""
    same = world.gateway.name == before.gateway
    return decisions.start(
        booking,
        payment_id=world.ids.new("pay"),
        now=now,
        fee_policy=before.fee_policy,
        refund_policy=before.refund_policy,
        # What an operator has received is there: nothing is left to capture.
        capture_method=CaptureMethod.AUTOMATIC if world.recorded else before.capture_method,
        max_attempts=decisions.attempts_left_of_booking(before, before.max_attempts),
        gateway=world.gateway.name,
        amount_step=before.amount_step if same else world.gateway.amount_step(booking.amount.currency),
        before=before,
    )


def created(
    world: World, recorder: Recorder, payment_method_id: str | None, confirm: bool, return_url: str | None
) -> decisions.Events:
    """The making of the intent of the recorder's payment, charged at once with ``confirm``."""
    methods = world.config.methods.narrowed_by(recorder.booking.details.methods)
    return decisions.intend_create(
        recorder.payment,
        idempotency_key=world.ids.idempotency_key(),
        payment_method_id=payment_method_id,
        confirm=confirm,
        return_url=return_url or recorder.payment.return_url or world.config.return_url,
        methods=methods,
        texts=texts_of(
            recorder.booking,
            suffix=world.config.statement_descriptor_suffix,
            receipts=world.config.receipt_emails,
            methods=methods,
        ),
        correlation_id=recorder.correlation_id,
        installation_id=world.config.installation_id,
    )


def begin_anew(world: World, recorder: Recorder, before: Payment, replacement: Replacement) -> None:
    """Start the payment that follows ``before``, whose intent was canceled to make room for it."""
    world = world.at(replacement.gateway or before.gateway)
    recorder.start(started_anew(world, recorder.booking, recorder.now, before))
    recorder.add(decisions.name_client(recorder.payment, before.client))
    recorder.add(created(world, recorder, replacement.payment_method_id, replacement.confirm, replacement.return_url))
