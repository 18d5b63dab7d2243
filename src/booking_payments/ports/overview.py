"""Overviews of many payments, for the operator's pages. Read-only, and with limited cost.

Every query that returns rows, or adds up what is in their JSON, has a ``limit`` on the rows it reads, so that a page
costs the same with ten payments and with ten million. ``tallies`` and ``moved`` sum over whole periods, since a sum of
the newest part would be wrong: they read only an index, once through the entries of the requested periods. Sums are
made by the storage: thousands of rows would take this process longer to read than a database to add up.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Payment
from booking_payments.ports.inbox import InboxEntry


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
class Declines:
    """Declined attempts.

    Attributes:
        reasons: number of declines by their reason, the decline code or else the error code of the gateway.
        customers: number of customers with many of them.
    """

    reasons: Mapping[str, int]
    customers: int


@frozen(kw_only=True)
class RefundTimes:
    """How long refunds took.

    Attributes:
        seconds: from the first request of a refund to its success, sorted; one entry for each success.
        is_cut: there may be older ones, which were not read.
    """

    seconds: tuple[float, ...]
    is_cut: bool


@frozen(kw_only=True)
class WebhookCount:
    """Number of webhooks; ``failed`` of them were not processed at the first try."""

    received: int = 0
    failed: int = 0

    def __add__(self, other: "WebhookCount") -> "WebhookCount":
        return WebhookCount(received=self.received + other.received, failed=self.failed + other.failed)


@frozen(kw_only=True)
class WebhooksOfPeriod:
    """Webhooks received in a period.

    Attributes:
        count: their number.
        median_delay_s: median of the seconds from the event to its arrival, never negative; None if no gateway said
            when it created an event.
        slow_delay_s: 95th percentile of the same.
    """

    period: Period
    count: WebhookCount
    median_delay_s: float | None
    slow_delay_s: float | None


@frozen(kw_only=True)
class ReceivedWebhooks:
    """Webhooks by period, without those that received none, and by the name of their gateway."""

    periods: Sequence[WebhooksOfPeriod]
    gateways: Mapping[str, WebhookCount]


SLOW = 0.95
"""The share of webhooks that are not slower than ``slow_delay_s``."""


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least ``share`` of ``ordered`` do not exceed; None when it is empty."""
    if not ordered:
        return None
    place = max(-(-int(share * 1000) * len(ordered) // 1000) - 1, 0)
    return ordered[place]


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

    async def declines(self, since: datetime, limit: int, many: int) -> Declines:
        """Count the newest ``limit`` declined attempts, without those before ``since``.

        Of the customers those with ``many`` declines or more are counted.
        """
        ...

    async def refund_times(self, since: datetime, requested_since: datetime, limit: int) -> RefundTimes:
        """Return how long refunds took that have succeeded at or after ``since``.

        Requests before ``requested_since`` are left out. Of the changes of refunds, and of their requests, only the
        newest ``limit`` are read.
        """
        ...

    async def disputed(self, since: datetime, limit: int) -> Sequence[str]:
        """Return the ids of the payments of the newest ``limit`` disputes, without those opened before ``since``.

        Newest first; a payment with several disputes is in it several times.
        """
        ...

    async def received_webhooks(self, since: datetime, periods: Sequence[Period], limit: int) -> ReceivedWebhooks:
        """Count the newest ``limit`` webhooks, without those received before ``since``.

        ``periods`` are in their order and do not overlap. A webhook outside of them counts for its gateway only.
        """
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
