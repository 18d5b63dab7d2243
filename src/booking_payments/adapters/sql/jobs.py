"""What storage needs of a job queue."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from booking_payments.ports.jobs import Job

if TYPE_CHECKING:
    import psycopg


class JobQueue(Protocol):
    """Keeps jobs in the database of the books."""

    @property
    def has_workers(self) -> bool:
        """Whether there is anybody to do a job; if not, none is kept."""
        ...

    async def defer(self, jobs: Sequence[tuple[Job, datetime]], connection: "psycopg.AsyncConnection[Any]") -> None:
        """Write ``jobs`` in the transaction of ``connection``."""
        ...
