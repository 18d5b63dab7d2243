"""Events to come, as each storage lists them."""

from datetime import timedelta

from booking_payments.adapters.memory.stores import MemoryStorage
from booking_payments.ports.event_jobs import UpcomingEvent
from booking_payments.ports.storage import Storage
from booking_payments.testing.kit import NOW, PaymentsTestKit


async def listed(storage: Storage, after: UpcomingEvent | None = None, limit: int = 10) -> list[UpcomingEvent]:
    return list(await storage.read(lambda uow: uow.events.upcoming(NOW + timedelta(days=1), after, limit)))


async def registered(kit: PaymentsTestKit) -> None:
    days = {"over": (1,), "soon": (3, 2), "b-later": (9,), "a-later": (9, 9, 9), None: (4,)}
    for event_id, starts in days.items():
        for number, day in enumerate(starts):
            await kit.book(reference=f"{event_id}-{number}", event_id=event_id, starts_in=timedelta(days=day))


async def test_events_to_come_are_listed_by_their_earliest_date_page_by_page(kit: PaymentsTestKit) -> None:
    for each in (kit, PaymentsTestKit(storage=MemoryStorage())):
        await registered(each)
        storage = each.deps.storage

        found = await listed(storage)
        first = await listed(storage, limit=2)
        second = await listed(storage, after=first[-1], limit=2)

        assert [(event.event_id, (event.starts_at - NOW).days, event.bookings) for event in found] == [
            *(("soon", 2, 2), ("a-later", 9, 3), ("b-later", 9, 1))
        ]
        assert [*first, *second] == found
