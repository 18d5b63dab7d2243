"""Figures for the operator: rates, volume, refund times, webhook delays, and open items.

All are sums over rows that ``ports.overview`` reads, at most ``MOST_...`` of each kind.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import Enum
from typing import Final

from attrs import frozen

from booking_payments.application.channels import ChannelStates, states_in
from booking_payments.application.dependencies import Dependencies
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money, total
from booking_payments.domain.payment import Dispute, Payment
from booking_payments.ports.overview import Moved, Period, Tally, WebhookCount, WebhooksOfPeriod
from booking_payments.ports.unit_of_work import UnitOfWork

MOST_EVENTS: Final = 5_000
MOST_WEBHOOKS: Final = 5_000
MOST_WATCHED: Final = 500
MOST_DISPUTES: Final = 500
MOST_DEAD: Final = 1_000
MOST_HELD: Final = 1_000
"""How many rows a figure is computed from at most: the newest."""


class Cut(Enum):
    """A figure that is computed from the newest rows only when there are more than are read."""

    DECLINES = "declines"
    REFUND_TIMES = "refund_times"
    WEBHOOKS = "webhooks"
    UNKNOWN = "unknown"
    DISPUTES = "disputes"
    DEAD_LETTERS = "dead_letters"
    HOLDS = "holds"


MANY_DECLINES: Final = 5
"""From this number of declines on, a customer is counted as suspicious; one payment allows three attempts."""

REFUNDS_TAKE: Final = timedelta(days=30)
"""Refunds that took longer are left out: they were requested this long before the period at most."""

DISPUTES_LIVE: Final = timedelta(days=400)
"""Disputes that were opened longer ago are left out: a dispute is settled within months."""


@frozen(kw_only=True)
class DayOfPayments:
    """Payments that were started on a day."""

    day: date
    succeeded: int
    lost: int
    open: int


@frozen(kw_only=True)
class DayOfWebhooks:
    """Webhooks received on a day.

    Attributes:
        day: the day.
        received: how many were received.
        failed: how many failed at least once.
        median_delay_s: median of the seconds from the event to its arrival; None without webhooks.
        slow_delay_s: 95th percentile of the same.
    """

    day: date
    received: int
    failed: int
    median_delay_s: float | None
    slow_delay_s: float | None


@frozen(kw_only=True)
class OpenAtGateway:
    """What is open or was received at one gateway.

    Attributes:
        unknown: payments whose gateway call has an unknown outcome.
        disputes: open disputes.
        webhooks: webhooks received in the period.
        failed_webhooks: how many of these failed at least once.
        unfinished_webhooks: webhooks of all time that are not processed yet.
    """

    unknown: int = 0
    disputes: int = 0
    webhooks: int = 0
    failed_webhooks: int = 0
    unfinished_webhooks: int = 0


@frozen(kw_only=True)
class MoneyOfDay:
    """Money that moved on a day.

    ``gross`` was paid, ``refunded`` went back to customers, ``withdrawn`` was taken back in disputes. The last two may
    be negative: when a refund fails after it succeeded, and when a dispute is won.
    """

    day: date
    gross: Money
    refunded: Money
    withdrawn: Money

    @property
    def net(self) -> Money:
        """The gross amount less refunds and disputes."""
        return self.gross - self.refunded - self.withdrawn


@frozen(kw_only=True)
class MoneyOfCurrency:
    """Money that moved in one currency: one entry for every day, oldest first, and the number of charges."""

    currency: Currency
    charges: int
    days: tuple[MoneyOfDay, ...]

    @property
    def gross(self) -> Money:
        return total((day.gross for day in self.days), self.currency)

    @property
    def refunded(self) -> Money:
        return total((day.refunded for day in self.days), self.currency)

    @property
    def withdrawn(self) -> Money:
        return total((day.withdrawn for day in self.days), self.currency)

    @property
    def net(self) -> Money:
        return total((day.net for day in self.days), self.currency)


@frozen(kw_only=True)
class OpenDispute:
    """A dispute with the payment that it is about."""

    payment: Payment
    dispute: Dispute


@frozen(kw_only=True)
class Figures:
    """The figures of a period.

    Attributes:
        since: begin of the period.
        until: its end.
        zone: the time zone of the days.
        days: payments by the day on which they were started.
        money: money by the day on which it moved, for each currency, the one with the most charges first.
        declines: reasons of declines with their counts, the most frequent first.
        refund_times_s: seconds from the request of a refund to its success, sorted.
        webhooks: webhooks by the day on which they arrived.
        unknown: payments whose gateway call has an unknown outcome.
        unfinished: webhooks of all time that are not processed yet, by the name of their gateway.
        disputes: open disputes, by the day that evidence is due.
        declined_often: customers with ``MANY_DECLINES`` declines or more, a sign of testing stolen cards.
        dead_letters: messages that are not tried any more.
        holds: payments with held money that has to be captured before a known time, the earliest first.
        channels: the message channels with their backlogs.
        received: webhooks of the period, by the name of their gateway.
        cut: which of these were computed from their newest ``MOST_...`` rows only, because there are more.
    """

    since: datetime
    until: datetime
    zone: tzinfo
    days: tuple[DayOfPayments, ...]
    money: tuple[MoneyOfCurrency, ...]
    declines: tuple[tuple[str, int], ...]
    refund_times_s: tuple[float, ...]
    webhooks: tuple[DayOfWebhooks, ...]
    unknown: tuple[Payment, ...]
    unfinished: Mapping[str, int]
    disputes: tuple[OpenDispute, ...]
    declined_often: int
    dead_letters: int
    holds: tuple[Payment, ...]
    channels: ChannelStates
    received: Mapping[str, WebhookCount]
    cut: frozenset[Cut]

    def at_gateway(self, name: str) -> OpenAtGateway:
        """Return what is open or was received at the gateway ``name``."""
        webhooks = self.received.get(name, WebhookCount())
        return OpenAtGateway(
            unknown=sum(each.gateway == name for each in self.unknown),
            disputes=sum(each.payment.gateway == name for each in self.disputes),
            webhooks=webhooks.received,
            failed_webhooks=webhooks.failed,
            unfinished_webhooks=self.unfinished.get(name, 0),
        )

    @property
    def unfinished_webhooks(self) -> int:
        """Webhooks of all time that are not processed yet."""
        return sum(self.unfinished.values())

    @property
    def succeeded(self) -> int:
        return sum(day.succeeded for day in self.days)

    @property
    def lost(self) -> int:
        return sum(day.lost for day in self.days)

    @property
    def declined(self) -> int:
        return sum(count for _, count in self.declines)

    @property
    def success_rate(self) -> float | None:
        """The share of ended payments that succeeded (0 to 1); None when no payment has ended."""
        ended = self.succeeded + self.lost
        return self.succeeded / ended if ended else None

    @property
    def decline_rate(self) -> float | None:
        """The share of attempts with a verdict that were declined (0 to 1); None when no attempt has one."""
        verdicts = self.succeeded + self.declined
        return self.declined / verdicts if verdicts else None


async def figures(deps: Dependencies, since: datetime) -> Figures:
    """Return the figures from ``since`` until now, read in one transaction; days are in the configured time zone."""
    until, zone = deps.clock.now(), deps.config.time_zone
    days = _days(since, until, zone)
    periods = list(days.values())

    async def work(uow: UnitOfWork) -> Figures:
        overview = uow.overview
        tallies = await overview.tallies(periods)
        moved = await overview.moved(periods)
        webhooks = await overview.received_webhooks(since, periods, MOST_WEBHOOKS)
        refund_times = await overview.refund_times(since, since - REFUNDS_TAKE, MOST_EVENTS)
        watched = await overview.watched(MOST_WATCHED)
        declines = await overview.declines(since, MOST_EVENTS, MANY_DECLINES)
        found, disputes_cut = await _disputes(uow, until)
        dead = await uow.outbox.undelivered(dead=True, limit=MOST_DEAD)
        held = await overview.held(MOST_HELD)
        cut = {
            Cut.DECLINES: sum(declines.reasons.values()) >= MOST_EVENTS,
            Cut.REFUND_TIMES: refund_times.is_cut,
            Cut.WEBHOOKS: sum(each.received for each in webhooks.gateways.values()) >= MOST_WEBHOOKS,
            Cut.UNKNOWN: len(watched) >= MOST_WATCHED,
            Cut.DISPUTES: disputes_cut,
            Cut.DEAD_LETTERS: len(dead) >= MOST_DEAD,
            Cut.HOLDS: len(held) >= MOST_HELD,
        }
        return Figures(
            since=since,
            until=until,
            zone=zone,
            days=tuple(_of_day(day, period, tallies) for day, period in days.items()),
            money=_money(days, moved),
            declines=tuple(sorted(declines.reasons.items(), key=lambda each: (-each[1], each[0]))),
            refund_times_s=refund_times.seconds,
            webhooks=_webhooks(days, webhooks.periods),
            unknown=tuple(each for each in watched if each.operation is not None and each.operation.unknown),
            unfinished=await overview.unfinished_webhooks(),
            disputes=tuple(each for each in found if each.dispute.status.is_open),
            declined_often=declines.customers,
            dead_letters=len(dead),
            channels=await states_in(uow, until),
            received=webhooks.gateways,
            holds=_by_deadline(held),
            cut=frozenset(name for name, is_cut in cut.items() if is_cut),
        )

    return await deps.storage.read(work)


def _by_deadline(held: Iterable[Payment]) -> tuple[Payment, ...]:
    known = [(each.captured_by, each.id, each) for each in held if each.captured_by is not None]
    return tuple(each for _, _, each in sorted(known, key=lambda one: one[:2]))


async def disputes(uow: UnitOfWork, now: datetime) -> Sequence[OpenDispute]:
    """Return the newest disputes: open ones by the day that evidence is due, then settled ones, newest first."""
    return (await _disputes(uow, now))[0]


async def _disputes(uow: UnitOfWork, now: datetime) -> tuple[Sequence[OpenDispute], bool]:
    """Return what ``disputes`` does, and whether older ones were left out."""
    opened = await uow.overview.disputed(now - DISPUTES_LIVE, MOST_DISPUTES)
    payments = await uow.payment_reader.payments(set(opened))
    found = [
        OpenDispute(payment=payment, dispute=dispute) for payment in payments.values() for dispute in payment.disputes
    ]
    newest = sorted(found, key=lambda each: (each.dispute.opened_at, each.dispute.id), reverse=True)
    latest_end = now + DISPUTES_LIVE
    still_open = [each for each in newest if each.dispute.status.is_open]
    by_deadline = sorted(still_open, key=lambda each: each.dispute.evidence_due_by or latest_end)
    ordered = [*by_deadline, *(each for each in newest if not each.dispute.status.is_open)]
    return ordered, len(opened) >= MOST_DISPUTES


# --- sums ------------------------------------------------------------------------------------------------------


def day_begins(day: date, zone: tzinfo) -> datetime:
    """Return the time (UTC) at which ``day`` begins in ``zone``.

    If the clocks are put forward at midnight, 00:00 does not exist on that day, and it begins with the change.
    """
    return datetime.combine(day, time(), zone).astimezone(UTC)


def days_back(now: datetime, days: int, zone: tzinfo) -> datetime:
    """Return the time (UTC) at which the last ``days`` days of ``zone`` began, including today."""
    return day_begins(now.astimezone(zone).date() - timedelta(days=days - 1), zone)


def _days(since: datetime, until: datetime, zone: tzinfo) -> Mapping[date, Period]:
    """Return the days of ``zone`` from ``since`` to ``until``, oldest first.

    The first begins with ``since``, the last is a whole day. A day on which the clocks change has 23 or 25 hours.
    """
    first, last = since.astimezone(zone).date(), until.astimezone(zone).date()
    found: dict[date, Period] = {}
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        begins = max(day_begins(day, zone), since)
        found[day] = Period(begins=begins, ends=day_begins(day + timedelta(days=1), zone))
    return found


_LOST: Final = (PaymentStatus.FAILED, PaymentStatus.CANCELED)


def _of_day(day: date, period: Period, tallies: Sequence[Tally]) -> DayOfPayments:
    its = [each for each in tallies if each.period == period]
    succeeded = sum(each.payments for each in its if each.status is PaymentStatus.SUCCEEDED)
    lost = sum(each.payments for each in its if each.status in _LOST)
    return DayOfPayments(
        day=day, succeeded=succeeded, lost=lost, open=sum(each.payments for each in its) - succeeded - lost
    )


def _money(days: Mapping[date, Period], moved: Sequence[Moved]) -> tuple[MoneyOfCurrency, ...]:
    """Return the money by currency, the one with the most charges first, then by currency code."""
    found = []
    for currency in sorted({each.currency for each in moved}, key=lambda each: each.code):
        its = {each.period: each for each in moved if each.currency is currency}
        found.append(
            MoneyOfCurrency(
                currency=currency,
                charges=sum(each.charges for each in its.values()),
                days=tuple(_money_of(day, its.get(period), currency) for day, period in days.items()),
            )
        )
    return tuple(sorted(found, key=lambda each: each.charges, reverse=True))


def _money_of(day: date, moved: Moved | None, currency: Currency) -> MoneyOfDay:
    if moved is None:
        nothing = Money.zero(currency)
        return MoneyOfDay(day=day, gross=nothing, refunded=nothing, withdrawn=nothing)
    return MoneyOfDay(day=day, gross=moved.gross, refunded=moved.refunded, withdrawn=moved.withdrawn)


def _webhooks(days: Mapping[date, Period], received: Iterable[WebhooksOfPeriod]) -> tuple[DayOfWebhooks, ...]:
    found = {each.period: each for each in received}
    return tuple(_webhooks_of(day, found.get(period)) for day, period in days.items())


def _webhooks_of(day: date, its: WebhooksOfPeriod | None) -> DayOfWebhooks:
    if its is None:
        return DayOfWebhooks(day=day, received=0, failed=0, median_delay_s=None, slow_delay_s=None)
    return DayOfWebhooks(
        day=day,
        received=its.count.received,
        failed=its.count.failed,
        median_delay_s=its.median_delay_s,
        slow_delay_s=its.slow_delay_s,
    )
