"""What the domain's own work costs, without a database: ``python -m pytest bench/test_domain.py``."""

import asyncio
from itertools import count

import attrs
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.seed import Pattern, make_pattern
from booking_payments.domain import decisions
from booking_payments.domain.events import Recorded
from booking_payments.domain.fees import FeePolicy
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import evolve, fold
from booking_payments.domain.reports import IntentReport


@pytest.fixture(scope="module")
def pattern() -> Pattern:
    """A payment in ``processing`` with its booking and its journal of six events."""
    return asyncio.run(make_pattern("10.99", "usd"))


@pytest.fixture(scope="module")
def report(pattern: Pattern) -> IntentReport:
    """The gateway's news that it has succeeded."""
    amount = pattern.payment.amount
    return IntentReport(
        id=pattern.payment.intent_id or "",
        status=PaymentStatus.SUCCEEDED,
        amount=amount,
        amount_received=amount,
        amount_capturable=Money.zero(amount.currency),
        charge_id="ch_1",
    )


@pytest.fixture(scope="module")
def succeeded(pattern: Pattern, report: IntentReport) -> Recorded:
    """The event that follows from it."""
    event = decisions.observe_intent(pattern.payment, report, pattern.booking, alone=True)[0]
    return attrs.evolve(pattern.journal[-1], sequence=len(pattern.journal) + 1, event=event)


def test_decide_what_a_success_means(benchmark: BenchmarkFixture, pattern: Pattern, report: IntentReport) -> None:
    events = benchmark(decisions.observe_intent, pattern.payment, report, pattern.booking, alone=True)

    assert len(events) == 2


def test_evolve_by_one_event(benchmark: BenchmarkFixture, pattern: Pattern, succeeded: Recorded) -> None:
    paid = benchmark(evolve, pattern.payment, succeeded)

    assert paid.status is PaymentStatus.SUCCEEDED


def test_fold_a_journal_of_six_events(benchmark: BenchmarkFixture, pattern: Pattern) -> None:
    assert benchmark(fold, pattern.journal) == pattern.payment


def test_quote_a_refund(benchmark: BenchmarkFixture, pattern: Pattern, succeeded: Recorded) -> None:
    refundable = evolve(pattern.payment, succeeded).refundable

    quote = benchmark(refundable.quote, succeeded.at, None)

    assert quote.allowed


def test_work_out_the_fee_of_an_amount(benchmark: BenchmarkFixture) -> None:
    amounts = count(10_000)

    breakdown = benchmark(lambda: FeePolicy().of_booking(Money(next(amounts), Currency.USD)))

    assert breakdown.fee.minor > 0
