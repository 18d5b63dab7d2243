"""Event jobs in SQL."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import fields
from sqlalchemy import (
    RowMapping,
    Select,
    Table,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from booking_payments.adapters.sql.execute import Execute
from booking_payments.adapters.sql.failures import is_taken
from booking_payments.adapters.sql.in_array import given_texts, in_array
from booking_payments.adapters.sql.rows import booking_from
from booking_payments.adapters.sql.tables import LIVE, bookings, event_jobs, event_results, one_of, payments
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import RefundOnCancel
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

_PLAIN: Final = tuple(each.name for each in fields(EventJob) if each.name not in ("kind", "refund", "state"))
_HAS_RESULT: Final = exists().where(
    event_results.c.job_id == event_jobs.c.id, event_results.c.booking_id == bookings.c.id
)
_IS_BEHIND: Final = and_(
    event_jobs.c.kind == EventJobKind.CANCEL.value,
    exists().where(
        bookings.c.event_id == event_jobs.c.event_id,
        # Written as in the index bp_bookings_live_event, so that a past cancellation costs one look.
        text(one_of("bp_bookings.status", LIVE)),
        ~_HAS_RESULT.correlate(event_jobs, bookings),
    ),
)


class SqlEventJobs:
    """The event jobs of the port, in SQL."""

    def __init__(self, connection: Execute) -> None:
        self._connection = connection

    async def latest(self, event_id: str) -> EventJob | None:
        its = event_jobs.c.event_id == event_id
        statement = select(event_jobs).where(its).order_by(event_jobs.c.created_at.desc(), event_jobs.c.id.desc())
        row = (await self._connection.execute(statement.limit(1))).mappings().one_or_none()
        return _job(row) if row else None

    async def is_canceled(self, event_id: str) -> bool:
        cancels = event_jobs.c.kind == EventJobKind.CANCEL.value
        statement = select(event_jobs.c.id).where(event_jobs.c.event_id == event_id, cancels).limit(1)
        return (await self._connection.execute(statement)).all() != []

    async def first_move(self, event_id: str, event_starts_at: datetime) -> datetime | None:
        moves = and_(
            event_jobs.c.event_id == event_id,
            event_jobs.c.kind == EventJobKind.RESCHEDULE.value,
            event_jobs.c.event_starts_at == event_starts_at,
        )
        statement = select(event_jobs.c.created_at).where(moves).order_by(event_jobs.c.created_at).limit(1)
        rows = (await self._connection.execute(statement)).all()
        return rows[0].created_at if rows else None

    async def lock(self, job_id: str) -> EventJob | None:
        statement = select(event_jobs).where(event_jobs.c.id == job_id).with_for_update()
        row = (await self._connection.execute(statement)).mappings().one_or_none()
        return _job(row) if row else None

    async def add(self, job: EventJob) -> None:
        try:
            await self._connection.execute(insert(event_jobs), event_job_values(job))
        except IntegrityError as error:
            if not is_taken(error):
                raise
            raise AlreadyExists(job.event_id) from error

    async def save(self, job: EventJob) -> None:
        await self._connection.execute(update(event_jobs).where(event_jobs.c.id == job.id), event_job_changes(job))

    async def running(self, limit: int) -> Sequence[EventJob]:
        due = or_(event_jobs.c.state == EventJobState.RUNNING.value, _IS_BEHIND)
        turns = (event_jobs.c.taken_up_at.asc().nulls_first(), event_jobs.c.created_at, event_jobs.c.id)
        statement = select(event_jobs).where(due).order_by(*turns).limit(limit)
        return [_job(row) for row in (await self._connection.execute(statement)).mappings()]

    async def next_bookings(self, job: EventJob, before: datetime, limit: int) -> Sequence[str]:
        result = and_(event_results.c.job_id == job.id, event_results.c.booking_id == bookings.c.id)
        missing = event_results.c.booking_id.is_(None)
        waiting = and_(event_results.c.outcome == BookingOutcome.WAITING.value, event_results.c.at < before)
        statement = (
            select(bookings.c.id)
            .select_from(bookings.outerjoin(event_results, result))
            .where(bookings.c.event_id == job.event_id, or_(missing, waiting))
            .order_by(case((missing, 0), else_=1), event_results.c.at, bookings.c.id)
            .limit(limit)
        )
        return [row.id for row in await self._connection.execute(statement)]

    async def put(self, result: BookingResult) -> None:
        its = and_(event_results.c.job_id == result.job_id, event_results.c.booking_id == result.booking_id)
        values = {"outcome": result.outcome.value, "reason": result.reason, "at": result.at}
        if (await self._connection.execute(update(event_results).where(its), values)).rowcount:
            return
        added = {**values, "job_id": result.job_id, "booking_id": result.booking_id}
        await self._connection.execute(insert(event_results), added)

    async def results(
        self, job_id: str, outcomes: Collection[BookingOutcome], after: str, limit: int
    ) -> Sequence[BookingResult]:
        statement = (
            select(event_results)
            .where(
                event_results.c.job_id == job_id,
                event_results.c.outcome.in_([each.value for each in outcomes]),
                event_results.c.booking_id > after,
            )
            .order_by(event_results.c.booking_id)
            .limit(limit)
        )
        return [_result(row) for row in (await self._connection.execute(statement)).mappings()]

    async def reopened(self, job_id: str, after: str, limit: int) -> Sequence[BookingResult]:
        owed = or_(payments.c.owed_minor != 0, payments.c.refund_pending_minor != 0, payments.c.disputed == 1)
        statement = (
            select(event_results)
            .where(
                event_results.c.job_id == job_id,
                event_results.c.outcome == BookingOutcome.DONE.value,
                event_results.c.booking_id > after,
                exists().where(payments.c.booking_id == event_results.c.booking_id, owed),
            )
            .order_by(event_results.c.booking_id)
            .limit(limit)
        )
        return [_result(row) for row in (await self._connection.execute(statement)).mappings()]

    async def counts(self, job_id: str) -> Mapping[BookingOutcome, int]:
        statement = (
            select(event_results.c.outcome, func.count().label("bookings"))
            .where(event_results.c.job_id == job_id)
            .group_by(event_results.c.outcome)
        )
        found = (await self._connection.execute(statement)).mappings()
        return {BookingOutcome(row["outcome"]): row["bookings"] for row in found}

    async def total(self, event_id: str) -> int:
        statement = select(func.count()).select_from(bookings).where(bookings.c.event_id == event_id)
        return int((await self._connection.execute(statement)).scalar_one())

    async def totals(self, event_ids: Collection[str]) -> Mapping[str, Sequence[EventTotals]]:
        ids = {"ids": event_ids}
        paid = {
            (row["event_id"], row["currency"]): row for row in (await self._connection.execute(_PAID, ids)).mappings()
        }
        found: dict[str, dict[str, list[RowMapping]]] = {event_id: {} for event_id in event_ids}
        for row in (await self._connection.execute(_BY_STATUS, ids)).mappings():
            found[row["event_id"]].setdefault(row["currency"], []).append(row)
        return {
            event_id: [_totals(code, rows, paid.get((event_id, code))) for code, rows in its.items()]
            for event_id, its in found.items()
        }

    async def newest_bookings(self, event_ids: Collection[str]) -> Mapping[str, Booking]:
        found = (await self._connection.execute(_NEWEST_BOOKINGS, {"ids": event_ids})).mappings()
        return {row["event_id"]: booking_from(row) for row in found}

    async def newest_jobs(self, event_ids: Collection[str]) -> Mapping[str, EventJob]:
        found = (await self._connection.execute(_NEWEST_JOBS, {"ids": event_ids})).mappings()
        return {row["event_id"]: _job(row) for row in found}

    async def upcoming(self, now: datetime, after: UpcomingEvent | None, limit: int) -> Sequence[UpcomingEvent]:
        found: list[UpcomingEvent] = []
        last, read = (after.starts_at, after.event_id) if after is not None else None, _DATES_AT_ONCE
        while len(found) < limit:
            dates = await self._dates(now, last, read)
            events = await self._coming(now, {event_id for _, event_id in dates})
            # Listed at the first of its dates: at a later one it has been listed already.
            found += [events[event_id] for at, event_id in dates if events[event_id].starts_at == at]
            if len(dates) < read:
                break
            last, read = dates[-1], 2 * read
        return found[:limit]

    async def _dates(
        self, now: datetime, last: tuple[datetime, str] | None, limit: int
    ) -> Sequence[tuple[datetime, str]]:
        """The next dates with their events, of those after ``now`` and behind ``last``; the database decides the order
        of events of the same date."""
        starts_at, event_id = bookings.c.event_starts_at, bookings.c.event_id
        behind = [starts_at > now]
        if last is not None:  # the first part is for the index
            behind += [starts_at >= last[0], or_(starts_at > last[0], event_id > last[1])]
        statement = (
            select(starts_at, event_id)
            .where(event_id.is_not(None), *behind)
            .group_by(starts_at, event_id)
            .order_by(starts_at, event_id)
            .limit(limit)
        )
        return [(row.event_starts_at, row.event_id) for row in await self._connection.execute(statement)]

    async def _coming(self, now: datetime, event_ids: Collection[str]) -> Mapping[str, UpcomingEvent]:
        result = await self._connection.execute(_COMING, {"now": now, "ids": event_ids})
        return {row["event_id"]: UpcomingEvent(**row) for row in result.mappings()}


_DATES_AT_ONCE: Final = 100
"""Dates of events that are read at first; there are as many as events, unless events have several dates."""

_OF_EVENTS: Final = and_(in_array(bookings.c.event_id), bookings.c.event_id.is_not(None))

_COMING: Final = (
    select(
        bookings.c.event_id,
        func.min(bookings.c.event_starts_at, type_=bookings.c.event_starts_at.type).label("starts_at"),
        func.count().label("bookings"),
    )
    .where(
        _OF_EVENTS,
        bookings.c.event_starts_at > bindparam("now"),
    )
    .group_by(bookings.c.event_id)
)
"""Events with their first date after ``now`` and their number of bookings."""

_BY_STATUS: Final = (
    select(
        bookings.c.event_id,
        bookings.c.currency,
        bookings.c.status,
        func.count().label("bookings"),
        func.sum(bookings.c.amount_minor).label("amount"),
    )
    .where(_OF_EVENTS)
    .group_by(bookings.c.event_id, bookings.c.currency, bookings.c.status)
    .order_by(bookings.c.event_id, bookings.c.currency, bookings.c.status)
)


def _sum_in(status: PaymentStatus) -> Any:
    return func.sum(case((payments.c.status == status.value, payments.c.amount_minor), else_=0))


_PAID: Final = (
    select(
        bookings.c.event_id,
        payments.c.currency,
        func.sum(payments.c.captured_minor).label("captured"),
        func.sum(payments.c.refunded_minor).label("refunded"),
        func.sum(payments.c.refund_pending_minor).label("refund_pending"),
        func.sum(payments.c.owed_minor).label("owed"),
        _sum_in(PaymentStatus.REQUIRES_CAPTURE).label("authorized"),
        _sum_in(PaymentStatus.PROCESSING).label("processing"),
    )
    .join_from(payments, bookings, bookings.c.id == payments.c.booking_id)
    .where(_OF_EVENTS)
    .group_by(bookings.c.event_id, payments.c.currency)
)

_PAID_SUMS: Final = ("captured", "refunded", "refund_pending", "owed", "authorized", "processing")


def _newest_of_events(table: Table) -> Select[Any]:
    """The newest row of each event."""
    given, each = given_texts(), table.alias()
    newest = (
        select(each.c.id)
        .where(each.c.event_id == given.c.value, each.c.event_id.is_not(None))
        .order_by(each.c.created_at.desc(), each.c.id.desc())
        .limit(1)
        .correlate(given)
        .scalar_subquery()
    )
    return select(table).where(table.c.id.in_(select(newest).select_from(given)))


_NEWEST_BOOKINGS: Final = _newest_of_events(bookings)
_NEWEST_JOBS: Final = _newest_of_events(event_jobs)


def _totals(code: str, by_status: Sequence[RowMapping], paid: RowMapping | None) -> EventTotals:
    currency = Currency.of(code)
    live = [row for row in by_status if BookingStatus(row["status"]).is_live]
    pending = [row for row in by_status if row["status"] == BookingStatus.PENDING.value]

    def money(minor: Any) -> Money:
        return Money.sum_of(int(minor), currency)

    return EventTotals(
        bookings={row["status"]: row["bookings"] for row in by_status},
        amount=money(sum(row["amount"] for row in live)),
        unpaid=money(sum(row["amount"] for row in pending)),
        **{name: money(paid[name] if paid else 0) for name in _PAID_SUMS},
    )


def event_job_values(job: EventJob) -> dict[str, Any]:
    """The columns of a job's row."""
    plain = {name: getattr(job, name) for name in _PLAIN}
    return {**plain, "kind": job.kind.value, "refund": job.refund.value, "state": job.state.value}


def event_job_changes(job: EventJob) -> dict[str, Any]:
    """The columns that change with the job."""
    names = ("finished_at", "lease_until", "holder", "taken_up_at")
    return {"state": job.state.value, **{name: getattr(job, name) for name in names}}


def _job(row: RowMapping) -> EventJob:
    return EventJob(
        kind=EventJobKind(row["kind"]),
        refund=RefundOnCancel(row["refund"]),
        state=EventJobState(row["state"]),
        **{name: row[name] for name in _PLAIN},
    )


def _result(row: RowMapping) -> BookingResult:
    return BookingResult(
        job_id=row["job_id"],
        booking_id=row["booking_id"],
        outcome=BookingOutcome(row["outcome"]),
        at=row["at"],
        reason=row["reason"],
    )
