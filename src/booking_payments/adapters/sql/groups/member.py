"""The database of one member of a group: loads from the snapshot of the group, and collects rows to write."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NoReturn

import msgspec
from attrs import define, field
from psycopg.rows import TupleRow

from booking_payments.adapters.sql import rows, tables
from booking_payments.adapters.sql.changes import Numbers, added_rows, changed_payment_values
from booking_payments.adapters.sql.groups.statements import (
    BOOKING,
    CHANGED_BOOKINGS,
    CHANGED_PAYMENTS,
    CHANGING,
    CHANGING_OF_BOOKING,
    COUNTED,
    ENTRY,
    LOCK_OF_BOOKING,
    LOCKED_BOOKINGS,
    PAYMENT,
    ROWS,
    WRITTEN_BY,
    Statement,
    count_of,
    write,
)
from booking_payments.adapters.sql.rows import Values
from booking_payments.adapters.sql.unit_of_work import SqlUnitOfWork
from booking_payments.adapters.unit_of_work import (
    ChangeSet,
    Loaded,
    PaymentChange,
    Scope,
    ScopeKind,
    StoredPayment,
    UnitOfWorkSession,
)
from booking_payments.domain.booking import Booking
from booking_payments.ports.inbox import EventKey, InboxEntry
from booking_payments.ports.unit_of_work import LockScope

Rows = dict[str, list[Values]]
"""Rows to be written, by the parameters of ``statements.write``."""


class NeedsOwnTransaction(Exception):  # noqa: N818 - it asks for something, it is no failure
    """The work reads or changes rows that its snapshot does not contain; it runs again in its own transaction."""


# --- what was read ---------------------------------------------------------------------------------------------


@define
class ReadPayment:
    """A payment, its row, the last number of its postings, and which transaction wrote the row."""

    stored: StoredPayment
    row: Values
    last_posting: int
    written_by: str


@define
class ReadBooking:
    """A booking, its row, the last number of its messages, and its payments by id, the oldest first."""

    booking: Booking
    row: Values
    last_message: int
    payments: dict[str, ReadPayment] = field(factory=dict)


@define
class Snapshot:
    """The rows read for one member: the booking of its scope with its payments, and the inbox entries of its event."""

    booking: ReadBooking | None = None
    entries: dict[EventKey, InboxEntry] = field(factory=dict)


_BOOKING_AT: Final = 1
_PAYMENT_AT: Final = _BOOKING_AT + len(BOOKING) + 1
_ENTRY_AT: Final = _PAYMENT_AT + len(PAYMENT) + 2


def snapshots_in(found: Iterable[TupleRow], members: int) -> list[Snapshot | None]:
    """What the rows of ``READ`` say, for each member in its place; None for one whose rows can't be understood."""
    snapshots: list[Snapshot | None] = [Snapshot() for _ in range(members)]
    for row in found:
        its = snapshots[row[0]]
        try:
            if its is not None:
                _add(its, row)
        except Exception:  # what a newer release wrote, perhaps; it is raised where the work runs alone
            snapshots[row[0]] = None
    return snapshots


def _add(snapshot: Snapshot, row: TupleRow) -> None:
    if row[_BOOKING_AT] is not None and snapshot.booking is None:
        booking = dict(zip(BOOKING, row[_BOOKING_AT : _PAYMENT_AT - 1], strict=True))
        snapshot.booking = ReadBooking(rows.booking_from(booking), booking, row[_PAYMENT_AT - 1])
    payments = snapshot.booking.payments if snapshot.booking else {}
    if row[_PAYMENT_AT] is not None and row[_PAYMENT_AT] not in payments:
        payment = dict(zip(PAYMENT, row[_PAYMENT_AT : _ENTRY_AT - 2], strict=True))
        payments[payment["id"]] = ReadPayment(
            rows.stored_payment_from(payment), payment, last_posting=row[_ENTRY_AT - 2], written_by=row[_ENTRY_AT - 1]
        )
    if row[_ENTRY_AT] is not None:
        entry = dict(zip(ENTRY, row[_ENTRY_AT:], strict=True))
        key = EventKey(entry["gateway"], entry["event_id"], entry["type"])
        if key not in snapshot.entries:
            snapshot.entries[key] = rows.inbox_from(entry)


