"""Retries: how long a call is repeated, and which charges a decline allows."""

from datetime import timedelta
from importlib.util import module_from_spec, spec_from_file_location
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking_payments.domain import declines
from booking_payments.domain.declines import DECLINES, GENERIC_TEXT, Decline, Remedy
from booking_payments.domain.errors import InvalidInput
from booking_payments.domain.retry import KEY_LIFETIME, RESOLVE_SCHEDULE, RetryPolicy, next_check

SECOND = timedelta(seconds=1)

# docs.stripe.com/declines/codes: the fifty card codes, by what the customer may do.
CLASSES = {
    Remedy.AUTHENTICATE: "authentication_required authentication_not_handled mobile_device_authentication_required",
    Remedy.TRY_AGAIN: "processing_error reenter_transaction issuer_not_available approve_with_id try_again_later",
    Remedy.TRY_LATER: "insufficient_funds card_velocity_exceeded withdrawal_count_limit_exceeded",
    Remedy.FIX_DATA: "incorrect_number invalid_number incorrect_cvc invalid_cvc invalid_expiry_month incorrect_zip "
    "invalid_expiry_year incorrect_address incorrect_pin invalid_pin offline_pin_required "
    "online_or_offline_pin_required",
    Remedy.ANOTHER_CARD: "expired_card card_not_supported currency_not_supported invalid_account pin_try_exceeded "
    "new_account_information_available testmode_decline",
    Remedy.CONTACT_ISSUER: "call_issuer do_not_honor generic_decline no_action_taken not_permitted restricted_card "
    "security_violation service_not_allowed stop_payment_order transaction_not_allowed invalid_amount "
    "do_not_try_again revocation_of_authorization revocation_of_all_authorizations "
    "fraudulent lost_card stolen_card pickup_card merchant_blacklist highest_risk_level",
    Remedy.CHECK_FIRST: "duplicate_transaction",
}
REMEDIES = [(code, remedy) for remedy, codes in CLASSES.items() for code in codes.split()]
HIDDEN = {"fraudulent", "lost_card", "stolen_card", "pickup_card", "merchant_blacklist", "highest_risk_level"}
BURNT = {
    "do_not_try_again",
    "transaction_not_allowed",
    "revocation_of_authorization",
    "revocation_of_all_authorizations",
    "lost_card",
    "stolen_card",
    "pickup_card",
    "highest_risk_level",
}


def a_decline(decline_code: str | None, advice_code: str | None = None, code: str = "card_declined") -> Decline:
    return Decline(code=code, message="Said the bank.", decline_code=decline_code, advice_code=advice_code)


# --- tries of one call -------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_a_delay_lies_between_half_and_all_of_the_doubled_one(tries: int, seed: int) -> None:
    policy = RetryPolicy(max_tries=99)
    whole = min(SECOND * 2 ** (tries - 1), policy.max_delay)
    delay = policy.delay_after(tries, Random(seed))

    assert delay is not None
    assert whole / 2 <= delay <= whole


@pytest.mark.parametrize("tries", [44, 45, 99_999])
def test_a_delay_never_exceeds_its_maximum(tries: int) -> None:
    policy = RetryPolicy(max_tries=100_000, first_delay=5 * SECOND, max_delay=timedelta(hours=12))
    delay = policy.delay_after(tries, Random(1))

    assert delay is not None
    assert timedelta(hours=6) <= delay <= timedelta(hours=12)


def test_there_is_no_delay_after_the_last_try() -> None:
    assert RetryPolicy(max_tries=3).delay_after(3, Random(1)) is None


def test_a_try_before_the_last_is_followed_by_a_delay() -> None:
    assert RetryPolicy(max_tries=3).delay_after(2, Random(1)) is not None


def test_delays_differ_from_one_another() -> None:
    chance = Random(1)

    assert len({RetryPolicy().delay_after(1, chance) for _ in range(10)}) > 1


def test_the_default_is_three_tries() -> None:
    assert RetryPolicy().max_tries == 3


@pytest.mark.parametrize("tries", [0, -1])
def test_a_call_is_tried_at_least_once(tries: int) -> None:
    with pytest.raises(InvalidInput):
        RetryPolicy(max_tries=tries)


def test_one_try_is_enough() -> None:
    assert RetryPolicy(max_tries=1).delay_after(1, Random(1)) is None


