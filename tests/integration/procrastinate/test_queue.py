"""Jobs are there when, and only when, the transaction is that needs them."""

import psycopg
import pytest

from booking_payments.adapters.procrastinate.liveness import WorkerLiveness
from booking_payments.adapters.procrastinate.queue import DEFER_INTERVAL_S, ProcrastinateJobQueue
from booking_payments.adapters.sql import engine
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.ports.jobs import DeliverMessages, SettlePayment
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.testing.kit import NOW, PaymentsTestKit
from tests.integration.procrastinate.conftest import JobTable
from tests.payments import pay_in_browser


async def _ask(uow: UnitOfWork) -> None:
    uow.jobs.defer(SettlePayment(payment_id="pay_1"), NOW)
    uow.jobs.defer(DeliverMessages(), NOW)


async def test_jobs_come_with_the_transaction(queued_storage: SqlStorage, jobs: JobTable) -> None:
    await queued_storage.transact(_ask)

    assert await jobs.waiting() == ["settle_payment pay_1", "deliver_messages"]


async def test_jobs_go_with_the_transaction(queued_storage: SqlStorage, jobs: JobTable) -> None:
    async def ask_and_fail(uow: UnitOfWork) -> None:
        await _ask(uow)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await queued_storage.transact(ask_and_fail)

    assert await jobs.waiting() == []


async def test_a_transaction_whose_connection_breaks_before_its_jobs_are_stored_is_retried(
    queued_storage: SqlStorage, jobs: JobTable
) -> None:
    begun: list[int] = []

    async def ask_and_lose_the_connection(uow: UnitOfWork) -> None:
        await _ask(uow)
        await uow.bookings.get("bk_1")
        begun.append(1)
        if len(begun) == 1:
            await jobs.run(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    await queued_storage.transact(ask_and_lose_the_connection)

    assert (len(begun), await jobs.waiting()) == (2, ["settle_payment pay_1"])


async def test_a_transaction_is_retried_while_the_jobs_are_locked(
    queued_storage: SqlStorage, jobs: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 100)
    begun: list[int] = []
    async with await psycopg.AsyncConnection.connect(jobs.dsn) as somebody:
        await somebody.execute("LOCK TABLE procrastinate_jobs")

        async def ask(uow: UnitOfWork) -> None:
            begun.append(1)
            await _ask(uow)
            if len(begun) == 2:
                await somebody.rollback()

        await queued_storage.transact(ask)

    assert (len(begun), await jobs.waiting()) == (2, ["settle_payment pay_1"])


async def test_no_jobs_are_stored_without_a_worker(
    queued_storage: SqlStorage, queue: ProcrastinateJobQueue, jobs: JobTable
) -> None:
    queue.has_workers = False

    await queued_storage.transact(_ask)

    assert await jobs.waiting() == []


async def test_a_payment_that_waits_for_news_is_settled_at_its_time(queued_storage: SqlStorage, jobs: JobTable) -> None:
    kit = PaymentsTestKit(storage=queued_storage)
    view = await kit.payments.start_payment((await kit.book()).id)

    scheduled = await jobs.run("SELECT args, scheduled_at FROM procrastinate_jobs ORDER BY id DESC LIMIT 1")
    poll_state = await queued_storage.read(lambda uow: uow.payments.poll_state(view.payment.id))
    assert scheduled == [({"payment_id": view.payment.id}, poll_state.next_check_at)]


async def test_of_many_messages_few_deliveries_are_made(jobs: JobTable, postgres_copy: str) -> None:
    elapsed = [0.0]
    queue = ProcrastinateJobQueue(lambda: elapsed[0])
    queue.has_workers = True
    storage = SqlStorage.open(postgres_copy, queue=queue)

    async def tell(uow: UnitOfWork) -> None:
        uow.jobs.defer(DeliverMessages(), NOW)

    for _ in range(10):
        await storage.transact(tell)
    elapsed[0] = DEFER_INTERVAL_S
    await storage.transact(tell)
    await storage.close()

    assert await jobs.waiting() == ["deliver_messages"] * 2


async def test_webhooks_that_share_a_transaction_ask_in_it(queued_storage: SqlStorage, jobs: JobTable) -> None:
    kit = PaymentsTestKit(storage=queued_storage)
    view = await kit.payments.start_payment((await kit.book()).id)
    before = await jobs.waiting()
    pay_in_browser(kit, view)

    await kit.deliver_webhooks()

    assert (await jobs.waiting())[len(before) :].count("deliver_messages") == 1


async def test_workers_are_seen_by_their_heartbeat(
    queued_storage: SqlStorage, queue: ProcrastinateJobQueue, jobs: JobTable
) -> None:
    liveness = WorkerLiveness(queued_storage.engine, queue)
    seen = [await liveness.look()]
    await jobs.run("SELECT procrastinate_register_worker_v1()")
    seen.append(await liveness.look())
    await jobs.run("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '31 seconds'")
    seen.append(await liveness.look())

    assert seen == [0, 1, 0]


async def test_processes_without_a_queue_see_live_workers(queued_storage: SqlStorage, jobs: JobTable) -> None:
    liveness = WorkerLiveness(queued_storage.engine)
    await jobs.run("SELECT procrastinate_register_worker_v1()")

    await liveness.look()

    assert liveness.has_workers
