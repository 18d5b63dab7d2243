"""Storage in memory: one dictionary per table and one transaction at a time, with all rules of the port.

A transaction keeps its changes beside the tables, which get them when it commits. So a rollback is exact, and readers
see committed data only: tables that somebody is reading are replaced, not changed. Rows are frozen values. The time of
a transaction does not depend on the number of rows, except for questions about all of them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from datetime import datetime
from functools import cached_property
from operator import attrgetter
from typing import Any, Final, TypeVar

import anyio
from attrs import define, evolve, field, frozen

from booking_payments.adapters.memory.audit import MemoryAudit
from booking_payments.adapters.memory.console_sessions import MemoryConsoleSessions
from booking_payments.adapters.memory.cursors import decode_cursor, encode_cursor, unknown_cursor
from booking_payments.adapters.memory.event_jobs import MemoryEventJobs
from booking_payments.adapters.memory.overview import MemoryOverview
from booking_payments.adapters.memory.rows import Rows
from booking_payments.adapters.unit_of_work import (
    ChangeSet,
    Database,
    Loaded,
    PaymentChange,
    RecordedJobs,
    RecordingBookings,
    RecordingInbox,
    RecordingOutbox,
    RecordingPayments,
    Scope,
    ScopeKind,
    StoredPayment,
    UnitOfWorkSession,
    gateway_ids,
)
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.events import Recorded
from booking_payments.domain.ledger import Posting
from booking_payments.domain.payment import Payment
from booking_payments.ports.audit import AuditRecord
from booking_payments.ports.bookings import BookingFilter, BookingPage
from booking_payments.ports.console_sessions import ConsoleSession
from booking_payments.ports.event_jobs import BookingResult, EventJob
from booking_payments.ports.idempotency import StoredAnswer
from booking_payments.ports.inbox import REFUSALS_KEPT, EventKey, InboxEntry, InboxFilter
from booking_payments.ports.jobs import Job
from booking_payments.ports.overview import DriftReport
from booking_payments.ports.payments import ClientAction, PaymentFilter, PaymentHistory, PaymentPage, PollState
from booking_payments.ports.publisher import Backlog, Channel, Message, MessageDelivery
from booking_payments.ports.storage import AlreadyExists
from booking_payments.ports.unit_of_work import LockScope, TransactionBody

T = TypeVar("T")
AnswerKey = tuple[str, str, str]


@frozen(kw_only=True)
class MemoryDelivery:
    """The delivery of a message on one channel: waiting, and later delivered or discarded."""

    delivery: MessageDelivery
    number: int | None = None
    delivered_at: datetime | None = None
    discarded_at: datetime | None = None
    discarded_by: str | None = None

    @property
    def waits(self) -> bool:
        return self.delivered_at is None and self.discarded_at is None


@define
class Tables:
    """Everything that is stored.

    ``payments_of``, ``live_references`` and ``entries_of`` are indexes: ids of the payments of a booking, the live
    booking with a reference, and the keys of the inbox entries with an event's id.
    """

    bookings: MutableMapping[str, Booking] = field(factory=dict)
    payments: MutableMapping[str, Payment] = field(factory=dict)
    journals: MutableMapping[str, tuple[Recorded, ...]] = field(factory=dict)
    postings: MutableMapping[str, tuple[Posting, ...]] = field(factory=dict)
    keys: MutableMapping[str, str] = field(factory=dict)
    gateway_ids: MutableMapping[str, str] = field(factory=dict)
    client_actions: MutableMapping[str, ClientAction] = field(factory=dict)
    poll_states: MutableMapping[str, PollState] = field(factory=dict)
    inbox: MutableMapping[EventKey, InboxEntry] = field(factory=dict)
    answers: MutableMapping[AnswerKey, StoredAnswer] = field(factory=dict)
    messages: MutableMapping[str, Message] = field(factory=dict)
    deliveries: MutableMapping[tuple[str, str], MemoryDelivery] = field(factory=dict)
    unassigned: MutableMapping[str, None] = field(factory=dict)
    channels: MutableMapping[str, Channel] = field(factory=dict)
    sequences: MutableMapping[str, int] = field(factory=dict)
    refused: MutableMapping[tuple[str, datetime], int] = field(factory=dict)
    audit: MutableMapping[int, AuditRecord] = field(factory=dict)
    event_jobs: MutableMapping[str, EventJob] = field(factory=dict)
    event_results: MutableMapping[tuple[str, str], BookingResult] = field(factory=dict)
    reports: MutableMapping[int, DriftReport] = field(factory=dict)
    console_sessions: MutableMapping[str, ConsoleSession] = field(factory=dict)
    payments_of: MutableMapping[str, tuple[str, ...]] = field(factory=dict)
    live_references: MutableMapping[str, str] = field(factory=dict)
    entries_of: MutableMapping[str, tuple[EventKey, ...]] = field(factory=dict)

    def put_booking(self, booking: Booking) -> None:
        """Store a booking. Raises ``AlreadyExists`` when another live one has its reference."""
        known, reference = self.bookings.get(booking.id), booking.reference
        if booking.status.is_live:
            if self.live_references.setdefault(reference, booking.id) != booking.id:
                raise AlreadyExists(reference)
        elif known is not None and known.status.is_live:
            del self.live_references[reference]
        self.bookings[booking.id] = booking

    def put_payment(self, payment: Payment) -> None:
        """Store a payment."""
        if payment.id not in self.payments:
            self.payments_of[payment.booking_id] = (*self.payments_of.get(payment.booking_id, ()), payment.id)
        self.payments[payment.id] = payment

    def payments_of_booking(self, booking_id: str) -> list[Payment]:
        return [self.payments[each] for each in self.payments_of.get(booking_id, ())]

    def put_entry(self, key: EventKey, entry: InboxEntry) -> None:
        """Store an entry of the inbox."""
        if key not in self.inbox:
            self.entries_of[entry.event_id] = (*self.entries_of.get(entry.event_id, ()), key)
        self.inbox[key] = entry

    def add_message(self, message: Message) -> None:
        """Store a message behind all others of its booking, for every recorded channel."""
        sequence = self.sequences.get(message.booking_id, 0) + 1
        self.sequences[message.booking_id] = sequence
        self.messages[message.id] = evolve(message, sequence=sequence)
        if self.channels:
            self.give(message.id)
        else:
            self.unassigned[message.id] = None

    def give(self, message_id: str) -> None:
        """Have a message delivered on every recorded channel."""
        for channel in sorted(self.channels):
            delivery = MessageDelivery(message=self.messages[message_id], channel=channel)
            self.deliveries[channel, message_id] = MemoryDelivery(delivery=delivery)

    def copy(self) -> "Tables":
        return Tables(*[dict(table) for table in _each_table(self)])


class TransactionTables(Tables):
    """The tables as one transaction sees them; its changes are kept beside the committed ones.

    A table gets its ``Rows`` when it is first asked for, since most transactions need a few of the tables.
    """

    def __init__(self, committed: Tables) -> None:
        self._committed = committed
        self._used: list[str] = []

    def __getattr__(self, name: str) -> Rows[Any, Any]:
        """Called for a table that has not been used yet, whose slot is empty."""
        if name not in Tables.__annotations__:
            raise AttributeError(name)
        rows: Rows[Any, Any] = Rows(getattr(self._committed, name))
        setattr(self, name, rows)
        self._used.append(name)
        return rows

    def apply_to(self, committed: Tables) -> None:
        """Make the changes of the transaction in the committed tables."""
        for name in self._used:
            getattr(self, name).apply_to(getattr(committed, name))


_each_table: Final = attrgetter(*Tables.__annotations__)
_created_at: Final = attrgetter("created_at")


class MemoryStorage:
    """Stores everything in this process. ``on_jobs`` is called with the jobs of each committed transaction."""

    def __init__(self, on_jobs: Callable[[Sequence[tuple[Job, datetime]]], None] | None = None) -> None:
        self._tables = Tables()
        self._lock = anyio.Lock()
        self._readers = 0
        self.on_jobs = on_jobs

    async def transact(self, work: TransactionBody[T], scope: LockScope | None = None) -> T:
        async with self._lock:
            tables = TransactionTables(self._tables)
            uow = MemoryUnitOfWork(tables)
            result = await work(uow)
            if self._readers:
                self._tables = self._tables.copy()
            tables.apply_to(self._tables)
        if self.on_jobs is not None and uow.jobs.deferred:
            self.on_jobs(tuple(uow.jobs.deferred))
        return result

    async def read(self, work: TransactionBody[T]) -> T:
        self._readers += 1
        try:
            return await work(MemoryUnitOfWork(TransactionTables(self._tables)))
        finally:
            self._readers -= 1


class MemoryUnitOfWork:
    """One transaction over its own view of the tables. Changes are written as soon as they are recorded.

    What is not used is not created: a transaction needs two or three of these.
    """

    def __init__(self, tables: Tables, database: Database | None = None) -> None:
        self._tables = tables
        self._session = UnitOfWorkSession(database or MemoryDatabase(tables), at_once=True)
        self.jobs = RecordedJobs()

    @cached_property
    def bookings(self) -> "MemoryBookings":
        return MemoryBookings(self._session, self._tables)

    @cached_property
    def payments(self) -> "MemoryPayments":
        return MemoryPayments(self._session, self._tables)

    @cached_property
    def payment_reader(self) -> "MemoryPaymentReader":
        return MemoryPaymentReader(self._tables)

    @cached_property
    def inbox(self) -> "MemoryInbox":
        return MemoryInbox(self._session, self._tables)

    @cached_property
    def answers(self) -> "MemoryAnswers":
        return MemoryAnswers(self._tables)

    @cached_property
    def outbox(self) -> "MemoryOutbox":
        return MemoryOutbox(self._session, self._tables)

    @cached_property
    def channels(self) -> "MemoryChannels":
        return MemoryChannels(self._tables.channels)

    @cached_property
    def events(self) -> MemoryEventJobs:
        tables = self._tables
        return MemoryEventJobs(tables.event_jobs, tables.event_results, tables.bookings, tables.payments)

    @cached_property
    def audit(self) -> MemoryAudit:
        return MemoryAudit(self._session, self._tables.audit)

    @cached_property
    def overview(self) -> MemoryOverview:
        tables = self._tables
        return MemoryOverview(
            tables.payments, tables.journals, tables.postings, tables.poll_states, tables.inbox, tables.reports
        )

    @cached_property
    def console_sessions(self) -> MemoryConsoleSessions:
        return MemoryConsoleSessions(self._tables.console_sessions)


class MemoryDatabase:
    """Loads from the tables of one transaction, and writes to them."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def load(self, scope: Scope) -> Loaded:
        tables = self._tables
        match scope.kind:
            case ScopeKind.BOOKING | ScopeKind.LOCKED_BOOKING:
                return Loaded(booking=tables.bookings.get(scope.id))
            case ScopeKind.EVENT:
                return Loaded(entries=[tables.inbox[key] for key in tables.entries_of.get(scope.id, ())])
            case ScopeKind.PAYMENTS_OF_BOOKING:
                found = tables.payments_of_booking(scope.id)
                found.sort(key=_created_at)
            case ScopeKind.PAYMENT | ScopeKind.GATEWAY_ID:
                is_id = scope.kind is ScopeKind.PAYMENT
                payment = tables.payments.get(scope.id if is_id else tables.gateway_ids.get(scope.id, ""))
                found = [payment] if payment else []
        return Loaded(payments=[self._stored(payment) for payment in found])

    def _stored(self, payment: Payment) -> StoredPayment:
        poll_state, client_action = (
            self._tables.poll_states.get(payment.id, PollState()),
            self._tables.client_actions.get(payment.id),
        )
        return StoredPayment(payment=payment, poll_state=poll_state, client_action=client_action)

    async def flush(self, changes: ChangeSet) -> None:
        tables = self._tables
        for booking in changes.new_bookings:
            self._add_booking(booking)
        for booking in changes.bookings.values():
            tables.put_booking(booking)
        for change in changes.payments.values():
            self._change_payment(change)
        for key, each in changes.entries.items():
            tables.put_entry(key, each.entry)
        for message in changes.messages:
            tables.add_message(message)
        for record in changes.records:
            tables.audit[len(tables.audit) + 1] = record

    def _add_booking(self, booking: Booking) -> None:
        if booking.id in self._tables.bookings:
            raise AlreadyExists(booking.reference)
        self._tables.put_booking(booking)

    def _change_payment(self, change: PaymentChange) -> None:
        tables, its = self._tables, change.payment_id
        if change.payment is not None:
            self._append(change.payment, change)
        if change.poll_state is not None:
            tables.poll_states[its] = change.poll_state
        if change.client_action is not None:
            tables.client_actions[its] = change.client_action

    def _append(self, payment: Payment, change: PaymentChange) -> None:
        tables = self._tables
        known = tables.journals.get(payment.id, ())
        if [entry.sequence for entry in change.recorded] != list(range(len(known) + 1, payment.version + 1)):
            raise AlreadyExists(f"{payment.id} has moved on")
        if payment.holds_booking and any(
            other.holds_booking and other.id != payment.id for other in tables.payments_of_booking(payment.booking_id)
        ):
            raise AlreadyExists(payment.booking_id)
        for key in change.idempotency_keys:
            if key in tables.keys:
                raise AlreadyExists(key)
            tables.keys[key] = payment.id
        for gateway_id in gateway_ids(payment):
            if tables.gateway_ids.setdefault(gateway_id, payment.id) != payment.id:
                raise AlreadyExists(gateway_id)
        tables.put_payment(payment)
        tables.journals[payment.id] = (*known, *change.recorded)
        tables.postings[payment.id] = (*tables.postings.get(payment.id, ()), *change.postings)


