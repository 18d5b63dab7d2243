"""The simulation sees: each bug that is planted is found, also when only one path may mend what a fault has torn.

All paths together mend much, so that a few bugs only show where a path stands alone. That is why each is tried alone.
By day each bug is found in one scenario, at night in all of its scenarios.
"""

from collections.abc import Mapping
from functools import cache
from itertools import chain
from typing import Final

import pytest

from booking_payments.domain import decisions
from tests.simulation.bugs import BUGS, is_found
from tests.simulation.refund_bugs import REFUND_BUGS
from tests.simulation.runs import SCENARIOS, simulate
from tests.simulation.sizes import NIGHTLY

SEEDS: Final = 2_000 if NIGHTLY else 600
"""Within so many seeds each bug has to be found, unless its known seed is beyond them."""

FOUND: Final[Mapping[str, Mapping[str, int]]] = {
    "fresh_key_per_try": {"full": 2, "resolver only": 5},
    "fresh_refund_key_per_try": {"full": 8, "resolver only": 89},
    "fresh_key_per_process": {"full": 2, "resolver only": 7},
    "keys_live_for_ever": {"full": 38, "resolver only": 573},
    "timeout_is_failure": {"full": 48, "resolver only": 29},
    "reset_is_failure": {"full": 38, "resolver only": 157},
    "server_error_is_failure": {"full": 38, "resolver only": 53},
    "silent_refund_is_failure": {"full": 138, "resolver only": 89},
    "silent_cancel_is_done": {"full": 166, "resolver only": 29},
    "silence_is_forgotten": {"full": 38, "resolver only": 157},
    "replay_is_trusted": {"full": 3, "resolver only": 7},
    "declined_intent_is_forgotten": {"full": 6, "resolver only": 0},
    "unreadable_is_not_done": {"full": 38, "resolver only": 48},
    "lease_is_ignored": {"full": 6, "resolver only": 86},
    "lease_never_lapses": {"full": 2, "resolver only": 3},
    "resolver_gives_up": {"full": 57, "resolver only": 1},
    "waiting_is_not_watched": {"resolver only": 1},
    "refunds_are_not_read": {"full": 4, "resolver only": 1},
    "own_intent_is_not_found": {"full": 2, "resolver only": 5},
    "nothing_is_sent_again": {"full": 29, "resolver only": 11},
    "lost_is_not_watched": {"stored errors": 9, "stored errors, resolver only": 1},
    "one_walk_suffices": {"stored errors": 1, "stored errors, resolver only": 1},
    "walks_at_once_count": {"stored errors": 1, "stored errors, resolver only": 1},
    "broken_walk_counts": {"stored errors": 57, "stored errors, resolver only": 284},
    "what_turns_up_is_left": {"stored errors": 9, "stored errors, resolver only": 1},
    "lost_refund_is_sent_at_once": {"stored errors": 97, "stored errors, resolver only": 49},
    "marked_before_effect": {"full": 2, "webhooks only": 15},
    "failed_webhook_is_taken": {"full": 38, "webhooks only": 38},
    "failed_is_duplicate": {"full": 1672, "webhooks only": 283},
    "early_event_is_foreign": {"webhooks only": 48},
    "known_object_is_old_news": {"full": 52, "webhooks only": 42},
    "snapshot_is_trusted": {"webhooks only": 131},
    "late_money_is_kept": {"full": 381, "resolver only": 110},
    "late_success_is_dropped": {"full": 381, "resolver only": 110},
    "paid_is_not_confirmed": {"full": 1, "resolver only": 0},
    "verdict_goes_to_the_running_attempt": {"second methods": 43},
    "older_method_is_charged": {"second methods": 9},
    "room_is_made_unasked": {"second methods refused": 7},
    "refund_is_not_reserved": {"full": 45, "resolver only": 32},
    "late_refund_failure_is_dropped": {"full": 4, "webhooks only": 138},
    "dashboard_refund_is_dropped": {"full": 4, "webhooks only": 18},
    "disputes_are_dropped": {"full": 1, "webhooks only": 0},
    "dispute_funds_are_dropped": {"full": 3, "webhooks only": 0},
    "partial_refund_is_full": {"full": 8, "resolver only": 32},
    "unknown_releases_booking": {"full": 3, "resolver only": 3},
    "canceled_booking_can_be_paid": {"full": 0, "resolver only": 1},
    "closed_booking_is_charged": {"full": 19, "resolver only": 1},
    "cancel_does_not_wait": {"full": 3, "resolver only": 1},
    "returned_refund_is_not_posted": {"full": 4, "webhooks only": 138},
    "refund_is_posted_twice": {"full": 4, "resolver only": 1},
    "two_transactions": {"full": 4, "resolver only": 0},
    "message_is_crossed_off_first": {"full": 6, "resolver only": 5},
    "messages_overtake": {"full": 13, "resolver only": 25},
}
"""A seed that finds each bug, where it is found: tried first, so that nothing is searched. Changes of the product move
it, and then it is looked for from the first seed on; ``python -m tests.simulation --bug NAME --scenario NAME --first``
finds the new one."""

