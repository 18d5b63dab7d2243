"""Fixtures for every project that has booking-payments installed; pytest finds them by itself.

Nothing is imported before a fixture is asked for. The contract suites are classes to subclass: ``GatewayContract``,
``StorageContract`` and ``OverviewContract`` in the modules beside this one.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from booking_payments.testing.house import House
    from booking_payments.testing.sandbox import Sandbox


@pytest.fixture
def payments_house() -> "House":
    """A house in memory: the use cases over the fake gateway, on a clock that stands until the test moves it."""
    from booking_payments.testing.house import House

    return House()


@pytest.fixture(scope="session")
def payments_sandbox() -> "Iterator[Sandbox]":
    """Stripe's HTTP interface on a free port of this machine, for ``STRIPE_API_BASE``; one for the whole run."""
    from booking_payments.extras import extra

    with extra("http", "payments_sandbox"):
        from booking_payments.testing.sandbox import Sandbox
    with Sandbox() as sandbox:
        yield sandbox
