"""Storage in SQL: transactions, begun again while others get in their way.

psycopg is an extra, so what needs it is imported where the database is PostgreSQL.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import anyio
from sqlalchemy import bindparam, func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncConnection

from booking_payments.adapters.memory.ids import SERVING_RUN
from booking_payments.adapters.sql import engine as engines
from booking_payments.adapters.sql.clock import DatabaseClock
from booking_payments.adapters.sql.database import RestartTransaction
from booking_payments.adapters.sql.engine import READS, normalize_url, open_engine
from booking_payments.adapters.sql.failures import is_conflict, is_out_of_reach, is_unstorable, only_reads
from booking_payments.adapters.sql.jobs import JobQueue, sqlalchemy_errors
from booking_payments.adapters.sql.tables import answers, installation, payments
from booking_payments.adapters.sql.unit_of_work import SqlUnitOfWork
from booking_payments.domain.errors import InvalidInput
from booking_payments.ports.idempotency import LIBRARY_ROUTE
from booking_payments.ports.jobs import Job
from booking_payments.ports.storage import CommitLost, StorageConflict, StorageDown
from booking_payments.ports.unit_of_work import LockScope, TransactionBody

if TYPE_CHECKING:
    import psycopg

    from booking_payments.adapters.sql.groups.commit import GroupCommit

T = TypeVar("T")
OnJobs = Callable[[Sequence[tuple[Job, datetime]]], None]


MAX_BEGINS: Final = 8
"""How often a transaction is started before its error is raised."""

PAUSE_S: Final = 0.01
"""Pause before the second begin; it doubles each time."""

CLEAN_UP_S: Final = 5
"""How long a canceled task may take to roll its transaction back."""

_END_LEASES: Final = (
    update(payments)
    .where(payments.c.lease_until.is_not(None), payments.c.lease_holder.startswith(f"{SERVING_RUN}_", autoescape=True))
    .values(lease_until=None, lease_holder=None, next_check_at=bindparam("now")),
    update(answers)
    .where(answers.c.status.is_(None), answers.c.route.not_like(f"{LIBRARY_ROUTE}%"))
    .values(locked_until=bindparam("now")),
)
"""Of operations, and of requests with an idempotency key, that a ``serve`` process has begun."""


_ONE_VIEW: Final[dict[str, dict[str, Any]]] = {
    "sqlite": {READS: True},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}
"""How a connection only reads, and sees one state of the data in all its statements."""


_TIME: Final = select(func.clock_timestamp())


async def _psycopgs(connection: AsyncConnection) -> "psycopg.AsyncConnection[Any]":
    """psycopg's own connection below one to PostgreSQL."""
    raw = (await connection.get_raw_connection()).driver_connection
    return cast("psycopg.AsyncConnection[Any]", raw)  # there is no other driver for it


async def _commit(connection: AsyncConnection) -> None:
    try:
        await connection.commit()
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise CommitLost("the connection to the database broke during a commit") from error


async def _let_go(connection: AsyncConnection) -> None:
    """Discard the connection, in whatever state it is."""
    with anyio.move_on_after(CLEAN_UP_S, shield=True):
        await connection.invalidate()


def _require_restartable(
    error: RestartTransaction | NoConnectionFree | DBAPIError, is_down: Callable[[DBAPIError], bool]
) -> None:
    """Return when the transaction that ended with ``error`` may be restarted; raises the port's error otherwise."""
    if isinstance(error, NoConnectionFree):
        raise StorageConflict("all connections to the database are in use; try again") from error
    # A connection that was broken when it was taken did no harm: nothing had begun.
    if isinstance(error, RestartTransaction) or error.connection_invalidated or is_conflict(error):
        return
    if is_down(error):
        raise StorageDown(f"the database can't be reached: {error.orig}") from error
    raise error


