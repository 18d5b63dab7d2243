"""What workers do, and when: the chores as Procrastinate's jobs and periodic work."""

from datetime import timedelta
from functools import partial
from typing import Final

from procrastinate import App

from booking_payments.adapters.procrastinate.queue import FIRST, LINGER_S, SOON
from booking_payments.adapters.procrastinate.worker import Duties, Periodic, make_app
from booking_payments.adapters.sql.engine import libpq_with_schema
from booking_payments.entrypoints.worker.delivery_limiter import Couriers
from booking_payments.runtime.maintenance import Chores
from booking_payments.runtime.settings import Settings

LINGER: Final = timedelta(seconds=LINGER_S)
OWN_CONNECTIONS: Final = 4
"""Of the job queue, beside the pool of the books: jobs hold none of these while they work."""
COURIERS: Final = 2
"""So many of a worker's jobs deliver at a time, at most, and never all of them: a receiver may hang, money may not."""


def slots(settings: Settings) -> int:
    """How many jobs a worker does at the same time: two at least, so that one is left when the other delivers."""
    return max(2, settings.worker_concurrency)


def duties(chores: Chores, slots: int) -> Duties:
    """Every few seconds what is due, whatever became of the jobs for it; hourly and nightly the rest."""
    payments = chores.payments
    couriers = Couriers(most=min(COURIERS, slots - 1))
    often = "* * * * * */5"
    return Duties(
        settle=payments.settle_payment,
        deliver=partial(couriers.send, partial(chores.deliver, LINGER)),
        periodic=(
            Periodic("settle_due", often, payments.settle_due),
            Periodic("expire_bookings", often, payments.expire_bookings, SOON),
            Periodic("deliver_due", often, partial(couriers.send, chores.deliver), FIRST),
            Periodic("announce_expiring", "* * * * * */10", payments.announce_expiring),
            Periodic("watch_channels", "*/5 * * * *", chores.watch_channels),
            Periodic("retry_webhooks", "*/5 * * * *", chores.retry_webhooks),
            Periodic("catch_up", "7 * * * *", chores.catch_up),
            Periodic("forget_answers", "23 * * * *", chores.forget_answers),
            Periodic("reconcile", "17 3 * * *", chores.reconcile),
        ),
    )


def worker_app(settings: Settings, chores: Chores) -> App:
    """Procrastinate over the database of the settings, which has to be PostgreSQL."""
    return make_app(
        libpq_with_schema(settings.normalized_database_url), duties(chores, slots(settings)), OWN_CONNECTIONS
    )
