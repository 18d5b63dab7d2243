"""A job queue over an empty PostgreSQL."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from attrs import frozen
from psycopg.rows import TupleRow

from booking_payments.adapters.procrastinate.queue import ProcrastinateJobQueue
from booking_payments.adapters.sql.storage import SqlStorage


@frozen
class JobTable:
    """Looks at the jobs from outside."""

    dsn: str

    async def run(self, statement: str, *values: object) -> list[TupleRow]:
        """Run one statement in its own transaction."""
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
            cursor = await connection.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def waiting(self) -> list[str]:
        """Names and arguments of the jobs that wait."""
        found = await self.run("SELECT task_name, args FROM procrastinate_jobs WHERE status = 'todo' ORDER BY id")
        return [f"{name.partition('.')[2]} {args.get('payment_id', '')}".strip() for name, args in found]


@pytest.fixture
def jobs(postgres_copy: str) -> JobTable:
    return JobTable(postgres_copy.replace("+psycopg", ""))


@pytest.fixture
def queue() -> ProcrastinateJobQueue:
    """A queue that knows of workers, at a moment that does not pass."""
    queue = ProcrastinateJobQueue(lambda: 0.0)
    queue.has_workers = True
    return queue


@pytest.fixture
async def queued_storage(postgres_copy: str, queue: ProcrastinateJobQueue) -> AsyncIterator[SqlStorage]:
    """Storage that asks workers."""
    storage = SqlStorage.open(postgres_copy, queue=queue)
    yield storage
    await storage.close()
