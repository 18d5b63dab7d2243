"""The in-memory storage meets the contract of the storage port."""

from collections.abc import Sequence
from datetime import datetime

import pytest

from booking_payments.adapters.memory.stores import MemoryStorage
from booking_payments.ports.jobs import DeliverMessages, Job
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.testing.console_sessions_contract import ConsoleSessionsContract
from booking_payments.testing.event_jobs_contract import EventJobsContract
from booking_payments.testing.kit import NOW
from booking_payments.testing.overview_contract import OverviewContract
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
