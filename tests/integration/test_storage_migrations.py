"""Migrations happen wholly or not at all, and once, however many processes start at the same time."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command, op
from alembic.script import ScriptDirectory
from anyio import to_thread
from attrs import evolve
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from booking_payments.adapters.sql import migrations
from booking_payments.adapters.sql.engine import create_schema, normalize_url
from booking_payments.adapters.sql.migrations import CannotMigrateError, head, migrate
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.adapters.sql.tables import metadata
from booking_payments.domain import events as ev
from booking_payments.domain.booking import BookingStatus, EndReason
from booking_payments.domain.fees import FeePolicy
from booking_payments.domain.lifecycle import DisputeStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.ports.schema_name import SCHEMA
from booking_payments.ports.storage import AlreadyExists
from booking_payments.testing.payment_builder import USD_100, PaymentBuilder, booking, started_payment
from booking_payments.testing.storage_contract import store, stored


@pytest.fixture(params=["sqlite", "postgresql"])
def bare_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database without any schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('bare') / 'bare.db'}"
    else:
        with request.getfixturevalue("postgres_server").database() as url:
            yield url


def _tables(url: str) -> set[str]:
    parsed = normalize_url(url)
    engine = create_engine(parsed.set(drivername="sqlite") if parsed.get_backend_name() == "sqlite" else parsed)
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names


def test_the_last_revision_is_found_without_alembic() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))

    assert scripts.get_heads() == [head()]


def test_a_migration_that_is_cut_short_leaves_nothing_and_can_be_run_again(
    bare_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(op, "create_index", _power_cut)
        with pytest.raises(RuntimeError, match="power cut"):
            migrate(bare_url)

    assert _tables(bare_url) == set()
    assert migrate(bare_url) == head()
    assert set(metadata.tables) < _tables(bare_url)


def _power_cut(*_: object, **__: object) -> None:
    raise RuntimeError("power cut")


def test_processes_that_migrate_at_once_do_not_get_into_each_others_way(bare_url: str) -> None:
    code = "import sys; from booking_payments.adapters.sql.migrations import migrate; migrate(sys.argv[1])"
    started = [subprocess.Popen([sys.executable, "-c", code, bare_url], stderr=subprocess.PIPE) for _ in range(3)]

    ended = [(process.communicate(timeout=60)[1], process.returncode) for process in started]

    assert ended == [(b"", 0)] * 3


def test_a_database_of_a_newer_release_is_left_alone(bare_url: str) -> None:
    migrate(bare_url)
    _run(bare_url, "UPDATE booking_payments_version SET version_num = '9999'")

    with pytest.raises(CannotMigrateError, match="9999"):
        migrate(bare_url)


async def test_postings_from_before_get_the_time_of_their_line_of_the_journal(
    storage: SqlStorage, database_url: str
) -> None:
    await store(storage, booking(1), booking(2))
    await stored(storage, _eventful(started_payment(booking(1), 1)))
    await stored(storage, started_payment(booking(2), 2).happen(_PAID))
    before = [await storage.read(lambda uow, n=n: uow.payments.postings(f"pay_{n}")) for n in (1, 2)]  # type: ignore[misc]
    await storage.engine.dispose()

    await to_thread.run_sync(_down_to, "0011", database_url)
    await to_thread.run_sync(migrate, database_url)

    after = [await storage.read(lambda uow, n=n: uow.payments.postings(f"pay_{n}")) for n in (1, 2)]  # type: ignore[misc]
    assert after == before
    assert len({each.at for each in after[0]}) == 9
    with pytest.raises(DBAPIError, match="append-only"):
        async with storage.engine.begin() as connection:
            await connection.execute(text("UPDATE bp_postings SET amount_minor = 1"))


async def test_a_reference_from_before_is_free_again_when_its_booking_has_ended(bare_url: str) -> None:
    await to_thread.run_sync(_up_to, "0012", bare_url)
    for number, status in ((1, "expired"), (2, "pending")):
        await to_thread.run_sync(_run, bare_url, _BOOKED.format(number=number, status=status))
        await to_thread.run_sync(_run, bare_url, _MESSAGE.format(number=number))

    await to_thread.run_sync(migrate, bare_url)

    storage = SqlStorage.open(bare_url)
    try:
        await store(storage, evolve(booking(3), reference="R-1"))
        with pytest.raises(AlreadyExists):
            await store(storage, evolve(booking(4), reference="R-2"))
        kept = [await storage.read(lambda uow, n=n: uow.bookings.get(f"bk_{n}")) for n in (1, 2)]  # type: ignore[misc]
        waiting = await storage.read(lambda uow: uow.outbox.undelivered(dead=False, limit=10))
        with pytest.raises(DBAPIError):  # messages still belong to bookings that are there
            async with storage.engine.begin() as connection:
                await connection.execute(text(_MESSAGE.format(number=9)))
    finally:
        await storage.close()
    assert [(each and each.reference, each and each.status.value) for each in kept] == [
        ("R-1", "expired"),
        ("R-2", "pending"),
    ]
    assert [each.message.booking_id for each in waiting] == ["bk_1", "bk_2"]


async def test_the_reasons_of_ended_bookings_are_kept_there_and_back(storage: SqlStorage, database_url: str) -> None:
    ended = [
        evolve(booking(1), status=BookingStatus.EXPIRED, end_reason=EndReason.ATTEMPTS_EXHAUSTED),
        evolve(booking(2), status=BookingStatus.CANCELED, end_reason=EndReason.REFUNDED),
    ]
    await store(storage, ended[0], booking(2))
    await stored(storage, started_payment(booking(2), 2))
    await storage.transact(lambda uow: uow.bookings.save(ended[1]))
    before = await storage.read(lambda uow: uow.payments.get("pay_2"))
    await storage.engine.dispose()

    await to_thread.run_sync(_down_to, "0015", database_url)
    await to_thread.run_sync(migrate, database_url)

    kept = [await storage.read(lambda uow, n=n: uow.bookings.get(f"bk_{n}")) for n in (1, 2)]  # type: ignore[misc]
    assert kept == [ended[0], evolve(ended[1], end_reason=None)]
    assert await storage.read(lambda uow: uow.payments.get("pay_2")) == before
    await storage.transact(lambda uow: uow.bookings.save(ended[1]))
    with pytest.raises(DBAPIError):
        async with storage.engine.begin() as connection:
            await connection.execute(text("UPDATE bp_bookings SET end_reason = 'tired'"))
    with pytest.raises(AlreadyExists):  # the indexes are there again
        await store(storage, booking(3), evolve(booking(4), reference=booking(3).reference))


_BOOKED = """
INSERT INTO bp_bookings (id, reference, customer_id, amount_minor, currency,
                      event_starts_at, expires_at, status, created_at)
