"""Many small transactions as one, on PostgreSQL: webhooks that arrive together are read, judged and written together.

A webhook's transaction is a handful of short statements, and what it costs is the way there and back for each, and the
commit. A group goes there twice, however large it is. One statement reads everything that its members need; each member
runs its own work on that, as if it were alone; one statement writes everything, and is a transaction by itself. Nothing
is locked in between. Instead the writing fails when anything that was judged by has moved on, and with it all of it:

- a payment's version has to be the one that was read;
- a booking's status, too, and nobody may have it locked: whoever works on a booking has it locked (see decision 6);
- numbers of a sequence, ids of the gateway and events are taken once.

Only the usual case is served here. A member whose work needs anything that was not read, whose payment has an operation
in flight (a lease may be taken without a new version), or that meets an error, is left out and runs in a transaction of
its own. When the writing fails the group reads and judges once more, since whoever was faster has mostly committed by
then; after that all of them run alone. So nothing waits for a lock here, and no member suffers from another.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, TypeVar

import msgspec
import psycopg
from attrs import define, field
from psycopg.rows import TupleRow
from sqlalchemy import URL, Column, Dialect, Table
from sqlalchemy.dialects import postgresql

from booking_payments.adapters.memory.stores import gateway_ids
from booking_payments.adapters.sql import rows, tables
from booking_payments.adapters.sql.audit import SqlAudit, audit_values
from booking_payments.adapters.sql.clock import DatabaseClock
from booking_payments.adapters.sql.jobs import JobQueue
from booking_payments.adapters.sql.outbox import SqlOutbox
from booking_payments.adapters.sql.queue import Queue, Ticket
from booking_payments.adapters.sql.unit_of_work import SqlBookings, SqlInbox, SqlPayments, SqlUnitOfWork
from booking_payments.domain.booking import Booking
from booking_payments.domain.events import OperationIntended, Recorded
from booking_payments.domain.ledger import Posting
from booking_payments.domain.payment import Payment
from booking_payments.ports.audit import AuditRecord
from booking_payments.ports.jobs import Job
from booking_payments.ports.publisher import Message
from booking_payments.ports.storage import Handover, InboxEntry, Subject, Watch, Work

T = TypeVar("T")
Values = dict[str, Any]


class LeftOut(Exception):  # noqa: N818 - it asks for something, it is no failure
    """This work needs a transaction of its own."""


# --- statements ------------------------------------------------------------------------------------------------


def _columns(table: Table) -> tuple[str, ...]:
    return tuple(table.columns.keys())


_PAYMENT: Final = _columns(tables.payments)
_BOOKING: Final = _columns(tables.bookings)
_ENTRY: Final = tuple(name for name in _columns(tables.inbox) if name != "id")
_CHANGING: Final = (
    *("status", "intent_id", "captured_minor", "refunded_minor", "refund_pending_minor", "holds_booking", "version"),
    *("updated_at", "state", "next_look_at", "looks", "lease_until", "lease_holder", "client_secret", "next_action"),
)
"""The columns of a payment that may change. Those that don't are written as they were read."""


_DIALECT: Final[Dialect] = postgresql.dialect()  # type: ignore[no-untyped-call]


def _type_of(column: Column[Any]) -> str:
    return str(column.type.compile(dialect=_DIALECT))


def _names(prefix: str, columns: Iterable[str]) -> str:
    return ", ".join(f"{prefix}{name}" for name in columns)


def _typed(table: Table, columns: Iterable[str]) -> str:
    return ", ".join(f"{name} {_type_of(table.c[name])}" for name in columns)


def _rows_of(table: Table, columns: Iterable[str]) -> str:
    """The rows in the JSON parameter that is named like ``table``."""
    return f"json_to_recordset(%({table.name})s) AS new ({_typed(table, columns)})"


def _insert(table: Table, columns: Iterable[str]) -> str:
    names = _names("", columns)
    return f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {_rows_of(table, columns)}"  # noqa: S608 - ours


