"""Python functions as consumers: async functions run on the event loop, others in threads."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from booking_payments.adapters.memory.publisher import CallablePublisher, Consumer, WithTimeout
from booking_payments.ports.publisher import DeliveryFailed, Message

TIMEOUT_S = 10
MESSAGE = Message(id="msg_1", type="payment.succeeded", booking_id="bk_1", payment_id=None, at=datetime.now(UTC))


class Ears:
    """A callable object with state."""

    def __init__(self) -> None:
        self.told: list[Message] = []

    async def __call__(self, message: Message) -> None:
        asyncio.get_running_loop()
        self.told.append(message)


@pytest.mark.parametrize("form", ["method", "object", "lambda"])
async def test_an_async_consumer_runs_on_the_loop_in_every_kind_of_callable(form: str) -> None:
    hooks = Ears()
    forms: dict[str, Consumer] = {"method": hooks.__call__, "object": hooks, "lambda": lambda message: hooks(message)}

    await CallablePublisher(forms[form]).publish(MESSAGE)

    assert hooks.told == [MESSAGE]


async def test_a_sync_consumer_may_run_an_event_loop() -> None:
    async def later() -> str:
        return "a second loop"

    told: list[str] = []
    await CallablePublisher(lambda _: told.append(asyncio.run(later()))).publish(MESSAGE)

    assert told == ["a second loop"]


async def test_a_blocking_consumer_does_not_block_others() -> None:
    released = threading.Event()
    found: list[bool] = []

    async def go_on() -> None:
        released.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(CallablePublisher(lambda _: found.append(released.wait(TIMEOUT_S))).publish, MESSAGE)
        tasks.start_soon(go_on)

    assert found == [True]


async def test_an_exception_in_a_consumers_thread_is_raised() -> None:
    def fail(message: Message) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await CallablePublisher(fail).publish(MESSAGE)


async def test_the_threads_of_consumers_that_never_return_are_limited() -> None:
    released = threading.Event()
    calls: list[Message] = []

    def hang(message: Message) -> None:
        calls.append(message)
        released.wait(TIMEOUT_S)

    publisher = CallablePublisher(hang, most_at_once=2)
    bounded = WithTimeout(publisher, timedelta(milliseconds=50))
    for _ in range(2):
        with pytest.raises(DeliveryFailed, match="not taken within"):
            await bounded.publish(MESSAGE)
    with anyio.fail_after(TIMEOUT_S):
        while len(calls) < 2:  # noqa: ASYNC110 - threads begin when they begin
            await anyio.sleep(0.01)
    with pytest.raises(DeliveryFailed, match="have not come back"):
        await bounded.publish(MESSAGE)
    released.set()

    assert len(calls) == 2


async def test_a_function_that_never_returns_does_not_keep_the_process_alive() -> None:
    seen: list[bool] = []

    await CallablePublisher(lambda _: seen.append(threading.current_thread().daemon)).publish(MESSAGE)

    assert seen == [True]


async def test_a_stop_iteration_of_a_consumer_is_raised_as_a_runtime_error() -> None:
    publisher = WithTimeout(CallablePublisher(lambda _: next(iter([]))), timedelta(seconds=TIMEOUT_S))

    with pytest.raises(RuntimeError, match="StopIteration"):
        await publisher.publish(MESSAGE)


async def test_a_consumer_may_run_anyio_in_its_thread() -> None:
    told: list[str] = []

    async def later() -> None:
        told.append("a second loop")

    await CallablePublisher(lambda _: anyio.run(later)).publish(MESSAGE)

    assert told == ["a second loop"]
