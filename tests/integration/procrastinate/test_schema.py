"""The job queue's tables: part of the initial schema, and the same as the library's that is installed."""

from pathlib import Path

import psycopg
import pytest
from alembic import command
from procrastinate.schema import SchemaManager
from sqlalchemy import create_engine

from booking_payments.adapters.sql import migrations
from booking_payments.adapters.sql.migrations import migrate

FROZEN = Path(migrations.__file__).parent / "procrastinate.sql"


def test_the_frozen_schema_is_the_one_of_the_version_that_is_allowed() -> None:
    assert FROZEN.read_text() == SchemaManager.get_schema()


def test_migrate_makes_the_job_queue_on_postgresql(postgres_copy: str) -> None:
    assert "procrastinate_jobs" in _tables(postgres_copy)


def test_migrating_again_changes_nothing(postgres_copy: str) -> None:
    before = _tables(postgres_copy)

    migrate(postgres_copy)

    assert _tables(postgres_copy) == before


def test_the_job_queue_can_be_taken_away_and_made_again(postgres_copy: str) -> None:
    engine = create_engine(postgres_copy)
    with engine.begin() as connection:
        command.downgrade(migrations._config(connection), "base")
    engine.dispose()
    without = {each for each in _tables(postgres_copy) if each.startswith("procrastinate")}

    migrate(postgres_copy)

    assert without == set()
    assert "procrastinate_jobs" in _tables(postgres_copy)


@pytest.mark.parametrize("name", ["procrastinate_jobs", "procrastinate_events"])
def test_sqlite_has_no_job_queue(sqlite_template: Path, name: str) -> None:
    assert name.encode() not in sqlite_template.read_bytes()


def _tables(url: str) -> set[str]:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'booking_payments'").fetchall()
    return {name for (name,) in rows}
