"""What transactions in SQL promise beyond the contract: between processes, under faults, and against our own bugs."""

from collections.abc import AsyncIterator
from datetime import timedelta

import anyio
import anyio.lowlevel
import attrs
import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from booking_payments.adapters.sql import engine
from booking_payments.adapters.sql import storage as storing
from booking_payments.adapters.sql.engine import BUSY_TIMEOUT_MS
from booking_payments.adapters.sql.failures import is_conflict, is_out_of_reach
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.domain.errors import InvalidInput
from booking_payments.ports.idempotency import StoredAnswer
from booking_payments.ports.inbox import InboxEntry
from booking_payments.ports.jobs import DeliverMessages
from booking_payments.ports.storage import CommitLost, StorageDown
from booking_payments.ports.unit_of_work import LockScope, UnitOfWork
from booking_payments.runtime import readiness
from booking_payments.testing.kit import NOW
from booking_payments.testing.payment_builder import booking, payment_with_every_event
from booking_payments.testing.storage_contract import TIMEOUT_S, entry, store, stored
from tests.integration.faulty_tcp_proxy import FaultyTcpProxy

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
async def other(database_url: str, storage: SqlStorage) -> AsyncIterator[SqlStorage]:
    """A second process's storage over the same database."""
    other = SqlStorage.open(database_url)
    yield other
    await other.close()


async def _ask(storage: SqlStorage, question: str) -> object:
    async with storage.engine.connect() as connection:
        return (await connection.execute(text(question))).scalar_one()


async def test_two_processes_take_turns_on_a_booking(storage: SqlStorage, other: SqlStorage) -> None:
    await store(storage, booking())

    async def count(uow: UnitOfWork) -> None:
        await uow.bookings.lock("bk_1")
        seen = await uow.inbox.find("evt_1")
        await anyio.sleep(0.001)
        await uow.inbox.put(attrs.evolve(entry(), tries=seen[0].tries + 1 if seen else 1))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(storage.transact, count)
            tasks.start_soon(other.transact, count)

    assert (await storage.read(lambda uow: uow.inbox.find("evt_1")))[0].tries == 10


async def test_a_reader_is_not_kept_out_by_another_process_that_writes(storage: SqlStorage, other: SqlStorage) -> None:
    await store(storage, booking())

    async def work(uow: UnitOfWork) -> None:
        await uow.bookings.lock("bk_1")
        await uow.bookings.add(booking(2))
        with anyio.fail_after(TIMEOUT_S):
            assert await other.read(lambda reader: reader.bookings.get("bk_1")) == booking(1)
            assert await other.read(lambda reader: reader.bookings.get("bk_2")) is None

    await storage.transact(work)


@ON_POSTGRESQL
async def test_a_reader_cannot_write(storage: SqlStorage) -> None:
    with pytest.raises(DBAPIError, match="read-only"):
        await storage.read(lambda uow: uow.bookings.add(booking()))


@ON_SQLITE
async def test_writes_of_a_reader_are_never_committed(storage: SqlStorage) -> None:
    await storage.read(lambda uow: uow.bookings.add(booking()))

    assert await storage.read(lambda uow: uow.bookings.get("bk_1")) is None


async def test_a_connection_that_has_read_can_write_again(storage: SqlStorage) -> None:
    for number in range(1, 4):
        await storage.read(lambda uow: uow.bookings.get("bk_1"))
        await store(storage, booking(number))

    assert await storage.read(lambda uow: uow.bookings.count_unpaid("ann")) == 3


async def test_a_lock_is_not_waited_for_without_end(storage: SqlStorage) -> None:
    on_postgresql = "SELECT setting::int FROM pg_settings WHERE name = 'lock_timeout'"
    question = "PRAGMA busy_timeout" if storage.engine.dialect.name == "sqlite" else on_postgresql

    assert await _ask(storage, question) == BUSY_TIMEOUT_MS


@ON_POSTGRESQL
async def test_a_lock_that_is_not_released_in_time_is_a_conflict(storage: SqlStorage) -> None:
    await store(storage, booking())

    async def work(uow: UnitOfWork) -> None:
        await uow.bookings.lock("bk_1")
        async with storage.engine.connect() as late:
            await late.execute(text("SET LOCAL lock_timeout = 10"))
            with pytest.raises(OperationalError) as failed:
                await late.execute(text("SELECT 1 FROM bp_bookings WHERE id = 'bk_1' FOR UPDATE"))
            assert is_conflict(failed.value)

    await storage.transact(work)


