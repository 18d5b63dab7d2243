"""The storage port: transactions over bookings, payments, the inbox, stored responses and the outbox.

The booking is the unit of locking: a transaction that changes a booking or one of its payments locks the booking first,
so that all changes of one booking are serialized.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from attrs import field, frozen

from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.events import Recorded
from booking_payments.domain.ledger import Posting
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.payment import Payment
from booking_payments.ports.audit import AuditTrail
from booking_payments.ports.jobs import Jobs
from booking_payments.ports.publisher import Backlog, Channel, Delivery, Message

if TYPE_CHECKING:
    from booking_payments.ports.overview import Overview

T = TypeVar("T")


class StorageConflict(Exception):
    """Transactions kept conflicting (serialization failure, deadlock, lock timeout); nothing was changed."""


class StorageDown(StorageConflict):
    """The database cannot be reached, or accepts no writes; nothing was changed."""


class CommitLost(Exception):
    """The connection broke during the commit, so its outcome is unknown. Read before trying again."""


class AlreadyExists(Exception):
    """A unique value is taken: a reference, an intent id, an idempotency key, or the open payment of a booking."""


@frozen(kw_only=True)
class BookingFilter:
    """Conditions of a page of bookings; None leaves a condition out."""

    reference: str | None = None
    customer_id: str | None = None
    status: BookingStatus | None = None

    def takes(self, booking: Booking) -> bool:
        """True when ``booking`` satisfies all conditions."""
        wanted = (
            (self.reference, booking.reference),
            (self.customer_id, booking.customer_id),
            (self.status, booking.status),
        )
        return all(asked is None or asked == its for asked, its in wanted)


@frozen(kw_only=True)
class BookingPage:
    """Bookings, newest first, and the cursor of the next page; None on the last page."""

    items: tuple[Booking, ...]
    next_cursor: str | None


class Bookings(Protocol):
    """The bookings."""

    async def add(self, booking: Booking) -> None:
        """Store a new booking.

        Raises ``AlreadyExists`` if its id is taken, or its reference by a live booking (neither canceled nor expired).
        """
        ...

    async def get(self, booking_id: str) -> Booking | None:
        """Return the booking with this id; None if it is unknown."""
        ...

    async def by_reference(self, reference: str) -> Booking | None:
        """Return the live booking with this reference (neither canceled nor expired); None without one."""
        ...

    async def lock(self, booking_id: str) -> Booking | None:
        """Return the booking, locked until the transaction ends; None if it is unknown."""
        ...

    async def save(self, booking: Booking) -> None:
        """Store the changed ``status`` and ``end_reason`` of a booking that this transaction has locked."""
        ...

    async def due_to_warn(
        self, now: datetime, until: datetime, limit: int, booking_id: str | None = None
    ) -> Sequence[str]:
        """Return the ids of the bookings whose customers should be warned that they expire, soonest first.

        These are pending bookings with ``now`` < ``expires_at`` <= ``until``, without a payment that is processing or
        authorized, and without a message ``booking.expiring``. With ``booking_id`` at most that one of them.
        """
        ...

    async def due_to_expire(self, now: datetime, limit: int) -> Sequence[str]:
        """Return the ids of pending bookings with ``expires_at`` <= ``now``, those without an open payment first.

        Within both groups the longest overdue come first.
        """
        ...

    async def page(self, which: BookingFilter, cursor: str | None, limit: int) -> BookingPage:
        """Return one page. Raises ``InvalidInput`` for a cursor that this storage did not create."""
        ...

    async def lock_customer(self, customer_id: str) -> None:
        """Lock this customer until the transaction ends.

        Later reads see everything that other transactions have committed under this lock. It has to be taken before any
        other lock, and only once in a transaction.
        """
        ...

    async def count_unpaid(self, customer_id: str) -> int:
        """Return the number of the customer's pending bookings, including overdue ones."""
        ...


