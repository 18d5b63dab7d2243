"""Whether there are workers: those that showed signs of life lately, on whatever machine."""

from typing import TYPE_CHECKING, Final

import anyio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

if TYPE_CHECKING:
    from booking_payments.adapters.procrastinate.queue import JobQueue

STALLED_S: Final = 30
"""A worker that has been silent for longer is dead, or as good as dead; it says something every ten seconds."""

LOOK_S: Final = 5
"""How long a look may take."""

_ALIVE: Final = text(
    "SELECT EXISTS (SELECT 1 FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => :stalled))"
)


class WorkerLiveness:
    """Looks for workers, and lets the queue know, if there is one. ``has_workers``: whether there were any then."""

    def __init__(self, engine: AsyncEngine, queue: "JobQueue | None" = None) -> None:
        self._engine, self._queue = engine, queue
        self.has_workers = False

    async def look(self) -> int:
        """Look once; returns whether there are any. Raises ``TimeoutError`` where the database says nothing."""
        with anyio.fail_after(LOOK_S):
            async with self._engine.connect() as connection:
                found = await connection.execute(_ALIVE, {"stalled": STALLED_S})
                self.has_workers = bool(found.scalar_one())
        if self._queue is not None:
            self._queue.has_workers = self.has_workers
        return int(self.has_workers)
