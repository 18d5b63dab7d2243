import pytest

from tests.stripe_openapi_checker import every_answer_conforms  # noqa: F401 - a fixture for all tests here

from .stripe_account import StripeAccountClient


@pytest.fixture
def account() -> StripeAccountClient:
    return StripeAccountClient()
