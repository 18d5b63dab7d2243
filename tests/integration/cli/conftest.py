"""Databases that the tests of a module share, where no test changes them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.copies import Copies


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty, migrated database of the test module's own."""
    if request.param == "postgresql":
        copies: Copies = request.getfixturevalue("postgres_copies")
        with copies.one() as url:
            yield url
        return
    template: Path = request.getfixturevalue("sqlite_template")
    path = tmp_path_factory.mktemp("module") / "books.db"
    path.write_bytes(template.read_bytes())
    yield f"sqlite:///{path}"
