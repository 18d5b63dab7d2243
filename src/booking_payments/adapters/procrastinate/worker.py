"""The worker: does the jobs that were asked for, and at each tick what is due at it.

However many workers run, a tick's work is done by one of them. Jobs of a worker that was killed are taken up by the
others when it has been silent for a while. None of that keeps the order of a booking's messages or guards its money:
our own tables do, so a job that is done twice, or late, does no harm.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from attrs import frozen
from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import DeleteJobCondition, Status
from procrastinate.jobs import Job as QueuedJob

from booking_payments.adapters.procrastinate.presence import STALLED_S
from booking_payments.adapters.procrastinate.queue import DELIVER, FIRST, QUEUE, SETTLE

POLL_S: Final = 1.0
"""How often a worker looks for jobs whose time has come: nobody notifies it of those."""

SHUTDOWN_S: Final = 30
"""How long jobs under way may go on after a signal."""

KEPT_H: Final = 72
"""How long jobs that failed are kept for people to look at."""

RETRY_STALLED: Final = "booking_payments.retry_stalled_jobs"
REMOVE_OLD: Final = "booking_payments.remove_old_jobs"

log = structlog.get_logger("booking_payments.worker")

Chore = Callable[[], Awaitable[object]]


@frozen
class Periodic:
    """Work that is done at each tick of ``cron`` (five fields, and seconds as the sixth where there is one; UTC)."""

    name: str
    cron: str
    chore: Chore
    priority: int = FIRST


@frozen(kw_only=True)
class Duties:
    """What a worker does: both kinds of job, and the periodic work."""

    settle: Callable[[str], Awaitable[object]]
    deliver: Chore
    periodic: Sequence[Periodic]


def make_app(dsn: str, duties: Duties, connections: int) -> App:
    """Procrastinate over the PostgreSQL at ``dsn`` (libpq's spelling), which must be reached directly: notifications
    do not pass PgBouncer in transaction mode."""
    app = App(connector=PsycopgConnector(conninfo=dsn, min_size=1, max_size=connections))

    @app.task(name=SETTLE, queue=QUEUE)
    async def settle_payment(payment_id: str) -> None:
        await duties.settle(payment_id)

    @app.task(name=DELIVER, queue=QUEUE)
    async def deliver_messages() -> None:
        await duties.deliver()

    for each in duties.periodic:
        _add_periodic(app, each)
    _add_housekeeping(app)
    return app


def _add_periodic(app: App, periodic: Periodic) -> None:
    """One that waits is enough: when the last tick's is not begun yet, this tick's has nothing to add."""
    name = f"booking_payments.{periodic.name}"

    @app.periodic(cron=periodic.cron, periodic_id=periodic.name)
    @app.task(name=name, queue=QUEUE, queueing_lock=name, priority=periodic.priority)
    async def tick(timestamp: int) -> None:
        await periodic.chore()


def _add_housekeeping(app: App) -> None:
    @app.periodic(cron="* * * * * */10", periodic_id=RETRY_STALLED)
    @app.task(name=RETRY_STALLED, queue=QUEUE, queueing_lock=RETRY_STALLED, priority=FIRST, pass_context=True)
    async def retry_stalled_jobs(context: JobContext, timestamp: int) -> None:
        for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_S):
            await _take_up_again(app, job)

    @app.periodic(cron="41 3 * * *", periodic_id=REMOVE_OLD)
    @app.task(name=REMOVE_OLD, queue=QUEUE, queueing_lock=REMOVE_OLD)
    async def remove_old_jobs(timestamp: int) -> None:
        await app.job_manager.delete_old_jobs(
            nb_hours=KEPT_H, include_failed=True, include_cancelled=True, include_aborted=True
        )


async def _take_up_again(app: App, job: QueuedJob) -> None:
    """Have a killed worker's job done by another. Where it can't, because the same work waits already, it is over."""
    assert job.id is not None  # noqa: S101 - it comes from the database
    log.warning("job_of_dead_worker", task=job.task_name, job_id=job.id)
    try:
        await app.job_manager.retry_job(job)
    except ConnectorException:
        await app.job_manager.finish_job_by_id_async(job.id, Status.FAILED, delete_job=True)


async def run_worker(app: App, concurrency: int) -> None:
    """Work until a signal comes; jobs under way are finished first."""
    async with app.open_async():
        await app.run_worker_async(
            queues=[QUEUE],
            concurrency=concurrency,
            fetch_job_polling_interval=POLL_S,
            shutdown_graceful_timeout=SHUTDOWN_S,
            stalled_worker_timeout=STALLED_S,
            delete_jobs=DeleteJobCondition.SUCCESSFUL,
        )
