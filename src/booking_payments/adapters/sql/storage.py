"""Storage in SQL: transactions, begun again while others get in their way."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from typing import Final, TypeVar

import anyio
from sqlalchemy import bindparam, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from booking_payments.adapters.sql.engine import READS, open_engine
from booking_payments.adapters.sql.tables import payments
from booking_payments.adapters.sql.unit_of_work import Retry, SqlUnitOfWork
from booking_payments.ports.jobs import Job
from booking_payments.ports.storage import StorageConflict, Work

T = TypeVar("T")
OnJobs = Callable[[Sequence[tuple[Job, datetime]]], None]

MAX_BEGINS: Final = 8
"""How often a transaction is begun again before the caller is told."""

PAUSE_S: Final = 0.01
"""Pause before the second begin; it doubles each time."""

_END_LEASES: Final = (
    update(payments)
    .where(payments.c.lease_until.is_not(None))
    .values(lease_until=None, lease_holder=None, next_look_at=bindparam("now"))
)

_CONFLICTS: Final = frozenset({"40001", "40P01", "55P03"})
"""PostgreSQL's serialization_failure, deadlock_detected and lock_not_available (its documentation, appendix A)."""


class SqlStorage:
    """Stores everything in SQLite or PostgreSQL. ``on_jobs`` is called with the jobs of each committed transaction."""

    def __init__(self, engine: AsyncEngine, on_jobs: OnJobs | None = None) -> None:
        self.engine = engine
        self.on_jobs = on_jobs
        # SQLite has one writer; queueing here is fair and cheaper than waiting for its file lock.
        self._writer: AbstractAsyncContextManager[object] = (
            anyio.Lock() if engine.dialect.name == "sqlite" else nullcontext()
        )

    @classmethod
    def open(cls, url: str, on_jobs: OnJobs | None = None) -> "SqlStorage":
        """Storage in the database at ``url``, whose schema is current (see ``migrations``)."""
        return cls(open_engine(url), on_jobs)

    async def close(self) -> None:
        """Let go of all connections."""
        await self.engine.dispose()

    async def take_over(self) -> None:
        """End all leases: for a process that starts on SQLite, where nobody else can be working."""
        async with self._writer, self.engine.begin() as connection:
            await connection.execute(_END_LEASES, {"now": datetime.now(UTC)})

    async def transact(self, work: Work[T]) -> T:
        for begin in range(MAX_BEGINS):
            try:
                return await self._once(work)
            except Retry:
                conflict: Exception | None = None
            except DBAPIError as error:
                if not is_conflict(error):
                    raise
                conflict = error
            await anyio.sleep(PAUSE_S * 2**begin)
        raise StorageConflict("the database is too busy; try again") from conflict

    async def _once(self, work: Work[T]) -> T:
        async with self._writer, self.engine.begin() as connection:
            uow = SqlUnitOfWork(connection)
            result = await work(uow)
        if self.on_jobs is not None and uow.jobs.deferred:
            self.on_jobs(tuple(uow.jobs.deferred))
        return result

    async def read(self, work: Work[T]) -> T:
        async with self.engine.connect() as connection:
            await connection.execution_options(**{READS: True})
            return await work(SqlUnitOfWork(connection))


def is_conflict(error: DBAPIError) -> bool:
    """Whether the database only says that another transaction was in the way."""
    sqlstate = getattr(error.orig, "sqlstate", None)
    return sqlstate in _CONFLICTS or "database is locked" in str(error.orig)
