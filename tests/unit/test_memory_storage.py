"""The in-memory storage meets the contract of the storage port."""

from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking_payments.adapters.memory.rows import Rows
from booking_payments.adapters.memory.stores import MemoryStorage
from booking_payments.ports.jobs import DeliverMessages, Job
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.testing.console_sessions_contract import ConsoleSessionsContract
from booking_payments.testing.event_jobs_contract import EventJobsContract
from booking_payments.testing.kit import NOW
from booking_payments.testing.overview_contract import OverviewContract
from booking_payments.testing.payment_builder import booking
from booking_payments.testing.storage_contract import StorageContract


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


class TestMemoryStorage(StorageContract):
    """The contract of the storage, in memory."""


class TestMemoryEventJobs(EventJobsContract):
    """The contract of event jobs, in memory."""


class TestMemoryConsoleSessions(ConsoleSessionsContract):
    """The contract of the console's sessions, in memory."""


class TestMemoryOverview(OverviewContract):
    """The contract of the overview, in memory."""


async def test_jobs_are_queued_when_the_transaction_commits() -> None:
    handed: list[tuple[Job, datetime]] = []

    def take(jobs: Sequence[tuple[Job, datetime]]) -> None:
        handed.extend(jobs)

    async def work(uow: UnitOfWork) -> None:
        uow.jobs.defer(DeliverMessages(), NOW)

    await MemoryStorage(take).transact(work)

    assert handed == [(DeliverMessages(), NOW)]


async def test_jobs_of_a_transaction_that_fails_are_dropped() -> None:
    handed: list[Sequence[tuple[Job, datetime]]] = []

    async def work(uow: UnitOfWork) -> None:
        uow.jobs.defer(DeliverMessages(), NOW)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        await MemoryStorage(handed.append).transact(work)

    assert handed == []


async def test_a_reader_keeps_what_it_saw_while_others_commit() -> None:
    storage, reads, committed = MemoryStorage(), anyio.Event(), anyio.Event()
    await storage.transact(lambda uow: uow.bookings.add(booking(1)))
    seen: list[bool] = []

    async def looks_twice(uow: UnitOfWork) -> None:
        seen.append(await uow.bookings.get("bk_2") is not None)
        reads.set()
        await committed.wait()
        seen.append(await uow.bookings.get("bk_2") is not None)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(storage.read, looks_twice)
        await reads.wait()
        await storage.transact(lambda uow: uow.bookings.add(booking(2)))
        committed.set()

    assert seen == [False, False]
    assert await storage.read(lambda uow: uow.bookings.get("bk_2")) is not None


CHANGES: dict[str, Callable[[MutableMapping[int, str], int, str], Any]] = {
    "set": lambda rows, key, row: rows.__setitem__(key, row),
    "remove": lambda rows, key, _: rows.__delitem__(key),
    "pop": lambda rows, key, row: rows.pop(key, row),
    "setdefault": lambda rows, key, row: rows.setdefault(key, row),
    "clear": lambda rows, _, __: rows.clear(),
}


@given(
    st.dictionaries(st.integers(0, 5), st.text(max_size=1)),
    st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 5), st.text(max_size=1))),
)
def test_the_rows_of_a_transaction_are_those_of_a_dictionary_with_the_same_changes(
    committed: dict[int, str], changes: list[tuple[str, int, str]]
) -> None:
    expected, before = dict(committed), dict(committed)
    rows = Rows(committed)
    for name, key, row in changes:
        for table in (rows, expected):
            with suppress(KeyError):
                CHANGES[name](table, key, row)

    assert list(rows.items()) == list(expected.items())
    assert (list(rows), list(rows.values()), len(rows)) == (list(expected), list(expected.values()), len(expected))
    assert [(key in rows, rows.get(key), rows.get(key, "none")) for key in range(7)] == [
        (key in expected, expected.get(key), expected.get(key, "none")) for key in range(7)
    ]
    assert committed == before, "committed rows are not touched before the commit"
    rows.apply_to(committed)
    assert list(committed.items()) == list(expected.items())
