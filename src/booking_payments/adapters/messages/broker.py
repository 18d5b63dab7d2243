"""Messages over a broker: whatever Kombu reaches by its address, RabbitMQ, Redis, Amazon SQS and others."""

import importlib
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import anyio

from booking_payments.adapters.messages.payload import MEDIA_TYPE, payload
from booking_payments.ports.publisher import Message, NotTaken

kombu: Final[Any] = importlib.import_module("kombu")
"""It has no types."""

TIMEOUT_S: Final = 10
PERSISTENT: Final = 2


class BrokerPublisher:
    """Puts each message into the durable queue ``queue`` of the broker at ``url``.

    Kombu blocks, so it works in a thread, one message at a time. RabbitMQ confirms that it has a message before it
    counts as taken. ``options`` are those of Kombu's transport.
    """

    def __init__(self, url: str, queue: str, options: Mapping[str, Any] | None = None) -> None:
        confirmed = {"confirm_publish": True} if url.startswith(("amqp", "pyamqp")) else {}
        self._url, self._options = url, {**confirmed, **(options or {})}
        # The nameless exchange leads to the queue by itself; bindings to others are remembered even when they failed.
        self._queue = kombu.Queue(queue, kombu.Exchange(""), routing_key=queue, durable=True)
        self._connection: Any = None
        self._producer: Any = None
        self._turn = anyio.Lock()

    async def publish(self, message: Message) -> None:
        async with self._turn:
            try:
                await anyio.to_thread.run_sync(partial(self._publish, message))
            except Exception as error:  # each transport has errors of its own
                await anyio.to_thread.run_sync(self._hang_up)
                raise NotTaken(f"the broker did not take it ({type(error).__name__})") from None

    def _publish(self, message: Message) -> None:
        self._opened().publish(
            payload(message),
            content_type=MEDIA_TYPE,
            content_encoding="utf-8",
            exchange="",
            routing_key=self._queue.routing_key,
            declare=[self._queue],
            delivery_mode=PERSISTENT,
            message_id=message.id,
            type=message.type,
            headers={"booking_id": message.booking_id, "sequence": message.sequence},
            retry=False,
            timeout=TIMEOUT_S,
        )

    def _opened(self) -> Any:
        if self._producer is None:
            self._connection = kombu.Connection(self._url, connect_timeout=TIMEOUT_S, transport_options=self._options)
            # A channel of its own: with the connection's a broker that is away would be tried for ever.
            self._producer = kombu.Producer(self._connection.channel())
        return self._producer

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.release()
        self._connection = self._producer = None

    async def close(self) -> None:
        """Let go of the connection."""
        await anyio.to_thread.run_sync(self._hang_up)