async def test_a_violation_of_another_constraint_is_not_reported_as_taken(storage: SqlStorage) -> None:
    late = attrs.evolve(booking(), expires_at=booking().event_starts_at + timedelta(days=1))

    with pytest.raises(IntegrityError, match="expires_by_start"):
        await store(storage, late)


async def test_a_foreign_key_violation_is_not_reported_as_taken(storage: SqlStorage) -> None:
    with pytest.raises(IntegrityError, match=r"(?i)foreign key"):
        await stored(storage, payment_with_every_event(booking()))


async def test_a_text_that_no_database_can_hold_is_refused(storage: SqlStorage) -> None:
    with pytest.raises(InvalidInput) as refused:
        await store(storage, attrs.evolve(booking(), reference="\ud800"))

    assert refused.value.code == "invalid_text"


@ON_POSTGRESQL
async def test_a_nul_is_refused_if_the_database_cannot_store_it(storage: SqlStorage) -> None:
    with pytest.raises(InvalidInput) as refused:
        await store(storage, attrs.evolve(booking(), reference="R\0"))

    assert refused.value.code == "invalid_text"


async def test_any_other_text_is_stored_and_read_unchanged(storage: SqlStorage) -> None:
    odd = attrs.evolve(booking(), reference="Ünïcødé 🎟 'quoted' \"twice\" \\ % :name\n\t")
    await store(storage, odd)

    assert await storage.read(lambda uow: uow.bookings.by_reference(odd.reference)) == odd


async def test_jobs_of_a_transaction_that_fails_are_dropped(storage: SqlStorage) -> None:
    handed: list[object] = []
    storage.on_jobs = handed.append

    async def work(uow: UnitOfWork) -> None:
        uow.jobs.defer(DeliverMessages(), NOW)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        await storage.transact(work)

    assert handed == []


async def test_moments_are_kept_to_the_microsecond(storage: SqlStorage) -> None:
    exact: InboxEntry = attrs.evolve(entry(), received_at=NOW + timedelta(microseconds=1))
    await storage.transact(lambda uow: uow.inbox.put(exact))

    assert await storage.read(lambda uow: uow.inbox.find("evt_1")) == [exact]


# --- the database itself

_REWRITES = {
    "sqlite": "INSERT OR REPLACE INTO bp_journal "
    "SELECT payment_id, sequence, 'forged', at, actor, cause, data FROM bp_journal WHERE sequence = 1",
    "postgresql": "INSERT INTO bp_journal SELECT * FROM bp_journal WHERE sequence = 1 "
    "ON CONFLICT (payment_id, sequence) DO UPDATE SET type = 'forged'",
}


async def test_stored_events_cannot_be_overwritten(storage: SqlStorage) -> None:
    await store(storage, booking())
    await stored(storage, payment_with_every_event(booking()))

    with pytest.raises(DBAPIError, match="append-only"):
        async with storage.engine.begin() as connection:
            await connection.execute(text(_REWRITES[storage.engine.dialect.name]))


@ON_POSTGRESQL
@pytest.mark.parametrize("table", ["bp_journal", "bp_postings", "bp_audit"])
async def test_stored_events_cannot_be_truncated(storage: SqlStorage, table: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"):
        async with storage.engine.begin() as connection:
            await connection.execute(text(f"TRUNCATE {table}"))


@ON_SQLITE
@pytest.mark.parametrize("change", ["UPDATE bp_payments SET checks = 'abc'", "UPDATE bp_payments SET checks = 1.5"])
async def test_a_column_of_sqlite_holds_its_type_only(storage: SqlStorage, change: str) -> None:
    await store(storage, booking())
    await stored(storage, payment_with_every_event(booking()))

    with pytest.raises(DBAPIError):
        async with storage.engine.begin() as connection:
            await connection.execute(text(change))


@ON_SQLITE
@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("recursive_triggers", 1)]
)
async def test_sqlite_is_set_up_to_be_trusted(storage: SqlStorage, pragma: str, value: object) -> None:
    assert await _ask(storage, f"PRAGMA {pragma}") == value


@ON_POSTGRESQL
async def test_postgresql_works_at_read_committed_and_reads_at_repeatable_read(storage: SqlStorage) -> None:
    assert await _ask(storage, "SHOW transaction_isolation") == "read committed"

    seen: list[object] = []

    async def work(uow: UnitOfWork) -> None:
        # The repositories' connection, through their one method.
        connection = uow.bookings._connection  # type: ignore[attr-defined]
        seen.append((await connection.execute(text("SHOW transaction_isolation"))).scalar_one())

    await storage.read(work)
    await storage.transact(work)

    assert seen == ["repeatable read", "read committed"]


