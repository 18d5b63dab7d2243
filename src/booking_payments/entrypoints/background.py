"""Background work inside the serving process: rounds of ``BookingPayments.work``, and the fake gateway's deliveries.

A committed transaction that asks for work wakes the loop at once; otherwise it looks every second, since our tables,
not the wake-ups, say what is due.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

import anyio
import structlog

from booking_payments.application.payments import BookingPayments
from booking_payments.ports.jobs import Job

TICK: Final = timedelta(seconds=1)
"""How long the loop sleeps when nobody wakes it."""

log = structlog.get_logger("booking_payments.background")

Round = Callable[[], Awaitable[int]]


class Alarm:
    """Wakes whoever waits for work."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self, jobs: Sequence[tuple[Job, datetime]] = ()) -> None:
        """There may be work: look now."""
        self._rung.set()

    async def wait(self, at_most: timedelta) -> None:
        """Return when the alarm rings, or after ``at_most``."""
        with anyio.move_on_after(at_most.total_seconds()):
            await self._rung.wait()
        self._rung = anyio.Event()


@asynccontextmanager
async def running(payments: BookingPayments, alarm: Alarm, *rounds: Round) -> AsyncIterator[None]:
    """Work in the background while the context lasts; ``rounds`` are done beside the payments' own."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_repeat, payments.work, alarm)
        for each in rounds:
            tasks.start_soon(_repeat_often, each)
        yield
        tasks.cancel_scope.cancel()


async def _repeat(work: Round, alarm: Alarm) -> None:
    while True:
        await _safely(work)
        await alarm.wait(TICK)


async def _repeat_often(work: Round) -> None:
    while True:
        await _safely(work)
        await anyio.sleep(0.1)


async def _safely(work: Round) -> None:
    """A failing round is logged and the next one tried: the loop itself never ends."""
    try:
        await work()
    except Exception as error:
        log.error("background_round_failed", error=type(error).__name__)
        await anyio.sleep(TICK.total_seconds())
