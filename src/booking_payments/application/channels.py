"""Channels: which are recorded, and on which this process delivers. The rules are in ``ports.publisher``."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies
from booking_payments.domain.errors import InvalidInput, NotFound, NotPossibleNow
from booking_payments.ports.publisher import (
    CHANNEL_NAMES,
    Backlog,
    Channel,
    Message,
    is_channel_name,
    pull_channel,
)
from booking_payments.ports.unit_of_work import UnitOfWork

SILENT_AFTER: Final = timedelta(minutes=10)
"""A channel is silent when no process has been alive on it for longer than this."""

ASSIGN_AT_ONCE: Final = 1_000
"""How many unassigned messages one transaction gives to the channels."""

LONGEST_READ: Final = 1_000
"""How many messages one call of ``read_messages`` returns at most."""


class ChannelNotRecorded(NotPossibleNow):
    """This process has a channel that is not recorded, while others are."""

    code = "channel_not_recorded"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the channel {name} is not recorded, so nothing is kept for it; "
            f"to have messages delivered on it from now on, run: booking-payments messages channels add {name}"
        )
        self.name = name


class MessagesWait(NotPossibleNow):
    """A channel can't be removed because messages still wait on it."""

    code = "messages_wait"

    def __init__(self, name: str, waiting: int) -> None:
        super().__init__(
            f"{waiting} messages wait on the channel {name}; deliver them first, or discard them with --force"
        )


@frozen(kw_only=True)
class ChannelState:
    """A channel with its backlog.

    ``silent_since`` is when a process was last alive on it; None while the channel is not silent.
    """

    channel: Channel
    backlog: Backlog
    silent_since: datetime | None


@frozen(kw_only=True)
class ChannelStates:
    """All recorded channels, and in ``others`` the backlogs of messages that belong to no recorded channel."""

    channels: tuple[ChannelState, ...]
    others: tuple[Backlog, ...]

    @property
    def unassigned(self) -> int:
        """How many messages wait for a first channel."""
        return sum(each.waiting for each in self.others if each.channel is None)

    @property
    def waiting(self) -> int:
        """How many deliveries wait in all."""
        return self.unassigned + sum(each.backlog.waiting for each in self.channels)

    @property
    def discarded(self) -> int:
        """How many deliveries were discarded by operators."""
        return sum(each.discarded for each in (*self.others, *(each.backlog for each in self.channels)))


async def attach_channels(deps: Dependencies) -> None:
    """Check once that this process's channels are recorded; record them if no channel is recorded at all.

    Raises:
        ChannelNotRecorded: When one is not recorded while others are.
    """
    names, now = sorted(deps.channels), deps.clock.now()
    if not names or deps.attached.is_done:
        return
    await deps.storage.transact(lambda uow: _attach(uow, names, now))
    deps.attached.is_done = True


async def _attach(uow: UnitOfWork, names: Sequence[str], now: datetime) -> None:
    recorded = {each.name for each in await uow.channels.all()}
    if not recorded:  # read again under the lock, since another process may have recorded its channels meanwhile
        await uow.channels.lock()
        recorded = {each.name for each in await uow.channels.all()}
    if not recorded:
        for name in names:
            await uow.channels.add(name, now)
        return
    for name in names:
        if name not in recorded:
            raise ChannelNotRecorded(name)


async def channel_states(deps: Dependencies) -> ChannelStates:
    """Return the recorded channels with their backlogs."""

    async def work(uow: UnitOfWork) -> ChannelStates:
        return await states_in(uow, deps.clock.now())

    return await deps.storage.read(work)


async def states_in(uow: UnitOfWork, now: datetime) -> ChannelStates:
    """Return the recorded channels with their backlogs, read within the transaction of ``uow``."""
    recorded = await uow.channels.all()
    backlogs = {each.channel: each for each in await uow.outbox.backlogs()}
    channels = tuple(
        ChannelState(channel=each, backlog=backlogs.pop(each.name), silent_since=_silent_since(each, now))
        for each in recorded
        if each.name in backlogs
    )
    return ChannelStates(channels=channels, others=tuple(backlogs.values()))


