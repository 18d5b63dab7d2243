"""A unit of work: one transaction over all repositories, and what work with it is."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from attrs import frozen

from booking_payments.ports.audit import AuditTrail
from booking_payments.ports.bookings import Bookings
from booking_payments.ports.console_sessions import ConsoleSessions
from booking_payments.ports.event_jobs import EventJobs
from booking_payments.ports.idempotency import Answers
from booking_payments.ports.inbox import Inbox
from booking_payments.ports.jobs import Jobs
from booking_payments.ports.outbox import Channels, Outbox
from booking_payments.ports.overview import Overview
from booking_payments.ports.payments import PaymentReader, Payments

T = TypeVar("T")


class UnitOfWork(Protocol):
    """One transaction. It is committed completely, or not at all."""

    @property
    def bookings(self) -> Bookings: ...

    @property
    def payments(self) -> Payments: ...

    @property
    def payment_reader(self) -> PaymentReader: ...

    @property
    def inbox(self) -> Inbox: ...

    @property
    def answers(self) -> Answers: ...

    @property
    def outbox(self) -> Outbox: ...

    @property
    def channels(self) -> Channels: ...

    @property
    def events(self) -> EventJobs: ...

    @property
    def audit(self) -> AuditTrail: ...

    @property
    def overview(self) -> "Overview": ...

    @property
    def console_sessions(self) -> ConsoleSessions: ...

    @property
    def jobs(self) -> Jobs: ...


TransactionBody = Callable[[UnitOfWork], Awaitable[T]]


@frozen(kw_only=True)
class LockScope:
    """The rows that a unit of work will change: a booking, or an event and the intent that it names.

    Work without any of these only appends records.
    """

    booking_id: str | None = None
    event_id: str | None = None
    intent_id: str | None = None
