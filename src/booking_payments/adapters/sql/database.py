"""Loads what a scope names, and writes a change set, in the transaction of one connection.

Statements are built once, as module constants, so that SQLAlchemy compiles each only once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Executable, Select, Table, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from booking_payments.adapters.sql import outbox, rows, tables
from booking_payments.adapters.sql.changes import Numbers, added_rows, changed_payment_values
from booking_payments.adapters.sql.execute import Execute
from booking_payments.adapters.sql.failures import is_taken
from booking_payments.adapters.unit_of_work import ChangeSet, EntryChange, Loaded, PaymentChange, Scope, ScopeKind
from booking_payments.ports.storage import AlreadyExists


class RestartTransaction(Exception):  # noqa: N818 - it asks for something, it is no failure
    """Another transaction stored the same new row first: start over and see it."""


def rows_by(table: Table, *names: str) -> Select[Any]:
    """All columns of the rows whose columns ``names`` have the values bound under the same names."""
    return select(table).where(*(table.c[name] == bindparam(name) for name in names))


# --- reading ---------------------------------------------------------------------------------------------------

_BOOKING: Final = rows_by(tables.bookings, "id")
_PAYMENT: Final = rows_by(tables.payments, "id")
_PAYMENT_BY_INTENT: Final = rows_by(tables.payments, "intent_id")
_PAYMENT_BY_GATEWAY_ID: Final = (
    select(tables.payments)
    .join(tables.gateway_ids, tables.gateway_ids.c.payment_id == tables.payments.c.id)
    .where(tables.gateway_ids.c.gateway_id == bindparam("gateway_id"))
)
_PAYMENTS_OF_BOOKING: Final = rows_by(tables.payments, "booking_id").order_by(tables.payments.c.created_at)
_ENTRIES: Final = rows_by(tables.inbox, "event_id").order_by(tables.inbox.c.id)

_READ: Final[Mapping[ScopeKind, Sequence[tuple[Select[Any], str]]]] = {
    ScopeKind.BOOKING: ((_BOOKING, "id"),),
    ScopeKind.LOCKED_BOOKING: ((_BOOKING.with_for_update(), "id"),),
    ScopeKind.PAYMENTS_OF_BOOKING: ((_PAYMENTS_OF_BOOKING, "booking_id"),),
    ScopeKind.PAYMENT: ((_PAYMENT, "id"),),
    ScopeKind.GATEWAY_ID: ((_PAYMENT_BY_INTENT, "intent_id"), (_PAYMENT_BY_GATEWAY_ID, "gateway_id")),
    ScopeKind.EVENT: ((_ENTRIES, "event_id"),),
}
"""The statements of each scope with the name of their parameter; the first one that finds something decides."""

# --- writing ---------------------------------------------------------------------------------------------------

_BOOKINGS: Final = tables.bookings.c
_PAYMENTS: Final = tables.payments.c
_IS_BOOKING: Final = _BOOKINGS.id == bindparam("its_id")
_SAVE_BOOKING: Final = update(tables.bookings).where(_IS_BOOKING)
_COUNT_PAYMENTS: Final = _SAVE_BOOKING.values(payments_begun=_BOOKINGS.payments_begun + bindparam("begun"))
_SAVE_PAYMENT: Final = update(tables.payments).where(_PAYMENTS.id == bindparam("its_id"))
_SAVE_PAYMENT_VERSION: Final = _SAVE_PAYMENT.where(_PAYMENTS.version == bindparam("version_before"))
_KNOWN_GATEWAY_IDS: Final = select(tables.gateway_ids.c.gateway_id).where(
    tables.gateway_ids.c.payment_id == bindparam("payment_id")
)
_LAST_POSTING: Final = select(func.coalesce(func.max(tables.postings.c.sequence), 0)).where(
    tables.postings.c.payment_id == bindparam("its_id")
)
_LAST_MESSAGE: Final = select(func.coalesce(func.max(tables.outbox.c.sequence), 0)).where(
    tables.outbox.c.booking_id == bindparam("its_id")
)
_INSERT: Final[Mapping[Table, Executable]] = {
    table: insert(table)
    for table in (
        tables.payments,
        tables.journal,
        tables.operation_keys,
        tables.gateway_ids,
        tables.postings,
        tables.audit,
    )
} | {tables.outbox: outbox.ADD}
"""The order of the inserts: a payment comes before the rows that refer to it."""

_ADD_BOOKING: Final = insert(tables.bookings)
_ADD_ENTRY: Final = insert(tables.inbox)
_SAVE_ENTRY: Final = update(tables.inbox).where(
    tables.inbox.c.event_id == bindparam("its_event_id"),
    tables.inbox.c.gateway == bindparam("its_gateway"),
    tables.inbox.c.type == bindparam("its_type"),
)


class SqlDatabase:
    """The tables, in the transaction of a connection."""

    def __init__(self, connection: Execute) -> None:
        self._connection = connection

    async def load(self, scope: Scope) -> Loaded:
        for statement, name in _READ[scope.kind]:
            found = (await self._connection.execute(statement, {name: scope.id})).mappings().all()
            if found:
                return _loaded(scope.kind, found)
        return Loaded()

    async def flush(self, changes: ChangeSet) -> None:
        for booking in changes.new_bookings:
            await self._insert(_ADD_BOOKING, [rows.booking_values(booking)], booking.reference)
        await self._save_bookings(changes)
        for change in changes.payments.values():
            if not change.is_new:
                await self._save_payment(change)
        added = added_rows(changes, await self._numbers(changes), await self._known_gateway_ids(changes))
        for table, statement in _INSERT.items():
            if table in added:
                await self._insert(statement, added[table], next(iter(changes.payments), table.name))
        if tables.outbox in added:
            await self._connection.execute(outbox.FAN_OUT, {"ids": [row["id"] for row in added[tables.outbox]]})
        for entry in changes.entries.values():
            await self._put(entry)

    async def _insert(self, statement: Executable, values: Sequence[rows.Values], what: str) -> None:
        try:
            await self._connection.execute(statement, values if len(values) > 1 else values[0])
        except IntegrityError as error:
            if not is_taken(error):
                raise
            raise AlreadyExists(what) from error

    async def _save_bookings(self, changes: ChangeSet) -> None:
        begun = changes.payments_begun()
        for booking_id in dict.fromkeys([*changes.bookings, *begun]):
            booking = changes.bookings.get(booking_id)
            values: rows.Values = {"its_id": booking_id, **(rows.booking_changes(booking) if booking else {})}
            if booking_id in begun:
                await self._connection.execute(_COUNT_PAYMENTS, {**values, "begun": begun[booking_id]})
            else:
                await self._connection.execute(_SAVE_BOOKING, values)

    async def _save_payment(self, change: PaymentChange) -> None:
        values = {"its_id": change.payment_id, **changed_payment_values(change)}
        if change.payment is None:
            await self._connection.execute(_SAVE_PAYMENT, values)
            return
        values["version_before"] = change.version_before
        try:
            changed = await self._connection.execute(_SAVE_PAYMENT_VERSION, values)
        except IntegrityError as error:
            if not is_taken(error):
                raise
            raise AlreadyExists(change.payment_id) from error
        if changed.rowcount != 1:
            raise AlreadyExists(f"{change.payment_id} has moved on")

    async def _numbers(self, changes: ChangeSet) -> Numbers:
        booking_ids = dict.fromkeys(each.booking_id for each in changes.messages)
        posted = [each.payment_id for each in changes.payments.values() if each.postings and not each.is_new]
        return Numbers(
            postings={its: await self._number(_LAST_POSTING, its) for its in posted},
            messages={its: await self._number(_LAST_MESSAGE, its) for its in booking_ids},
        )

    async def _number(self, statement: Select[Any], its_id: str) -> int:
        return int((await self._connection.execute(statement, {"its_id": its_id})).scalar_one())

    async def _known_gateway_ids(self, changes: ChangeSet) -> Mapping[str, Sequence[str]]:
        """Of the payments that were not loaded as they are, if there may be new ones."""
        known = {}
        for change in changes.payments.values():
            if not change.knows_before and change.new_gateway_ids():
                result = await self._connection.execute(_KNOWN_GATEWAY_IDS, {"payment_id": change.payment_id})
                known[change.payment_id] = [row.gateway_id for row in result]
        return known

    async def _put(self, change: EntryChange) -> None:
        entry, values = change.entry, rows.inbox_values(change.entry)
        if not change.is_new:
            its = {"its_event_id": entry.event_id, "its_gateway": entry.gateway, "its_type": entry.type}
            if (await self._connection.execute(_SAVE_ENTRY, {**values, **its})).rowcount:
                return
        await store_first(self._connection, _ADD_ENTRY, values)


def _loaded(kind: ScopeKind, found: Sequence[rows.Row]) -> Loaded:
    if kind in (ScopeKind.BOOKING, ScopeKind.LOCKED_BOOKING):
        return Loaded(booking=rows.booking_from(found[0]))
    if kind is ScopeKind.EVENT:
        return Loaded(entries=[rows.inbox_from(row) for row in found])
    return Loaded(payments=[rows.stored_payment_from(row) for row in found])


async def store_first(connection: Execute, statement: Executable, values: Mapping[str, Any]) -> None:
    """Insert a row that did not exist when it was read. Raises ``RestartTransaction`` when another transaction has
    inserted it.

    An update instead would overwrite the row of the other transaction, which READ COMMITTED makes visible.
    """
    try:
        await connection.execute(statement, values)
    except IntegrityError as error:
        if not is_taken(error):
            raise
        raise RestartTransaction from error
