"""The storages of these tests: in memory, and for the modules of ``OVER_SQL`` also a database.

By day one in eight tests has a database, and which one depends on the test's name, so that each database gets half of
them in every run; with ``SIMULATION=nightly`` each test runs with both. Contracts of storage run with every storage
(tests/integration/test_sql_storage.py). ``pytest tests/unit -m "not sql"`` leaves the databases out.
"""

import zlib
from collections.abc import AsyncIterator

import pytest

from booking_payments.adapters.memory.stores import MemoryStorage
from booking_payments.ports.storage import Storage
from booking_payments.testing.kit import PaymentsTestKit
from tests.nightly import NIGHTLY

OVER_SQL = frozenset(
    {
        "test_adopting",
        "test_bookings",
        "test_delivering",
        "test_exporting",
        "test_facade",
        "test_figures",
        "test_gateway_faults",
        "test_idempotency",
        "test_giving_up",
        "test_holds",
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
        "test_stored_errors",
        "test_stuck_queues",
        "test_unknown_outcomes",
        "test_webhooks",
    }
)
"""The modules whose tests run in memory and with databases; the others run in memory only."""

DATABASES = ("sqlite", "postgresql")


ONE_PASS = 100 if NIGHTLY else 10
"""How many entries a pass through a queue takes: at night the product's number, by day a smaller one
(test_stuck_queues)."""

ONE_IN = 8
ONE_IN_OF_THE_LONG = dict.fromkeys(["test_exporting", "test_reconcile", "test_resuming", "test_stored_errors"], 12)
"""By day only one in so many tests of a module has a database, fewer where each runs the background work over hours of
the clock, which takes seconds in a database: the rule that they are about reads and writes nothing by itself."""


def databases_for(module: str, test: str) -> tuple[str, ...]:
    """Return the databases for ``test``, in addition to memory: one of them, or both in the nightly run."""
    if NIGHTLY:
        return DATABASES
    number = zlib.crc32(test.encode())
    return (DATABASES[number % 2],) if number // 2 % ONE_IN_OF_THE_LONG.get(module, ONE_IN) == 0 else ()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of ``OVER_SQL`` that use a storage with each storage. Tests with a parameter ``stuck`` use every
    number in memory, and only the size of one pass in the databases.
    """
    module = metafunc.module.__name__.rpartition(".")[2]
    databases = databases_for(module, metafunc.function.__name__)
    if "stuck" in metafunc.fixturenames and "database_url" in metafunc.fixturenames:
        in_sql = [pytest.param(name, ONE_PASS, marks=pytest.mark.sql) for name in databases]
        cases = [*(("memory", number) for number in (ONE_PASS - 1, ONE_PASS, 3 * ONE_PASS)), *in_sql]
        metafunc.parametrize(("database_url", "stuck"), cases, indirect=["database_url"])
        return
    if "database_url" in metafunc.fixturenames and module in OVER_SQL:
        over = ["memory", *(pytest.param(name, marks=pytest.mark.sql) for name in databases)]
        metafunc.parametrize("database_url", over, indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str | None:
    """The SQLAlchemy URL of an empty, migrated database for this test; None for a test in memory."""
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
    from booking_payments.adapters.sql.storage import SqlStorage

    storage = SqlStorage.open(database_url)
    yield storage
    await storage.close()


@pytest.fixture
def kit(storage: Storage) -> PaymentsTestKit:
    """An in-memory installation with this storage."""
    return PaymentsTestKit(storage=storage)
