"""What every test may ask for."""

from collections.abc import Iterator

import pytest

from tests.integration.postgres import Server, running_server


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
