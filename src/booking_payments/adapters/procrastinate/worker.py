"""The background worker: runs deferred jobs and periodic work.

However many workers run, one of them does a tick's work. Jobs of a killed worker are taken over by others once its
heartbeat is too old. The order of a booking's messages and the safety of payments do not depend on the jobs but on this
service's own tables, so a job that runs twice, or late, does no harm.
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
"""Interval, in seconds, at which a worker looks for scheduled jobs: PostgreSQL sends no notification for those."""

CONNECTION_S: Final = 10
"""Time limit for a connection to PostgreSQL, in seconds; a signal may have to wait for it as well."""

SHUTDOWN_S: Final = 30
"""Time limit, in seconds, for running jobs after a signal."""

LONGEST_PAUSE_S: Final = 10
"""Longest pause, in seconds, before an interrupted worker starts again."""

KEPT_H: Final = 72
"""How long failed jobs are kept for inspection, in hours."""

RETRY_STALLED: Final = "booking_payments.retry_stalled_jobs"
REMOVE_OLD: Final = "booking_payments.remove_old_jobs"

log = structlog.get_logger("booking_payments.worker")

Task = Callable[[], Awaitable[object]]


@frozen
class Periodic:
    """Periodic work.

    Attributes:
        name: unique; part of the job's name.
        cron: five fields, and optionally seconds as the sixth; UTC.
        run: does the work once.
        priority: jobs with a higher one run first.
    """

    name: str
    cron: str
    run: Task
    priority: int = 0


@frozen(kw_only=True)
class WorkerTasks:
    """The work of a worker: both kinds of job, and the periodic work."""

    settle: Callable[[str], Awaitable[object]]
    deliver: Task
    periodic: Sequence[Periodic]


def make_app(dsn: str, tasks: WorkerTasks, connections: int) -> App:
    """Return the Procrastinate app for the PostgreSQL at ``dsn``, in libpq's format.

    The connection must be direct: notifications do not pass PgBouncer in transaction mode.
    """
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
    _add_maintenance(app)
    return app


def _add_periodic(app: App, periodic: Periodic) -> None:
    """Add a periodic job. At most one waits: while the last tick's has not started, this tick's adds nothing."""
    name = f"booking_payments.{periodic.name}"

    @app.periodic(cron=periodic.cron, periodic_id=periodic.name)
    @app.task(name=name, queue=QUEUE, queueing_lock=name, priority=periodic.priority)
    async def tick(timestamp: int) -> None:
        await periodic.run()


def _add_maintenance(app: App) -> None:
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
    """Requeue the job of a killed worker, unless another worker has done so already."""
    log.warning("worker.job_requeued", task=job.task_name, job_id=job.id)
    try:
        await _put_back(app, job)
    except ConnectorException as error:
        if not isinstance(error.__cause__, RaiseException):  # raised by the schema for a job whose status has changed
            raise


async def _put_back(app: App, job: QueuedJob) -> None:
    """Requeue a job; close it when an equal one is queued already."""
    try:
        await app.job_manager.retry_job(job)
    except UniqueViolation as error:
        if error.constraint_name != QUEUEING_LOCK_CONSTRAINT:
            raise
        await app.job_manager.finish_job(job, Status.FAILED, delete_job=True)


async def run_worker(app: App, concurrency: int, stopping: asyncio.Event) -> None:
    """Work until ``stopping`` is set; running jobs are finished first.

    Procrastinate ends when PostgreSQL restarts, or when other workers considered this one dead, not always with an
    error. The worker then starts again, with an increasing pause as long as it ends early.
    """
    ended_early = 0
    while not stopping.is_set():
        began = time.monotonic()
        error = await _work(app, concurrency, stopping)
        if stopping.is_set():
            return
        ended_early = ended_early + 1 if time.monotonic() - began < STALLED_S else 1
        pause = min(2 ** (ended_early - 1), LONGEST_PAUSE_S)
        log.warning("worker.interrupted", error=type(error).__name__ if error else "none", begins_again_in_s=pause)
        await _set_within(stopping, pause)


async def _work(app: App, concurrency: int, stopping: asyncio.Event) -> BaseException | None:
    """Work until Procrastinate ends or ``stopping`` is set; returns the error, or None."""
    working = asyncio.create_task(_open_and_work(app, concurrency))
    asked = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
        working.cancel()  # Procrastinate finishes running jobs
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
            install_signal_handlers=False,  # a handler would hide why the worker ended
        )
    finally:
        await app.close_async()  # also after a partial opening, which would prevent the next one


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
