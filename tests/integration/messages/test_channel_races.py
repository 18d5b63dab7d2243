"""Transactions that overlap: a channel that is added loses no message, and a cursor skips none that commits late."""

from collections.abc import Awaitable, Callable

import anyio
import pytest
from attrs import define, field

from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.adapters.sql.unit_of_work import SqlUnitOfWork
from booking_payments.ports.publisher import Message
from booking_payments.ports.unit_of_work import LockScope, UnitOfWork
from booking_payments.testing.kit import NOW
from booking_payments.testing.payment_builder import booking
from booking_payments.testing.storage_contract import store

TIMEOUT_S = 30
PULL = "pull:app"


def message(number: int, booking_id: str) -> Message:
    return Message(id=f"msg_{number}", type="booking.canceled", booking_id=booking_id, payment_id=None, at=NOW)


@define
class SlowTransaction:
    """A transaction that has written a message, and commits when it may."""

    storage: SqlStorage
    message: Message
    appended: anyio.Event = field(factory=anyio.Event)
    may_commit: anyio.Event = field(factory=anyio.Event)

    async def run(self) -> None:
        async def work(uow: UnitOfWork) -> None:
            await uow.outbox.append(self.message)
            assert isinstance(uow, SqlUnitOfWork)
            await uow.flush()  # as at the end of a transaction, which would commit at once
            self.appended.set()
            with anyio.fail_after(TIMEOUT_S):
                await self.may_commit.wait()

        await self.storage.transact(work)


def add(storage: SqlStorage, name: str) -> Callable[[], Awaitable[bool]]:
    return lambda: storage.transact(lambda uow: uow.channels.add(name, NOW))


async def waiting(storage: SqlStorage) -> list[tuple[str, str | None]]:
    found = await storage.read(lambda uow: uow.outbox.undelivered(dead=False, limit=10))
    return [(each.message.id, each.channel) for each in found]


@pytest.fixture
def postgres(postgres_copy: str) -> str:
    """A database where transactions overlap: SQLite has one writer at a time."""
    return postgres_copy


async def test_a_channel_that_is_added_while_a_message_is_being_written_waits_for_it(postgres: str) -> None:
    one, other = SqlStorage.open(postgres), SqlStorage.open(postgres)
    await store(one, booking(1))
    await add(one, "webhook")()
    slow, done = SlowTransaction(one, message(1, "bk_1")), anyio.Event()

    async def add_another() -> None:
        await add(other, "python:app")()
        done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slow.run)
        await slow.appended.wait()
        tasks.start_soon(add_another)
        with anyio.move_on_after(0.2):
            await done.wait()
        was_early = done.is_set()
        slow.may_commit.set()
    await one.transact(lambda uow: uow.outbox.append(message(2, "bk_1")))

    assert not was_early
    assert await waiting(one) == [("msg_1", "webhook"), ("msg_2", "python:app"), ("msg_2", "webhook")]
    await one.close()
    await other.close()


