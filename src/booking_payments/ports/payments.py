"""The repositories of payments: one by one with their journal, and in bulk for reading."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Protocol

from attrs import field, frozen

from booking_payments.domain.booking import Booking
from booking_payments.domain.errors import InvalidInput
from booking_payments.domain.events import Recorded
from booking_payments.domain.ledger import Posting
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency
from booking_payments.domain.payment import Payment
from booking_payments.ports.search import looked_for, searchable


@frozen(kw_only=True)
class ClientAction:
    """Data with which the front end continues a payment.

    It is secret: shown only to the booking's owner, and never stored in the journal or logged.

    Attributes:
        client_secret: the gateway's secret for its front-end library; None without one.
        next_action: the customer's next step; None without one.
    """

    client_secret: str | None = field(repr=False)
    next_action: dict[str, object] | None = field(default=None, repr=False)


@frozen(kw_only=True)
class PollState:
    """When a payment is checked next, and which process works on it. It is not part of the payment's state.

    Attributes:
        next_check_at: time of the next check; None: no check is due.
        checks: number of checks since the last change.
        lease_until: until then the operation in flight belongs to ``holder``; None without a lease.
        holder: id of the process with the lease.
    """

    next_check_at: datetime | None = None
    checks: int = 0
    lease_until: datetime | None = None
    holder: str | None = None

    def is_held(self, now: datetime) -> bool:
        """True while a lease is valid at ``now``."""
        return self.lease_until is not None and self.lease_until > now

    def is_due(self, now: datetime) -> bool:
        """True when a check is due at ``now`` and no lease is valid."""
        return self.next_check_at is not None and self.next_check_at <= now and not self.is_held(now)


class Refunded(Enum):
    """How much of what a payment captured has been refunded; refunds that are still pending do not count."""

    NONE = "none"
    PARTLY = "partly"
    FULLY = "fully"
    ANY = "any"
    """Partly or fully."""

    def matches(self, payment: Payment) -> bool:
        """Whether ``payment`` has been refunded that much."""
        refunded, captured = payment.refunded.minor, payment.captured.minor
        return {
            Refunded.NONE: refunded == 0,
            Refunded.PARTLY: 0 < refunded < captured,
            Refunded.FULLY: 0 < refunded >= captured,
            Refunded.ANY: refunded > 0,
        }[self]


@frozen(kw_only=True)
class PaymentFilter:
    """Conditions of a page of payments; None leaves a condition out.

    Attributes:
        reference: the reference of the payment's booking, letter by letter.
        created_from, created_to: when the payment was begun; ``created_to`` is exclusive.
        updated_from: the time of its newest journal event, or later.
        event_id: the event of its booking.
        text: a part, in any case, of its booking's reference, customer id, customer name, e-mail address or title; one
            or two characters are the beginning of a word of it (``ports.search``).
        email: the same of its booking's e-mail address.
        amount: the charged amount, in major units of any currency.
        currency: its currency.
        last4: the last four characters of the card or account that paid.
        refunded: how much has been refunded.
        disputed: whether it has a dispute or an inquiry, in any status.
    """

    status: PaymentStatus | None = None
    customer_id: str | None = None
    reference: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    updated_from: datetime | None = None
    event_id: str | None = None
    text: str | None = None
    email: str | None = None
    amount: Decimal | None = None
    currency: Currency | None = None
    last4: str | None = None
    refunded: Refunded | None = None
    disputed: bool | None = None

    def require_period(self) -> None:
        """Raise ``InvalidInput`` when the period ends before it begins: a list that must be empty is a mistake."""
        if self.created_from is not None and self.created_to is not None and self.created_from >= self.created_to:
            raise InvalidInput("the period ends before it begins")

    def matches(self, payment: Payment, booking: Booking) -> bool:
        """Whether ``payment``, of ``booking``, fulfils all conditions."""
        return (
            self.status in (None, payment.status)
            and self.customer_id in (None, payment.customer_id)
            and self.reference in (None, payment.booking_reference)
            and (self.created_from is None or payment.created_at >= self.created_from)
            and (self.created_to is None or payment.created_at < self.created_to)
            and (self.updated_from is None or payment.updated_at >= self.updated_from)
            and self.event_id in (None, booking.event_id)
            and (self.text is None or looked_for(self.text) in search_text(booking))
            and (self.email is None or looked_for(self.email) in search_email(booking))
            and self.amount in (None, payment.amount.amount)
            and self.currency in (None, payment.amount.currency)
            and self.last4 in (None, payment.method.last4 if payment.method else None)
            and (self.refunded is None or self.refunded.matches(payment))
            and self.disputed in (None, bool(payment.disputes))
        )


def search_text(booking: Booking) -> str:
    """What ``PaymentFilter.text`` is looked for in, in the form of ``ports.search``."""
    details = booking.details
    return searchable(
        (booking.reference, booking.customer_id, details.customer_name, details.customer_email, details.title)
    )


def search_email(booking: Booking) -> str:
    """What ``PaymentFilter.email`` is looked for in; empty for a booking without an address. It is a line of
    ``search_text``."""
    return searchable((booking.details.customer_email,))


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
        """Return the payment with this intent, charge, refund or dispute of the gateway, or this refund id of ours.

        None if the id is unknown.
        """
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

    async def client_action(self, payment_id: str) -> ClientAction | None:
        """Return the front-end data of the payment; None without any."""
        ...

    async def save_client_action(self, payment_id: str, client_action: ClientAction) -> None:
        """Store the front-end data of the payment."""
        ...

    async def poll_state(self, payment_id: str) -> PollState:
        """Return the polling state of the payment; an empty one if none was stored."""
        ...

    async def save_poll_state(self, payment_id: str, poll_state: PollState) -> None:
        """Store the polling state of the payment."""
        ...

    async def due(self, now: datetime, limit: int, gateway: str | None = None) -> Sequence[str]:
        """Return the ids of payments that are due for a check at ``now``, most overdue first.

        Payments with a valid lease are left out. With ``gateway`` only payments of that gateway are returned.
        """
        ...


@frozen(kw_only=True)
class PaymentHistory:
    """A payment with its journal and postings.

    ``stale`` names the query columns that disagree with the payment's state.
    """

    payment: Payment
    journal: tuple[Recorded, ...]
    postings: tuple[Posting, ...]
    stale: tuple[str, ...] = ()


class PaymentReader(Protocol):
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

    async def of_bookings(self, booking_ids: Collection[str]) -> Mapping[str, Sequence[Payment]]:
        """Return the payments of these bookings by booking id, oldest first; bookings without any are left out."""
        ...

    async def histories(self, ids: Collection[str]) -> Mapping[str, PaymentHistory]:
        """Return the payments with these ids, with their journals and postings.

        Raises decoding errors of any type for content that this service cannot have stored.
        """
        ...
