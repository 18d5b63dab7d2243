"""Delivering messages to the booking app: from the outbox, on each channel in order per booking, at least once.

A process delivers only on its own channels (``Dependencies.channels``); ``ports.publisher`` has the rules. A pass
claims the bookings whose messages are due on a channel, so that several processes share the work. A message that its
consumer does not accept is delivered again with growing delays. After the last try it becomes a dead letter, which
waits for an operator.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial

from attrs import define, evolve, field

from booking_payments.application.auditing import LONGEST
from booking_payments.application.callers import Caller
from booking_payments.application.channels import ASSIGN_AT_ONCE, attach_channels
from booking_payments.application.dependencies import Dependencies
from booking_payments.ports.publisher import DeliveryFailed, Message, MessageDelivery
from booking_payments.ports.unit_of_work import UnitOfWork

DELIVER_AT_ONCE = 100
"""How many bookings one pass claims on a channel."""


@define
class DeliveryPass:
    """One pass on ``channel`` with its results, until these are stored.

    Attributes:
        channel: name of the channel.
        ends_at: no delivery begins after this time, since the claim on the bookings lapses.
        delivered: ids of the delivered messages.
        failed: failed deliveries, with their next try.
        raised: unexpected errors, such as one of the storage, which are not a consumer's.
    """

    channel: str
    ends_at: datetime
    delivered: list[str] = field(factory=list)
    failed: list[MessageDelivery] = field(factory=list)
    raised: list[Exception] = field(factory=list)


async def deliver_messages(deps: Dependencies, besides: Collection[str] = ()) -> int:
    """Deliver the messages that are due on this process's channels; returns how many were delivered.

    After a failed delivery, the later messages of the same booking wait on that channel. Channels do not wait for one
    another. One transaction for each channel marks its messages as delivered; if the process ends before it, the claim
    lapses and they are delivered a second time, which "at least once" allows.

    Args:
        deps: the dependencies.
        besides: names of channels to leave out.

    Raises:
        ChannelNotRecorded: When a channel of this process is not recorded while others are.
        ExceptionGroup: At the end of the pass, with all errors that were not failed deliveries.
    """
    await attach_channels(deps)
    await _say_alive(deps)
    passes: list[DeliveryPass] = []
    names = sorted(deps.channels.keys() - set(besides))
    await deps.gather([partial(_deliver_on, deps, name, passes) for name in names])
    raised = [error for each in passes for error in each.raised]
    if raised:
        raise ExceptionGroup(f"{len(raised)} errors in this pass of deliveries", raised)
    return sum(len(each.delivered) for each in passes)


async def _say_alive(deps: Dependencies) -> None:
    now = deps.clock.now()
    names = deps.attached.unsaid(deps.channels, now)
    if names:
        await deps.storage.transact(lambda uow: uow.channels.alive(names, now, in_worker=deps.in_worker))
        deps.attached.said(names, now)


async def _deliver_on(deps: Dependencies, channel: str, passes: list[DeliveryPass]) -> None:
    now = deps.clock.now()
    pass_ = DeliveryPass(channel, ends_at=now + deps.config.deliveries.lease / 2)
    passes.append(pass_)
    try:
        due = await _claim(deps, channel, now)
        await deps.gather([partial(_deliver_apart, deps, pass_, each) for each in _by_booking(due)])
        await _write_down(deps, pass_)
    except Exception as error:  # deliver_messages raises it when all channels have finished
        pass_.raised.append(error)


async def _claim(deps: Dependencies, channel: str, now: datetime) -> Sequence[MessageDelivery]:
    """Claim and return the due messages of ``channel``.

    All messages are assigned to channels first, since an unassigned one may be an earlier message of the same booking.
    """
    terms = deps.config.deliveries

    async def work(uow: UnitOfWork) -> Sequence[MessageDelivery] | None:
        if not await uow.outbox.assign(ASSIGN_AT_ONCE):
            return None
        return await uow.outbox.claim(channel, now, now + terms.lease, DELIVER_AT_ONCE, skip_dead=terms.skip_dead)

    due = await deps.storage.transact(work)
    while due is None:
        due = await deps.storage.transact(work)
    return due


def _by_booking(due: Sequence[MessageDelivery]) -> Collection[Sequence[MessageDelivery]]:
    found: dict[str, list[MessageDelivery]] = {}
    for delivery in due:
        found.setdefault(delivery.message.booking_id, []).append(delivery)
    return found.values()


async def _deliver_apart(deps: Dependencies, pass_: DeliveryPass, deliveries: Sequence[MessageDelivery]) -> None:
    """Deliver one booking's messages, and keep an error in ``pass_`` so that the other bookings' results are stored."""
    try:
        await _deliver_booking(deps, pass_, deliveries)
    except Exception as error:
        pass_.raised.append(error)


async def _deliver_booking(deps: Dependencies, pass_: DeliveryPass, deliveries: Sequence[MessageDelivery]) -> None:
    """Deliver one booking's messages in order.

    Stops at the first that fails, at a dead letter that may not be skipped, and when the pass ends.
    """
    for delivery in deliveries:
        if delivery.dead_at and deps.config.deliveries.skip_dead:
            continue
        if delivery.dead_at or deps.clock.now() >= pass_.ends_at:
            return
        error = await _publish(deps, pass_.channel, delivery.message)
        if error is not None:
            pass_.failed.append(_after_failure(deps, delivery, error))
            return
        pass_.delivered.append(delivery.message.id)


async def _publish(deps: Dependencies, channel: str, message: Message) -> str | None:
    """Publish one message; returns None when the consumer accepted it, otherwise a text with the reason."""
    try:
        await deps.channels[channel].publish(message)
    except DeliveryFailed as error:
        return str(error)
    except Exception as error:  # a channel's code may raise any error; the message stays in the outbox
        return type(error).__name__
    return None


def _after_failure(deps: Dependencies, delivery: MessageDelivery, error: str) -> MessageDelivery:
    tries = delivery.tries + 1
    delay = deps.config.deliveries.retry.delay_after(tries, deps.random)
    now = deps.clock.now()
    return evolve(
        delivery,
        tries=tries,
        error=error,
        next_try_at=now + delay if delay is not None else None,
        dead_at=now if delay is None else None,
    )


async def _write_down(deps: Dependencies, pass_: DeliveryPass) -> None:
    if not (pass_.delivered or pass_.failed):
        return

    async def work(uow: UnitOfWork) -> None:
        if pass_.delivered:
            await uow.outbox.delivered(pass_.channel, pass_.delivered, deps.clock.now())
        for each in pass_.failed:
            await uow.outbox.reschedule(each)

    await deps.storage.transact(work)


# --- for operators ---------------------------------------------------------------------------------------------


async def undelivered_messages(
    deps: Dependencies, *, dead: bool, limit: int, channel: str | None = None
) -> Sequence[MessageDelivery]:
    """Return up to ``limit`` waiting deliveries, oldest first; with ``dead`` only dead letters, else all.

    A message that waits on two channels is listed twice. ``channel`` limits the list to one channel.
    """
    return await deps.storage.read(lambda uow: uow.outbox.undelivered(dead=dead, limit=limit, channel=channel))


def messages_asked(message_ids: Collection[str]) -> str:
    """Return the ids for the audit trail, which may cut the text; of many, their number comes first."""
    ids = " ".join(message_ids)
    return f"{len(message_ids)} messages: {ids}" if len(ids) > LONGEST else ids


async def replay_messages(deps: Dependencies, message_ids: Collection[str], channel: str | None = None) -> int:
    """Make dead letters due again on ``channel``, or on all channels for None; returns how many deliveries changed."""
    return await deps.storage.transact(lambda uow: uow.outbox.requeue(message_ids, channel))


async def drop_messages(
    deps: Dependencies, message_ids: Collection[str], caller: Caller, channel: str | None = None
) -> int:
    """Discard dead letters on ``channel``, or on all channels for None; returns how many deliveries were discarded.

    The caller's name is stored with each.
    """
    now = deps.clock.now()
    return await deps.storage.transact(lambda uow: uow.outbox.discard(message_ids, now, caller.actor, channel))
