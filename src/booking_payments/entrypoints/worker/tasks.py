"""What workers do, and when: the maintenance tasks as Procrastinate's jobs and periodic work."""

from datetime import timedelta
from functools import partial
from typing import Final

from procrastinate import App

from booking_payments.adapters.procrastinate.queue import FIRST, POLL_DURATION_S, SOON
from booking_payments.adapters.procrastinate.worker import Periodic, WorkerTasks, make_app
from booking_payments.adapters.sql.engine import libpq_with_schema
from booking_payments.entrypoints.worker.delivery_limiter import DeliveryLimiter
from booking_payments.runtime.maintenance import MaintenanceTasks
from booking_payments.runtime.settings import Settings

POLL_DURATION: Final = timedelta(seconds=POLL_DURATION_S)
OWN_CONNECTIONS: Final = 4
"""Connections of the job queue, in addition to the pool of the storage; a running job does not hold one."""
MAX_DELIVERIES: Final = 2
"""How many of a worker's jobs deliver at a time, and never all: a receiver that hangs must not delay payments."""


def slots(settings: Settings) -> int:
    """How many jobs a worker does at the same time: two at least, so that one is left when the other delivers."""
    return max(2, settings.worker_concurrency)


def worker_tasks(maintenance: MaintenanceTasks, slots: int) -> WorkerTasks:
    """The periodic tasks: due work every few seconds, also if its job was lost; the others hourly and nightly."""
    payments = maintenance.payments
    limiter = DeliveryLimiter(most=min(MAX_DELIVERIES, slots - 1))
    often = "* * * * * */5"
    return WorkerTasks(
        settle=payments.settle_payment,
        deliver=partial(limiter.run, partial(maintenance.deliver, POLL_DURATION)),
        periodic=(
            Periodic("settle_due", often, payments.settle_due),
            Periodic("expire_bookings", often, payments.expire_bookings, SOON),
            Periodic("deliver_due", often, partial(limiter.run, maintenance.deliver), FIRST),
            Periodic("announce_expiring", "* * * * * */10", payments.announce_expiring),
            Periodic("continue_event_jobs", "* * * * * */5", payments.continue_event_jobs),
            Periodic("watch_channels", "*/5 * * * *", maintenance.watch_channels),
            Periodic("retry_webhooks", "*/5 * * * *", maintenance.retry_webhooks),
            Periodic("catch_up", "7 * * * *", maintenance.catch_up),
            Periodic("forget_answers", "23 * * * *", maintenance.forget_answers),
            Periodic("reconcile", "17 3 * * *", maintenance.reconcile),
        ),
    )


def worker_app(settings: Settings, maintenance: MaintenanceTasks) -> App:
    """Procrastinate over the database of the settings, which has to be PostgreSQL."""
    return make_app(
        libpq_with_schema(settings.normalized_database_url), worker_tasks(maintenance, slots(settings)), OWN_CONNECTIONS
    )
