"""The repository of bookings."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.ports.payments import search_text
from booking_payments.ports.search import looked_for


@frozen(kw_only=True)
class BookingFilter:
    """Conditions of a page of bookings; None leaves a condition out.

    ``text`` is a part, in any case, of the reference, customer id, customer name, e-mail address or title; one or two
    characters are the beginning of a word of it (``ports.search``).
    """

    reference: str | None = None
    customer_id: str | None = None
    event_id: str | None = None
    status: BookingStatus | None = None
    text: str | None = None

    def takes(self, booking: Booking) -> bool:
        """True when ``booking`` satisfies all conditions."""
        wanted = (
            (self.reference, booking.reference),
            (self.customer_id, booking.customer_id),
            (self.event_id, booking.event_id),
            (self.status, booking.status),
        )
        has_part = self.text is None or looked_for(self.text) in search_text(booking)
        return has_part and all(asked is None or asked == its for asked, its in wanted)


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
        """Store the changed booking, which this transaction has locked.

        Its id, reference, customer, currency, refund policy, event and time of creation never change.
        """
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

    async def many(self, ids: Collection[str]) -> Mapping[str, Booking]:
        """Return the bookings with these ids, as they are stored; unknown ids are left out."""
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
