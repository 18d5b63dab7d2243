"""Delivering messages to the booking app: from the outbox, on each channel in order per booking, at least once.

A process delivers on its own channels (``World.channels``) and leaves all others alone; ``ports.publisher`` has the
rules. Whoever delivers claims the bookings whose messages are due on a channel, so that any number of processes share
the work. A message that is not taken is tried again later and later, and in the end given up: a dead letter, which
waits for a person.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial

from attrs import define, evolve, field

from booking_payments.application.callers import Caller
from booking_payments.application.channels import ASSIGN_AT_ONCE, attach_channels
from booking_payments.application.world import World
from booking_payments.ports.publisher import DeliveryFailed, Message, MessageDelivery
from booking_payments.ports.unit_of_work import UnitOfWork

DELIVER_AT_ONCE = 100
"""How many bookings one round takes up."""


@define
class Round:
    """What became of the messages of one round on ``channel``, until it is written down; nothing is begun after
    ``ends_at``.

    ``raised`` is what came of a mistake of ours, beside the messages.
    """

    channel: str
    ends_at: datetime
    delivered: list[str] = field(factory=list)
    failed: list[MessageDelivery] = field(factory=list)
    raised: list[Exception] = field(factory=list)


async def deliver_messages(world: World, besides: Collection[str] = ()) -> int:
    """Publish what is due on this process's channels, except those that are named in ``besides``; returns how many were
    delivered. After a failure the rest of that booking waits, too.

    Channels do not wait for one another. What was published is crossed off in one transaction for each channel: a
    process that dies before it has its messages published again once its claim lapses, which is what "at least once"
    means. Raises ``ChannelNotRecorded``, and an ``ExceptionGroup`` in the end of what broke.
    """
    await attach_channels(world)
    await _say_alive(world)
    rounds: list[Round] = []
    names = sorted(world.channels.keys() - set(besides))
    await world.gather([partial(_deliver_on, world, name, rounds) for name in names])
    raised = [error for each in rounds for error in each.raised]
    if raised:
        raise ExceptionGroup(f"{len(raised)} broke in this round", raised)
    return sum(len(each.delivered) for each in rounds)


async def _say_alive(world: World) -> None:
    now = world.clock.now()
    names = world.attached.unsaid(world.channels, now)
    if names:
        await world.storage.transact(lambda uow: uow.channels.alive(names, now, in_worker=world.in_worker))
        world.attached.said(names, now)


async def _deliver_on(world: World, channel: str, rounds: list[Round]) -> None:
    now = world.clock.now()
    round_ = Round(channel, ends_at=now + world.config.deliveries.lease / 2)
    rounds.append(round_)
    try:
        due = await _claim(world, channel, now)
        await world.gather([partial(_deliver_apart, world, round_, each) for each in _by_booking(due)])
        await _write_down(world, round_)
    except Exception as error:  # what broke on one channel is raised when all had their turn
        round_.raised.append(error)


async def _claim(world: World, channel: str, now: datetime) -> Sequence[MessageDelivery]:
    """What is due, once no message waits unassigned any more: earlier ones of the same booking may be among those."""
    terms = world.config.deliveries

    async def work(uow: UnitOfWork) -> Sequence[MessageDelivery] | None:
        if not await uow.outbox.assign(ASSIGN_AT_ONCE):
            return None
        return await uow.outbox.claim(channel, now, now + terms.lease, DELIVER_AT_ONCE, skip_dead=terms.skip_dead)

    due = await world.storage.transact(work)
    while due is None:
        due = await world.storage.transact(work)
    return due


def _by_booking(due: Sequence[MessageDelivery]) -> Collection[Sequence[MessageDelivery]]:
    found: dict[str, list[MessageDelivery]] = {}
    for delivery in due:
        found.setdefault(delivery.message.booking_id, []).append(delivery)
    return found.values()


async def _deliver_apart(world: World, round_: Round, deliveries: Sequence[MessageDelivery]) -> None:
    """One booking's messages. Whatever is raised waits until what was delivered is written down, others' included."""
    try:
        await _deliver_booking(world, round_, deliveries)
    except Exception as error:
        round_.raised.append(error)


async def _deliver_booking(world: World, round_: Round, deliveries: Sequence[MessageDelivery]) -> None:
    """One booking's messages, until one fails, is dead and may not be passed, or the round is over."""
    for delivery in deliveries:
        if delivery.dead_at and world.config.deliveries.skip_dead:
            continue
        if delivery.dead_at or world.clock.now() >= round_.ends_at:
            return
        error = await _publish(world, round_.channel, delivery.message)
        if error is not None:
            round_.failed.append(_after_failure(world, delivery, error))
            return
        round_.delivered.append(delivery.message.id)


async def _publish(world: World, channel: str, message: Message) -> str | None:
    """None when it was taken, else why not."""
    try:
        await world.channels[channel].publish(message)
    except DeliveryFailed as error:
        return str(error)
    except Exception as error:  # whatever a consumer raises, the message stays in the outbox
        return type(error).__name__
    return None


def _after_failure(world: World, delivery: MessageDelivery, error: str) -> MessageDelivery:
    tries = delivery.tries + 1
    delay = world.config.deliveries.retry.delay_after(tries, world.random)
    now = world.clock.now()
    return evolve(
        delivery,
        tries=tries,
        error=error,
        next_try_at=now + delay if delay is not None else None,
        dead_at=now if delay is None else None,
    )


async def _write_down(world: World, round_: Round) -> None:
    if not (round_.delivered or round_.failed):
        return

    async def work(uow: UnitOfWork) -> None:
        if round_.delivered:
            await uow.outbox.delivered(round_.channel, round_.delivered, world.clock.now())
        for each in round_.failed:
            await uow.outbox.reschedule(each)

    await world.storage.transact(work)


# --- for people ------------------------------------------------------------------------------------------------


async def undelivered_messages(
    world: World, *, dead: bool, limit: int, channel: str | None = None
) -> Sequence[MessageDelivery]:
    """Messages that wait, oldest first, once for each channel; with ``dead`` only those that were given up."""
    return await world.storage.read(lambda uow: uow.outbox.undelivered(dead=dead, limit=limit, channel=channel))


async def replay_messages(world: World, message_ids: Collection[str], channel: str | None = None) -> int:
    """Have dead letters delivered after all, on ``channel`` or on all; returns how many of these there were."""
    return await world.storage.transact(lambda uow: uow.outbox.requeue(message_ids, channel))


async def drop_messages(world: World, message_ids: Collection[str], caller: Caller, channel: str | None = None) -> int:
    """Discard dead letters on ``channel`` or on all; returns how many of these there were. Who did it is kept."""
    now = world.clock.now()
    return await world.storage.transact(lambda uow: uow.outbox.discard(message_ids, now, caller.actor, channel))
