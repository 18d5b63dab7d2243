"""Storage in SQL keeps the contract of the port, and the database itself holds the promises."""

import zlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from sqlalchemy import Engine, Select, TextClause, create_engine, event, inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from booking_payments.adapters.gateways.bank_transfer.tables import BANK_TABLES, MANUAL_TABLES
from booking_payments.adapters.memory.ids import RandomIds, ServingIds
from booking_payments.adapters.sql import storage as storage_module
from booking_payments.adapters.sql import unit_of_work
from booking_payments.adapters.sql.clock import DatabaseClock
from booking_payments.adapters.sql.database import RestartTransaction
from booking_payments.adapters.sql.engine import normalize_url
from booking_payments.adapters.sql.migrations import current, head, migrate
from booking_payments.adapters.sql.storage import MAX_BEGINS, SqlStorage
from booking_payments.adapters.sql.tables import RARE, UNFINISHED, inbox, journal, metadata
from booking_payments.adapters.sql.unit_of_work import SqlUnitOfWork
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.ports.idempotency import StoredAnswer
from booking_payments.ports.jobs import DeliverMessages
from booking_payments.ports.overview import Period
from booking_payments.ports.payments import PaymentFilter, PollState, Refunded
from booking_payments.ports.schema_name import VERSION_TABLE
from booking_payments.ports.storage import StorageConflict
from booking_payments.ports.unit_of_work import LockScope, TransactionBody, UnitOfWork
from booking_payments.testing.console_sessions_contract import ConsoleSessionsContract
from booking_payments.testing.event_jobs_contract import EventJobsContract
from booking_payments.testing.kit import NOW
from booking_payments.testing.overview_contract import OverviewContract
from booking_payments.testing.payment_builder import booking, payment_with_every_event, started_payment
from booking_payments.testing.storage_contract import StorageContract, audit_record, store, stored
from tests.nightly import NIGHTLY

T = TypeVar("T")


class TestSqlStorage(StorageContract):
    """The contract, over SQLite and PostgreSQL."""


OF_THE_CONTRACT = LockScope(booking_id="bk_1", event_id="evt_1", intent_id="pi_1")
"""The scope of most transactions of the contract. A test with another scope runs in its own transaction."""


class GroupedStorage:
    """A storage that gives every transaction a scope, so that all of them may be shared."""

    def __init__(self, storage: SqlStorage) -> None:
        self._storage = storage

    async def transact(self, work: TransactionBody[T], about: LockScope | None = None) -> T:
        return await self._storage.transact(work, about or OF_THE_CONTRACT)

    async def read(self, work: TransactionBody[T]) -> T:
        return await self._storage.read(work)


