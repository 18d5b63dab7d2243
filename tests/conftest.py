"""What every test may ask for."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests import egress
from tests.integration.postgres import Server, running_server

egress.install()


@pytest.fixture(autouse=True)
def nothing_leaves_this_machine() -> Iterator[None]:
    """Fail a test that tried to reach another machine, even if the code under test took the refusal in its stride."""
    egress.attempts.clear()
    yield
    assert egress.attempts == []


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """One PostgreSQL for the whole run, started when the first test asks for it."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """The SQLAlchemy URL of an empty PostgreSQL database that belongs to the test module."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The service runs on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
async def one_event_loop(anyio_backend: str) -> AsyncIterator[None]:
    """Keep one event loop for the whole run: a new one for each test would cost more than most tests."""
    yield  # noqa: PT022 - the open generator is what keeps the loop
