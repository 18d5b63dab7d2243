"""The transaction as one member of a group sees it: reads what was read, and collects what is to be written."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn

import msgspec
from attrs import define, field
from psycopg.rows import TupleRow

from booking_payments.adapters.memory.stores import MemoryJobs, gateway_ids
from booking_payments.adapters.sql import rows
from booking_payments.adapters.sql.audit import SqlAudit, audit_values
from booking_payments.adapters.sql.groups.statements import (
    BOOKING,
    CHANGED_BOOKINGS,
    CHANGED_PAYMENTS,
    CHANGING,
    CHANGING_OF_BOOKING,
    COUNTED,
    ENTRY,
    JUDGED,
    PAYMENT,
    ROWS,
    WRITTEN_BY,
    write,
)
from booking_payments.adapters.sql.outbox import SqlOutbox
from booking_payments.adapters.sql.unit_of_work import SqlBookings, SqlInbox, SqlPayments, SqlUnitOfWork
from booking_payments.domain.booking import Booking
from booking_payments.domain.events import OperationIntended, Recorded
from booking_payments.domain.ledger import Posting
from booking_payments.domain.payment import Payment
from booking_payments.ports.audit import AuditRecord
from booking_payments.ports.publisher import Message
from booking_payments.ports.storage import Handover, InboxEntry, Subject, Watch

Values = dict[str, Any]


class LeftOut(Exception):  # noqa: N818 - it asks for something, it is no failure
    """This work needs a transaction of its own."""


# --- what was read ---------------------------------------------------------------------------------------------


@define
class SeenPayment:
    """A payment, its row, the last number of its postings, and which transaction wrote the row.

    ``written`` is its new row where it has one.
    """

    payment: Payment
    row: Values
    last_posting: int
    written_by: str
    written: Values | None = None


@define
class SeenBooking:
    """A booking, its row, the last number of its messages, and its payments by id, the oldest first."""

    booking: Booking
    row: Values
    last_message: int
    payments: dict[str, SeenPayment] = field(factory=dict)
    written: Values | None = None


@define
class Seen:
    """What was read for one member: the booking that it is about, and what the inbox has of its event."""

    booking: SeenBooking | None = None
    entries: dict[str, InboxEntry] = field(factory=dict)


_BOOKING_AT: int = 1
_PAYMENT_AT: int = _BOOKING_AT + len(BOOKING) + 1
_ENTRY_AT: int = _PAYMENT_AT + len(PAYMENT) + 2


def seen_in(found: Iterable[TupleRow], members: int) -> list[Seen | None]:
    """What the rows of ``READ`` say, for each member in its place; None for one whose rows can't be understood."""
    seen: list[Seen | None] = [Seen() for _ in range(members)]
    for row in found:
        its = seen[row[0]]
        try:
            if its is not None:
                _add(its, row)
        except Exception:  # what a newer release wrote, perhaps; it is told where the work runs alone
            seen[row[0]] = None
    return seen


def _add(seen: Seen, row: TupleRow) -> None:
    if row[_BOOKING_AT] is not None and seen.booking is None:
        booking = dict(zip(BOOKING, row[_BOOKING_AT : _PAYMENT_AT - 1], strict=True))
        seen.booking = SeenBooking(rows.booking_from(booking), booking, row[_PAYMENT_AT - 1])
    if seen.booking is not None and row[_PAYMENT_AT] is not None and row[_PAYMENT_AT] not in seen.booking.payments:
        payment = dict(zip(PAYMENT, row[_PAYMENT_AT : _ENTRY_AT - 2], strict=True))
        seen.booking.payments[payment["id"]] = SeenPayment(
            rows.payment_from(payment), payment, last_posting=row[_ENTRY_AT - 2], written_by=row[_ENTRY_AT - 1]
        )
    if row[_ENTRY_AT] is not None and row[_ENTRY_AT + 1] not in seen.entries:
        entry = rows.inbox_from(dict(zip(ENTRY, row[_ENTRY_AT:], strict=True)))
        seen.entries[entry.type] = entry


# --- what is to be written -------------------------------------------------------------------------------------


@define
class Written:
    """What one member wants written, by the parameters of ``statements.write``."""

    rows: dict[str, list[Values]] = field(factory=lambda: {name: [] for name in ROWS})


