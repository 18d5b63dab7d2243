"""Fees: the breakdown adds up to the minor unit, for each payer and each split into refunds."""

import itertools
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from booking_payments.domain.errors import InvalidAmount, InvalidInput
from booking_payments.domain.fees import FeeBreakdown, FeePayer, FeePolicy
from booking_payments.domain.money import MAX_DIGITS, Currency, Money, round_share
from tests.unit.domain.builders import EXPONENTS, usd

PARTS = st.none() | st.decimals(0, 500, places=3)
CURRENCIES = st.sampled_from(list(EXPONENTS.values()))


def _policy(rate: Decimal, fixed: Decimal | None, bounds: list[Decimal | None], payer: FeePayer) -> FeePolicy:
    low, high = bounds
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    return FeePolicy(rate=rate, fixed=fixed, minimum=low, maximum=high, payer=payer)


POLICIES = st.builds(
    _policy,
    st.decimals(0, Decimal("0.9999"), places=4),
    PARTS,
    st.lists(PARTS, min_size=2, max_size=2),
    st.sampled_from(FeePayer),
)
AMOUNTS = st.builds(Money, st.integers(0, 10**10), CURRENCIES)


def _adds_up(breakdown: FeeBreakdown) -> bool:
    zero = Money.zero(breakdown.gross.currency)
    return breakdown.gross == breakdown.fee + breakdown.net and zero <= breakdown.fee <= breakdown.gross


@given(POLICIES, AMOUNTS)
def test_gross_is_fee_plus_net_to_the_minor_unit(policy: FeePolicy, amount: Money) -> None:
    assert _adds_up(policy.of_booking(amount))


@given(POLICIES, AMOUNTS)
def test_the_payer_decides_whether_gross_or_net_is_the_price_of_the_booking(policy: FeePolicy, amount: Money) -> None:
    breakdown = policy.of_booking(amount)

    assert amount == (breakdown.net if policy.payer is FeePayer.CUSTOMER else breakdown.gross)


@given(POLICIES, AMOUNTS, st.integers(1, 1000))
def test_the_charge_is_a_multiple_of_the_gateways_step(policy: FeePolicy, amount: Money, step: int) -> None:
    price = amount.rounded_down(step)
    breakdown = policy.of_booking(price, step)

    assert breakdown.gross.minor % step == 0
    assert _adds_up(breakdown)
    assert price == (breakdown.net if policy.payer is FeePayer.CUSTOMER else breakdown.gross)


@given(POLICIES, AMOUNTS, st.integers(1, 1000))
def test_each_part_of_a_fee_on_top_is_rounded_by_at_most_half_a_step(
    policy: FeePolicy, amount: Money, step: int
) -> None:
    policy = evolve(policy, payer=FeePayer.CUSTOMER)
    exact, rounded = policy.of_booking(amount).fee, policy.of_booking(amount, step).fee

    assert abs(exact.minor - rounded.minor) <= step + 1  # each part was also rounded to the minor unit


@given(POLICIES, AMOUNTS, st.integers(1, 1000))
def test_a_fee_that_the_organizer_pays_is_not_rounded_to_a_step(policy: FeePolicy, amount: Money, step: int) -> None:
    policy = evolve(policy, payer=FeePayer.ORGANIZER)

    assert policy.of_booking(amount, step) == policy.of_booking(amount)


@pytest.mark.parametrize(
    ("terms", "fee"),
    [
        ({"rate": Decimal("0.03")}, 150),  # 0.1539
        ({"rate": Decimal("0.001"), "fixed": Decimal("0.125")}, 130),  # 0.00513 + 0.125
        ({"rate": Decimal(0), "fixed": Decimal("0.135")}, 140),
        ({"minimum": Decimal("0.304")}, 300),
        ({"maximum": Decimal("0.126")}, 130),
    ],
)
def test_every_part_of_a_fee_on_top_rounds_half_even_to_the_gateways_step(terms: dict[str, Any], fee: int) -> None:
    breakdown = FeePolicy(payer=FeePayer.CUSTOMER, **terms).of_booking(Money(5130, Currency.KWD), 10)

    assert breakdown.fee == Money(fee, Currency.KWD)


@given(POLICIES, AMOUNTS, st.integers(0, 100))
def test_the_breakdown_of_a_partial_capture_adds_up(policy: FeePolicy, amount: Money, percent: int) -> None:
    authorized = policy.of_booking(amount)
    captured = authorized.gross.times(Decimal(percent).scaleb(-2))
    breakdown = policy.of_captured(captured, authorized)

    assert _adds_up(breakdown)
    assert breakdown.gross == captured


@given(POLICIES, AMOUNTS)
def test_the_fee_respects_its_minimum_and_maximum(policy: FeePolicy, amount: Money) -> None:
    unbounded = FeePolicy(rate=policy.rate, fixed=policy.fixed, payer=FeePayer.CUSTOMER).of_booking(amount).fee
    fee = policy.of_booking(amount).fee
    capped = min(unbounded, amount) if policy.payer is FeePayer.ORGANIZER else unbounded

    assert fee == capped or policy.minimum is not None or policy.maximum is not None


@given(st.data(), AMOUNTS.filter(bool), POLICIES)
def test_any_split_into_refunds_returns_exactly_the_fee(data: st.DataObject, amount: Money, policy: FeePolicy) -> None:
    breakdown = policy.of_booking(amount)
    cuts = data.draw(st.lists(st.integers(0, breakdown.gross.minor), max_size=6))
    marks = [Money(minor, amount.currency) for minor in sorted({0, *cuts, breakdown.gross.minor})]
    parts = [breakdown.fee_in(end).minor - breakdown.fee_in(start).minor for start, end in itertools.pairwise(marks)]

    assert sum(parts) == breakdown.fee.minor
    assert min(parts) >= 0


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_share_is_rounded_as_an_exact_quotient_would_be(whole: int, part: int, of: int) -> None:
    exact = Decimal(whole * part)

    assert abs(exact - round_share(whole, part, of) * of) * 2 <= of


