"""Background work inside the serving process: the parts of ``BookingPayments.work``, and periodic tasks.

Each part has its own loop, so that none waits for another: a gateway that does not respond delays no message. A
committed transaction that requests work wakes the loops for it. Otherwise they look every second, since work also
becomes due by time, and only the tables record it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

import anyio
import structlog
from attrs import frozen

from booking_payments.ports.jobs import Job

POLL_PAUSE: Final = timedelta(seconds=1)
"""How long a loop sleeps when no signal wakes it."""

MIN_PAUSE: Final = timedelta(milliseconds=50)
"""The shortest pause between two passes of a loop, so that under load one pass does the work of many signals."""

log = structlog.get_logger("booking_payments.background")

RunPass = Callable[[], Awaitable[int]]


@frozen
class WokenBy:
    """Work that is woken only by jobs of one kind."""

    kind: type[Job]
    work: RunPass


@frozen
class Every:
    """Work that is repeated after each ``pause``."""

    pause: timedelta
    work: RunPass


class WorkSignal:
    """Wakes every loop that waits for work.

    Args:
        now: returns the present time, against which the times of jobs are compared.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._wakeups: list[tuple[type[Job] | None, Wakeup]] = []

    def notify(self, jobs: Sequence[tuple[Job, datetime]] = ()) -> None:
        """Wake the loops for those of ``jobs`` that are due now; without jobs, wake all loops."""
        now = self._now()
        due = {type(job) for job, at in jobs if at <= now}
        for kind, wakeup in self._wakeups:
            if not jobs or kind in due or (kind is None and due):
                wakeup.set()

    def subscribe(self, kind: type[Job] | None = None) -> "Wakeup":
        """Return a wake-up for one loop, by jobs of this kind; None: by all kinds.

        A signal that arrives during a pass is kept, and ends the next wait at once.
        """
        wakeup = Wakeup()
        self._wakeups.append((kind, wakeup))
        return wakeup


class Wakeup:
    """Wakes one loop."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        """Wake the loop, or make its next wait return at once."""
        self._event.set()

    async def wait(self, at_most: timedelta) -> None:
        """Return when the wake-up is set, or after ``at_most``."""
        with anyio.move_on_after(at_most.total_seconds()):
            await self._event.wait()
        self._event = anyio.Event()


@asynccontextmanager
async def running(
    signal: WorkSignal, woken: Sequence[RunPass | WokenBy], others: Sequence[Every] = ()
) -> AsyncIterator[None]:
    """Run all loops concurrently until the context ends. The signal wakes those of ``woken``.

    At the end, running passes are finished, so that no call to the gateway is interrupted. An error raised inside the
    context is raised again as it is, and not within the exception group of the task group.
    """
    stopping = anyio.Event()
    raised: Exception | None = None
    async with anyio.create_task_group() as tasks:
        for each_woken in woken:
            work, kind = (each_woken.work, each_woken.kind) if isinstance(each_woken, WokenBy) else (each_woken, None)
            tasks.start_soon(_repeat, work, signal.subscribe(kind), stopping)
        for each in others:
            tasks.start_soon(_repeat_every, each, stopping)
        try:
            yield
        except Exception as error:
            raised = error
        finally:
            stopping.set()
            signal.notify()
    if raised is not None:
        raise raised


async def _repeat(work: RunPass, wakeup: Wakeup, stopping: anyio.Event) -> None:
    while not stopping.is_set():
        await _safely(work, stopping)
        await wakeup.wait(POLL_PAUSE)
        await anyio.sleep(MIN_PAUSE.total_seconds())


async def _repeat_every(each: Every, stopping: anyio.Event) -> None:
    while not stopping.is_set():
        await _safely(each.work, stopping)
        await _pause(stopping, each.pause)


async def _pause(stopping: anyio.Event, at_most: timedelta) -> None:
    with anyio.move_on_after(at_most.total_seconds()):
        await stopping.wait()


async def _safely(work: RunPass, stopping: anyio.Event) -> None:
    """Run one pass. An error is logged and followed by a pause; the loop ends only when ``stopping`` is set."""
    try:
        await work()
    except Exception as error:
        log.error("background.pass_failed", error=type(error).__name__, exc_info=error)
        await _pause(stopping, POLL_PAUSE)
