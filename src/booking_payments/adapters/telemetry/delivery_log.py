"""One line of the log for each try to deliver a message that failed: which message, on which channel, and where.

Neither what a message carries nor what a consumer's own error says is told: both may be about a person.
"""

from typing import Final

import structlog

from booking_payments.ports.publisher import Message, Publisher

log: Final = structlog.get_logger("booking_payments.messages")


class LoggedPublisher:
    """``publisher`` of the channel ``channel``, with a line for each message that it did not take."""

    def __init__(self, publisher: Publisher, channel: str) -> None:
        self._publisher, self._channel = publisher, channel

    async def publish(self, message: Message) -> None:
        try:
            await self._publisher.publish(message)
        except Exception as error:
            log.warning(
                "message_not_taken",
                message_id=message.id,
                type=message.type,
                channel=self._channel,
                error=type(error).__name__,
                exc_info=error,
            )
            raise
