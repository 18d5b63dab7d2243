"""The same events in another order lead to the same amounts and fees."""

from collections.abc import Callable
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking_payments.domain.fees import FeeOnRefund, FeePayer
from booking_payments.domain.lifecycle import DisputeStatus
from tests.nightly import NIGHTLY, examples
from tests.unit.domain.refund_histories import CONFIGS, HALF, ChargeConfig, RefundHistory

D = DisputeStatus
Step = Callable[[RefundHistory], Any]


def cancels(in_full: bool) -> Step:
    return lambda history: history.cancels(in_full=in_full)


def opens(share: int, status: DisputeStatus = D.NEEDS_RESPONSE) -> Step:
    moved = () if status is D.WARNING_NEEDS_RESPONSE else (-100,)
    return lambda history: history.bank(status, _part(history, share), moved)


def ends(share: int, status: DisputeStatus, moved: tuple[int, ...]) -> Step:
    return lambda history: history.bank(status, _part(history, share), moved)


def _part(history: RefundHistory, percent: int) -> int:
    step = history.config.step
    return max(history.payment.captured.minor * percent // 100 // step, 1) * step


def come_to(config: ChargeConfig, *steps: Step) -> dict[str, str]:
    history = RefundHistory(config)
    for step in steps:
        step(history)
    history.sends()
    return history.numbers


def split_fee(numbers: dict[str, str]) -> tuple[dict[str, str], Decimal]:
    """Return the amounts without the fee, and the sent and owed fee added."""
    fee = Decimal(numbers["fee"]) + Decimal(numbers["owed_fee"])
    return {name: value for name, value in numbers.items() if "fee" not in name}, fee


LOST, WON, PARTLY = (D.LOST, (-100,)), (D.WON, (-100, 100)), (D.LOST, (-100, 40))
WAYS = {"lost": LOST, "won": WON, "partly won": PARTLY, "prevented": (D.PREVENTED, (-100,))}


TERMS = list(product(FeePayer, FeeOnRefund, [True, False], [100, 60, 50, 30, 1], WAYS, [(), (HALF,)]))
"""All of them at night; by day one in seven, among which each value and each pair of two values is."""


@pytest.mark.parametrize(("payer", "fee", "in_full", "share", "way", "tiers"), TERMS if NIGHTLY else TERMS[::7])
def test_a_cancellation_before_the_end_of_a_dispute_equals_one_after_it(
    payer: FeePayer, fee: FeeOnRefund, in_full: bool, share: int, way: str, tiers: Any
) -> None:
    config = ChargeConfig(payer=payer, fee=fee, tiers=tiers)
    cancel, end = cancels(in_full), ends(share, *WAYS[way])

    before = come_to(config, opens(share), cancel, end)
    assert before == come_to(config, opens(share), end, cancel)
    assert before == come_to(config, end, cancel)


@given(CONFIGS, st.booleans(), st.integers(1, 100), st.sampled_from(sorted(WAYS)))
@settings(max_examples=examples(100))
def test_the_order_of_cancellation_and_end_of_dispute_does_not_matter_under_any_terms(
    config: ChargeConfig, in_full: bool, share: int, way: str
) -> None:
    cancel, end = cancels(in_full), ends(share, *WAYS[way])

    assert come_to(config, opens(share), cancel, end) == come_to(config, opens(share), end, cancel)


@given(CONFIGS, st.booleans(), st.integers(1, 100), st.sampled_from(["lost", "prevented", "partly won"]))
@settings(max_examples=examples(100))
def test_a_cancellation_with_a_failed_refund_before_the_dispute_equals_one_after_it(
    config: ChargeConfig, in_full: bool, share: int, way: str
) -> None:
    def fails(history: RefundHistory) -> None:
        history.cancels(in_full=in_full, end="failed")

    def again(history: RefundHistory) -> None:
        history.cancels(in_full=in_full)

    end = ends(share, *WAYS[way])
    amounts, fee = split_fee(come_to(config, fails, end, again))
    amounts_after, fee_after = split_fee(come_to(config, end, fails, again))
    assert amounts == amounts_after
    # In one order the failed refund is sent again whole, in the other in two parts, and each part's fee is rounded.
    assert abs(fee - fee_after) <= Decimal(1).scaleb(-config.currency.exponent)


@given(CONFIGS, st.booleans(), st.integers(1, 99), st.integers(1, 99))
@settings(max_examples=examples(100))
def test_two_disputes_may_end_in_any_order(config: ChargeConfig, in_full: bool, first: int, second: int) -> None:
    def dispute(status: DisputeStatus, name: str, share: int) -> Step:
        return lambda history: history.bank(status, _part(history, share), (-100,), name=name)

    second = min(second, 100 - first)
    opened = [dispute(D.NEEDS_RESPONSE, "du_1", first), dispute(D.NEEDS_RESPONSE, "du_2", second)]
    one, two = dispute(D.LOST, "du_1", first), dispute(D.LOST, "du_2", second)
    cancel = cancels(in_full)

    came_to = come_to(config, *opened, cancel, one, two)
    for order in ([cancel, two, one], [one, cancel, two], [two, cancel, one], [one, two, cancel]):
        assert came_to == come_to(config, *opened, *order)


@pytest.mark.parametrize("in_full", [True, False], ids=["full", "policy"])
@pytest.mark.parametrize("share", [100, 60, 30])
@pytest.mark.parametrize("tiers", [(), (HALF,)], ids=["all", "half"])
@pytest.mark.parametrize("fee", FeeOnRefund)
def test_a_dispute_that_is_won_after_it_was_lost_leaves_the_same_debt_in_every_order(
    in_full: bool, share: int, tiers: Any, fee: FeeOnRefund
) -> None:
    config = ChargeConfig(tiers=tiers, fee=fee)
    lost, cancel = ends(share, *LOST), cancels(in_full)
    won = ends(share, *WON)

    orders = [
        come_to(config, opens(share), cancel, lost, won),
        come_to(config, opens(share), lost, cancel, won),
        come_to(config, opens(share), lost, won, cancel),
    ]
    sums = [(Decimal(each["refunded"]) + Decimal(each["owed"]), Decimal(each["taken"])) for each in orders]
    fees = [Decimal(each["fee"]) + Decimal(each["owed_fee"]) for each in orders]
    assert sums == [sums[-1]] * 3
    assert fees == [fees[-1]] * 3
