"""Who asks, and why: what the journal records, and whose bookings a caller may see."""

from datetime import datetime
from typing import Final

from attrs import frozen

from booking_payments.domain.booking import Booking
from booking_payments.domain.errors import NotFound

LONGEST_ID: Final = 128
"""Characters of a correlation id."""


@frozen(kw_only=True)
class KeyMark:
    """Identifies the mark of a request with an idempotency key: its caller, its command and the key."""

    caller: str
    route: str
    key: str


@frozen(kw_only=True)
class Caller:
    """``actor`` and ``cause`` go into the journal. With ``customer_id`` set only that customer's bookings exist.

    ``resumed``: an earlier run of the same request, under the same cause, may have got somewhere. ``until``: when this
    run's right to the request ends, after which another one may take it over; ``mark`` names where that is stored,
    since another process may shorten it. ``request_id`` is of the HTTP request and ``key`` the idempotency
    key, for the audit trail. ``by_itself``: nobody gave a command, so that whatever is recorded leaves its own record
    in the audit trail.
    """

    actor: str
    cause: str
    customer_id: str | None = None
    operator: bool = False
    resumed: bool = False
    until: datetime | None = None
    mark: KeyMark | None = None
    request_id: str | None = None
    key: str | None = None
    by_itself: bool = False

    @classmethod
    def customer(cls, customer_id: str, cause: str) -> "Caller":
        """Somebody who pays; sees own bookings only."""
        return cls(actor=f"customer:{customer_id}", cause=cause, customer_id=customer_id)

    @classmethod
    def operator_of(cls, name: str, cause: str) -> "Caller":
        """A person of the merchant's staff, who may see every booking."""
        return cls(actor=f"operator:{name}", cause=cause, operator=True)

    @classmethod
    def service(cls, name: str, cause: str) -> "Caller":
        """The booking app itself."""
        return cls(actor=f"service:{name}", cause=cause)

    @classmethod
    def gateway(cls, cause: str) -> "Caller":
        """The gateway, by a webhook."""
        return cls(actor="gateway", cause=cause, by_itself=True)

    @classmethod
    def system(cls, cause: str) -> "Caller":
        """Our own background work."""
        return cls(actor="system", cause=cause, by_itself=True)

    @property
    def role(self) -> str:
        """As what somebody asks: ``customer``, ``operator``, ``service``, ``gateway`` or ``system``."""
        return self.actor.partition(":")[0]

    @property
    def subject(self) -> str:
        """Who asks, whatever the role: the customer's or operator's id, or the name of the service."""
        return self.actor.partition(":")[2] or self.actor

    @property
    def correlation_id(self) -> str:
        """What names the request, here and at the gateway: its id, or whatever made it happen."""
        return (self.request_id or self.cause)[:LONGEST_ID]

    def require(self, booking: Booking | None) -> Booking:
        """``booking``, if there is one that this caller may see; ``NotFound`` otherwise, for both in the same way."""
        if booking is None or self.customer_id not in (None, booking.customer_id):
            raise NotFound()
        return booking
