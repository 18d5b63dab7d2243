"""Whether background workers are alive, on any machine."""

from typing import TYPE_CHECKING, Final

import anyio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

if TYPE_CHECKING:
    from booking_payments.adapters.procrastinate.queue import ProcrastinateJobQueue

STALLED_S: Final = 30
"""A worker without a heartbeat for this time counts as dead; a live one sends one every ten seconds."""

LOOK_S: Final = 5
"""Time limit of the query, in seconds."""

_ALIVE: Final = text(
    "SELECT EXISTS (SELECT 1 FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => :stalled))"
)


class WorkerLiveness:
    """Checks for live workers, and informs the queue. ``has_workers`` is the result of the last check."""

    def __init__(self, engine: AsyncEngine, queue: "ProcrastinateJobQueue | None" = None) -> None:
        self._engine, self._queue = engine, queue
        self.has_workers = False

    async def look(self) -> int:
        """Check once; returns 1 if there are workers, otherwise 0.

        Raises ``TimeoutError`` if the database does not respond.
        """
        with anyio.fail_after(LOOK_S):
            async with self._engine.connect() as connection:
                found = await connection.execute(_ALIVE, {"stalled": STALLED_S})
                self.has_workers = bool(found.scalar_one())
        if self._queue is not None:
            self._queue.has_workers = self.has_workers
        return int(self.has_workers)
