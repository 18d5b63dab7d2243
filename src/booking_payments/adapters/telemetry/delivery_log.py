"""A log line for each failed delivery of a message: the message's id, its channel, and the traceback.

Neither the message's data nor the text of a consumer's error is logged, since both may contain personal data.
"""

from typing import Final

import structlog

from booking_payments.ports.publisher import Message, Publisher

log: Final = structlog.get_logger("booking_payments.messages")


class LoggedPublisher:
    """Wraps the ``publisher`` of a channel, and logs each message that it fails to deliver."""

    def __init__(self, publisher: Publisher, channel: str) -> None:
        self._publisher, self._channel = publisher, channel

    async def publish(self, message: Message) -> None:
        try:
            await self._publisher.publish(message)
        except Exception as error:
            log.warning(
                "message.delivery_failed",
                message_id=message.id,
                type=message.type,
                channel=self._channel,
                error=type(error).__name__,
                exc_info=error,
            )
            raise
