"""Delivering messages to the booking app: from the outbox, in order per booking, at least once.

Whoever delivers claims the bookings whose messages are due, so that any number of processes share the work. A message
that is not taken is tried again later and later, and in the end given up: a dead letter, which waits for a person.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial

from attrs import define, evolve, field

from booking_payments.application.world import World
from booking_payments.ports.publisher import Delivery, Message, NotTaken
from booking_payments.ports.storage import UnitOfWork

DELIVER_AT_ONCE = 100
"""How many bookings one round takes up."""

LET_GO_AT_ONCE = 1_000
"""How many messages one round crosses off that nobody wants."""


@define
class Round:
    """What became of the messages of one round, until it is written down; nothing is begun after ``ends_at``.

    ``raised`` is what came of a mistake of ours, beside the messages.
    """

    ends_at: datetime
    delivered: list[str] = field(factory=list)
    failed: list[Delivery] = field(factory=list)
    raised: list[Exception] = field(factory=list)


async def deliver_messages(world: World) -> int:
    """Publish what is due; returns how many were delivered. After a failure the rest of that booking waits, too.

    What was published is crossed off in one transaction: a process that dies before it has its messages published
    again once its claim lapses, which is what "at least once" means.
    """
    now = world.clock.now()
    if world.publisher is None:
        return await world.storage.transact(lambda uow: uow.outbox.let_go(now, LET_GO_AT_ONCE))
    terms = world.terms.deliveries
    until = now + terms.lease
    due = await world.storage.transact(
        lambda uow: uow.outbox.claim(now, until, DELIVER_AT_ONCE, past_dead=terms.past_dead)
    )
    round_ = Round(ends_at=now + terms.lease / 2)
    await world.side_by_side([partial(_deliver_apart, world, round_, each) for each in _by_booking(due)])
    await _write_down(world, round_)
    if round_.raised:
        raise ExceptionGroup(f"{len(round_.raised)} broke in this round", round_.raised)
    return len(round_.delivered)


def _by_booking(due: Sequence[Delivery]) -> Collection[Sequence[Delivery]]:
    found: dict[str, list[Delivery]] = {}
    for delivery in due:
        found.setdefault(delivery.message.booking_id, []).append(delivery)
    return found.values()


async def _deliver_apart(world: World, round_: Round, deliveries: Sequence[Delivery]) -> None:
    """One booking's messages. Whatever is raised waits until what was delivered is written down, others' included."""
    try:
        await _deliver_booking(world, round_, deliveries)
    except Exception as error:
        round_.raised.append(error)


async def _deliver_booking(world: World, round_: Round, deliveries: Sequence[Delivery]) -> None:
    """One booking's messages, until one fails, is dead and may not be passed, or the round is over."""
    for delivery in deliveries:
        if delivery.dead_at and world.terms.deliveries.past_dead:
            continue
        if delivery.dead_at or world.clock.now() >= round_.ends_at:
            return
        error = await _publish(world, delivery.message)
        if error is not None:
            round_.failed.append(_after_failure(world, delivery, error))
            return
        round_.delivered.append(delivery.message.id)


async def _publish(world: World, message: Message) -> str | None:
    """None when it was taken, else why not."""
    if world.publisher is None:
        return None
    try:
        await world.publisher.publish(message)
    except NotTaken as error:
        return str(error)
    except Exception as error:  # whatever a consumer raises, the message stays in the outbox
        return type(error).__name__
    return None


def _after_failure(world: World, delivery: Delivery, error: str) -> Delivery:
    tries = delivery.tries + 1
    delay = world.terms.deliveries.retry.delay_after(tries, world.random)
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
            await uow.outbox.delivered(round_.delivered, world.clock.now())
        for each in round_.failed:
            await uow.outbox.put_off(each)

    await world.storage.transact(work)


# --- for people ------------------------------------------------------------------------------------------------


async def undelivered_messages(world: World, *, dead: bool, limit: int) -> Sequence[Delivery]:
    """Messages that wait, oldest first; with ``dead`` only those that were given up."""
    return await world.storage.read(lambda uow: uow.outbox.undelivered(dead=dead, limit=limit))


async def replay_messages(world: World, message_ids: Collection[str]) -> int:
    """Have dead letters delivered after all; returns how many of these there were."""
    return await world.storage.transact(lambda uow: uow.outbox.revive(message_ids))


async def drop_messages(world: World, message_ids: Collection[str]) -> int:
    """Give dead letters up for good; returns how many of these there were."""
    now = world.clock.now()
    return await world.storage.transact(lambda uow: uow.outbox.drop(message_ids, now))
