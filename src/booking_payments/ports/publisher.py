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
    ``payment.disputed``, ``booking.confirmed``, ``booking.canceled``, ``booking.expired``.
    """

    id: str
    type: str
    booking_id: str
    payment_id: str | None
    at: datetime
    data: Mapping[str, object] = field(factory=dict)
    sequence: int = 0


class Publisher(Protocol):
    """Carries messages to the booking app."""

    async def publish(self, message: Message) -> None:
        """Hand one message over; whatever is raised means that it has to be delivered again."""
        ...
