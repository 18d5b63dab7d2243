"""Storage: transactions over bookings, payments with their journal, the inbox, stored answers and the outbox.

The booking is the lock: whoever changes a booking or one of its payments locks the booking first, so that all that
happens to one booking happens in turn.
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
    """Transactions kept getting into each other's way (serialization, deadlock, locked); nothing was changed."""


class StorageDown(StorageConflict):
    """The database can't be reached, or takes no writes at present; nothing was changed."""


class CommitLost(Exception):
    """Whether a transaction was committed is not known: what would have told so was lost. Look before trying again."""


class AlreadyExists(Exception):
    """A unique value is taken: a reference, an intent id, an idempotency key, a booking's open payment."""


@frozen(kw_only=True)
class BookingFilter:
    """Which bookings a page lists: None leaves a filter out."""

    reference: str | None = None
    customer_id: str | None = None
    status: BookingStatus | None = None

    def takes(self, booking: Booking) -> bool:
        """Whether the page lists ``booking``."""
        wanted = (
            (self.reference, booking.reference),
            (self.customer_id, booking.customer_id),
            (self.status, booking.status),
        )
        return all(asked is None or asked == its for asked, its in wanted)


@frozen(kw_only=True)
class BookingPage:
    """Bookings, newest first, and the cursor of the next page (None: this was the last)."""

    items: tuple[Booking, ...]
    next_cursor: str | None


class Bookings(Protocol):
    """The bookings."""

    async def add(self, booking: Booking) -> None:
        """Store a new booking. Raises ``AlreadyExists`` when its id is taken, or its reference by a booking that is
        neither canceled nor expired."""
        ...

    async def get(self, booking_id: str) -> Booking | None: ...

    async def by_reference(self, reference: str) -> Booking | None:
        """The booking with this reference that is neither canceled nor expired; None where there is none."""
        ...

    async def lock(self, booking_id: str) -> Booking | None:
        """The booking, locked until the transaction ends; None when there is none."""
        ...

    async def save(self, booking: Booking) -> None:
        """Store the changed ``status`` and ``end_reason`` of a booking that this transaction has locked."""
        ...

    async def due_to_warn(
        self, now: datetime, until: datetime, limit: int, booking_id: str | None = None
    ) -> Sequence[str]:
        """Ids of pending bookings whose ``expires_at`` is after ``now`` and not after ``until``, whose payment is
        neither processed nor authorized, and that have no message ``booking.expiring`` yet; soonest first. With
        ``booking_id`` of all these at most that one."""
        ...

    async def due_to_expire(self, now: datetime, limit: int) -> Sequence[str]:
        """Ids of pending bookings whose ``expires_at`` is not after ``now``: first those without an open payment, each
        longest overdue first."""
        ...

    async def page(self, which: BookingFilter, cursor: str | None, limit: int) -> BookingPage:
        """One page. Raises ``InvalidInput`` for a cursor that this storage did not make."""
        ...

    async def lock_customer(self, customer_id: str) -> None:
        """Let nobody else lock this customer until the transaction ends. What is read afterwards shows all that others
        have committed under this lock. To be taken before any other lock, and only one in a transaction."""
        ...

    async def count_unpaid(self, customer_id: str) -> int:
        """How many pending bookings the customer has, overdue or not."""
        ...


@frozen(kw_only=True)
class Handover:
    """What the front end needs to take the customer on. Secret: for the owner only, never in journal or logs."""

    client_secret: str | None = field(repr=False)
    next_action: dict[str, object] | None = field(default=None, repr=False)


@frozen(kw_only=True)
class Watch:
    """When a payment is looked at again, and who works on it: operational, no part of the payment's story.

    ``looks`` counts looks since the last change; until ``lease_until`` the operation in flight belongs to ``holder``.
    """

    next_look_at: datetime | None = None
    looks: int = 0
    lease_until: datetime | None = None
    holder: str | None = None

    def is_held(self, now: datetime) -> bool:
        """Whether somebody's lease still runs."""
        return self.lease_until is not None and self.lease_until > now

    def is_due(self, now: datetime) -> bool:
        """Whether it is time to look, and nobody is at it."""
        return self.next_look_at is not None and self.next_look_at <= now and not self.is_held(now)


