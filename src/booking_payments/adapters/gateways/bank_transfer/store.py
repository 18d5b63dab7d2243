"""The gateway's own tables, and transactions over them.

They are in the service's database and migrated with it, but the rest of the service does not read them. The service
calls a gateway only outside of its own transactions, so the two never wait for each other's locks.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import ColumnElement, RowMapping, Select, Table, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from booking_payments.adapters.gateways.bank_transfer.records import BankRefund, Transfer
from booking_payments.adapters.gateways.bank_transfer.tables import RecordTables
from booking_payments.adapters.sql.engine import READS, open_engine
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.ports.gateway import OutcomeAmbiguous

T = TypeVar("T")

MAX_BEGINS: Final = 3
"""How often a transaction is started: another one may have inserted the same record in between."""


class Records:
    """The tables within one transaction."""

    def __init__(self, connection: AsyncConnection, tables: RecordTables) -> None:
        self._connection, self._tables = connection, tables

    async def transfer(self, transfer_id: str, *, lock: bool = False) -> Transfer | None:
        """Return the transfer with this id; None if it is unknown. ``lock`` locks it until the transaction ends."""
        query = select(self._tables.transfers).where(self._tables.transfers.c.id == transfer_id)
        row = (await self._connection.execute(query.with_for_update() if lock else query)).mappings().one_or_none()
        return _transfer(row) if row else None

    async def bank_refund(self, refund_id: str, *, lock: bool = False) -> BankRefund | None:
        """Return the refund with this id; None if it is unknown. ``lock`` as in ``transfer``."""
        query = select(self._tables.bank_refunds).where(self._tables.bank_refunds.c.id == refund_id)
        row = (await self._connection.execute(query.with_for_update() if lock else query)).mappings().one_or_none()
        return _bank_refund(row) if row else None

    async def transfers(self, *which: ColumnElement[bool]) -> Sequence[Transfer]:
        """Return the transfers that match, oldest first."""
        return [_transfer(row) for row in await self._oldest_first(self._tables.transfers, which)]

    async def bank_refunds(self, *which: ColumnElement[bool]) -> Sequence[BankRefund]:
        """Return the refunds that match, oldest first."""
        return [_bank_refund(row) for row in await self._oldest_first(self._tables.bank_refunds, which)]

    async def add_transfer(self, transfer: Transfer) -> None:
        await self._connection.execute(insert(self._tables.transfers), _common(transfer))

    async def add_bank_refund(self, bank_refund: BankRefund) -> None:
        own = {"transfer_id": bank_refund.transfer_id, "failure": bank_refund.failure}
        await self._connection.execute(insert(self._tables.bank_refunds), {**_common(bank_refund), **own})

    async def change_transfer(self, transfer: Transfer) -> None:
        changed = {"status": transfer.status.value, "ended_at": transfer.ended_at}
        await self._connection.execute(
            update(self._tables.transfers).where(self._tables.transfers.c.id == transfer.id).values(**changed)
        )

    async def change_bank_refund(self, bank_refund: BankRefund) -> None:
        changed = {"status": bank_refund.status.value, "ended_at": bank_refund.ended_at, "failure": bank_refund.failure}
        await self._connection.execute(
            update(self._tables.bank_refunds).where(self._tables.bank_refunds.c.id == bank_refund.id).values(**changed)
        )

    async def _oldest_first(self, table: Table, which: Sequence[ColumnElement[bool]]) -> Sequence[RowMapping]:
        query: Select[Any] = select(table).where(*which).order_by(table.c.position)
        rows: Sequence[RowMapping] = (await self._connection.execute(query)).mappings().all()
        return rows


class TransferStore:
    """Runs transactions over the tables."""

    def __init__(self, engine: AsyncEngine, tables: RecordTables) -> None:
        self._engine, self.tables = engine, tables

    @classmethod
    def open(cls, database_url: str, tables: RecordTables) -> "TransferStore":
        """Return the store over ``tables`` in the database at ``database_url``, whose schema is current."""
        return cls(open_engine(database_url), tables)

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    async def transact(self, work: Callable[[Records], Awaitable[T]]) -> T:
        """Run ``work`` in one transaction. Raises ``OutcomeAmbiguous`` when its outcome is unknown."""
        for begun in range(1, MAX_BEGINS + 1):
            try:
                async with self._begun(self._engine) as records:
                    return await work(records)
            except IntegrityError as error:
                if begun == MAX_BEGINS:
                    raise OutcomeAmbiguous("the database did not accept the record", code="database_busy") from error
        raise AssertionError("unreachable")

    async def read(self, work: Callable[[Records], Awaitable[T]]) -> T:
        """Run ``work``, which only reads, without locks. Raises ``OutcomeAmbiguous`` without a response in time."""
        async with self._begun(self._engine.execution_options(**{READS: True})) as records:
            return await work(records)

    @asynccontextmanager
    async def _begun(self, engine: AsyncEngine) -> AsyncIterator[Records]:
        try:
            async with engine.begin() as connection:
                yield Records(connection, self.tables)
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise OutcomeAmbiguous("the database did not respond", code="database_unavailable") from error


def made_between(table: Table, since: datetime, until: datetime | None) -> Sequence[ColumnElement[bool]]:
    """Return the condition for records created at or after ``since``, and before ``until``."""
    return _between(table.c.created_at, since, until)


def ended_between(table: Table, since: datetime, until: datetime | None) -> Sequence[ColumnElement[bool]]:
    """Return the condition for records that ended in that time."""
    return _between(table.c.ended_at, since, until)


def _between(column: ColumnElement[datetime], since: datetime, until: datetime | None) -> Sequence[ColumnElement[bool]]:
    return [column >= since] if until is None else [column >= since, column < until]


# --- rows ------------------------------------------------------------------------------------------------------


def _common(record: Transfer | BankRefund) -> dict[str, Any]:
    return {
        "id": record.id,
        "amount": record.amount.minor,
        "currency": record.amount.currency.code,
        "status": record.status.value,
        "fingerprint": record.fingerprint,
        "metadata": msgspec.json.encode(dict(record.metadata)).decode(),
        "created_at": record.created_at,
        "ended_at": record.ended_at,
    }


def _read(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "amount": Money(row["amount"], Currency.of(row["currency"])),
        "fingerprint": row["fingerprint"],
        "metadata": msgspec.json.decode(row["metadata"], type=dict[str, str]),
        "created_at": row["created_at"],
        "ended_at": row["ended_at"],
    }


def _transfer(row: Mapping[Any, Any]) -> Transfer:
    return Transfer(**_read(row), status=PaymentStatus(row["status"]))


def _bank_refund(row: Mapping[Any, Any]) -> BankRefund:
    return BankRefund(
        **_read(row), status=RefundStatus(row["status"]), transfer_id=row["transfer_id"], failure=row["failure"]
    )
