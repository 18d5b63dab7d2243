"""The course of a group: read together, judged one by one, written together."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import anyio
import attrs
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from sqlalchemy import URL

from booking_payments.adapters.sql import engine
from booking_payments.adapters.sql.clock import DatabaseClock
from booking_payments.adapters.sql.engine import patience_with, schema_of, set_search_path, without_schema
from booking_payments.adapters.sql.groups.member import (
    Batch,
    MemberUnitOfWork,
    NeedsOwnTransaction,
    Snapshot,
    as_json,
    snapshots_in,
)
from booking_payments.adapters.sql.groups.queue import Queue, Ticket
from booking_payments.adapters.sql.groups.statements import READ, READ_TIME, SESSION, Statement
from booking_payments.adapters.sql.jobs import JobQueue
from booking_payments.ports.jobs import Job
from booking_payments.ports.storage import CommitLost, StorageDown
from booking_payments.ports.unit_of_work import LockScope, TransactionBody

T = TypeVar("T")

Alone = Callable[[TransactionBody[Any]], Awaitable[Any]]
Committed = Callable[[Sequence[tuple[Job, datetime]]], None]
Member = Ticket[TransactionBody[Any], Any]

MOST: Final = 32
"""Members of one group."""


class SnapshotOutdated(Exception):  # noqa: N818 - it asks for another try and reports no failure
    """Nothing was written: a row has changed since it was read."""


OVERTAKEN: Final = (SnapshotOutdated, psycopg.errors.UniqueViolation)
"""The errors of the writing statement when a row has changed since it was read. The connection stays usable."""

AT_ONCE: Final = 1
"""Groups that run at a time. Everything that arrives meanwhile forms the next group."""


class GroupCommit:
    """Runs transactions that have a scope in groups, on its own connections."""

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
        self._session = (
            set_search_path(schema_of(url)),
            *(f"SET {name} = '{value}'" for name, value in SESSION.items()),
        )
        url = without_schema(url)
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._conninfo = make_conninfo(dsn, **patience_with(url))
        self._alone, self._committed, self._clock = alone, committed, clock
        self._idle: list[psycopg.AsyncConnection[TupleRow]] = []
        self._queue = Queue[TransactionBody[Any], Any](self._serve, most=MOST, at_once=AT_ONCE)

    async def run(self, work: TransactionBody[T], about: LockScope) -> T:
        """What ``work`` returns, once it is committed; anything that it raises comes through."""
        try:
            result: T = await self._queue.join(work, about)
        except NeedsOwnTransaction:
            result = await self._alone(work)
        return result

    async def close(self) -> None:
        """Let go of all connections, as soon as nothing is under way on them."""
        await self._queue.settled()
        while self._idle:
            await self._idle.pop().close()

    async def _serve(self, members: Sequence[Member]) -> None:
        """Serve a group. A member without a result at the end was not served: nothing was written for it, and it runs
        alone."""
        with anyio.move_on_after(engine.LONGEST_S) as waited:
            try:
                with suppress(psycopg.Error, OSError, SnapshotOutdated):
                    async with self._connection() as connection:
                        await self._twice(connection, members)
            finally:
                for member in members:
                    if not member.is_answered:
                        member.fails(_silence() if waited.cancel_called else NeedsOwnTransaction())

    async def _twice(self, connection: psycopg.AsyncConnection[TupleRow], members: Sequence[Member]) -> None:
        """Run the group, and once more if another transaction has changed a row that was read."""
        try:
            await self._together(connection, members)
        except OVERTAKEN:
            await self._together(connection, members)

    async def _together(self, connection: psycopg.AsyncConnection[TupleRow], members: Sequence[Member]) -> None:
        """Run the members that are not canceled; a member that raises is left without a result."""
        batch, jobs, served = Batch(), list[tuple[Job, datetime]](), list[tuple[Member, Any]]()
        for member, uow in await self._read(connection, [each for each in members if not each.is_canceled]):
            with suppress(Exception):  # any error is raised again where the work runs alone
                result = await member.payload(uow)
                await uow.flush()
                batch.add(uow.database.rows)
                jobs += uow.jobs.deferred
                served.append((member, result))
        try:
            await self._write(connection, batch, jobs)
        except BaseException as error:
            if not _is_rolled_back(connection, error):
                for member, _ in served:
                    member.fails(CommitLost("the connection to the database broke during a commit"))
            raise
        for member, result in served:
            member.gets(result)
        if jobs:
            self._committed(jobs)

    async def _write(
        self, connection: psycopg.AsyncConnection[TupleRow], batch: Batch, jobs: Sequence[tuple[Job, datetime]]
    ) -> None:
        if batch.is_empty:
            return
        if self._jobs is None or not self._jobs.has_workers:
            await self._write_rows(connection, batch)
            return
        async with connection.transaction():
            await self._jobs.defer(jobs, connection)
            await self._write_rows(connection, batch)

    async def _write_rows(self, connection: psycopg.AsyncConnection[TupleRow], batch: Batch) -> None:
        """Raises ``SnapshotOutdated`` where nothing was written, since something has changed."""
        statement, parameters = batch.statement()
        row = await (await _execute(connection, statement, parameters)).fetchone()
        if row is None or not row[0]:
            raise SnapshotOutdated

    async def _read(
        self, connection: psycopg.AsyncConnection[TupleRow], members: Sequence[Member]
    ) -> Sequence[tuple[Member, MemberUnitOfWork]]:
        """Each member with the transaction as it sees it. Of two that share a booking only the first sees it; one that
        can't be asked for, or whose rows can't be understood, is missing."""
        await self._tell_time(connection)
        asked = [_asked(place, each.subject) for place, each in enumerate(members)]
        about = b",".join(each for each in asked if each)
        found: list[TupleRow] = []
        if about:
            given = {"subjects": f"[{about.decode()}]"}
            found = await (await _execute(connection, READ, given)).fetchall()
        seen = _each_booking_once(snapshots_in(found, len(members)))
        return [
            (member, MemberUnitOfWork(member.subject, its))
            for member, about_it, its in zip(members, asked, seen, strict=True)
            if about_it is not None and its is not None
        ]

    async def _tell_time(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        if self._clock is not None and self._clock.wants_to_hear:
            row = await (await connection.execute(READ_TIME.text)).fetchone()
            if row is not None:
                self._clock.heard(row[0].astimezone(UTC))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
        """A connection of which each statement is a transaction. What the database refuses does it no harm; left in the
        middle of anything it is thrown away."""
        connection = self._idle.pop() if self._idle else await self._open()
        try:
            yield connection
        except (psycopg.Error, SnapshotOutdated):
            raise
        except BaseException:
            await connection.close()
            raise
        finally:
            if not connection.closed:
                self._idle.append(connection)

    async def _open(self) -> psycopg.AsyncConnection[TupleRow]:
        connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
        try:
            for statement in self._session:
                await connection.execute(statement)
        except BaseException:
            await connection.close()
            raise
        return connection


async def _execute(
    connection: psycopg.AsyncConnection[TupleRow], statement: Statement, given: Mapping[str, Any]
) -> psycopg.AsyncRawCursor[TupleRow]:
    return await psycopg.AsyncRawCursor(connection).execute(statement.text, statement.values(given), prepare=True)


def _silence() -> StorageDown:
    return StorageDown(f"the database has not answered for {engine.LONGEST_S:g} seconds")


def _is_rolled_back(connection: psycopg.AsyncConnection[TupleRow], error: BaseException) -> bool:
    """Whether the database itself said that nothing was written: then it is there to say more."""
    return isinstance(error, (psycopg.Error, SnapshotOutdated)) and not connection.closed


def _asked(place: int, subject: LockScope) -> bytes | None:
    """Return the scope of a member as JSON: empty when it has none, None when it can't be encoded."""
    about = attrs.asdict(subject)
    try:
        return as_json({"place": place, **about}) if any(about.values()) else b""
    except (NeedsOwnTransaction, UnicodeEncodeError):
        return None


def _each_booking_once(seen: Sequence[Snapshot | None]) -> Sequence[Snapshot | None]:
    taken = set[str]()
    for each in seen:
        if each is not None and each.booking is not None:
            booking_id = each.booking.booking.id
            each.booking = None if booking_id in taken else each.booking
            taken.add(booking_id)
    return seen
