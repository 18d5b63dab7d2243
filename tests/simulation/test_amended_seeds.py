"""Many runs in which bookings are amended, single items given back, and events canceled and moved, with random faults.

Existing scenarios do without these actions, so their seeds stay the same runs.
"""

from collections import Counter
from itertools import chain
from typing import Final

import attrs
import pytest

from tests.simulation.amendment_bugs import AMENDMENT_BUGS
from tests.simulation.bugs import is_found
from tests.simulation.runs import AMENDED, AMENDED_REFUSED, EVENTS, ITEMS, SCENARIOS, Scenario, explain, simulate
from tests.simulation.sizes import NIGHTLY, many

SEEDS: Final = range(5_000 if NIGHTLY else 6)
SEEDS_SQL: Final = range(500 if NIGHTLY else 1)
SEARCHED: Final = 600
"""Within so many seeds each bug has to be found."""

HAPPENS: Final = (
    "BookingAmended",
    "BookingReleased",
    "EventJob",
    "PaymentSucceeded",
    "RefundDeferred",
    "RefundRequested",
)

FOUND: Final = {
    "old_price_after_an_amendment": ("amendments", 13),
    "item_twice": ("items", 24),
    "dearer_by_an_old_page": ("amendments", 207),
    "event_job_repeats": ("events", 1),
    "event_job_forgets_its_refunds": ("events", 18),
    "seat_released_although_unknown": ("items", 7),
}
"""The first seed of a scenario that finds each bug, where clients repeat requests with a key.

Changes of the product move it, and then it is looked for anew.
"""


@pytest.mark.parametrize(
    "scenario", [AMENDED, AMENDED_REFUSED, ITEMS, EVENTS], ids=["taken", "refused", "items", "events"]
)
def test_amended_bookings_are_paid_and_given_back_to_the_cent(scenario: Scenario) -> None:
    _hold(scenario, SEEDS)


@pytest.mark.parametrize("scenario", [AMENDED, ITEMS, EVENTS], ids=["amendments", "items", "events"])
def test_the_same_holds_in_an_sql_database(scenario: Scenario) -> None:
    _hold(attrs.evolve(scenario, sql=True), SEEDS_SQL)


def test_bookings_are_amended_given_back_and_called_off_all_the_time() -> None:
    events: Counter[str] = Counter()
    for result in many(EVENTS, SEEDS):
        events.update(result.events)

    assert [each for each in HAPPENS if not events[each]] == []
    assert events["EventJob"] >= len(SEEDS) / 2


def test_the_same_seed_is_the_same_run() -> None:
    assert [simulate(3, each).trace for each in (AMENDED, ITEMS, EVENTS)] == [
        simulate(3, each).trace for each in (AMENDED, ITEMS, EVENTS)
    ]


@pytest.mark.parametrize("bug", FOUND)
def test_a_planted_bug_is_found_among_amendments(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario, known = FOUND[bug]
    AMENDMENT_BUGS[bug].plant(monkeypatch)

    seeds = chain([known], range(SEARCHED))
    found = next((seed for seed in seeds if is_found(simulate(seed, SCENARIOS[scenario]).broken)), None)
    monkeypatch.undo()

    assert found is not None, f"nobody notices that {AMENDMENT_BUGS[bug].wrong}"
    assert not simulate(found, SCENARIOS[scenario]).broken


def _hold(scenario: Scenario, seeds: range) -> None:
    for result in many(scenario, seeds):
        if result.broken:
            pytest.fail(explain(simulate(result.seed, scenario, log=True), scenario), pytrace=False)