class MemoryBookings(RecordingBookings):
    """The bookings of the port, in memory."""

    def __init__(self, session: UnitOfWorkSession, tables: Tables) -> None:
        super().__init__(session)
        self._rows = tables.bookings
        self._live_references = tables.live_references
        self._payments = tables.payments
        self._messages = tables.messages

    async def by_reference(self, reference: str) -> Booking | None:
        booking_id = self._live_references.get(reference)
        return self._rows[booking_id] if booking_id is not None else None

    async def due_to_warn(
        self, now: datetime, until: datetime, limit: int, booking_id: str | None = None
    ) -> Sequence[str]:
        held = {p.booking_id for p in self._payments.values() if p.status.is_open and not p.status.awaits_customer}
        warned = {each.booking_id for each in self._messages.values() if each.type == "booking.expiring"}
        due = [row for row in self._pending() if now < row.expires_at <= until and row.id not in held | warned]
        meant = [row for row in due if booking_id in (None, row.id)]
        return [row.id for row in sorted(meant, key=lambda row: row.expires_at)[:limit]]

    async def due_to_expire(self, now: datetime, limit: int) -> Sequence[str]:
        open_ = [p for p in self._payments.values() if p.status.is_open]
        held = {p.booking_id for p in open_ if not p.status.awaits_customer}
        waits = {p.booking_id for p in open_}
        due = [row for row in self._pending() if row.expires_at <= now and row.id not in held]
        return [row.id for row in sorted(due, key=lambda row: (row.id in waits, row.expires_at))[:limit]]

    async def page(self, which: BookingFilter, cursor: str | None, limit: int) -> BookingPage:
        after = decode_cursor(cursor) if cursor is not None else None
        found = sorted((each.created_at, each.id) for each in self._rows.values() if which.takes(each))[::-1]
        rest = [place for place in found if after is None or place < after]
        following = encode_cursor(*rest[limit - 1]) if len(rest) > limit else None
        return BookingPage(items=tuple(self._rows[id_] for _, id_ in rest[:limit]), next_cursor=following)

    async def many(self, ids: Collection[str]) -> Mapping[str, Booking]:
        return {each: self._rows[each] for each in ids if each in self._rows}

    async def lock_customer(self, customer_id: str) -> None:
        """Nothing to do: one transaction runs at a time."""

    async def count_unpaid(self, customer_id: str) -> int:
        return sum(row.customer_id == customer_id for row in self._pending())

    def _pending(self) -> Iterable[Booking]:
        return (row for row in self._rows.values() if row.status is BookingStatus.PENDING)


