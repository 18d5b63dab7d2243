"""Many runs with random faults: no invariant is violated, every run is repeatable, and all kinds of faults occur."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import attrs
import pytest

from tests.simulation.faults import InjectedFault
from tests.simulation.invariants import Pair
from tests.simulation.runs import (
    CLIENT_ONLY,
    DISPUTES,
    FULL,
    OBLIGATED,
    RESOLVER_ONLY,
    SECOND,
    SECOND_REFUSED,
    STORED,
    STORED_RESOLVER_ONLY,
    WEBHOOKS_ONLY,
    Result,
    Scenario,
    explain,
    simulate,
)
from tests.simulation.sizes import NIGHTLY, many

SEEDS: Final = range(100_000 if NIGHTLY else 40)
RARE: Final = () if NIGHTLY else (68, 102)
"""Seeds in which the rarest pairs of ``OFTEN`` happen. Changes of the product move them; then more seeds are tried, up
to ``LOOKED_FOR``."""
LOOKED_FOR: Final = 200
SEEDS_OF_DISPUTES: Final = range(20_000 if NIGHTLY else 15)
SEEDS_ALONE: Final = range(10_000 if NIGHTLY else 6)
SEEDS_OF_OBLIGATIONS: Final = range(20_000 if NIGHTLY else 10)
SEEDS_OF_SECOND_METHODS: Final = range(20_000 if NIGHTLY else 6)
SEEDS_OF_STORED: Final = range(20_000 if NIGHTLY else 10)
SEEDS_SQL: Final = range(10_000 if NIGHTLY else 2)
REPLAYED: Final = range(200 if NIGHTLY else 2)
AT_LEAST: Final = 1_000 if NIGHTLY else 1
AT_LEAST_OF_THE_SELDOM: Final = 10 if NIGHTLY else 0

ROOT: Final = Path(__file__).parents[2]

OFTEN: Final = """
booking: confirmed -> canceled
booking: pending -> canceled
booking: pending -> confirmed
booking: pending -> expired
dispute: - -> needs_response
dispute: - -> warning_needs_response
payment: - -> requires_payment_method
payment: processing -> requires_payment_method
payment: processing -> succeeded
payment: requires_action -> canceled
payment: requires_action -> requires_capture
payment: requires_action -> requires_payment_method
payment: requires_action -> succeeded
payment: requires_capture -> canceled
payment: requires_capture -> succeeded
payment: requires_payment_method -> canceled
payment: requires_payment_method -> failed
payment: requires_payment_method -> processing
payment: requires_payment_method -> requires_action
payment: requires_payment_method -> requires_capture
payment: requires_payment_method -> succeeded
refund: - -> failed
refund: - -> pending
refund: - -> succeeded
refund: pending -> failed
refund: pending -> succeeded
refund: succeeded -> failed
""".strip().splitlines()
"""Pairs of states that runs come by all the time. A pair that is gone means that a part of the product is no longer
tried."""

SELDOM: Final = """
dispute: - -> lost
dispute: - -> under_review
dispute: - -> warning_closed
dispute: - -> warning_under_review
dispute: - -> won
dispute: needs_response -> lost
dispute: needs_response -> under_review
dispute: needs_response -> won
dispute: under_review -> lost
dispute: under_review -> won
dispute: warning_needs_response -> lost
dispute: warning_needs_response -> needs_response
dispute: warning_needs_response -> warning_closed
dispute: warning_needs_response -> warning_under_review
dispute: warning_needs_response -> won
dispute: warning_under_review -> needs_response
dispute: warning_under_review -> warning_closed
payment: processing -> requires_action
payment: requires_action -> processing
""".strip().splitlines()
"""Pairs that only many runs come by: with a state between them that we never heard of, or evidence just in time."""


def _found(scenario: Scenario, seeds: range) -> Result | None:
    return next((result for result in many(scenario, seeds) if result.broken), None)


def _hold(scenario: Scenario, seeds: range) -> None:
    broken = _found(scenario, seeds)
    if broken is not None:
        pytest.fail(explain(simulate(broken.seed, scenario, log=True), scenario), pytrace=False)


@pytest.mark.timeout(0 if NIGHTLY else 600)  # takes more than a minute on a busy machine
def test_faults_of_all_kinds_together_break_nothing_and_all_of_them_happen() -> None:
    struck: Counter[InjectedFault] = Counter()
    pairs: Counter[str] = Counter()

    def take(scenario: Scenario, seeds: Iterable[int]) -> None:
        for result in many(scenario, seeds):
            assert not result.broken, explain(simulate(result.seed, scenario, log=True), scenario)
            struck.update(result.struck)
            pairs.update({_named(pair): times for pair, times in result.pairs.items()})

    def missing() -> list[str]:
        faults = [fault.value for fault in InjectedFault if struck[fault] < AT_LEAST]
        return faults + [pair for pair in OFTEN if pairs[pair] < AT_LEAST]

    for scenario, seeds in ((FULL, [*SEEDS, *RARE]), (DISPUTES, SEEDS_OF_DISPUTES), (STORED, SEEDS_OF_STORED)):
        take(scenario, seeds)
    more = iter(range(len(SEEDS), LOOKED_FOR))
    while not NIGHTLY and missing() and (seed := next(more, None)) is not None:
        take(FULL, [seed])

    print(_table("faults", {fault.value: struck[fault] for fault in InjectedFault}), _table("moves", pairs), sep="\n")
    assert missing() == []
    assert [pair for pair in SELDOM if pairs[pair] < AT_LEAST_OF_THE_SELDOM] == []


def _named(pair: Pair) -> str:
    what, before, after = pair
    return f"{what}: {before or '-'} -> {after}"


def _table(title: str, counts: Mapping[str, int]) -> str:
    return "\n".join([f"{title}:", *(f"  {name:<60} {times}" for name, times in sorted(counts.items()))])


def test_repeated_requests_of_the_client_suffice() -> None:
    _hold(CLIENT_ONLY, SEEDS_ALONE)


def test_webhooks_suffice_for_what_the_gateway_knows() -> None:
    _hold(WEBHOOKS_ONLY, SEEDS_ALONE)


def test_the_resolver_suffices() -> None:
    _hold(RESOLVER_ONLY, SEEDS_ALONE)


@pytest.mark.parametrize("scenario", [SECOND, SECOND_REFUSED], ids=["taken", "refused"])
def test_a_customer_who_changes_the_method_is_charged_once_with_the_newest(scenario: Scenario) -> None:
    _hold(scenario, SEEDS_OF_SECOND_METHODS)


def test_an_object_that_appears_after_a_stored_error_is_found_by_the_resolver_alone() -> None:
    _hold(STORED_RESOLVER_ONLY, SEEDS_OF_STORED)


def test_an_object_that_appears_after_a_stored_error_is_recorded_in_a_database() -> None:
    _hold(attrs.evolve(STORED, sql=True), SEEDS_OF_STORED[::10])


def test_a_promise_is_owed_until_it_is_refunded_with_any_bank_and_operator() -> None:
    _hold(OBLIGATED, SEEDS_OF_OBLIGATIONS)


def test_a_promise_is_owed_in_an_sql_database_too() -> None:
    _hold(attrs.evolve(OBLIGATED, sql=True), SEEDS_OF_OBLIGATIONS[::10])


def test_a_database_has_no_more_faults_than_memory() -> None:
    _hold(attrs.evolve(FULL, sql=True), SEEDS_SQL)


# --- repeatable ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sql", [False, True], ids=["memory", "sqlite"])
def test_the_same_seed_is_the_same_run(sql: bool) -> None:
    scenario = attrs.evolve(FULL, sql=sql)
    first = [simulate(seed, scenario).trace for seed in REPLAYED]
    again = [simulate(seed, scenario).trace for seed in REPLAYED]

    assert first == again


@pytest.mark.parametrize("hash_seed", ["1", "2"] if NIGHTLY else ["1"])
def test_the_same_seed_is_the_same_run_in_another_process(hash_seed: str) -> None:
    last = REPLAYED[-1]
    output = _command("--seeds", f"0-{last}", "--traces", hash_seed=hash_seed)

    assert output.splitlines() == [f"{seed} {simulate(seed, FULL).trace}" for seed in REPLAYED]


def test_different_seeds_are_different_runs() -> None:
    traces = {simulate(seed, FULL).trace for seed in REPLAYED}

    assert len(traces) == len(REPLAYED)


def _command(*arguments: str, hash_seed: str = "0") -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


# --- what a failure looks like ---------------------------------------------------------------------------------


def test_a_failing_seed_is_reported_with_its_log_and_one_command_that_repeats_it() -> None:
    result = attrs.evolve(simulate(7, RESOLVER_ONLY, log=True), broken=("something",))

    report = explain(result, RESOLVER_ONLY)

    assert 'python -m tests.simulation --seed 7 --scenario "resolver only" --log' in report
    assert "asks process" in report
