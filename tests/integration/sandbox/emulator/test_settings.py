"""Settings of the account: settlement currency, rates, older behaviour."""

from typing import Any

import pytest

from .stripe_account import MemoryStore, StripeAccountClient

DEFAULTS: dict[str, Any] = {"settlement_currency": None, "rates": {}, "release_as_refund": False}


def moves(account: StripeAccountClient) -> list[tuple[int, str, float | None]]:
    found = reversed(account.get("balance_transactions").body["data"])
    return [(each["amount"], each["currency"], each["exchange_rate"]) for each in found]


def test_a_charge_settles_in_its_own_currency(account: StripeAccountClient) -> None:
    account.paid(currency="eur")

    assert account.stripe.account_settings == DEFAULTS
    assert moves(account) == [(1000, "eur", None)]


def test_rates_hold_for_later_charges(account: StripeAccountClient) -> None:
    intent = account.paid()
    account.stripe.set_settlement("eur", {"usd": "0.92"})
    refund = account.refunded(intent, amount=100)
    account.stripe.set_settlement("eur", {"usd": "0.9"})
    account.stripe.fail_refund(refund["id"])

    assert moves(account) == [(1000, "usd", None), (-92, "eur", 0.92), (90, "eur", 0.9)]


def test_a_currency_without_a_rate_settles_in_itself(account: StripeAccountClient) -> None:
    account.stripe.set_settlement("eur", {"usd": "0.92"})
    account.paid(currency="gbp")

    assert moves(account) == [(1000, "gbp", None)]


def test_rates_stay_until_the_settlement_currency_changes(account: StripeAccountClient) -> None:
    account.stripe.set_settlement("eur", {"usd": "0.92", "gbp": "1.17"})
    account.stripe.set_settlement("eur", {"usd": "0.9"})
    kept = account.stripe.account_settings["rates"]
    account.stripe.set_settlement("chf")

    assert (kept, account.stripe.account_settings["rates"]) == ({"usd": "0.9", "gbp": "1.17"}, {})


@pytest.mark.parametrize(
    ("currency", "rates", "problem"),
    [
        ("bitcoin", {}, "no currency"),
        ("EUR", {}, "no currency"),
        ("eur", {"doge": "1"}, "no currency"),
        ("eur", {"eur": "1"}, "needs no rate"),
        (None, {"usd": "0.92"}, "settlement_currency"),
        *(("eur", {"usd": rate}, "positive decimal") for rate in ("0", "-1", "NaN", "inf", "much", "", "1e10")),
    ],
)
def test_settings_that_make_no_sense_are_refused_and_change_nothing(
    account: StripeAccountClient, currency: str | None, rates: dict[str, str], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        account.stripe.set_settlement(currency, rates)

    assert account.stripe.account_settings == DEFAULTS


def test_an_unknown_reason_of_releases_is_refused(account: StripeAccountClient) -> None:
    with pytest.raises(ValueError, match="release_as_refund"):
        account.stripe.set_release_as_refund("requested_by_customer")

    assert account.stripe.account_settings == DEFAULTS


def test_a_restart_keeps_the_settings() -> None:
    store = MemoryStore()
    before = StripeAccountClient(store)
    before.stripe.set_settlement("eur", {"usd": "0.92"})
    before.stripe.set_release_as_refund()

    after: dict[str, Any] = StripeAccountClient(store).stripe.account_settings

    assert after == {"settlement_currency": "eur", "rates": {"usd": "0.92"}, "release_as_refund": True}