class MemoryPayments(RecordingPayments):
    """The payments of the port, in memory."""

    def __init__(self, session: UnitOfWorkSession, tables: Tables) -> None:
        super().__init__(session)
        self._tables = tables

    async def journal(self, payment_id: str) -> Sequence[Recorded]:
        return self._tables.journals.get(payment_id, ())

    async def postings(self, payment_id: str) -> Sequence[Posting]:
        return self._tables.postings.get(payment_id, ())

    async def page(self, which: PaymentFilter, cursor: str | None, limit: int) -> PaymentPage:
        after = decode_cursor(cursor) if cursor is not None else None
        found = sorted(
            (
                each
                for each in self._tables.payments.values()
                if which.matches(each, self._tables.bookings[each.booking_id])
            ),
            key=lambda payment: (payment.created_at, payment.id),
            reverse=True,
        )
        rest = [payment for payment in found if after is None or (payment.created_at, payment.id) < after]
        last = rest[limit - 1] if len(rest) > limit else None
        return PaymentPage(
            items=tuple(rest[:limit]), next_cursor=encode_cursor(last.created_at, last.id) if last else None
        )

    async def due(self, now: datetime, limit: int, gateway: str | None = None) -> Sequence[str]:
        due = [
            (poll_state.next_check_at, payment_id)
            for payment_id, poll_state in self._tables.poll_states.items()
            if poll_state.is_due(now) and poll_state.next_check_at is not None
            if gateway in (None, self._tables.payments[payment_id].gateway)
        ]
        return [payment_id for _, payment_id in sorted(due)[:limit]]


