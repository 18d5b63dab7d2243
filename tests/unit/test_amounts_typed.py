"""Amounts as operators type them: right, or a clear error; never another amount."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking_payments.domain.errors import InvalidAmount
from booking_payments.domain.money import Currency, Money
from booking_payments.entrypoints.pages.amounts import TypedAmount, amount_typed, any_amount_typed
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
        ("1 234,56", USD, "1234.56"),
        ("1\N{NO-BREAK SPACE}234,56 USD", USD, "1234.56"),
        ("1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567.8", USD, "1234567.80"),
        ("1'234.56", USD, "1234.56"),
        ("1\N{RIGHT SINGLE QUOTATION MARK}234", USD, "1234.00"),
        ("\N{FULLWIDTH DIGIT FOUR}\N{FULLWIDTH DIGIT FIVE}００", JPY, "4500"),  # noqa: RUF001 - so they are typed
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
        ("1.250", USD, "USD has 2 decimals"),
        ("12.5", JPY, "JPY has 0 decimals"),
        ("9,2555", USD, "USD has 2 decimals"),
        ("ten", USD, "in USD like 9.25"),
        ("ten", KWD, "in KWD like 0.925"),
        ("", USD, "like"),
        ("-5", USD, "must not be negative"),
        ("9 25", USD, "like"),
        ("1 234'567", USD, "like"),
        ("10²", USD, "like"),
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


@pytest.mark.parametrize(
    ("text", "number", "currency"),
    [
        ("1000.50", "1000.50", None),
        ("1,250.00", "1250.00", None),
        ("1 234,56", "1234.56", None),
        ("9.25 EUR", "9.25", Currency.EUR),
        ("1,250 jpy", "1250", JPY),
        ("1.250 KWD", "1.250", KWD),
        ("1'250 USD", "1250.00", USD),
    ],
)
def test_an_amount_to_look_for_may_have_any_currency(text: str, number: str, currency: Currency | None) -> None:
    assert any_amount_typed(text) == TypedAmount(Decimal(number), currency)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1.250", "this may mean 1.250 or 1250: "),
        ("1,250", "this may mean 1.250 or 1250: "),
        ("1,250 USD", "this may mean 1.250 or 1250 USD"),
        ("9.25 EURO", "write the amount as 1000.50"),
        ("9.25 XYZ", "there is no currency XYZ"),
        ("much", "write the amount as 1000.50"),
    ],
)
def test_an_amount_to_look_for_that_may_be_two_is_refused_with_the_reason(text: str, told: str) -> None:
    with pytest.raises(InvalidAmount) as refused:
        any_amount_typed(text)

    assert told in refused.value.message


@given(st.integers(0, 10**12 - 1), st.sampled_from([USD, JPY, KWD]))
def test_what_the_pages_print_is_read_as_the_same_amount(minor: int, currency: Currency) -> None:
    amount = Money(minor, currency)

    assert amount_typed(money(amount), currency) == amount
    assert any_amount_typed(money(amount)) == TypedAmount(amount.amount, currency)
    assert amount_typed(amount.major(), currency) == amount


@given(st.text(alphabet="0123456789.,- ", max_size=12), st.sampled_from([USD, JPY, KWD]))
def test_an_amount_that_is_taken_has_the_digits_that_were_typed(text: str, currency: Currency) -> None:
    try:
        amount = amount_typed(text, currency)
    except InvalidAmount:
        return

    typed = "".join(each for each in text if each.isdigit()).lstrip("0")
    assert str(amount.minor).rstrip("0").lstrip("0") == typed.rstrip("0")
