"""Publishers inside this process."""

import inspect
from collections.abc import Awaitable, Callable
from datetime import timedelta

import anyio

from booking_payments.ports.publisher import Message, NotTaken, Publisher

Consumer = Callable[[Message], Awaitable[None] | None]


class MemoryPublisher:
    """Keeps what it was given, for tests to look at."""

    def __init__(self) -> None:
        self.published: list[Message] = []

    async def publish(self, message: Message) -> None:
        self.published.append(message)


class Publishers:
    """Hands each message to several publishers; the first that does not take it has it delivered to all again."""

    def __init__(self, *publishers: Publisher) -> None:
        self._publishers = publishers

    async def publish(self, message: Message) -> None:
        for publisher in self._publishers:
            await publisher.publish(message)


class Bounded:
    """Gives ``publisher`` no longer than ``at_most`` for a message, whatever it does with the time."""

    def __init__(self, publisher: Publisher, at_most: timedelta) -> None:
        self._publisher, self._at_most_s = publisher, at_most.total_seconds()

    async def publish(self, message: Message) -> None:
        with anyio.move_on_after(self._at_most_s) as scope:
            await self._publisher.publish(message)
        if scope.cancelled_caught:
            raise NotTaken(f"it was not taken within {self._at_most_s:g} s")


class CallablePublisher:
    """Hands each message to Python functions, async or not; the first that raises has it delivered again."""

    def __init__(self, *consumers: Consumer) -> None:
        self._consumers = consumers

    async def publish(self, message: Message) -> None:
        for consumer in self._consumers:
            result = consumer(message)
            if inspect.isawaitable(result):
                await result
