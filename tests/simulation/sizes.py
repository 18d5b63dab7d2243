"""How much is run: a little with every test run, everything with ``SIMULATION=nightly``."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Final

from tests.simulation.runs import Result, Scenario, simulate

NIGHTLY: Final = os.environ.get("SIMULATION") == "nightly"

WORKERS: Final = 2


def many(scenario: Scenario, seeds: Iterable[int]) -> Iterator[Result]:
    """The results of all seeds; at night by two processes."""
    run = partial(simulate, scenario=scenario)
    if not NIGHTLY:
        yield from map(run, seeds)
        return
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as workers:
        yield from workers.map(run, seeds, chunksize=200)
