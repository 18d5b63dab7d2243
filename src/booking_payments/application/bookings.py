"""Registering, reading, canceling and expiring bookings."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

import attrs

from booking_payments.application.amending import cancel_items
from booking_payments.application.callers import Caller
from booking_payments.application.canceled_events import require_event_goes_on
from booking_payments.application.command import BookingCommand, InFlight, attempt, begin
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.operations import carry_out
from booking_payments.application.passes import through_queue
from booking_payments.application.pricing import require_chargeable
from booking_payments.application.quoted import UNQUOTED, Quoted, added_refund
from booking_payments.application.reading import Target
from booking_payments.application.recording import Recorder
from booking_payments.application.refunding import denied_to_customer
from booking_payments.application.views import BookingView, NewBooking, PaymentView, RefundOnCancel, Registered
from booking_payments.domain import decisions
from booking_payments.domain import events as ev
from booking_payments.domain.booking import (
    Booking,
    BookingStatus,
    ItemCount,
    require_details,
    require_event_id,
    require_metadata,
)
from booking_payments.domain.errors import AlreadyUnderWay, NotPossibleNow, OutcomeUnknown, RefundRefused, RefusedByRule
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import total
from booking_payments.domain.payment import Payment
from booking_payments.domain.texts import require_reason
from booking_payments.domain.vouchers import within_hold
from booking_payments.ports.storage import AlreadyExists
from booking_payments.ports.unit_of_work import UnitOfWork

EXPIRE_AT_ONCE = 100
"""How many overdue bookings one pass closes."""

LOOKED_AT_AGAIN = timedelta(minutes=1)
LEFT_ALONE = timedelta(seconds=5)
"""The longest and the shortest time for which expiry skips a booking whose payment has an operation in flight."""

MAX_CANCEL_STEPS = 3
"""How often canceling starts again because the payment has changed since it was read."""


Overdue = Booking
"""A pending booking whose deadline has passed."""

# --- registering -----------------------------------------------------------------------------------------------


async def register_booking(deps: Dependencies, new: NewBooking, caller: Caller) -> Registered:
    """Register a booking, or return it if it is registered with the same content. A free one is confirmed at once.

    The reference of a canceled or expired booking may be used again, for a new booking. An overdue booking that is
    still pending is expired first.

    Raises:
        RefusedByRule: ``expires_at`` lies after the start of the event; for a new booking also when either lies in the
            past, the gateway cannot charge the amount, or the customer has too many unpaid bookings.
        NotPossibleNow: the reference belongs to a booking with other content.
    """
    booking = _booked(deps, new)
    bounded = bool(deps.config.max_unpaid_bookings) and not booking.free

    async def work(uow: UnitOfWork) -> Registered | Overdue:
        if bounded:  # locked before the first read, so that the count below stays true until the commit
            await uow.bookings.lock_customer(booking.customer_id)
        known = await uow.bookings.by_reference(new.reference)
        if known is not None and known.same_content(booking):
            return Registered(booking=known, created=False)
        if known is not None and _is_overdue(known, deps.clock.now()):
            return known
        if known is not None:
            raise _reference_taken()
        await require_event_goes_on(uow, new.event_id)
        _require_future(deps, booking)
        if not booking.free:
            require_chargeable(deps, booking)
        if bounded:
            await _require_room(deps, uow, booking.customer_id)
        return Registered(booking=await _added(deps, uow, booking, caller), created=True)

    found = await _registering(deps, work)
    if isinstance(found, Booking):
        await _expire(deps, found.id)
        found = await _registering(deps, work)
    if isinstance(found, Booking):  # it can't expire yet: its payment still waits for the gateway
        raise _reference_taken()
    return found


async def _registering(
    deps: Dependencies, work: Callable[[UnitOfWork], Awaitable[Registered | Overdue]]
) -> Registered | Overdue:
    try:
        return await deps.storage.transact(work)
    except AlreadyExists:  # another call has registered the same reference meanwhile: compare with that booking
        return await deps.storage.transact(work)


def _reference_taken() -> NotPossibleNow:
    return NotPossibleNow("a booking with this reference exists with other content", code="reference_taken")


def _is_overdue(booking: Booking, now: datetime) -> bool:
    return booking.status is BookingStatus.PENDING and booking.expires_at <= now


async def _added(deps: Dependencies, uow: UnitOfWork, booking: Booking, caller: Caller) -> Booking:
    await uow.bookings.add(booking)
    if not booking.free:
        return booking
    recorder = Recorder(deps, uow, booking, None, caller)
    recorder.confirm()
    await recorder.save()
    return recorder.booking


def _require_future(deps: Dependencies, booking: Booking) -> None:
    """Raise ``RefusedByRule`` for a hold that has ended; a known booking may be registered again at any time."""
    now = deps.clock.now()
    if booking.event_starts_at <= now:
        raise RefusedByRule("event_starts_at is in the past", code="event_in_past")
    if booking.expires_at <= now:
        raise RefusedByRule("expires_at is in the past", code="expiry_in_past")


async def _require_room(deps: Dependencies, uow: UnitOfWork, customer_id: str) -> None:
    """Raise ``RefusedByRule`` when the customer has as many unpaid bookings as allowed, whatever they wait for.

    The customer is locked, so that simultaneous registrations are counted one after the other.
    """
    most = deps.config.max_unpaid_bookings
    if await uow.bookings.count_unpaid(customer_id) >= most:
        message = f"this customer holds {most} unpaid bookings already; pay or cancel one first"
        raise RefusedByRule(message, code="too_many_unpaid_bookings")


def _booked(deps: Dependencies, new: NewBooking) -> Booking:
    expires_at = new.expires_at or new.event_starts_at
    if expires_at > new.event_starts_at:
        raise RefusedByRule("expires_at must not be after event_starts_at", code="expires_after_event")
    amount = new.price
    require_metadata(new.metadata)
    require_details(new.details)
    if new.event_id is not None:
        require_event_id(new.event_id)
    if amount.minor < 0:
        raise RefusedByRule("the amount must not be negative", code="negative_amount")
    now = deps.clock.now()
    within_hold(deps.config.methods.narrowed_by(new.details.methods), amount.currency, expires_at - now)
    capture_method = new.details.capture_method or deps.config.capture_method
    return Booking(
        id=deps.ids.new("bk"),
        reference=new.reference,
        customer_id=new.customer_id,
        amount=amount,
        event_starts_at=new.event_starts_at,
        expires_at=expires_at,
        created_at=now,
        refund_policy=new.refund_policy,
        details=attrs.evolve(new.details, capture_method=capture_method),
        event_id=new.event_id,
        items=new.items,
        metadata=new.metadata,
        expiry_follows_event=new.expires_at is None,
    )


async def describe_booking(deps: Dependencies, booking_id: str, caller: Caller) -> BookingView:
    """Return the booking with its owed refunds. Raises ``NotFound`` if it does not exist for this caller."""

    async def work(uow: UnitOfWork) -> BookingView:
        return await _described(uow, caller.require(await uow.bookings.get(booking_id)))

    return await deps.storage.read(work)


async def describe_bookings(deps: Dependencies, found: Sequence[Booking]) -> Sequence[BookingView]:
    """Return each booking with its owed refunds, read from one consistent snapshot."""

    async def work(uow: UnitOfWork) -> Sequence[BookingView]:
        return [await _described(uow, booking) for booking in found]

    return await deps.storage.read(work)


async def _described(uow: UnitOfWork, booking: Booking) -> BookingView:
    payments = await uow.payments.of_booking(booking.id)
    owed = total((payment.owed.amount for payment in payments), booking.amount.currency)
    waiting = total((payment.owed_waiting for payment in payments), booking.amount.currency)
    return BookingView(booking=booking, refund_owed=owed, refund_waiting=waiting)


async def get_booking(deps: Dependencies, booking_id: str, caller: Caller) -> Booking:
    """Return the booking. Raises ``NotFound`` if it does not exist for this caller."""
    return caller.require(await deps.storage.read(lambda uow: uow.bookings.get(booking_id)))


# --- canceling -------------------------------------------------------------------------------------------------


async def cancel_booking(
    deps: Dependencies,
    booking_id: str,
    caller: Caller,
    *,
    reason: str | None,
    refund: RefundOnCancel | None,
    items: Sequence[ItemCount] = (),
    expected: Quoted = UNQUOTED,
) -> Booking:
    """Cancel a booking: an open payment is canceled at the gateway first, a paid one is refunded.

    Customers may cancel their own bookings while these are not paid. Until the event starts they may also give up free
    ones, held ones, and paid ones for which nothing goes back; for others they request a refund. When a
    customer cancels a canceled booking again, nothing changes.

    A cancellation promises its refund. A refund that can't be sent now, because of a dispute for example, is sent by
    the system later. Canceling a canceled booking again requests a failed refund again; with ``RefundOnCancel.FULL`` it
    also promises the rest of the price. If the gateway finally refuses to cancel the intent, the payment is abandoned
    and the booking is canceled nevertheless.

    Args:
        deps: the dependencies.
        booking_id: the booking's id.
        caller: who cancels it.
        reason: a text for the journal, one line.
        refund: how much a paid booking gives back; None: as its refund policy says.
        items: cancel only these units, see ``cancel_items``; empty: the whole booking.
        expected: what a preview said; nothing else is done.

    Raises:
        NotPossibleNow: The booking has expired (``booking_expired``), or a customer cancels a paid one
            (``already_paid``, or the code with which its refund would be refused), or something else than ``expected``
            would be done (``version_conflict``, ``quote_changed``).
        RefusedByRule: A customer sets ``refund`` (``refund_not_allowed``), or cancels a free booking after the event
            has started.
        OutcomeUnknown: It is unknown whether the gateway has canceled the payment. The booking is canceled once the
            outcome is known.
        RefundRefused: The booking is canceled, but its refund was refused.
        InvalidInput: The reason is too long, or has several lines.
    """
    require_reason(reason)
    if items:
        left = await cancel_items(deps, booking_id, caller, items, reason=reason, refund=refund, expected=expected)
        if left is not None:
            return left
    caller = attrs.evolve(caller, cause=f"{caller.cause}: {reason}") if reason else caller
    command = BookingCommand(
        target=Target(booking_id=booking_id),
        caller=caller,
        decide=partial(decide_cancel, deps, caller, refund, expected=expected),
        needs_payment=False,
        waits=_is_not_paid,
        repeatable=True,  # the decision sees in the booking and its payment how far an earlier run has got
    )
    for _ in range(MAX_CANCEL_STEPS):
        try:
            begun = await begin(deps, command)
        except OutcomeUnknown as unknown:  # the outcome of an earlier command: this one has not begun to cancel
            raise AlreadyUnderWay() from unknown
        if begun.claimed is None:
            return begun.booking
        ended = await carry_out(deps, begun.claimed, caller)
        booking = await get_booking(deps, booking_id, caller)
        if booking.status is BookingStatus.CANCELED:
            _raise_refusal(ended.view)
            return booking
        if ended.error is not None and not isinstance(ended.error, NotPossibleNow):
            raise ended.error
    raise AlreadyUnderWay()


def _raise_refusal(view: PaymentView | None) -> None:
    """Raise ``RefundRefused`` when an operator has to act on the refund of the canceled booking."""
    if view is not None and view.payment.owed.amount > view.payment.owed_waiting:
        raise RefundRefused()


def _is_not_paid(recorder: Recorder) -> bool:
    """Return True when the outcome of the operation in flight decides what has to be canceled.

    For a paid payment the operation is a refund, and the cancellation promises the rest without waiting for it.
    """
    is_open = recorder.booking.status in (BookingStatus.PENDING, BookingStatus.CONFIRMED)
    return is_open and recorder.payment.status is not PaymentStatus.SUCCEEDED


def decide_cancel(
    deps: Dependencies,
    caller: Caller,
    refund: RefundOnCancel | None,
    recorder: Recorder,
    *,
    expected: Quoted = UNQUOTED,
) -> None:
    """Close the booking, or record the call that comes first. Raises as ``cancel_booking``."""
    expected = UNQUOTED if caller.resumed else expected  # an earlier run of this request may have closed it
    booking, by_owner = recorder.booking, caller.customer_id is not None
    if by_owner and refund is not None:
        message = "only the booking app and operators may say what a cancellation refunds; leave refund out"
        raise RefusedByRule(message, code="refund_not_allowed")
    if booking.status is BookingStatus.EXPIRED:
        raise NotPossibleNow("this booking has expired already", code="booking_expired")
    if by_owner and booking.status is BookingStatus.CANCELED:
        return  # its refund was decided by the caller who canceled it
    if by_owner:
        denied = denied_to_customer(deps, booking)
        decisions.require_cancelable_by_owner(booking, recorder.payment_or_none, recorder.now, denied=denied)
    expected.require_version(booking)
    before = recorder.payment_or_none
    if booking.status is BookingStatus.CANCELED:
        recorder.cancel_with_refund(refund or RefundOnCancel.POLICY, recorder.now)
    else:
        _close(deps, recorder, refund or RefundOnCancel.POLICY)
    if by_owner:
        added = added_refund(before, recorder.payment_or_none, booking.amount).amount
        decisions.require_nothing_back(booking, before, added, recorder.now, denied=denied_to_customer(deps, booking))
    expected.require_refund(before, recorder.payment_or_none)


def _close(deps: Dependencies, recorder: Recorder, refund: RefundOnCancel) -> None:
    """Cancel the payment; close the booking if no gateway call is needed for that."""
    payment = recorder.payment_or_none
    if payment is not None and _can_be_canceled(payment):
        key, purpose = deps.ids.idempotency_key(), ev.Purpose.CANCEL_BOOKING
        recorder.add(decisions.intend_cancel(payment, idempotency_key=key, purpose=purpose, refund_on_cancel=refund))
        if recorder.payment.operation is not None:
            return  # the booking is closed when the gateway has canceled the intent
    recorder.cancel_with_refund(refund, recorder.now)


def _can_be_canceled(payment: Payment) -> bool:
    """Return True for an open payment, unless it is processing; its success is refunded as a late payment."""
    return payment.status.is_open and payment.status is not PaymentStatus.PROCESSING


# --- expiring --------------------------------------------------------------------------------------------------


async def expire_bookings(deps: Dependencies) -> int:
    """Expire the pending bookings whose hold has ended; returns how many were processed.

    A booking whose payment is being processed or is authorized does not expire, since the customer has paid. A booking
    whose intent the gateway finally refuses to cancel expires nevertheless, so that it is not tried without end. The
    pass begins with the bookings that need no gateway call, and ends when the gateway stops responding.

    Raises:
        ExceptionGroup: At the end, with the errors of single bookings.
    """
    now = deps.clock.now()

    async def overdue(limit: int) -> Sequence[str]:
        return await deps.storage.read(lambda uow: uow.bookings.due_to_expire(now, limit))

    return await through_queue(
        overdue,
        partial(_expire, deps),
        at_once=EXPIRE_AT_ONCE,
        is_stuck=lambda booking_id: deps.postponed.holds(booking_id, deps.clock.now()),
    )


async def _expire(deps: Dependencies, booking_id: str) -> bool | None:
    """Expire one booking. Returns True when the gateway answered, False when not, None when it was not asked."""
    caller = Caller.system("expiry")
    command = BookingCommand(
        target=Target(booking_id=booking_id),
        caller=caller,
        decide=partial(_decide_expiry, deps),
        needs_payment=False,
        waits=lambda recorder: _is_overdue(recorder.booking, recorder.now),
    )
    begun = await attempt(deps, command)
    if isinstance(begun, InFlight):
        # The resolver settles the operation when it is due; a later round closes the booking.
        deps.postponed.put(booking_id, await _next_try(deps, booking_id))
        return None
    if begun.claimed is None:
        return None
    ended = await carry_out(deps, begun.claimed, caller)
    return ended.answered


async def _next_try(deps: Dependencies, booking_id: str) -> datetime:
    """Return when expiry tries a booking again whose payment has an operation in flight.

    It is the payment's next check, but at most ``LOOKED_AT_AGAIN`` from now, since a webhook may settle it earlier.
    """
    now = deps.clock.now()

    async def next_check(uow: UnitOfWork) -> datetime | None:
        checks = [await uow.payments.poll_state(payment.id) for payment in await uow.payments.of_booking(booking_id)]
        return min((each.next_check_at for each in checks if each.next_check_at), default=None)

    due = await deps.storage.read(next_check)
    return max(min(due or now, now + LOOKED_AT_AGAIN), now + LEFT_ALONE)


def _decide_expiry(deps: Dependencies, recorder: Recorder) -> None:
    """Expire the booking if it is overdue; a payment that waits for the customer is canceled first."""
    payment = recorder.payment_or_none
    if not _is_overdue(recorder.booking, recorder.now):
        return
    if payment is not None and payment.status.is_open:
        if not payment.status.awaits_customer:
            return
        key = deps.ids.idempotency_key()
        recorder.add(decisions.intend_cancel(payment, idempotency_key=key, purpose=ev.Purpose.EXPIRE_BOOKING))
        if recorder.payment.operation is not None:
            return
    recorder.release(BookingStatus.EXPIRED.value)
