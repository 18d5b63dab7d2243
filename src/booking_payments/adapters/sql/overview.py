"""The overview in SQL: each query reads one index, and at most as many rows as it is asked for.

Sums over periods read an index without its table: one range for each period, status, kind and currency. The
periods are a parameter, since SQLite knows no time zones and days of a time zone differ in length.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Row,
    Select,
    Text,
    bindparam,
    case,
    column,
    func,
    insert,
    literal_column,
    null,
    select,
    union_all,
)
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
    BigInt,
    UtcTime,
    drift_reports,
    inbox,
    journal,
    payments,
    postings,
)
from booking_payments.domain import events as ev
from booking_payments.domain.ledger import CHARGED, MONEY_KINDS, REFUNDED, WITHDRAWN, PostingKind
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Payment
from booking_payments.ports.inbox import InboxStatus
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


class _JsonText(FunctionElement[str]):
    """The text at a path in a column of JSON text; NULL where there is none."""

    type = Text()
    inherit_cache = True

    def __init__(self, json: ColumnElement[str], *path: str) -> None:
        super().__init__(json, *(literal_column(f"'{name}'", Text()) for name in path))


@compiles(_JsonText, "postgresql")
def _json_text_on_postgresql(element: _JsonText, compiler: SQLCompiler, **options: Any) -> str:
    json, *path = (compiler.process(each, **options) for each in element.clauses)
    return f"json_extract_path_text({json}::json, {', '.join(path)})"


@compiles(_JsonText, "sqlite")
def _json_text_on_sqlite(element: _JsonText, compiler: SQLCompiler, **options: Any) -> str:
    json, *path = (compiler.process(each, **options) for each in element.clauses)
    dotted = " || '.' || ".join(path)
    return f"json_extract({json}, '$.' || {dotted})"


class _Microseconds(FunctionElement[int]):
    """From the second to the first of two moments."""

    type = BigInteger()
    inherit_cache = True


@compiles(_Microseconds, "postgresql")
def _microseconds_on_postgresql(element: _Microseconds, compiler: SQLCompiler, **options: Any) -> str:
    until, since = (compiler.process(each, **options) for each in element.clauses)
    return f"CAST(extract(epoch FROM {until} - {since}) * 1000000 AS bigint)"


@compiles(_Microseconds, "sqlite")
def _microseconds_on_sqlite(element: _Microseconds, compiler: SQLCompiler, **options: Any) -> str:
    until, since = (compiler.process(each, **options) for each in element.clauses)
    # SQLite's own functions know only milliseconds.
    seconds = f"strftime('%s', substr({until}, 1, 19)) - strftime('%s', substr({since}, 1, 19))"
    return f"(({seconds}) * 1000000 + substr({until}, 21, 6) - substr({since}, 21, 6))"


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


def _some(kind: type[ev.Event], since: str, *columns: ColumnElement[Any]) -> Select[Any]:
    """A limited number of the events of a kind."""
    # The index's own condition stands here word for word: SQLite takes a partial index for nothing less.
    its_kind = (RARE, journal.c.type == literal_column(f"'{snake_case(kind.__name__)}'"))
    return select(*columns).where(*its_kind, journal.c.at >= bindparam(since)).limit(bindparam("most"))


def _newest(kind: type[ev.Event], since: str, *columns: ColumnElement[Any]) -> Select[Any]:
    """The newest events of a kind, newest first."""
    newest = (journal.c.at.desc(), journal.c.payment_id.desc(), journal.c.sequence.desc())
    return _some(kind, since, *columns).order_by(*newest)


_REASON: Final = func.coalesce(
    func.nullif(_JsonText(journal.c.data, "decline", "decline_code"), literal_column("''")),
    _JsonText(journal.c.data, "decline", "code"),
)
_REFUSED: Final = _newest(ev.AttemptRefused, "since", journal.c.payment_id, _REASON.label("reason")).cte("refused")
_REFUSED_OFTEN: Final = (
    select(payments.c.customer_id)
    .join_from(_REFUSED, payments, payments.c.id == _REFUSED.c.payment_id)
    .group_by(payments.c.customer_id)
    .having(func.count() >= bindparam("many"))
    .subquery()
)
_DECLINES: Final = union_all(
    select(_REFUSED.c.reason, func.count().label("number")).group_by(_REFUSED.c.reason),
    select(null().cast(Text), func.count()).select_from(_REFUSED_OFTEN),
)
"""The declines by reason, and as a last row without a reason the customers with many of them."""

_REFUND_ID: Final = _JsonText(journal.c.data, "refund_id").label("refund_id")
_REQUESTED: Final = _newest(
    ev.RefundRequested, "requested_since", journal.c.payment_id, _REFUND_ID, journal.c.at
).subquery()
_BEGAN: Final = (
    select(
        _REQUESTED.c.payment_id, _REQUESTED.c.refund_id, func.min(_REQUESTED.c.at, type_=journal.c.at.type).label("at")
    )
    .group_by(_REQUESTED.c.payment_id, _REQUESTED.c.refund_id)
    .cte("began")
)
"""When each refund was first requested: a refund whose call was abandoned may be requested again."""

_CHANGED: Final = _newest(
    ev.RefundMoved,
    "since",
    journal.c.payment_id,
    _REFUND_ID,
    journal.c.at,
    _JsonText(journal.c.data, "status").label("status"),
).cte("changed")
_TOOK: Final = case(
    (_CHANGED.c.status == _constant(RefundStatus.SUCCEEDED), _Microseconds(_CHANGED.c.at, _BEGAN.c.at)), else_=null()
)
_REFUND_TIMES: Final = select(_TOOK.label("microseconds")).join_from(
    _CHANGED, _BEGAN, (_BEGAN.c.payment_id == _CHANGED.c.payment_id) & (_BEGAN.c.refund_id == _CHANGED.c.refund_id)
)
"""NULL for a change to another status. As a condition it would make PostgreSQL expect very few changes, and read all
requests anew for each."""


def _number(kind: type[ev.Event], since: str) -> ColumnElement[int]:
    return select(func.count()).select_from(_some(kind, since, journal.c.at).subquery()).scalar_subquery()


_REFUND_EVENTS: Final = select(
    _number(ev.RefundRequested, "requested_since").label("requested"), _number(ev.RefundMoved, "since").label("changed")
)
_DISPUTED: Final = _newest(ev.DisputeOpened, "since", journal.c.payment_id)

_FAILED: Final = case(((inbox.c.status == _constant(InboxStatus.FAILED)) | (inbox.c.tries > 1), 1), else_=0)
_NEWEST_WEBHOOKS: Final = (
    select(
        inbox.c.gateway,
        inbox.c.received_at.label("at"),
        _FAILED.label("failed"),
        _Microseconds(inbox.c.received_at, inbox.c.created_at).label("delay"),
    )
    .order_by(inbox.c.id.desc())
    .limit(bindparam("most"))
    .subquery()
)
_BEGINNINGS_AND_WEBHOOKS: Final = union_all(
    select(
        _PERIODS.c.begins.label("at"),
        _PERIODS.c.number,
        *(
            null().cast(type_).label(name)
            for name, type_ in (("gateway", Text), ("failed", Integer), ("delay", BigInt))
        ),
    ),
    select(
        _NEWEST_WEBHOOKS.c.at,
        null().cast(Integer),
        _NEWEST_WEBHOOKS.c.gateway,
        _NEWEST_WEBHOOKS.c.failed,
        _NEWEST_WEBHOOKS.c.delay,
    ).where(_NEWEST_WEBHOOKS.c.at >= bindparam("since")),
).subquery()
_IN_ORDER: Final = select(
    _BEGINNINGS_AND_WEBHOOKS,
    func.max(_BEGINNINGS_AND_WEBHOOKS.c.number)
    .over(
        order_by=(_BEGINNINGS_AND_WEBHOOKS.c.at, _BEGINNINGS_AND_WEBHOOKS.c.number.asc().nulls_last()), rows=(None, 0)
    )
    .label("last"),
).subquery()
"""In the order of time the beginnings of periods and the webhooks, each with the number of the ``last`` period that had
begun. A comparison of each webhook with each period would take several times longer."""
_RANKED: Final = (
    select(
        _PERIODS.c.number,
        _IN_ORDER.c.gateway,
        _IN_ORDER.c.failed,
        _IN_ORDER.c.delay,
        func.row_number()
        .over(partition_by=_PERIODS.c.number, order_by=_IN_ORDER.c.delay.asc().nulls_last())
        .label("rank"),
        func.count(_IN_ORDER.c.delay).over(partition_by=_PERIODS.c.number).label("delays"),
    )
    .select_from(
        _IN_ORDER.outerjoin(_PERIODS, (_PERIODS.c.number == _IN_ORDER.c.last) & (_IN_ORDER.c.at < _PERIODS.c.ends))
    )
    .where(_IN_ORDER.c.gateway.is_not(None))
    .subquery()
)


def _delay_within(share: float) -> ColumnElement[int]:
    """The delay that this share of webhooks does not exceed, as ``quantile`` has it, in the group that contains it."""
    of_thousand = int(share * 1000)
    place = literal_column(f"(delays * {of_thousand} + 999) / 1000", Integer())
    return func.max(case((_RANKED.c.rank == place, _RANKED.c.delay)))


_RECEIVED: Final = (
    select(
        _RANKED.c.number,
        _RANKED.c.gateway,
        func.count().label("received"),
        func.sum(_RANKED.c.failed).label("failed"),
        _delay_within(0.5).label("median"),
        _delay_within(SLOW).label("slow"),
    )
    .group_by(_RANKED.c.number, _RANKED.c.gateway)
    .order_by(_RANKED.c.number, _RANKED.c.gateway)
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

    async def declines(self, since: datetime, limit: int, many: int) -> Declines:
        found = await self._connection.execute(_DECLINES, {"since": since, "most": limit, "many": many})
        numbers = {row.reason: row.number for row in found}
        customers = numbers.pop(None)
        return Declines(reasons=numbers, customers=customers)

    async def refund_times(self, since: datetime, requested_since: datetime, limit: int) -> RefundTimes:
        values = {"since": since, "requested_since": requested_since, "most": limit}
        (read,) = (await self._connection.execute(_REFUND_EVENTS, values)).all()
        found = await self._connection.execute(_REFUND_TIMES, values)
        took = sorted(row[0] for row in found if row[0] is not None)
        return RefundTimes(
            seconds=tuple(each / 1_000_000 for each in took), is_cut=max(read.requested, read.changed) >= limit
        )

    async def disputed(self, since: datetime, limit: int) -> Sequence[str]:
        return [row.payment_id for row in await self._connection.execute(_DISPUTED, {"since": since, "most": limit})]

    async def received_webhooks(self, since: datetime, periods: Sequence[Period], limit: int) -> ReceivedWebhooks:
        values = {"since": since, "periods": _as_json(periods), "most": limit}
        found = (await self._connection.execute(_RECEIVED, values)).all()
        gateways: dict[str, WebhookCount] = {}
        of_periods: dict[int, list[Row[Any]]] = {}
        for row in found:
            gateways[row.gateway] = gateways.get(row.gateway, WebhookCount()) + _webhook_count(row)
            if row.number is not None:
                of_periods.setdefault(row.number, []).append(row)
        return ReceivedWebhooks(
            periods=[_webhooks_of(periods[number], its) for number, its in of_periods.items()], gateways=gateways
        )

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


def _webhook_count(row: Row[Any]) -> WebhookCount:
    return WebhookCount(received=row.received, failed=int(row.failed))


def _webhooks_of(period: Period, of_gateways: Sequence[Row[Any]]) -> WebhooksOfPeriod:
    """Each delay is in the row of one gateway, but is that of all."""
    return WebhooksOfPeriod(
        period=period,
        count=sum(map(_webhook_count, of_gateways), WebhookCount()),
        median_delay_s=_delay_s(row.median for row in of_gateways),
        slow_delay_s=_delay_s(row.slow for row in of_gateways),
    )


def _delay_s(microseconds: Iterable[int | None]) -> float | None:
    """The one delay that is known, in seconds. It may be negative if the clocks of the gateway and ours differ."""
    return next((max(each, 0) / 1_000_000 for each in microseconds if each is not None), None)


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
