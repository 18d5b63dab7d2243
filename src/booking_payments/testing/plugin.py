"""Fixtures for every project that has booking-payments installed; pytest finds them by itself.

Nothing is imported before a fixture is asked for. The contract suites are classes to subclass: ``GatewayContract``,
``StorageContract`` and ``OverviewContract`` in the modules beside this one.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from booking_payments.adapters.memory.publisher import Consumer
    from booking_payments.testing.kit import PaymentsTestKit
    from booking_payments.testing.sandbox import Sandbox
    from booking_payments.testing.sync import SyncPaymentsTestKit


@pytest.fixture
def payments_consumers() -> "Sequence[Consumer]":
    """The functions of the app that take messages: none, until a project has a fixture of this name itself."""
    return ()


@pytest.fixture
def payments_kit_sync(payments_consumers: "Sequence[Consumer]") -> "Iterator[SyncPaymentsTestKit]":
    """``payments_kit`` for tests without an event loop; consumers are called in the thread of the test."""
    from booking_payments.testing.sync import SyncPaymentsTestKit

    with SyncPaymentsTestKit(consumers=payments_consumers) as kit:
        yield kit


@pytest.fixture
def payments_kit(payments_consumers: "Sequence[Consumer]") -> "PaymentsTestKit":
    """The use cases over the fake gateway and an in-memory database, with a clock that only the test sets."""
    from booking_payments.testing.kit import PaymentsTestKit

    return PaymentsTestKit(consumers=payments_consumers)


@pytest.fixture(scope="session")
def payments_sandbox() -> "Iterator[Sandbox]":
    """Stripe's HTTP interface on a free port of this machine, for ``STRIPE_API_BASE``; one for the whole run."""
    from booking_payments.runtime.extras import extra

    with extra("http", "payments_sandbox"):
        from booking_payments.testing.sandbox import Sandbox
    with Sandbox() as sandbox:
        yield sandbox
