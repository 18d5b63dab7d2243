import asyncio
from collections.abc import Sequence

import anyio
import anyio.lowlevel
import attrs
import pytest

from booking_payments.adapters.sql.groups import queue as groups
from booking_payments.adapters.sql.groups.queue import Queue, Ticket
from booking_payments.ports.storage import CommitLost
from booking_payments.ports.unit_of_work import LockScope


@attrs.define
class Counter:
    """A server that doubles numbers once ``opened`` is set; records its groups."""

    groups: list[list[int]] = attrs.field(factory=list)
    opened: anyio.Event = attrs.field(factory=anyio.Event)
    busy: int = 0
    most_busy: int = 0

    async def serve(self, tickets: Sequence[Ticket[int, int]]) -> None:
        self.groups.append([ticket.payload for ticket in tickets])
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        await self.opened.wait()
        self.busy -= 1
        for ticket in tickets:
            if ticket.payload == 13:
                ticket.fails(ValueError("unlucky"))
            elif ticket.payload != 404:
                ticket.gets(2 * ticket.payload)


def about(number: int) -> LockScope:
    return LockScope(event_id=f"evt_{number}", intent_id=f"pi_{number}")


@attrs.define
class Customers:
    """Tasks that join a queue one after the other; ``got`` has their results."""

    queue: Queue[int, int]
    got: dict[int, object] = attrs.field(factory=dict)

    async def join(self, number: int, subject: LockScope) -> None:
        try:
            self.got[number] = await self.queue.join(number, subject)
        except (ValueError, CommitLost) as error:
            self.got[number] = str(error)


async def serve_all(
    numbers: Sequence[int], *, most: int = 10, at_once: int = 1, same: bool = False
) -> tuple[Counter, dict[int, object]]:
    """Let all numbers join one after the other while the first is being served."""
    counter = Counter()
    customers = Customers(Queue(counter.serve, most=most, at_once=at_once))
    async with anyio.create_task_group() as tasks:
        for number in numbers:
            tasks.start_soon(customers.join, number, about(0 if same else number))
            await anyio.wait_all_tasks_blocked()
        counter.opened.set()
    return counter, customers.got


async def test_tickets_that_arrive_while_a_group_is_served_join_the_next_group() -> None:
    counter, got = await serve_all([1, 2, 3, 4])

    assert got == {1: 2, 2: 4, 3: 6, 4: 8}
    assert counter.groups == [[1], [2, 3, 4]]
    assert counter.most_busy == 1


async def test_a_group_has_a_maximum_size() -> None:
    counter, _ = await serve_all([1, 2, 3, 4, 5, 6], most=2)

    assert counter.groups == [[1], [2, 3], [4, 5], [6]]


async def test_several_groups_run_concurrently_if_allowed() -> None:
    counter, _ = await serve_all([1, 2, 3, 4], at_once=2)

    assert counter.groups == [[1], [2], [3, 4]]
    assert counter.most_busy == 2


async def test_tickets_with_the_same_lock_scope_are_never_in_one_group() -> None:
    counter, _ = await serve_all([1, 2, 3], same=True)

    assert counter.groups == [[1], [2], [3]]


async def test_an_error_belongs_to_its_ticket_and_every_ticket_gets_a_result() -> None:
    _, got = await serve_all([1, 13, 404])

    assert got[1] == 2
    assert got[13] == "unlucky"
    assert got[404] == "the transaction was interrupted before its result was known"


async def test_a_single_ticket_is_served_at_once() -> None:
    counter = Counter()
    counter.opened.set()
    queue = Queue(counter.serve, most=10, at_once=1)

    assert [await queue.join(number, about(number)) for number in (1, 2, 3)] == [2, 4, 6]
    assert counter.groups == [[1], [2], [3]]


