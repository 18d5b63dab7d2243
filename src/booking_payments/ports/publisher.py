"""Messages to the booking app about its payments, and the channels that deliver them.

A *channel* is one way to the booking app: ``webhook``, ``broker``, ``python:NAME`` (functions in a process that embeds
the library) or ``pull:NAME`` (an app that reads messages itself, with a cursor). Channels are recorded in the database,
and these rules hold for all of them:

- A message belongs to every channel that is recorded when it is written. Without any it waits for the first one. It is
  complete when it is delivered on each of its channels, or an operator has discarded it there.
- A process delivers on its own channels only, and never changes the state of another channel's messages.
- If no channel is recorded, the first process with channels records its own. After that only an operator adds one, and
  a process with a channel that is not recorded does not start.
- Only an operator's command discards a message; the operator and the time are stored.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Protocol

from attrs import field, frozen

from booking_payments.domain.texts import rfc3339


@frozen(kw_only=True)
class Message:
    """One message, written in the transaction of its journal event, and delivered at least once.

    ``type`` is one of ``payment.succeeded``, ``payment.failed``, ``payment.canceled``, ``payment.refunded``,
    ``payment.refund_failed``, ``refund.deferred``, ``dispute.opened``, ``dispute.changed``, ``dispute.closed``,
    ``booking.confirmed``, ``booking.expiring``, ``booking.canceled``, ``booking.expired``.

    Attributes:
        id: consumers deduplicate by it.
        at: when it was written.
        sequence: orders the messages of one booking. The storage assigns it, from 1; 0 until it is stored.
        cursor: set on messages that are read with ``BookingPayments.messages``; the next call continues after it.
    """

    id: str
    type: str
    booking_id: str
    payment_id: str | None
    at: datetime
    data: Mapping[str, object] = field(factory=dict)
    sequence: int = 0
    cursor: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the message as webhooks contain it."""
        return {
            "id": self.id,
            "type": self.type,
            "timestamp": rfc3339(self.at),
            "booking_id": self.booking_id,
            "payment_id": self.payment_id,
            "sequence": self.sequence,
            "data": dict(self.data),
        }


@frozen(kw_only=True)
class MessageDelivery:
    """A message to be delivered on one channel.

    Attributes:
        channel: None for a message that waits for the first channel to be recorded.
        tries: number of failed tries.
        next_try_at: earliest time of the next try; None: at once. The process that delivers advances it first, so that
            no other process delivers at the same time.
        dead_at: when the delivery was abandoned: a dead letter, which waits for an operator. None before.
        error: why the last try failed; None without a failure.
    """

    message: Message
    channel: str | None = None
    tries: int = 0
    next_try_at: datetime | None = None
    dead_at: datetime | None = None
    error: str | None = None


WEBHOOK: Final = "webhook"
BROKER: Final = "broker"
_CHANNEL: Final = re.compile(r"webhook|broker|(?:python|pull):[a-z0-9][a-z0-9_-]{0,39}")
CHANNEL_NAMES: Final = "webhook, broker, python:NAME or pull:NAME, where NAME is at most 40 of a-z, 0-9, - and _"
"""Description of the names that ``is_channel_name`` accepts."""


def is_channel_name(name: str) -> bool:
    """True when ``name`` is a valid name of a channel."""
    return _CHANNEL.fullmatch(name) is not None


def python_channel(name: str) -> str:
    """Return the channel of the functions in the app called ``name``."""
    return f"python:{name}"


def pull_channel(name: str) -> str:
    """Return the channel of the app called ``name`` that reads messages itself."""
    return f"pull:{name}"


@frozen(kw_only=True)
class Channel:
    """A recorded channel.

    Attributes:
        last_alive_at: the latest heartbeat of a process that delivers on it or reads it; None without one.
        worker_alive_at: the latest heartbeat of a background worker; None without one.
    """

    name: str
    added_at: datetime
    last_alive_at: datetime | None = None
    worker_alive_at: datetime | None = None


@frozen(kw_only=True)
class Backlog:
    """Counts of the messages of one channel.

    Attributes:
        channel: None for messages that wait for the first channel.
        waiting: undelivered messages, ``dead`` ones included; as the next two, counted up to ``MOST_COUNTED``.
        dead: dead letters.
        discarded: messages that an operator has discarded.
        oldest_at: when the oldest waiting message was written; None without one.
    """

    channel: str | None
    waiting: int
    dead: int
    discarded: int
    oldest_at: datetime | None


MOST_COUNTED: Final = 10_000
"""Upper limit of the counts in a backlog."""


class DeliveryFailed(Exception):
    """A message could not be delivered. The text gives the reason, without addresses and secrets."""


class Publisher(Protocol):
    """Delivers messages to the booking app."""

    async def publish(self, message: Message) -> None:
        """Deliver one message. After any error it is delivered again.

        Raises ``DeliveryFailed`` with a reason that may be shown to operators.
        """
        ...
