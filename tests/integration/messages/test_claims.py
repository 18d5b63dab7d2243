"""Many that deliver at once never have the same booking, on PostgreSQL too, where their transactions overlap."""

from collections import Counter
from datetime import timedelta

import anyio

from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.testing.kit import CHANNEL, NOW, PaymentsTestKit

BOOKINGS = 24


async def test_no_booking_is_claimed_twice(storage: SqlStorage) -> None:
    kit = PaymentsTestKit(storage=storage)
    await kit.payments.attach_channels()
    for number in range(BOOKINGS):
        await kit.payments.process_booking_payment(await kit.book(reference=f"R-{number}"), "pm_card_visa")
    claimed: list[str] = []
    await storage.transact(lambda uow: uow.outbox.assign(1_000))

    async def claim() -> None:
        until = NOW + timedelta(minutes=1)
        while found := await storage.transact(lambda uow: uow.outbox.claim(CHANNEL, NOW, until, 3, skip_dead=False)):
            claimed.extend(each.message.id for each in found)

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(claim)

    assert set(Counter(claimed).values()) == {1}
    assert len(claimed) == 2 * BOOKINGS
