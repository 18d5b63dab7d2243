"""Clocks: the system's, and one that tests move by hand."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel


class SystemClock:
    """The time of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, duration: timedelta) -> None:
        await anyio.sleep(duration.total_seconds())


class ManualClock:
    """Stands still until it is moved; sleeping moves it."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._meanwhile: list[Callable[[], Awaitable[None]]] = []

    def meanwhile(self, act: Callable[[], Awaitable[None]]) -> None:
        """Have ``act`` done during the next sleep, for example while the gateway is slow."""
        self._meanwhile.append(act)

    def now(self) -> datetime:
        return self._now

    def advance(self, duration: timedelta) -> None:
        """Let ``duration`` pass at once."""
        self._now += duration

    async def sleep(self, duration: timedelta) -> None:
        self._now += duration
        acts, self._meanwhile = self._meanwhile, []
        for act in acts:
            await act()
        await anyio.lowlevel.checkpoint()
