"""Registering, reading, canceling and expiring bookings."""

from functools import partial

import attrs

from booking_payments.application.callers import Caller
from booking_payments.application.operations import Claimed, carry_out, claim
from booking_payments.application.recording import Recorder
from booking_payments.application.rounds import while_answered
from booking_payments.application.views import NewBooking, PaymentView, RefundOnCancel, Registered
from booking_payments.application.world import World
from booking_payments.domain import decisions
from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.errors import AlreadyUnderWay, NotPossibleNow, RefundRefused, RefusedByRule, TryAgainLater
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Payment
from booking_payments.domain.refunds import RefundReason
from booking_payments.domain.texts import require_reason
from booking_payments.ports.storage import AlreadyExists, UnitOfWork

EXPIRE_AT_ONCE = 100
"""How many overdue bookings one round closes."""

MAX_CANCEL_STEPS = 3
"""Canceling may find that the payment has moved on in between; it looks again at most this often."""


# --- registering -----------------------------------------------------------------------------------------------


async def register_booking(world: World, new: NewBooking) -> Registered:
    """Register a booking, or find it registered with the same content.

    Raises ``RefusedByRule`` when ``expires_at`` lies after the event's start or the customer keeps too many holds,
    ``NotPossibleNow`` when the reference belongs to a booking with other content.
    """
    booking = _booked(world, new)

    async def work(uow: UnitOfWork) -> Registered:
        known = await uow.bookings.by_reference(new.reference)
        if known is None:
            await _require_room(world, uow, booking.customer_id)
            await uow.bookings.add(booking)
            return Registered(booking=booking, created=True)
        if known.same_content(booking):
            return Registered(booking=known, created=False)
        raise NotPossibleNow("a booking with this reference exists with other content", code="reference_taken")

    try:
        return await world.storage.transact(work)
    except AlreadyExists:  # somebody registered the same reference at the same moment: look at theirs
        return await world.storage.transact(work)


async def _require_room(world: World, uow: UnitOfWork, customer_id: str) -> None:
    """Seats that one customer holds unpaid are kept from all others. Registrations at the very same moment may go
    beyond the bound by their number."""
    most = world.terms.max_unpaid_bookings
    if most and await uow.bookings.count_unpaid(customer_id, world.clock.now()) >= most:
        message = f"this customer holds {most} unpaid bookings already; pay or cancel one first"
        raise RefusedByRule(message, code="too_many_unpaid_bookings")


def _booked(world: World, new: NewBooking) -> Booking:
    expires_at = new.expires_at or new.event_starts_at
    if expires_at > new.event_starts_at:
        raise RefusedByRule("expires_at must not lie after event_starts_at", code="expires_after_event")
    if new.amount.minor < 0:
        raise RefusedByRule("the amount must not be negative", code="negative_amount")
    world.terms.methods.narrowed_by(new.details.methods)
    return Booking(
        id=world.ids.new("bk"),
        reference=new.reference,
        customer_id=new.customer_id,
        amount=new.amount,
        event_starts_at=new.event_starts_at,
        expires_at=expires_at,
        created_at=world.clock.now(),
        refund_policy=new.refund_policy,
        details=new.details,
    )


async def get_booking(world: World, booking_id: str, caller: Caller) -> Booking:
    """The booking. Raises ``NotFound`` for one that does not exist for this caller."""
    return caller.require(await world.storage.read(lambda uow: uow.bookings.get(booking_id)))


# --- canceling -------------------------------------------------------------------------------------------------


async def cancel_booking(
    world: World, booking_id: str, caller: Caller, *, reason: str | None, refund: RefundOnCancel
) -> Booking:
    """Close a booking: an open payment is canceled at the gateway first, a paid one refunded as ``refund`` says.

    Canceling a canceled booking changes nothing, unless a refund of it came to nothing: then what it owes is asked for
    again. Raises ``NotPossibleNow`` for an expired one, ``OutcomeUnknown`` while the gateway has not said what became
    of the payment: the booking then stays as it is. Where the gateway refuses to cancel the intent for good, the
    payment is given up and the booking closed. ``RefundRefused`` says that it is canceled, but its refund was refused.
    ``InvalidInput``: the reason is longer than the journal keeps, or more than a line.
    """
    require_reason(reason)
    caller = attrs.evolve(caller, cause=f"{caller.cause}: {reason}") if reason else caller
    for _ in range(MAX_CANCEL_STEPS):
        booking, claimed = await _begin_cancel(world, booking_id, caller, refund)
        if claimed is None:
            return booking
        ended = await carry_out(world, claimed, caller)
        booking = await get_booking(world, booking_id, caller)
        if booking.status is BookingStatus.CANCELED:
            _tell_of_refusal(booking, ended.view)
            return booking
        if ended.error is not None and not isinstance(ended.error, NotPossibleNow):
            raise ended.error
    raise AlreadyUnderWay()


def _tell_of_refusal(booking: Booking, view: PaymentView | None) -> None:
    if view is not None and decisions.owed_back(view.payment, booking):
        raise RefundRefused()