async def _behind_a_group_of_three(counter: Counter, customers: Customers, *next_ones: int) -> None:
    """Serve one ticket, then a group of three, and then ``next_ones``, each in a task that joins one turn later."""
    async with anyio.create_task_group() as tasks:
        for number in (1, 2, 3, 4):
            tasks.start_soon(customers.join, number, about(number))
            await anyio.wait_all_tasks_blocked()
        counter.opened.set()
    async with anyio.create_task_group() as tasks:
        for number in next_ones:
            tasks.start_soon(customers.join, number, about(number))
            await anyio.lowlevel.checkpoint()


async def test_the_next_group_waits_for_the_tickets_of_the_last_one_to_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOMENT_S", 60)
    counter = Counter()
    customers = Customers(Queue(counter.serve, most=10, at_once=1))

    await _behind_a_group_of_three(counter, customers, 5, 6, 7)

    assert counter.groups == [[1], [2, 3, 4], [5, 6, 7]]


async def test_the_next_group_waits_only_briefly_for_tickets_that_do_not_return() -> None:
    counter = Counter()
    customers = Customers(Queue(counter.serve, most=10, at_once=1))

    await _behind_a_group_of_three(counter, customers, 5)

    assert counter.groups == [[1], [2, 3, 4], [5]]
    assert customers.got[5] == 10


@pytest.mark.parametrize("leaves", [2, 3])
async def test_a_ticket_canceled_while_waiting_does_not_delay_others(leaves: int) -> None:
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
        counter.opened.set()

    stays = ({2, 3} - {leaves}).pop()
    assert customers.got == {1: 2, stays: 2 * stays}


async def test_a_ticket_canceled_when_it_becomes_the_leader_passes_the_lead_on() -> None:
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
        counter.opened.set()
        second.cancel()  # in the same breath in which the first one's end asks it to lead

    assert customers.got == {1: 2, 3: 6}


async def _canceled_while_served(leaves: int) -> tuple[Customers, Counter, asyncio.Task[None]]:
    """Serve one ticket, then two and three as a group; one of these is canceled meanwhile."""
    counter = Counter()
    customers = Customers(Queue(counter.serve, most=10, at_once=1))
    tasks = []
    for number in (1, 2, 3):
        tasks.append(asyncio.create_task(customers.join(number, about(number))))
        await anyio.wait_all_tasks_blocked()
    counter.opened.set()
    counter.opened = anyio.Event()  # for the second group
    await anyio.wait_all_tasks_blocked()
    tasks[leaves - 1].cancel()
    await anyio.wait_all_tasks_blocked()
    assert not tasks[leaves - 1].done(), "it goes while something may still be done for it"
    counter.opened.set()
    await asyncio.wait(tasks)
    return customers, counter, tasks[leaves - 1]


@pytest.mark.parametrize("leaves", [2, 3])
async def test_a_cancellation_affects_only_its_task_and_completes_with_the_group(leaves: int) -> None:
    customers, counter, gone = await _canceled_while_served(leaves)

    stays = ({2, 3} - {leaves}).pop()
    assert counter.groups == [[1], [2, 3]]
    assert customers.got == {1: 2, stays: 2 * stays}
    assert gone.cancelled()


async def test_a_task_canceled_twice_still_waits_for_its_group() -> None:
    counter = Counter()
    customers = Customers(Queue(counter.serve, most=10, at_once=1))
    task = asyncio.create_task(customers.join(1, about(1)))
    for _ in range(2):
        await anyio.wait_all_tasks_blocked()
        task.cancel()
    await anyio.wait_all_tasks_blocked()
    waited = not task.done()

    counter.opened.set()
    await asyncio.wait({task})

    assert (waited, task.cancelled(), counter.busy) == (True, True, 0)


async def test_a_queue_is_settled_when_no_group_runs() -> None:
    counter = Counter()
    queue = Queue(counter.serve, most=10, at_once=1)
    customers = Customers(queue)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(customers.join, 1, about(1))
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.01) as early:
            await queue.settled()
        counter.opened.set()
        await queue.settled()

    assert (early.cancelled_caught, customers.got) == (True, {1: 2})