class TestSearchesByTheIndex:
    """The contract's searches, where none of what they look for is among the newest bookings and payments."""

    @pytest.fixture(autouse=True)
    def _look_at_none_of_the_newest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(unit_of_work, "LOOKED_AT", 0)

    test_searches = StorageContract.test_a_search_takes_its_text_letter_by_letter_in_any_case_and_spelling
    test_filters = StorageContract.test_payments_are_found_by_what_a_customer_knows_of_them
    test_a_changed_name = StorageContract.test_a_changed_booking_is_no_longer_found_by_its_former_name
    test_an_amended_address = StorageContract.test_an_amended_booking_is_found_by_its_new_address

    async def test_filters_when_many_bookings_are_found(
        self, storage: SqlStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(unit_of_work, "FOUND", 0)

        await StorageContract().test_payments_are_found_by_what_a_customer_knows_of_them(storage)


class TestGroupCommit(StorageContract):
    """The contract, over group commit on PostgreSQL. By day one test in three, chosen by its name."""

    @pytest.fixture
    async def storage(self, postgres_copy: str) -> AsyncIterator[GroupedStorage]:
        storage = SqlStorage.open(postgres_copy)
        yield GroupedStorage(storage)
        await storage.close()


if not NIGHTLY:
    for name in [each for each in vars(StorageContract) if each.startswith("test_") and zlib.crc32(each.encode()) % 3]:
        setattr(TestGroupCommit, name, None)  # pytest collects nothing under this name


class TestSqlEventJobs(EventJobsContract):
    """The contract of event jobs, on both databases."""


class TestSqlConsoleSessions(ConsoleSessionsContract):
    """The contract of the console's sessions, over SQLite and PostgreSQL."""


class TestSqlOverview(OverviewContract):
    """The contract of the overview, over SQLite and PostgreSQL."""


async def _run(storage: SqlStorage, statement: str) -> None:
    async with storage.engine.begin() as connection:
        await connection.execute(text(statement))


async def _paid(storage: SqlStorage) -> None:
    await store(storage, booking())
    await stored(storage, payment_with_every_event(booking()))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE bp_journal SET sequence = sequence + 100",
        "UPDATE bp_journal SET actor = 'somebody else'",
        "DELETE FROM bp_journal",
        "UPDATE bp_postings SET amount_minor = 1",
        "DELETE FROM bp_postings",
        "UPDATE bp_audit SET outcome = 'refused'",
        "UPDATE bp_audit SET actor = 'somebody else' WHERE id = 1",
        "DELETE FROM bp_audit",
        "DELETE FROM bp_audit WHERE at < '2027-01-01T00:00:00.000000Z'",
    ],
)
async def test_stored_events_cannot_be_changed(storage: SqlStorage, change: str) -> None:
    await _paid(storage)
    await storage.transact(lambda uow: uow.audit.append(audit_record()))

    with pytest.raises(DBAPIError, match="append-only"):
        await _run(storage, change)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE bp_payments SET refunded_minor = -1",
        "UPDATE bp_payments SET refund_pending_minor = -1",
        "UPDATE bp_payments SET owed_minor = -1",
        "UPDATE bp_payments SET captured_minor = amount_minor + 1",
        "UPDATE bp_payments SET amount_minor = -1",
        "UPDATE bp_payments SET amount_minor = 1000000000000",
        "UPDATE bp_payments SET status = 'lost'",
        "UPDATE bp_payments SET currency = 'USD'",
        "UPDATE bp_bookings SET status = 'paid'",
        "UPDATE bp_bookings SET amount_minor = -1",
        "UPDATE bp_inbox SET status = 'odd'",
        "UPDATE bp_payments SET booking_id = 'bk_9'",
    ],
)
async def test_the_database_refuses_impossible_values(storage: SqlStorage, change: str) -> None:
    await _paid(storage)
    await _run(
        storage,
        "INSERT INTO bp_inbox (event_id, type, gateway, status, received_at, tries, body) "
        "VALUES ('evt_1', 'x', 'stripe', 'received', '2026-01-01T00:00:00.000000Z', 1, '{}')",
    )

    with pytest.raises(IntegrityError):
        await _run(storage, change)


async def test_more_may_go_back_than_was_captured_since_the_gateways_dashboard_can_do_it(storage: SqlStorage) -> None:
    await _paid(storage)

    await _run(storage, "UPDATE bp_payments SET refunded_minor = captured_minor + 1")


async def test_a_transaction_with_a_conflict_is_retried_until_it_succeeds(storage: SqlStorage) -> None:
    begun: list[int] = []

    async def work(uow: UnitOfWork) -> str:
        begun.append(1)
        if len(begun) < 3:
            raise RestartTransaction
        return "done"

    assert (await storage.transact(work), len(begun)) == ("done", 3)


async def test_a_lasting_conflict_is_raised(storage: SqlStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "PAUSE_S", 0)
    begun: list[int] = []

    async def work(uow: UnitOfWork) -> None:
        begun.append(1)
        raise RestartTransaction

    with pytest.raises(StorageConflict):
        await storage.transact(work)

    assert len(begun) == MAX_BEGINS


async def test_a_database_error_other_than_a_conflict_is_raised(storage: SqlStorage) -> None:
    begun: list[int] = []

    async def work(uow: UnitOfWork) -> None:
        begun.append(1)
        raise ProgrammingError("SELECT", {}, Exception("no such column"))

    with pytest.raises(DBAPIError):
        await storage.transact(work)

    assert len(begun) == 1


async def test_a_transaction_with_a_deadlock_is_retried(postgres_copy: str) -> None:
    storage = SqlStorage.open(postgres_copy)
    await store(storage, booking(1), booking(2))
    begun: list[str] = []

    locked = {"bk_1": anyio.Event(), "bk_2": anyio.Event()}

    async def lock(first: str, second: str) -> None:
        async def work(uow: UnitOfWork) -> None:
            begun.append(first)
            await uow.bookings.lock(first)
            locked[first].set()
            await locked[second].wait()  # so that each holds what the other one wants, however slow the machine is
            await uow.bookings.lock(second)

        await storage.transact(work)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lock, "bk_1", "bk_2")
        tasks.start_soon(lock, "bk_2", "bk_1")
    await storage.close()

    assert len(begun) == 3