@frozen(kw_only=True)
class Handover:
    """Data with which the front end continues a payment.

    It is secret: shown only to the booking's owner, and never stored in the journal or logged.

    Attributes:
        client_secret: the gateway's secret for its front-end library; None without one.
        next_action: the customer's next step; None without one.
    """

    client_secret: str | None = field(repr=False)
    next_action: dict[str, object] | None = field(default=None, repr=False)


@frozen(kw_only=True)
class Watch:
    """When a payment is checked next, and which process works on it. It is not part of the payment's state.

    Attributes:
        next_look_at: time of the next check; None: no check is due.
        looks: number of checks since the last change.
        lease_until: until then the operation in flight belongs to ``holder``; None without a lease.
        holder: id of the process with the lease.
    """

    next_look_at: datetime | None = None
    looks: int = 0
    lease_until: datetime | None = None
    holder: str | None = None

    def is_held(self, now: datetime) -> bool:
        """True while a lease is valid at ``now``."""
        return self.lease_until is not None and self.lease_until > now

    def is_due(self, now: datetime) -> bool:
        """True when a check is due at ``now`` and no lease is valid."""
        return self.next_look_at is not None and self.next_look_at <= now and not self.is_held(now)


@frozen(kw_only=True)
class PaymentFilter:
    """Conditions of a page of payments; None leaves a condition out. ``created_to`` is exclusive."""

    status: PaymentStatus | None = None
    customer_id: str | None = None
    reference: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


@frozen(kw_only=True)
class PaymentPage:
    """Payments, newest first, and the cursor of the next page; None on the last page."""

    items: tuple[Payment, ...]
    next_cursor: str | None


class Payments(Protocol):
    """The payments, each with its journal, postings, polling state and front-end data."""

    async def append(self, payment: Payment, recorded: Sequence[Recorded], postings: Sequence[Posting]) -> None:
        """Store new journal events, their postings, and ``payment``, the state after these events.

        Raises ``AlreadyExists`` for a sequence, intent id, refund id or idempotency key that is taken, and for a second
        payment that holds its booking.
        """
        ...

    async def get(self, payment_id: str) -> Payment | None:
        """Return the payment with this id; None if it is unknown."""
        ...

    async def of_booking(self, booking_id: str) -> Sequence[Payment]:
        """Return all payments of a booking, oldest first."""
        ...

    async def by_gateway_id(self, gateway_id: str) -> Payment | None:
        """Return the payment with this intent, charge, refund or dispute of the gateway; None if it is unknown."""
        ...

    async def journal(self, payment_id: str) -> Sequence[Recorded]:
        """Return all journal events of a payment, oldest first."""
        ...

    async def postings(self, payment_id: str) -> Sequence[Posting]:
        """Return all postings of a payment, oldest first."""
        ...

    async def page(self, which: PaymentFilter, cursor: str | None, limit: int) -> PaymentPage:
        """Return one page. Raises ``InvalidInput`` for a cursor that this storage did not create."""
        ...

    async def handover(self, payment_id: str) -> Handover | None:
        """Return the front-end data of the payment; None without any."""
        ...

    async def keep_handover(self, payment_id: str, handover: Handover) -> None:
        """Store the front-end data of the payment."""
        ...

    async def watch(self, payment_id: str) -> Watch:
        """Return the polling state of the payment; an empty one if none was stored."""
        ...

    async def set_watch(self, payment_id: str, watch: Watch) -> None:
        """Store the polling state of the payment."""
        ...

    async def due(self, now: datetime, limit: int, gateway: str | None = None) -> Sequence[str]:
        """Return the ids of payments that are due for a check at ``now``, most overdue first.

        Payments with a valid lease are left out. With ``gateway`` only payments of that gateway are returned.
        """
        ...


@frozen(kw_only=True)
class Story:
    """A payment with its journal and postings.

    ``stale`` names the query columns that disagree with the payment's state.
    """

    payment: Payment
    journal: tuple[Recorded, ...]
    postings: tuple[Posting, ...]
    stale: tuple[str, ...] = ()


