"""``worker``: background work, on as many machines as are needed."""

import asyncio
import signal
from typing import Final

import click

from booking_payments.entrypoints.cli.runner import extra_or_fail, fail, require_ready, settings_or_fail
from booking_payments.runtime.process import collecting_traces
from booking_payments.runtime.settings import Settings
from booking_payments.runtime.settings_error import SettingsError

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def run(concurrency: int | None) -> None:
    """Work until a signal ends it; None stands in the settings. Fails with one line where it cannot."""
    settings = settings_or_fail({"WORKER_CONCURRENCY": concurrency})
    if not settings.on_postgresql:
        fail("workers share a PostgreSQL, and DATABASE_URL names SQLite: there `serve` does all background work itself")
    if settings.in_one_process:
        fail("the fake gateway lives inside `serve`: a worker needs Stripe's keys, or the sandbox at STRIPE_API_BASE")
    with extra_or_fail("worker", "worker"):
        import procrastinate  # noqa: F401 - what work is shared by
    try:
        work_until_stopped(settings)
    except SettingsError as error:
        fail(str(error))
    except KeyboardInterrupt:
        pass


def work_until_stopped(settings: Settings) -> None:
    """Work until a signal comes. Raises ``SettingsError``."""
    asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    from booking_payments.adapters.procrastinate.worker import run_worker
    from booking_payments.entrypoints.worker.tasks import slots, worker_app
    from booking_payments.runtime.channels import attach_channels
    from booking_payments.runtime.composition import build
    from booking_payments.runtime.maintenance import MaintenanceTasks

    with collecting_traces():
        async with build(settings, in_worker=True) as services:
            await require_ready(services)
            await attach_channels(services)
            click.echo("booking-payments works in the background", err=True)
            app = worker_app(settings, MaintenanceTasks(services.payments, services.clock))
            await run_worker(app, slots(settings), _asked_to_stop())


def _asked_to_stop() -> asyncio.Event:
    """Is set by the first signal; a second one ends the process at once."""
    asked, loop = asyncio.Event(), asyncio.get_running_loop()

    def stop() -> None:
        asked.set()
        for each in SIGNALS:
            loop.remove_signal_handler(each)

    for each in SIGNALS:
        loop.add_signal_handler(each, stop)
    return asked