async def _let_go_of_all(storage: SqlStorage) -> None:
    """End all other sessions, as a restart of the server does."""
    others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    url = storage.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute(f"{others} AND datname = current_database()".encode())


@ON_POSTGRESQL
@pytest.mark.parametrize("idle", [True, False])
async def test_connections_that_were_let_go_are_replaced_unnoticed(
    storage: SqlStorage, idle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "IDLE_S", 0 if idle else 3600)
    async with anyio.create_task_group() as several:
        for number in range(1, 5):
            several.start_soon(store, storage, booking(number))
    await _let_go_of_all(storage)

    for _ in range(4):
        assert await storage.read(lambda uow: uow.bookings.count_unpaid("ann")) == 4
    await store(storage, booking(5))


@ON_POSTGRESQL
async def test_work_whose_connection_breaks_begins_again(storage: SqlStorage) -> None:
    begun: list[int] = []

    async def work(uow: UnitOfWork) -> None:
        begun.append(1)
        await uow.bookings.add(booking())
        if len(begun) == 1:
            await _let_go_of_all(storage)
        await uow.bookings.get("bk_1")

    await storage.transact(work)

    assert len(begun) == 2
    assert await storage.read(lambda uow: uow.bookings.get("bk_1")) == booking()


# --- what was looked for in vain, and is there by now


def _mark(cause: str) -> StoredAnswer:
    return StoredAnswer(
        caller="ann",
        route="POST /x",
        key="key-1",
        fingerprint="f",
        created_at=NOW,
        locked_until=NOW,
        body=cause.encode(),
    )


@ON_POSTGRESQL
async def test_a_key_taken_by_another_request_meanwhile_is_kept_by_it(storage: SqlStorage, other: SqlStorage) -> None:
    seen: list[bytes | None] = []

    async def take(uow: UnitOfWork) -> None:
        stored = await uow.answers.get("ann", "POST /x", "key-1")
        seen.append(stored.body if stored else None)
        if stored is None:
            await other.transact(lambda theirs: theirs.answers.put(_mark("theirs")))
            await uow.answers.put(_mark("ours"))

    await storage.transact(take)

    assert seen == [None, b"theirs"]


@ON_POSTGRESQL
async def test_a_locked_idempotency_key_is_read_after_its_transaction(storage: SqlStorage, other: SqlStorage) -> None:
    await storage.transact(lambda uow: uow.answers.put(_mark("nobody's")))
    read, done = anyio.Event(), anyio.Event()
    seen: list[bytes | None] = []

    async def first(uow: UnitOfWork) -> None:
        await uow.answers.get("ann", "POST /x", "key-1")
        read.set()
        await done.wait()
        await uow.answers.put(_mark("the first's"))

    async def second(uow: UnitOfWork) -> None:
        stored = await uow.answers.get("ann", "POST /x", "key-1")
        seen.append(stored.body if stored else None)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(storage.transact, first)
        await read.wait()
        tasks.start_soon(other.transact, second)
        while not seen and not await _ask(storage, WAITING_FOR_A_LOCK):
            await anyio.lowlevel.checkpoint()
        done.set()

    assert seen == [b"the first's"]


WAITING_FOR_A_LOCK = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@ON_POSTGRESQL
async def test_an_event_stored_by_another_process_meanwhile_is_found(storage: SqlStorage, other: SqlStorage) -> None:
    seen: list[int] = []

    async def take(uow: UnitOfWork) -> None:
        found = await uow.inbox.find("evt_1")
        seen.append(len(found))
        if not found:
            await other.transact(lambda theirs: theirs.inbox.put(entry()))
            await uow.inbox.put(attrs.evolve(entry(), tries=7))

    await storage.transact(take)

    assert seen == [0, 1]
    assert (await storage.read(lambda uow: uow.inbox.find("evt_1")))[0].tries == entry().tries


async def test_an_event_that_was_not_found_may_be_stored_twice_in_one_transaction(storage: SqlStorage) -> None:
    async def work(uow: UnitOfWork) -> None:
        assert await uow.answers.get("ann", "POST /x", "key-1") is None
        assert not await uow.inbox.find("evt_1")
        for tries in (1, 2):
            await uow.answers.put(_mark(f"run {tries}"))
            await uow.inbox.put(attrs.evolve(entry(), tries=tries))

    await storage.transact(work)

    stored = await storage.transact(lambda uow: uow.answers.get("ann", "POST /x", "key-1"))
    assert stored is not None
    assert stored.body == b"run 2"
    assert [each.tries for each in await storage.read(lambda uow: uow.inbox.find("evt_1"))] == [2]


