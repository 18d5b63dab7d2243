"""Workers do what was asked for and what is due, each tick once, and take up what a killed one left."""

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import attrs
import pytest
from procrastinate import App

from booking_payments.adapters.procrastinate.queue import FIRST, JobQueue
from booking_payments.adapters.procrastinate.worker import Duties, Periodic, make_app, run_worker
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.ports.jobs import DeliverMessages, SettlePayment
from booking_payments.ports.storage import UnitOfWork
from booking_payments.testing.house import NOW
from tests.integration.procrastinate.conftest import Jobs

PATIENCE_S = 20

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

    def duties(self) -> Duties:
        return Duties(
            settle=self.settle, deliver=self.deliver, periodic=(Periodic("tick", "* * * * * */1", self.tick),)
        )


@pytest.fixture
def diary() -> Diary:
    return Diary()


async def _work(apps: list[App], until: Callable[[], Any], concurrency: int = 4) -> None:
    """Let workers run until something is the case."""
    workers = [asyncio.create_task(run_worker(app, concurrency)) for app in apps]
    try:
        with anyio.fail_after(PATIENCE_S):
            while not until():  # noqa: ASYNC110 - what is waited for is in a database
                await anyio.sleep(0.05)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def test_what_was_asked_for_is_done(queued_storage: SqlStorage, jobs: Jobs, diary: Diary) -> None:
    async def ask(uow: UnitOfWork) -> None:
        uow.jobs.defer(SettlePayment(payment_id="pay_1"), NOW.replace(year=2020))
        uow.jobs.defer(DeliverMessages(), NOW)

    await queued_storage.transact(ask)
    await _work([make_app(jobs.dsn, diary.duties(), 2)], lambda: diary.settled and diary.delivered)

    assert (diary.settled, diary.delivered) == (["pay_1"], 1)


async def test_messages_do_not_stand_in_line_behind_payments_that_wait_for_the_gateway(
    queued_storage: SqlStorage, jobs: Jobs, diary: Diary
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
    duties = Duties(settle=settle, deliver=deliver, periodic=())
    await _work([make_app(jobs.dsn, duties, 2)], lambda: len(done) == 4, concurrency=1)

    assert done == ["delivered", "settled", "settled", "settled"]


async def test_what_is_due_at_a_tick_goes_before_jobs_of_a_lower_priority(jobs: Jobs, diary: Diary) -> None:
    periodic = (Periodic("tick", "* * * * * */1", diary.tick, FIRST),)

    await jobs.run(
        REMEMBER_TICKS.replace("(name text, at text)", "(name text, at text, priority int)").replace(
            "NEW.args ->> 'timestamp')", "NEW.args ->> 'timestamp', NEW.priority)"
        )
    )
    await _work([make_app(jobs.dsn, attrs.evolve(diary.duties(), periodic=periodic), 2)], lambda: diary.ticks)

    ticks = await jobs.run("SELECT DISTINCT priority FROM ticks WHERE name = 'booking_payments.tick'")
    assert ticks == [(FIRST,)]


async def test_a_tick_is_worked_on_once_however_many_workers_there_are(jobs: Jobs, diary: Diary) -> None:
    await jobs.run(REMEMBER_TICKS)
    apps = [make_app(jobs.dsn, diary.duties(), 2) for _ in range(3)]

    await _work(apps, lambda: diary.ticks >= 3)

    ticks = await jobs.run("SELECT at FROM ticks WHERE name = 'booking_payments.tick'")
    assert len(ticks) == len(set(ticks))
    assert diary.ticks <= len(ticks)


async def test_the_job_of_a_killed_worker_is_taken_up(jobs: Jobs, diary: Diary) -> None:
    await jobs.run(STALLED)

    await _work([make_app(jobs.dsn, diary.duties(), 2)], lambda: diary.settled)

    assert diary.settled == ["pay_left"]


async def test_a_job_that_fails_is_kept_and_ends_no_worker(
    queued_storage: SqlStorage, queue: JobQueue, jobs: Jobs, diary: Diary
) -> None:
    async def broken(payment_id: str) -> None:
        raise ZeroDivisionError(payment_id)

    duties = Duties(settle=broken, deliver=diary.deliver, periodic=())

    async def ask(uow: UnitOfWork) -> None:
        uow.jobs.defer(SettlePayment(payment_id="pay_1"), NOW.replace(year=2020))

    async def deliver(uow: UnitOfWork) -> None:
        uow.jobs.defer(DeliverMessages(), NOW)

    await queued_storage.transact(ask)
    await queued_storage.transact(deliver)
    await _work([make_app(jobs.dsn, duties, 2)], lambda: diary.delivered)

    kept = await jobs.run("SELECT task_name FROM procrastinate_jobs WHERE status = 'failed'")
    assert kept == [("booking_payments.settle_payment",)]
