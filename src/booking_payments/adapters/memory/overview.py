"""The overview in memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from booking_payments.adapters.memory.cursors import bad_cursor
from booking_payments.domain import events as ev
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Payment
from booking_payments.ports.overview import RARE_FACTS, Delivery, DriftReport, InboxPage, Tally, Told
from booking_payments.ports.storage import InboxEntry, Watch


class MemoryOverview:
    """The overview of the port, over the rows of one transaction."""

    def __init__(
        self,
        payments: Mapping[str, Payment],
        journals: Mapping[str, Sequence[ev.Recorded]],
        watches: Mapping[str, Watch],
        inbox: Mapping[tuple[str, str], InboxEntry],
        reports: dict[int, DriftReport],
    ) -> None:
        self._payments = payments
        self._journals = journals
        self._watches = watches
        self._inbox = inbox
        self._reports = reports

    async def tallies(self, since: datetime, limit: int) -> Sequence[Tally]:
        recent = sorted((each.created_at, each.id) for each in self._payments.values() if each.created_at >= since)
        counted = [self._payments[payment_id] for _, payment_id in recent[-limit:]]
        kinds = Counter((p.created_at.astimezone(UTC).date(), p.status, p.amount.currency) for p in counted)
        found = []
        for (day, status, currency), payments in kinds.items():
            its = [p for p in counted if (p.created_at.date(), p.status, p.amount.currency) == (day, status, currency)]
            found.append(
                Tally(
                    day=day,
                    status=status,
                    payments=payments,
                    captured=Money(sum(p.captured.minor for p in its), currency),
                    refunded=Money(sum(p.refunded.minor for p in its), currency),
                )
            )
        return sorted(found, key=lambda each: (each.day, each.status.value, each.captured.currency.code))

    async def facts(self, kind: type[ev.Fact], since: datetime, limit: int) -> Sequence[Told]:
        if kind not in RARE_FACTS:
            raise ValueError(f"{kind.__name__} is none of the facts that are looked up")
        found = [
            Told(payment_id=payment_id, recorded=recorded)
            for payment_id, journal in self._journals.items()
            for recorded in journal
            if isinstance(recorded.fact, kind) and recorded.at >= since
        ]
        newest = sorted(found, key=lambda each: (each.recorded.at, each.payment_id, each.recorded.sequence))
        return newest[::-1][:limit]

    async def deliveries(self, since: datetime, limit: int) -> Sequence[Delivery]:
        newest = list(self._inbox.values())[::-1][:limit]
        return [
            Delivery(
                type=each.type,
                status=each.status,
                received_at=each.received_at,
                created_at=each.created_at,
                tries=each.tries,
            )
            for each in newest
            if each.received_at >= since
        ]

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

    async def watched(self, limit: int) -> Sequence[Payment]:
        due = sorted((w.next_look_at, payment_id) for payment_id, w in self._watches.items() if w.next_look_at)
        return [self._payments[payment_id] for _, payment_id in due[:limit]]

    async def held(self, limit: int) -> Sequence[Payment]:
        held = [each for each in self._payments.values() if each.status is PaymentStatus.REQUIRES_CAPTURE]
        return sorted(held, key=lambda each: (each.created_at, each.id))[:limit]

    async def keep_report(self, report: DriftReport) -> None:
        self._reports[len(self._reports) + 1] = report

    async def reports(self, limit: int) -> Sequence[DriftReport]:
        return list(self._reports.values())[::-1][:limit]


def place_in(cursor: str | None) -> int | None:
    """The place behind which a page of webhooks begins. Raises ``InvalidInput`` for a cursor that is none of ours."""
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise bad_cursor()
    return int(cursor)
