"""Messages to the booking app: what it wants to know of its payments."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from attrs import field, frozen


@frozen(kw_only=True)
class Message:
    """One message, written in the transaction of the fact it tells of, delivered at least once.

    ``id`` is what a consumer deduplicates by; ``sequence`` orders the messages of one booking. ``type`` is one of
    ``payment.succeeded``, ``payment.failed``, ``payment.canceled``, ``payment.refunded``, ``payment.refund_failed``,
    ``refund.deferred``, ``dispute.opened``, ``dispute.changed``, ``dispute.closed``, ``booking.confirmed``,
    ``booking.canceled``, ``booking.expired``.
    """

    id: str
    type: str
    booking_id: str
    payment_id: str | None
    at: datetime
    data: Mapping[str, object] = field(factory=dict)
    sequence: int = 0


@frozen(kw_only=True)
class Delivery:
    """A message on its way: how often it was tried, and when the next try may begin (None: at once).

    Whoever delivers it moves ``next_try_at`` on first, so that nobody else begins meanwhile. ``dead_at`` is when it
    was given up: a dead letter, which waits for a person. ``error`` says why the last try failed.
    """

    message: Message
    tries: int = 0
    next_try_at: datetime | None = None
    dead_at: datetime | None = None
    error: str | None = None


class NotTaken(Exception):
    """Whoever was to take a message did not; the text says why, without addresses and secrets."""


class Publisher(Protocol):
    """Carries messages to the booking app."""

    async def publish(self, message: Message) -> None:
        """Hand one message over; whatever is raised means that it has to be delivered again.

        Raises ``NotTaken`` with a reason that people may read.
        """
        ...
