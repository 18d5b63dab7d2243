"""Messages over a broker: whatever Kombu reaches by its address, RabbitMQ, Redis, Amazon SQS and others."""

import importlib
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import anyio

from booking_payments.adapters.messages.payload import MEDIA_TYPE, payload
from booking_payments.ports.publisher import Message, NotTaken

kombu: Final[Any] = importlib.import_module("kombu")
"""It has no types."""

TIMEOUT: Final = timedelta(seconds=10)
"""How long the broker may take for each answer."""

GOODBYE_S: Final = 1
"""How long taking leave may take."""

PERSISTENT: Final = 2


class BrokerPublisher:
    """Puts each message into the durable queue ``queue`` of the broker at ``url``.

    Kombu blocks, so it works in a thread, one message at a time. RabbitMQ confirms that it has a message before it
    counts as taken. ``options`` are those of Kombu's transport.
    """

    def __init__(
        self, url: str, queue: str, options: Mapping[str, Any] | None = None, timeout: timedelta = TIMEOUT
    ) -> None:
        self._url, self._timeout_s = url, timeout.total_seconds()
        self._options = {**_patience(url, self._timeout_s), **(options or {})}
        # The nameless exchange leads to the queue by itself; bindings to others are remembered even when they failed.
        self._queue = kombu.Queue(queue, kombu.Exchange(""), routing_key=queue, durable=True)
        self._line: _Line | None = None
        self._turn = anyio.Lock()

    async def publish(self, message: Message) -> None:
        try:
            async with self._turn:
                await self._publish(message)
        except Exception as error:  # each transport has errors of its own
            raise NotTaken(f"the broker did not take it ({type(error).__name__})") from None

    async def _publish(self, message: Message) -> None:
        line = self._line = self._line or _Line(self._url, self._options, self._timeout_s)
        try:
            await anyio.to_thread.run_sync(line.publish, message, self._queue, abandon_on_cancel=True)
        except BaseException:  # nobody waits any longer, for example
            await self._hang_up()
            raise

    async def _hang_up(self) -> None:
        """The next message has a new connection, whatever becomes of this one and of the thread that works with it."""
        line, self._line = self._line, None
        if line is not None:
            with anyio.move_on_after(GOODBYE_S, shield=True):
                await anyio.to_thread.run_sync(line.cut, abandon_on_cancel=True)

    async def close(self) -> None:
        """Let go of the connection, with a goodbye where the broker answers it."""
        if self._line is not None:
            with anyio.move_on_after(GOODBYE_S):
                await anyio.to_thread.run_sync(self._line.say_goodbye, abandon_on_cancel=True)
        await self._hang_up()


class _Line:
    """One connection, which is opened by the first message."""

    def __init__(self, url: str, options: Mapping[str, Any], timeout_s: float) -> None:
        self._connection = kombu.Connection(url, connect_timeout=timeout_s, transport_options=dict(options))
        self._timeout_s = timeout_s
        self._producer: Any = None

    def publish(self, message: Message, queue: Any) -> None:
        if self._producer is None:
            # A channel of its own: with the connection's a broker that is away would be tried for ever.
            self._producer = kombu.Producer(self._connection.channel())
        self._producer.publish(
            payload(message),
            content_type=MEDIA_TYPE,
            content_encoding="utf-8",
            exchange="",
            routing_key=queue.routing_key,
            declare=[queue],
            delivery_mode=PERSISTENT,
            message_id=message.id,
            type=message.type,
            headers={"booking_id": message.booking_id, "sequence": message.sequence},
            retry=False,
            timeout=self._timeout_s,
        )

    def say_goodbye(self) -> None:
        """Close it as the protocol has it, which waits for an answer."""
        with suppress(Exception):
            self._connection.release()

    def cut(self) -> None:
        """Close it without a word. A thread that still waits for an answer is told so that none will come."""
        with suppress(Exception):  # it is given up anyway
            self._connection.collect()


def _patience(url: str, timeout_s: float) -> Mapping[str, Any]:
    """The transport's options that bound what Kombu's own timeouts leave out: declaring a queue, opening a channel."""
    if url.startswith(("amqp", "pyamqp")):
        return {"confirm_publish": True, "read_timeout": timeout_s, "write_timeout": timeout_s}
    if url.startswith("redis"):
        return {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    return {}
