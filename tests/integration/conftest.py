"""Databases for the tests: SQLite files and a real PostgreSQL; each test has an empty one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.testing.kit import PaymentsTestKit


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
