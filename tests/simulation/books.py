"""Storage whose transactions run in one piece: the product's own tables, without a thread or an event loop.

Both adapters tell a ``Watcher`` what each committed transaction has changed, statement by statement as it was stored,
so that the invariants see everything and read nothing.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeVar

from attrs import field, frozen
from sqlalchemy import Connection, CursorResult, Engine, Executable, create_engine
from sqlalchemy.pool import StaticPool

from booking_payments.adapters.memory.stores import MemoryDatabase, MemoryUnitOfWork, Tables
from booking_payments.adapters.sql.database import SqlDatabase
from booking_payments.adapters.sql.engine import prepare_sqlite
from booking_payments.adapters.sql.migrations import migrate
from booking_payments.adapters.sql.unit_of_work import SqlUnitOfWork
from booking_payments.adapters.unit_of_work import ChangeSet, Database, Loaded, Scope, UnitOfWorkSession
from booking_payments.domain.booking import Booking
from booking_payments.domain.events import Recorded
from booking_payments.domain.ledger import Posting
from booking_payments.domain.payment import Payment
from booking_payments.ports.unit_of_work import TransactionBody

T = TypeVar("T")


@frozen
class Appended:
    """What one ``append`` stored."""

    payment: Payment
    recorded: tuple[Recorded, ...]
    postings: tuple[Posting, ...]


@frozen
class Changes:
    """What one transaction stored, in order."""

    appended: list[Appended] = field(factory=list)
    bookings: list[Booking] = field(factory=list)


class Books(Protocol):
    """Storage of the product, in which nothing interferes with a transaction on its way."""

    async def transact(self, work: TransactionBody[T], changes: Changes) -> T:
        """Run ``work`` and commit it; the stored values are added to ``changes``."""
        ...

    async def read(self, work: TransactionBody[T]) -> T:
        """Run ``work``, which only reads."""
        ...

    def remember(self) -> Any:
        """Everything that is stored now, for ``go_back``."""
        ...

    def go_back(self, memory: Any) -> None:
        """Restore the stored rows to those of ``memory``."""
        ...


class _Watched:
    """The database of a transaction; reports all writes to the watcher."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database, self._changes = database, changes

    async def load(self, scope: Scope) -> Loaded:
        return await self._database.load(scope)

    async def flush(self, changes: ChangeSet) -> None:
        await self._database.flush(changes)
        self._changes.bookings.extend(changes.bookings.values())
        for each in changes.payments.values():
            if each.payment is not None:
                self._changes.appended.append(Appended(each.payment, tuple(each.recorded), tuple(each.postings)))


# --- in memory -------------------------------------------------------------------------------------------------


class MemoryBackend:
    """The in-memory adapter's tables."""

    def __init__(self) -> None:
        self.tables = Tables()

    async def transact(self, work: TransactionBody[T], changes: Changes) -> T:
        tables = self.tables.copy()
        result = await work(MemoryUnitOfWork(tables, _Watched(MemoryDatabase(tables), changes)))
        self.tables = tables
        return result

    async def read(self, work: TransactionBody[T]) -> T:
        return await work(MemoryUnitOfWork(self.tables))

    def remember(self) -> Tables:
        return self.tables  # which are replaced and never changed

    def go_back(self, memory: Tables) -> None:
        self.tables = memory


# --- in SQLite -------------------------------------------------------------------------------------------------


class SqlBackend:
    """The SQL adapter's unit of work over one migrated SQLite connection in memory.

    ``on_statement`` is called before each statement; an error that it raises ends the transaction.
    """

    def __init__(self, on_statement: Callable[[str], None] = lambda _: None) -> None:
        self.on_statement = on_statement
        self._engine = _empty_engine()

    async def transact(self, work: TransactionBody[T], changes: Changes) -> T:
        with self._engine.begin() as connection:
            execute = _Statements(connection, self.on_statement)
            uow = SqlUnitOfWork(execute, UnitOfWorkSession(_Watched(SqlDatabase(execute), changes)))
            result = await work(uow)
            await uow.flush()
            return result

    async def read(self, work: TransactionBody[T]) -> T:
        with self._engine.connect() as connection:
            return await work(SqlUnitOfWork(_Statements(connection, self.on_statement)))

    def remember(self) -> sqlite3.Connection:
        return _copy(_engine()[1])

    def go_back(self, memory: sqlite3.Connection) -> None:
        memory.backup(_engine()[1])


class _Statements:
    """Executes at once what the repositories await."""

    def __init__(self, connection: Connection, on_statement: Callable[[str], None]) -> None:
        self._connection = connection
        self._on_statement = on_statement

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None, /
    ) -> CursorResult[Any]:
        self._on_statement(type(statement).__name__.lower())
        return self._connection.execute(statement, parameters)


@cache
def _engine() -> tuple[Engine, sqlite3.Connection]:
    """One engine for all runs, so that each statement is compiled only once."""
    raw = sqlite3.connect(":memory:")
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    prepare_sqlite(engine)
    return engine, raw


def _empty_engine() -> Engine:
    engine, raw = _engine()
    _migrated().backup(raw)
    return engine


@cache
def _migrated() -> sqlite3.Connection:
    """An empty database of the newest schema, to be copied."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        migrate(f"sqlite:///{path}")
        with closing(sqlite3.connect(path)) as on_disk:
            return _copy(on_disk)


def _copy(database: sqlite3.Connection) -> sqlite3.Connection:
    in_memory = sqlite3.connect(":memory:")
    database.backup(in_memory)
    return in_memory
