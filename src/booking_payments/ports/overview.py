"""Overviews of many payments, for the operator's pages. Read-only, and with limited cost.

Every query that returns rows has a ``limit`` on the rows it reads, so that a page costs the same with ten payments and
with ten million. ``tallies`` and ``moved`` sum over whole periods, since a sum of the newest part would be wrong: they
read only an index, once through the entries of the requested periods.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from booking_payments.domain import events as ev
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Payment
from booking_payments.ports.inbox import InboxEntry, InboxStatus

RARE_EVENTS = (
    ev.AttemptRefused,
    ev.RefundRequested,
    ev.RefundMoved,
    ev.DisputeOpened,
    ev.DriftFound,
)
"""Types of journal events that can be queried across payments. Storages index only these."""


@frozen(kw_only=True)
class Period:
    """A time span, for example a day in some time zone: from ``begins`` to before ``ends``."""

    begins: datetime
    ends: datetime


@frozen(kw_only=True)
class Tally:
    """Number of payments that started in a period and have this status now."""

    period: Period
    status: PaymentStatus
    payments: int


@frozen(kw_only=True)
class Moved:
    """Amounts of one currency that moved in a period, whenever their payments started.

    All amounts are sums, without the digit limit of a single amount.

    Attributes:
        charges: number of payments in ``gross``.
        gross: the collected amount.
        refunded: refunds, less refunds that failed later; may be negative.
        withdrawn: withdrawals by disputes, less returned amounts; may be negative.
    """

    period: Period
    currency: Currency
    charges: int
    gross: Money
    refunded: Money
    withdrawn: Money


@frozen(kw_only=True)
class JournalEntry:
    """A journal event with the id of its payment."""

    payment_id: str
    recorded: ev.Recorded


@frozen(kw_only=True)
class ReceivedWebhook:
    """A webhook without its body.

    Attributes:
        gateway: the name of the gateway that sent it.
        received_at: when it was stored.
        created_at: when the gateway created it; None if it does not say.
        tries: how often it was processed.
    """

    type: str
    gateway: str
    status: InboxStatus
    received_at: datetime
    created_at: datetime | None
    tries: int


@frozen(kw_only=True)
class InboxPage:
    """Webhooks, newest first, and the cursor of the next page; None on the last page."""

    items: tuple[InboxEntry, ...]
    next_cursor: str | None


@frozen(kw_only=True)
class DriftReport:
    """The result of one reconciliation, as JSON; ``actor`` requested it."""

    at: datetime
    actor: str
    content: str


class Overview(Protocol):
    """Read-only queries for pages."""

    async def tallies(self, periods: Sequence[Period]) -> Sequence[Tally]:
        """Return the number of payments that started in each of ``periods``, by period and status, without zeros."""
        ...

    async def moved(self, periods: Sequence[Period]) -> Sequence[Moved]:
        """Return the amounts that moved in each of ``periods``, by period and currency.

        The time of the posting decides. A currency without postings in a period is left out.
        """
        ...

    async def events(self, kind: type[ev.Event], since: datetime, limit: int) -> Sequence[JournalEntry]:
        """Return events of one of the ``RARE_EVENTS`` that were recorded at or after ``since``, newest first.

        Raises ``ValueError`` for another type, which has no index.
        """
        ...

    async def received_webhooks(self, since: datetime, limit: int) -> Sequence[ReceivedWebhook]:
        """Return the newest ``limit`` webhooks, without those received before ``since``; newest first."""
        ...

    async def webhooks(self, *, unfinished: bool, cursor: str | None, limit: int) -> InboxPage:
        """Return one page of webhooks; with ``unfinished`` only those that are received or failed.

        Raises ``InvalidInput`` for a cursor that this storage did not create.
        """
        ...

    async def unfinished_webhooks(self) -> Mapping[str, int]:
        """Return how many webhooks of all time are received or failed, by the name of their gateway, without zeros."""
        ...

    async def watched(self, limit: int) -> Sequence[Payment]:
        """Return the payments that background work checks next, most urgent first."""
        ...

    async def held(self, limit: int) -> Sequence[Payment]:
        """Return the payments with held, uncaptured money, oldest first."""
        ...

    async def keep_report(self, report: DriftReport) -> None:
        """Store the result of a reconciliation."""
        ...

    async def reports(self, limit: int) -> Sequence[DriftReport]:
        """Return the results of the latest reconciliations, newest first."""
        ...