class Books(Protocol):
    """Bulk reads of payments."""

    async def count(self, since: datetime | None = None) -> int:
        """Return the number of ids that ``ids`` iterates over."""
        ...

    async def ids(self, after: str, limit: int, since: datetime | None = None) -> Sequence[str]:
        """Return at most ``limit`` ids of payments after ``after`` (``""``: from the first), in order.

        With ``since`` only those that are not final, or have changed at or after it. A payment is final when it is
        closed, without an operation, refund or dispute under way.
        """
        ...

    async def payments(self, ids: Collection[str]) -> Mapping[str, Payment]:
        """Return the payments with these ids; unknown ids are left out."""
        ...

    async def of_intents(self, intent_ids: Collection[str]) -> Mapping[str, Payment]:
        """Return the payments with these intents, by intent id."""
        ...

    async def stories(self, ids: Collection[str]) -> Mapping[str, Story]:
        """Return the payments with these ids, with their journals and postings.

        Raises decoding errors of any type for content that this service cannot have stored.
        """
        ...


class InboxStatus(Enum):
    """State of a webhook. A repetition is a duplicate only of one that is ``processed`` or ``ignored``."""

    RECEIVED = "received"
    PROCESSED = "processed"
    IGNORED = "ignored"
    FAILED = "failed"

    @property
    def is_done(self) -> bool:
        """True when the webhook needs no further processing."""
        return self in (InboxStatus.PROCESSED, InboxStatus.IGNORED)


@frozen(kw_only=True)
class InboxEntry:
    """A stored webhook event, unique by ``event_id`` and ``type`` together.

    Attributes:
        body: the part of the event that its reader stores.
        reason: why it was ignored, or how its processing failed; None otherwise.
        tries: how often it was processed.
        gateway: the name of the gateway that it comes from.
        created_at: when the gateway created it; None if it does not say.
        delivered_at: when it was first delivered; None if it was only read from the gateway's list.
    """

    event_id: str
    type: str
    gateway: str
    status: InboxStatus
    object_id: str | None
    received_at: datetime
    body: str = field(repr=False)
    reason: str | None = None
    processed_at: datetime | None = None
    tries: int = 0
    created_at: datetime | None = None
    delivered_at: datetime | None = None


@frozen(kw_only=True)
class InboxFilter:
    """Conditions on events; None leaves a condition out. ``received_from`` is inclusive."""

    statuses: frozenset[InboxStatus] | None = None
    type: str | None = None
    received_from: datetime | None = None

    def takes(self, entry: InboxEntry) -> bool:
        """True when ``entry`` satisfies all conditions."""
        return (
            (self.statuses is None or entry.status in self.statuses)
            and self.type in (None, entry.type)
            and (self.received_from is None or entry.received_at >= self.received_from)
        )


REFUSALS_KEPT: Final = timedelta(days=7)
"""How long the counts of refused deliveries are kept."""


class Inbox(Protocol):
    """The received webhook events."""

    async def find(self, event_id: str) -> Sequence[InboxEntry]:
        """Return all entries with this event id: normally at most one; two when it was received with two types."""
        ...

    async def put(self, entry: InboxEntry) -> None:
        """Store an entry, or replace the one with the same event id and type.

        The transaction starts again when it has looked for the entry without finding it, and another one has stored it
        since.
        """
        ...

    async def unfinished(self, limit: int) -> Sequence[InboxEntry]:
        """Return entries that are ``received`` or ``failed``, oldest first."""
        ...

    async def latest(self, which: InboxFilter, limit: int) -> Sequence[InboxEntry]:
        """Return the entries that satisfy the conditions, newest first."""
        ...

    async def names(self, which: InboxFilter) -> Sequence[tuple[str, str]]:
        """Return event id and type of the entries that satisfy the conditions, oldest first."""
        ...

    async def done(self, event_ids: Collection[str]) -> Collection[str]:
        """Return those of ``event_ids`` that were processed or ignored."""
        ...

    async def newest(self) -> datetime | None:
        """Return the latest ``created_at`` of all entries; None without entries."""
        ...

    async def latest_delivery(self) -> datetime | None:
        """Return when the latest event was delivered; None without one. Events read from lists do not count."""
        ...

    async def count_refused(self, hour: datetime, deliveries: int) -> None:
        """Add ``deliveries`` to the number of deliveries with a wrong signature in the hour that begins at ``hour``.

        Counts that are older than ``REFUSALS_KEPT`` are removed.
        """
        ...

    async def refused_since(self, at: datetime) -> int:
        """Return the number of deliveries with a wrong signature in the hours that began at ``at`` or later."""
        ...


