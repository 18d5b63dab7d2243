"""The worker: does the jobs that were asked for, and at each tick what is due at it.

However many workers run, a tick's work is done by one of them. Jobs of a worker that was killed are taken up by the
others when it has been silent for a while. None of that keeps the order of a booking's messages or guards its money:
our own tables do, so a job that is done twice, or late, does no harm.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog
from attrs import frozen
from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.exceptions import ConnectorException, UniqueViolation
from procrastinate.jobs import DeleteJobCondition, Status
from procrastinate.jobs import Job as QueuedJob
from procrastinate.manager import QUEUEING_LOCK_CONSTRAINT
from psycopg.errors import RaiseException

from booking_payments.adapters.procrastinate.liveness import STALLED_S
from booking_payments.adapters.procrastinate.queue import DELIVER, FIRST, QUEUE, SETTLE

POLL_S: Final = 1.0
"""How often a worker looks for jobs whose time has come: nobody notifies it of those."""

CONNECTION_S: Final = 10
"""How long to wait for a connection to PostgreSQL; so long a signal is not obeyed, too, while it is away."""

SHUTDOWN_S: Final = 30
"""How long jobs under way may go on after a signal."""

LONGEST_PAUSE_S: Final = 10
"""How long a worker that was interrupted waits at most before it begins again."""

KEPT_H: Final = 72
"""How long jobs that failed are kept for people to look at."""

RETRY_STALLED: Final = "booking_payments.retry_stalled_jobs"
REMOVE_OLD: Final = "booking_payments.remove_old_jobs"

log = structlog.get_logger("booking_payments.worker")

Task = Callable[[], Awaitable[object]]


@frozen
class Periodic:
    """Work that is done at each tick of ``cron`` (five fields, and seconds as the sixth where there is one; UTC).

    It goes before what waits with a lower ``priority``.
    """

    name: str
    cron: str
    run: Task
    priority: int = 0


@frozen(kw_only=True)
class WorkerTasks:
    """The tasks of a worker: both kinds of job, and the periodic ones."""

    settle: Callable[[str], Awaitable[object]]
    deliver: Task
    periodic: Sequence[Periodic]


def make_app(dsn: str, tasks: WorkerTasks, connections: int) -> App:
    """Procrastinate over the PostgreSQL at ``dsn`` (libpq's spelling), which must be reached directly: notifications
    do not pass PgBouncer in transaction mode."""
    connector = PsycopgConnector(conninfo=dsn, min_size=1, max_size=connections, timeout=CONNECTION_S)
    app = App(connector=connector)

    @app.task(name=SETTLE, queue=QUEUE)
    async def settle_payment(payment_id: str) -> None:
        await tasks.settle(payment_id)

    @app.task(name=DELIVER, queue=QUEUE)
    async def deliver_messages() -> None:
        await tasks.deliver()

    for each in tasks.periodic:
        _add_periodic(app, each)
    _add_housekeeping(app)
    return app


def _add_periodic(app: App, periodic: Periodic) -> None:
    """One that waits is enough: when the last tick's is not begun yet, this tick's has nothing to add."""
    name = f"booking_payments.{periodic.name}"

    @app.periodic(cron=periodic.cron, periodic_id=periodic.name)
    @app.task(name=name, queue=QUEUE, queueing_lock=name, priority=periodic.priority)
    async def tick(timestamp: int) -> None:
        await periodic.run()


def _add_housekeeping(app: App) -> None:
    @app.periodic(cron="* * * * * */10", periodic_id=RETRY_STALLED)
    @app.task(name=RETRY_STALLED, queue=QUEUE, queueing_lock=RETRY_STALLED, priority=FIRST, pass_context=True)
    async def retry_stalled_jobs(context: JobContext, timestamp: int) -> None:
        for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_S):
            await take_up_again(app, job)

    @app.periodic(cron="41 3 * * *", periodic_id=REMOVE_OLD)
    @app.task(name=REMOVE_OLD, queue=QUEUE, queueing_lock=REMOVE_OLD)
    async def remove_old_jobs(timestamp: int) -> None:
        await app.job_manager.delete_old_jobs(
            nb_hours=KEPT_H, include_failed=True, include_cancelled=True, include_aborted=True
        )


async def take_up_again(app: App, job: QueuedJob) -> None:
    """Have a killed worker's job done by another, unless somebody else has seen to that already."""
    log.warning("job_of_dead_worker", task=job.task_name, job_id=job.id)
    try:
        await _put_back(app, job)
    except ConnectorException as error:
        if not isinstance(error.__cause__, RaiseException):  # which the schema raises for a job that is not as it was
            raise


async def _put_back(app: App, job: QueuedJob) -> None:
    """Where it can't be put back, because the same work waits already, it is over."""
    try:
        await app.job_manager.retry_job(job)
    except UniqueViolation as error:
        if error.constraint_name != QUEUEING_LOCK_CONSTRAINT:
            raise
        await app.job_manager.finish_job(job, Status.FAILED, delete_job=True)


async def run_worker(app: App, concurrency: int, stopping: asyncio.Event) -> None:
    """Work until ``stopping`` is set; jobs under way are finished first.

    When PostgreSQL is restarted, or other workers took this one for dead, Procrastinate ends, not always with an error:
    then it is begun again, a little later each time that it did not last.
    """
    ended_early = 0
    while not stopping.is_set():
        began = time.monotonic()
        error = await _work(app, concurrency, stopping)
        if stopping.is_set():
            return
        ended_early = ended_early + 1 if time.monotonic() - began < STALLED_S else 1
        pause = min(2 ** (ended_early - 1), LONGEST_PAUSE_S)
        log.warning("worker_interrupted", error=type(error).__name__ if error else "none", begins_again_in_s=pause)
        await _set_within(stopping, pause)


async def _work(app: App, concurrency: int, stopping: asyncio.Event) -> BaseException | None:
    """Work until Procrastinate ends, or ``stopping`` has it end; returns what it raised."""
    working = asyncio.create_task(_open_and_work(app, concurrency))
    asked = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
        working.cancel()  # it finishes the jobs under way
        (error,) = await asyncio.gather(working, return_exceptions=True)
    return error


async def _open_and_work(app: App, concurrency: int) -> None:
    try:
        await app.open_async()
        await app.run_worker_async(
            queues=[QUEUE],
            concurrency=concurrency,
            fetch_job_polling_interval=POLL_S,
            shutdown_graceful_timeout=SHUTDOWN_S,
            stalled_worker_timeout=STALLED_S,
            delete_jobs=DeleteJobCondition.SUCCESSFUL,
            install_signal_handlers=False,  # with them it would not be known why it ended
        )
    finally:
        await app.close_async()  # also what was opened in part, which could not be opened again


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
