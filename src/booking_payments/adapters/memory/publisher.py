"""Publishers inside this process."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from threading import Thread
from typing import Any, Final, TypeVar

import anyio

from booking_payments.ports.publisher import DeliveryFailed, Message, Publisher

T = TypeVar("T")
Consumer = Callable[[Message], Awaitable[None] | None]

MOST_AT_ONCE: Final = 40
"""So many threads work side by side unless asked otherwise."""


class MemoryPublisher:
    """Stores the messages it is given in ``published``, for tests."""

    def __init__(self) -> None:
        self.published: list[Message] = []

    async def publish(self, message: Message) -> None:
        self.published.append(message)


class WithTimeout:
    """Delivers with ``publisher``, and raises ``DeliveryFailed`` when a message takes longer than ``at_most``."""

    def __init__(self, publisher: Publisher, at_most: timedelta) -> None:
        self._publisher, self._at_most_s = publisher, at_most.total_seconds()

    async def publish(self, message: Message) -> None:
        with anyio.move_on_after(self._at_most_s) as scope:
            await self._publisher.publish(message)
        if scope.cancelled_caught:
            raise DeliveryFailed(f"it was not taken within {self._at_most_s:g} s")


class CallablePublisher:
    """Passes each message to Python functions, async or not. If one raises, the message is delivered again to all.

    Functions that are not async run in threads, so they may block, use an ORM, and call the synchronous facade. A
    function
    that exceeds its time is no longer awaited, not even at the end of the process. Its thread can't be stopped; while
    ``most_at_once`` such threads still run, no other function is called.
    """

    def __init__(self, *consumers: Consumer, most_at_once: int = MOST_AT_ONCE) -> None:
        self._consumers, self._most_at_once = consumers, most_at_once
        self._under_way: set[object] = set()

    async def publish(self, message: Message) -> None:
        for consumer in self._consumers:
            await self._call_consumer(consumer, message)

    async def _call_consumer(self, consumer: Consumer, message: Message) -> None:
        if inspect.iscoroutinefunction(consumer):
            await consumer(message)
            return
        if len(self._under_way) >= self._most_at_once:
            raise DeliveryFailed("too many earlier calls have not come back")
        result = await _in_a_thread(partial(self._call, consumer, message))
        if inspect.isawaitable(result):  # of an object or a lambda that stands before a coroutine function
            await result

    def _call(self, consumer: Consumer, message: Message) -> Awaitable[None] | None:
        call = object()
        self._under_way.add(call)
        try:
            return consumer(message)
        finally:
            self._under_way.discard(call)


async def _in_a_thread(call: Callable[[], T]) -> T:
    """What ``call`` returns, or raises. The thread is its own: one of a pool would keep the process from ending."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            settle = partial(_settle, answer, result=call())
        except StopIteration as error:  # the one error that nothing that is awaited may raise
            settle = partial(_settle, answer, error=RuntimeError(f"it raised {error!r}"))
        except BaseException as error:
            settle = partial(_settle, answer, error=error)
        with suppress(RuntimeError):  # the loop is closed, so the result is not awaited any more
            loop.call_soon_threadsafe(settle)

    Thread(target=run, name="consumer", daemon=True).start()
    return await answer


def _settle(answer: "asyncio.Future[Any]", *, result: object = None, error: BaseException | None = None) -> None:
    if answer.cancelled():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
