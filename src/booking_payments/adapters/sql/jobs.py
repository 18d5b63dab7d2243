"""What storage needs of a job queue."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy.dialects.postgresql.psycopg import dialect
from sqlalchemy.exc import DBAPIError

from booking_payments.ports.jobs import Job

if TYPE_CHECKING:
    import psycopg


class JobQueue(Protocol):
    """Keeps jobs in the database of the books."""

    @property
    def has_workers(self) -> bool:
        """True when a worker may run jobs; otherwise jobs are not stored."""
        ...

    async def defer(self, jobs: Sequence[tuple[Job, datetime]], connection: "psycopg.AsyncConnection[Any]") -> None:
        """Write ``jobs`` in the transaction of ``connection``."""
        ...


@contextmanager
def sqlalchemy_errors(connection: "psycopg.AsyncConnection[Any]") -> Iterator[None]:
    """Statements that a queue runs over psycopg's own connection raise SQLAlchemy's errors, as all others do."""
    import psycopg  # an extra, which is there where the database is PostgreSQL

    try:
        yield
    except psycopg.Error as error:
        raise DBAPIError.instance(
            "",
            None,
            error,
            psycopg.Error,
            hide_parameters=True,
            dialect=dialect(),  # type: ignore[no-untyped-call] # as SQLAlchemy has it
            connection_invalidated=connection.broken or connection.closed,
        ) from error
