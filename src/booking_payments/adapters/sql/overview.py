"""The overview in SQL: each query reads one index, and at most as many rows as it is asked for.

Sums over periods read an index without its table: one range for each period, status, kind and currency. The
periods are a parameter, since SQLite knows no time zones and days of a time zone differ in length.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Integer, Text, bindparam, column, func, insert, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from booking_payments.adapters.memory.overview import place_in
from booking_payments.adapters.sql import rows
from booking_payments.adapters.sql.codec import snake_case
from booking_payments.adapters.sql.execute import Execute
from booking_payments.adapters.sql.tables import (
    MONEY,
    RARE,
    UNFINISHED,
    UtcTime,
    drift_reports,
    inbox,
    journal,
    payments,
    postings,
)
from booking_payments.domain import events as ev
from booking_payments.domain.ledger import CHARGED, MONEY_KINDS, REFUNDED, WITHDRAWN, PostingKind
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Payment
from booking_payments.ports.inbox import InboxStatus
from booking_payments.ports.overview import (
    RARE_EVENTS,
    DriftReport,
    InboxPage,
    JournalEntry,
    Moved,
    Period,
    ReceivedWebhook,
    Tally,
)


class _Periods(FunctionElement[Any]):
    """The periods of a JSON parameter as rows of their number (from 0), ``begins`` and ``ends``."""

    inherit_cache = True


@compiles(_Periods, "postgresql")
def _periods_on_postgresql(element: _Periods, compiler: SQLCompiler, **options: Any) -> str:
    given = compiler.process(element.clauses, **options)
    return (
        f"(SELECT (value ->> 0)::integer AS number, (value ->> 1)::timestamptz AS begins, "  # noqa: S608 - a parameter
        f"(value ->> 2)::timestamptz AS ends FROM json_array_elements({given}::json))"
    )


@compiles(_Periods, "sqlite")
def _periods_on_sqlite(element: _Periods, compiler: SQLCompiler, **options: Any) -> str:
    given = compiler.process(element.clauses, **options)
    return (
        f"(SELECT json_extract(value, '$[0]') AS number, json_extract(value, '$[1]') AS begins, "  # noqa: S608
        f"json_extract(value, '$[2]') AS ends FROM json_each({given}))"
    )


_PERIODS: Final = (
    _Periods(bindparam("periods", type_=Text()))
    .table_valued(column("number", Integer), column("begins", UtcTime), column("ends", UtcTime))
    .alias("period")
)


def _constant(value: Enum) -> ColumnElement[str]:
    """In the statement's text, so that a planner can see that a partial index holds all of them."""
    return literal_column(f"'{value.value}'", Text())


def _count(status: PaymentStatus) -> ColumnElement[int]:
    """How many payments of this status began in the period at hand."""
    return (
        select(func.count())
        .select_from(payments)
        .where(
            payments.c.status == _constant(status),
            payments.c.created_at >= _PERIODS.c.begins,
            payments.c.created_at < _PERIODS.c.ends,
        )
        .correlate(_PERIODS)
        .scalar_subquery()
        .label(status.value)
    )


_TALLIES: Final = select(_PERIODS.c.number, *(_count(status) for status in PaymentStatus))

_FIRST_CURRENCY: Final = select(func.min(postings.c.currency).label("code")).where(
    MONEY, postings.c.kind == _constant(PostingKind.CHARGE)
)
_CURRENCIES: Final = _FIRST_CURRENCY.cte("currencies", recursive=True)
_NEXT_CURRENCY: Final = (
    _FIRST_CURRENCY.where(postings.c.currency > _CURRENCIES.c.code).correlate(_CURRENCIES).scalar_subquery()
)
_EVERY_CURRENCY: Final = _CURRENCIES.union_all(select(_NEXT_CURRENCY).where(_CURRENCIES.c.code.is_not(None)))
"""Every currency that was ever charged, each found by one look into the index, and NULL behind the last."""

_BITS: Final = 20
"""Sums are taken of the upper and the lower bits of amounts apart: SQLite's ``sum`` fails beyond 63 bits."""


def _sums(kind: PostingKind) -> ColumnElement[str]:
    """Of the postings of this kind in the period and currency at hand: their number and the sums of the upper and the
    lower bits of their amounts, as text, since a subquery has one value."""
    low = 2**_BITS - 1
    parts = ("count(*)", f"coalesce(sum(amount_minor >> {_BITS}), 0)", f"coalesce(sum(amount_minor & {low}), 0)")
    return (
        select(literal_column(" || ' ' || ".join(f"CAST({part} AS TEXT)" for part in parts), Text()))
        .select_from(postings)
        .where(
            MONEY,
            postings.c.kind == _constant(kind),
            postings.c.currency == _EVERY_CURRENCY.c.code,
            postings.c.at >= _PERIODS.c.begins,
            postings.c.at < _PERIODS.c.ends,
        )
        .correlate(_PERIODS, _EVERY_CURRENCY)
        .scalar_subquery()
        .label(kind.value)
    )