@pytest.mark.parametrize(("whole", "part", "share"), [(1, 1, 0), (3, 1, 2), (5, 1, 2), (7, 1, 4)])
def test_a_share_halfway_rounds_to_the_even_neighbor(whole: int, part: int, share: int) -> None:
    assert round_share(whole, part, 2) == share


@pytest.mark.parametrize(
    ("terms", "price", "gross", "fee", "net"),
    [
        ({}, "100.00", "100.00", "3.00", "97.00"),
        ({"fixed": Decimal("0.30")}, "100.00", "100.00", "3.30", "96.70"),
        ({"minimum": Decimal("5")}, "100.00", "100.00", "5.00", "95.00"),
        ({"maximum": Decimal("2")}, "100.00", "100.00", "2.00", "98.00"),
        ({"payer": FeePayer.CUSTOMER}, "100.00", "103.00", "3.00", "100.00"),
        ({"payer": FeePayer.CUSTOMER, "fixed": Decimal("0.30")}, "100.00", "103.30", "3.30", "100.00"),
        ({"minimum": Decimal("5")}, "2.00", "2.00", "2.00", "0.00"),
        ({"minimum": Decimal("5"), "payer": FeePayer.CUSTOMER}, "2.00", "7.00", "5.00", "2.00"),
        ({}, "0.50", "0.50", "0.02", "0.48"),
        ({"rate": Decimal(0)}, "100.00", "100.00", "0.00", "100.00"),
    ],
)
def test_a_booking_has_the_breakdown_of_the_documented_example(
    terms: dict[str, Any], price: str, gross: str, fee: str, net: str
) -> None:
    breakdown = FeePolicy(**terms).of_booking(usd(price))

    assert (breakdown.gross, breakdown.fee, breakdown.net) == (usd(gross), usd(fee), usd(net))


def test_the_default_fee_is_three_percent_paid_by_the_organizer() -> None:
    breakdown = FeePolicy().of_booking(usd("100.00"))

    assert (breakdown.rate, breakdown.payer) == (Decimal("0.03"), FeePayer.ORGANIZER)


@pytest.mark.parametrize(("exponent", "fee"), [(0, 30), (2, 30), (3, 30)])
def test_the_rate_works_in_minor_units_of_every_exponent(exponent: int, fee: int) -> None:
    assert FeePolicy().of_booking(Money(1000, EXPONENTS[exponent])).fee.minor == fee


def test_a_fixed_part_is_rounded_to_a_currency_without_decimals() -> None:
    assert FeePolicy(fixed=Decimal("0.60")).of_booking(Money(1000, Currency.JPY)).fee.minor == 31


def test_a_full_capture_keeps_the_breakdown() -> None:
    policy = FeePolicy(fixed=Decimal("0.30"))
    authorized = FeePolicy().of_booking(usd("100.00"))

    assert policy.of_captured(usd("100.00"), authorized) is authorized


def test_the_organizers_fee_is_computed_from_the_captured_amount() -> None:
    policy = FeePolicy(fixed=Decimal("0.30"))

    assert policy.of_captured(usd("50.00"), policy.of_booking(usd("100.00"))).fee == usd("1.80")


def test_the_organizers_fee_is_never_more_than_was_captured() -> None:
    policy = FeePolicy(minimum=Decimal("5.00"))

    assert policy.of_captured(usd("1.00"), policy.of_booking(usd("100.00"))).net == usd("0.00")


def test_the_customers_fee_is_captured_in_proportion() -> None:
    policy = FeePolicy(payer=FeePayer.CUSTOMER, fixed=Decimal("0.30"))

    assert policy.of_captured(usd("51.65"), policy.of_booking(usd("100.00"))).fee == usd("1.65")


def test_a_charge_of_zero_has_no_fee() -> None:
    assert FeePolicy(payer=FeePayer.CUSTOMER).of_booking(usd("0")).fee_in(usd("0")) == usd("0")


@pytest.mark.parametrize(
    "terms",
    [
        {"rate": Decimal("-0.01")},
        {"rate": Decimal(1)},
        {"rate": Decimal("NaN")},
        {"fixed": Decimal("Infinity")},
        {"fixed": Decimal(-1)},
        {"minimum": Decimal(-1)},
        {"maximum": Decimal("-0.01")},
        {"minimum": Decimal(2), "maximum": Decimal(1)},
    ],
)
def test_an_invalid_fee_policy_is_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        FeePolicy(**terms)


def test_the_smallest_fee_may_equal_the_largest() -> None:
    assert FeePolicy(minimum=Decimal(1), maximum=Decimal(1)).of_booking(usd("100.00")).fee == usd("1.00")


LARGEST = Money(10**MAX_DIGITS - 1, Currency.IDR)


def test_a_price_with_its_fee_on_top_has_the_limit_of_a_single_amount() -> None:
    policy = FeePolicy(payer=FeePayer.CUSTOMER)

    with pytest.raises(InvalidAmount):
        policy.of_booking(LARGEST)


def test_a_fee_has_the_limit_of_a_single_amount() -> None:
    policy = FeePolicy(rate=Decimal("0.9999"), fixed=Decimal("999999999.99"))

    with pytest.raises(InvalidAmount):
        policy.of_booking(LARGEST)