@frozen(kw_only=True)
class PaymentFilter:
    """Which payments a page lists: None leaves a filter out. Times are of creation, ``to`` is exclusive."""

    status: PaymentStatus | None = None
    customer_id: str | None = None
    reference: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


@frozen(kw_only=True)
class PaymentPage:
    """Payments, newest first, and the cursor of the next page (None: this was the last)."""

    items: tuple[Payment, ...]
    next_cursor: str | None


class Payments(Protocol):
    """The payments, each with its journal, postings, watch and handover."""

    async def append(self, payment: Payment, recorded: Sequence[Recorded], postings: Sequence[Posting]) -> None:
        """Store new facts, their postings, and ``payment``, which is the fold of all facts up to them.

        Raises ``AlreadyExists`` for a sequence, intent id, refund id or idempotency key that is taken, and for a
        second payment that holds its booking.
        """
        ...

    async def get(self, payment_id: str) -> Payment | None: ...

    async def of_booking(self, booking_id: str) -> Sequence[Payment]:
        """All payments of a booking, oldest first."""
        ...

    async def by_gateway_id(self, gateway_id: str) -> Payment | None:
        """The payment that has this intent, charge, refund or dispute at the gateway."""
        ...

    async def journal(self, payment_id: str) -> Sequence[Recorded]:
        """All facts of a payment, oldest first."""
        ...

    async def postings(self, payment_id: str) -> Sequence[Posting]:
        """All postings of a payment, oldest first."""
        ...

    async def page(self, which: PaymentFilter, cursor: str | None, limit: int) -> PaymentPage:
        """One page. Raises ``InvalidInput`` for a cursor that this storage did not make."""
        ...

    async def handover(self, payment_id: str) -> Handover | None: ...

    async def keep_handover(self, payment_id: str, handover: Handover) -> None: ...

    async def watch(self, payment_id: str) -> Watch:
        """When the payment is looked at again; an empty watch when nobody has set one."""
        ...

    async def set_watch(self, payment_id: str, watch: Watch) -> None: ...

    async def due(self, now: datetime, limit: int, gateway: str | None = None) -> Sequence[str]:
        """Ids of payments whose ``next_look_at`` is not after ``now`` and whose lease is over, most overdue first; with
        ``gateway`` only those of that gateway."""
        ...


@frozen(kw_only=True)
class Story:
    """A payment with all that is kept of it. ``stale`` names the copies of its values, kept apart for queries, that
    disagree with it."""

    payment: Payment
    journal: tuple[Recorded, ...]
    postings: tuple[Posting, ...]
    stale: tuple[str, ...] = ()


class Books(Protocol):
    """Reading many payments at once, for whoever goes through the books."""

    async def count(self, since: datetime | None = None) -> int:
        """How many ids ``ids`` goes through."""
        ...

    async def ids(self, after: str, limit: int, since: datetime | None = None) -> Sequence[str]:
        """Ids of payments behind ``after`` (``""``: from the first), in order.

        With ``since`` only those that are not final or have changed at or after it. Final is a payment that is
        closed, with no operation, refund or dispute under way.
        """
        ...

    async def payments(self, ids: Collection[str]) -> Mapping[str, Payment]:
        """The payments with these ids, as far as there are any."""
        ...

    async def of_intents(self, intent_ids: Collection[str]) -> Mapping[str, Payment]:
        """The payments with these intents, by intent id."""
        ...

    async def stories(self, ids: Collection[str]) -> Mapping[str, Story]:
        """The payments with these ids, with their journals and postings. Raises whatever comes of content that
        nobody could have stored here."""
        ...


class InboxStatus(Enum):
    """What became of a webhook. Only ``processed`` and ``ignored`` make a repetition a duplicate."""

    RECEIVED = "received"
    PROCESSED = "processed"
    IGNORED = "ignored"
    FAILED = "failed"

    @property
    def is_done(self) -> bool:
        return self in (InboxStatus.PROCESSED, InboxStatus.IGNORED)