_READ: Final = f"""
SELECT about.event_id, (SELECT coalesce(max(sequence), 0) FROM outbox WHERE booking_id = b.id),
       (SELECT coalesce(max(sequence), 0) FROM postings WHERE payment_id = p.id),
       {_names("p.", _PAYMENT)}, {_names("b.", _BOOKING)}, {_names("i.", _ENTRY)}
FROM json_to_recordset(%(subjects)s) AS about (event_id text, intent_id text)
LEFT JOIN payments AS p ON p.intent_id = about.intent_id
LEFT JOIN bookings AS b ON b.id = p.booking_id
LEFT JOIN inbox AS i ON i.event_id = about.event_id
ORDER BY i.id
"""  # noqa: S608 - names of our own
"""For each member one row, and one more for each further type that its event was seen under."""

_READ_TIME: Final = "SELECT clock_timestamp()"

_MESSAGE: Final = ("id", "booking_id", "sequence", "payment_id", "type", "at", "data")
_RECORD: Final = tuple(name for name in _columns(tables.audit) if name != "id")
_INSERTED: Final[Mapping[Table, tuple[str, ...]]] = {
    tables.journal: _columns(tables.journal),
    tables.postings: _columns(tables.postings),
    tables.gateway_ids: _columns(tables.gateway_ids),
    tables.outbox: _MESSAGE,
    tables.inbox: _ENTRY,
    tables.audit: _RECORD,
}

_WRITE: Final = f"""
WITH judged AS (
    SELECT bookings.id
    FROM bookings JOIN {_rows_of(tables.bookings, ("id", "status"))}
    ON bookings.id = new.id AND bookings.status = new.status
    FOR UPDATE OF bookings SKIP LOCKED
), moved AS (
    UPDATE payments SET {", ".join(f"{name} = new.{name}" for name in _CHANGING)}
    FROM json_to_recordset(%(payments)s) AS new ({_typed(tables.payments, ("id", *_CHANGING))}, version_before INTEGER)
    WHERE payments.id = new.id AND payments.version = new.version_before
    RETURNING payments.id
), closed AS (
    UPDATE bookings SET status = new.status
    FROM judged, json_to_recordset(%(statuses)s) AS new (id TEXT, status TEXT)
    WHERE bookings.id = judged.id AND new.id = judged.id
), {", ".join(f"to_{table.name} AS ({_insert(table, columns)})" for table, columns in _INSERTED.items())}
SELECT 1 / ((SELECT count(*) FROM judged) = %(judged)s AND (SELECT count(*) FROM moved) = %(moved)s)::integer
"""  # noqa: S608 - names of our own
"""Divides by zero, and so does nothing, unless all payments and bookings are as they were when they were judged."""

_SESSION: Final[Mapping[str, str]] = {
    "timezone": "UTC",
    "plan_cache_mode": "force_generic_plan",
    **dict.fromkeys(["enable_seqscan", "enable_hashjoin", "enable_mergejoin"], "off"),
}
"""Each statement is planned once, perhaps while its tables are empty, and stays as it was planned when they are large:
so all rows are looked up by their keys, one by one."""


# --- what is read and written ----------------------------------------------------------------------------------


@define
class Read:
    """A payment with its booking and the last numbers of their sequences, as its member has them before it."""

    last_message: int
    last_posting: int
    payment_row: Values
    payment: Payment
    booking: Booking


_AFTER_PAYMENT: Final = 3 + len(_PAYMENT)
_AFTER_BOOKING: Final = _AFTER_PAYMENT + len(_BOOKING)


def _payment_in(row: TupleRow) -> Read | None:
    payment = dict(zip(_PAYMENT, row[3:_AFTER_PAYMENT], strict=True))
    if payment["id"] is None:
        return None
    booking = dict(zip(_BOOKING, row[_AFTER_PAYMENT:_AFTER_BOOKING], strict=True))
    return Read(row[1], row[2], payment, rows.payment_from(payment), rows.booking_from(booking))


def _entry_in(row: TupleRow) -> InboxEntry | None:
    entry = dict(zip(_ENTRY, row[_AFTER_BOOKING:], strict=True))
    return None if entry["event_id"] is None else rows.inbox_from(entry)


