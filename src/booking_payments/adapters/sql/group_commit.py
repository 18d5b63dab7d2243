"""Many small transactions as one, on PostgreSQL: webhooks that arrive together are read, judged and written together.

A webhook's transaction is a handful of short statements, and what it costs is the way there and back for each, and the
commit. A group goes there twice, however large it is: to read everything that its members need, with the rows locked,
and to write everything and commit. In between each member runs its own work on what was read, as if it were alone.

Only the usual case is served here. A member whose work needs anything that was not read, whose booking somebody else
has locked just now, or that meets an error, is left out and runs in a transaction of its own; and so do all of them
when the writing fails. So nothing waits for a lock here, and no member suffers from another.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import msgspec
import psycopg
from attrs import define, evolve, field, frozen
from psycopg.rows import TupleRow
from sqlalchemy import URL, Column, Dialect, Table
from sqlalchemy.dialects import postgresql

from booking_payments.adapters.memory.stores import gateway_ids
from booking_payments.adapters.sql import rows, tables
from booking_payments.adapters.sql.clock import DatabaseClock
from booking_payments.adapters.sql.outbox import SqlOutbox
from booking_payments.adapters.sql.queue import Queue, Ticket
from booking_payments.adapters.sql.unit_of_work import SqlBookings, SqlInbox, SqlPayments, SqlUnitOfWork
from booking_payments.domain.booking import Booking
from booking_payments.domain.events import OperationIntended, Recorded
from booking_payments.domain.ledger import Posting
from booking_payments.domain.payment import Payment
from booking_payments.ports.jobs import Job
from booking_payments.ports.publisher import Message
from booking_payments.ports.storage import Handover, InboxEntry, Subject, Watch, Work

if TYPE_CHECKING:
    from booking_payments.adapters.sql.storage import JobQueue

T = TypeVar("T")
Values = dict[str, Any]


class LeftOut(Exception):  # noqa: N818 - it asks for something, it is no failure
    """This work needs a transaction of its own."""


# --- statements ------------------------------------------------------------------------------------------------

_PAYMENT: Final = tuple(tables.payments.columns.keys())
_BOOKING: Final = tuple(tables.bookings.columns.keys())
_INBOX: Final = tuple(tables.inbox.columns.keys())
_CHANGING: Final = (
    *("status", "intent_id", "captured_minor", "refunded_minor", "refund_pending_minor", "holds_booking", "version"),
    *("updated_at", "state", "next_look_at", "looks", "lease_until", "lease_holder", "client_secret", "next_action"),
)
"""The columns of a payment that may change. Its row is locked, so those that don't are written as they were read."""


_DIALECT: Final[Dialect] = postgresql.dialect()  # type: ignore[no-untyped-call]


def _type_of(column: Column[Any]) -> str:
    return str(column.type.compile(dialect=_DIALECT))


def _names(prefix: str, columns: Iterable[str]) -> str:
    return ", ".join(f"{prefix}{name}" for name in columns)


def _rows_of(table: Table, columns: Iterable[str]) -> str:
    """The rows in the JSON parameter that is named like ``table``."""
    typed = ", ".join(f"{name} {_type_of(table.c[name])}" for name in columns)
    return f"json_to_recordset(%({table.name})s) AS new ({typed})"


def _insert(table: Table, columns: Iterable[str]) -> str:
    names = _names("", columns)
    return f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {_rows_of(table, columns)}"  # noqa: S608 - ours


_READ_PAYMENTS: Final = f"""
SELECT (SELECT coalesce(max(sequence), 0) FROM outbox WHERE booking_id = b.id),
       (SELECT coalesce(max(sequence), 0) FROM postings WHERE payment_id = p.id),
       {_names("p.", _PAYMENT)}, {_names("b.", _BOOKING)}
FROM payments AS p JOIN bookings AS b ON b.id = p.booking_id
WHERE p.intent_id = ANY (%(intents)s)
FOR UPDATE OF b, p SKIP LOCKED
"""  # noqa: S608 - names of our own
"""Where somebody else has moved on between the snapshot and the lock, a number of a sequence is taken twice, and the
writing fails."""

_READ_INBOX: Final = f"SELECT {_names('', _INBOX)} FROM inbox WHERE event_id = ANY (%(events)s) ORDER BY id"  # noqa: S608
_READ_TIME: Final = "SELECT clock_timestamp()"

_MESSAGE: Final = ("id", "booking_id", "sequence", "payment_id", "type", "at", "data")
_ENTRY: Final = tuple(name for name in _INBOX if name != "id")
_INSERTED: Final[Mapping[Table, tuple[str, ...]]] = {
    tables.journal: tuple(tables.journal.columns.keys()),
    tables.postings: tuple(tables.postings.columns.keys()),
    tables.gateway_ids: tuple(tables.gateway_ids.columns.keys()),
    tables.outbox: _MESSAGE,
    tables.inbox: _ENTRY,
}

