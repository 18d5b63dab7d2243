"""Steps that have nothing to do with one another, at the same time."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio

AT_ONCE: Final = 16


async def gather_limited(steps: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Do ``steps``, some of them at once, and return when all are done."""
    places = anyio.CapacityLimiter(AT_ONCE)

    async def do(step: Callable[[], Awaitable[None]]) -> None:
        async with places:
            await step()

    async with anyio.create_task_group() as tasks:
        for step in steps:
            tasks.start_soon(do, step)
