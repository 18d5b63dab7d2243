"""Overview: what an operator's pages read of many payments at once. Only reading, and never more than asked for.

Every query that returns rows is bounded: ``limit`` is how many are looked at, so that a page costs the same with ten
payments and with ten million. ``tallies`` and ``moved`` add up whole periods, since a sum of the newest part would be
wrong: they read nothing but an index, once through the entries of the periods asked for.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from booking_payments.domain import events as ev
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
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
class Period:
    """A stretch of time, such as a day somewhere: from ``begins`` to before ``ends``."""

    begins: datetime
    ends: datetime


@frozen(kw_only=True)
class Tally:
    """How many payments began in a period and have this status now."""

    period: Period
    status: PaymentStatus
    payments: int


@frozen(kw_only=True)
class Moved:
    """The money of one currency that moved in a period, whenever its payments began.

    ``charges`` is how many payments brought the ``gross`` amount. ``refunded`` is less what failed afterwards and
    ``withdrawn`` (in disputes) less what was given back, so that both may be negative. All are sums, beyond the bound
    of a single amount.
    """

    period: Period
    currency: Currency
    charges: int
    gross: Money
    refunded: Money
    withdrawn: Money


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

    async def tallies(self, periods: Sequence[Period]) -> Sequence[Tally]:
        """The payments that began in each of ``periods``, counted; in order of period and status, without zeros."""
        ...

    async def moved(self, periods: Sequence[Period]) -> Sequence[Moved]:
        """The money that moved in each of ``periods``, by the time of its postings; in order of period and currency.

        Left out is a currency of which nothing moved in a period.
        """
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
