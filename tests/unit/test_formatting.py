"""Formatting of amounts for people."""

import pytest

from booking_payments.domain.money import Currency, Money
from booking_payments.presentation.formatting import money, with_printed_amounts


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


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("70.00 usd would go back now, not 1250.00 usd", "70.00 USD would go back now, not 1,250.00 USD"),
        ("the price is 4500 jpy; record all of it", "the price is 4,500 JPY; record all of it"),
        ("-0.50 usd and 5.120 kwd.", "-0.50 USD and 5.120 KWD."),
        ("give all 3 all back, or 2 try", "give all 3 all back, or 2 try"),
        ("10.00 sometimes, 10.00 xyz, v1.00 usd", "10.00 sometimes, 10.00 xyz, v1.00 usd"),
    ],
)
def test_amounts_in_a_text_are_printed_like_others(text: str, printed: str) -> None:
    assert with_printed_amounts(text) == printed
