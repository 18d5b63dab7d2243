"""Vouchers are offered only where they end before the booking's hold does."""

from datetime import timedelta

import pytest

from booking_payments.domain.errors import RefusedByRule
from booking_payments.domain.instructions import ANY_METHOD, MethodChoice
from booking_payments.domain.money import Currency
from booking_payments.domain.vouchers import VOUCHER_TYPES, longest_voucher, within_hold

DAY = timedelta(days=1)


@pytest.mark.parametrize("name", VOUCHER_TYPES)
def test_a_voucher_is_excluded_where_it_outlives_the_hold(name: str) -> None:
    lasts, currency = VOUCHER_TYPES[name].lasts, Currency.of(VOUCHER_TYPES[name].currency)

    assert within_hold(ANY_METHOD, currency, lasts) == ANY_METHOD
    assert within_hold(ANY_METHOD, currency, lasts - timedelta(seconds=1)) == MethodChoice(excluded=(name,))


def test_excluded_methods_stay_excluded_with_their_configuration() -> None:
    chosen = MethodChoice(excluded=("klarna",), configuration="pmc_1")

    assert within_hold(chosen, Currency.EUR, DAY) == MethodChoice(
        excluded=("klarna", "multibanco"), configuration="pmc_1"
    )


def test_an_allowed_voucher_that_outlives_the_hold_is_left_out() -> None:
    chosen = MethodChoice(allowed=("multibanco", "card"))

    assert within_hold(chosen, Currency.EUR, DAY) == MethodChoice(allowed=("card",))
    assert within_hold(chosen, Currency.EUR, 8 * DAY) == chosen


def test_where_only_vouchers_are_allowed_a_short_hold_is_refused() -> None:
    with pytest.raises(RefusedByRule) as refused:
        within_hold(MethodChoice(allowed=("oxxo",)), Currency.of("mxn"), DAY)

    assert refused.value.code == "no_payment_method_left"


def test_a_currency_without_vouchers_changes_nothing() -> None:
    assert within_hold(ANY_METHOD, Currency.USD, timedelta()) == ANY_METHOD
    assert longest_voucher(ANY_METHOD, Currency.USD) == timedelta()


def test_the_longest_voucher_is_the_one_of_the_offered_methods() -> None:
    assert longest_voucher(ANY_METHOD, Currency.EUR) == 7 * DAY
    assert longest_voucher(MethodChoice(excluded=("multibanco",)), Currency.EUR) == timedelta()
    assert longest_voucher(MethodChoice(allowed=("card",)), Currency.EUR) == timedelta()
