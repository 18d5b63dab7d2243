"""Delivering messages to the booking app: from the outbox, in order per booking, at least once."""

from booking_payments.application.world import World
from booking_payments.ports.publisher import Message

DELIVER_AT_ONCE = 100
"""How many messages one round takes up."""


async def deliver_messages(world: World) -> int:
    """Publish what waits; returns how many were delivered. After a failure the rest of that booking waits, too.

    What was published is crossed off in one transaction: a process that dies before it has its messages published
    again, which is what "at least once" means.
    """
    waiting = await world.storage.read(lambda uow: uow.outbox.waiting(DELIVER_AT_ONCE))
    stuck: set[str] = set()
    delivered: list[str] = []
    for message in waiting:
        if message.booking_id in stuck:
            continue
        if await _publish(world, message):
            delivered.append(message.id)
        else:
            stuck.add(message.booking_id)
    if delivered:
        now = world.clock.now()
        await world.storage.transact(lambda uow: uow.outbox.delivered(delivered, now))
    return len(delivered)


async def _publish(world: World, message: Message) -> bool:
    try:
        await world.publisher.publish(message)
    except Exception:
        return False  # whatever a consumer raises, the message stays in the outbox and is published again
    return True