def _silent_since(channel: Channel, now: datetime) -> datetime | None:
    last = channel.last_alive_at or channel.added_at
    return last if now - last > SILENT_AFTER else None


async def add_channel(deps: Dependencies, name: str, caller: Caller, *, discard_waiting: bool) -> bool:
    """Record a channel; returns False when it is recorded already.

    Messages that were written while there was no channel are delivered on it, unless ``discard_waiting`` is set, which
    discards them.

    Raises:
        InvalidInput: When ``name`` is not the name of a channel (``invalid_channel``).
    """
    require_name(name)
    now = deps.clock.now()

    async def work(uow: UnitOfWork) -> bool:
        added = await uow.channels.add(name, now)
        if discard_waiting:
            await uow.outbox.discard_waiting(None, now, caller.actor)
        return added

    return await deps.storage.transact(work)


def channel_asked(name: str | None) -> str | None:
    """Return a channel's name for the audit trail; None for text that cannot be one, since it may be any text then."""
    return name if name is not None and is_channel_name(name) else None


def require_name(name: str) -> None:
    """Check the form of a channel's name.

    Raises:
        InvalidInput: When it is not of the form ``CHANNEL_NAMES`` (``invalid_channel``).
    """
    if not is_channel_name(name):
        raise InvalidInput(f"a channel is called {CHANNEL_NAMES}", code="invalid_channel")


async def remove_channel(deps: Dependencies, name: str, caller: Caller, *, force: bool) -> int:
    """Remove a channel from the record; returns how many of its waiting messages were discarded.

    Raises:
        NotFound: When it is not recorded.
        MessagesWait: When messages wait on it and ``force`` is not set; nothing is changed.
    """
    now = deps.clock.now()

    async def work(uow: UnitOfWork) -> int:
        if not await uow.channels.remove(name):
            raise NotFound(f"no channel {name} is recorded; see: booking-payments messages channels list")
        discarded = await uow.outbox.discard_waiting(name, now, caller.actor)
        if discarded and not force:
            raise MessagesWait(name, discarded)
        return discarded

    return await deps.storage.transact(work)


# --- reading with a cursor -------------------------------------------------------------------------------------


async def read_messages(deps: Dependencies, after: str | None, limit: int, name: str | None) -> Sequence[Message]:
    """Return the next messages of the channel ``pull:NAME``, in the order of their cursors.

    Args:
        deps: the dependencies.
        after: the cursor of the last message that the reader has processed; None to begin with the oldest.
        limit: how many to return at most, from 1 to ``LONGEST_READ``.
        name: NAME of the channel; None stands for this installation's default reader.

    Raises:
        InvalidInput: When ``after`` is not a cursor, ``limit`` is out of range, or the name is not a channel's.
        ChannelNotRecorded: When the channel is not recorded while others are.
    """
    channel, now = pull_channel(name or deps.reader), deps.clock.now()
    require_name(channel)
    if after is not None and not (after.isascii() and after.isdigit() and len(after) <= 18):
        raise InvalidInput("this is not the cursor of a message", code="invalid_cursor")
    if not 1 <= limit <= LONGEST_READ:
        raise InvalidInput(f"limit must be from 1 to {LONGEST_READ}", code="invalid_limit")

    async def work(uow: UnitOfWork) -> tuple[bool, Sequence[Message]]:
        await _attach(uow, [channel], now)
        unsaid = deps.attached.unsaid([channel], now)
        if unsaid:
            await uow.channels.alive(unsaid, now, in_worker=False)
        if not await uow.outbox.assign(ASSIGN_AT_ONCE):
            return False, ()
        return True, await uow.outbox.number(channel, int(after or "0"), limit, now)

    assigned, found = await deps.storage.transact(work)
    while not assigned:
        assigned, found = await deps.storage.transact(work)
    deps.attached.said(deps.attached.unsaid([channel], now), now)
    return found
