"""One transaction in SQL: the repositories over one connection.

Statements are built once, as module constants, so that SQLAlchemy compiles each only once.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar

from attrs import frozen
from sqlalchemy import (
    ColumnElement,
    Executable,
    RowMapping,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from booking_payments.adapters.memory.cursors import decode_cursor, encode_cursor
from booking_payments.adapters.sql import rows, search, tables
from booking_payments.adapters.sql.audit import SqlAudit
from booking_payments.adapters.sql.channels import SqlChannels
from booking_payments.adapters.sql.console_sessions import SqlConsoleSessions
from booking_payments.adapters.sql.database import SqlDatabase, rows_by, store_first
from booking_payments.adapters.sql.event_jobs import SqlEventJobs
from booking_payments.adapters.sql.execute import Execute, StatementResult
from booking_payments.adapters.sql.in_array import in_array
from booking_payments.adapters.sql.locks import LockUntilCommit
from booking_payments.adapters.sql.outbox import SqlOutbox
from booking_payments.adapters.sql.overview import SqlOverview
from booking_payments.adapters.unit_of_work import (
    RecordedJobs,
    RecordingBookings,
    RecordingInbox,
    RecordingPayments,
    UnitOfWorkSession,
)
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.events import Recorded
from booking_payments.domain.ledger import Posting
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus
from booking_payments.domain.money import MAX_DIGITS, Currency
from booking_payments.domain.payment import Payment
from booking_payments.ports.bookings import BookingFilter, BookingPage
from booking_payments.ports.idempotency import StoredAnswer
from booking_payments.ports.inbox import REFUSALS_KEPT, EventKey, InboxEntry, InboxFilter, InboxStatus
from booking_payments.ports.payments import PaymentFilter, PaymentHistory, PaymentPage, Refunded

Item = TypeVar("Item", Booking, Payment)
Filter = TypeVar("Filter", BookingFilter, PaymentFilter)


class Flushed:
    """Runs statements that read recorded changes: all of them are written first."""

    def __init__(self, session: UnitOfWorkSession, connection: Execute) -> None:
        self._session, self._connection = session, connection

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None, /
    ) -> StatementResult:
        await self._session.flush()
        return await self._connection.execute(statement, parameters)


class SqlUnitOfWork:
    """One transaction: ``session`` records changes, ``connection`` runs all other statements.

    Call ``flush`` before the commit.
    """

    def __init__(self, connection: Execute, session: UnitOfWorkSession | None = None) -> None:
        session = session or UnitOfWorkSession(SqlDatabase(connection))
        flushed = Flushed(session, connection)
        self.flush = session.flush
        self.bookings = SqlBookings(session, flushed)
        self.payments = SqlPayments(session, flushed)
        self.payment_reader = SqlPaymentReader(flushed)
        self.inbox = SqlInbox(session, flushed)
        self.answers = SqlAnswers(flushed)
        self.outbox = SqlOutbox(session, flushed)
        self.channels = SqlChannels(flushed)
        self.events = SqlEventJobs(flushed)
        self.audit = SqlAudit(session, flushed)
        self.overview = SqlOverview(flushed)
        self.console_sessions = SqlConsoleSessions(flushed)
        self.jobs = RecordedJobs()


# --- pages -----------------------------------------------------------------------------------------------------


@frozen
class _List(Generic[Filter, Item]):
    """What can be listed page by page, newest first.

    Attributes:
        booking_id: the column with the id of the booking.
        wanted: returns the conditions of a filter, without those on texts.
        texts: returns what the filter looks for in texts of the booking.
        may_be_rare: whether its other conditions may be fulfilled by few rows that no index finds in their order.
    """

    table: Table
    booking_id: ColumnElement[str]
    read: Callable[[RowMapping], Item]
    wanted: Callable[[Filter], Sequence[ColumnElement[bool] | None]]
    texts: Callable[[Filter], Mapping[ColumnElement[str], str | None]]
    may_be_rare: Callable[[Filter], bool]


LOOKED_AT: Final = 1_000
"""How many of the newest rows are looked at one by one, before a search asks the index: it is quicker for what is
common."""

FOUND: Final = 5_000
"""How many bookings that are found by the index are named to the database one by one."""


Found = tuple[tuple[Item, ...], str | None]
"""Items, and the cursor of the next page; None when this is the last."""


class _Search(Generic[Filter, Item]):
    """Reads one page behind ``cursor``: up to ``limit`` items."""

    def __init__(
        self, connection: Execute, of: _List[Filter, Item], which: Filter, cursor: str | None, limit: int
    ) -> None:
        self._connection, self._cursor, self._limit = connection, cursor, limit
        self._table, self._booking_id = of.table, of.booking_id
        self._item: Callable[[RowMapping], Item] = of.read
        self._wanted = [each for each in of.wanted(which) if each is not None]
        self._texts = {column: part for column, part in of.texts(which).items() if part and search.trigrams(part)}
        self._is_rare = of.may_be_rare(which)

    async def page(self) -> Found[Item]:
        """The items, and the cursor of the next page; None when this is the last. Raises ``InvalidInput`` for an
        invalid cursor."""
        if self._texts or self._is_rare:
            page = await self._among_newest()
            if page is not None:
                return page
        if not self._texts:
            return await self._read(self._behind(self._wanted))
        (column, part), *others = self._texts.items()
        found = search.bookings_with(column, part)
        ids = [row.booking_id for row in await self._connection.execute(found.limit(FOUND + 1))]
        if len(ids) > FOUND:
            return await self._newest_of([*self._wanted, *self._one_by_one(others), self._booking_id.in_(found)])
        return await self._newest_of([*self._wanted, *self._one_by_one(others), in_array(self._booking_id)], ids=ids)

    async def _newest_of(self, wanted: Iterable[ColumnElement[bool]], **values: Any) -> Found[Item]:
        """The page of up to very many rows that fulfil ``wanted``.

        First only their times are read and sorted, which an index may have; then the rows with the newest times.
        """
        created_at = self._table.c.created_at
        before = decode_cursor(self._cursor)[0] if self._cursor is not None else None
        times = select(created_at).where(*wanted).order_by(_unindexed(created_at).desc()).limit(self._limit + 1)
        if before is not None:
            times = times.where(_unindexed(created_at) < before)
        newest = {row.created_at for row in await self._connection.execute(times, values)}
        if before is not None:
            newest.add(before)  # a row with this time may be behind the cursor
        if not newest:
            return (), None
        its = created_at.in_(sorted(newest))
        return await self._read(self._behind([*self._wanted, *self._one_by_one(self._texts.items()), its]))

    async def _among_newest(self) -> Found[Item] | None:
        """The page when the next ``LOOKED_AT`` rows fill it, or are all that there are; None otherwise."""
        created_at = self._table.c.created_at
        behind = self._behind(()).with_only_columns(created_at).offset(LOOKED_AT).limit(1)
        found = (await self._connection.execute(behind)).mappings().one_or_none()
        newest: list[ColumnElement[bool]] = [created_at >= found["created_at"]] if found else []
        page = await self._read(self._behind([*self._wanted, *self._one_by_one(self._texts.items()), *newest]))
        return page if found is None or page[1] is not None else None

    def _one_by_one(self, texts: Iterable[tuple[ColumnElement[str], str]]) -> Sequence[ColumnElement[bool]]:
        """The conditions on texts, put to the booking of each row."""
        has = [search.has_part(column, part) for column, part in texts]
        if self._table is tables.bookings:
            return has
        its = tables.bookings.c.id == self._booking_id
        # A scalar subquery, since PostgreSQL may turn EXISTS into a join that reads all bookings.
        return [select(each).where(its).scalar_subquery() for each in has]

    def _behind(self, wanted: Iterable[ColumnElement[bool]]) -> Select[Any]:
        """The newest rows that fulfil ``wanted``: up to ``limit``, and one more if another page follows."""
        columns = self._table.c
        statement = select(self._table).where(and_(True, *wanted))
        if self._cursor is not None:
            at, last_id = decode_cursor(self._cursor)
            behind = or_(columns.created_at < at, and_(columns.created_at == at, columns.id < last_id))
            statement = statement.where(behind)
        return statement.order_by(columns.created_at.desc(), columns.id.desc()).limit(self._limit + 1)

    async def _read(self, statement: Select[Any]) -> Found[Item]:
        result = await self._connection.execute(statement)
        found = [self._item(row) for row in result.mappings()]
        last = found[self._limit - 1] if len(found) > self._limit else None
        return tuple(found[: self._limit]), encode_cursor(last.created_at, last.id) if last else None


def _unindexed(created_at: ColumnElement[datetime]) -> ColumnElement[datetime]:
    """The same time; no index has this expression, so that rows are not walked through in its order."""
    return func.coalesce(created_at, created_at, type_=created_at.type)


# --- bookings --------------------------------------------------------------------------------------------------

_PENDING = tables.bookings.c.status == BookingStatus.PENDING.value
_HELD: Final = exists().where(
    tables.payments.c.booking_id == tables.bookings.c.id,
    tables.payments.c.status.in_([PaymentStatus.PROCESSING.value, PaymentStatus.REQUIRES_CAPTURE.value]),
)
_BEING_PAID: Final = exists().where(
    tables.payments.c.booking_id == tables.bookings.c.id,
    tables.payments.c.status.in_([status.value for status in PaymentStatus if status.is_open]),
)
_BOOKING_BY_REFERENCE: Final = rows_by(tables.bookings, "reference").where(
    tables.bookings.c.status.in_([status.value for status in tables.LIVE])
)
_DUE_TO_EXPIRE: Final = (
    select(tables.bookings.c.id)
    .where(_PENDING, tables.bookings.c.expires_at <= bindparam("now"), ~_HELD)
    .order_by(_BEING_PAID, tables.bookings.c.expires_at)
    .limit(bindparam("most"))
)
_LOCK_CUSTOMER: Final = select(LockUntilCommit(bindparam("name", type_=Text)))
_IS_WARNED: Final = exists().where(
    tables.outbox.c.booking_id == tables.bookings.c.id, tables.outbox.c.type == literal_column("'booking.expiring'")
)
_DUE_TO_WARN: Final = (
    select(tables.bookings.c.id)
    .where(
        _PENDING,
        tables.bookings.c.expires_at > bindparam("now"),
        tables.bookings.c.expires_at <= bindparam("until"),
        ~_HELD,
        ~_IS_WARNED,
    )
    .order_by(tables.bookings.c.expires_at)
    .limit(bindparam("most"))
)
_IS_DUE_TO_WARN: Final = _DUE_TO_WARN.where(tables.bookings.c.id == bindparam("booking_id"))
_COUNT_UNPAID: Final = (
    select(func.count())
    .select_from(tables.bookings)
    .where(_PENDING, tables.bookings.c.customer_id == bindparam("customer_id"))
)


_MANY_BOOKINGS: Final = select(tables.bookings).where(in_array(tables.bookings.c.id))


def _wanted_bookings(which: BookingFilter) -> Sequence[ColumnElement[bool] | None]:
    columns = tables.bookings.c
    return (
        columns.reference == which.reference if which.reference is not None else None,
        columns.customer_id == which.customer_id if which.customer_id is not None else None,
        columns.event_id == which.event_id if which.event_id is not None else None,
        columns.status == which.status.value if which.status else None,
        columns.status != literal_column("'confirmed'")  # as in the condition of the index
        if which.status not in (None, BookingStatus.CONFIRMED)
        else None,
    )


_BOOKING_LIST: Final = _List(
    table=tables.bookings,
    booking_id=tables.bookings.c.id,
    read=rows.booking_from,
    wanted=_wanted_bookings,
    texts=lambda which: {tables.bookings.c.search_text: which.text},
    may_be_rare=lambda which: False,
)


class SqlBookings(RecordingBookings):
    """The bookings of the port, in SQL."""

    def __init__(self, session: UnitOfWorkSession, connection: Execute) -> None:
        super().__init__(session)
        self._connection = connection

    async def by_reference(self, reference: str) -> Booking | None:
        result = await self._connection.execute(_BOOKING_BY_REFERENCE, {"reference": reference})
        row = result.mappings().one_or_none()
        return rows.booking_from(row) if row else None

    async def due_to_warn(
        self, now: datetime, until: datetime, limit: int, booking_id: str | None = None
    ) -> Sequence[str]:
        values = {"now": now, "until": until, "most": limit}
        if booking_id is not None:
            result = await self._connection.execute(_IS_DUE_TO_WARN, {**values, "booking_id": booking_id})
        else:
            result = await self._connection.execute(_DUE_TO_WARN, values)
        return [row.id for row in result]

    async def due_to_expire(self, now: datetime, limit: int) -> Sequence[str]:
        result = await self._connection.execute(_DUE_TO_EXPIRE, {"now": now, "most": limit})
        return [row.id for row in result]

    async def page(self, which: BookingFilter, cursor: str | None, limit: int) -> BookingPage:
        items, following = await _Search(self._connection, _BOOKING_LIST, which, cursor, limit).page()
        return BookingPage(items=items, next_cursor=following)

    async def many(self, ids: Collection[str]) -> Mapping[str, Booking]:
        result = await self._connection.execute(_MANY_BOOKINGS, {"ids": list(ids)})
        return {row["id"]: rows.booking_from(row) for row in result.mappings()}

    async def lock_customer(self, customer_id: str) -> None:
        (await self._connection.execute(_LOCK_CUSTOMER, {"name": f"customer {customer_id}"})).scalar_one()

    async def count_unpaid(self, customer_id: str) -> int:
        result = await self._connection.execute(_COUNT_UNPAID, {"customer_id": customer_id})
        return int(result.scalar_one())


# --- payments --------------------------------------------------------------------------------------------------

_JOURNAL: Final = rows_by(tables.journal, "payment_id").order_by(tables.journal.c.sequence)
_POSTINGS: Final = rows_by(tables.postings, "payment_id").order_by(tables.postings.c.sequence)
_DUE: Final = (
    select(tables.payments.c.id)
    .where(
        tables.payments.c.next_check_at <= bindparam("now"),
        or_(tables.payments.c.lease_until.is_(None), tables.payments.c.lease_until <= bindparam("now")),
    )
    .order_by(tables.payments.c.next_check_at)
    .limit(bindparam("most"))
)
_DUE_AT: Final = _DUE.where(tables.payments.c.gateway == bindparam("gateway"))


class SqlPayments(RecordingPayments):
    """The payments of the port, in SQL."""

    def __init__(self, session: UnitOfWorkSession, connection: Execute) -> None:
        super().__init__(session)
        self._connection = connection

    async def journal(self, payment_id: str) -> Sequence[Recorded]:
        result = await self._connection.execute(_JOURNAL, {"payment_id": payment_id})
        return [rows.recorded_from(row) for row in result.mappings()]

    async def postings(self, payment_id: str) -> Sequence[Posting]:
        result = await self._connection.execute(_POSTINGS, {"payment_id": payment_id})
        return [rows.posting_from(row) for row in result.mappings()]

    async def page(self, which: PaymentFilter, cursor: str | None, limit: int) -> PaymentPage:
        items, following = await _Search(self._connection, _PAYMENT_LIST, which, cursor, limit).page()
        return PaymentPage(items=items, next_cursor=following)

    async def due(self, now: datetime, limit: int, gateway: str | None = None) -> Sequence[str]:
        if gateway is None:
            result = await self._connection.execute(_DUE, {"now": now, "most": limit})
        else:
            result = await self._connection.execute(_DUE_AT, {"now": now, "most": limit, "gateway": gateway})
        return [row.id for row in result]


def _wanted_payments(which: PaymentFilter) -> Sequence[ColumnElement[bool] | None]:
    columns, of_booking = tables.payments.c, tables.bookings.c
    return (
        columns.status == which.status.value if which.status else None,
        columns.customer_id == which.customer_id if which.customer_id is not None else None,
        columns.reference == which.reference if which.reference is not None else None,
        columns.created_at >= which.created_from if which.created_from else None,
        columns.created_at < which.created_to if which.created_to else None,
        columns.updated_at >= which.updated_from if which.updated_from else None,
        columns.booking_id.in_(select(of_booking.id).where(of_booking.event_id == which.event_id))
        if which.event_id is not None
        else None,
        _charges(which.amount) if which.amount is not None else None,
        columns.currency == which.currency.code if which.currency is not None else None,
        columns.last4 == which.last4 if which.last4 is not None else None,
        _is_refunded(which.refunded) if which.refunded is not None else None,
        columns.disputed == int(which.disputed) if which.disputed is not None else None,
    )


def _charges(amount: Decimal) -> ColumnElement[bool]:
    """Payments of ``amount`` in major units, whatever their currency and its number of decimals."""
    columns = tables.payments.c
    scaled = {exponent: amount.scaleb(exponent) for exponent in _EXPONENTS}
    meant = {
        exponent: int(minor)
        for exponent, minor in scaled.items()
        if minor == minor.to_integral_value() and abs(minor) < 10**MAX_DIGITS
    }
    each = (
        and_(columns.amount_minor == minor, columns.currency.in_(_EXPONENTS[exponent]))
        for exponent, minor in meant.items()
    )
    return and_(columns.amount_minor.in_(meant.values()), or_(false(), *each))  # the first part is for the index


_EXPONENTS: Final = {
    exponent: [each.code for each in Currency if each.exponent == exponent]
    for exponent in sorted({each.exponent for each in Currency})
}
"""The currencies with each number of decimals."""


def _is_refunded(how_much: Refunded) -> ColumnElement[bool]:
    refunded, captured = tables.payments.c.refunded_minor, tables.payments.c.captured_minor
    none: ColumnElement[int] = literal_column("0")
    part = refunded + none > none  # all three as in the conditions of the indexes
    return {
        Refunded.NONE: refunded == 0,
        Refunded.PARTLY: and_(part, refunded < captured),
        Refunded.FULLY: and_(part, refunded >= captured),
        Refunded.ANY: refunded > none,
    }[how_much]


_PAYMENT_LIST: Final = _List(
    table=tables.payments,
    booking_id=tables.payments.c.booking_id,
    read=rows.payment_from,
    wanted=_wanted_payments,
    texts=lambda which: {tables.bookings.c.search_text: which.text, tables.bookings.c.search_email: which.email},
    may_be_rare=lambda which: which.amount is not None,
)


# --- books ----------------------------------------------------------------------------------------------------


def _may_move(since: datetime) -> ColumnElement[bool]:
    """Payments that are not final, or changed since then. Disputes have no column: their statuses are looked for in
    the JSON, which may find a few too many."""
    columns = tables.payments.c
    disputed = [
        columns.state.contains(f'"{status.value}"', autoescape=True) for status in DisputeStatus if status.is_open
    ]
    is_open = columns.status.in_([status.value for status in PaymentStatus if status.is_open])
    disputed.append(columns.state.contains('"contradictory":true'))
    disputed.append(and_(columns.state.contains('"won"'), columns.state.contains('"withdrawn"')))
    watched = columns.next_check_at.is_not(None)
    refunding = or_(columns.refund_pending_minor > 0, columns.owed_minor > 0)
    return or_(columns.updated_at >= since, is_open, watched, refunding, *disputed)


_MANY_PAYMENTS: Final = select(tables.payments).where(in_array(tables.payments.c.id))
_MANY_BY_INTENT: Final = select(tables.payments).where(in_array(tables.payments.c.intent_id))
_MANY_BY_BOOKING: Final = (
    select(tables.payments)
    .where(in_array(tables.payments.c.booking_id))
    .order_by(tables.payments.c.booking_id, tables.payments.c.created_at)
)
_MANY_JOURNALS: Final = (
    select(tables.journal)
    .where(in_array(tables.journal.c.payment_id))
    .order_by(tables.journal.c.payment_id, tables.journal.c.sequence)
)
_MANY_POSTINGS: Final = (
    select(tables.postings)
    .where(in_array(tables.postings.c.payment_id))
    .order_by(tables.postings.c.payment_id, tables.postings.c.sequence)
)


class SqlPaymentReader:
    """The books of the port, in SQL."""

    def __init__(self, connection: Execute) -> None:
        self._connection = connection

    async def count(self, since: datetime | None = None) -> int:
        statement = select(func.count()).select_from(tables.payments)
        result = await self._connection.execute(statement.where(_may_move(since)) if since else statement)
        return int(result.scalar_one())

    async def ids(self, after: str, limit: int, since: datetime | None = None) -> Sequence[str]:
        columns = tables.payments.c
        statement = select(columns.id).where(columns.id > after).order_by(columns.id).limit(limit)
        result = await self._connection.execute(statement.where(_may_move(since)) if since else statement)
        return [row.id for row in result]

    async def payments(self, ids: Collection[str]) -> Mapping[str, Payment]:
        return {row["id"]: rows.payment_from(row) for row in await self._rows(_MANY_PAYMENTS, ids)}

    async def of_intents(self, intent_ids: Collection[str]) -> Mapping[str, Payment]:
        return {row["intent_id"]: rows.payment_from(row) for row in await self._rows(_MANY_BY_INTENT, intent_ids)}

    async def of_bookings(self, booking_ids: Collection[str]) -> Mapping[str, Sequence[Payment]]:
        found: dict[str, list[Payment]] = defaultdict(list)
        for row in await self._rows(_MANY_BY_BOOKING, booking_ids):
            found[row["booking_id"]].append(rows.payment_from(row))
        return found

    async def histories(self, ids: Collection[str]) -> Mapping[str, PaymentHistory]:
        journals: dict[str, list[Recorded]] = defaultdict(list)
        for row in await self._rows(_MANY_JOURNALS, ids):
            journals[row["payment_id"]].append(rows.recorded_from(row))
        postings: dict[str, list[Posting]] = defaultdict(list)
        for row in await self._rows(_MANY_POSTINGS, ids):
            postings[row["payment_id"]].append(rows.posting_from(row))
        found = {row["id"]: (row, rows.payment_from(row)) for row in await self._rows(_MANY_PAYMENTS, ids)}
        return {
            payment_id: PaymentHistory(
                payment=payment,
                journal=tuple(journals[payment_id]),
                postings=tuple(postings[payment_id]),
                stale=rows.stale_columns(row, payment),
            )
            for payment_id, (row, payment) in found.items()
        }

    async def _rows(self, statement: Select[Any], ids: Collection[str]) -> Sequence[RowMapping]:
        result = await self._connection.execute(statement, {"ids": list(ids)})
        return result.mappings().all()


# --- inbox, answers --------------------------------------------------------------------------------------------

_UNFINISHED: Final = (
    select(tables.inbox)
    .where(tables.UNFINISHED)
    .order_by(tables.inbox.c.received_at, tables.inbox.c.id)
    .limit(bindparam("most"))
)
_OF_GATEWAY: Final = tables.inbox.c.gateway == bindparam("its_gateway")
_DONE_EVENTS: Final = select(tables.inbox.c.event_id).where(
    in_array(tables.inbox.c.event_id),
    _OF_GATEWAY,
    tables.inbox.c.status.in_([each.value for each in InboxStatus if each.is_done]),
)
_LATEST_DELIVERY: Final = select(func.max(tables.inbox.c.delivered_at)).where(_OF_GATEWAY)
_NEWEST_EVENT: Final = select(func.max(tables.inbox.c.created_at)).where(_OF_GATEWAY)
_REFUSED: Final = tables.refused_deliveries.c
_ADD_REFUSED: Final = insert(tables.refused_deliveries)
_COUNT_REFUSED: Final = (
    update(tables.refused_deliveries)
    .where(_REFUSED.gateway == bindparam("its_gateway"), _REFUSED.hour == bindparam("its_hour"))
    .values(deliveries=_REFUSED.deliveries + bindparam("more", type_=_REFUSED.deliveries.type))
)
_FORGET_REFUSED: Final = delete(tables.refused_deliveries).where(_REFUSED.hour < bindparam("than"))
_REFUSED_SINCE: Final = select(func.coalesce(func.sum(_REFUSED.deliveries), 0)).where(
    _REFUSED.gateway == bindparam("its_gateway"), _REFUSED.hour >= bindparam("since")
)


class SqlInbox(RecordingInbox):
    """The inbox of the port, in SQL."""

    def __init__(self, session: UnitOfWorkSession, connection: Execute) -> None:
        super().__init__(session)
        self._connection = connection

    async def unfinished(self, limit: int) -> Sequence[InboxEntry]:
        result = await self._connection.execute(_UNFINISHED, {"most": limit})
        return [rows.inbox_from(row) for row in result.mappings()]

    async def latest(self, which: InboxFilter, limit: int) -> Sequence[InboxEntry]:
        statement = select(tables.inbox).where(_is_meant(which)).order_by(tables.inbox.c.id.desc()).limit(limit)
        return [rows.inbox_from(row) for row in (await self._connection.execute(statement)).mappings()]

    async def keys(self, which: InboxFilter) -> Sequence[EventKey]:
        columns = tables.inbox.c
        statement = select(columns.gateway, columns.event_id, columns.type).where(_is_meant(which)).order_by(columns.id)
        result = await self._connection.execute(statement)
        return [EventKey(row.gateway, row.event_id, row.type) for row in result]

    async def done(self, gateway: str, event_ids: Collection[str]) -> Collection[str]:
        result = await self._connection.execute(_DONE_EVENTS, {"its_gateway": gateway, "ids": list(event_ids)})
        return {row.event_id for row in result}

    async def newest(self, gateway: str) -> datetime | None:
        newest: datetime | None = (await self._connection.execute(_NEWEST_EVENT, {"its_gateway": gateway})).scalar_one()
        return newest

    async def latest_delivery(self, gateway: str) -> datetime | None:
        at: datetime | None = (await self._connection.execute(_LATEST_DELIVERY, {"its_gateway": gateway})).scalar_one()
        return at

    async def count_refused(self, gateway: str, hour: datetime, deliveries: int) -> None:
        its = {"its_gateway": gateway, "its_hour": hour, "more": deliveries}
        if (await self._connection.execute(_COUNT_REFUSED, its)).rowcount:
            return
        await self._connection.execute(_FORGET_REFUSED, {"than": hour - REFUSALS_KEPT})
        first = {"gateway": gateway, "hour": hour, "deliveries": deliveries}
        await store_first(self._connection, _ADD_REFUSED, first)

    async def refused_since(self, gateway: str, at: datetime) -> int:
        found = await self._connection.execute(_REFUSED_SINCE, {"its_gateway": gateway, "since": at})
        return int(found.scalar_one())


def _is_meant(which: InboxFilter) -> ColumnElement[bool]:
    columns = tables.inbox.c
    wanted = [
        columns.status.in_([status.value for status in which.statuses]) if which.statuses is not None else None,
        columns.type == which.type if which.type is not None else None,
        columns.received_at >= which.received_from if which.received_from else None,
    ]
    return and_(True, *(each for each in wanted if each is not None))


_ITS_ANSWER: Final = and_(
    tables.answers.c.caller == bindparam("its_caller"),
    tables.answers.c.route == bindparam("its_route"),
    tables.answers.c.key == bindparam("its_key"),
)
_ANSWER: Final = select(tables.answers).where(_ITS_ANSWER).with_for_update()
_ADD_ANSWER: Final = insert(tables.answers)
_SAVE_ANSWER: Final = update(tables.answers).where(_ITS_ANSWER)
_REMOVE_ANSWER: Final = delete(tables.answers).where(_ITS_ANSWER)
_REMOVE_OLD_ANSWERS: Final = delete(tables.answers).where(tables.answers.c.created_at < bindparam("than"))


def _its(caller: str, route: str, key: str) -> dict[str, str]:
    return {"its_caller": caller, "its_route": route, "its_key": key}


class SqlAnswers:
    """The stored answers of the port, in SQL."""

    def __init__(self, connection: Execute) -> None:
        self._connection = connection
        self._missing = set[tuple[str, str, str]]()

    async def get(self, caller: str, route: str, key: str) -> StoredAnswer | None:
        result = await self._connection.execute(_ANSWER, _its(caller, route, key))
        row = result.mappings().one_or_none()
        if row is None:
            self._missing.add((caller, route, key))
        return rows.answer_from(row) if row else None

    async def put(self, answer: StoredAnswer) -> None:
        values, key = rows.answer_values(answer), (answer.caller, answer.route, answer.key)
        if key not in self._missing:
            changed = await self._connection.execute(_SAVE_ANSWER, {**values, **_its(*key)})
            if changed.rowcount:
                return
        await store_first(self._connection, _ADD_ANSWER, values)
        self._missing.discard(key)

    async def remove(self, caller: str, route: str, key: str) -> None:
        await self._connection.execute(_REMOVE_ANSWER, _its(caller, route, key))

    async def remove_older(self, than: datetime) -> int:
        return (await self._connection.execute(_REMOVE_OLD_ANSWERS, {"than": than})).rowcount
