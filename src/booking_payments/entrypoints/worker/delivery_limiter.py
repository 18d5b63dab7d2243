"""Deliveries of one worker: few at a time, so that a receiver that hangs keeps no more than those from other work."""

from collections.abc import Awaitable, Callable

from attrs import define, field

Round = Callable[[], Awaitable[object]]


@define
class Couriers:
    """At most ``most`` rounds of deliveries are under way at a time.

    Who comes while all are under way leaves it to them: one goes again, which finds what has been written meanwhile. So
    however many deliveries are asked for while a receiver hangs, none of them waits, and none is left to be done later.
    """

    most: int
    _under_way: int = field(default=0, init=False)
    _again: bool = field(default=False, init=False)

    async def send(self, round_: Round) -> None:
        """Go, or have one go again that is under way."""
        if self._under_way >= self.most:
            self._again = True
            return
        self._under_way += 1
        try:
            await self._go(round_)
        finally:
            self._under_way -= 1

    async def _go(self, round_: Round) -> None:
        await round_()
        while self._again:
            self._again = False
            await round_()
