"""The repositories of outgoing messages and of the channels that deliver them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from booking_payments.ports.publisher import Backlog, Channel, Message, MessageDelivery


class Outbox(Protocol):
    """Messages, and their delivery on each of their channels.

    A message belongs to the channels that are recorded when it is written. Without any it is *unassigned* until
    ``assign`` gives it to the first recorded ones. A *discarded* message is one that an operator has decided never to
    deliver.
    """

    async def append(self, *messages: Message) -> None:
        """Store messages of one booking after all its others, for every recorded channel. Assigns each ``sequence``."""
        ...

    async def assign(self, limit: int) -> bool:
        """Assign up to ``limit`` unassigned messages, oldest first, to all channels; False while more remain.

        Without a recorded channel they stay unassigned. Until all are assigned no message may be claimed, since earlier
        messages of the same booking could be among them.
        """
        ...

    async def claim(
        self, channel: str, now: datetime, until: datetime, limit: int, *, skip_dead: bool
    ) -> Sequence[MessageDelivery]:
        """Return messages of at most ``limit`` bookings that are due on ``channel``, for delivery by the caller.

        The messages of each booking are in order. At most half of them were tried before, so that undeliverable
        messages cannot hold up new ones. Until the time ``until`` messages of these bookings are not returned to other
        callers for this channel. Messages behind a dead letter of the same booking are due only with ``skip_dead``.
        """
        ...

    async def delivered(self, channel: str, message_ids: Collection[str], at: datetime) -> None:
        """Record that these messages were delivered on ``channel``."""
        ...

    async def reschedule(self, delivery: MessageDelivery) -> None:
        """Store the result of a failed try: tries, time of the next one, error, and whether it was abandoned."""
        ...

    async def undelivered(self, *, dead: bool, limit: int, channel: str | None = None) -> Sequence[MessageDelivery]:
        """Return undelivered messages, oldest first, once for every channel that lacks them.

        With ``dead`` only dead letters, with ``channel`` only those of that channel.
        """
        ...

    async def backlogs(self) -> Sequence[Backlog]:
        """Return the counts of each recorded channel, by name; those of unassigned messages come first.

        Unassigned messages are listed only if at least one waits. Removed channels are listed if a message was
        discarded there, as are messages discarded before any channel existed (None).
        """
        ...

    async def requeue(self, message_ids: Collection[str], channel: str | None = None) -> int:
        """Requeue dead letters on ``channel`` or on all, as if never tried; returns the number of messages."""
        ...

    async def discard(self, message_ids: Collection[str], at: datetime, by: str, channel: str | None = None) -> int:
        """Discard dead letters on ``channel`` or on all; returns the number of messages."""
        ...

    async def discard_waiting(self, channel: str | None, at: datetime, by: str) -> int:
        """Discard all undelivered messages of ``channel`` (None: all unassigned ones); returns their number."""
        ...

    async def number(self, channel: str, after: int, limit: int, at: datetime) -> Sequence[Message]:
        """Return the next ``limit`` messages of ``channel`` after the number ``after`` (0: from the first).

        Each message has its number as ``cursor``. Those up to ``after`` count as delivered at the time ``at``. A
        message gets its number when it is first read; only committed messages get one, and only from one reader at a
        time, so a number is never lower than one that was returned before.

        Raises ``InvalidInput`` for a number that was never assigned.
        """
        ...


class Channels(Protocol):
    """The recorded channels."""

    async def lock(self) -> None:
        """Wait until no transaction appends messages, and prevent that until this one ends.

        Other transactions cannot add or remove channels either.
        """
        ...

    async def all(self) -> Sequence[Channel]:
        """Return the recorded channels, by name."""
        ...

    async def add(self, name: str, at: datetime) -> bool:
        """Record a channel, under the lock; returns False if it is recorded already."""
        ...

    async def remove(self, name: str) -> bool:
        """Remove a channel, under the lock; returns False if it is not recorded."""
        ...

    async def alive(self, names: Collection[str], at: datetime, *, in_worker: bool) -> None:
        """Record a heartbeat of a process that delivers on these channels, and whether it is a background worker."""
        ...
