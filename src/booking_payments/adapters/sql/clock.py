"""The time that all processes on one PostgreSQL share, however wrong the clocks of their machines are.

Leases, expiry and the age of keys compare moments that different processes wrote down. Were each to read the clock of
its own machine, one that is ahead would take over what another is still working on.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio

HEARD_EVERY_S: Final = 10.0
"""How long the database's answer is carried on before it is asked again."""


def _wall() -> datetime:
    return datetime.now(UTC)


def _elapsed() -> float:
    """Seconds of a clock that never jumps, and that includes the time in which the machine sleeps where the system
    offers one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class DatabaseClock:
    """What the database's clock said when it was last ``heard``, and the seconds since then.

    Storage tells it within the first transaction and every few seconds from then on; before that it is the wall clock.
    """

    def __init__(self, wall: Callable[[], datetime] = _wall, elapsed: Callable[[], float] = _elapsed) -> None:
        self._wall, self._elapsed = wall, elapsed
        self._heard: tuple[datetime, float] | None = None

    @property
    def wants_to_hear(self) -> bool:
        """Whether it is time to ask the database."""
        return self._heard is None or self._elapsed() - self._heard[1] >= HEARD_EVERY_S

    def heard(self, now: datetime) -> None:
        """The database says that it is ``now``."""
        self._heard = now, self._elapsed()

    def now(self) -> datetime:
        if self._heard is None:
            return self._wall()
        said, at = self._heard
        return said + timedelta(seconds=self._elapsed() - at)

    async def sleep(self, duration: timedelta) -> None:
        await anyio.sleep(duration.total_seconds())
