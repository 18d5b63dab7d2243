"""Event jobs in memory."""

from collections import Counter
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime

from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, total
from booking_payments.domain.payment import Payment
from booking_payments.ports.event_jobs import (
    BookingOutcome,
    BookingResult,
    EventJob,
    EventJobKind,
    EventJobState,
    EventTotals,
    UpcomingEvent,
)
from booking_payments.ports.storage import AlreadyExists


def _turn(job: EventJob) -> tuple[datetime, datetime, str]:
    return job.taken_up_at or datetime.min.replace(tzinfo=UTC), job.created_at, job.id


class MemoryEventJobs:
    """The event jobs of the port, over the rows of one transaction."""

    def __init__(
        self,
        jobs: MutableMapping[str, EventJob],
        results: MutableMapping[tuple[str, str], BookingResult],
        bookings: Mapping[str, Booking],
        payments: Mapping[str, Payment],
    ) -> None:
        self._jobs = jobs
        self._results = results
        self._bookings = bookings
        self._payments = payments

    async def latest(self, event_id: str) -> EventJob | None:
        found = [each for each in self._jobs.values() if each.event_id == event_id]
        return max(found, key=lambda each: (each.created_at, each.id), default=None)

    async def is_canceled(self, event_id: str) -> bool:
        return any(each.event_id == event_id and each.kind is EventJobKind.CANCEL for each in self._jobs.values())

    async def first_move(self, event_id: str, event_starts_at: datetime) -> datetime | None:
        its = (event_id, EventJobKind.RESCHEDULE, event_starts_at)
        moves = [each for each in self._jobs.values() if (each.event_id, each.kind, each.event_starts_at) == its]
        return min((each.created_at for each in moves), default=None)

    async def lock(self, job_id: str) -> EventJob | None:
        return self._jobs.get(job_id)

    async def add(self, job: EventJob) -> None:
        others = [each for each in self._jobs.values() if each.event_id == job.event_id]
        if job.id in self._jobs or any(each.state is EventJobState.RUNNING for each in others):
            raise AlreadyExists(job.event_id)
        self._jobs[job.id] = job

    async def save(self, job: EventJob) -> None:
        self._jobs[job.id] = job

    async def running(self, limit: int) -> Sequence[EventJob]:
        found = [each for each in self._jobs.values() if each.state is EventJobState.RUNNING or self._is_behind(each)]
        return sorted(found, key=_turn)[:limit]

    def _is_behind(self, job: EventJob) -> bool:
        live = [each for each in self._of_event(job.event_id) if each.status.is_live]
        return job.kind is EventJobKind.CANCEL and any((job.id, each.id) not in self._results for each in live)

    async def next_bookings(self, job: EventJob, before: datetime, limit: int) -> Sequence[str]:
        ids = sorted(each.id for each in self._of_event(job.event_id))
        new = [its for its in ids if (job.id, its) not in self._results]
        waiting = [
            (each.at, each.booking_id)
            for each in self._results.values()
            if each.job_id == job.id and each.outcome is BookingOutcome.WAITING and each.at < before
        ]
        return [*new, *(its for _, its in sorted(waiting))][:limit]

    async def put(self, result: BookingResult) -> None:
        self._results[result.job_id, result.booking_id] = result

    async def results(
        self, job_id: str, outcomes: Collection[BookingOutcome], after: str, limit: int
    ) -> Sequence[BookingResult]:
        found = [
            each
            for each in self._results.values()
            if each.job_id == job_id and each.outcome in outcomes and each.booking_id > after
        ]
        return sorted(found, key=lambda each: each.booking_id)[:limit]

    async def reopened(self, job_id: str, after: str, limit: int) -> Sequence[BookingResult]:
        payments = self._payments.values()
        owed = {each.booking_id for each in payments if each.owed.amount or each.refund_pending or each.disputes}
        done = await self.results(job_id, (BookingOutcome.DONE,), after, len(self._results))
        return [each for each in done if each.booking_id in owed][:limit]

    async def counts(self, job_id: str) -> Mapping[BookingOutcome, int]:
        return Counter(each.outcome for each in self._results.values() if each.job_id == job_id)

    async def total(self, event_id: str) -> int:
        return len(self._of_event(event_id))

    async def totals(self, event_ids: Collection[str]) -> Mapping[str, Sequence[EventTotals]]:
        return {event_id: self._totals_by_currency(self._of_event(event_id)) for event_id in event_ids}

    async def newest_bookings(self, event_ids: Collection[str]) -> Mapping[str, Booking]:
        found = {event_id: self._of_event(event_id) for event_id in event_ids}
        return {its: max(bookings, key=lambda b: (b.created_at, b.id)) for its, bookings in found.items() if bookings}

    async def newest_jobs(self, event_ids: Collection[str]) -> Mapping[str, EventJob]:
        found = {event_id: await self.latest(event_id) for event_id in event_ids}
        return {event_id: job for event_id, job in found.items() if job is not None}

    async def upcoming(self, now: datetime, after: UpcomingEvent | None, limit: int) -> Sequence[UpcomingEvent]:
        dates: dict[str, list[datetime]] = {}
        for each in self._bookings.values():
            if each.event_id is not None and each.event_starts_at > now:
                dates.setdefault(each.event_id, []).append(each.event_starts_at)
        found = [
            UpcomingEvent(event_id=event_id, starts_at=min(its), bookings=len(its)) for event_id, its in dates.items()
        ]
        last = (after.starts_at, after.event_id) if after is not None else None
        left = [each for each in found if last is None or (each.starts_at, each.event_id) > last]
        return sorted(left, key=lambda each: (each.starts_at, each.event_id))[:limit]

    def _totals_by_currency(self, bookings: Sequence[Booking]) -> Sequence[EventTotals]:
        currencies = sorted({each.amount.currency for each in bookings}, key=lambda each: each.code)
        return [self._totals(currency, bookings) for currency in currencies]

    def _totals(self, currency: Currency, bookings: Sequence[Booking]) -> EventTotals:
        its = [each for each in bookings if each.amount.currency is currency]
        ids = {each.id for each in its}
        payments = [each for each in self._payments.values() if each.booking_id in ids]
        held = [each.amount for each in payments if each.status is PaymentStatus.REQUIRES_CAPTURE]
        processing = [each.amount for each in payments if each.status is PaymentStatus.PROCESSING]
        return EventTotals(
            bookings=Counter(each.status.value for each in its),
            amount=total((each.amount for each in its if each.status.is_live), currency),
            captured=total((each.captured for each in payments), currency),
            refunded=total((each.refunded for each in payments), currency),
            refund_pending=total((each.refund_pending for each in payments), currency),
            owed=total((each.owed.amount for each in payments), currency),
            authorized=total(held, currency),
            processing=total(processing, currency),
            unpaid=total((each.amount for each in its if each.status is BookingStatus.PENDING), currency),
        )

    def _of_event(self, event_id: str) -> Sequence[Booking]:
        return [each for each in self._bookings.values() if each.event_id == event_id]
