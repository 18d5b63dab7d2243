"""Formatting of amounts for people."""

import pytest

from booking_payments.domain.money import Currency, Money
from booking_payments.presentation.formatting import money


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (125_000, Currency.USD, "1,250.00 USD"),
        (0, Currency.USD, "0.00 USD"),
        (-50, Currency.USD, "-0.50 USD"),
        (-125_000, Currency.USD, "-1,250.00 USD"),
        (-7, Currency.JPY, "-7 JPY"),
        (-5, Currency.KWD, "-0.005 KWD"),
        (1_100_000_000_000, Currency.IDR, "11,000,000,000.00 IDR"),
    ],
)
def test_an_amount_is_grouped_by_thousands_and_keeps_its_sign(minor: int, currency: Currency, text: str) -> None:
    assert money(Money.sum_of(minor, currency)) == text
