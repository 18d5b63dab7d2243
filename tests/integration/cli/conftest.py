"""Databases for the commands: by day each test or module has one of the two, at night both."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.copies import Copies
from tests.nightly import NIGHTLY

BOTH = ("sqlite", "postgresql")


@pytest.fixture(params=BOTH if NIGHTLY else ["one"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty, migrated database of the test's own, by day one that the name of the test decides on."""
    kind = request.param if NIGHTLY else BOTH[zlib.crc32(request.node.name.encode()) % 2]
    if kind == "postgresql":
        return str(request.getfixturevalue("postgres_copy"))
    path = tmp_path / "books.db"
    path.write_bytes(request.getfixturevalue("sqlite_template").read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture(scope="module", params=BOTH if NIGHTLY else ["one"])
def module_database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty, migrated database of the test module's own, by day one that the name of the module decides on."""
    kind = request.param if NIGHTLY else BOTH[zlib.crc32(request.module.__name__.encode()) % 2]
    if kind == "postgresql":
        copies: Copies = request.getfixturevalue("postgres_copies")
        with copies.one() as url:
            yield url
        return
    template: Path = request.getfixturevalue("sqlite_template")
    path = tmp_path_factory.mktemp("module") / "books.db"
    path.write_bytes(template.read_bytes())
    yield f"sqlite:///{path}"