# --- what is to be written -------------------------------------------------------------------------------------


@define
class Batch:
    """The rows of all members as JSON. A member whose rows can't be encoded is refused when it is added, so that it
    does not affect the others."""

    _rows: dict[str, list[bytes]] = field(factory=dict)
    _counts: Counter[str] = field(factory=Counter)

    def add(self, changed: Rows) -> None:
        """Raises ``NeedsOwnTransaction`` or ``UnicodeEncodeError``, and adds nothing, for text that PostgreSQL can't
        hold."""
        added = {name: as_json(values)[1:-1] for name, values in changed.items() if values}
        for name, json in added.items():
            self._rows.setdefault(name, []).append(json)
            self._counts[name] += len(changed[name])

    def statement(self) -> tuple[Statement, dict[str, str | int]]:
        """What writes all this, and its parameters."""
        names = [name for name in ROWS if name in self._rows]
        given: dict[str, str | int] = {name: f"[{b','.join(self._rows[name]).decode()}]" for name in names}
        counts = {count_of(name): self._counts[name] for name in COUNTED if name in given}
        return write(*names), given | counts

    @property
    def is_empty(self) -> bool:
        return not self._rows


def as_json(value: object) -> bytes:
    """Raises ``NeedsOwnTransaction`` or ``UnicodeEncodeError`` for text that PostgreSQL can't hold."""
    json = msgspec.json.encode(value)
    if _NUL in json:
        raise NeedsOwnTransaction
    return json


_NUL: Final = b"\\u0000"


class NullConnection:
    """The connection of a member. Every statement raises ``NeedsOwnTransaction``: its rows are not in the snapshot."""

    async def execute(self, *_: object) -> NoReturn:
        raise NeedsOwnTransaction


NULL_CONNECTION: Final = NullConnection()


