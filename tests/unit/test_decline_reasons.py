"""The table of declines for operators, against the rules of declines."""

import pytest

from booking_payments.domain.declines import ADVICE_STOP, DECLINES, GENERIC_CODE, OTHER_VERDICTS, Decline
from booking_payments.presentation.decline_reasons import REASONS, SAY_HIDDEN, SAY_NOT_AGAIN, reason_of


def declined(code: str, **changes: str) -> Decline:
    return Decline(code=GENERIC_CODE, message="", decline_code=code, **changes)


def test_every_known_code_is_explained_and_no_other() -> None:
    assert set(REASONS) == {*DECLINES, *OTHER_VERDICTS, GENERIC_CODE}


@pytest.mark.parametrize("code", [code for code, rule in DECLINES.items() if rule.hidden])
def test_of_a_hidden_reason_the_customer_is_told_the_same_as_of_any_other(code: str) -> None:
    assert (reason_of(declined(code)).say, reason_of(declined(code)).hidden) == (SAY_HIDDEN, True)


def test_an_unknown_code_is_named() -> None:
    assert "“moon_phase”" in reason_of(declined("moon_phase")).why


def test_a_verdict_without_a_decline_code_is_explained_by_its_code() -> None:
    assert reason_of(Decline(code="expired_card", message="")).why == "The card has expired."


def test_the_networks_advice_not_to_try_again_counts() -> None:
    assert reason_of(declined("insufficient_funds", advice_code=ADVICE_STOP)).say == SAY_NOT_AGAIN


def test_a_card_to_be_tried_later_is_not_said_to_be_over_its_limit() -> None:
    said = reason_of(declined("generic_decline", advice_code="try_again_later")).say

    assert said == "Please use another card, or try this one later. Your bank can tell you more."
