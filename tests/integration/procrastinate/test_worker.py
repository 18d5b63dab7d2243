"""Workers run requested and due jobs, each tick once, and take over the jobs of a killed worker."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import anyio
import attrs
import pytest
from procrastinate import App
from procrastinate.exceptions import ConnectorException
from psycopg import sql
from structlog.testing import capture_logs

from booking_payments.adapters.procrastinate.queue import FIRST, ProcrastinateJobQueue
from booking_payments.adapters.procrastinate.worker import Periodic, WorkerTasks, make_app, run_worker, take_up_again
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.application.payments import BookingPayments
from booking_payments.entrypoints.worker.tasks import worker_tasks
from booking_payments.ports.jobs import DeliverMessages, SettlePayment
from booking_payments.ports.publisher import Message
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.runtime.maintenance import MaintenanceTasks
from booking_payments.testing.kit import CHANNEL, NOW, PaymentsTestKit
from tests.integration.postgres import PostgresServer
from tests.integration.procrastinate.conftest import JobTable

TIMEOUT_S = 60

STALLED = """
WITH dead AS (INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 minute') RETURNING id)
INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, worker_id)
SELECT 'booking_payments', 'booking_payments.settle_payment', '{"payment_id": "pay_left"}', 'doing', id FROM dead
"""
REMEMBER_TICKS = """
CREATE TABLE ticks (name text, at text);
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO ticks VALUES (NEW.task_name, NEW.args ->> 'timestamp'); RETURN NEW; END $$;
CREATE TRIGGER remember AFTER INSERT ON procrastinate_jobs FOR EACH ROW EXECUTE FUNCTION remember();
"""


MESSAGES = """
WITH seats AS (
    INSERT INTO bp_bookings (id, reference, customer_id, amount_minor, currency, event_starts_at, expires_at, status,
                          created_at, search_text)
    SELECT 'bk_' || n, 'SEAT-' || n, 'ann', 100, 'usd', now(), now(), 'confirmed', now(), 'seat-' || n
    FROM generate_series(1, %s) n RETURNING id)