@pytest.mark.parametrize("about", [None, LockScope(booking_id="bk_1")], ids=["alone", "in a group"])
async def test_a_message_that_waited_for_the_first_channel_to_be_added_is_for_it(
    postgres: str, about: LockScope | None
) -> None:
    one, other = SqlStorage.open(postgres), SqlStorage.open(postgres)
    await store(one, booking(1))
    added, may_commit = anyio.Event(), anyio.Event()

    async def add_slowly(uow: UnitOfWork) -> None:
        await uow.channels.add("webhook", NOW)
        added.set()
        with anyio.fail_after(TIMEOUT_S):
            await may_commit.wait()

    async def append(uow: UnitOfWork) -> None:
        await uow.bookings.lock("bk_1")
        await uow.outbox.append(message(1, "bk_1"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.transact, add_slowly)
        await added.wait()
        tasks.start_soon(other.transact, append, about)
        await anyio.sleep(0.05)  # it waits for the lock by now, or comes later: both are right
        may_commit.set()

    assert await waiting(one) == [("msg_1", "webhook")]
    await one.close()
    await other.close()


async def test_messages_of_a_group_go_to_every_channel_and_without_one_they_wait(postgres: str) -> None:
    storage = SqlStorage.open(postgres)
    await store(storage, booking(1))

    async def append(number: int) -> None:
        async def work(uow: UnitOfWork) -> None:
            await uow.bookings.lock("bk_1")
            await uow.outbox.append(message(number, "bk_1"), message(number + 1, "bk_1"))

        await storage.transact(work, LockScope(booking_id="bk_1"))

    await append(1)
    early = await waiting(storage)
    await add(storage, "webhook")()
    await add(storage, PULL)()
    await append(3)

    assert early == [("msg_1", None), ("msg_2", None)]
    assert (await waiting(storage))[2:] == [
        ("msg_3", PULL),
        ("msg_3", "webhook"),
        ("msg_4", PULL),
        ("msg_4", "webhook"),
    ]
    await storage.close()


async def test_a_cursor_skips_no_message_that_commits_later_than_those_behind_it(postgres: str) -> None:
    one, other = SqlStorage.open(postgres), SqlStorage.open(postgres)
    await store(one, booking(1), booking(2))
    await add(one, PULL)()

    async def read(after: int) -> list[tuple[str, str | None]]:
        found = await other.transact(lambda uow: uow.outbox.number(PULL, after, 10, NOW))
        return [(each.id, each.cursor) for each in found]

    slow = SlowTransaction(one, message(1, "bk_1"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slow.run)
        await slow.appended.wait()
        await other.transact(lambda uow: uow.outbox.append(message(2, "bk_2")))
        first = await read(0)
        slow.may_commit.set()
    late = await read(int(first[-1][1] or 0))

    assert (first, late) == ([("msg_2", "1")], [("msg_1", "2")])
    assert await read(0) == [*first, *late]
    await one.close()
    await other.close()


async def test_many_readers_at_once_get_the_same_messages_in_the_same_order(storage: SqlStorage) -> None:
    await store(storage, *(booking(number) for number in range(1, 6)))
    await add(storage, PULL)()
    found: list[list[tuple[str, str | None]]] = []

    async def append(number: int) -> None:
        await storage.transact(lambda uow: uow.outbox.append(message(number, f"bk_{number}")))

    async def read_behind(after: int) -> list[tuple[str, str | None]]:
        some = await storage.transact(lambda uow: uow.outbox.number(PULL, after, 2, NOW))
        return [(each.id, each.cursor) for each in some]

    async def read() -> None:
        mine = list[tuple[str, str | None]]()
        with anyio.fail_after(TIMEOUT_S):
            while len(mine) < 5:
                mine += await read_behind(int(mine[-1][1] or 0) if mine else 0)
        found.append(mine)

    async with anyio.create_task_group() as tasks:
        for number in range(1, 6):
            tasks.start_soon(append, number)
        for _ in range(2):
            tasks.start_soon(read)

    assert found[0] == found[1]
    assert sorted(name for name, _ in found[0]) == [f"msg_{number}" for number in range(1, 6)]
    assert [cursor for _, cursor in found[0]] == ["1", "2", "3", "4", "5"]


async def test_two_that_begin_at_once_with_different_channels_do_not_both_record_theirs(postgres: str) -> None:
    from booking_payments.application.channels import _attach

    one, other = SqlStorage.open(postgres), SqlStorage.open(postgres)
    failed: list[str] = []

    async def begin(storage: SqlStorage, name: str) -> None:
        try:
            await storage.transact(lambda uow: _attach(uow, [name], NOW))
        except Exception as error:
            failed.append(type(error).__name__)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(begin, one, "webhook")
        tasks.start_soon(begin, other, "python:app")

    assert failed == ["ChannelNotRecorded"]
    assert len(await one.read(lambda uow: uow.channels.all())) == 1
    await one.close()
    await other.close()