async def test_jobs_are_handed_over_after_the_commit(storage: SqlStorage) -> None:
    handed: list[object] = []
    storage.on_jobs = handed.extend

    async def work(uow: UnitOfWork) -> None:
        uow.jobs.defer(DeliverMessages(), NOW)

    await storage.transact(work)

    assert handed == [(DeliverMessages(), NOW)]


FAR = datetime(2999, 1, 1, tzinfo=UTC)


async def _poll_state_after_taking_over(storage: SqlStorage, holder: str) -> PollState:
    await _paid(storage)
    lease = f"lease_until = '2999-01-01T00:00:00.000000Z', lease_holder = '{holder}'"
    await _run(storage, f"UPDATE bp_payments SET {lease}")  # noqa: S608 - texts of this test
    await storage.take_over()
    return await storage.read(lambda uow: uow.payments.poll_state("pay_1"))


async def test_a_new_serving_process_takes_over_the_operations_of_the_previous_one(storage: SqlStorage) -> None:
    poll_state = await _poll_state_after_taking_over(storage, ServingIds().new("run"))

    assert (poll_state.lease_until, poll_state.holder, poll_state.next_check_at is not None) == (None, None, True)


@pytest.mark.parametrize(
    "holder", ["run_1", RandomIds().new("run"), "runXserveX1"], ids=["a run", "a new run", "no underscore"]
)
async def test_it_ends_no_lease_of_a_command_or_an_embedded_process(storage: SqlStorage, holder: str) -> None:
    poll_state = await _poll_state_after_taking_over(storage, holder)

    assert (poll_state.lease_until, poll_state.holder) == (FAR, holder)


def test_only_leases_are_distinguished_by_their_ids() -> None:
    assert ServingIds().new("pay").startswith("pay_")
    assert not ServingIds().new("pay").startswith("pay_serve")


@pytest.mark.parametrize(("route", "ends"), [("POST /api/bookings/bk_1/payment/refund", True), ("library x", False)])
async def test_it_takes_over_http_requests_with_a_key_and_no_library_calls(
    storage: SqlStorage, route: str, ends: bool
) -> None:
    mark = StoredAnswer(caller="a", route=route, key="k", fingerprint="f", created_at=NOW, locked_until=FAR)
    await storage.transact(lambda uow: uow.answers.put(mark))

    await storage.take_over()

    now = await storage.transact(lambda uow: uow.answers.get("a", route, "k"))
    assert now is not None
    assert (now.locked_until < FAR) is ends


# --- migrations


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database without any schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('empty') / 'empty.db'}"
    else:
        with request.getfixturevalue("postgres_server").database() as url:
            yield url


async def test_an_empty_database_has_no_revision(empty_url: str) -> None:
    storage = SqlStorage.open(empty_url)

    assert await current(storage.engine) is None
    await storage.close()


async def test_migrating_twice_changes_nothing(empty_url: str) -> None:
    migrate(empty_url)
    migrate(empty_url)
    storage = SqlStorage.open(empty_url)

    assert await current(storage.engine) == head()
    await storage.close()


def _is_ours(name: str | None, *_: object) -> bool:
    """Procrastinate's tables are compared with Procrastinate's own text, and the index of searches differs by
    database: the tests of searches use it."""
    return not (name or "").startswith(("procrastinate", "bp_search_"))