class SqlStorage:
    """Storage in SQLite or PostgreSQL.

    Args:
        on_jobs: called with the jobs of each committed transaction.
        clock: receives PostgreSQL's time with the first transactions.
        queue: stores jobs on PostgreSQL, in the transaction that defers them.
    """

    def __init__(
        self,
        url: str,
        on_jobs: OnJobs | None = None,
        clock: DatabaseClock | None = None,
        queue: JobQueue | None = None,
    ) -> None:
        self._url = normalize_url(url)
        self.engine = engine = open_engine(url)
        self.on_jobs = on_jobs
        self.clock = clock
        self.queue = queue
        # SQLite has one writer; queueing here is fair and cheaper than waiting for its file lock.
        self._on_sqlite = engine.dialect.name == "sqlite"
        self._writer: AbstractAsyncContextManager[object] = anyio.Lock() if self._on_sqlite else nullcontext()
        self._read_options = _ONE_VIEW[engine.dialect.name]
        self._groups = None if self._on_sqlite else self._grouped()

    def _grouped(self) -> "GroupCommit":
        from booking_payments.adapters.sql.groups.commit import GroupCommit

        return GroupCommit(self._url, alone=self._alone, committed=self._committed, clock=self.clock, queue=self.queue)

    @classmethod
    def open(
        cls,
        url: str,
        on_jobs: OnJobs | None = None,
        clock: DatabaseClock | None = None,
        queue: JobQueue | None = None,
    ) -> "SqlStorage":
        """Storage in the database at ``url``, whose schema is current (see ``migrations``)."""
        return cls(url, on_jobs, clock, queue)

    async def installation_id(self) -> str:
        """The id that the migration made for this installation. Raises ``SQLAlchemyError`` without the schema."""
        async with self.engine.connect() as connection:
            return str((await connection.execute(select(installation.c.id))).scalar_one())

    async def close(self) -> None:
        """Let go of all connections."""
        if self._groups is not None:
            await self._groups.close()
        await self.engine.dispose()

    async def take_over(self) -> None:
        """End the leases of an earlier ``serve`` process on this database.

        Only the process that holds the lock of the file (``serve_lock``) may call this: no other ``serve`` runs then.
        Leases of commands and embedded processes are not ended, since those processes may be running.
        """
        async with self._writer, self.engine.begin() as connection:
            for statement in _END_LEASES:
                await connection.execute(statement, {"now": datetime.now(UTC)})

    async def transact(self, work: TransactionBody[T], scope: LockScope | None = None) -> T:
        if scope is not None and self._groups is not None:
            return await self._groups.run(work, scope)
        return await self._alone(work)

    async def _alone(self, work: TransactionBody[T]) -> T:
        return await self._until_it_works(
            lambda: self._once(work),
            is_down=lambda error: is_out_of_reach(error) or only_reads(error),
            silent=CommitLost,  # perhaps the commit was executed and only its response is missing
        )

    async def read(self, work: TransactionBody[T]) -> T:
        return await self._until_it_works(lambda: self._read_once(work), is_down=is_out_of_reach, silent=StorageDown)

    async def _until_it_works(
        self, once: Callable[[], Awaitable[T]], *, is_down: Callable[[DBAPIError], bool], silent: type[Exception]
    ) -> T:
        """Run the transaction, and restart it after conflicts. Raises ``silent`` when the database does not answer in
        time.

        A canceled task ends its transaction first: a driver that is interrupted in the middle can be left in a state
        that can't be
        cleaned up.
        """
        for begin in range(MAX_BEGINS):
            with anyio.move_on_after(engines.LONGEST_S, shield=True) as waited:
                try:
                    return await once()
                except (RestartTransaction, NoConnectionFree, DBAPIError) as error:
                    conflict = error
            if waited.cancel_called:
                raise silent(f"the database has not answered for {engines.LONGEST_S} seconds")
            _require_restartable(conflict, is_down)
            await anyio.sleep(PAUSE_S * 2**begin)
        raise StorageConflict("the database is too busy; try again") from conflict

    async def _once(self, work: TransactionBody[T]) -> T:
        async with self._writer, self._connection() as connection:
            await connection.begin()
            uow, result = await self._carried_out(work, connection)
            await _commit(connection)
        self._committed(uow.jobs.deferred)
        return result

    async def _carried_out(self, work: TransactionBody[T], connection: AsyncConnection) -> tuple[SqlUnitOfWork, T]:
        """What ``work`` returns, with the jobs that it asks for, before it is committed; where the connection breaks
        nothing will be: begin again."""
        try:
            await self._read_clock(connection)
            uow = SqlUnitOfWork(connection)
            result = await work(uow)
            await uow.flush()
            await self._defer(uow.jobs.deferred, connection)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            await _let_go(connection)
            raise RestartTransaction from error
        return uow, result

    async def _read_clock(self, connection: AsyncConnection) -> None:
        """Tell the clock what time it is, where it wants to know."""
        if self.clock is not None and not self._on_sqlite and self.clock.wants_to_hear:
            now: datetime = (await connection.execute(_TIME)).scalar_one()
            self.clock.heard(now.astimezone(UTC))

    async def _defer(self, jobs: Sequence[tuple[Job, datetime]], connection: AsyncConnection) -> None:
        if self.queue is not None and jobs:
            raw = await _psycopgs(connection)
            with sqlalchemy_errors(raw):
                await self.queue.defer(jobs, raw)

    def _committed(self, jobs: Sequence[tuple[Job, datetime]]) -> None:
        if self.on_jobs is not None and jobs:
            self.on_jobs(tuple(jobs))

    async def _read_once(self, work: TransactionBody[T]) -> T:
        async with self._connection() as connection:
            await connection.execution_options(**self._read_options)
            await connection.begin()
            _, result = await self._carried_out(work, connection)
            if not self._on_sqlite:  # there a reader could have written
                await connection.commit()  # after a rollback psycopg prepares all statements anew
        return result

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection; changes that were not committed are rolled back, even when the task is canceled."""
        connection = await self.engine.connect()
        try:
            yield connection
        except Exception as error:
            if is_unstorable(error):
                raise InvalidInput("the text has characters that can't be stored", code="invalid_text") from error
            raise
        except BaseException:  # canceled in the middle, perhaps of a statement
            await _let_go(connection)
            raise
        finally:
            with anyio.move_on_after(CLEAN_UP_S, shield=True):
                await connection.close()
