"""The course of a group: read together, judged one by one, written together."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import URL

from booking_payments.adapters.sql.clock import DatabaseClock
from booking_payments.adapters.sql.groups.member import LeftOut, MemberUnitOfWork, Seen, Written, seen_in
from booking_payments.adapters.sql.groups.queue import Queue, Ticket
from booking_payments.adapters.sql.groups.statements import READ, READ_TIME, SESSION
from booking_payments.adapters.sql.jobs import JobQueue
from booking_payments.ports.jobs import Job
from booking_payments.ports.storage import Subject, Work

T = TypeVar("T")

Alone = Callable[[Work[Any]], Awaitable[Any]]
Committed = Callable[[Sequence[tuple[Job, datetime]]], None]
Member = Ticket[Work[Any], Any]

MOST: Final = 32
"""Members of one group."""

OVERTAKEN: Final = (psycopg.errors.DivisionByZero, psycopg.errors.UniqueViolation)
"""What the writing ends with when anything has moved on since it was read. The connection is none the worse for it."""

AT_ONCE: Final = 1
"""Groups under way: while one waits for its commit, another is judged."""


class GroupCommit:
    """Runs work that says what it is about, in groups, over connections of its own."""

    def __init__(
        self,
        url: URL,
        *,
        alone: Alone,
        committed: Committed,
        clock: DatabaseClock | None,
        queue: JobQueue | None = None,
    ) -> None:
        self._jobs = queue
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._alone, self._committed, self._clock = alone, committed, clock
        self._idle: list[psycopg.AsyncConnection[TupleRow]] = []
        self._queue = Queue[Work[Any], Any](self._serve, most=MOST, at_once=AT_ONCE)

    async def run(self, work: Work[T], about: Subject) -> T:
        """What ``work`` returns, once it is committed; anything that it raises comes through."""
        try:
            result: T = await self._queue.join(work, about)
        except LeftOut:
            result = await self._alone(work)
        return result

    async def close(self) -> None:
        """Let go of all connections."""
        while self._idle:
            await self._idle.pop().close()

    async def _serve(self, members: Sequence[Member]) -> None:
        try:
            async with self._connection() as connection:
                left_out = await self._twice(connection, members)
        except (psycopg.Error, OSError):
            left_out = members
        for member in left_out:
            member.fails(LeftOut())

    async def _twice(
        self, connection: psycopg.AsyncConnection[TupleRow], members: Sequence[Member]
    ) -> Sequence[Member]:
        """Together; and once more, when somebody else was faster."""
        try:
            return await self._together(connection, members)
        except OVERTAKEN:
            return await self._together(connection, members)

    async def _together(
        self, connection: psycopg.AsyncConnection[TupleRow], members: Sequence[Member]
    ) -> Sequence[Member]:
        """Serve those that can be served; returns the others."""
        written, jobs, served, left_out = Written(), list[tuple[Job, datetime]](), list[tuple[Member, Any]](), []
        for member, uow in await self._read(connection, members):
            try:
                result = await member.payload(uow)
            except Exception:  # whatever it is, it comes again where the work runs alone
                left_out.append(member)
            else:
                written.add(uow.written)
                jobs += uow.jobs.deferred
                served.append((member, result))
        await self._write(connection, written, jobs)
        for member, result in served:
            member.gets(result)
        if jobs:
            self._committed(jobs)
        return left_out

    async def _write(
        self, connection: psycopg.AsyncConnection[TupleRow], written: Written, jobs: Sequence[tuple[Job, datetime]]
    ) -> None:
        if not written.anything:
            return
        statement, parameters = written.statement()
        if self._jobs is None or not self._jobs.has_workers:
            await connection.execute(statement, parameters, prepare=True)
            return
        async with connection.transaction():
            await self._jobs.defer(jobs, connection)
            await connection.execute(statement, parameters, prepare=True)

    async def _read(
        self, connection: psycopg.AsyncConnection[TupleRow], members: Sequence[Member]
    ) -> Sequence[tuple[Member, MemberUnitOfWork]]:
        """Each member with the transaction as it sees it. Of two that share a booking only the first sees it."""
        await self._tell_time(connection)
        about = [_about(place, each.subject) for place, each in enumerate(members) if each.subjects]
        found: list[TupleRow] = []
        if about:
            given = {"subjects": msgspec.json.encode(about).decode()}
            found = await (await connection.execute(READ, given, prepare=True)).fetchall()
        seen = _each_booking_once(seen_in(found, len(members)))
        return [(each, MemberUnitOfWork(each.subject, its)) for each, its in zip(members, seen, strict=True)]

    async def _tell_time(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        if self._clock is not None and self._clock.wants_to_hear:
            row = await (await connection.execute(READ_TIME)).fetchone()
            if row is not None:
                self._clock.heard(row[0].astimezone(UTC))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
        """A connection of which each statement is a transaction; one that has met any other error is thrown away."""
        connection = self._idle.pop() if self._idle else await self._open()
        try:
            yield connection
        except OVERTAKEN:
            self._idle.append(connection)
            raise
        except BaseException:
            await connection.close()
            raise
        self._idle.append(connection)

    async def _open(self) -> psycopg.AsyncConnection[TupleRow]:
        connection = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
        for name, value in SESSION.items():
            await connection.execute(f"SET {name} = '{value}'")
        return connection


def _about(place: int, subject: Subject) -> dict[str, Any]:
    return {
        "place": place,
        "booking_id": subject.booking_id,
        "intent_id": subject.intent_id,
        "event_id": subject.event_id,
    }


def _each_booking_once(seen: Sequence[Seen]) -> Sequence[Seen]:
    taken = set[str]()
    for each in seen:
        if each.booking is not None:
            booking_id = each.booking.booking.id
            each.booking = None if booking_id in taken else each.booking
            taken.add(booking_id)
    return seen
