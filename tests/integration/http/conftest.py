from collections.abc import Iterator

import pytest

from tests.integration.http.api import Api, moved_in, open_api


@pytest.fixture(scope="package")
def shared_api() -> Iterator[Api]:
    with open_api() as opened:
        yield opened


@pytest.fixture
def api(shared_api: Api) -> Api:
    return moved_in(shared_api)
