"""Waiting for the other tasks of the event loop, without a pause."""

import asyncio


async def all_tasks_blocked() -> None:
    """Return when every other task waits, for something inside this process.

    ``anyio.wait_all_tasks_blocked`` pauses for a tenth of a second between two checks, which takes seconds where a test
    moves its clock step by step.
    """
    loop = asyncio.get_running_loop()
    # The loop's ready queue: when it is empty, no other task can run.
    while loop._ready:  # type: ignore[attr-defined]  # noqa: ASYNC110 - there is no event for that
        await asyncio.sleep(0)
