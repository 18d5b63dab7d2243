"""Migrations happen wholly or not at all, and once, however many processes start at the same time."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command, op
from alembic.script import ScriptDirectory
from anyio import to_thread
from sqlalchemy import create_engine, inspect

from booking_payments.adapters.sql import migrations
from booking_payments.adapters.sql.engine import normalize_url
from booking_payments.adapters.sql.migrations import CannotMigrateError, current, head, migrate
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.adapters.sql.tables import metadata
from booking_payments.ports.schema_name import VERSION_TABLE
from booking_payments.testing.payment_builder import booking
from booking_payments.testing.storage_contract import store
from tests import preloaded


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
    words = ["-c", code, bare_url]
    started = [preloaded.started(words, cwd=Path.cwd(), env=os.environ, stderr=preloaded.PIPE) for _ in range(3)]

    ended = [(process.communicate(timeout=60)[1], process.returncode) for process in started]

    assert ended == [("", 0)] * 3


def test_on_sqlite_a_migration_waits_a_minute_for_another_one(tmp_path: Path) -> None:
    engine = migrations._engine(normalize_url(f"sqlite:///{tmp_path / 'bare.db'}"))

    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == 60_000
    engine.dispose()


def test_a_database_of_a_newer_release_is_left_alone(bare_url: str) -> None:
    migrate(bare_url)
    _run(bare_url, "UPDATE booking_payments_version SET version_num = '9999'")

    with pytest.raises(CannotMigrateError, match="9999"):
        migrate(bare_url)


def test_a_downgrade_drops_every_table_and_migrating_again_creates_them(bare_url: str) -> None:
    migrate(bare_url)
    created = _tables(bare_url)

    _downgrade(bare_url)

    assert _tables(bare_url) == {VERSION_TABLE}
    assert migrate(bare_url) == head()
    assert _tables(bare_url) == created


async def test_a_downgrade_is_refused_while_there_are_bookings(storage: SqlStorage, database_url: str) -> None:
    await store(storage, booking(1))
    await storage.engine.dispose()

    with pytest.raises(RuntimeError, match="has bookings"):
        await to_thread.run_sync(_downgrade, database_url)

    assert await storage.read(lambda uow: uow.bookings.get("bk_1")) == booking(1)
    assert await current(storage.engine) == head()


def _downgrade(url: str) -> None:
    engine = migrations._engine(normalize_url(url))
    try:
        with engine.begin() as connection:
            command.downgrade(migrations._config(connection), "base")
    finally:
        engine.dispose()


@pytest.mark.parametrize("bare_url", ["postgresql"], indirect=True)
def test_the_job_queue_of_another_application_is_left_alone(bare_url: str) -> None:
    _run(bare_url, "CREATE SCHEMA booking_payments CREATE TABLE procrastinate_jobs (id bigint)")

    with pytest.raises(CannotMigrateError, match="Procrastinate"):
        migrate(bare_url)

    assert _tables(bare_url) == {"procrastinate_jobs"}


@pytest.mark.parametrize("bare_url", ["postgresql"], indirect=True)
def test_tables_in_another_schema_do_not_conflict(bare_url: str) -> None:
    _run(bare_url, "CREATE TABLE public.procrastinate_jobs (id bigint)")

    assert migrate(bare_url) == head()


def _run(url: str, statement: str) -> None:
    parsed = normalize_url(url)
    engine = create_engine(parsed.set(drivername="sqlite") if parsed.get_backend_name() == "sqlite" else parsed)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
