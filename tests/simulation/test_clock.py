"""Clocks that are wrong: ahead, behind, set back. The gateway's clock is never ours."""

from typing import Final

import attrs
import pytest

from tests.simulation.runs import JUMPS_BACK, SKEWED, SKEWED_AND_SET_BACK, Scenario, explain, simulate
from tests.simulation.sizes import NIGHTLY, many

SEEDS: Final = range(5_000 if NIGHTLY else 6)


clocks = pytest.mark.parametrize(
    "scenario",
    [SKEWED, JUMPS_BACK, SKEWED_AND_SET_BACK],
    ids=["ten minutes ahead and behind", "set back by an hour", "both"],
)


@clocks
def test_wrong_clocks_break_nothing(scenario: Scenario) -> None:
    broken = next((result for result in many(scenario, SEEDS) if result.broken), None)

    assert broken is None, explain(simulate(broken.seed, scenario, log=True), scenario)


@clocks
def test_wrong_clocks_cause_no_fault_in_a_database(scenario: Scenario) -> None:
    sql = attrs.evolve(scenario, sql=True)
    broken = [result.seed for result in many(sql, SEEDS[::5]) if result.broken]

    assert broken == []