def test_the_migrated_schema_is_the_one_that_the_code_knows(empty_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    migrate(empty_url)
    engine = _engine(empty_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": _is_ours, "version_table": VERSION_TABLE}
        )
        differences = compare_metadata(context, metadata)
    engine.dispose()

    assert {BANK_TABLES.transfers, MANUAL_TABLES.bank_refunds} <= set(metadata.tables.values()), (
        "of those who bring tables of their own"
    )
    assert differences == []


def test_columns_constraints_and_indexes_of_the_migration_are_those_of_the_tables(
    empty_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """``compare_metadata`` sees neither CHECK constraints nor the conditions of partial indexes."""
    migrate(empty_url)
    migrated = _engine(empty_url)
    if migrated.dialect.name == "sqlite":
        created = create_engine(f"sqlite:///{tmp_path / 'created.db'}")
    else:
        created = _engine(request.getfixturevalue("empty_postgres"))
    metadata.create_all(created)

    assert _described(migrated) == _described(created)
    migrated.dispose()
    created.dispose()


@pytest.fixture
def empty_postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    """A second PostgreSQL database without any schema."""
    with request.getfixturevalue("postgres_server").database() as url:
        yield url


def _engine(url: str) -> Engine:
    parsed = normalize_url(url)
    return create_engine(parsed.set(drivername="sqlite") if parsed.get_backend_name() == "sqlite" else parsed)


def _described(engine: Engine) -> dict[str, dict[str, list[str]]]:
    """Return the database's description of each table as text, independent of the order of constraints and indexes."""
    seen = inspect(engine)
    described = {
        table: {
            "columns": [
                f"{each['name']} {each['type']} null={each['nullable']} default={each['default']}"
                for each in seen.get_columns(table)
            ],
            "primary key": [str(seen.get_pk_constraint(table))],
            "unique": sorted(str(each) for each in seen.get_unique_constraints(table)),
            "foreign keys": sorted(str(each) for each in seen.get_foreign_keys(table)),
            "checks": sorted(f"{each['name']}: {each['sqltext']}" for each in seen.get_check_constraints(table)),
            "indexes": sorted(str({**each, "dialect_options": _options(each)}) for each in seen.get_indexes(table)),
        }
        for table in metadata.tables
    }
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            for name, strict in connection.exec_driver_sql("SELECT name, strict FROM pragma_table_list").all():
                if name in described:
                    described[name]["strict"] = [str(strict)]
    return described


def _options(index: Any) -> dict[str, str]:
    """The conditions of an index as text: two reflected conditions are never equal as values."""
    return {name: str(value) for name, value in index.get("dialect_options", {}).items()}


@pytest.mark.parametrize(
    ("spelling", "driver"),
    [
        ("sqlite:///x.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:///x.db", "sqlite+aiosqlite"),
        ("postgres://u@h/d", "postgresql+psycopg"),
        ("postgresql://u@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg"),
    ],
)
def test_every_spelling_of_an_address_is_understood(spelling: str, driver: str) -> None:
    assert normalize_url(spelling).drivername == driver


def test_another_database_is_refused() -> None:
    with pytest.raises(ValueError, match="not supported"):
        normalize_url("mysql://u@h/d")


async def _nothing(uow: UnitOfWork) -> None:
    return None


@pytest.mark.parametrize("kind", ["transact", "read"])
async def test_on_postgresql_the_clock_is_the_databases_however_wrong_the_machines_is(
    postgres_copy: str, kind: str
) -> None:
    wrong = datetime.now(UTC) - timedelta(days=1)
    clock = DatabaseClock(wall=lambda: wrong)
    storage = SqlStorage.open(postgres_copy, clock=clock)

    await getattr(storage, kind)(_nothing)

    async with storage.engine.connect() as connection:
        theirs = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    await storage.close()
    assert abs(theirs - clock.now()) < timedelta(minutes=1)
    assert clock.now().tzinfo is UTC


# PostgreSQL chooses by statistics, and scans an empty table.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_rare_facts_and_unfinished_webhooks_are_found_by_their_indexes(storage: SqlStorage) -> None:
    rare = (
        select(journal).where(RARE, journal.c.type == "drift_found", journal.c.at >= NOW).order_by(journal.c.at.desc())
    )
    unfinished = select(inbox).where(UNFINISHED).order_by((inbox.c.id + 0).desc())
    said: list[str] = []
    async with storage.engine.connect() as connection:
        event.listen(connection.sync_connection, "before_cursor_execute", lambda *given: said.append(given[2]))
        await SqlUnitOfWork(connection).overview.unfinished_webhooks()
        counted = text(f"EXPLAIN QUERY PLAN {said[-1]}")
        asked = [_explained(rare, storage), _explained(unfinished, storage), counted]
        plans = [str(list(await connection.execute(each))) for each in asked]

    assert ["journal_rare" in plans[0], "inbox_unfinished" in plans[1], "inbox_unfinished" in plans[2]] == [True] * 3


async def test_a_search_finds_what_is_not_among_the_newest_payments(
    storage: SqlStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_of_work, "LOOKED_AT", 2)
    for number in range(1, 6):
        await store(storage, booking(number))
        await stored(storage, started_payment(booking(number), number, NOW + timedelta(seconds=number)))

    async def pages(which: PaymentFilter) -> list[list[str]]:
        found, cursor = [], None
        while True:
            page = await storage.read(lambda uow, after=cursor: uow.payments.page(which, after, 2))  # type: ignore[misc]
            found.append([each.id for each in page.items])
            cursor = page.next_cursor
            if cursor is None:
                return found

    assert await pages(PaymentFilter(text="r-")) == [["pay_5", "pay_4"], ["pay_3", "pay_2"], ["pay_1"]]
    assert await pages(PaymentFilter(text="r-1")) == [["pay_1"]]
    assert await pages(PaymentFilter(amount=Decimal(1))) == [[]]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("which", "index"),
    [
        (PaymentFilter(refunded=Refunded.FULLY), "bp_payments_fully_refunded"),
        (PaymentFilter(refunded=Refunded.PARTLY), "bp_payments_partly_refunded"),
        (PaymentFilter(refunded=Refunded.ANY), "bp_payments_refunded"),
        (PaymentFilter(disputed=True), "bp_payments_disputed"),
        (PaymentFilter(amount=Decimal(25)), "bp_payments_amount"),
        (PaymentFilter(last4="4242"), "bp_payments_last4"),
    ],
)
async def test_a_list_reads_an_index(storage: SqlStorage, which: PaymentFilter, index: str) -> None:
    said: list[tuple[str, Any]] = []
    async with storage.engine.connect() as connection:
        event.listen(connection.sync_connection, "before_cursor_execute", lambda *given: said.append(given[2:4]))
        await SqlUnitOfWork(connection).payments.page(which, None, 25)
        sql, given = said[-1]
        plan = list(await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", given))

    assert any(index in row.detail for row in plan), plan


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_many_rows_are_found_by_their_ids_without_a_scan(storage: SqlStorage) -> None:
    said: list[tuple[str, Any]] = []
    async with storage.engine.connect() as connection:
        event.listen(connection.sync_connection, "before_cursor_execute", lambda *given: said.append(given[2:4]))
        uow = SqlUnitOfWork(connection)
        await uow.payment_reader.payments(["pay_1"])
        await uow.payment_reader.of_intents(["pi_1"])
        await uow.payment_reader.of_bookings(["bk_1"])
        await uow.payment_reader.histories(["pay_1"])
        await uow.bookings.many(["bk_1"])
        await uow.inbox.done("stripe", ["evt_1"])
        asked = [each for each in said if each[0].startswith("SELECT")]
        plans = [list(await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", given)) for sql, given in asked]

    assert len(plans) == 8
    assert [row.detail for plan in plans for row in plan if "SCAN bp_" in row.detail] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # PostgreSQL's plans: test_plans.py
async def test_sums_of_periods_read_indexes_alone(storage: SqlStorage) -> None:
    day = Period(begins=NOW, ends=NOW + timedelta(days=1))
    said: list[str] = []
    async with storage.engine.connect() as connection:
        event.listen(connection.sync_connection, "before_cursor_execute", lambda *given: said.append(given[2]))
        await SqlUnitOfWork(connection).overview.tallies([day])
        await SqlUnitOfWork(connection).overview.moved([day])
        asked = [each for each in said if not each.startswith("BEGIN")]
        plans = [list(await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {each}", ("[]",))) for each in asked]

    reads = [[row.detail for row in plan if " USING " in row.detail] for plan in plans]
    counted = "SEARCH bp_payments USING COVERING INDEX bp_payments_status (status=? AND created_at>? AND created_at<?)"
    added = "SEARCH bp_postings USING COVERING INDEX bp_postings_money (kind=? AND currency=? AND at>? AND at<?)"
    assert reads[0] == [counted] * len(PaymentStatus)
    assert reads[1].count(added) == 5
    assert all("COVERING INDEX bp_postings_money" in each for each in reads[1])
    assert not any(
        "SCAN" in row.detail for plan in plans for row in plan if "pay" in row.detail or "post" in row.detail
    )


def _explained(statement: Select[Any], storage: SqlStorage) -> TextClause:
    compiled = statement.compile(storage.engine.sync_engine, compile_kwargs={"literal_binds": True})
    return text(f"EXPLAIN QUERY PLAN {compiled}")
