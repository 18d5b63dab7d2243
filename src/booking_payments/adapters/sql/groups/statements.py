"""The two statements of a group: one reads for all members, one writes for all members.

Their parameters are JSON, one text per table, so that the statement is the same for every size of group and is prepared
once. The columns are taken from ``tables``, so a new column needs no change here.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from attrs import frozen
from sqlalchemy import (
    CTE,
    JSON,
    ColumnElement,
    Dialect,
    Executable,
    Integer,
    Select,
    Table,
    TableValuedAlias,
    Text,
    and_,
    bindparam,
    cast,
    column,
    exists,
    func,
    insert,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql.psycopg import dialect as psycopg_dialect
from sqlalchemy.types import TypeEngine, UserDefinedType

from booking_payments.adapters.sql import tables
from booking_payments.adapters.sql.tables import IS_FIXED

_DIALECT: Final[Dialect] = psycopg_dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call] # as it is


class _TransactionId(UserDefinedType[str]):
    """PostgreSQL's type of ``xmin``."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "XID"


def _columns(table: Table, *without: str) -> tuple[str, ...]:
    return tuple(each.name for each in table.columns if each.name not in without)


def _changing(table: Table) -> tuple[str, ...]:
    return tuple(each.name for each in table.columns if not each.info.get(IS_FIXED))


PAYMENT: Final = _columns(tables.payments)
BOOKING: Final = _columns(tables.bookings)
ENTRY: Final = _columns(tables.inbox, "id")
CHANGING: Final = _changing(tables.payments)
"""The columns of a payment that may change. They are all written, as they were read where nothing has changed."""
CHANGING_OF_BOOKING: Final = _changing(tables.bookings)
"""The same of a booking."""
LOCK_OF_BOOKING: Final = ("id", "status", "version", "payments_begun")
"""The columns that tell whether a booking is as it was read: each transaction that changes one changes one of these."""

INSERTED: Final[Mapping[Table, tuple[str, ...]]] = {
    tables.payments: PAYMENT,
    tables.operation_keys: _columns(tables.operation_keys),
    tables.journal: _columns(tables.journal),
    tables.postings: _columns(tables.postings),
    tables.gateway_ids: _columns(tables.gateway_ids),
    tables.outbox: _columns(tables.outbox, "position", "unassigned"),
    tables.inbox: ENTRY,
    tables.audit: _columns(tables.audit, "id"),
}
"""What rows are added to, and which of their columns are given; the database gives the others."""

LOCKED_BOOKINGS: Final = "locked_bookings"
CHANGED_BOOKINGS: Final = "changed_bookings"
CHANGED_PAYMENTS: Final = "changed_payments"
WRITTEN_BY: Final = "written_by"
"""The transaction that wrote a payment's row (``xmin``): another one has, when anything of it has changed."""

ROWS: Final = (LOCKED_BOOKINGS, CHANGED_BOOKINGS, CHANGED_PAYMENTS, *(table.name for table in INSERTED))
"""The parameters of the writing statement that hold rows."""

COUNTED: Final = (LOCKED_BOOKINGS, CHANGED_PAYMENTS)
"""Those of them whose rows all have to be as they were read."""

_XMIN: Final = literal_column(f"{tables.payments.name}.xmin", _TransactionId())


def count_of(name: str) -> str:
    """The parameter that says how many rows the parameter ``name`` holds."""
    return f"{name}_count"


@frozen
class Statement:
    """A statement as text for PostgreSQL, and the names of its parameters in their order ($1, $2, ...).

    psycopg reads a text with named parameters anew each time it is longer than 4 kB.
    """

    text: str
    names: tuple[str, ...]

    def values(self, given: Mapping[str, Any]) -> Sequence[Any]:
        """The parameters in their order."""
        return [given[name] for name in self.names]

    @classmethod
    def of(cls, statement: Executable) -> "Statement":
        compiled = statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined] # all of ours can be compiled
        return cls(str(compiled), tuple(compiled.positiontup or ()))


def _given(parameter: str, types: Mapping[str, TypeEngine[Any]]) -> TableValuedAlias:
    """The rows that a parameter holds, as a table of these columns."""
    rows = func.json_to_recordset(cast(bindparam(parameter, type_=Text()), JSON))
    named = rows.table_valued(*(column(name, type_) for name, type_ in types.items()))
    return named.render_derived(name=f"given_{parameter}", with_types=True)


def _types(table: Table, columns: Iterable[str]) -> dict[str, TypeEngine[Any]]:
    return {name: table.c[name].type for name in columns}


def _last_number(table: Table, of: ColumnElement[bool]) -> ColumnElement[int]:
    return select(func.coalesce(func.max(table.c.sequence), literal_column("0"))).where(of).scalar_subquery()


def _read() -> Select[Any]:
    scopes = _given("subjects", {"place": Integer(), "booking_id": Text(), "intent_id": Text(), "event_id": Text()})
    named, bookings, payments, entries = tables.payments.alias("named"), tables.bookings, tables.payments, tables.inbox
    found = (
        scopes.outerjoin(named, named.c.intent_id == scopes.c.intent_id)
        .outerjoin(bookings, bookings.c.id == func.coalesce(scopes.c.booking_id, named.c.booking_id))
        .outerjoin(payments, payments.c.booking_id == bookings.c.id)
        .outerjoin(entries, entries.c.event_id == scopes.c.event_id)
    )
    return (
        select(
            scopes.c.place,
            *(bookings.c[name] for name in BOOKING),
            _last_number(tables.outbox, tables.outbox.c.booking_id == bookings.c.id),
            *(payments.c[name] for name in PAYMENT),
            _last_number(tables.postings, tables.postings.c.payment_id == payments.c.id),
            cast(_XMIN, Text),
            *(entries.c[name] for name in ENTRY),
        )
        .select_from(found)
        .order_by(scopes.c.place, payments.c.created_at, entries.c.id)
    )


