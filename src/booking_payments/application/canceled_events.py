"""What is refused once an event is canceled: new bookings, and charges for those that its job has not reached yet."""

from booking_payments.application.dependencies import Dependencies
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.errors import NotPossibleNow
from booking_payments.ports.unit_of_work import UnitOfWork


def event_canceled() -> NotPossibleNow:
    """Return the error for a booking of a canceled event."""
    return NotPossibleNow("this event is canceled", code="event_canceled")


async def require_event_goes_on(uow: UnitOfWork, event_id: str | None) -> None:
    """Raise ``NotPossibleNow`` (``event_canceled``) for a canceled event; None: the booking belongs to no event."""
    if event_id is not None and await uow.events.is_canceled(event_id):
        raise event_canceled()


def must_check_event(deps: Dependencies, booking: Booking) -> bool:
    """Return whether it has to be read if the event of a booking is canceled, before the booking is charged."""
    pending = booking.status is BookingStatus.PENDING
    return pending and booking.event_id is not None and not deps.open_events.knows(booking.event_id, deps.clock.now())


async def check_event(deps: Dependencies, event_id: str) -> None:
    """Read that an event goes on, and remember it for a moment.

    What is charged after the cancellation nevertheless goes back in full. Raises ``NotPossibleNow``
    (``event_canceled``).
    """
    await deps.storage.read(lambda uow: require_event_goes_on(uow, event_id))
    deps.open_events.saw(event_id, deps.clock.now())
