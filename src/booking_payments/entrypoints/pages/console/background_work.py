"""Work that an operator starts and that outlasts the request: a reconciliation, a replay of webhooks."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import anyio
import anyio.abc
import structlog
from attrs import define
from litestar import Litestar

from booking_payments.application.progress import Progress
from booking_payments.ports.clock import Clock

Work = Callable[[Progress], Awaitable[Any]]

log: Final = structlog.get_logger("booking_payments.pages")


@define
class BackgroundWork:
    """One kind of work in this process; at most one run of it at a time.

    Attributes:
        tasks: where it runs.
        name: its name, for the log.
        since: when the run began; None while none is running.
        done: how many items of the run are done, as it reports.
        total: how many items it has.
        failed: whether the last run raised an error.
        result: what the last run returned; None before.
    """

    tasks: anyio.abc.TaskGroup
    name: str
    since: datetime | None = None
    done: int = 0
    total: int = 0
    failed: bool = False
    result: Any = None

    def start(self, clock: Clock, cause: str, work: Work) -> None:
        """Start ``work``, unless a run of it is under way. ``cause`` is the id of the request, for the log."""
        if self.since is None:
            self.since, self.done, self.total = clock.now(), 0, 0
            self.tasks.start_soon(self._run, cause, work)

    async def _run(self, cause: str, work: Work) -> None:
        try:
            self.result = await work(self._progress)
            self.failed = False
        except Exception as error:
            self.failed = True
            log.error("console.work_failed", work=self.name, cause=cause, exc_info=error)
        finally:
            self.since = None

    def _progress(self, doing: str, done: int, total: int) -> None:
        self.done, self.total = done, total


RECONCILIATIONS: Final = "reconciliations"
WEBHOOK_REPLAYS: Final = "webhook_replays"


@asynccontextmanager
async def background_work(app: Litestar) -> AsyncIterator[None]:
    """Keep the runners in the app's state, by their names. A shutdown cancels what is running, which is safe at any
    point.
    """
    async with anyio.create_task_group() as tasks:
        for name in (RECONCILIATIONS, WEBHOOK_REPLAYS):
            app.state[name] = BackgroundWork(tasks=tasks, name=name)
        yield
        tasks.cancel_scope.cancel()
