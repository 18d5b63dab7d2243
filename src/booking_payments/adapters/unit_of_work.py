"""The unit of work of all storages: it reads what a scope names, records changes, and writes them once.

A storage implements ``load`` and ``flush`` (``Database``), and its own queries. This module does the rest: a
transaction reads its own changes, and each row is written once with all of them.

Until the booking is locked, every read loads again, because another transaction may have changed the row. Under the
lock
no other transaction can, so its payments are loaded once.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Final, Protocol

from attrs import define, field, frozen

from booking_payments.domain.booking import Booking
from booking_payments.domain.events import OperationIntended, Recorded
from booking_payments.domain.ledger import Posting
from booking_payments.domain.payment import Payment
from booking_payments.ports.audit import AuditRecord
from booking_payments.ports.inbox import EventKey, InboxEntry
from booking_payments.ports.jobs import Job
from booking_payments.ports.payments import ClientAction, PollState
from booking_payments.ports.publisher import Message
from booking_payments.ports.storage import AlreadyExists

# --- what is read ----------------------------------------------------------------------------------------------


class ScopeKind(Enum):
    """The meaning of a scope's id, and the rows that are loaded for it."""

    BOOKING = auto()
    """The booking with this id."""
    LOCKED_BOOKING = auto()
    """The same, locked until the transaction ends."""
    PAYMENTS_OF_BOOKING = auto()
    """All payments of the booking with this id, oldest first."""
    PAYMENT = auto()
    """The payment with this id."""
    GATEWAY_ID = auto()
    """The payment that has the intent, charge, refund or dispute with this id."""
    EVENT = auto()
    """The inbox entries with this event id, in the order in which they were stored."""


@frozen
class Scope:
    """A request to load rows."""

    kind: ScopeKind
    id: str


@frozen(kw_only=True)
class StoredPayment:
    """A payment with the values that are stored beside its journal."""

    payment: Payment
    poll_state: PollState = field(factory=PollState)
    client_action: ClientAction | None = None


@frozen(kw_only=True)
class Loaded:
    """What a scope names, as it is stored. Each kind of scope fills one of these."""

    booking: Booking | None = None
    payments: Sequence[StoredPayment] = ()
    entries: Sequence[InboxEntry] = ()


# --- what is changed -------------------------------------------------------------------------------------------


@define
class PaymentChange:
    """What changes in one payment.

    ``before`` is the payment as it was last loaded; None where it was not. ``payment`` is None where nothing is
    appended to its journal. ``watch`` and ``client_action`` are None where they stay as they are.
    """

    payment_id: str
    before: Payment | None = None
    payment: Payment | None = None
    recorded: list[Recorded] = field(factory=list)
    postings: list[Posting] = field(factory=list)
    poll_state: PollState | None = None
    client_action: ClientAction | None = None

    @property
    def version_before(self) -> int:
        """The version that the stored payment has to have. 0: it is new."""
        return self.payment.version - len(self.recorded) if self.payment else 0

    @property
    def is_new(self) -> bool:
        """Whether the payment is to be added."""
        return self.payment is not None and self.version_before == 0

    @property
    def idempotency_keys(self) -> Sequence[str]:
        """The keys of the operations that are intended by the new events."""
        events = (each.event for each in self.recorded)
        return [event.idempotency_key for event in events if isinstance(event, OperationIntended)]

    @property
    def knows_before(self) -> bool:
        """Whether ``before`` is exactly what the change is applied to."""
        return self.is_new or (self.before is not None and self.before.version == self.version_before)

    def new_gateway_ids(self, known: Iterable[str] = ()) -> Sequence[str]:
        """The ids of the gateway that are new, the intent's excepted. ``known`` are stored already; without them those
        of ``before`` are."""
        if self.payment is None:
            return ()
        old = {self.payment.intent_id, *known, *(gateway_ids(self.before) if self.before else ())}
        return list(dict.fromkeys(each for each in gateway_ids(self.payment) if each not in old))

    def apply_to(self, stored: StoredPayment) -> StoredPayment:
        """The payment as it is with this change."""
        return StoredPayment(
            payment=self.payment or stored.payment,
            poll_state=self.poll_state or stored.poll_state,
            client_action=self.client_action or stored.client_action,
        )

    def as_stored(self) -> StoredPayment | None:
        """A new payment as it will be stored. None where the payment is stored already."""
        if not self.is_new or self.payment is None:
            return None
        return self.apply_to(StoredPayment(payment=self.payment))


