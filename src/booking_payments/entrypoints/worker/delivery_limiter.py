"""Limits how many deliveries a worker runs at a time, so that a receiver that hangs blocks only those."""

from collections.abc import Awaitable, Callable

from attrs import define, field

RunPass = Callable[[], Awaitable[object]]


@define
class DeliveryLimiter:
    """Runs at most ``most`` passes of deliveries at a time.

    A call made while ``most`` passes are running returns at once and marks one of them to run again, which then finds
    the messages written meanwhile. So no call waits for a receiver that hangs, and no message is missed.
    """

    most: int
    _running: int = field(default=0, init=False)
    _again: bool = field(default=False, init=False)

    async def run(self, pass_: RunPass) -> None:
        """Run ``pass_``, or have one that is running run again."""
        if self._running >= self.most:
            self._again = True
            return
        self._running += 1
        try:
            await self._repeat(pass_)
        finally:
            self._running -= 1

    async def _repeat(self, pass_: RunPass) -> None:
        await pass_()
        while self._again:
            self._again = False
            await pass_()
