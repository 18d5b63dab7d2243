"""The emulator and the Stripe adapter have separate currency tables, which are compared here."""

import pytest

from booking_payments.adapters.gateways.stripe import amounts
from booking_payments.sandbox.emulator.currencies import CURRENCIES, DEFAULT_DIGITS, HIGHEST_DIGITS, StripeCurrency


def test_the_emulator_accepts_the_same_currencies_as_the_adapter() -> None:
    assert sorted(CURRENCIES) == sorted(amounts.SUPPORTED)


@pytest.mark.parametrize("code", sorted(CURRENCIES))
def test_both_tables_have_the_same_rules_for_a_currency(code: str) -> None:
    largest = amounts.maximum(code)

    ours = StripeCurrency(
        decimals=amounts.exponent(code),
        multiple=amounts.MULTIPLES.get(code, 1),
        minimum=amounts.minimum(code),
        digits=len(str(largest)),
    )

    assert ours == CURRENCIES[code]
    assert [CURRENCIES[code].maximum(digits) for digits in range(DEFAULT_DIGITS, HIGHEST_DIGITS + 1)] == [
        amounts.maximum(code, digits) for digits in range(amounts.DIGITS, amounts.MOST_DIGITS + 1)
    ]