@define
class Batch:
    """What all members want written, as JSON: what a member's rows can't be told in stays its own trouble."""

    _rows: dict[str, list[bytes]] = field(factory=dict)
    _counts: Counter[str] = field(factory=Counter)

    def add(self, written: Written) -> None:
        """Raises ``LeftOut`` or ``UnicodeEncodeError``, and adds nothing, for text that PostgreSQL can't hold."""
        added = {name: as_json(values)[1:-1] for name, values in written.rows.items() if values}
        for name, json in added.items():
            self._rows.setdefault(name, []).append(json)
            self._counts[name] += len(written.rows[name])

    def statement(self) -> tuple[str, dict[str, str | int]]:
        """What writes all this, and its parameters."""
        names = [name for name in ROWS if name in self._rows]
        given: dict[str, str | int] = {name: f"[{b','.join(self._rows[name]).decode()}]" for name in names}
        counts = {f"{name}_count": self._counts[name] for name in COUNTED if name in given}
        return write(*names), given | counts

    @property
    def is_empty(self) -> bool:
        return not self._rows


def as_json(value: object) -> bytes:
    """Raises ``LeftOut`` or ``UnicodeEncodeError`` for text that PostgreSQL can't hold."""
    json = msgspec.json.encode(value)
    if _NUL in json:
        raise LeftOut
    return json


_NUL: Final = b"\\u0000"


class _Nowhere:
    """A connection that is not there: whatever is asked of it was not read."""

    async def execute(self, *_: object) -> NoReturn:
        raise LeftOut


_NOWHERE: Final = _Nowhere()
_BLANK: Final = SqlUnitOfWork(_NOWHERE)
"""What knows nothing serves all members alike."""


class MemberUnitOfWork(SqlUnitOfWork):
    """The transaction as one member sees it. Raises ``LeftOut`` for everything that was not read."""

    def __init__(self, subject: Subject, seen: Seen) -> None:
        self.written = Written()
        if seen.booking is None:
            self.bookings, self.payments, self.outbox = _BLANK.bookings, _BLANK.payments, _BLANK.outbox
        else:
            self.bookings = _Bookings(seen.booking, self.written)
            self.payments = _Payments(subject, seen.booking, self.bookings, self.written)
            self.outbox = _Outbox(seen.booking, self.written)
        self.books, self.answers, self.overview = _BLANK.books, _BLANK.answers, _BLANK.overview
        self.channels = _BLANK.channels
        self.jobs = MemoryJobs()
        self.inbox = _Inbox(subject, seen.entries, self.written)
        self.audit = _Audit(self.written)


class _Bookings(SqlBookings):
    """The one booking that the member is about."""

    def __init__(self, seen: SeenBooking, written: Written) -> None:
        super().__init__(_NOWHERE)
        self._seen, self._written = seen, written
        self._locked = False

    async def get(self, booking_id: str) -> Booking | None:
        if self._seen.booking.id != booking_id:
            raise LeftOut
        return self._seen.booking

    async def lock(self, booking_id: str) -> Booking | None:
        if not self._locked:
            self._written.rows[JUDGED].append(self._row())
            self._locked = True
        return await self.get(booking_id)

    async def save(self, booking: Booking) -> None:
        if self._seen.booking.id != booking.id:
            raise LeftOut
        self._change().update(rows.booking_changes(booking))
        self._seen.booking = booking

    def begin_payment(self, booking_id: str) -> None:
        """Count one more payment of the booking."""
        if self._seen.booking.id != booking_id:
            raise LeftOut
        self._change()["payments_begun"] += 1

    def _change(self) -> Values:
        if not self._locked:
            raise LeftOut  # what is changed without the lock is not ours to judge
        if self._seen.written is None:
            self._seen.written = self._row()
            self._written.rows[CHANGED_BOOKINGS].append(self._seen.written)
        return self._seen.written

    def _row(self) -> Values:
        return {name: self._seen.row[name] for name in CHANGING_OF_BOOKING}


