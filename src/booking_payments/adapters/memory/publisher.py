"""Publishers inside this process."""

import inspect
from collections.abc import Awaitable, Callable

from booking_payments.ports.publisher import Message, Publisher

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


class CallablePublisher:
    """Hands each message to Python functions, async or not; the first that raises has it delivered again."""

    def __init__(self, *consumers: Consumer) -> None:
        self._consumers = consumers

    async def publish(self, message: Message) -> None:
        for consumer in self._consumers:
            result = consumer(message)
            if inspect.isawaitable(result):
                await result