@frozen(kw_only=True)
class InboxEntry:
    """A webhook event; ``body`` is what its reader keeps of it. ``reason`` says why it was ignored or how it failed;
    ``tries`` counts our work on it; ``created_at`` is when the gateway made it, ``delivered_at`` when it was first
    delivered to us (None: it was only read from the gateway's list). ``gateway`` is the name of the gateway that it is
    from. Unique by ``event_id`` and ``type`` together."""

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
    """Which events are meant: None leaves a filter out. ``received_from`` is inclusive."""

    statuses: frozenset[InboxStatus] | None = None
    type: str | None = None
    received_from: datetime | None = None

    def takes(self, entry: InboxEntry) -> bool:
        """Whether ``entry`` is meant."""
        return (
            (self.statuses is None or entry.status in self.statuses)
            and self.type in (None, entry.type)
            and (self.received_from is None or entry.received_at >= self.received_from)
        )


REFUSALS_KEPT: Final = timedelta(days=7)
"""How long it is remembered how many deliveries were refused."""


class Inbox(Protocol):
    """The webhook events received."""

    async def find(self, event_id: str) -> Sequence[InboxEntry]:
        """All entries with this event id: normally none or one; an id that came under two types has two."""
        ...

    async def put(self, entry: InboxEntry) -> None:
        """Store an entry, or replace the one with the same event id and type. Where this transaction has looked for
        it in vain and somebody else has stored one since, it is begun again."""
        ...

    async def unfinished(self, limit: int) -> Sequence[InboxEntry]:
        """Entries that are ``received`` or ``failed``, oldest first."""
        ...

    async def latest(self, which: InboxFilter, limit: int) -> Sequence[InboxEntry]:
        """Entries, newest first."""
        ...

    async def names(self, which: InboxFilter) -> Sequence[tuple[str, str]]:
        """Event id and type of all entries, oldest first."""
        ...

    async def done(self, event_ids: Collection[str]) -> Collection[str]:
        """Those of ``event_ids`` that were processed or ignored."""
        ...

    async def newest(self) -> datetime | None:
        """The latest ``created_at`` of all entries."""
        ...

    async def latest_delivery(self) -> datetime | None:
        """When the latest event was delivered; None while there is none. What was read from lists does not count."""
        ...

    async def count_refused(self, hour: datetime, deliveries: int) -> None:
        """Add ``deliveries`` to those that were refused for their signature in the hour that begins at ``hour``.

        Hours that lie more than ``REFUSALS_KEPT`` back are forgotten.
        """
        ...

    async def refused_since(self, at: datetime) -> int:
        """How many deliveries were refused for their signature in the hours that began at ``at`` or later."""
        ...


LIBRARY_ROUTE: Final = "library "
"""The prefix of ``route`` in marks of library calls; in marks of the HTTP API it begins with the method."""

ANSWER_LIFETIME: Final = timedelta(hours=72)
"""How long an answer is kept: longer than the gateway's own 24 hours, and a weekend."""


