"""The returned fee: never negative, never above the fee, and exact to the minor unit after any failed refund."""

from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from booking_payments.domain.fees import FeeOnRefund, FeePayer
from booking_payments.domain.refunds import RefundTier
from tests.nightly import examples
from tests.unit.domain.builders import STARTS, usd
from tests.unit.domain.refund_histories import CONFIGS, ENDS, ChargeConfig, RefundHistory

RETURNED, KEPT = FeeOnRefund.RETURNED, FeeOnRefund.KEPT
CENT_FEE = ChargeConfig(price=200, rate=Decimal("0.005"), fee=RETURNED)
"""2.00 with a fee of 0.01."""


# --- literal cases ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("end", ["refused", "failed"])
@pytest.mark.parametrize("fee", [KEPT, RETURNED])
def test_a_full_cancellation_with_a_failed_refund_returns_its_fee_before_and_after_the_event(
    started: bool, end: Any, fee: FeeOnRefund
) -> None:
    history = RefundHistory(ChargeConfig(fee=fee))
    history.cancels(in_full=True, end=end)
    if started:
        history.starts()

    assert history.asks() is None
    assert (history.payment.refunded, history.payment.fee_returned) == (usd("100.00"), usd("3.00"))
    assert (history.numbers["owed"], history.numbers["owed_fee"]) == ("0.00", "0.00")


def test_the_parts_of_a_fee_of_one_cent_add_up_after_a_failed_refund() -> None:
    history = RefundHistory(CENT_FEE)
    history.asks(100)
    history.fails_late()
    for minor in (50, 100, 50):
        assert history.asks(minor) is None

    assert (history.payment.refunded, history.payment.fee_returned) == (usd("2.00"), usd("0.01"))
    assert all(refund.fee_refunded >= usd("0") for refund in history.payment.refunds)


def test_failed_refunds_return_no_fee() -> None:
    history = RefundHistory(CENT_FEE)
    for _ in range(6):
        assert history.asks(200, "failed") is None
    failing = history.payment.fee_returned

    assert history.asks(200) is None
    assert (failing, history.payment.fee_returned) == (usd("0"), usd("0.01"))
    assert [refund.fee_refunded for refund in history.payment.refunds] == [usd("0.01")] * 7


def test_no_refund_has_a_negative_fee() -> None:
    history = RefundHistory(CENT_FEE)
    for minor, end in ((100, "succeeded"), (50, "succeeded"), (50, "failed"), (30, "succeeded"), (20, "succeeded")):
        assert history.asks(minor, end) is None  # type: ignore[arg-type]
    history.fails_late(1)
    assert history.asks() is None

    assert all(usd("0") <= refund.fee_refunded <= usd("0.01") for refund in history.payment.refunds)
    assert (history.payment.refunded, history.payment.fee_returned) == (usd("2.00"), usd("0.01"))


@pytest.mark.parametrize(
    ("payer", "first", "rest", "fee"),
    [(FeePayer.CUSTOMER, "100.00", "3.00", "3.00"), (FeePayer.ORGANIZER, "100.00", "0.00", "0.00")],
)
def test_when_the_organizer_cancels_a_fee_kept_by_an_earlier_refund_is_refunded(
    payer: FeePayer, first: str, rest: str, fee: str
) -> None:
    history = RefundHistory(ChargeConfig(payer=payer))
    history.asks()
    taken_back = history.payment.refunded
    history.starts()
    history.cancels(in_full=True)

    assert (taken_back, history.payment.refunded - taken_back) == (usd(first), usd(rest))
    assert history.payment.fee_returned == usd(fee)


def test_an_override_above_the_net_returns_the_customers_fee() -> None:
    history = RefundHistory(ChargeConfig(payer=FeePayer.CUSTOMER))
    history.starts()

    assert history.asks(10_200, override=True) is None
    assert (history.payment.refunded, history.payment.fee_returned) == (usd("102.00"), usd("2.00"))
    assert history.asks(override=True) is None
    assert (history.payment.refunded, history.payment.fee_returned) == (usd("103.00"), usd("3.00"))


# --- properties ---------------------------------------------------------------------------------------------------

SHARES = st.lists(st.tuples(st.integers(1, 700), st.sampled_from(ENDS), st.booleans()), max_size=8)
NO_TIERS = CONFIGS.map(lambda config: evolve(config, tiers=()))


def asks_in_parts(history: RefundHistory, parts: list[tuple[int, Any, bool]]) -> None:
    step = history.config.step
    for share, end, late in parts:
        history.asks(max(history.payment.captured.minor * share // 1000 // step, 1) * step, end)
        if late:
            history.fails_late(share)


def asks_until_nothing_is_left(history: RefundHistory) -> None:
    history.sends()  # a refund refused because of an unrecorded dispute is sent in the next pass
    for _ in range(20):
        if history.asks(override=False) is not None:
            return


@given(NO_TIERS, SHARES)
@settings(max_examples=examples(150))
def test_a_returned_fee_adds_up_after_a_full_refund(config: ChargeConfig, parts: Any) -> None:
    history = RefundHistory(evolve(config, fee=RETURNED))
    asks_in_parts(history, parts)
    asks_until_nothing_is_left(history)

    pending = history.payment.refund_pending
    assert history.payment.refunded + pending == history.payment.captured
    assert history.payment.fee_returned == history.payment.breakdown.fee


@given(CONFIGS, SHARES, st.booleans(), SHARES, st.sampled_from(ENDS))
@settings(max_examples=examples(150))
def test_the_fee_adds_up_after_a_full_cancellation(
    config: ChargeConfig, before: Any, started: bool, after: Any, end: Any
) -> None:
    history = RefundHistory(config)
    asks_in_parts(history, before)
    if started:
        history.starts()
    had_all = history.payment.given_back.amount == history.payment.captured
    history.cancels(in_full=True, end=end)
    asks_in_parts(history, after)
    history.sends()
    asks_until_nothing_is_left(history)

    assert history.payment.given_back.amount == history.payment.captured
    # After a full refund before the cancellation, no promise includes the organizer's fee.
    if not had_all or config.fee is RETURNED:
        assert history.payment.fee_returned == history.payment.breakdown.fee


@given(NO_TIERS, SHARES)
@example(ChargeConfig(price=2), [(1, "succeeded", False), (1, "charge_disputed", False)])
@settings(max_examples=examples(100))
def test_a_kept_fee_is_not_returned(config: ChargeConfig, parts: Any) -> None:
    history = RefundHistory(evolve(config, fee=KEPT, tiers=(RefundTier(hours_before=1, percent=Decimal(100)),)))
    asks_in_parts(history, parts)
    asks_until_nothing_is_left(history)
    history.starts()
    asks_until_nothing_is_left(history)

    assert history.now > STARTS
    assert not history.payment.fee_returned
    back = history.payment.breakdown.net if config.payer is FeePayer.CUSTOMER else history.payment.breakdown.gross
    assert history.payment.given_back.amount == back.rounded_down(config.step)
