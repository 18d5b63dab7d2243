"""The caller of a command: the actor and cause in the journal, and the bookings that are visible to it."""

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
    """The caller of a command.

    Attributes:
        actor: who calls, for the journal and the audit trail, such as ``customer:42``.
        cause: the request or reason, for the same.
        customer_id: only this customer's bookings are visible; None: all are.
        operator: whether the caller is an operator.
        resumed: whether an earlier run of the same request, with the same cause, may have begun an operation.
        until: when this run's claim on the request ends, after which another run may take it over.
        mark: where that claim is stored; it is read again before an operation begins, since another process may shorten
            it.
        request_id: the id of the HTTP request, for the audit trail.
        key: the idempotency key, for the audit trail.
        by_itself: background work or a webhook, and no command: each change then writes an audit record.
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
        """Return a paying customer, who sees own bookings only."""
        return cls(actor=f"customer:{customer_id}", cause=cause, customer_id=customer_id)

    @classmethod
    def operator_of(cls, name: str, cause: str) -> "Caller":
        """Return an operator, who sees all bookings."""
        return cls(actor=f"operator:{name}", cause=cause, operator=True)

    @classmethod
    def service(cls, name: str, cause: str) -> "Caller":
        """Return the booking application."""
        return cls(actor=f"service:{name}", cause=cause)

    @classmethod
    def gateway(cls, cause: str) -> "Caller":
        """Return the gateway, acting by a webhook."""
        return cls(actor="gateway", cause=cause, by_itself=True)

    @classmethod
    def system(cls, cause: str) -> "Caller":
        """Return the background work of this service."""
        return cls(actor="system", cause=cause, by_itself=True)

    @property
    def role(self) -> str:
        """The role of the caller: ``customer``, ``operator``, ``service``, ``gateway`` or ``system``."""
        return self.actor.partition(":")[0]

    @property
    def subject(self) -> str:
        """The id of the customer or operator, or the name of the service."""
        return self.actor.partition(":")[2] or self.actor

    @property
    def correlation_id(self) -> str:
        """The id of the request, here and at the gateway: the id of the HTTP request, or else the cause."""
        return (self.request_id or self.cause)[:LONGEST_ID]

    def require(self, booking: Booking | None) -> Booking:
        """Return ``booking`` if this caller may see it. Raises ``NotFound`` otherwise, also for an unknown one."""
        if booking is None or self.customer_id not in (None, booking.customer_id):
            raise NotFound()
        return booking
