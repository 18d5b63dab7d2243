"""Databases for the tests: SQLite files and a real PostgreSQL; each test has an empty one."""

import zlib
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.testing.kit import PaymentsTestKit
from tests.nightly import NIGHTLY

HERE = Path(__file__).parent
DATABASES = ("sqlite", "postgresql")
IN_TURN = frozenset(
    {
        "test_audit",
        "test_bank_transfers",
        "test_manual",
        "test_refunded_items",
        "test_sql_books",
        "test_sums",
    }
)
"""Modules whose tests by day use one of the two databases each, in turn, and both in the nightly run."""


@pytest.hookimpl(trylast=True)  # after -k and -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """By day leave out the other database of each test of ``IN_TURN``, if both are selected.

    The first case of a test uses a database that depends on its name, and its other cases use the two in turn.
    """
    if NIGHTLY:
        return
    cases: dict[tuple[str, str], dict[str, dict[str, pytest.Item]]] = defaultdict(lambda: defaultdict(dict))
    for item in items:
        database = item.callspec.params.get("database_url") if hasattr(item, "callspec") else None
        if isinstance(item, pytest.Function) and item.path.stem in IN_TURN and database in DATABASES:
            test = item.originalname
            if item.path.parent == HERE:
                group = item.parent.nodeid if item.parent else ""
                cases[group, test][item.name.replace(database, "")][database] = item
    left_out = []
    for (_, test), by_case in cases.items():
        first = zlib.crc32(test.encode())
        for number, (_, in_each) in enumerate(sorted(by_case.items())):
            if len(in_each) == len(DATABASES):
                left_out.append(in_each[DATABASES[(first + number) % 2]])
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [each for each in items if each not in gone]


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