READ: Final = Statement.of(_read())
"""For each member one row, and more of them where its booking has several payments, or its event id was seen
from another gateway or under another type, too."""

READ_TIME: Final = Statement.of(select(func.clock_timestamp()))


# --- writing ---------------------------------------------------------------------------------------------------


def _locked_bookings() -> CTE:
    """Select and lock the bookings that are unchanged since they were read and that no other transaction has locked."""
    bookings, given = tables.bookings, _given(LOCKED_BOOKINGS, _types(tables.bookings, LOCK_OF_BOOKING))
    is_as_read = and_(*(bookings.c[name] == given.c[name] for name in LOCK_OF_BOOKING))
    return (
        select(bookings.c.id)
        .join_from(bookings, given, is_as_read)
        .with_for_update(of=bookings, skip_locked=True)
        .cte("locked_bookings")
    )


def _locked_payments() -> CTE:
    """Select, and lock, the new values of payments that are unchanged since they were read."""
    payments = tables.payments
    given = _given(CHANGED_PAYMENTS, {**_types(payments, CHANGING), WRITTEN_BY: _TransactionId()})
    return (
        select(*(given.c[name] for name in CHANGING))
        .join_from(payments, given, payments.c.id == given.c.id)
        .where(given.c[WRITTEN_BY] == _XMIN)
        .with_for_update(of=payments, key_share=True, skip_locked=True)
        .cte("locked_payments")
    )


_LOCKS: Final = {LOCKED_BOOKINGS: _locked_bookings, CHANGED_PAYMENTS: _locked_payments}


def _change(table: Table, columns: Sequence[str], given: TableValuedAlias | CTE, condition: ColumnElement[bool]) -> CTE:
    values = {name: given.c[name] for name in columns if name != "id"}
    changed = update(table).values(values).where(table.c.id == given.c.id, condition)
    return changed.cte(f"changed_{table.name}")


def _add(table: Table, columns: Sequence[str], condition: ColumnElement[bool]) -> CTE:
    given = _given(table.name, _types(table, columns))
    added = insert(table).from_select(list(columns), select(*(given.c[name] for name in columns)).where(condition))
    return added.cte(f"added_{table.name}")


def _add_messages(columns: Sequence[str], condition: ColumnElement[bool]) -> Sequence[CTE]:
    """Insert the messages, and a delivery for each message and recorded channel. One statement sees one set of
    channels: if it has to wait for a transaction that adds or removes one, it waits before its snapshot is taken."""
    table, given = tables.outbox, _given(tables.outbox.name, _types(tables.outbox, columns))
    channels, deliveries = tables.message_channels, tables.message_deliveries
    is_unassigned = cast(~exists(select(channels.c.name)), Integer)
    messages = (
        insert(table)
        .from_select(
            [*columns, "unassigned"], select(*(given.c[name] for name in columns), is_unassigned).where(condition)
        )
        .returning(table.c.position, table.c.booking_id, table.c.sequence)
        .cte("added_messages")
    )
    its = messages.c
    on_channels = select(channels.c.name, its.position, its.booking_id, its.sequence).join_from(
        messages, channels, true()
    )
    fan_out = insert(deliveries).from_select(["channel", "position", "booking_id", "sequence"], on_channels)
    return [messages, fan_out.cte("added_deliveries")]


@cache
def write(*parameters: str) -> Statement:
    """The statement that writes these parameters, which are some of ``ROWS``, in that order.

    It writes everything or nothing, and says which: True where all payments and bookings are as they were read. Each
    part opens its table with all its indexes, whether there is anything to write or not; so those without are left out.
    """
    locks = {name: _LOCKS[name]() for name in COUNTED if name in parameters}
    is_current = true().self_group()
    parts: list[CTE] = []
    if locks:
        counted = [
            select(func.count()).select_from(lock).scalar_subquery() == bindparam(count_of(name), type_=Integer())
            for name, lock in locks.items()
        ]
        check = select(and_(*counted).label("is_current")).cte("check_all")
        is_current = select(check.c.is_current).scalar_subquery()
    given = set(parameters)
    if CHANGED_BOOKINGS in given:
        changed = _given(CHANGED_BOOKINGS, _types(tables.bookings, CHANGING_OF_BOOKING))
        parts.append(_change(tables.bookings, CHANGING_OF_BOOKING, changed, is_current))
    if CHANGED_PAYMENTS in given:
        parts.append(_change(tables.payments, CHANGING, locks[CHANGED_PAYMENTS], is_current))
    for table, columns in INSERTED.items():
        if table.name not in given:
            continue
        parts += _add_messages(columns, is_current) if table is tables.outbox else [_add(table, columns, is_current)]
    return Statement.of(select(is_current.label("is_current")).add_cte(*parts))


SESSION: Final[Mapping[str, str]] = {
    "timezone": "UTC",
    "default_transaction_isolation": "read committed",
    "lock_timeout": "200ms",
    "plan_cache_mode": "force_generic_plan",
    **dict.fromkeys(["enable_seqscan", "enable_hashjoin", "enable_mergejoin"], "off"),
}
"""Session settings. A statement is planned once, perhaps while its tables are empty, and keeps that plan when they are
large; these settings force lookups by key. A held lock makes the statement fail at once, and each member then waits in
its own transaction."""
