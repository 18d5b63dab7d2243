"""Events for a person who looks after them: those to come, and one with what needs attention."""

from collections.abc import Sequence

from attrs import frozen

from booking_payments.application.dependencies import Dependencies
from booking_payments.application.event_jobs import EventReport, event_report
from booking_payments.domain.booking import Booking
from booking_payments.domain.money import Money, total
from booking_payments.domain.payment import payment_of_booking
from booking_payments.ports.event_jobs import BookingOutcome, EventJob, EventTotals, UpcomingEvent
from booking_payments.ports.unit_of_work import UnitOfWork

ATTENTION = (BookingOutcome.FAILED, BookingOutcome.DISPUTED, BookingOutcome.OWED, BookingOutcome.WAITING)
"""Outcomes of bookings that are listed, in this order."""


@frozen(kw_only=True)
class ListedEvent:
    """An event in a list, with its sums by currency, its newest job and the title of its newest booking."""

    event: UpcomingEvent
    title: str | None
    totals: Sequence[EventTotals]
    job: EventJob | None


@frozen(kw_only=True)
class EventPage:
    """Events to come, the earliest first; ``last`` is what the next page begins after, None on the last page."""

    items: tuple[ListedEvent, ...]
    last: UpcomingEvent | None


@frozen(kw_only=True)
class AttentionLine:
    """A booking of a job that is not done. ``payment_id`` is None for a booking without a payment."""

    booking: Booking
    payment_id: str | None
    outcome: BookingOutcome
    reason: str | None
    owed: Money


@frozen(kw_only=True)
class EventOverview:
    """One event.

    Attributes:
        newest: its newest booking; None for an event that was canceled before it had any.
        attention: bookings of its newest job that are not done, at most as many as were asked for.
    """

    report: EventReport
    newest: Booking | None
    attention: tuple[AttentionLine, ...]


async def upcoming_events(deps: Dependencies, after: UpcomingEvent | None, limit: int) -> EventPage:
    """Return events that have not begun, the earliest first, from one consistent snapshot."""
    now = deps.clock.now()

    async def work(uow: UnitOfWork) -> EventPage:
        found = await uow.events.upcoming(now, after, limit + 1)
        listed = found[:limit]
        ids = [each.event_id for each in listed]
        totals = await uow.events.totals(ids)
        newest, jobs = await uow.events.newest_bookings(ids), await uow.events.newest_jobs(ids)
        items = [
            ListedEvent(
                event=each,
                title=newest[each.event_id].details.title if each.event_id in newest else None,
                totals=totals[each.event_id],
                job=jobs.get(each.event_id),
            )
            for each in listed
        ]
        return EventPage(items=tuple(items), last=found[limit - 1] if len(found) > limit else None)

    return await deps.storage.read(work)


async def event_overview(deps: Dependencies, event_id: str, *, attention: int) -> EventOverview:
    """Return an event with up to ``attention`` bookings that are not done.

    Raises ``NotFound`` for an event without bookings and without a job.
    """
    report = await event_report(deps, event_id)

    async def work(uow: UnitOfWork) -> EventOverview:
        lines: list[AttentionLine] = []
        for outcome in ATTENTION if report.job is not None else ():
            left = attention - len(lines)
            results = await uow.events.results(report.job.id, (outcome,), "", left) if report.job and left else ()
            for result in results:
                booking = await uow.bookings.get(result.booking_id)
                if booking is not None:
                    lines.append(await _line(uow, booking, outcome, result.reason))
        newest = await uow.events.newest_bookings([event_id])
        return EventOverview(report=report, newest=newest.get(event_id), attention=tuple(lines))

    return await deps.storage.read(work)


async def _line(uow: UnitOfWork, booking: Booking, outcome: BookingOutcome, reason: str | None) -> AttentionLine:
    payments = await uow.payments.of_booking(booking.id)
    payment = payment_of_booking(payments)
    return AttentionLine(
        booking=booking,
        payment_id=payment.id if payment is not None else None,
        outcome=outcome,
        reason=reason,
        owed=total((each.owed.amount for each in payments), booking.amount.currency),
    )
