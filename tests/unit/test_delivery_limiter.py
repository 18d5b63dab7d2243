"""The limit of concurrent delivery passes in one worker; no request for a pass is lost."""

import anyio
import pytest

from booking_payments.entrypoints.worker.delivery_limiter import DeliveryLimiter


class BlockedPass:
    """A pass that ends only once ``open`` is set; ``started`` counts its calls."""

    def __init__(self) -> None:
        self.open = anyio.Event()
        self.started = 0

    async def run(self) -> None:
        self.started += 1
        await self.open.wait()


async def test_calls_beyond_the_limit_return_at_once_and_one_more_pass_runs_for_all_of_them() -> None:
    limiter, blocked = DeliveryLimiter(most=2), BlockedPass()

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(limiter.run, blocked.run)
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(5):
            for _ in range(3):
                await limiter.run(blocked.run)
        meanwhile = blocked.started
        blocked.open.set()

    assert (meanwhile, blocked.started) == (2, 3)


async def test_a_pass_that_raises_frees_its_place() -> None:
    limiter, blocked = DeliveryLimiter(most=1), BlockedPass()
    blocked.open.set()

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await limiter.run(fail)
    await limiter.run(blocked.run)

    assert blocked.started == 1
