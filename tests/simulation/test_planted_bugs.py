"""The simulation sees: each bug that is planted is found, also when only one path may mend what a fault has torn.

All paths together mend much, so that a few bugs only show where a path stands alone. That is why each is tried alone.
"""

from collections.abc import Mapping
from itertools import chain
from typing import Final

import pytest

from tests.simulation.bugs import BUGS
from tests.simulation.refund_bugs import REFUND_BUGS
from tests.simulation.runs import FULL, SCENARIOS, simulate

SEEDS: Final = 2_000
"""Within so many seeds each bug has to be found, unless its known seed is beyond them."""

FOUND: Final[Mapping[str, Mapping[str, int]]] = {
    "fresh_key_per_try": {"full": 3, "resolver only": 11},
    "fresh_refund_key_per_try": {"full": 92, "resolver only": 19},
    "fresh_key_per_process": {"full": 779, "resolver only": 11},
    "keys_live_for_ever": {"full": 468, "resolver only": 573},
    "timeout_is_failure": {"full": 48, "resolver only": 48},
    "reset_is_failure": {"full": 38, "resolver only": 154},
    "server_error_is_failure": {"full": 24, "resolver only": 53},
    "silent_refund_is_failure": {"full": 204, "resolver only": 110},
    "silent_cancel_is_done": {"full": 256, "resolver only": 5},
    "silence_is_forgotten": {"full": 1019, "resolver only": 477},
    "replay_is_trusted": {"full": 3, "resolver only": 10},
    "declined_intent_is_forgotten": {"full": 11, "resolver only": 0},
    "unreadable_is_not_done": {"full": 48, "resolver only": 48},
    "lease_is_ignored": {"full": 2, "resolver only": 86},
    "lease_never_lapses": {"full": 2, "resolver only": 3},
    "resolver_gives_up": {"full": 57, "resolver only": 1},
    "waiting_is_not_watched": {"resolver only": 1},
    "refunds_are_not_read": {"full": 4, "resolver only": 1},
    "own_intent_is_not_found": {"full": 14, "resolver only": 74},
    "nothing_is_sent_again": {"full": 24, "resolver only": 11},
    "lost_is_not_watched": {"stored errors": 9, "stored errors, resolver only": 0},
    "one_walk_suffices": {"stored errors": 1, "stored errors, resolver only": 0},
    "walks_at_once_count": {"stored errors": 1, "stored errors, resolver only": 0},
    "broken_walk_counts": {"stored errors": 57, "stored errors, resolver only": 284},
    "what_turns_up_is_left": {"stored errors": 9, "stored errors, resolver only": 0},
    "lost_refund_is_sent_at_once": {"stored errors": 106, "stored errors, resolver only": 4047},
    "marked_before_effect": {"full": 2, "webhooks only": 6},
    "failed_webhook_is_taken": {"full": 38, "webhooks only": 20},
    "failed_is_duplicate": {"full": 1672, "webhooks only": 283},
    "early_event_is_foreign": {"webhooks only": 48},
    "known_object_is_old_news": {"full": 52, "webhooks only": 433},
    "snapshot_is_trusted": {"webhooks only": 131},
    "late_money_is_kept": {"full": 381, "resolver only": 110},
    "late_success_is_dropped": {"full": 381, "resolver only": 110},
    "paid_is_not_confirmed": {"full": 1, "resolver only": 0},
    "verdict_goes_to_the_running_attempt": {"second methods": 43},
    "older_method_is_charged": {"second methods": 8},
    "room_is_made_unasked": {"second methods refused": 4},
    "refund_is_not_reserved": {"full": 45, "resolver only": 32},
    "late_refund_failure_is_dropped": {"full": 4, "webhooks only": 138},
    "dashboard_refund_is_dropped": {"full": 4, "webhooks only": 18},
    "disputes_are_dropped": {"full": 1, "webhooks only": 0},
    "dispute_funds_are_dropped": {"full": 3, "webhooks only": 0},
    "partial_refund_is_full": {"full": 3, "resolver only": 32},
    "unknown_releases_booking": {"full": 3, "resolver only": 3},
    "canceled_booking_can_be_paid": {"full": 0, "resolver only": 1},
    "closed_booking_is_charged": {"full": 19, "resolver only": 1},
    "cancel_does_not_wait": {"full": 0, "resolver only": 1},
    "returned_refund_is_not_posted": {"full": 4, "webhooks only": 138},
    "refund_is_posted_twice": {"full": 3, "resolver only": 1},
    "two_transactions": {"full": 4, "resolver only": 0},
    "message_is_crossed_off_first": {"full": 7, "resolver only": 5},
    "messages_overtake": {"full": 137, "resolver only": 22},
}
"""The first seed that finds each bug, where it is found: a place to begin. Changes of the product move it, and then it
is looked for from the first seed on; ``python -m tests.simulation --bug NAME --first`` finds the new one."""

FOUND_AMONG_OBLIGATIONS: Final[Mapping[str, int]] = {
    "taken_is_still_owed": 1,
    "partial_loss_ends_the_promise": 128,
    "disputes_hold_nothing": 1,
    "part_is_sent_during_an_inquiry": 1724,
    "repetition_is_a_new_refund": 127,
    "status_moves_money": 0,
    "settlement_currency_is_ours": 13,
    "appeal_is_dropped": 0,
    "waiting_is_left": 564,
    "deferred_is_never_sent": 42,
    "failed_refund_is_sent_again": 32,
    "prevented_took_nothing": 15,
    "deferred_is_sent_during_a_dispute": 11,
    "settled_is_acknowledged": 1065,
    "won_at_another_rate_keeps_a_rest": 13,
    "second_dispute_is_dropped": 1,
}
"""The first seed of the scenario ``obligations`` that finds these bugs, besides the history that finds each."""

cases = [(bug, scenario) for bug, found in FOUND.items() for scenario in found]


@pytest.mark.parametrize(("bug", "scenario"), cases)
def test_a_planted_bug_is_found(bug: str, scenario: str) -> None:
    with BUGS[bug].planted():
        found = _first_seed(scenario, FOUND[bug][scenario])

    assert found is not None, f"nobody notices that {BUGS[bug].wrong}"
    assert not simulate(found, SCENARIOS[scenario]).broken


def _first_seed(scenario: str, known: int) -> int | None:
    for seed in chain([known], range(SEEDS)):
        if simulate(seed, SCENARIOS[scenario]).broken:
            return seed
    return None


@pytest.mark.parametrize("bug", FOUND_AMONG_OBLIGATIONS)
def test_a_bug_in_the_rules_of_refunds_is_found_among_obligations(bug: str) -> None:
    known = FOUND_AMONG_OBLIGATIONS[bug]
    with pytest.MonkeyPatch.context() as patch:
        REFUND_BUGS[bug].plant(patch)
        found = _first_seed("obligations", known)

    assert found is not None, f"nobody notices that {REFUND_BUGS[bug].wrong}"
    assert not simulate(found, SCENARIOS["obligations"]).broken


def test_every_planted_bug_is_searched_with_a_single_recovery_path() -> None:
    assert set(FOUND) == set(BUGS)
    assert [bug for bug, found in FOUND.items() if set(found) <= {"full"}] == []


def test_at_least_thirty_bugs_are_found_with_all_paths_on() -> None:
    assert sum("full" in found for found in FOUND.values()) >= 30


def test_without_a_bug_the_same_seeds_find_nothing() -> None:
    seeds = sorted({found["full"] for found in FOUND.values() if "full" in found})

    assert [seed for seed in seeds if simulate(seed, FULL).broken] == []
