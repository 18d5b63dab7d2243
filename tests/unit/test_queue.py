from collections.abc import Sequence

import anyio
import attrs
import pytest

from booking_payments.adapters.sql.groups.queue import Queue, Ticket
from booking_payments.ports.storage import StorageConflict, Subject


@attrs.define
class Counter:
    """Serves numbers doubled, as long as its door is open; remembers who came together."""

    groups: list[list[int]] = attrs.field(factory=list)
    door: anyio.Event = attrs.field(factory=anyio.Event)
    busy: int = 0
    most_busy: int = 0

    async def serve(self, tickets: Sequence[Ticket[int, int]]) -> None:
        self.groups.append([ticket.payload for ticket in tickets])
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        await self.door.wait()
        self.busy -= 1
        for ticket in tickets:
            if ticket.payload == 13:
                ticket.fails(ValueError("unlucky"))
            elif ticket.payload != 404:
                ticket.gets(2 * ticket.payload)


def about(number: int) -> Subject:
    return Subject(event_id=f"evt_{number}", intent_id=f"pi_{number}")


@attrs.define
class Customers:
    """Join a queue one after the other, and keep what they get."""

    queue: Queue[int, int]
    got: dict[int, object] = attrs.field(factory=dict)

    async def join(self, number: int, subject: Subject) -> None:
        try:
            self.got[number] = await self.queue.join(number, subject)
        except (ValueError, StorageConflict) as error:
            self.got[number] = str(error)


async def serve_all(
    numbers: Sequence[int], *, most: int = 10, at_once: int = 1, same: bool = False
) -> tuple[Counter, dict[int, object]]:
    """All come one after the other while the first is served."""
    counter = Counter()
    customers = Customers(Queue(counter.serve, most=most, at_once=at_once))
    async with anyio.create_task_group() as tasks:
        for number in numbers:
            tasks.start_soon(customers.join, number, about(0 if same else number))
            await anyio.wait_all_tasks_blocked()
        counter.door.set()
    return counter, customers.got


async def test_who_comes_while_a_group_is_served_is_served_with_the_next() -> None:
    counter, got = await serve_all([1, 2, 3, 4])

    assert got == {1: 2, 2: 4, 3: 6, 4: 8}
    assert counter.groups == [[1], [2, 3, 4]]
    assert counter.most_busy == 1


async def test_a_group_has_a_largest_size() -> None:
    counter, _ = await serve_all([1, 2, 3, 4, 5, 6], most=2)

    assert counter.groups == [[1], [2, 3], [4, 5], [6]]


async def test_several_groups_are_under_way_where_that_is_allowed() -> None:
    counter, _ = await serve_all([1, 2, 3, 4], at_once=2)

    assert counter.groups == [[1], [2], [3, 4]]
    assert counter.most_busy == 2


async def test_two_about_the_same_are_never_in_one_group() -> None:
    counter, _ = await serve_all([1, 2, 3], same=True)

    assert counter.groups == [[1], [2], [3]]


async def test_an_error_is_only_that_of_its_ticket_and_none_goes_without_an_answer() -> None:
    _, got = await serve_all([1, 13, 404])

    assert got[1] == 2
    assert got[13] == "unlucky"
    assert got[404] == "the database was left in the middle; try again"


async def test_alone_nobody_waits() -> None:
    counter = Counter()
    counter.door.set()
    queue = Queue(counter.serve, most=10, at_once=1)

    assert [await queue.join(number, about(number)) for number in (1, 2, 3)] == [2, 4, 6]
    assert counter.groups == [[1], [2], [3]]


@pytest.mark.parametrize("leaves", [2, 3])
async def test_who_goes_away_while_waiting_holds_up_nobody(leaves: int) -> None:
    counter = Counter()
    customers = Customers(Queue(counter.serve, most=1, at_once=1))
    scopes = {number: anyio.CancelScope() for number in (1, 2, 3)}

    async def join(number: int) -> None:
        with scopes[number]:
            await customers.join(number, about(number))

    async with anyio.create_task_group() as tasks:
        for number in scopes:
            tasks.start_soon(join, number)
            await anyio.wait_all_tasks_blocked()
        scopes[leaves].cancel()
        await anyio.wait_all_tasks_blocked()
        counter.door.set()

    stays = ({2, 3} - {leaves}).pop()
    assert customers.got == {1: 2, stays: 2 * stays}


async def test_who_goes_away_when_asked_to_lead_asks_the_next() -> None:
    counter = Counter()
    customers = Customers(Queue(counter.serve, most=1, at_once=1))
    second = anyio.CancelScope()

    async def join_and_leave() -> None:
        with second:
            await customers.join(2, about(2))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(customers.join, 1, about(1))
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(join_and_leave)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(customers.join, 3, about(3))
        await anyio.wait_all_tasks_blocked()
        counter.door.set()
        second.cancel()  # in the same breath in which the first one's end asks it to lead

    assert customers.got == {1: 2, 3: 6}