class _Payments(SqlPayments):
    """The payments of that booking. Each one's row is written once, with everything that has changed."""

    def __init__(self, subject: Subject, seen: SeenBooking, bookings: _Bookings, written: Written) -> None:
        super().__init__(_NOWHERE)
        self._subject, self._seen, self._bookings, self._written = subject, seen, bookings, written

    async def get(self, payment_id: str) -> Payment | None:
        return self._known(payment_id).payment

    async def of_booking(self, booking_id: str) -> Sequence[Payment]:
        if self._seen.booking.id != booking_id:
            raise LeftOut
        return [each.payment for each in self._seen.payments.values()]

    async def by_gateway_id(self, gateway_id: str) -> Payment | None:
        if gateway_id == self._subject.intent_id:
            for each in self._seen.payments.values():
                if each.payment.intent_id == gateway_id:
                    return each.payment
        raise LeftOut

    async def append(self, payment: Payment, recorded: Sequence[Recorded], postings: Sequence[Posting]) -> None:
        before = payment.version - len(recorded)
        seen = self._moved(payment, before) if before else self._begun(payment)
        self._add("bp_journal", [rows.recorded_values(payment.id, each) for each in recorded])
        self._add("bp_operation_keys", _keys(payment.id, recorded))
        self._add("bp_gateway_ids", _new_gateway_ids(payment, seen.payment if before else None))
        first = seen.last_posting + 1
        self._add("bp_postings", [rows.posting_values(payment.id, n, each) for n, each in enumerate(postings, first)])
        seen.payment = payment
        seen.last_posting += len(postings)

    def _moved(self, payment: Payment, before: int) -> SeenPayment:
        seen = self._known(payment.id)
        if seen.payment.version != before:
            raise LeftOut
        self._change(seen, rows.payment_values(payment))
        return seen

    def _begun(self, payment: Payment) -> SeenPayment:
        self._bookings.begin_payment(payment.booking_id)
        row = {**dict.fromkeys(PAYMENT), **rows.new_payment_values(payment), **rows.watch_values(Watch())}
        self._add("bp_payments", [row])
        self._seen.payments[payment.id] = SeenPayment(payment, row, 0, "", row)
        return self._seen.payments[payment.id]

    async def watch(self, payment_id: str) -> Watch:
        return rows.watch_from(self._row_of(payment_id))

    async def set_watch(self, payment_id: str, watch: Watch) -> None:
        self._change(self._known(payment_id), rows.watch_values(watch))

    async def handover(self, payment_id: str) -> Handover | None:
        return rows.handover_from(self._row_of(payment_id))

    async def keep_handover(self, payment_id: str, handover: Handover) -> None:
        self._change(self._known(payment_id), rows.handover_values(handover))

    def _known(self, payment_id: str) -> SeenPayment:
        if payment_id not in self._seen.payments:
            raise LeftOut
        return self._seen.payments[payment_id]

    def _row_of(self, payment_id: str) -> Values:
        seen = self._known(payment_id)
        return seen.written or seen.row

    def _change(self, seen: SeenPayment, values: Mapping[str, Any]) -> None:
        if seen.written is None:
            seen.written = {name: seen.row[name] for name in ("id", *CHANGING)}
            seen.written[WRITTEN_BY] = seen.written_by
            self._add(CHANGED_PAYMENTS, [seen.written])
        seen.written.update(values)

    def _add(self, name: str, values: list[Values]) -> None:
        self._written.rows[name] += values


def _keys(payment_id: str, recorded: Sequence[Recorded]) -> list[Values]:
    facts = [each.event for each in recorded]
    keys = [fact.idempotency_key for fact in facts if isinstance(fact, OperationIntended)]
    return [{"idempotency_key": key, "payment_id": payment_id} for key in keys]


def _new_gateway_ids(payment: Payment, before: Payment | None) -> list[Values]:
    """Those that were not known before; the intent's id has a column of its own."""
    known = {payment.intent_id, *(gateway_ids(before) if before else ())}
    new = dict.fromkeys(each for each in gateway_ids(payment) if each not in known)
    return [{"gateway_id": each, "payment_id": payment.id} for each in new]


class _Inbox(SqlInbox):
    def __init__(self, subject: Subject, entries: Mapping[str, InboxEntry], written: Written) -> None:
        super().__init__(_NOWHERE)
        self._subject, self._entries, self._written = subject, entries, written

    async def find(self, event_id: str) -> Sequence[InboxEntry]:
        if event_id != self._subject.event_id:
            raise LeftOut
        return list(self._entries.values())

    async def put(self, entry: InboxEntry) -> None:
        if self._entries or entry.event_id != self._subject.event_id:
            raise LeftOut
        self._written.rows["bp_inbox"].append(rows.inbox_values(entry))


class _Outbox(SqlOutbox):
    def __init__(self, seen: SeenBooking, written: Written) -> None:
        super().__init__(_NOWHERE)
        self._seen, self._written = seen, written

    async def append(self, *messages: Message) -> None:
        for message in messages:
            if self._seen.booking.id != message.booking_id:
                raise LeftOut
            self._seen.last_message += 1
            values = {**rows.message_values(message), "sequence": self._seen.last_message}
            self._written.rows["bp_outbox"].append(values)


class _Audit(SqlAudit):
    def __init__(self, written: Written) -> None:
        super().__init__(_NOWHERE)
        self._written = written

    async def append(self, record: AuditRecord) -> None:
        self._written.rows["bp_audit"].append(audit_values(record))
