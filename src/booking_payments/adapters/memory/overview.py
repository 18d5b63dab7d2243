"""The overview in memory."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import TypeVar

from booking_payments.adapters.memory.cursors import bad_cursor
from booking_payments.domain import events as ev
from booking_payments.domain.ledger import CHARGED, MONEY_KINDS, REFUNDED, WITHDRAWN, Posting, PostingKind
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money, total
from booking_payments.domain.payment import Payment
from booking_payments.ports.inbox import EventKey, InboxEntry, InboxStatus
from booking_payments.ports.overview import (
    SLOW,
    Declines,
    DriftReport,
    InboxPage,
    Moved,
    Period,
    ReceivedWebhooks,
    RefundTimes,
    Tally,
    WebhookCount,
    WebhooksOfPeriod,
    quantile,
)
from booking_payments.ports.payments import PollState

Event = TypeVar("Event", ev.AttemptRefused, ev.RefundRequested, ev.RefundMoved, ev.DisputeOpened)


class MemoryOverview:
    """The overview of the port, over the rows of one transaction."""

    def __init__(
        self,
        payments: Mapping[str, Payment],
        journals: Mapping[str, Sequence[ev.Recorded]],
        postings: Mapping[str, Sequence[Posting]],
        poll_states: Mapping[str, PollState],
        inbox: Mapping[EventKey, InboxEntry],
        reports: MutableMapping[int, DriftReport],
    ) -> None:
        self._payments = payments
        self._journals = journals
        self._postings = postings
        self._poll_states = poll_states
        self._inbox = inbox
        self._reports = reports

    async def tallies(self, periods: Sequence[Period]) -> Sequence[Tally]:
        found = []
        for period in periods:
            began = [each for each in self._payments.values() if period.begins <= each.created_at < period.ends]
            counts = Counter(each.status for each in began)
            for status in sorted(counts, key=lambda each: each.value):
                found.append(Tally(period=period, status=status, payments=counts[status]))
        return found

    async def moved(self, periods: Sequence[Period]) -> Sequence[Moved]:
        money = [each for kept in self._postings.values() for each in kept if each.kind in MONEY_KINDS]
        return [
            _moved(period, currency, [each for each in its if each.amount.currency is currency])
            for period in periods
            if (its := [each for each in money if period.begins <= each.at < period.ends])
            for currency in sorted({each.amount.currency for each in its}, key=lambda each: each.code)
        ]

    async def declines(self, since: datetime, limit: int, many: int) -> Declines:
        reasons, customers = Counter[str](), Counter[str]()
        for payment_id, _, event in self._newest(ev.AttemptRefused, since, limit):
            reasons[event.decline.decline_code or event.decline.code] += 1
            customers[self._payments[payment_id].customer_id] += 1
        return Declines(reasons=reasons, customers=sum(declines >= many for declines in customers.values()))

    async def refund_times(self, since: datetime, requested_since: datetime, limit: int) -> RefundTimes:
        requested = self._newest(ev.RefundRequested, requested_since, limit)
        moved = self._newest(ev.RefundMoved, since, limit)
        began = {(payment_id, event.refund_id): at for payment_id, at, event in requested}  # the earliest is the last
        seconds = sorted(
            (at - began[payment_id, event.refund_id]).total_seconds()
            for payment_id, at, event in moved
            if event.status is RefundStatus.SUCCEEDED and (payment_id, event.refund_id) in began
        )
        return RefundTimes(seconds=tuple(seconds), is_cut=max(len(requested), len(moved)) >= limit)

    async def disputed(self, since: datetime, limit: int) -> Sequence[str]:
        return [payment_id for payment_id, _, _ in self._newest(ev.DisputeOpened, since, limit)]

    def _newest(self, kind: type[Event], since: datetime, limit: int) -> Sequence[tuple[str, datetime, Event]]:
        """The newest events of a kind, newest first: the id of their payment, their time, and the event."""
        found = [
            ((recorded.at, payment_id, recorded.sequence), recorded.event)
            for payment_id, journal in self._journals.items()
            for recorded in journal
            if isinstance(recorded.event, kind) and recorded.at >= since
        ]
        newest = sorted(found, key=lambda each: each[0], reverse=True)[:limit]
        return [(payment_id, at, event) for (at, payment_id, _), event in newest]

    async def received_webhooks(self, since: datetime, periods: Sequence[Period], limit: int) -> ReceivedWebhooks:
        newest = [each for each in list(self._inbox.values())[::-1][:limit] if each.received_at >= since]
        gateways: dict[str, WebhookCount] = {}
        for each in newest:
            gateways[each.gateway] = gateways.get(each.gateway, WebhookCount()) + _count([each])
        its = {
            period: [each for each in newest if period.begins <= each.received_at < period.ends] for period in periods
        }
        return ReceivedWebhooks(
            periods=[_webhooks_of(period, webhooks) for period, webhooks in its.items() if webhooks], gateways=gateways
        )

    async def webhooks(self, *, unfinished: bool, cursor: str | None, limit: int) -> InboxPage:
        rows = list(enumerate(self._inbox.values(), start=1))[::-1]
        before = place_in(cursor)
        meant = [
            (place, row)
            for place, row in rows
            if (before is None or place < before) and not (unfinished and row.status.is_done)
        ]
        following = str(meant[limit - 1][0]) if len(meant) > limit else None
        return InboxPage(items=tuple(row for _, row in meant[:limit]), next_cursor=following)

    async def unfinished_webhooks(self) -> Mapping[str, int]:
        return Counter(each.gateway for each in self._inbox.values() if not each.status.is_done)

    async def watched(self, limit: int) -> Sequence[Payment]:
        due = sorted((w.next_check_at, payment_id) for payment_id, w in self._poll_states.items() if w.next_check_at)
        return [self._payments[payment_id] for _, payment_id in due[:limit]]

    async def held(self, limit: int) -> Sequence[Payment]:
        held = [each for each in self._payments.values() if each.status is PaymentStatus.REQUIRES_CAPTURE]
        return sorted(held, key=lambda each: (each.created_at, each.id))[:limit]

    async def keep_report(self, report: DriftReport) -> None:
        self._reports[len(self._reports) + 1] = report

    async def reports(self, limit: int) -> Sequence[DriftReport]:
        return list(self._reports.values())[::-1][:limit]


def _count(webhooks: Sequence[InboxEntry]) -> WebhookCount:
    failed = sum(each.status is InboxStatus.FAILED or each.tries > 1 for each in webhooks)
    return WebhookCount(received=len(webhooks), failed=failed)


def _webhooks_of(period: Period, webhooks: Sequence[InboxEntry]) -> WebhooksOfPeriod:
    delays = sorted(
        max((each.received_at - each.created_at).total_seconds(), 0.0)
        for each in webhooks
        if each.created_at is not None
    )
    return WebhooksOfPeriod(
        period=period,
        count=_count(webhooks),
        median_delay_s=quantile(delays, 0.5),
        slow_delay_s=quantile(delays, SLOW),
    )


def _moved(period: Period, currency: Currency, postings: Iterable[Posting]) -> Moved:
    its = list(postings)

    def of(kinds: Collection[PostingKind]) -> Money:
        return total((each.amount for each in its if each.kind in kinds), currency)

    return Moved(
        period=period,
        currency=currency,
        charges=sum(each.kind in CHARGED for each in its),
        gross=of(CHARGED),
        refunded=of(REFUNDED),
        withdrawn=of(WITHDRAWN),
    )


def place_in(cursor: str | None) -> int | None:
    """Return the position after which a page of webhooks begins. Raises ``InvalidInput`` for an invalid cursor."""
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise bad_cursor()
    return int(cursor)
