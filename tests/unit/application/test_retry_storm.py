"""When the gateway fails for all requests at once, retries do not add load."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

import anyio
import attrs
import pytest

from booking_payments.adapters.gateways.stripe.gateway import StripeGateway, TransportResponse
from booking_payments.adapters.gateways.stripe.rate_limit import RateLimitedTransport
from booking_payments.adapters.gateways.stripe.requests import Params
from booking_payments.application.dependencies import PaymentConfig
from booking_payments.application.payments import BookingPayments
from booking_payments.domain.errors import TryAgainLater
from booking_payments.ports.gateway import GatewayError, NotSent, OutcomeAmbiguous
from booking_payments.testing.kit import ANN, NOW, PaymentsTestKit
from tests.event_loop import all_tasks_blocked
from tests.nightly import NIGHTLY

PAYMENTS = 1_000 if NIGHTLY else 150
MAX_PER_S, MAX_CONCURRENT = 20, 10


class JumpingClock:
    """A clock shared by all tasks: it stands still while a task is running, and then jumps to the time at which the
    next one wakes.
    """

    TICK = timedelta(milliseconds=100)

    def __init__(self) -> None:
        self._now = NOW
        self._sleepers: dict[datetime, anyio.Event] = {}

    def now(self) -> datetime:
        return self._now

    async def sleep(self, duration: timedelta) -> None:
        ticks = -(-duration // self.TICK)
        await self._sleepers.setdefault(self._now + ticks * self.TICK, anyio.Event()).wait()

    async def run(self) -> None:
        """Jump for ever."""
        while True:
            await all_tasks_blocked()
            if self._sleepers:
                self._now = min(self._sleepers)
                self._sleepers.pop(self._now).set()


class FailingTransport:
    """A failing Stripe: every request takes a second and ends in the same error. Counts the requests."""

    def __init__(self, clock: JumpingClock, error: Callable[[], GatewayError]) -> None:
        self._clock, self._error = clock, error
        self.by_key: Counter[str | None] = Counter()
        self.at: list[float] = []
        self.at_once = self.most_at_once = 0

    async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> TransportResponse:
        self.by_key[idempotency_key] += 1
        self.at.append(self._clock.now().timestamp())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self._clock.sleep(timedelta(seconds=1))
        self.at_once -= 1
        raise self._error()


def stricken(
    error: Callable[[], GatewayError], max_per_s: int = MAX_PER_S, max_concurrent: int = MAX_CONCURRENT
) -> tuple[PaymentsTestKit, JumpingClock, FailingTransport]:
    """A test kit whose gateway fails, with the default rate limits."""
    kit, clock = PaymentsTestKit(config=PaymentConfig(max_unpaid_bookings=0)), JumpingClock()
    line = FailingTransport(clock, error)

    async def sleep(seconds: float) -> None:
        await clock.sleep(timedelta(seconds=seconds))

    limited = RateLimitedTransport(
        line,
        max_per_s=max_per_s,
        max_concurrent=max_concurrent,
        now=lambda: clock.now().timestamp(),
        sleep=sleep,
    )
    kit.deps = attrs.evolve(kit.deps, gateway=StripeGateway(limited, livemode=False), clock=clock)
    kit.payments = BookingPayments(kit.deps)
    return kit, clock, line


async def storm(kit: PaymentsTestKit, clock: JumpingClock, size: int) -> int:
    """Let all customers pay at the same time; return how many are refused with a request to try later."""
    bookings = [await kit.book(reference=f"R-{number}") for number in range(size)]
    told = 0

    async def pay(booking_id: str) -> None:
        nonlocal told
        with pytest.raises(TryAgainLater):
            await kit.payments.start_payment(
                booking_id, ANN, payment_method_id="pm_card_visa", confirm_immediately=True
            )
        told += 1

    async with anyio.create_task_group() as time:
        time.start_soon(clock.run)
        async with anyio.create_task_group() as customers:
            for booking in bookings:
                customers.start_soon(pay, booking.id)
        time.cancel_scope.cancel()
    return told


FAILURES = {
    "silence": lambda: OutcomeAmbiguous("no answer", code="timeout"),
    "no way": lambda: NotSent("down", code="down"),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_any_number_of_failing_payments_makes_at_most_three_calls_each(failure: str) -> None:
    kit, clock, line = stricken(FAILURES[failure], max_per_s=0, max_concurrent=0)

    assert await storm(kit, clock, PAYMENTS) == PAYMENTS
    assert line.by_key.total() == 3 * PAYMENTS
    assert max(line.by_key.values()) == 3


async def test_retries_are_sent_at_the_limited_rate() -> None:
    kit, clock, line = stricken(FAILURES["silence"], max_concurrent=0)
    await storm(kit, clock, 100)

    # The saved-up burst may be sent at once, then the rate per second applies.
    assert most_in_a_second(line.at) <= 2 * MAX_PER_S


async def test_concurrent_requests_are_limited() -> None:
    kit, clock, line = stricken(FAILURES["silence"], max_per_s=0)
    await storm(kit, clock, 100)

    assert line.most_at_once == MAX_CONCURRENT


def most_in_a_second(at: list[float]) -> int:
    return max(bisect_left(at, each + 1) - index for index, each in enumerate(at))