class MemberDatabase:
    """What one member loads and writes. Raises ``NeedsOwnTransaction`` for everything that was not read.

    ``rows`` are those that it wants written.
    """

    def __init__(self, subject: LockScope, snapshot: Snapshot) -> None:
        self._subject, self._snapshot = subject, snapshot
        self._is_locked = False
        self.rows: Rows = {}

    async def load(self, scope: Scope) -> Loaded:
        if scope.kind is ScopeKind.EVENT:
            if scope.id != self._subject.event_id:
                raise NeedsOwnTransaction
            return Loaded(entries=list(self._snapshot.entries.values()))
        if self._snapshot.booking is None:
            raise NeedsOwnTransaction
        return self._load_from(self._snapshot.booking, scope)

    def _load_from(self, read: ReadBooking, scope: Scope) -> Loaded:
        its = read.booking.id == scope.id
        found = [each.stored for each in read.payments.values()]
        match scope.kind:
            case ScopeKind.BOOKING if its:
                return Loaded(booking=read.booking)
            case ScopeKind.LOCKED_BOOKING if its:
                self._lock(read)
                return Loaded(booking=read.booking)
            case ScopeKind.PAYMENTS_OF_BOOKING if its:
                return Loaded(payments=found)
            case ScopeKind.PAYMENT if scope.id in read.payments:
                return Loaded(payments=[read.payments[scope.id].stored])
            case ScopeKind.GATEWAY_ID if scope.id == self._subject.intent_id:
                named = [each for each in found if each.payment.intent_id == scope.id]
                if named:
                    return Loaded(payments=named)
        raise NeedsOwnTransaction

    def _lock(self, read: ReadBooking) -> None:
        self._is_locked = True
        self._write(LOCKED_BOOKINGS, [{name: read.row[name] for name in LOCK_OF_BOOKING}])

    def require_served(self, changes: ChangeSet) -> None:
        """Raise ``NeedsOwnTransaction`` when ``changes`` concern rows that were not read or not locked. A row that is
        changed without its lock can't be compared with the one that was read."""
        read, known = self._snapshot.booking, self._read_payments()
        its = read.booking.id if read else None
        locked = its if self._is_locked else None
        strange = bool(changes.new_bookings)
        for booking_id in changes.bookings:
            strange = strange or booking_id != locked
        for change in changes.payments.values():
            strange = strange or not _is_served(change, locked, known)
        for put in changes.entries.values():
            strange = strange or not put.is_new or put.entry.event_id != self._subject.event_id
        for message in changes.messages:
            strange = strange or message.booking_id != its
        if strange:
            raise NeedsOwnTransaction

    async def flush(self, changes: ChangeSet) -> None:
        self.require_served(changes)
        read, known = self._snapshot.booking, self._read_payments()
        if read is not None:
            self._change_booking(changes, read)
        for change in changes.payments.values():
            if not change.is_new:
                self._change_payment(change, known[change.payment_id])
        for entry in changes.entries.values():
            self._write(tables.inbox.name, [rows.inbox_values(entry.entry)])
        numbers = Numbers(
            postings={its: each.last_posting for its, each in known.items()},
            messages={read.booking.id: read.last_message} if read else {},
        )
        for table, values in added_rows(changes, numbers, {}).items():
            self._write(table.name, values)

    def _read_payments(self) -> Mapping[str, ReadPayment]:
        return self._snapshot.booking.payments if self._snapshot.booking else {}

    def _change_booking(self, changes: ChangeSet, read: ReadBooking) -> None:
        begun, booking = changes.payments_begun(), changes.bookings.get(read.booking.id)
        if booking is not None or begun:
            row = {name: read.row[name] for name in CHANGING_OF_BOOKING}
            row |= rows.booking_changes(booking or read.booking)
            row["payments_begun"] += begun.get(read.booking.id, 0)
            self._write(CHANGED_BOOKINGS, [row])

    def _change_payment(self, change: PaymentChange, known: ReadPayment) -> None:
        change.before = known.stored.payment
        row = {name: known.row[name] for name in CHANGING} | changed_payment_values(change)
        self._write(CHANGED_PAYMENTS, [row | {WRITTEN_BY: known.written_by}])

    def _write(self, name: str, values: Sequence[Values]) -> None:
        self.rows.setdefault(name, []).extend(values)


def _is_served(change: PaymentChange, locked: str | None, known: Mapping[str, ReadPayment]) -> bool:
    """Whether ``change`` is one of a payment as it was read, or adds one to the booking that is ``locked``."""
    if change.is_new:
        return change.payment is not None and change.payment.booking_id == locked
    if change.payment_id not in known:
        return False
    return change.payment is None or known[change.payment_id].stored.payment.version == change.version_before


class MemberSession(UnitOfWorkSession):
    """Raises ``NeedsOwnTransaction`` as soon as the work needs more than the snapshot, so that it runs once more,
    alone.

    The flush would be too late: the work would be run to its end twice, with everything else that it calls (decision
    20). It looks again when one more thing is changed. Whether later changes of the same things are served too is found
    when they are written.
    """

    def __init__(self, database: MemberDatabase) -> None:
        super().__init__(database)
        self._member, self._looked_at = database, 0

    async def recorded(self) -> None:
        changed = self.changes.things
        if changed != self._looked_at:
            self._looked_at = changed
            self._member.require_served(self.changes)


class MemberUnitOfWork(SqlUnitOfWork):
    """The transaction as one member sees it."""

    def __init__(self, subject: LockScope, snapshot: Snapshot) -> None:
        self.database = MemberDatabase(subject, snapshot)
        super().__init__(NULL_CONNECTION, MemberSession(self.database))