_MONEY_KINDS: Final = sorted(MONEY_KINDS, key=lambda kind: kind.value)
_MOVED: Final = (
    select(_PERIODS.c.number, _EVERY_CURRENCY.c.code, *(_sums(kind) for kind in _MONEY_KINDS))
    .select_from(_PERIODS.join(_EVERY_CURRENCY, _EVERY_CURRENCY.c.code.is_not(None)))
    .order_by(_PERIODS.c.number, _EVERY_CURRENCY.c.code)
)
_EVENTS: Final = (
    # The index's own condition stands here word for word: SQLite takes a partial index for nothing less.
    select(journal)
    .where(RARE, journal.c.type == bindparam("kind"), journal.c.at >= bindparam("since"))
    .order_by(journal.c.at.desc(), journal.c.payment_id.desc(), journal.c.sequence.desc())
    .limit(bindparam("most"))
)
_DELIVERIES: Final = (
    select(inbox.c.type, inbox.c.gateway, inbox.c.status, inbox.c.received_at, inbox.c.created_at, inbox.c.tries)
    .order_by(inbox.c.id.desc())
    .limit(bindparam("most"))
)
_PLACE: Final = inbox.c.id + 0
"""The place of a webhook among the unfinished few. As a sum it keeps the planner from going through the whole inbox by
its primary key instead of sorting what their own index finds."""

_ITS_GATEWAY: Final[ColumnElement[str]] = literal_column("gateway || ''", Text())
"""The gateway of one of the unfinished few; an expression for the same reason."""

_UNFINISHED_AT: Final = (
    select(_ITS_GATEWAY.label("name"), func.count().label("number"))
    .select_from(inbox)
    .where(UNFINISHED)
    .group_by(_ITS_GATEWAY)
)

_WATCHED: Final = (
    select(payments)
    .where(payments.c.next_check_at.is_not(None))
    .order_by(payments.c.next_check_at)
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

    async def tallies(self, periods: Sequence[Period]) -> Sequence[Tally]:
        result = await self._connection.execute(_TALLIES, {"periods": _as_json(periods)})
        return [
            Tally(period=periods[row["number"]], status=status, payments=row[status.value])
            for row in sorted(result.mappings().all(), key=lambda row: row["number"])
            for status in sorted(PaymentStatus, key=lambda each: each.value)
            if row[status.value]
        ]

    async def moved(self, periods: Sequence[Period]) -> Sequence[Moved]:
        result = await self._connection.execute(_MOVED, {"periods": _as_json(periods)})
        found = []
        for row in result.mappings():
            sums = {kind: _read_sums(row[kind.value]) for kind in _MONEY_KINDS}
            if any(number for number, _ in sums.values()):
                found.append(_moved(periods[row["number"]], Currency.of(row["code"]), sums))
        return found

    async def events(self, kind: type[ev.Event], since: datetime, limit: int) -> Sequence[JournalEntry]:
        if kind not in RARE_EVENTS:
            raise ValueError(f"{kind.__name__} is none of the events that are looked up")
        values = {"kind": snake_case(kind.__name__), "since": since, "most": limit}
        result = await self._connection.execute(_EVENTS, values)
        return [
            JournalEntry(payment_id=row["payment_id"], recorded=rows.recorded_from(row))
            for row in result.mappings().all()
        ]

    async def received_webhooks(self, since: datetime, limit: int) -> Sequence[ReceivedWebhook]:
        result = await self._connection.execute(_DELIVERIES, {"most": limit})
        return [
            ReceivedWebhook(
                type=row.type,
                gateway=row.gateway,
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

    async def unfinished_webhooks(self) -> Mapping[str, int]:
        return {row.name: row.number for row in await self._connection.execute(_UNFINISHED_AT)}

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


def _as_json(periods: Sequence[Period]) -> str:
    """The parameter of ``_Periods``; moments are written as ``UtcTime`` writes them on SQLite."""
    written = [[number, _written(each.begins), _written(each.ends)] for number, each in enumerate(periods)]
    return msgspec.json.encode(written).decode()


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _read_sums(text: str) -> tuple[int, int]:
    """Number and sum (minor units), as ``_sums`` writes them."""
    number, upper, lower = (int(part) for part in text.split())
    return number, (upper << _BITS) + lower


def _moved(period: Period, currency: Currency, sums: Mapping[PostingKind, tuple[int, int]]) -> Moved:
    def of(kinds: Collection[PostingKind]) -> Money:
        return Money.sum_of(sum(sums[kind][1] for kind in kinds), currency)

    return Moved(
        period=period,
        currency=currency,
        charges=sum(sums[kind][0] for kind in CHARGED),
        gross=of(CHARGED),
        refunded=of(REFUNDED),
        withdrawn=of(WITHDRAWN),
    )