async def _begin_cancel(
    world: World, booking_id: str, caller: Caller, refund: RefundOnCancel
) -> tuple[Booking, Claimed | None]:
    holder = world.ids.new("run")

    async def work(uow: UnitOfWork) -> tuple[Booking, Claimed | None]:
        booking = caller.require(await uow.bookings.lock(booking_id))
        if booking.status is BookingStatus.EXPIRED:
            raise NotPossibleNow("this booking has expired already", code="booking_expired")
        payment = await _last_payment(uow, booking)
        recorder = Recorder(world, uow, booking, payment, caller)
        if booking.status is BookingStatus.CANCELED:
            owed = decisions.owed_back(payment, booking) if payment else None
            if owed is None or refund is RefundOnCancel.NONE:
                return booking, None
            _refund_canceled(world, recorder, refund, owed.amount)
        else:
            _close(world, recorder, refund)
        await recorder.save(holder=holder)
        return recorder.booking, _begun(recorder, holder)

    return await world.storage.transact(work)


async def _last_payment(uow: UnitOfWork, booking: Booking) -> Payment | None:
    payments = await uow.payments.of_booking(booking.id)
    holding = [payment for payment in payments if payment.holds_booking]
    return (holding or list(payments))[-1] if payments else None


def _begun(recorder: Recorder, holder: str) -> Claimed | None:
    payment = recorder.payment_or_none
    return claim(recorder, payment.operation, holder) if payment and payment.operation else None


def _close(world: World, recorder: Recorder, refund: RefundOnCancel) -> None:
    """What canceling means for the payment, and for the booking where nothing has to be asked of the gateway."""
    payment = recorder.payment_or_none
    if payment is not None and payment.operation is not None:
        raise AlreadyUnderWay()
    if payment is not None and _can_be_canceled(payment):
        key = world.ids.idempotency_key()
        recorder.add(decisions.intend_cancel(payment, idempotency_key=key, purpose=ev.Purpose.CANCEL_BOOKING))
        if recorder.payment.operation is not None:
            return  # the booking is closed when the gateway has canceled the intent
    recorder.release(BookingStatus.CANCELED.value)
    if payment is not None and payment.status is PaymentStatus.SUCCEEDED:
        _refund_canceled(world, recorder, refund)


def _can_be_canceled(payment: Payment) -> bool:
    """A payment in processing can't be stopped; if it succeeds, the rule for late payments sends it back."""
    return payment.status.is_open and payment.status is not PaymentStatus.PROCESSING


def _refund_canceled(world: World, recorder: Recorder, refund: RefundOnCancel, amount: Money | None = None) -> None:
    """Give back what the policy says (``amount``: so much, since it was said before), or everything."""
    payment, in_full = recorder.payment, refund is RefundOnCancel.FULL
    if refund is RefundOnCancel.NONE:
        return
    canceled = attrs.evolve(recorder.booking, status=BookingStatus.CANCELED)
    quote = decisions.quote(payment, canceled, recorder.now, None if in_full else amount, in_full=in_full)
    if quote.allowed:
        recorder.add(
            decisions.intend_refund(
                payment,
                quote,
                refund_id=world.ids.new("rf"),
                idempotency_key=world.ids.idempotency_key(),
                reason=RefundReason.REQUESTED_BY_CUSTOMER,
                note="booking canceled",
                correlation_id=recorder.correlation_id,
                installation_id=world.terms.installation_id,
            )
        )


# --- expiring --------------------------------------------------------------------------------------------------


async def expire_bookings(world: World) -> int:
    """Close the bookings whose hold has run out, until the gateway falls silent; returns how many were looked at.

    A booking whose payment is being processed or is authorized stays held: the customer has done their part. One whose
    intent the gateway refuses to cancel for good expires all the same, so that none is tried for ever. Those whose
    payment nobody has to be asked about come first. Raises an ``ExceptionGroup`` in the end of what broke.
    """
    now = world.clock.now()
    overdue = await world.storage.read(lambda uow: uow.bookings.due_to_expire(now, EXPIRE_AT_ONCE))
    return await while_answered(overdue, partial(_expire, world))


async def _expire(world: World, booking_id: str) -> bool | None:
    """Whether the gateway answered; None where it was not asked."""
    caller = Caller.system("expiry")
    try:
        claimed = await _begin_expiry(world, booking_id, caller)
    except AlreadyUnderWay:
        return None  # what is in flight is settled when it is due, and the booking closed in a round after that
    if claimed is None:
        return None
    ended = await carry_out(world, claimed, caller)
    return not isinstance(ended.error, TryAgainLater)


async def _begin_expiry(world: World, booking_id: str, caller: Caller) -> Claimed | None:
    holder = world.ids.new("run")

    async def work(uow: UnitOfWork) -> Claimed | None:
        booking = await uow.bookings.lock(booking_id)
        overdue = booking is not None and booking.expires_at <= world.clock.now()
        if booking is None or not overdue or booking.status is not BookingStatus.PENDING:
            return None
        recorder = Recorder(world, uow, booking, await _last_payment(uow, booking), caller)
        _lapse(world, recorder)
        await recorder.save(holder=holder)
        return _begun(recorder, holder)

    return await world.storage.transact(work)


def _lapse(world: World, recorder: Recorder) -> None:
    payment = recorder.payment_or_none
    if payment is not None and payment.operation is not None:
        raise AlreadyUnderWay()
    if payment is not None and payment.status.is_open:
        if not payment.status.awaits_customer:
            return
        key = world.ids.idempotency_key()
        recorder.add(decisions.intend_cancel(payment, idempotency_key=key, purpose=ev.Purpose.EXPIRE_BOOKING))
        if recorder.payment.operation is not None:
            return
    recorder.release(BookingStatus.EXPIRED.value)
