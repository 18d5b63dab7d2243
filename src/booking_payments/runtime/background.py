"""Background work inside the serving process: what ``BookingPayments.work`` does, and what is done now and then.

Each part has a loop of its own, so that none waits for another: a gateway that does not answer holds up no message.
A committed transaction that asks for work now wakes the loops that wait for it; otherwise they look every second, since
our tables, not the wake-ups, say what is due.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

import anyio
import structlog
from attrs import frozen

from booking_payments.ports.jobs import Job

TICK: Final = timedelta(seconds=1)
"""How long a loop sleeps when nobody wakes it."""

BREATH: Final = timedelta(milliseconds=50)
"""How long it rests between two rounds even when it is woken all the time: so that under load one round does more."""

log = structlog.get_logger("booking_payments.background")

Round = Callable[[], Awaitable[int]]


@frozen
class Every:
    """A round of work that is done again after each ``pause``."""

    pause: timedelta
    work: Round


class Alarm:
    """Wakes all who wait for work; ``now`` tells the time."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._bells: list[Bell] = []

    def ring(self, jobs: Sequence[tuple[Job, datetime]] = ()) -> None:
        """There may be work: look now, unless all of these ``jobs`` are for later."""
        now = self._now()
        if not jobs or any(at <= now for _, at in jobs):
            for bell in self._bells:
                bell.ring()

    def bell(self) -> "Bell":
        """What one who waits hears: also a ring that came while they worked."""
        bell = Bell()
        self._bells.append(bell)
        return bell


class Bell:
    """Rings for one loop."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        """Wake the loop, or keep it from going to sleep."""
        self._rung.set()

    async def wait(self, at_most: timedelta) -> None:
        """Return when the bell rings, or after ``at_most``."""
        with anyio.move_on_after(at_most.total_seconds()):
            await self._rung.wait()
        self._rung = anyio.Event()


@asynccontextmanager
async def running(alarm: Alarm, woken: Sequence[Round], others: Sequence[Every] = ()) -> AsyncIterator[None]:
    """Work in the background while the context lasts, everything beside everything else. The alarm wakes ``woken``.

    At the end the rounds that are under way are finished, so that no call to the gateway is cut off. What is raised
    inside comes out as it is: a group around it would hide it from whoever catches it.
    """
    stopping = anyio.Event()
    raised: Exception | None = None
    async with anyio.create_task_group() as tasks:
        for work in woken:
            tasks.start_soon(_repeat, work, alarm.bell(), stopping)
        for each in others:
            tasks.start_soon(_repeat_every, each, stopping)
        try:
            yield
        except Exception as error:
            raised = error
        finally:
            stopping.set()
            alarm.ring()
    if raised is not None:
        raise raised


async def _repeat(work: Round, bell: Bell, stopping: anyio.Event) -> None:
    while not stopping.is_set():
        await _safely(work, stopping)
        await bell.wait(TICK)
        await anyio.sleep(BREATH.total_seconds())


async def _repeat_every(each: Every, stopping: anyio.Event) -> None:
    while not stopping.is_set():
        await _safely(each.work, stopping)
        await _pause(stopping, each.pause)


async def _pause(stopping: anyio.Event, at_most: timedelta) -> None:
    with anyio.move_on_after(at_most.total_seconds()):
        await stopping.wait()


async def _safely(work: Round, stopping: anyio.Event) -> None:
    """A failing round is logged and the next one tried: the loop itself never ends before it is told to."""
    try:
        await work()
    except Exception as error:
        log.error("background_round_failed", error=type(error).__name__, exc_info=error)
        await _pause(stopping, TICK)
