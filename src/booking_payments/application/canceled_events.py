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


def unchecked_event(deps: Dependencies, booking: Booking) -> str | None:
    """Return the id of the event that has to be checked before a pending booking is charged; None: no check is needed.

    That is so for a booking without an event, and for an event that was seen to go on a moment ago.
    """
    event_id = booking.event_id if booking.status is BookingStatus.PENDING else None
    return None if event_id is None or deps.open_events.knows(event_id, deps.clock.now()) else event_id


async def check_event(deps: Dependencies, event_id: str) -> None:
    """Read that an event goes on, and remember it for a moment.

    What is charged after the cancellation nevertheless goes back in full. Raises ``NotPossibleNow``
    (``event_canceled``).
    """
    await deps.storage.read(lambda uow: require_event_goes_on(uow, event_id))
    deps.open_events.saw(event_id, deps.clock.now())
