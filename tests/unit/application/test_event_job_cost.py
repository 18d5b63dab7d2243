"""A large event costs in proportion to its bookings: in memory and at the sandbox, counted in rows that are read."""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from attrs import define, fields

from booking_payments.adapters.memory.stores import Tables
from booking_payments.application.event_jobs import AT_ONCE
from booking_payments.testing.kit import OPERATOR, PaymentsTestKit
from tests.payments import pay

BOOKINGS = AT_ONCE
TURNS = 2
"""One takes up all bookings, and one finds none left."""


@define
class RowCount:
    """Rows that were read one by one, and rows that were looked up."""

    scanned: int = 0
    looked_up: int = 0


class CountedView:
    """The keys, rows or pairs of a table; counts those that are taken."""

    def __init__(self, rows: Any, count: RowCount) -> None:
        self._rows, self._count = rows, count

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._counted(iter(self._rows))

    def __reversed__(self) -> Iterator[Any]:
        return self._counted(reversed(self._rows))

    def _counted(self, rows: Iterator[Any]) -> Iterator[Any]:
        for row in rows:
            self._count.scanned += 1
            yield row


class CountedTable(dict[Any, Any]):
    """A table that counts the rows that are read."""

    def __init__(self, rows: Any, count: RowCount) -> None:
        super().__init__(rows)
        self.count = count

    def __getitem__(self, key: Any) -> Any:
        self.count.looked_up += 1
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[Any]:
        return iter(CountedView(super().keys(), self.count))

    def copy(self) -> Any:
        self.count.scanned += len(self)
        return super().copy()

    def keys(self) -> Any:
        return CountedView(super().keys(), self.count)

    def values(self) -> Any:
        return CountedView(super().values(), self.count)

    def items(self) -> Any:
        return CountedView(super().items(), self.count)


def count_in_memory(kit: PaymentsTestKit) -> RowCount:
    """Count the rows that the storage reads from now on."""
    count, storage = RowCount(), kit.storage
    tables = attrgetter(*[each.name for each in fields(Tables)])(storage._tables)  # type: ignore[attr-defined]
    storage._tables = Tables(*[CountedTable(each, count) for each in tables])  # type: ignore[attr-defined]
    return count


def count_at_the_sandbox(kit: PaymentsTestKit) -> RowCount:
    """Count the rows that the sandbox reads from now on."""
    count, account = RowCount(), kit.stripe._account
    account._tables = {kind: CountedTable(rows, count) for kind, rows in account._tables.items()}
    return count


async def test_a_large_event_costs_in_proportion_to_its_bookings() -> None:
    kit = PaymentsTestKit(refunds_need_balance=True)
    for number in range(BOOKINGS):
        booking = await kit.book(reference=f"R-{number}", event_id="evening")
        await pay(kit, booking)
        await kit.deliver_webhooks()
    await kit.payments.refund_payment(booking.id, OPERATOR, amount="1.00")  # so that there is a table of refunds
    kit.stripe._account.balances.clear()  # so that all other refunds wait
    in_memory, at_sandbox, calls = count_in_memory(kit), count_at_the_sandbox(kit), len(kit.stripe.calls)

    await kit.payments.run_event_job(await kit.payments.cancel_event("evening", OPERATOR))
    await kit.deliver_webhooks()

    assert len(kit.stripe._account.waiting_refunds) == BOOKINGS
    calls = len(kit.stripe.calls) - calls
    assert calls < 6 * BOOKINGS, "two for the refund, and three for its webhook"
    # Each turn may ask a few times for all bookings of the event; taking one booking up, or its webhook, may not.
    assert in_memory.scanned < 10 * TURNS * BOOKINGS
    assert in_memory.looked_up < 30 * BOOKINGS
    assert at_sandbox.scanned < 5 * calls
    assert at_sandbox.looked_up < 5 * calls
