"""Databases for the tests: SQLite files and a real PostgreSQL; each test has an empty one."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from booking_payments.adapters.sql.migrations import migrate
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.testing.kit import PaymentsTestKit
from tests.integration.postgres import PostgresServer, sees_our_tables
from tests.sharing import SHARED, shared


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty, migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("template") / "empty.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(request: pytest.FixtureRequest, run_folder: Path, postgres_server: PostgresServer) -> str:
    """The URL of an empty, migrated PostgreSQL database, to be copied; one for all workers of the run."""

    @contextmanager
    def migrated() -> Iterator[str]:
        with postgres_server.database() as url:
            migrate(url)
            yield url

    return request.config.stash[SHARED].enter_context(shared(run_folder, "postgres-template", migrated))


@pytest.fixture
def postgres_copy(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """A PostgreSQL database of the test's own."""
    with copied(postgres_server, postgres_template) as url:
        yield url


@contextmanager
def copied(server: PostgresServer, template_url: str) -> Iterator[str]:
    """The URL of a new copy of a PostgreSQL database, dropped at the end."""
    base, _, template = template_url.rpartition("/")
    name = f"case_{uuid4().hex}"
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        connection.execute(sees_our_tables(name))
        yield f"{base}/{name}"
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty, migrated database of the test's own."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_copy"))
    path = tmp_path / "books.db"
    path.write_bytes(request.getfixturevalue("sqlite_template").read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
async def storage(database_url: str) -> AsyncIterator[SqlStorage]:
    """Storage over an empty database."""
    storage = SqlStorage.open(database_url)
    yield storage
    await storage.close()


@pytest.fixture
def kit(storage: SqlStorage) -> PaymentsTestKit:
    """A test kit over an SQL database."""
    return PaymentsTestKit(storage=storage)
