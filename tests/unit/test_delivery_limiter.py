"""Deliveries of one worker: few at a time, and none of them forgotten."""

import anyio
import pytest

from booking_payments.entrypoints.worker.delivery_limiter import DeliveryLimiter


class Road:
    """Rounds take until it is open."""

    def __init__(self) -> None:
        self.open = anyio.Event()
        self.begun = 0

    async def go(self) -> None:
        self.begun += 1
        await self.open.wait()


async def test_who_comes_while_all_are_under_way_does_not_wait_and_one_goes_again_for_all_of_them() -> None:
    limiter, road = DeliveryLimiter(most=2), Road()

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(limiter.run, road.go)
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(5):
            for _ in range(3):
                await limiter.run(road.go)
        meanwhile = road.begun
        road.open.set()

    assert (meanwhile, road.begun) == (2, 3)


async def test_a_courier_that_fails_makes_room_for_the_next() -> None:
    limiter, road = DeliveryLimiter(most=1), Road()
    road.open.set()

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await limiter.run(fail)
    await limiter.run(road.go)

    assert road.begun == 1
