from collections.abc import Iterator

import pytest

from tests.unit.http.api import Api, open_api


@pytest.fixture
def api() -> Iterator[Api]:
    with open_api() as opened:
        yield opened