# --- a database that is not there


async def _look_for_a_booking(uow: UnitOfWork) -> object:
    return await uow.bookings.get("bk_1")


@pytest.mark.parametrize("address", ["postgresql://nobody@127.0.0.1:9/nowhere", "sqlite:////nowhere/books.db"])
async def test_an_unreachable_database_raises_storage_down(address: str) -> None:
    storage = SqlStorage.open(address)

    for run in (storage.read, storage.transact):
        with pytest.raises(StorageDown):
            await run(_look_for_a_booking)

    await storage.close()


@ON_POSTGRESQL
async def test_a_read_only_server_raises_storage_down(database_url: str) -> None:
    storage = SqlStorage.open(f"{database_url}?options=-c%20default_transaction_read_only%3Don")

    for about in (None, LockScope(booking_id="bk_1")):
        with pytest.raises(StorageDown):
            await storage.transact(lambda uow: uow.bookings.add(booking()), about)
    assert await storage.read(_look_for_a_booking) is None

    await storage.close()


@ON_SQLITE
async def test_a_read_only_file_raises_storage_down(storage: SqlStorage) -> None:
    async def work(uow: UnitOfWork) -> None:
        await uow.bookings.add(booking())

    await storage.read(_look_for_a_booking)
    async with storage.engine.connect() as connection:
        await connection.execute(text("PRAGMA query_only = ON"))

    with pytest.raises(StorageDown):
        await storage.transact(work)


@ON_POSTGRESQL
async def test_a_session_that_was_ended_from_outside_counts_as_unreachable(storage: SqlStorage) -> None:
    async with storage.engine.connect() as connection:
        with pytest.raises(DBAPIError) as ended:
            await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    assert is_out_of_reach(ended.value)


@ON_POSTGRESQL
@pytest.mark.parametrize(
    ("asked", "told"), [(b"BEGIN", StorageDown), (b"INSERT INTO bp_bookings", CommitLost), (b"COMMIT\0", CommitLost)]
)
async def test_a_server_that_stops_responding_is_not_waited_for_without_end(
    database_url: str, asked: bytes, told: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LONGEST_S", 0.5)
    monkeypatch.setattr(storing, "CLEAN_UP_S", 0.1)
    url = make_url(database_url)
    proxy = FaultyTcpProxy(url.port or 5432)
    async with proxy.listening() as port:
        storage = SqlStorage.open(url.set(port=port).render_as_string(hide_password=False))
        await storage.read(_look_for_a_booking)
        proxy.silent_after = asked

        with pytest.raises(told):
            await (storage.read(_look_for_a_booking) if told is StorageDown else store(storage, booking()))

        proxy.silent_after = None
        assert (await storage.read(_look_for_a_booking) is not None) == (asked == b"COMMIT\0")
        await storage.close()


@ON_POSTGRESQL
async def test_readiness_reports_a_silent_server_in_time(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "READY_WITHIN_S", 0.5)
    url = make_url(database_url)
    proxy = FaultyTcpProxy(url.port or 5432)
    proxy.silent_after = b"booking_payments_version"
    async with proxy.listening() as port:
        storage = SqlStorage.open(url.set(port=port).render_as_string(hide_password=False))

        assert not (await readiness.readiness(storage)).database

        proxy.silent_after = None
        assert (await readiness.readiness(storage)).ok
        await storage.close()


@ON_POSTGRESQL
@pytest.mark.parametrize(
    ("asked", "told"), [(b"AS given_subjects(place", StorageDown), (b"INSERT INTO bp_inbox", CommitLost)]
)
async def test_a_group_does_not_wait_for_it_without_end_either(
    database_url: str, asked: bytes, told: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LONGEST_S", 0.5)
    url = make_url(database_url)
    proxy = FaultyTcpProxy(url.port or 5432)
    proxy.silent_after = asked

    async def take_in(uow: UnitOfWork) -> None:
        if not await uow.inbox.find("evt_1"):
            await uow.inbox.put(entry())

    async with proxy.listening() as port:
        storage = SqlStorage.open(url.set(port=port).render_as_string(hide_password=False))

        with pytest.raises(told):
            await storage.transact(take_in, LockScope(event_id="evt_1"))

        proxy.silent_after = None
        await storage.transact(take_in, LockScope(event_id="evt_1"))
        assert len(await storage.read(lambda uow: uow.inbox.find("evt_1"))) == 1
        await storage.close()