LIBRARY_ROUTE: Final = "library "
"""Prefix of ``route`` for calls of the library; for the HTTP API ``route`` begins with the method."""

ANSWER_LIFETIME: Final = timedelta(hours=72)
"""How long a response is stored: longer than the gateway's own 24 hours, and than a weekend."""


@frozen(kw_only=True)
class StoredAnswer:
    """The response to a request with an idempotency key, or the mark of a request that is running.

    Unique by ``caller``, ``route`` and ``key``.

    Attributes:
        fingerprint: SHA-256 of the request.
        locked_until: until then a request without a ``status`` counts as running.
        status: None while the request is running.
    """

    caller: str
    route: str
    key: str
    fingerprint: str
    created_at: datetime
    locked_until: datetime
    status: int | None = None
    media_type: str | None = None
    body: bytes | None = field(default=None, repr=False)


class Answers(Protocol):
    """Stored responses of the HTTP API and of the library."""

    async def get(self, caller: str, route: str, key: str) -> StoredAnswer | None:
        """Return the stored response, locked until the transaction ends; None without one."""
        ...

    async def put(self, answer: StoredAnswer) -> None:
        """Store a response, or replace the one with the same caller, route and key.

        The transaction starts again when it has looked for the response without finding it, and another one has stored
        it since.
        """
        ...

    async def remove(self, caller: str, route: str, key: str) -> None:
        """Remove the stored response; nothing happens without one."""
        ...

    async def remove_older(self, than: datetime) -> int:
        """Remove responses created before ``than``; returns their number."""
        ...


class Outbox(Protocol):
    """Messages, and their delivery on each of their channels.

    A message belongs to the channels that are recorded when it is written. Without any it is *unassigned* until
    ``assign`` gives it to the first recorded ones. A *discarded* message is one that an operator has decided never to
    deliver.
    """

    async def append(self, *messages: Message) -> None:
        """Store messages of one booking after all its others, for every recorded channel. Assigns each ``sequence``."""
        ...

    async def assign(self, limit: int) -> bool:
        """Assign up to ``limit`` unassigned messages, oldest first, to all channels; False while more remain.

        Without a recorded channel they stay unassigned. Until all are assigned no message may be claimed, since earlier
        messages of the same booking could be among them.
        """
        ...

    async def claim(
        self, channel: str, now: datetime, until: datetime, limit: int, *, past_dead: bool
    ) -> Sequence[Delivery]:
        """Return messages of at most ``limit`` bookings that are due on ``channel``, for delivery by the caller.

        The messages of each booking are in order. At most half of them were tried before, so that undeliverable
        messages cannot hold up new ones. Until the time ``until`` messages of these bookings are not returned to other
        callers for this channel. Messages behind a dead letter of the same booking are due only with ``past_dead``.
        """
        ...

    async def delivered(self, channel: str, message_ids: Collection[str], at: datetime) -> None:
        """Record that these messages were delivered on ``channel``."""
        ...

    async def put_off(self, delivery: Delivery) -> None:
        """Store the result of a failed try: tries, time of the next one, error, and whether it was abandoned."""
        ...

    async def undelivered(self, *, dead: bool, limit: int, channel: str | None = None) -> Sequence[Delivery]:
        """Return undelivered messages, oldest first, once for every channel that lacks them.

        With ``dead`` only dead letters, with ``channel`` only those of that channel.
        """
        ...

    async def backlogs(self) -> Sequence[Backlog]:
        """Return the counts of each recorded channel, by name; those of unassigned messages come first.

        Unassigned messages are left out if there are none. Removed channels are listed if a message was discarded
        there, as are messages discarded before any channel existed (None).
        """
        ...

    async def revive(self, message_ids: Collection[str], channel: str | None = None) -> int:
        """Requeue dead letters on ``channel`` or on all, as if never tried; returns the number of messages."""
        ...

    async def discard(self, message_ids: Collection[str], at: datetime, by: str, channel: str | None = None) -> int:
        """Discard dead letters on ``channel`` or on all; returns the number of messages."""
        ...

    async def discard_waiting(self, channel: str | None, at: datetime, by: str) -> int:
        """Discard all undelivered messages of ``channel`` (None: all unassigned ones); returns their number."""
        ...

    async def number(self, channel: str, after: int, limit: int, at: datetime) -> Sequence[Message]:
        """Return the next ``limit`` messages of ``channel`` after the number ``after`` (0: from the first).

        Each message has its number as ``cursor``. Those up to ``after`` count as delivered at the time ``at``. A
        message gets its number when it is first read; only committed messages get one, and only from one reader at a
        time, so a number is never lower than one that was returned before.

        Raises ``InvalidInput`` for a number that was never assigned.
        """
        ...