_WRITE: Final = f"""
WITH moved AS (
    UPDATE payments SET {", ".join(f"{name} = new.{name}" for name in _CHANGING)}
    FROM {_rows_of(tables.payments, ("id", *_CHANGING))} WHERE payments.id = new.id
), closed AS (
    UPDATE bookings SET status = new.status
    FROM {_rows_of(tables.bookings, ("id", "status"))} WHERE bookings.id = new.id
), {", ".join(f"to_{table.name} AS ({_insert(table, columns)})" for table, columns in _INSERTED.items())}
SELECT 1
"""  # noqa: S608 - names of our own
"""The payments' rows are locked. That none has moved on nevertheless is held by the journal, where each number of a
payment's sequence is taken once."""

_SESSION: Final[Mapping[str, str]] = {
    "timezone": "UTC",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
}
"""Each statement is planned once, perhaps while its table is empty, and stays as it was planned when it is large."""

_ORDER: Final = (tables.payments, tables.bookings, *_INSERTED)


# --- what is read and written ----------------------------------------------------------------------------------


@frozen
class Read:
    """A payment with its booking, both locked, and the last numbers of their sequences."""

    last_message: int
    last_posting: int
    payment_row: Values
    payment: Payment
    booking: Booking

    @classmethod
    def of(cls, row: TupleRow) -> "Read":
        last_message, last_posting, *columns = row
        payment = dict(zip(_PAYMENT, columns[: len(_PAYMENT)], strict=True))
        booking = dict(zip(_BOOKING, columns[len(_PAYMENT) :], strict=True))
        return cls(last_message, last_posting, payment, rows.payment_from(payment), rows.booking_from(booking))


@define
class Written:
    """Rows to be written, by table."""

    of: dict[Table, list[Values]] = field(factory=lambda: {table: [] for table in _ORDER})

    def add(self, other: "Written") -> None:
        for table, values in other.of.items():
            self.of[table] += values

    def parameters(self) -> dict[str, str]:
        return {table.name: msgspec.json.encode(self.of[table]).decode() for table in _ORDER}

    @property
    def anything(self) -> bool:
        return any(self.of.values())


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


class _Bookings(SqlBookings):
    def __init__(self, read: Read | None, written: Written) -> None:
        super().__init__(_Nowhere())
        self._read, self._written = read, written

    async def lock(self, booking_id: str) -> Booking | None:
        if self._read is None or self._read.booking.id != booking_id:
            raise LeftOut
        return self._read.booking

    async def save(self, booking: Booking) -> None:
        if self._read is None or self._read.booking.id != booking.id:
            raise LeftOut
        self._written.of[tables.bookings].append({"id": booking.id, "status": booking.status.value})
        self._read = evolve(self._read, booking=booking)


class _Payments(SqlPayments):
    """The one payment that the member is about. Its row is written once, with everything that has changed."""

    def __init__(self, subject: Subject, read: Read | None, written: Written) -> None:
        super().__init__(_Nowhere())
        self._subject, self._read, self._written = subject, read, written
        self._changed: Values | None = None

    async def by_gateway_id(self, gateway_id: str) -> Payment | None:
        if self._read is None or gateway_id != self._subject.intent_id:
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
        self._written.of[tables.journal] += [rows.recorded_values(payment.id, each) for each in recorded]
        self._written.of[tables.postings] += [
            rows.posting_values(payment.id, read.last_posting + place, each)
            for place, each in enumerate(postings, start=1)
        ]
        known = set(gateway_ids(read.payment))
        self._written.of[tables.gateway_ids] += [
            {"gateway_id": each, "payment_id": payment.id}
            for each in dict.fromkeys(gateway_ids(payment))
            if each not in known and each != payment.intent_id
        ]
        self._read = evolve(read, payment=payment, last_posting=read.last_posting + len(postings))

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
            self._written.of[tables.payments].append(self._changed)
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
        self._written.of[tables.inbox].append(rows.inbox_values(entry))


class _Outbox(SqlOutbox):
    def __init__(self, read: Read | None, written: Written) -> None:
        super().__init__(_Nowhere())
        self._read, self._written = read, written

    async def append(self, message: Message) -> None:
        if self._read is None or self._read.booking.id != message.booking_id:
            raise LeftOut
        sequence = self._read.last_message + len(self._written.of[tables.outbox]) + 1
        self._written.of[tables.outbox].append(rows.message_values(evolve(message, sequence=sequence)))


