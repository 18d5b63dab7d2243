"""The overview in SQL: each query reads one index, and no more rows than it is told."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Text, bindparam, func, insert, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from booking_payments.adapters.memory.overview import place_in
from booking_payments.adapters.sql import rows
from booking_payments.adapters.sql.codec import snake_case
from booking_payments.adapters.sql.execute import Execute
from booking_payments.adapters.sql.tables import RARE, UNFINISHED, drift_reports, inbox, journal, payments
from booking_payments.domain import events as ev
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Payment
from booking_payments.ports.overview import RARE_FACTS, Delivery, DriftReport, InboxPage, Tally, Told
from booking_payments.ports.storage import InboxStatus


class _Day(FunctionElement[str]):
    """The day (UTC) of a moment, as text."""

    type = Text()
    inherit_cache = True


@compiles(_Day, "postgresql")
def _day_on_postgresql(element: _Day, compiler: SQLCompiler, **options: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **options)} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"


@compiles(_Day, "sqlite")
def _day_on_sqlite(element: _Day, compiler: SQLCompiler, **options: Any) -> str:
    return f"substr({compiler.process(element.clauses, **options)}, 1, 10)"


_RECENT: Final = (
    select(
        payments.c.created_at,
        payments.c.status,
        payments.c.currency,
        payments.c.captured_minor,
        payments.c.refunded_minor,
    )
    .where(payments.c.created_at >= bindparam("since"))
    .order_by(payments.c.created_at.desc(), payments.c.id.desc())
    .limit(bindparam("most"))
    .subquery()
)
_DAY: Final = _Day(_RECENT.c.created_at).label("day")
_TALLIES: Final = (
    select(
        _DAY,
        _RECENT.c.status,
        _RECENT.c.currency,
        func.count().label("payments"),
        func.sum(_RECENT.c.captured_minor).label("captured"),
        func.sum(_RECENT.c.refunded_minor).label("refunded"),
    )
    .group_by(literal_column("day"), _RECENT.c.status, _RECENT.c.currency)
    .order_by(literal_column("day"), _RECENT.c.status, _RECENT.c.currency)
)
_FACTS: Final = (
    # The index's own condition stands here word for word: SQLite takes a partial index for nothing less.
    select(journal)
    .where(RARE, journal.c.type == bindparam("kind"), journal.c.at >= bindparam("since"))
    .order_by(journal.c.at.desc(), journal.c.payment_id.desc(), journal.c.sequence.desc())
    .limit(bindparam("most"))
)
_DELIVERIES: Final = (
    select(inbox.c.type, inbox.c.status, inbox.c.received_at, inbox.c.created_at, inbox.c.tries)
    .order_by(inbox.c.id.desc())
    .limit(bindparam("most"))
)
_PLACE: Final = inbox.c.id + 0
"""The place of a webhook among the unfinished few. As a sum it keeps the planner from going through the whole inbox by
its primary key instead of sorting what their own index finds."""

_WATCHED: Final = (
    select(payments)
    .where(payments.c.next_look_at.is_not(None))
    .order_by(payments.c.next_look_at)
    .limit(bindparam("most"))
)
_HELD: Final = (
    select(payments)
    .where(payments.c.status == PaymentStatus.REQUIRES_CAPTURE.value)
    .order_by(payments.c.created_at, payments.c.id)
    .limit(bindparam("most"))
)
_ADD_REPORT: Final = insert(drift_reports)
_REPORTS: Final = select(drift_reports).order_by(drift_reports.c.id.desc()).limit(bindparam("most"))


class SqlOverview:
    """The overview of the port, in SQL."""

    def __init__(self, connection: Execute) -> None:
        self._connection = connection

    async def tallies(self, since: datetime, limit: int) -> Sequence[Tally]:
        result = await self._connection.execute(_TALLIES, {"since": since, "most": limit})
        return [
            Tally(
                day=date.fromisoformat(row.day),
                status=PaymentStatus(row.status),
                payments=row.payments,
                captured=Money(int(row.captured), Currency.of(row.currency)),
                refunded=Money(int(row.refunded), Currency.of(row.currency)),
            )
            for row in result
        ]

    async def facts(self, kind: type[ev.Fact], since: datetime, limit: int) -> Sequence[Told]:
        if kind not in RARE_FACTS:
            raise ValueError(f"{kind.__name__} is none of the facts that are looked up")
        values = {"kind": snake_case(kind.__name__), "since": since, "most": limit}
        result = await self._connection.execute(_FACTS, values)
        return [Told(payment_id=row["payment_id"], recorded=rows.recorded_from(row)) for row in result.mappings().all()]

    async def deliveries(self, since: datetime, limit: int) -> Sequence[Delivery]:
        result = await self._connection.execute(_DELIVERIES, {"most": limit})
        return [
            Delivery(
                type=row.type,
                status=InboxStatus(row.status),
                received_at=row.received_at,
                created_at=row.created_at,
                tries=row.tries,
            )
            for row in result
            if row.received_at >= since
        ]

    async def webhooks(self, *, unfinished: bool, cursor: str | None, limit: int) -> InboxPage:
        before = place_in(cursor)
        place = _PLACE if unfinished else inbox.c.id
        statement = select(inbox).order_by(place.desc()).limit(limit + 1)
        if before is not None:
            statement = statement.where(place < before)
        if unfinished:
            statement = statement.where(UNFINISHED)
        found = (await self._connection.execute(statement)).mappings().all()
        following = str(found[limit - 1]["id"]) if len(found) > limit else None
        return InboxPage(items=tuple(rows.inbox_from(row) for row in found[:limit]), next_cursor=following)

    async def watched(self, limit: int) -> Sequence[Payment]:
        result = await self._connection.execute(_WATCHED, {"most": limit})
        return [rows.payment_from(row) for row in result.mappings()]

    async def held(self, limit: int) -> Sequence[Payment]:
        result = await self._connection.execute(_HELD, {"most": limit})
        return [rows.payment_from(row) for row in result.mappings()]

    async def keep_report(self, report: DriftReport) -> None:
        values = {"at": report.at, "actor": report.actor, "content": report.content}
        await self._connection.execute(_ADD_REPORT, values)

    async def reports(self, limit: int) -> Sequence[DriftReport]:
        result = await self._connection.execute(_REPORTS, {"most": limit})
        return [DriftReport(at=row.at, actor=row.actor, content=row.content) for row in result]
