"""The house in which the use cases are tried; ``tests/integration`` tries the same over SQL."""

import pytest

from booking_payments.testing.house import House


@pytest.fixture
def house() -> House:
    return House()
