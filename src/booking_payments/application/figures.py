"""Figures for the operator: rates, volume, refund times, webhook delays, and open items.

All are sums over rows that ``ports.overview`` reads, at most ``MOST_...`` of each kind.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import Enum
from typing import Final

from attrs import frozen

from booking_payments.application.channels import ChannelStates, states_in
from booking_payments.application.dependencies import Dependencies
from booking_payments.domain import events as ev
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money, total
from booking_payments.domain.payment import Dispute, Payment
from booking_payments.ports.inbox import InboxStatus
from booking_payments.ports.overview import JournalEntry, Moved, Period, ReceivedWebhook, Tally
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
        received: all webhooks of the period, newest first.
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
    received: tuple[ReceivedWebhook, ...]
    cut: frozenset[Cut]

    def at_gateway(self, name: str) -> OpenAtGateway:
        """Return what is open or was received at the gateway ``name``."""
        webhooks = [each for each in self.received if each.gateway == name]
        return OpenAtGateway(
            unknown=sum(each.gateway == name for each in self.unknown),
            disputes=sum(each.payment.gateway == name for each in self.disputes),
            webhooks=len(webhooks),
            failed_webhooks=sum(map(_has_failed, webhooks)),
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
        webhooks = await overview.received_webhooks(since, MOST_WEBHOOKS)
        requested = await overview.events(ev.RefundRequested, since - timedelta(days=30), MOST_EVENTS)
        refunds_moved = await overview.events(ev.RefundMoved, since, MOST_EVENTS)
        watched = await overview.watched(MOST_WATCHED)
        refused = await overview.events(ev.AttemptRefused, since, MOST_EVENTS)
        found, disputes_cut = await _disputes(uow, until)
        dead = await uow.outbox.undelivered(dead=True, limit=MOST_DEAD)
        held = await overview.held(MOST_HELD)
        cut = {
            Cut.DECLINES: len(refused) >= MOST_EVENTS,
            Cut.REFUND_TIMES: max(len(requested), len(refunds_moved)) >= MOST_EVENTS,
            Cut.WEBHOOKS: len(webhooks) >= MOST_WEBHOOKS,
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
            declines=_declines(refused),
            refund_times_s=_refund_times(requested, refunds_moved),
            webhooks=tuple(_webhooks_of(day, period, webhooks) for day, period in days.items()),
            unknown=tuple(each for each in watched if each.operation is not None and each.operation.unknown),
            unfinished=await overview.unfinished_webhooks(),
            disputes=tuple(each for each in found if each.dispute.status.is_open),
            declined_often=await _declined_often(uow, refused),
            dead_letters=len(dead),
            channels=await states_in(uow, until),
            received=tuple(webhooks),
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
    opened = await uow.overview.events(ev.DisputeOpened, now - DISPUTES_LIVE, MOST_DISPUTES)
    payments = await uow.payment_reader.payments({each.payment_id for each in opened})
    found = [
        OpenDispute(payment=payment, dispute=dispute) for payment in payments.values() for dispute in payment.disputes
    ]
    newest = sorted(found, key=lambda each: each.dispute.opened_at, reverse=True)
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


def _declines(entries: Sequence[JournalEntry]) -> tuple[tuple[str, int], ...]:
    """Return the reasons of declines with their counts, the most frequent first."""
    refused = [each.recorded.event for each in entries]
    reasons = [
        event.decline.decline_code or event.decline.code for event in refused if isinstance(event, ev.AttemptRefused)
    ]
    return tuple(Counter(reasons).most_common())


async def _declined_often(uow: UnitOfWork, refused: Sequence[JournalEntry]) -> int:
    attempts = Counter(each.payment_id for each in refused)
    payments = await uow.payment_reader.payments(set(attempts))
    customers = Counter[str]()
    for payment_id, payment in payments.items():
        customers[payment.customer_id] += attempts[payment_id]
    return sum(declines >= MANY_DECLINES for declines in customers.values())


def _refund_times(requested: Sequence[JournalEntry], moved: Sequence[JournalEntry]) -> tuple[float, ...]:
    """Return the seconds from request to success of each refund that has both, sorted."""
    began: dict[str, datetime] = {}
    for each in requested:
        if isinstance(each.recorded.event, ev.RefundRequested):
            began[each.recorded.event.refund_id] = each.recorded.at
    times = []
    for each in moved:
        event = each.recorded.event
        done = isinstance(event, ev.RefundMoved) and event.status is RefundStatus.SUCCEEDED
        if done and isinstance(event, ev.RefundMoved) and event.refund_id in began:
            times.append((each.recorded.at - began[event.refund_id]).total_seconds())
    return tuple(sorted(times))


def _has_failed(webhook: ReceivedWebhook) -> bool:
    return webhook.status is InboxStatus.FAILED or webhook.tries > 1


def _webhooks_of(day: date, period: Period, webhooks: Sequence[ReceivedWebhook]) -> DayOfWebhooks:
    its = [each for each in webhooks if period.begins <= each.received_at < period.ends]
    delays = sorted(
        max((each.received_at - each.created_at).total_seconds(), 0.0) for each in its if each.created_at is not None
    )
    return DayOfWebhooks(
        day=day,
        received=len(its),
        failed=sum(map(_has_failed, its)),
        median_delay_s=quantile(delays, 0.5),
        slow_delay_s=quantile(delays, 0.95),
    )


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least ``share`` of ``ordered`` do not exceed; None when it is empty."""
    if not ordered:
        return None
    place = max(-(-int(share * 1000) * len(ordered) // 1000) - 1, 0)
    return ordered[place]