INSERT INTO bp_outbox (id, booking_id, sequence, type, at, data, unassigned)
SELECT 'msg_' || id, id, 1, 'payment.succeeded', now(), '{}', 1 FROM seats
"""
DELIVERIES = """
INSERT INTO procrastinate_jobs (queue_name, task_name)
SELECT 'booking_payments', 'booking_payments.deliver_messages' FROM generate_series(1, %s)
"""
"""As an older release asks for them, too."""
DELIVERIES_WAITING = """
SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo' AND task_name = 'booking_payments.deliver_messages'
"""


class Diary:
    """What was done."""

    def __init__(self) -> None:
        self.settled: list[str] = []
        self.delivered = 0
        self.ticks = 0

    async def settle(self, payment_id: str) -> None:
        self.settled.append(payment_id)

    async def deliver(self) -> None:
        self.delivered += 1

    async def tick(self) -> None:
        self.ticks += 1

    def tasks(self) -> WorkerTasks:
        return WorkerTasks(
            settle=self.settle, deliver=self.deliver, periodic=(Periodic("tick", "* * * * * */1", self.tick),)
        )


@pytest.fixture
def diary() -> Diary:
    return Diary()


@asynccontextmanager
async def _working(
    apps: list[App], concurrency: int = 4, at_last: Callable[[], object] = lambda: None
) -> AsyncIterator[None]:
    """Workers run until the block ends; ``at_last`` lets go of what keeps them from ending.

    They share the event loop with the block, so a statement that may wait for one of their transactions must not block
    the loop: the transaction could never commit.
    """
    stopping = asyncio.Event()
    workers = [asyncio.create_task(run_worker(app, concurrency, stopping)) for app in apps]
    try:
        with anyio.fail_after(TIMEOUT_S):
            yield
    finally:
        at_last()
        stopping.set()
        await asyncio.gather(*workers)


async def _until(reached: Callable[[], Any]) -> None:
    while not reached():  # noqa: ASYNC110 - workers do not say what they did
        await anyio.sleep(0.05)


async def _until_async(reached: Callable[[], Awaitable[Any]]) -> None:
    while not await reached():  # noqa: ASYNC110 - what is waited for is in a database
        await anyio.sleep(0.05)


async def _work(apps: list[App], until: Callable[[], Any], concurrency: int = 4) -> None:
    """Let workers run until something is the case."""
    async with _working(apps, concurrency):
        await _until(until)


async def test_a_requested_job_is_run(queued_storage: SqlStorage, jobs: JobTable, diary: Diary) -> None:
    async def ask(uow: UnitOfWork) -> None:
        uow.jobs.defer(SettlePayment(payment_id="pay_1"), NOW.replace(year=2020))
        uow.jobs.defer(DeliverMessages(), NOW)

    await queued_storage.transact(ask)
    await _work([make_app(jobs.dsn, diary.tasks(), 2)], lambda: diary.settled and diary.delivered)

    assert (diary.settled, diary.delivered) == (["pay_1"], 1)


async def test_messages_do_not_stand_in_line_behind_payments_that_wait_for_the_gateway(
    queued_storage: SqlStorage, jobs: JobTable, diary: Diary
) -> None:
    """Payments were asked for first; they and the messages are done by a worker that does one thing at a time."""
    done: list[str] = []

    async def settle(payment_id: str) -> None:
        done.append("settled")

    async def deliver() -> None:
        done.append("delivered")

    async def ask(uow: UnitOfWork) -> None:
        for number in range(3):
            uow.jobs.defer(SettlePayment(payment_id=f"pay_{number}"), NOW.replace(year=2020))
        uow.jobs.defer(DeliverMessages(), NOW)

    await queued_storage.transact(ask)
    tasks = WorkerTasks(settle=settle, deliver=deliver, periodic=())
    await _work([make_app(jobs.dsn, tasks, 2)], lambda: len(done) == 4, concurrency=1)

    assert done == ["delivered", "settled", "settled", "settled"]


async def test_due_work_of_a_tick_runs_before_jobs_of_a_lower_priority(jobs: JobTable, diary: Diary) -> None:
    periodic = (Periodic("tick", "* * * * * */1", diary.tick, FIRST),)

    await jobs.run(
        REMEMBER_TICKS.replace("(name text, at text)", "(name text, at text, priority int)").replace(
            "NEW.args ->> 'timestamp')", "NEW.args ->> 'timestamp', NEW.priority)"
        )
    )
    await _work([make_app(jobs.dsn, attrs.evolve(diary.tasks(), periodic=periodic), 2)], lambda: diary.ticks)

    ticks = await jobs.run("SELECT DISTINCT priority FROM ticks WHERE name = 'booking_payments.tick'")
    assert ticks == [(FIRST,)]


async def test_a_tick_is_worked_on_once_however_many_workers_there_are(jobs: JobTable, diary: Diary) -> None:
    await jobs.run(REMEMBER_TICKS)
    apps = [make_app(jobs.dsn, diary.tasks(), 2) for _ in range(3)]

    await _work(apps, lambda: diary.ticks >= 3)

    ticks = await jobs.run("SELECT at FROM ticks WHERE name = 'booking_payments.tick'")
    assert len(ticks) == len(set(ticks))
    assert diary.ticks <= len(ticks)


async def test_the_job_of_a_killed_worker_is_taken_up(jobs: JobTable, diary: Diary) -> None:
    await jobs.run(STALLED)

    await _work([make_app(jobs.dsn, diary.tasks(), 2)], lambda: diary.settled)

    assert diary.settled == ["pay_left"]


async def _both_take_up(jobs: JobTable) -> list[tuple[str, str]]:
    """Two workers take over the jobs of a killed one at the same moment; returns the remaining jobs."""
    apps = [make_app(jobs.dsn, Diary().tasks(), 2) for _ in range(2)]
    async with apps[0].open_async(), apps[1].open_async():
        found = [(app, job) for app in apps for job in await app.job_manager.get_stalled_jobs()]
        assert len(found) == 2
        for app, job in found:
            await take_up_again(app, job)
    return await jobs.run("SELECT status::text, task_name FROM procrastinate_jobs ORDER BY id")


async def test_of_two_that_take_up_a_job_the_slower_one_leaves_it_where_the_other_put_it(jobs: JobTable) -> None:
    await jobs.run(STALLED)

    assert await _both_take_up(jobs) == [("todo", "booking_payments.settle_payment")]


async def test_a_killed_workers_job_is_over_where_the_same_work_waits_already(jobs: JobTable) -> None:
    await jobs.run(STALLED)
    await jobs.run("UPDATE procrastinate_jobs SET queueing_lock = 'the same'")
    await jobs.run(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock)"
        " VALUES ('booking_payments', 'booking_payments.tick', 'the same')"
    )

    assert await _both_take_up(jobs) == [("todo", "booking_payments.tick")]


async def test_a_job_that_fails_is_kept_and_ends_no_worker(
    queued_storage: SqlStorage, queue: ProcrastinateJobQueue, jobs: JobTable, diary: Diary
) -> None:
    async def broken(payment_id: str) -> None:
        raise ZeroDivisionError(payment_id)

    tasks = WorkerTasks(settle=broken, deliver=diary.deliver, periodic=())

    async def ask(uow: UnitOfWork) -> None:
        uow.jobs.defer(SettlePayment(payment_id="pay_1"), NOW.replace(year=2020))

    async def deliver(uow: UnitOfWork) -> None:
        uow.jobs.defer(DeliverMessages(), NOW)

    async def kept() -> list[tuple[str]]:
        return await jobs.run("SELECT task_name FROM procrastinate_jobs WHERE status = 'failed'")

    await queued_storage.transact(ask)
    async with _working([make_app(jobs.dsn, tasks, 2)]):
        await _until_async(kept)
        await queued_storage.transact(deliver)
        await _until(lambda: diary.delivered)

    assert await kept() == [("booking_payments.settle_payment",)]


class Hanging:
    """A receiver that takes a message and does not come back, until ``released``."""

    def __init__(self) -> None:
        self.released = anyio.Event()
        self.asked = 0

    async def publish(self, message: Message) -> None:
        self.asked += 1
        await self.released.wait()


async def test_a_receiver_that_hangs_does_not_delay_work_on_payments(
    queued_storage: SqlStorage, jobs: JobTable
) -> None:
    kit, receiver, slots = PaymentsTestKit(storage=queued_storage), Hanging(), 4
    kit.payments = BookingPayments(attrs.evolve(kit.deps, channels={CHANNEL: receiver}))
    booking = await kit.book(expires_in=timedelta(hours=1))
    await jobs.run(MESSAGES, 100 * slots)  # a round claims a hundred
    await jobs.run(DELIVERIES, 40)

    async def expired_and_nothing_waits() -> bool:
        waiting = await jobs.run(DELIVERIES_WAITING)
        status = await jobs.run("SELECT status FROM bp_bookings WHERE id = %s", booking.id)
        return (waiting, status) == ([(0,)], [("expired",)])

    worker = make_app(jobs.dsn, worker_tasks(MaintenanceTasks(kit.payments, kit.clock), slots), 2)
    async with _working([worker], slots, at_last=receiver.released.set):
        await _until(lambda: receiver.asked)
        kit.clock.advance(booking.expires_at - kit.clock.now())
        await _until_async(expired_and_nothing_waits)

    assert receiver.asked > 2


@contextmanager
def outcomes_may_be_lost() -> Iterator[None]:
    """For a test that stops PostgreSQL, perhaps while the result of a job is written.

    Such a job runs again. Procrastinate's task ends with an error that is never retrieved, so asyncio reports it and
    anyio
    would treat it as an error of the test.
    """
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        task = context.get("future")
        of_a_job = isinstance(task, asyncio.Task) and task.get_name().startswith("process job ")
        if of_a_job and isinstance(context.get("exception"), ConnectorException):
            return
        if before is None:
            loop.default_exception_handler(context)
        else:
            before(loop, context)

    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        gc.collect()  # asyncio reports a task when it is collected
        loop.set_exception_handler(before)


def _interrupt(server: PostgresServer, dsn: str) -> None:
    """Break all connections, and take no new ones, as while PostgreSQL is started anew."""
    name = dsn.rpartition("/")[2]
    server.run(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
    server.run(
        sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}").format(sql.Literal(name))
    )


def _resume(server: PostgresServer, dsn: str) -> None:
    server.run(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(dsn.rpartition("/")[2])))


async def test_a_worker_begins_again_when_postgresql_is_back(
    postgres_server: PostgresServer, jobs: JobTable, diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    with outcomes_may_be_lost(), capture_logs() as logs:
        async with _working([make_app(jobs.dsn, diary.tasks(), 2)]):
            await _until(lambda: diary.ticks)
            await asyncio.to_thread(_interrupt, postgres_server, jobs.dsn)
            await _until(lambda: "error connecting" in caplog.text)
            await asyncio.to_thread(_resume, postgres_server, jobs.dsn)
            await _until(lambda: "worker.interrupted" in [each["event"] for each in logs])
            before = diary.ticks
            await _until(lambda: diary.ticks > before + 1)


async def test_a_worker_that_was_taken_for_dead_begins_again(jobs: JobTable, diary: Diary) -> None:
    with outcomes_may_be_lost(), capture_logs() as logs:
        async with _working([make_app(jobs.dsn, diary.tasks(), 2)]):
            await _until(lambda: diary.ticks)
            await jobs.run("SELECT procrastinate_prune_stalled_workers_v1(-1)")
            await _until(lambda: "worker.interrupted" in [each["event"] for each in logs])
            before = diary.ticks
            await _until(lambda: diary.ticks > before + 1)