@frozen(kw_only=True)
class StoredAnswer:
    """The outcome of a request with an idempotency key, or the mark of one that is running.

    Unique by ``caller``, ``route`` and ``key``. ``fingerprint`` is the SHA-256 of the request. ``status`` is None
    while it runs, which counts until ``locked_until``.
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
    """Stored answers of the HTTP API and of the library."""

    async def get(self, caller: str, route: str, key: str) -> StoredAnswer | None:
        """The stored answer, locked until the transaction ends."""
        ...

    async def put(self, answer: StoredAnswer) -> None:
        """Store an answer, or replace the one with the same caller, route and key. Where this transaction has looked
        for it in vain and somebody else has stored one since, it is begun again."""
        ...

    async def remove(self, caller: str, route: str, key: str) -> None: ...

    async def remove_older(self, than: datetime) -> int:
        """Remove answers created before ``than``; returns how many."""
        ...


class Outbox(Protocol):
    """Messages, and what became of each of them on each of its channels.

    A message belongs to the channels that are recorded when it is written. Where none is, it is *unassigned*, until
    ``assign`` gives it to those that are recorded first. Discarded is what an operator has given up for good.
    """

    async def append(self, *messages: Message) -> None:
        """Store messages of one booking behind all others of it, for every recorded channel; each ``sequence`` is
        given here."""
        ...

    async def assign(self, limit: int) -> bool:
        """Give up to ``limit`` unassigned messages, oldest first, to all recorded channels; False while more are left
        to give. Where no channel is recorded they stay as they are.

        Until all are given nothing may be claimed: a booking's earlier messages could be among them.
        """
        ...

    async def claim(
        self, channel: str, now: datetime, until: datetime, limit: int, *, past_dead: bool
    ) -> Sequence[Delivery]:
        """Messages of at most ``limit`` bookings that are due on ``channel``, each booking's in order, for one who
        delivers them.

        At most half of them were tried before, so that no number of messages that nobody takes keeps a new one from its
        turn. Until then nobody else is given messages of these bookings for this channel. Behind a dead letter a
        booking's messages are due with ``past_dead`` only.
        """
        ...

    async def delivered(self, channel: str, message_ids: Collection[str], at: datetime) -> None:
        """Record that ``channel`` has these messages."""
        ...

    async def put_off(self, delivery: Delivery) -> None:
        """Store what became of a try that failed: tries, the next one, the error, given up or not."""
        ...

    async def undelivered(self, *, dead: bool, limit: int, channel: str | None = None) -> Sequence[Delivery]:
        """Messages that wait, oldest first, each once for every channel that does not have it yet; with ``dead`` only
        those that were given up, with ``channel`` only those of that channel."""
        ...

    async def backlogs(self) -> Sequence[Backlog]:
        """What each recorded channel still has to get, by name; before them the unassigned messages, if there are any.

        Channels that were removed, and messages discarded before there was a channel (None), are listed as far as
        something was discarded there.
        """
        ...

    async def revive(self, message_ids: Collection[str], channel: str | None = None) -> int:
        """Have dead letters delivered after all, as if never tried, on ``channel`` or on all; returns how many
        messages that were."""
        ...

    async def discard(self, message_ids: Collection[str], at: datetime, by: str, channel: str | None = None) -> int:
        """Discard dead letters on ``channel`` or on all; returns how many messages that were."""
        ...

    async def discard_waiting(self, channel: str | None, at: datetime, by: str) -> int:
        """Discard everything that waits on ``channel`` (None: everything that is unassigned); returns how many."""
        ...

    async def number(self, channel: str, after: int, limit: int, at: datetime) -> Sequence[Message]:
        """The next ``limit`` messages of ``channel`` behind the one with the number ``after`` (0: from the first), each
        with its number as ``cursor``; those up to ``after`` count as delivered ``at`` this moment.

        A number is given when a message is first read, to committed messages only and by one reader at a time. So no
        message ever gets a number below one that was handed out before. Raises ``InvalidInput`` for a number that was
        never given.
        """
        ...


class Channels(Protocol):
    """The recorded channels."""

    async def lock(self) -> None:
        """Wait until no transaction is appending messages, and keep all others from it, and from adding and removing
        channels, until this one ends."""
        ...

    async def all(self) -> Sequence[Channel]:
        """The recorded channels, by name."""
        ...

    async def add(self, name: str, at: datetime) -> bool:
        """Record a channel, under the lock; False where it is recorded already."""
        ...

    async def remove(self, name: str) -> bool:
        """Forget a channel, under the lock; False where it is not recorded."""
        ...

    async def alive(self, names: Collection[str], at: datetime, *, in_worker: bool) -> None:
        """Record that a process which delivers on these channels is alive, and whether it is a background worker."""
        ...


class UnitOfWork(Protocol):
    """One transaction. All of it is committed, or nothing is."""

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
    """What a piece of work is about: a booking, or an event and the intent that it names. Work that is about none of
    these only leaves records."""

    booking_id: str | None = None
    event_id: str | None = None
    intent_id: str | None = None


class Storage(Protocol):
    """Runs work in transactions."""

    async def transact(self, work: Work[T], about: Subject | None = None) -> T:
        """Run ``work`` in one transaction and commit it; anything raised rolls it back and comes through.

        A conflict with another transaction is repeated from the start, so ``work`` must not touch the world
        outside; when that does not help either, ``StorageConflict`` is raised. ``CommitLost`` is raised, and nothing
        repeated, when the connection breaks while the transaction is committed.

        Work that says what it is ``about`` may share its transaction with other such work that arrives at the same
        time; what it does is the same.
        """
        ...

    async def read(self, work: Work[T]) -> T:
        """Run ``work``, which only reads, on one consistent view, without keeping writers out."""
        ...
