"""Fixtures for every project that has booking-payments installed; pytest finds them by itself.

Nothing is imported before a fixture is asked for. The contract suites are classes to subclass: ``GatewayContract``,
``StorageContract`` and ``OverviewContract`` in the modules beside this one.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from booking_payments.adapters.memory.publisher import Consumer
    from booking_payments.testing.house import House
    from booking_payments.testing.sandbox import Sandbox
    from booking_payments.testing.sync import SyncHouse


@pytest.fixture
def payments_consumers() -> "Sequence[Consumer]":
    """The functions of the app that take messages: none, until a project has a fixture of this name itself."""
    return ()


@pytest.fixture
def payments_house_sync(payments_consumers: "Sequence[Consumer]") -> "Iterator[SyncHouse]":
    """``payments_house`` for tests without an event loop; consumers are called in the thread of the test."""
    from booking_payments.testing.sync import SyncHouse

    with SyncHouse(consumers=payments_consumers) as house:
        yield house


@pytest.fixture
def payments_house(payments_consumers: "Sequence[Consumer]") -> "House":
    """A house in memory: the use cases over the fake gateway, on a clock that stands until the test moves it."""
    from booking_payments.testing.house import House

    return House(consumers=payments_consumers)


@pytest.fixture(scope="session")
def payments_sandbox() -> "Iterator[Sandbox]":
    """Stripe's HTTP interface on a free port of this machine, for ``STRIPE_API_BASE``; one for the whole run."""
    from booking_payments.runtime.extras import extra

    with extra("http", "payments_sandbox"):
        from booking_payments.testing.sandbox import Sandbox
    with Sandbox() as sandbox:
        yield sandbox