# --- the transaction -------------------------------------------------------------------------------------------

Alone = Callable[[Work[Any]], Awaitable[Any]]
Committed = Callable[[Sequence[tuple[Job, datetime]]], None]
Member = Ticket[Work[Any], Any]

MOST: Final = 32
"""Members of one group."""

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
        queue: "JobQueue | None" = None,
    ) -> None:
        self._jobs = queue
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._alone, self._committed, self._clock = alone, committed, clock
        self._idle: list[psycopg.AsyncConnection[TupleRow]] = []
        self._queue = Queue[Work[Any], Any](self._serve, most=MOST, at_once=AT_ONCE)

    async def run(self, work: Work[T], about: Subject) -> T:
        """What ``work`` returns, once it is committed; anything that it raises comes through."""
        result: T = await self._queue.join(work, about)
        return result

    async def close(self) -> None:
        """Let go of all connections."""
        while self._idle:
            await self._idle.pop().close()

    async def _serve(self, members: Sequence[Member]) -> None:
        try:
            async with self._connection() as connection:
                left_out = await self._together(connection, members)
        except (psycopg.Error, OSError):
            left_out = members
        for member in left_out:
            await self._by_itself(member)

    async def _by_itself(self, member: Member) -> None:
        try:
            result = await self._alone(member.payload)
        except Exception as error:
            member.fails(error)
        else:
            member.gets(result)

    async def _together(
        self, connection: psycopg.AsyncConnection[TupleRow], members: Sequence[Member]
    ) -> Sequence[Member]:
        """Serve those that can be served; returns the others."""
        read, entries = await self._read(connection, [member.subject for member in members])
        written, jobs, served, left_out = Written(), list[tuple[Job, datetime]](), list[tuple[Member, Any]](), []
        for member in members:
            uow = MemberUnitOfWork(
                member.subject, read.get(member.subject.intent_id), entries.get(member.subject.event_id, ())
            )
            try:
                result = await member.payload(uow)
            except Exception:  # whatever it is, it comes again where the work runs alone
                left_out.append(member)
            else:
                written.add(uow.written)
                jobs += uow.jobs.deferred
                served.append((member, result))
        if self._jobs is not None and jobs:
            await self._jobs.defer(jobs, connection)
        await self._write(connection, written)
        for member, result in served:
            member.gets(result)
        if jobs:
            self._committed(jobs)
        return left_out

    async def _read(
        self, connection: psycopg.AsyncConnection[TupleRow], subjects: Sequence[Subject]
    ) -> tuple[Mapping[str | None, Read], Mapping[str, Sequence[InboxEntry]]]:
        intents = [subject.intent_id for subject in subjects if subject.intent_id is not None]
        asks_for_time = self._clock is not None and self._clock.wants_to_hear
        async with connection.pipeline():
            time = await connection.execute(_READ_TIME) if asks_for_time else None
            payments = await connection.execute(_READ_PAYMENTS, {"intents": intents}, prepare=True)
            events = [subject.event_id for subject in subjects]
            inbox = await connection.execute(_READ_INBOX, {"events": events}, prepare=True)
        if self._clock is not None and time is not None:
            self._clock.heard(_only_value(await time.fetchone()).astimezone(UTC))
        found: dict[str | None, Read] = {}
        bookings: set[str] = set()
        for row in await payments.fetchall():
            read = Read.of(row)
            if read.booking.id not in bookings:
                bookings.add(read.booking.id)
                found[read.payment.intent_id] = read
        entries: dict[str, list[InboxEntry]] = defaultdict(list)
        for row in await inbox.fetchall():
            entry = rows.inbox_from(dict(zip(_INBOX, row, strict=True)))
            entries[entry.event_id].append(entry)
        return found, entries

    async def _write(self, connection: psycopg.AsyncConnection[TupleRow], written: Written) -> None:
        async with connection.pipeline():
            if written.anything:
                await connection.execute(_WRITE, written.parameters(), prepare=True)
            await connection.commit()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
        """A connection in no transaction; one that has met an error is thrown away."""
        connection = self._idle.pop() if self._idle else await self._open()
        try:
            yield connection
        except BaseException:
            await connection.close()
            raise
        self._idle.append(connection)

    async def _open(self) -> psycopg.AsyncConnection[TupleRow]:
        connection = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
        for name, value in _SESSION.items():
            await connection.execute(f"SET {name} = '{value}'")
        await connection.set_autocommit(False)
        return connection


def _only_value(row: TupleRow | None) -> datetime:
    assert row is not None  # noqa: S101 - the statement has one row
    moment: datetime = row[0]
    return moment