_PARAMETERS: Final = ("bookings", "statuses", "payments", *(table.name for table in _INSERTED))


@define
class Written:
    """What is to be written, by the parameter of the statement: ``bookings`` as they were judged by, their new
    ``statuses``, ``payments``, and the rows of the tables that only grow."""

    rows: dict[str, list[Values]] = field(factory=lambda: {name: [] for name in _PARAMETERS})

    def add(self, other: "Written") -> None:
        for name, values in other.rows.items():
            self.rows[name] += values

    def parameters(self) -> dict[str, str | int]:
        given: dict[str, str | int] = {name: msgspec.json.encode(self.rows[name]).decode() for name in _PARAMETERS}
        return given | {"judged": len(self.rows["bookings"]), "moved": len(self.rows["payments"])}

    @property
    def anything(self) -> bool:
        return any(self.rows.values())


class _Nowhere:
    """A connection that is not there: whatever is asked of it was not read."""

    async def execute(self, *_: object) -> NoReturn:
        raise LeftOut


class MemberUnitOfWork(SqlUnitOfWork):
    """The transaction as one member sees it: reads what was read, and collects what is to be written."""

    def __init__(self, subject: Subject, read: Read | None, entries: Sequence[InboxEntry]) -> None:
        super().__init__(_Nowhere())
        self.written = Written()
        self.bookings = _Bookings(read, self.written)
        self.payments = _Payments(subject, read, self.written)
        self.inbox = _Inbox(subject, entries, self.written)
        self.outbox = _Outbox(read, self.written)
        self.audit = _Audit(self.written)


class _Bookings(SqlBookings):
    def __init__(self, read: Read | None, written: Written) -> None:
        super().__init__(_Nowhere())
        self._read, self._written = read, written

    async def lock(self, booking_id: str) -> Booking | None:
        if self._read is None or self._read.booking.id != booking_id:
            raise LeftOut
        booking = self._read.booking
        self._written.rows["bookings"].append({"id": booking.id, "status": booking.status.value})
        return booking

    async def save(self, booking: Booking) -> None:
        if self._read is None or self._read.booking.id != booking.id:
            raise LeftOut
        self._written.rows["statuses"].append({"id": booking.id, "status": booking.status.value})
        self._read.booking = booking


class _Payments(SqlPayments):
    """The one payment that the member is about. Its row is written once, with everything that has changed."""

    def __init__(self, subject: Subject, read: Read | None, written: Written) -> None:
        super().__init__(_Nowhere())
        self._subject, self._read, self._written = subject, read, written
        self._changed: Values | None = None

    async def by_gateway_id(self, gateway_id: str) -> Payment | None:
        if self._read is None or gateway_id != self._subject.intent_id or self._read.payment.operation is not None:
            raise LeftOut
        return self._read.payment

    async def get(self, payment_id: str) -> Payment | None:
        return self._known(payment_id).payment

    async def append(self, payment: Payment, recorded: Sequence[Recorded], postings: Sequence[Posting]) -> None:
        read = self._known(payment.id)
        if read.payment.version + len(recorded) != payment.version:
            raise LeftOut
        if any(isinstance(each.fact, OperationIntended) for each in recorded):
            raise LeftOut  # what it begins is rare, and claims a key
        self._change(read, rows.payment_values(payment))
        self._written.rows["journal"] += [rows.recorded_values(payment.id, each) for each in recorded]
        self._written.rows["postings"] += [
            rows.posting_values(payment.id, read.last_posting + place, each)
            for place, each in enumerate(postings, start=1)
        ]
        known = set(gateway_ids(read.payment))
        self._written.rows["gateway_ids"] += [
            {"gateway_id": each, "payment_id": payment.id}
            for each in dict.fromkeys(gateway_ids(payment))
            if each not in known and each != payment.intent_id
        ]
        read.payment = payment
        read.last_posting += len(postings)

    async def watch(self, payment_id: str) -> Watch:
        read = self._known(payment_id)
        return rows.watch_from(self._changed or read.payment_row)

    async def set_watch(self, payment_id: str, watch: Watch) -> None:
        self._change(self._known(payment_id), rows.watch_values(watch))

    async def keep_handover(self, payment_id: str, handover: Handover) -> None:
        self._change(self._known(payment_id), rows.handover_values(handover))

    def _known(self, payment_id: str) -> Read:
        if self._read is None or self._read.payment.id != payment_id:
            raise LeftOut
        return self._read

    def _change(self, read: Read, values: Mapping[str, Any]) -> None:
        if self._changed is None:
            self._changed = {name: read.payment_row[name] for name in ("id", *_CHANGING)}
            self._changed["version_before"] = self._changed["version"]
            self._written.rows["payments"].append(self._changed)
        self._changed.update(values)


