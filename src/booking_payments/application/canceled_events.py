"""What is refused once an event is canceled: new bookings, and charges for those that its job has not reached yet."""

from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.errors import NotPossibleNow
from booking_payments.ports.unit_of_work import UnitOfWork


def event_canceled() -> NotPossibleNow:
    """Return the error for a booking of a canceled event."""
    return NotPossibleNow("this event is canceled", code="event_canceled")


async def require_event_goes_on(uow: UnitOfWork, event_id: str | None) -> None:
    """Raise ``NotPossibleNow`` (``event_canceled``) for a canceled event; None: the booking belongs to no event."""
    if event_id is not None and await uow.events.is_canceled(event_id):
        raise event_canceled()


async def require_chargeable_event(deps: Dependencies, booking_id: str, caller: Caller) -> None:
    """Raise ``NotPossibleNow`` (``event_canceled``) for an unpaid booking of a canceled event.

    It is read in a transaction of its own: reading it with the booking locked would keep the charge out of a shared
    transaction. A charge that begins before the cancellation is stored goes back in full.
    """

    async def work(uow: UnitOfWork) -> None:
        booking = caller.require(await uow.bookings.get(booking_id))
        if booking.status is BookingStatus.PENDING:
            await require_event_goes_on(uow, booking.event_id)

    await deps.storage.read(work)
