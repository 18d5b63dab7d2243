"""The clock as a port, so that tests and simulations control time."""

from datetime import datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """The current time, and a way to wait."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware, in UTC."""
        ...

    async def sleep(self, duration: timedelta) -> None:
        """Return once ``duration`` has passed."""
        ...