# --- looking again -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("checks", "delay"), list(enumerate(RESOLVE_SCHEDULE)))
def test_checks_follow_the_schedule(checks: int, delay: timedelta) -> None:
    assert next_check(checks) == delay


@pytest.mark.parametrize("checks", [6, 7, 1000])
def test_after_the_schedule_there_is_one_check_a_day(checks: int) -> None:
    assert next_check(checks) == timedelta(days=1)


def test_the_intervals_between_checks_increase() -> None:
    assert list(RESOLVE_SCHEDULE) == sorted(RESOLVE_SCHEDULE)


def test_a_key_is_not_sent_in_the_last_hour_before_stripe_may_remove_it() -> None:
    assert timedelta(hours=24) - KEY_LIFETIME == timedelta(hours=1)


# --- declines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "remedy"), REMEDIES)
def test_each_code_has_its_remedy(code: str, remedy: Remedy) -> None:
    assert a_decline(code).rule.remedy is remedy


def test_the_table_has_exactly_the_documented_codes() -> None:
    assert set(DECLINES) == {code for code, _ in REMEDIES}


def test_the_table_is_the_same_each_time_it_is_built() -> None:
    """Made again from its source, as at the next start: each code once, with its rule."""
    spec = spec_from_file_location(declines.__name__, declines.__file__)
    assert spec is not None
    assert spec.loader is not None
    again = module_from_spec(spec)
    spec.loader.exec_module(again)

    assert {code: rule.remedy.name for code, rule in again.DECLINES.items()} == {
        code: remedy.name for code, remedy in REMEDIES
    }


def test_reasons_that_must_not_be_shown_are_hidden() -> None:
    assert {code for code, rule in DECLINES.items() if rule.hidden} == HIDDEN


def test_some_codes_forbid_the_card() -> None:
    assert {code for code, rule in DECLINES.items() if not rule.same_card} == BURNT


def test_an_unknown_code_sends_the_customer_to_the_bank() -> None:
    rule = a_decline("brand_new_code").rule

    assert (rule.remedy, rule.hidden, rule.same_card) == (Remedy.CONTACT_ISSUER, False, True)


def test_without_a_decline_code_the_error_code_decides() -> None:
    assert a_decline(None, code="expired_card").rule.remedy is Remedy.ANOTHER_CARD


@pytest.mark.parametrize(
    ("advice", "remedy"),
    [("confirm_card_data", Remedy.FIX_DATA), ("try_again_later", Remedy.TRY_LATER), ("else", Remedy.CONTACT_ISSUER)],
)
def test_the_networks_advice_overrides_the_table(advice: str, remedy: Remedy) -> None:
    assert a_decline("do_not_honor", advice).rule.remedy is remedy


def test_the_advice_to_stop_forbids_the_card() -> None:
    rule = a_decline("do_not_honor", "do_not_try_again").rule

    assert (rule.same_card, rule.remedy) == (False, Remedy.CONTACT_ISSUER)


def test_the_advice_to_stop_keeps_a_hidden_reason_hidden() -> None:
    rule = a_decline("fraudulent", "do_not_try_again").rule

    assert (rule.same_card, rule.hidden) == (False, True)


@pytest.mark.parametrize("advice", ["confirm_card_data", "try_again_later"])
def test_advice_does_not_reveal_a_hidden_reason(advice: str) -> None:
    assert a_decline("stolen_card", advice).rule == DECLINES["stolen_card"]


@pytest.mark.parametrize("code", sorted(HIDDEN))
def test_the_customer_sees_the_generic_decline_for_a_hidden_reason(code: str) -> None:
    decline = a_decline(code, "do_not_try_again")

    assert decline.customer_code == "card_declined"
    assert decline.customer_text == GENERIC_TEXT


@pytest.mark.parametrize("code", sorted(HIDDEN))
def test_the_customers_copy_of_a_hidden_decline_contains_nothing_of_it(code: str) -> None:
    copy = a_decline(code, "do_not_try_again", code=code).for_customer()

    assert copy == Decline(code="card_declined", message=GENERIC_TEXT, decline_code="generic_decline")


def test_the_customer_sees_any_other_decline_as_it_is() -> None:
    decline = a_decline("insufficient_funds")

    assert decline.for_customer() is decline
    assert decline.customer_code == "card_declined"
    assert decline.customer_text == "Said the bank."