VALUES ('bk_{number}', 'R-{number}', 'ann', 10000, 'usd',
        '2026-06-01T12:00:00.000000Z', '2026-06-01T12:00:00.000000Z', '{status}', '2026-03-01T12:00:00.000000Z')
"""
_MESSAGE = """
INSERT INTO bp_outbox (id, booking_id, sequence, type, at, data)
VALUES ('msg_{number}', 'bk_{number}', 1, 'booking.expired', '2026-03-01T12:00:00.000000Z', '{{}}')
"""


_PAID = ev.PaymentSucceeded(breakdown=FeePolicy().of_booking(USD_100), charge_id=None, attempt=None, late=False)


def _eventful(life: PaymentBuilder) -> PaymentBuilder:
    """A payment with every kind of posting, each at an hour of its own."""
    part, fee = Money(1000, Currency.USD), Money(30, Currency.USD)
    status = DisputeStatus.NEEDS_RESPONSE
    found = ev.RefundFound(
        refund_id="re_1",
        gateway_refund_id="re_1",
        amount=part,
        fee_refunded=fee,
        status=RefundStatus.SUCCEEDED,
        reason=None,
    )
    opened = ev.DisputeOpened(dispute_id="du_1", status=status, reason="fraudulent", amount=part, evidence_due_by=None)
    facts: list[ev.Event] = [
        _PAID,
        found,
        evolve(found, refund_id="re_2", gateway_refund_id="re_2", status=RefundStatus.PENDING),
        ev.RefundMoved(refund_id="re_2", status=RefundStatus.REQUIRES_ACTION),
        ev.RefundMoved(refund_id="re_2", status=RefundStatus.SUCCEEDED),
        ev.RefundMoved(refund_id="re_1", status=RefundStatus.FAILED),
        evolve(found, refund_id="re_3", gateway_refund_id="re_3", status=RefundStatus.PENDING),
        ev.RefundMoved(refund_id="re_3", status=RefundStatus.FAILED),
        opened,
        *(
            ev.DisputeFundsMoved(dispute_id="du_1", withdrawn=Money(minor, Currency.USD))
            for minor in (1000, 400, 700, 0)
        ),
        evolve(opened, dispute_id="du_2"),
        ev.DisputeFundsMoved(dispute_id="du_2", withdrawn=part),
    ]
    for fact in facts:
        life.at += timedelta(hours=1)
        life.happen(fact)
    return life


def _up_to(revision: str, url: str) -> None:
    engine = migrations._engine(normalize_url(url))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            create_schema(connection, SCHEMA)
        command.upgrade(migrations._config(connection), revision)
    engine.dispose()


def _down_to(revision: str, url: str) -> None:
    engine = migrations._engine(normalize_url(url))
    with engine.begin() as connection:
        command.downgrade(migrations._config(connection), revision)
    engine.dispose()


@pytest.mark.parametrize("bare_url", ["postgresql"], indirect=True)
def test_somebody_elses_job_queue_is_left_alone(bare_url: str) -> None:
    _run(bare_url, "CREATE SCHEMA booking_payments CREATE TABLE procrastinate_jobs (id bigint)")

    with pytest.raises(CannotMigrateError, match="Procrastinate"):
        migrate(bare_url)

    assert _tables(bare_url) == {"procrastinate_jobs"}


@pytest.mark.parametrize("bare_url", ["postgresql"], indirect=True)
def test_in_another_schema_it_is_in_nobodys_way(bare_url: str) -> None:
    _run(bare_url, "CREATE TABLE public.procrastinate_jobs (id bigint)")

    assert migrate(bare_url) == head()


def _run(url: str, statement: str) -> None:
    parsed = normalize_url(url)
    engine = create_engine(parsed.set(drivername="sqlite") if parsed.get_backend_name() == "sqlite" else parsed)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
