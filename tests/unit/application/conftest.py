"""The storages over which the use cases are tested: in memory, and for the modules of ``OVER_SQL`` also in databases.

``pytest tests/unit -m "not sql"`` leaves the databases out.
"""

from collections.abc import AsyncIterator

import pytest

from booking_payments.adapters.memory.stores import MemoryStorage
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.ports.storage import Storage
from booking_payments.testing.house import House
from tests.integration.conftest import postgres_copy, postgres_template, sqlite_template

__all__ = ["postgres_copy", "postgres_template", "sqlite_template"]

OVER_SQL = frozenset(
    {
        "test_adopting",
        "test_bookings",
        "test_delivering",
        "test_facade",
        "test_figures",
        "test_gateway_faults",
        "test_idempotency",
        "test_giving_up",
        "test_late_payments",
        "test_ledger_check",
        "test_lost_intents",
        "test_paying",
        "test_reconcile",
        "test_refunding",
        "test_refunds_owed",
        "test_replay",
        "test_resuming",
        "test_rounds",
        "test_stuck_queues",
        "test_unknown_outcomes",
        "test_webhooks",
    }
)
"""The modules whose tests run over memory, SQLite and PostgreSQL; those of all others run over memory only."""

STORAGES = ["memory", *(pytest.param(name, marks=pytest.mark.sql) for name in ("sqlite", "postgresql"))]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let the tests of ``OVER_SQL`` that use a storage run over each.

    Those that need many ``stuck`` things try all numbers in memory, and as many as one round takes in the databases.
    """
    if "stuck" in metafunc.fixturenames and "database_url" in metafunc.fixturenames:
        in_sql = [pytest.param(name, 100, marks=pytest.mark.sql) for name in ("sqlite", "postgresql")]
        cases = [*(("memory", number) for number in (99, 100, 300)), *in_sql]
        metafunc.parametrize(("database_url", "stuck"), cases, indirect=["database_url"])
        return
    if "database_url" in metafunc.fixturenames and metafunc.module.__name__.rpartition(".")[2] in OVER_SQL:
        metafunc.parametrize("database_url", STORAGES, indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str | None:
    """The SQLAlchemy URL of an empty, migrated database of the test's own; None for a test over memory."""
    match getattr(request, "param", "memory"):
        case "postgresql":
            return str(request.getfixturevalue("postgres_copy"))
        case "sqlite":
            path = request.getfixturevalue("tmp_path") / "books.db"
            path.write_bytes(request.getfixturevalue("sqlite_template").read_bytes())
            return f"sqlite:///{path}"
        case _:
            return None


@pytest.fixture
async def storage(database_url: str | None) -> AsyncIterator[Storage]:
    """An empty storage."""
    if database_url is None:
        yield MemoryStorage()
        return
    storage = SqlStorage.open(database_url)
    yield storage
    await storage.close()


@pytest.fixture
def house(storage: Storage) -> House:
    """An installation over the storage."""
    return House(storage=storage)