FOUND_AMONG_OBLIGATIONS: Final[Mapping[str, int]] = {
    "taken_is_still_owed": 1,
    "partial_loss_ends_the_promise": 128,
    "disputes_hold_nothing": 1,
    "part_is_sent_during_an_inquiry": 1724,
    "repetition_is_a_new_refund": 71,
    "status_moves_money": 0,
    "settlement_currency_is_ours": 13,
    "appeal_is_dropped": 0,
    "waiting_is_left": 145,
    "deferred_is_never_sent": 42,
    "failed_refund_is_sent_again": 132,
    "prevented_took_nothing": 0,
    "deferred_is_sent_during_a_dispute": 0,
    "settled_is_acknowledged": 71,
    "won_at_another_rate_keeps_a_rest": 13,
    "second_dispute_is_dropped": 1,
}
"""A seed of the scenario ``obligations`` that finds these bugs, besides the history in ``test_refund_histories`` that
finds each."""

AMONG_THE_FIRST: Final = 20
"""By day only bugs that so few seeds find are looked for among obligations."""


def _often(found: Mapping[str, int]) -> list[str]:
    """The scenarios in which a bug is looked for: by day only the one that finds it with the lowest seed."""
    return list(found) if NIGHTLY else [min(found, key=lambda scenario: found[scenario])]


cases = [(bug, scenario) for bug, found in FOUND.items() for scenario in _often(found)]
obligations = [bug for bug, seed in FOUND_AMONG_OBLIGATIONS.items() if NIGHTLY or seed < AMONG_THE_FIRST]


@pytest.mark.parametrize(("bug", "scenario"), cases)
def test_a_planted_bug_is_found(bug: str, scenario: str) -> None:
    with BUGS[bug].planted():
        found = _first_seed(scenario, FOUND[bug][scenario])

    assert found is not None, f"nobody notices that {BUGS[bug].wrong}"
    assert _without_a_bug(scenario, found) == ()


def _first_seed(scenario: str, known: int) -> int | None:
    seeds = chain([known], range(SEEDS))
    return next((seed for seed in seeds if is_found(simulate(seed, SCENARIOS[scenario]).broken)), None)


@cache
def _without_a_bug(scenario: str, seed: int) -> tuple[str, ...]:
    """What breaks without any bug; many bugs are found by the same seed."""
    return simulate(seed, SCENARIOS[scenario]).broken


@pytest.mark.parametrize("bug", obligations)
def test_a_bug_in_the_rules_of_refunds_is_found_among_obligations(bug: str) -> None:
    known = FOUND_AMONG_OBLIGATIONS[bug]
    with pytest.MonkeyPatch.context() as patch:
        REFUND_BUGS[bug].plant(patch)
        found = _first_seed("obligations", known)

    assert found is not None, f"nobody notices that {REFUND_BUGS[bug].wrong}"
    assert _without_a_bug("obligations", found) == ()


def test_every_planted_bug_is_searched_with_a_single_recovery_path() -> None:
    assert set(FOUND) == set(BUGS)
    assert [bug for bug, found in FOUND.items() if set(found) <= {"full"}] == []


def test_at_least_thirty_bugs_are_found_with_all_paths_on() -> None:
    assert sum("full" in found for found in FOUND.values()) >= 30


def test_by_day_each_bug_is_found_once_and_half_of_them_with_a_single_path() -> None:
    assert {bug for bug, _ in cases} == set(BUGS)
    assert len([bug for bug, scenario in cases if scenario != "full"]) >= len(BUGS) / 2


def test_a_bug_that_does_not_fit_the_product_any_more_is_not_found() -> None:
    def other() -> None:
        """Lacks the arguments of the function that it replaces."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decisions, "settle", other)
        broken = simulate(0, SCENARIOS["resolver only"]).broken

    with pytest.raises(AssertionError, match="TypeError"):
        is_found(broken)