class MemoryPaymentReader:
    """The books of the port, in memory."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def count(self, since: datetime | None = None) -> int:
        return len(self._ids(since))

    async def ids(self, after: str, limit: int, since: datetime | None = None) -> Sequence[str]:
        return [payment_id for payment_id in self._ids(since) if payment_id > after][:limit]

    def _ids(self, since: datetime | None) -> list[str]:
        poll_states = self._tables.poll_states
        return sorted(
            payment.id
            for payment in self._tables.payments.values()
            if since is None
            or payment.updated_at >= since
            or not payment.is_final
            or poll_states.get(payment.id, PollState()).next_check_at is not None
        )

    async def payments(self, ids: Collection[str]) -> Mapping[str, Payment]:
        return {each: self._tables.payments[each] for each in ids if each in self._tables.payments}

    async def of_intents(self, intent_ids: Collection[str]) -> Mapping[str, Payment]:
        found = {each: self._tables.gateway_ids.get(each, "") for each in intent_ids}
        payments = await self.payments(found.values())
        return {
            intent_id: payments[payment_id]
            for intent_id, payment_id in found.items()
            if payment_id in payments and payments[payment_id].intent_id == intent_id
        }

    async def of_bookings(self, booking_ids: Collection[str]) -> Mapping[str, Sequence[Payment]]:
        found = {its: self._tables.payments_of_booking(its) for its in booking_ids}
        return {its: sorted(payments, key=_created_at) for its, payments in found.items() if payments}

    async def histories(self, ids: Collection[str]) -> Mapping[str, PaymentHistory]:
        return {each: self._story(payment) for each, payment in (await self.payments(ids)).items()}

    def _story(self, payment: Payment) -> PaymentHistory:
        journal, postings = self._tables.journals[payment.id], self._tables.postings.get(payment.id, ())
        return PaymentHistory(payment=payment, journal=journal, postings=postings)


class MemoryInbox(RecordingInbox):
    """The inbox of the port, in memory."""

    def __init__(self, session: UnitOfWorkSession, tables: Tables) -> None:
        super().__init__(session)
        self._rows = tables.inbox
        self._refused = tables.refused

    async def unfinished(self, limit: int) -> Sequence[InboxEntry]:
        open_rows = [row for row in self._rows.values() if not row.status.is_done]
        return sorted(open_rows, key=lambda row: row.received_at)[:limit]

    async def latest(self, which: InboxFilter, limit: int) -> Sequence[InboxEntry]:
        return self._found(which)[::-1][:limit]

    async def keys(self, which: InboxFilter) -> Sequence[EventKey]:
        return [row.key for row in self._found(which)]

    def _found(self, which: InboxFilter) -> Sequence[InboxEntry]:
        return [row for row in self._rows.values() if which.takes(row)]

    async def done(self, gateway: str, event_ids: Collection[str]) -> Collection[str]:
        return {row.event_id for row in self._of(gateway) if row.status.is_done and row.event_id in event_ids}

    async def newest(self, gateway: str) -> datetime | None:
        return max((row.created_at for row in self._of(gateway) if row.created_at), default=None)

    async def latest_delivery(self, gateway: str) -> datetime | None:
        return max((row.delivered_at for row in self._of(gateway) if row.delivered_at), default=None)

    def _of(self, gateway: str) -> Sequence[InboxEntry]:
        return [row for row in self._rows.values() if row.gateway == gateway]

    async def count_refused(self, gateway: str, hour: datetime, deliveries: int) -> None:
        for old in [known for known in self._refused if known[1] < hour - REFUSALS_KEPT]:
            del self._refused[old]
        self._refused[gateway, hour] = self._refused.get((gateway, hour), 0) + deliveries

    async def refused_since(self, gateway: str, at: datetime) -> int:
        return sum(deliveries for (its, hour), deliveries in self._refused.items() if its == gateway and hour >= at)


class MemoryAnswers:
    """The stored answers of the port, in memory."""

    def __init__(self, tables: Tables) -> None:
        self._rows = tables.answers

    async def get(self, caller: str, route: str, key: str) -> StoredAnswer | None:
        return self._rows.get((caller, route, key))

    async def put(self, answer: StoredAnswer) -> None:
        self._rows[answer.caller, answer.route, answer.key] = answer

    async def remove(self, caller: str, route: str, key: str) -> None:
        self._rows.pop((caller, route, key), None)

    async def remove_older(self, than: datetime) -> int:
        old = [key for key, row in self._rows.items() if row.created_at < than]
        for key in old:
            del self._rows[key]
        return len(old)


class MemoryOutbox(RecordingOutbox):
    """The outbox of the port, in memory. What a channel has is forgotten, unless it is read with a cursor."""

    def __init__(self, session: UnitOfWorkSession, tables: Tables) -> None:
        super().__init__(session)
        self._tables = tables
        self._messages = tables.messages
        self._rows = tables.deliveries
        self._unassigned = tables.unassigned
        self._channels = tables.channels

    async def assign(self, limit: int) -> bool:
        if not self._channels:
            return True
        for message_id in list(self._unassigned)[:limit]:
            self._tables.give(message_id)
            del self._unassigned[message_id]
        return not self._unassigned

    def _waiting(self, channel: str | None = None) -> list[MessageDelivery]:
        """Return the waiting deliveries of ``channel``, or of all channels, oldest message first."""
        place = {message_id: n for n, message_id in enumerate(self._messages)}
        found = [row.delivery for row in self._rows.values() if row.waits and channel in (None, row.delivery.channel)]
        return sorted(found, key=lambda each: (place[each.message.id], each.channel))

    async def claim(
        self, channel: str, now: datetime, until: datetime, limit: int, *, skip_dead: bool
    ) -> Sequence[MessageDelivery]:
        firsts: dict[str, MessageDelivery] = {}
        for row in self._waiting(channel):
            if not (skip_dead and row.dead_at):
                firsts.setdefault(row.message.booking_id, row)
        alive = [row for row in firsts.values() if row.dead_at is None]
        again = sorted(
            (row for row in alive if row.next_try_at and row.next_try_at <= now), key=lambda row: row.next_try_at or now
        )
        due = again[: max(1, limit // 2)]
        due += [row for row in alive if row.next_try_at is None][: limit - len(due)]
        for row in due:
            self._change(evolve(row, next_try_at=until))
        bookings = {row.message.booking_id for row in due}
        return [row for row in self._waiting(channel) if row.message.booking_id in bookings]

    def _change(self, delivery: MessageDelivery) -> None:
        key = (delivery.channel or "", delivery.message.id)
        self._rows[key] = evolve(self._rows[key], delivery=delivery)

    async def delivered(self, channel: str, message_ids: Collection[str], at: datetime) -> None:
        for message_id in message_ids:
            row = self._rows.get((channel, message_id))
            if row is not None and row.waits:
                del self._rows[channel, message_id]

    async def reschedule(self, delivery: MessageDelivery) -> None:
        row = self._rows.get((delivery.channel or "", delivery.message.id))
        if row is not None and row.waits:
            self._change(delivery)

    async def undelivered(self, *, dead: bool, limit: int, channel: str | None = None) -> Sequence[MessageDelivery]:
        found = [each for each in self._waiting(channel) if each.dead_at or not dead]
        if channel is None and not dead:
            found += [MessageDelivery(message=self._messages[message_id]) for message_id in self._unassigned]
            place = {message_id: n for n, message_id in enumerate(self._messages)}
            found.sort(key=lambda each: place[each.message.id])
        return found[:limit]

    async def backlogs(self) -> Sequence[Backlog]:
        removed = {on for (on, _), row in self._rows.items() if row.discarded_at and on and on not in self._channels}
        early = [self._messages[each].at for each in self._unassigned]
        before = self._discarded_on("")
        unassigned = Backlog(
            channel=None, waiting=len(early), dead=0, discarded=before, oldest_at=next(iter(early), None)
        )
        found = [unassigned] if early or before else []
        return [*found, *map(self._backlog, sorted(self._channels)), *map(self._backlog, sorted(removed))]

    def _backlog(self, channel: str) -> Backlog:
        waiting = self._waiting(channel)
        return Backlog(
            channel=channel,
            waiting=len(waiting),
            dead=sum(each.dead_at is not None for each in waiting),
            discarded=self._discarded_on(channel),
            oldest_at=waiting[0].message.at if waiting else None,
        )

    def _discarded_on(self, channel: str) -> int:
        return sum(on == channel and row.discarded_at is not None for (on, _), row in self._rows.items())

    async def requeue(self, message_ids: Collection[str], channel: str | None = None) -> int:
        dead = self._dead_among(message_ids, channel)
        for each in dead:
            self._change(evolve(each, dead_at=None, next_try_at=None, tries=0))
        return len({each.message.id for each in dead})

    async def discard(self, message_ids: Collection[str], at: datetime, by: str, channel: str | None = None) -> int:
        dead = self._dead_among(message_ids, channel)
        self._discard(dead, at, by)
        return len({each.message.id for each in dead})

    def _discard(self, deliveries: Iterable[MessageDelivery], at: datetime, by: str) -> None:
        for each in deliveries:
            row = MemoryDelivery(delivery=each, discarded_at=at, discarded_by=by)
            self._rows[each.channel or "", each.message.id] = row

    async def discard_waiting(self, channel: str | None, at: datetime, by: str) -> int:
        if channel is None:
            meant = [MessageDelivery(message=self._messages[message_id]) for message_id in self._unassigned]
            self._unassigned.clear()
        else:
            meant = self._waiting(channel)
        self._discard(meant, at, by)
        return len(meant)

    def _dead_among(self, message_ids: Collection[str], channel: str | None) -> list[MessageDelivery]:
        return [each for each in self._waiting(channel) if each.dead_at and each.message.id in message_ids]

    async def number(self, channel: str, after: int, limit: int, at: datetime) -> Sequence[Message]:
        numbered = {row.number: row for (on, _), row in self._rows.items() if on == channel and row.number is not None}
        last = max(numbered, default=0)
        if after > last:
            raise unknown_cursor()
        for number, row in numbered.items():
            if number <= after and row.waits:
                self._rows[channel, row.delivery.message.id] = evolve(row, delivered_at=at)
        new = [each for each in self._waiting(channel) if self._rows[channel, each.message.id].number is None]
        for number, each in enumerate(new[: max(0, limit - (last - after))], last + 1):
            key = (channel, each.message.id)
            numbered[number] = self._rows[key] = evolve(self._rows[key], number=number)
        return [
            evolve(row.delivery.message, cursor=str(number))
            for number, row in sorted(numbered.items())
            if number > after
        ][:limit]


class MemoryChannels:
    """The channels of the port, in memory."""

    def __init__(self, rows: MutableMapping[str, Channel]) -> None:
        self._rows = rows

    async def lock(self) -> None:
        """Transactions run one at a time, so a lock is always free."""

    async def all(self) -> Sequence[Channel]:
        return [self._rows[name] for name in sorted(self._rows)]

    async def add(self, name: str, at: datetime) -> bool:
        if name in self._rows:
            return False
        self._rows[name] = Channel(name=name, added_at=at)
        return True

    async def remove(self, name: str) -> bool:
        return self._rows.pop(name, None) is not None

    async def alive(self, names: Collection[str], at: datetime, *, in_worker: bool) -> None:
        for name in names:
            if name in self._rows:
                row = evolve(self._rows[name], last_alive_at=at)
                self._rows[name] = evolve(row, worker_alive_at=at) if in_worker else row
