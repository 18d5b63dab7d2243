"""Stripe's currency table (docs.stripe.com/currencies)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking_payments.adapters.gateways.stripe.amounts import (
    MINIMUMS,
    SUPPORTED,
    AmountNotRepresentable,
    exponent,
    from_stripe,
    minimum,
    to_stripe,
)


@pytest.mark.parametrize(
    ("code", "iso_exponent", "minor", "amount"),
    [
        ("usd", 2, 1099, 1099),
        ("jpy", 0, 100, 100),
        ("kwd", 3, 5120, 5120),
        ("isk", 0, 5, 500),
        ("ugx", 0, 5, 500),
        ("mga", 2, 500, 5),
        ("huf", 2, 17500, 17500),
    ],
)
def test_amounts_convert_in_both_directions(code: str, iso_exponent: int, minor: int, amount: int) -> None:
    assert to_stripe(minor, iso_exponent, code) == amount
    assert from_stripe(amount, iso_exponent, code) == minor


@pytest.mark.parametrize(("code", "iso_exponent", "minor"), [("kwd", 3, 5124), ("mga", 2, 501)])
def test_what_stripe_cannot_express_is_an_error(code: str, iso_exponent: int, minor: int) -> None:
    with pytest.raises(AmountNotRepresentable):
        to_stripe(minor, iso_exponent, code)


def test_what_iso_cannot_express_is_an_error() -> None:
    with pytest.raises(AmountNotRepresentable):
        from_stripe(550, 0, "isk")


@settings(max_examples=100)
@given(st.sampled_from(sorted(SUPPORTED)), st.sampled_from([0, 2, 3]), st.integers(0, 10**12))
def test_nothing_is_ever_rounded(code: str, iso_exponent: int, minor: int) -> None:
    try:
        amount = to_stripe(minor, iso_exponent, code)
    except AmountNotRepresentable:
        return

    assert from_stripe(amount, iso_exponent, code) == minor


def test_every_minimum_belongs_to_a_supported_currency() -> None:
    assert set(MINIMUMS) <= SUPPORTED
    assert (minimum("usd"), minimum("gbp"), minimum("kzt")) == (50, 30, 1)
    assert (exponent("jpy"), exponent("usd"), exponent("kwd")) == (0, 2, 3)
