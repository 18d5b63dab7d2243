import pytest

from tests.conforming import every_answer_conforms  # noqa: F401 - a fixture for all tests here

from .shop import Shop


@pytest.fixture
def shop() -> Shop:
    return Shop()