class _Inbox(SqlInbox):
    def __init__(self, subject: Subject, entries: Sequence[InboxEntry], written: Written) -> None:
        super().__init__(_Nowhere())
        self._subject, self._entries, self._written = subject, entries, written

    async def find(self, event_id: str) -> Sequence[InboxEntry]:
        if event_id != self._subject.event_id:
            raise LeftOut
        return self._entries

    async def put(self, entry: InboxEntry) -> None:
        if self._entries:
            raise LeftOut
        self._written.rows["inbox"].append(rows.inbox_values(entry))


class _Outbox(SqlOutbox):
    def __init__(self, read: Read | None, written: Written) -> None:
        super().__init__(_Nowhere())
        self._read, self._written = read, written

    async def append(self, message: Message) -> None:
        if self._read is None or self._read.booking.id != message.booking_id:
            raise LeftOut
        sequence = self._read.last_message + len(self._written.rows["outbox"]) + 1
        self._written.rows["outbox"].append({**rows.message_values(message), "sequence": sequence})


class _Audit(SqlAudit):
    def __init__(self, written: Written) -> None:
        super().__init__(_Nowhere())
        self._written = written

    async def append(self, record: AuditRecord) -> None:
        self._written.rows["audit"].append(audit_values(record))


# --- the transaction -------------------------------------------------------------------------------------------

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
        if self._jobs is None or not self._jobs.has_workers:
            await connection.execute(_WRITE, written.parameters(), prepare=True)
            return
        async with connection.transaction():
            await self._jobs.defer(jobs, connection)
            await connection.execute(_WRITE, written.parameters(), prepare=True)

    async def _read(
        self, connection: psycopg.AsyncConnection[TupleRow], members: Sequence[Member]
    ) -> Sequence[tuple[Member, MemberUnitOfWork]]:
        """Each member with the transaction as it sees it. Of two that share a booking only the first sees it."""
        await self._tell_time(connection)
        subjects = [{"event_id": each.subject.event_id, "intent_id": each.subject.intent_id} for each in members]
        given = {"subjects": msgspec.json.encode(subjects).decode()}
        result = await connection.execute(_READ, given, prepare=True)
        found: dict[str, Read | None] = {}
        entries: dict[str, list[InboxEntry]] = defaultdict(list)
        bookings: set[str] = set()
        for row in await result.fetchall():
            event_id, entry = row[0], _entry_in(row)
            if event_id not in found:
                read = _payment_in(row)
                shared = read is not None and read.booking.id in bookings
                found[event_id] = None if shared else read
                bookings |= {read.booking.id} if read else set()
            if entry is not None:
                entries[event_id].append(entry)
        return [(each, _uow(each.subject, found, entries)) for each in members]

    async def _tell_time(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        if self._clock is not None and self._clock.wants_to_hear:
            row = await (await connection.execute(_READ_TIME)).fetchone()
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
        for name, value in _SESSION.items():
            await connection.execute(f"SET {name} = '{value}'")
        return connection


def _uow(
    subject: Subject, found: Mapping[str, Read | None], entries: Mapping[str, Sequence[InboxEntry]]
) -> MemberUnitOfWork:
    return MemberUnitOfWork(subject, found[subject.event_id], entries.get(subject.event_id, ()))
