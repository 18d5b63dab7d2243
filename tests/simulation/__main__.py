"""Repeats runs: ``python -m tests.simulation --seed 42 --log``."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import attrs
import click

from tests.simulation.bugs import BUGS
from tests.simulation.runs import SCENARIOS, Result, Scenario, simulate


@click.command()
@click.option("--seed", "seeds", multiple=True, type=int, help="Run this seed; may be given several times.")
@click.option("--seeds", "span", help="Run these seeds: 0-99.")
@click.option("--scenario", type=click.Choice(sorted(SCENARIOS)), default="full", show_default=True)
@click.option("--sql", is_flag=True, help="Store payments in SQLite instead of memory.")
@click.option("--log", is_flag=True, help="Print the log of successful runs, too.")
@click.option("--traces", is_flag=True, help="Print the hash of each run.")
@click.option("--first", is_flag=True, help="Stop at the first seed that fails; tries 0-1999 by default.")
@click.option("--bug", type=click.Choice(sorted(BUGS)), help="Plant this bug first.")
def main(
    seeds: tuple[int, ...],
    span: str | None,
    scenario: str,
    sql: bool,
    log: bool,
    traces: bool,
    first: bool,
    bug: str | None,
) -> None:
    """Run seeds of the simulation; exit status 1 when an invariant was violated."""
    chosen = attrs.evolve(SCENARIOS[scenario], sql=sql)
    which = [*seeds, *_span(span)] or list(range(2000 if first else 1))
    runs = broken = 0
    with _planted(bug):
        for result in _results(chosen, which, log):
            runs += 1
            broken += bool(result.broken)
            _show(result, log, traces)
            if first and broken:
                break
    click.echo(f"{broken} of {runs} runs failed", err=True)
    sys.exit(bool(broken))


def _planted(bug: str | None) -> AbstractContextManager[None]:
    return BUGS[bug].planted() if bug else nullcontext()


def _span(text: str | None) -> range:
    first, _, last = (text or "0-").partition("-")
    return range(int(first), int(last) + 1) if text else range(0)


def _results(scenario: Scenario, seeds: list[int], log: bool) -> Iterator[Result]:
    return (simulate(seed, scenario, log=log) for seed in seeds)


def _show(result: Result, log: bool, traces: bool) -> None:
    if traces:
        click.echo(f"{result.seed} {result.trace}")
    if result.log and (log or result.broken):
        click.echo(result.log)
    for each in result.broken:
        click.echo(f"seed {result.seed}: {each}")


if __name__ == "__main__":
    main()
