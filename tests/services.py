"""The services of an app over the in-memory test kit, for tests, benchmarks and the recorded examples."""

from typing import Final

from booking_payments.runtime.rate_limits import RateLimits
from booking_payments.runtime.services import Readiness, Services
from booking_payments.runtime.settings import Settings
from booking_payments.testing.kit import PaymentsTestKit

READY: Final = Readiness(database=True, migrations=True)


def services_over(
    kit: PaymentsTestKit, settings: Settings, *, readiness: Readiness = READY, limits: RateLimits | None = None
) -> Services:
    """Return the services with the kit's gateway, storage and clock.

    Args:
        kit: the test kit.
        settings: those of the app.
        readiness: what ``/health/ready`` reports.
        limits: the rate limits; None: no limits.
    """

    async def ready() -> Readiness:
        return readiness

    return Services(
        payments=kit.payments,
        gateway=kit.deps.gateway,
        storage=kit.storage,
        clock=kit.clock,
        ids=kit.deps.ids,
        settings=settings,
        ready=ready,
        sandbox=kit.stripe,
        limits=limits,
    )