@frozen
class EntryChange:
    """An inbox entry to be stored. ``is_new``: none with its event id was found in this transaction."""

    entry: InboxEntry
    is_new: bool


@define
class ChangeSet:
    """What a transaction changes. ``bookings`` are those that have changed, as they are to be stored."""

    new_bookings: list[Booking] = field(factory=list)
    bookings: dict[str, Booking] = field(factory=dict)
    payments: dict[str, PaymentChange] = field(factory=dict)
    entries: dict[EventKey, EntryChange] = field(factory=dict)
    messages: list[Message] = field(factory=list)
    records: list[AuditRecord] = field(factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be written."""
        found = (self.payments, self.messages, self.records, self.entries, self.bookings, self.new_bookings)
        return not any(found)

    @property
    def things(self) -> int:
        """How many bookings, payments, entries and messages are changed or added."""
        changed = len(self.new_bookings) + len(self.bookings) + len(self.payments)
        return changed + len(self.entries) + len(self.messages)

    def payments_begun(self) -> Mapping[str, int]:
        """How many payments are new, by booking."""
        new = [each.payment.booking_id for each in self.payments.values() if each.is_new and each.payment]
        return Counter(new) if new else _NONE_BEGUN


_NONE_BEGUN: Final[Mapping[str, int]] = {}


def gateway_ids(payment: Payment) -> list[str]:
    """All ids that the gateway has given to this payment's things, and those that we have given to its refunds."""
    charges = [attempt.charge_id for attempt in payment.attempts]
    refunds = [each for refund in payment.refunds for each in (refund.id, refund.gateway_refund_id)]
    refunds += [deferred.id for deferred in payment.deferred]  # it may be sent, deferred and sent again with one id
    disputes = [dispute.id for dispute in payment.disputes]
    return [each for each in (payment.intent_id, *charges, *refunds, *disputes) if each]


class Database(Protocol):
    """What a storage does for the unit of work, in one transaction."""

    async def load(self, scope: Scope) -> Loaded:
        """What ``scope`` names, as it is stored now."""
        ...

    async def flush(self, changes: ChangeSet) -> None:
        """Write ``changes``, so that everything read from now on has them.

        Raises ``AlreadyExists`` for a unique value that is taken, and for a payment that is not at the version that
        its change is applied to.
        """
        ...


class UnitOfWorkSession:
    """One transaction: recorded changes that are not written yet, and rows that were read under a lock.

    With ``at_once`` each change is written as soon as it is recorded, for storages in which a write costs nothing.
    """

    def __init__(self, database: Database, *, at_once: bool = False) -> None:
        self._database, self._at_once = database, at_once
        self.changes = ChangeSet()
        self._locked: dict[str, Booking | None] = {}
        self._all_read: dict[str, list[str]] = {}
        self._payments: dict[str, StoredPayment] = {}
        self._before: dict[str, Payment] = {}
        self._missing_events: set[str] = set()

    async def flush(self) -> None:
        """Have everything written that was recorded so far. Raises what ``Database.flush`` does."""
        if self.changes.is_empty:
            return
        changes, self.changes = self.changes, ChangeSet()
        await self._database.flush(changes)
        self._keep(changes)

    def _keep(self, changes: ChangeSet) -> None:
        """The written values replace those that were read under a lock."""
        for booking_id, booking in self._locked.items():
            self._locked[booking_id] = _saved(booking, changes) if booking else None
        for change in changes.payments.values():
            its, stored = change.payment_id, self._payments.get(change.payment_id) or change.as_stored()
            if change.payment is not None:
                self._before[its] = change.payment
            if stored is None or stored.payment.booking_id not in self._locked:
                continue
            self._payments[its] = change.apply_to(stored)
            known = self._all_read.get(stored.payment.booking_id)
            if known is not None and its not in known:
                known.append(its)
        self._missing_events -= {key.event_id for key in changes.entries}

    async def recorded(self) -> None:
        """A change was recorded."""
        if self._at_once:
            await self.flush()

    # --- bookings

    async def booking(self, booking_id: str, *, lock: bool = False) -> Booking | None:
        """Return the booking with this id, locked until the transaction ends if ``lock``; None if it does not exist."""
        for booking in self.changes.new_bookings:
            if booking.id == booking_id:
                return _saved(booking, self.changes)
        if booking_id not in self._locked:
            kind = ScopeKind.LOCKED_BOOKING if lock else ScopeKind.BOOKING
            found = (await self._database.load(Scope(kind, booking_id))).booking
            if not lock:
                return _saved(found, self.changes) if found else None
            self._locked[booking_id] = found
        known = self._locked[booking_id]
        return _saved(known, self.changes) if known else None

    # --- payments

    async def payment(self, payment_id: str) -> StoredPayment | None:
        """Return the payment with this id; None if it does not exist."""
        change = self.changes.payments.get(payment_id)
        if change is not None and change.is_new:
            return change.as_stored()
        if payment_id in self._payments:
            return self._changed(self._payments[payment_id])
        return self._one(await self._database.load(Scope(ScopeKind.PAYMENT, payment_id)))

    async def payment_by_gateway_id(self, gateway_id: str) -> StoredPayment | None:
        """Return the payment with this id of the gateway; None if it does not exist."""
        for change in self.changes.payments.values():
            if change.payment is not None and gateway_id in gateway_ids(change.payment):
                return await self.payment(change.payment_id)
        return self._one(await self._database.load(Scope(ScopeKind.GATEWAY_ID, gateway_id)))

    async def payments_of(self, booking_id: str) -> Sequence[StoredPayment]:
        """The payments of a booking, oldest first."""
        if booking_id in self._all_read:
            stored = [self._changed(self._payments[each]) for each in self._all_read[booking_id]]
        else:
            loaded = await self._database.load(Scope(ScopeKind.PAYMENTS_OF_BOOKING, booking_id))
            stored = [self._note(each) for each in loaded.payments]
            if booking_id in self._locked:
                self._all_read[booking_id] = [each.payment.id for each in stored]
        new = [each.as_stored() for each in self.changes.payments.values()]
        added = [each for each in new if each is not None and each.payment.booking_id == booking_id]
        return sorted([*stored, *added], key=lambda each: each.payment.created_at)

    def change_of(self, payment_id: str) -> PaymentChange:
        """Return the recorded changes of this payment, to add more."""
        if payment_id not in self.changes.payments:
            before = self._before.get(payment_id)
            self.changes.payments[payment_id] = PaymentChange(payment_id, before=before)
        return self.changes.payments[payment_id]

    def _one(self, loaded: Loaded) -> StoredPayment | None:
        return self._note(loaded.payments[0]) if loaded.payments else None

    def _note(self, stored: StoredPayment) -> StoredPayment:
        """Return a loaded payment with the recorded changes. It is kept if its booking is locked."""
        payment_id = stored.payment.id
        if payment_id in self._payments:
            stored = self._payments[payment_id]
        elif stored.payment.booking_id in self._locked:
            self._payments[payment_id] = stored
        self._before[payment_id] = stored.payment
        return self._changed(stored)

    def _changed(self, stored: StoredPayment) -> StoredPayment:
        change = self.changes.payments.get(stored.payment.id)
        return change.apply_to(stored) if change else stored

    # --- inbox

    async def entries(self, event_id: str) -> Sequence[InboxEntry]:
        """The inbox entries with this event id."""
        stored = (await self._database.load(Scope(ScopeKind.EVENT, event_id))).entries
        if not stored:
            self._missing_events.add(event_id)
        found = {each.key: each for each in stored}
        changed = {key: each.entry for key, each in self.changes.entries.items() if key.event_id == event_id}
        return list({**found, **changed}.values())

    def put_entry(self, entry: InboxEntry) -> None:
        """Record that an entry is stored, or replaces the one with the same key."""
        is_new = entry.event_id in self._missing_events
        self.changes.entries[entry.key] = EntryChange(entry, is_new)


def _saved(booking: Booking, changes: ChangeSet) -> Booking:
    return changes.bookings.get(booking.id, booking)


# --- the repositories' common part -----------------------------------------------------------------------------


class RecordingBookings:
    """The part of the port's bookings that is the same for all storages."""

    def __init__(self, session: UnitOfWorkSession) -> None:
        self._session = session

    async def add(self, booking: Booking) -> None:
        self._session.changes.new_bookings.append(booking)
        await self._session.recorded()

    async def get(self, booking_id: str) -> Booking | None:
        return await self._session.booking(booking_id)

    async def lock(self, booking_id: str) -> Booking | None:
        return await self._session.booking(booking_id, lock=True)

    async def save(self, booking: Booking) -> None:
        self._session.changes.bookings[booking.id] = booking
        await self._session.recorded()


class RecordingPayments:
    """The part of the port's payments that is the same for all storages."""

    def __init__(self, session: UnitOfWorkSession) -> None:
        self._session = session

    async def append(self, payment: Payment, recorded: Sequence[Recorded], postings: Sequence[Posting]) -> None:
        change = self._session.change_of(payment.id)
        if change.payment is not None and change.payment.version != payment.version - len(recorded):
            raise AlreadyExists(f"{payment.id} has moved on")
        change.payment = payment
        change.recorded += recorded
        change.postings += postings
        await self._session.recorded()

    async def get(self, payment_id: str) -> Payment | None:
        found = await self._session.payment(payment_id)
        return found.payment if found else None

    async def of_booking(self, booking_id: str) -> Sequence[Payment]:
        return [each.payment for each in await self._session.payments_of(booking_id)]

    async def by_gateway_id(self, gateway_id: str) -> Payment | None:
        found = await self._session.payment_by_gateway_id(gateway_id)
        return found.payment if found else None

    async def client_action(self, payment_id: str) -> ClientAction | None:
        found = await self._session.payment(payment_id)
        return found.client_action if found else None

    async def save_client_action(self, payment_id: str, client_action: ClientAction) -> None:
        self._session.change_of(payment_id).client_action = client_action
        await self._session.recorded()

    async def poll_state(self, payment_id: str) -> PollState:
        found = await self._session.payment(payment_id)
        return found.poll_state if found else PollState()

    async def save_poll_state(self, payment_id: str, poll_state: PollState) -> None:
        self._session.change_of(payment_id).poll_state = poll_state
        await self._session.recorded()


class RecordingInbox:
    """The part of the port's inbox that is the same for all storages."""

    def __init__(self, session: UnitOfWorkSession) -> None:
        self._session = session

    async def find(self, event_id: str) -> Sequence[InboxEntry]:
        return await self._session.entries(event_id)

    async def put(self, entry: InboxEntry) -> None:
        self._session.put_entry(entry)
        await self._session.recorded()


class RecordingOutbox:
    """The part of the port's outbox that is the same for all storages."""

    def __init__(self, session: UnitOfWorkSession) -> None:
        self._session = session

    async def append(self, *messages: Message) -> None:
        """Collect the messages; the flush assigns each ``sequence`` (``SqlDatabase``, ``adapters.memory.stores``)."""
        self._session.changes.messages += messages
        await self._session.recorded()


class RecordingAudit:
    """The part of the port's audit trail that is the same for all storages."""

    def __init__(self, session: UnitOfWorkSession) -> None:
        self._session = session

    async def append(self, record: AuditRecord) -> None:
        self._session.changes.records.append(record)
        await self._session.recorded()


class RecordedJobs:
    """The jobs that a transaction asks for."""

    def __init__(self) -> None:
        self.deferred: list[tuple[Job, datetime]] = []

    def defer(self, job: Job, run_at: datetime) -> None:
        self.deferred.append((job, run_at))
