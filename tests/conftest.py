"""What every test may ask for."""

import gc
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import egress, message_schemas, preloaded
from tests.sharing import SHARED, folder_of_the_run, shared

if TYPE_CHECKING:
    from tests.integration.copies import Copies
    from tests.integration.postgres import PostgresServer

egress.install()
message_schemas.install()

# When it is imported, jsonschema builds forty grammars with this package, which takes two seconds in every worker. They
# are for checks of the formats of addresses, and no test asks jsonschema for formats.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

# The same examples in every run, nothing kept between runs, and no judgement on how long an example took. Loaded here,
# before any test module is: a test has the profile that is loaded when its module is imported.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None, max_examples=25)
settings.load_profile("repeatable")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """For ``-n auto`` one worker more than there are cores: it works while others wait for processes, databases and
    servers. For ``-n logical``, with tests that wait for nothing, as many as there are cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if config.getoption("numprocesses") == "logical" else cores + 1


def pytest_configure(config: pytest.Config) -> None:
    """Create the stack of resources that this process shares with the other workers of the run."""
    config.stash[SHARED] = ExitStack()
    gc.disable()  # until all tests are collected


def pytest_collection_finish() -> None:
    """Exclude all imported and collected objects from garbage collection, and run it less often.

    Otherwise it takes a tenth to a fifth of the run.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the shared servers here and not in a fixture, so that waiting for other workers does not count as a test's
    time."""
    session.config.stash[SHARED].close()


@pytest.fixture(autouse=True)
def nothing_leaves_this_machine() -> Iterator[None]:
    """Fail a test that tried to reach another machine, even if the code under test took the refusal in its stride."""
    egress.attempts.clear()
    yield
    assert egress.attempts == []


@pytest.fixture(autouse=True)
def messages_are_as_their_schemas_say() -> Iterator[None]:
    """Fail a test in which a message was written that its type's schema does not allow."""
    message_schemas.wrong.clear()
    yield
    assert message_schemas.wrong == []


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all workers of the run know."""
    return folder_of_the_run(tmp_path_factory)


@pytest.fixture(scope="session", autouse=True)
def preloaded_processes(request: pytest.FixtureRequest, run_folder: Path) -> None:
    """One server of Python processes for the whole run, started when the first test of any worker wants one."""
    preloaded.share(run_folder, request.config.stash[SHARED])


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest, run_folder: Path) -> "PostgresServer":
    """One PostgreSQL for the whole run, started when the first test of any worker asks for it."""
    from tests.integration.postgres import PostgresServer, server_dsn

    stack = request.config.stash[SHARED]
    return PostgresServer(stack.enter_context(shared(run_folder, "postgres", server_dsn)))


@pytest.fixture(scope="module")
def postgres_url(postgres_server: "PostgresServer") -> Iterator[str]:
    """The SQLAlchemy URL of an empty PostgreSQL database that belongs to the test module."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty, migrated SQLite file, to be copied."""
    from booking_payments.adapters.sql.migrations import migrate

    path = tmp_path_factory.mktemp("template") / "empty.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(request: pytest.FixtureRequest, run_folder: Path, postgres_server: "PostgresServer") -> str:
    """The URL of an empty, migrated PostgreSQL database, to be copied; one for all workers of the run."""
    from booking_payments.adapters.sql.migrations import migrate

    @contextmanager
    def migrated() -> Iterator[str]:
        with postgres_server.database() as url:
            migrate(url)
            yield url

    return request.config.stash[SHARED].enter_context(shared(run_folder, "postgres-template", migrated))


@pytest.fixture(scope="session")
def postgres_copies(postgres_server: "PostgresServer", postgres_template: str) -> "Iterator[Copies]":
    """Databases that tests of this worker have left and that are empty again."""
    from tests.integration.copies import Copies

    with Copies(postgres_server, postgres_template) as copies:
        yield copies


@pytest.fixture
def postgres_copy(postgres_copies: "Copies") -> Iterator[str]:
    """A PostgreSQL database of the test's own."""
    with postgres_copies.one() as url:
        yield url


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The service runs on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
async def one_event_loop(anyio_backend: str) -> AsyncIterator[None]:
    """Keep one event loop for the whole run: a new one for each test would cost more than most tests."""
    yield  # noqa: PT022 - the open generator is what keeps the loop
