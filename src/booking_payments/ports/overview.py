"""Overview: what an operator's pages read of many payments at once. Only reading, and never more than asked for.

Every query is bounded: ``limit`` is how many rows are looked at, so that a page costs the same in a house of ten
payments and of ten million.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol

from attrs import frozen

from booking_payments.domain import events as ev
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Payment
from booking_payments.ports.storage import InboxEntry, InboxStatus

RARE_FACTS = (
    ev.AttemptRefused,
    ev.RefundRequested,
    ev.RefundMoved,
    ev.DisputeOpened,
    ev.DriftFound,
)
"""The kinds of facts that can be looked up across payments. Storages keep an index of these alone."""


@frozen(kw_only=True)
class Tally:
    """Payments of one day (UTC, of creation), status and currency: how many, and what they brought."""

    day: date
    status: PaymentStatus
    payments: int
    captured: Money
    refunded: Money


@frozen(kw_only=True)
class Told:
    """A fact with the payment that it happened to."""

    payment_id: str
    recorded: ev.Recorded


@frozen(kw_only=True)
class Delivery:
    """A webhook without its body: when it was made by the gateway, when it came, and what became of it."""

    type: str
    status: InboxStatus
    received_at: datetime
    created_at: datetime | None
    tries: int


@frozen(kw_only=True)
class InboxPage:
    """Webhooks, newest first, and the cursor of the next page (None: this was the last)."""

    items: tuple[InboxEntry, ...]
    next_cursor: str | None


@frozen(kw_only=True)
class DriftReport:
    """What one run of reconciliation said, as JSON; ``actor`` asked for it."""

    at: datetime
    actor: str
    content: str


class Overview(Protocol):
    """The reading side of the books, for pages."""

    async def tallies(self, since: datetime, limit: int) -> Sequence[Tally]:
        """The newest ``limit`` payments created at or after ``since``, counted; in order of day and status."""
        ...

    async def facts(self, kind: type[ev.Fact], since: datetime, limit: int) -> Sequence[Told]:
        """Facts of one of the ``RARE_FACTS`` that were recorded at or after ``since``, newest first.

        Raises ``ValueError`` for another kind: there is no index of it.
        """
        ...

    async def deliveries(self, since: datetime, limit: int) -> Sequence[Delivery]:
        """The newest ``limit`` webhooks, as far as they came at or after ``since``; newest first."""
        ...

    async def webhooks(self, *, unfinished: bool, cursor: str | None, limit: int) -> InboxPage:
        """One page of webhooks, with ``unfinished`` only those that are received or failed.

        Raises ``InvalidInput`` for a cursor that this storage did not make.
        """
        ...

    async def watched(self, limit: int) -> Sequence[Payment]:
        """The payments that are looked at next by background work, most urgent first."""
        ...

    async def held(self, limit: int) -> Sequence[Payment]:
        """The payments whose money is held, not captured; those that were begun first come first."""
        ...

    async def keep_report(self, report: DriftReport) -> None:
        """Store what a reconciliation said."""
        ...

    async def reports(self, limit: int) -> Sequence[DriftReport]:
        """What the last reconciliations said, newest first."""
        ...
