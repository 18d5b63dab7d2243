"""Delivery of messages over a broker that Kombu supports: RabbitMQ, Redis, Amazon SQS and others."""

import importlib
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import anyio

from booking_payments.adapters.messages.payload import MEDIA_TYPE, payload
from booking_payments.ports.publisher import DeliveryFailed, Message

kombu: Final[Any] = importlib.import_module("kombu")
"""Imported dynamically because it has no type annotations."""

TIMEOUT: Final = timedelta(seconds=10)
"""Time limit for each response of the broker."""

CLOSE_TIMEOUT_S: Final = 1
"""Time limit for closing a connection, in seconds."""

PERSISTENT: Final = 2
"""AMQP delivery mode: the broker stores the message on disk."""


class BrokerPublisher:
    """Publishes each message to a durable queue.

    Kombu blocks, so it runs in a thread, one message at a time. With RabbitMQ a message counts as delivered once the
    broker has confirmed it.

    Args:
        url: address of the broker, with Kombu's schemes.
        queue: name of the queue.
        options: Kombu's transport options.
        timeout: time limit for each response of the broker.
    """

    def __init__(
        self, url: str, queue: str, options: Mapping[str, Any] | None = None, timeout: timedelta = TIMEOUT
    ) -> None:
        self._url, self._timeout_s = url, timeout.total_seconds()
        self._options = {**_timeouts(url, self._timeout_s), **(options or {})}
        # The default exchange routes to the queue without a binding; Kombu caches bindings even when they failed.
        self._queue = kombu.Queue(queue, kombu.Exchange(""), routing_key=queue, durable=True)
        self._line: _BrokerConnection | None = None
        self._turn = anyio.Lock()

    async def publish(self, message: Message) -> None:
        try:
            async with self._turn:
                await self._publish(message)
        except Exception as error:  # each transport raises different errors
            raise DeliveryFailed(f"the broker did not accept the message ({type(error).__name__})") from None

    async def _publish(self, message: Message) -> None:
        line = self._line = self._line or _BrokerConnection(self._url, self._options, self._timeout_s)
        try:
            await anyio.to_thread.run_sync(line.publish, message, self._queue, abandon_on_cancel=True)
        except BaseException:  # a cancellation as well: the connection is in an unknown state
            await self._abort()
            raise

    async def _abort(self) -> None:
        """Abort the connection and abandon its thread; the next message opens a new one."""
        line, self._line = self._line, None
        if line is not None:
            with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
                await anyio.to_thread.run_sync(line.abort, abandon_on_cancel=True)

    async def close(self) -> None:
        """Close the connection, orderly if the broker responds."""
        if self._line is not None:
            with anyio.move_on_after(CLOSE_TIMEOUT_S):
                await anyio.to_thread.run_sync(self._line.close, abandon_on_cancel=True)
        await self._abort()


class _BrokerConnection:
    """One connection, opened by the first message."""

    def __init__(self, url: str, options: Mapping[str, Any], timeout_s: float) -> None:
        self._connection = kombu.Connection(url, connect_timeout=timeout_s, transport_options=dict(options))
        self._timeout_s = timeout_s
        self._producer: Any = None

    def publish(self, message: Message, queue: Any) -> None:
        if self._producer is None:
            # A separate channel: the connection's default channel retries an unavailable broker without end.
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

    def close(self) -> None:
        """Close the connection with the protocol's handshake, which waits for a response."""
        with suppress(Exception):
            self._connection.release()

    def abort(self) -> None:
        """Close the socket. A thread that waits for a response gets an error."""
        with suppress(Exception):  # the connection is discarded in any case
            self._connection.collect()


def _timeouts(url: str, timeout_s: float) -> Mapping[str, Any]:
    """Return the transport options for time limits that Kombu's own ones omit: declaring a queue, opening a channel."""
    if url.startswith(("amqp", "pyamqp")):
        return {"confirm_publish": True, "read_timeout": timeout_s, "write_timeout": timeout_s}
    if url.startswith("redis"):
        return {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    return {}
