"""Amounts as operators type them: right, or a clear error; never another amount."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking_payments.domain.errors import InvalidAmount
from booking_payments.domain.money import Currency, Money
from booking_payments.entrypoints.pages.amounts import amount_typed
from booking_payments.presentation.formatting import money

USD, JPY, KWD = Currency.USD, Currency.JPY, Currency.KWD


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("9.25", USD, "9.25"),
        ("9,25", USD, "9.25"),
        ("9,5", USD, "9.50"),
        (" 9 ", USD, "9.00"),
        ("9,25 usd", USD, "9.25"),
        ("1,250.00", USD, "1250.00"),
        ("1.250,00", USD, "1250.00"),
        ("1,250,000", USD, "1250000.00"),
        ("1,250", JPY, "1250"),
        ("4500 JPY", JPY, "4500"),
        ("5,12", KWD, "5.120"),
        ("1,250.500", KWD, "1250.500"),
    ],
)
def test_what_can_mean_one_amount_is_that_amount(text: str, currency: Currency, amount: str) -> None:
    assert amount_typed(text, currency).major() == amount


@pytest.mark.parametrize(
    ("text", "currency", "told"),
    [
        ("1,250", USD, "may mean 1.250 or 1250 USD"),
        ("5,125", KWD, "may mean 5.125 or 5125 KWD"),
        ("9,25", JPY, "in JPY like 925"),
        ("1.250", USD, "write at most 2 decimals in USD"),
        ("12.5", JPY, "write no decimals in JPY"),
        ("9,2555", USD, "write at most 2 decimals in USD"),
        ("ten", USD, "in USD like 9.25"),
        ("ten", KWD, "in KWD like 0.925"),
        ("", USD, "like"),
        ("-5", USD, "must not be negative"),
        ("9 25", USD, "like"),
        ("9.25 EUR", USD, "in USD"),
        ("12,34,56", USD, "like"),
        ("٣", USD, "like"),
        ("1e3", USD, "like"),
    ],
)
def test_anything_else_is_an_error_that_says_how_to_write_it(text: str, currency: Currency, told: str) -> None:
    with pytest.raises(InvalidAmount) as refused:
        amount_typed(text, currency)

    assert told in refused.value.message


@given(st.integers(0, 10**12 - 1), st.sampled_from([USD, JPY, KWD]))
def test_what_the_pages_print_is_read_as_the_same_amount(minor: int, currency: Currency) -> None:
    amount = Money(minor, currency)

    assert amount_typed(money(amount), currency) == amount
    assert amount_typed(amount.major(), currency) == amount


@given(st.text(alphabet="0123456789.,- ", max_size=12), st.sampled_from([USD, JPY, KWD]))
def test_an_amount_that_is_taken_has_the_digits_that_were_typed(text: str, currency: Currency) -> None:
    try:
        amount = amount_typed(text, currency)
    except InvalidAmount:
        return

    typed = "".join(each for each in text if each.isdigit()).lstrip("0")
    assert str(amount.minor).rstrip("0").lstrip("0") == typed.rstrip("0")