class Channels(Protocol):
    """The recorded channels."""

    async def lock(self) -> None:
        """Wait until no transaction appends messages, and prevent that until this one ends.

        Other transactions cannot add or remove channels either.
        """
        ...

    async def all(self) -> Sequence[Channel]:
        """Return the recorded channels, by name."""
        ...

    async def add(self, name: str, at: datetime) -> bool:
        """Record a channel, under the lock; returns False if it is recorded already."""
        ...

    async def remove(self, name: str) -> bool:
        """Remove a channel, under the lock; returns False if it is not recorded."""
        ...

    async def alive(self, names: Collection[str], at: datetime, *, in_worker: bool) -> None:
        """Record a heartbeat of a process that delivers on these channels, and whether it is a background worker."""
        ...


class UnitOfWork(Protocol):
    """One transaction. It is committed completely, or not at all."""

    @property
    def bookings(self) -> Bookings: ...

    @property
    def payments(self) -> Payments: ...

    @property
    def books(self) -> Books: ...

    @property
    def inbox(self) -> Inbox: ...

    @property
    def answers(self) -> Answers: ...

    @property
    def outbox(self) -> Outbox: ...

    @property
    def channels(self) -> Channels: ...

    @property
    def audit(self) -> AuditTrail: ...

    @property
    def overview(self) -> "Overview": ...

    @property
    def jobs(self) -> Jobs: ...


Work = Callable[[UnitOfWork], Awaitable[T]]


@frozen(kw_only=True)
class Subject:
    """The rows that a unit of work will change: a booking, or an event and the intent that it names.

    Work without any of these only appends records.
    """

    booking_id: str | None = None
    event_id: str | None = None
    intent_id: str | None = None


class Storage(Protocol):
    """Runs work in transactions."""

    async def transact(self, work: Work[T], about: Subject | None = None) -> T:
        """Run ``work`` in one transaction and commit it. Any error in it causes a rollback, and is raised.

        After a conflict with another transaction ``work`` runs again from the start, so it must have no other side
        effects. Work with the argument ``about`` may share its transaction with other work that arrives at the same
        time; the result is the same.

        Raises:
            StorageConflict: repetitions did not resolve the conflict.
            CommitLost: the connection broke during the commit; nothing is repeated.
        """
        ...

    async def read(self, work: Work[T]) -> T:
        """Run ``work``, which only reads, on one consistent snapshot, without blocking writers."""
        ...
