"""The repository of jobs that cancel or move an event, and of their results for each booking.

A job runs over all bookings of an event. It is stored before its first booking is processed, and each booking's result
is stored after it. If the process ends, another one continues the job; processing a booking twice has no second effect.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Protocol

from attrs import field, frozen

from booking_payments.domain.booking import Booking
from booking_payments.domain.money import Money
from booking_payments.domain.refunds import RefundOnCancel


class EventJobKind(Enum):
    """The kinds of jobs: cancel an event, or give it another date."""

    CANCEL = "cancel"
    RESCHEDULE = "reschedule"


class EventJobState(Enum):
    """``running`` until every booking has a result that is not ``waiting``."""

    RUNNING = "running"
    DONE = "done"


class BookingOutcome(Enum):
    """The outcome of a job for one booking.

    - ``done``: the booking is finished.
    - ``owed``: a refund is promised; it is pending, or the system sends it later.
    - ``disputed``: the customer's bank holds the money; the owed amount depends on the dispute.
    - ``failed``: an operator has to act.
    - ``waiting``: it could not be processed yet: another operation is in flight, or the gateway does not respond.
    """

    DONE = "done"
    OWED = "owed"
    DISPUTED = "disputed"
    FAILED = "failed"
    WAITING = "waiting"


@frozen(kw_only=True)
class EventJob:
    """A job over the bookings of one event.

    Attributes:
        event_id: the booking app's id of the event.
        refund: what a canceled event gives back.
        event_starts_at: the new date; None for a cancellation.
        refund_grace_until: until then customers may have everything back; None without such a time.
        actor: who asked for it; ``cause`` is recorded in the journals of its bookings.
        lease_until: until then it belongs to the process ``holder``.
        taken_up_at: when a process took it up last; None before. Running jobs take turns by it.
    """

    id: str
    event_id: str
    kind: EventJobKind
    actor: str
    cause: str
    created_at: datetime
    refund: RefundOnCancel = RefundOnCancel.FULL
    reason: str | None = None
    event_starts_at: datetime | None = None
    refund_grace_until: datetime | None = None
    state: EventJobState = EventJobState.RUNNING
    finished_at: datetime | None = None
    lease_until: datetime | None = None
    holder: str | None = None
    taken_up_at: datetime | None = None


@frozen(kw_only=True)
class BookingResult:
    """The result of a job for one booking. ``reason`` is a stable code; None for an outcome that needs none."""

    job_id: str
    booking_id: str
    outcome: BookingOutcome
    at: datetime
    reason: str | None = None


@frozen(kw_only=True)
class EventTotals:
    """The sums over the bookings of an event in one currency.

    Attributes:
        bookings: number of bookings by status.
        amount: prices of the live bookings.
        captured, refunded, refund_pending, owed: sums over their payments.
        authorized: amount of the payments whose money is held and not captured.
        processing: amount of the payments that are processing.
        unpaid: prices of the pending bookings.
    """

    bookings: Mapping[str, int] = field(factory=dict)
    amount: Money
    captured: Money
    refunded: Money
    refund_pending: Money
    owed: Money
    authorized: Money
    processing: Money
    unpaid: Money


@frozen(kw_only=True)
class UpcomingEvent:
    """An event that has bookings with a date to come.

    Attributes:
        starts_at: the earliest of these dates; a job that moves the event may not have come to all bookings yet.
        bookings: number of these bookings, whatever their status.
    """

    event_id: str
    starts_at: datetime
    bookings: int


class EventJobs(Protocol):
    """The jobs, and what reports say about events."""

    async def latest(self, event_id: str) -> EventJob | None:
        """Return the newest job of an event; None without one."""
        ...

    async def is_canceled(self, event_id: str) -> bool:
        """True when a job cancels the event, or has canceled it."""
        ...

    async def first_move(self, event_id: str, event_starts_at: datetime) -> datetime | None:
        """Return when the first job was made that moves the event to this date; None without one."""
        ...

    async def lock(self, job_id: str) -> EventJob | None:
        """Return a job, locked until the transaction ends; None if it is unknown."""
        ...

    async def add(self, job: EventJob) -> None:
        """Store a new job. Raises ``AlreadyExists`` while another one of the same event is running."""
        ...

    async def save(self, job: EventJob) -> None:
        """Store the changed state, end, lease and turn of a job that this transaction has locked."""
        ...

    async def running(self, limit: int) -> Sequence[EventJob]:
        """Return running jobs, and cancellations whose event has live bookings without a result.

        Those that were never taken up come first, then those whose last turn is longest ago: jobs that do not end keep
        no other one from its turn.
        """
        ...

    async def next_bookings(self, job: EventJob, before: datetime, limit: int) -> Sequence[str]:
        """Return ids of the event's bookings without a result, then of those ``waiting`` since before that time.

        The latter are ordered by how long they wait, so that bookings whose processing fails do not delay the others.
        """
        ...

    async def put(self, result: BookingResult) -> None:
        """Store the result of a booking, or replace it."""
        ...

    async def results(
        self, job_id: str, outcomes: Collection[BookingOutcome], after: str, limit: int
    ) -> Sequence[BookingResult]:
        """Return results with these outcomes by booking id, which is greater than ``after``."""
        ...

    async def reopened(self, job_id: str, after: str, limit: int) -> Sequence[BookingResult]:
        """Return results ``done`` whose booking is owed money again, or was disputed, by booking id after ``after``.

        A refund that had succeeded may fail later, and a refunded payment may be disputed.
        """
        ...

    async def counts(self, job_id: str) -> Mapping[BookingOutcome, int]:
        """Return the number of bookings by outcome."""
        ...

    async def total(self, event_id: str) -> int:
        """Return the number of bookings of an event."""
        ...

    async def totals(self, event_ids: Collection[str]) -> Mapping[str, Sequence[EventTotals]]:
        """Return the sums over the bookings of each of these events, by currency; none for one without bookings."""
        ...

    async def newest_bookings(self, event_ids: Collection[str]) -> Mapping[str, Booking]:
        """Return the newest booking of each of these events, without those that have none."""
        ...

    async def newest_jobs(self, event_ids: Collection[str]) -> Mapping[str, EventJob]:
        """Return what ``latest`` does for each of these events, without those that have none."""
        ...

    async def upcoming(self, now: datetime, after: UpcomingEvent | None, limit: int) -> Sequence[UpcomingEvent]:
        """Return events that start after ``now``, the earliest first, from the one that follows ``after``."""
        ...
