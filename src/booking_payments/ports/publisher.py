"""Messages to the booking app: what it wants to know of its payments, and the channels that it gets them on.

A *channel* is one way by which messages reach the booking app: ``webhook``, ``broker``, ``python:NAME`` (functions in a
process that embeds the library) or ``pull:NAME`` (an app that reads messages itself, with a cursor). Channels are
recorded in the database, and these rules hold for all of them:

- A message belongs to every channel that is recorded when it is written. Where none is recorded it waits for the first
  one. It is done when each of its channels has it, or an operator has discarded it there.
- A process delivers on its own channels only. It never changes what another channel still has to get.
- The first process that has channels records them, where none is recorded. After that only an operator adds one, and a
  process that has a channel which is not recorded does not start.
- Nothing but an operator's command discards a message, and who did it, and when, is kept.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Protocol

from attrs import field, frozen

from booking_payments.domain.texts import rfc3339


@frozen(kw_only=True)
class Message:
    """One message, written in the transaction of the fact it tells of, delivered at least once.

    ``id`` is what a consumer deduplicates by; ``sequence`` orders the messages of one booking. ``type`` is one of
    ``payment.succeeded``, ``payment.failed``, ``payment.canceled``, ``payment.refunded``, ``payment.refund_failed``,
    ``refund.deferred``, ``dispute.opened``, ``dispute.changed``, ``dispute.closed``, ``booking.confirmed``,
    ``booking.expiring``, ``booking.canceled``, ``booking.expired``. ``cursor`` is set on messages that are read with
    ``BookingPayments.messages``: the next call goes on behind this message with it.
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
        """The message as webhooks carry it."""
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
class Delivery:
    """A message on its way over one channel: how often it was tried, and when the next try may begin (None: at once).

    ``channel`` is None for a message that waits for the first channel to be recorded. Whoever delivers it moves
    ``next_try_at`` on first, so that nobody else begins meanwhile. ``dead_at`` is when it was given up: a dead letter,
    which waits for a person. ``error`` says why the last try failed.
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
"""What ``is_channel_name`` accepts, for people."""


def is_channel_name(name: str) -> bool:
    """Whether ``name`` is the name of a channel."""
    return _CHANNEL.fullmatch(name) is not None


def python_channel(name: str) -> str:
    """The channel of the functions in the app called ``name``."""
    return f"python:{name}"


def pull_channel(name: str) -> str:
    """The channel of the app called ``name`` where it reads messages itself."""
    return f"pull:{name}"


@frozen(kw_only=True)
class Channel:
    """A recorded channel.

    ``last_alive_at`` is when a process that delivers on it, or reads it, last said so (None: not yet);
    ``worker_alive_at`` is the same for a background worker.
    """

    name: str
    added_at: datetime
    last_alive_at: datetime | None = None
    worker_alive_at: datetime | None = None


@frozen(kw_only=True)
class Backlog:
    """What one channel still has to get. ``channel`` is None for messages that wait for the first channel.

    ``waiting`` includes the ``dead`` ones; both stop at ``MOST_COUNTED``, and so does ``discarded``. ``oldest_at`` is
    when the oldest message that waits was written; None where none does.
    """

    channel: str | None
    waiting: int
    dead: int
    discarded: int
    oldest_at: datetime | None


MOST_COUNTED: Final = 10_000
"""A backlog is counted up to here."""


class NotTaken(Exception):
    """Whoever was to take a message did not; the text says why, without addresses and secrets."""


class Publisher(Protocol):
    """Carries messages to the booking app."""

    async def publish(self, message: Message) -> None:
        """Hand one message over; whatever is raised means that it has to be delivered again.

        Raises ``NotTaken`` with a reason that people may read.
        """
        ...
