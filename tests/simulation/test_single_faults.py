"""Exactly one thing goes wrong, at every boundary in turn: nothing is done twice, and nothing is lost."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from tests.simulation.actors import Repairs
from tests.simulation.fault_points import (
    RESOLVER,
    USE_CASES,
    Outcome,
    UseCase,
    faults_for,
    outcome,
    play,
    points,
    replaced,
    untouched,
)
from tests.simulation.faults import BoundaryKind, InjectedFault, OneFault, Point
from tests.simulation.sizes import NIGHTLY
from tests.simulation.world import SimulatedWorld

POINTS: Final = {
    "pay": (4, 23),
    "pay with 3-D Secure": (4, 16),
    "confirm after 3-D Secure": (8, 30),
    "pay again after a decline": (5, 26),
    "another method in action": (6, 27),
    "another method, refused in action": (10, 48),
    "choose another method": (4, 15),
    "capture": (4, 21),
    "cancel": (4, 18),
    "cancel an authorization": (4, 18),
    "cancel the booking": (5, 21),
    "cancel the paid booking": (6, 29),
    "amend to a lower price": (5, 24),
    "amend to a higher price": (7, 33),
    "amend the paid booking": (6, 30),
    "refund all": (5, 24),
    "refund a part": (5, 23),
    "webhook of a success": (1, 17),
    "webhook of a decline": (3, 15),
    "webhook of a refund": (5, 22),
    "resolver: left in flight": (14, 51),
    "resolver: left unknown": (17, 54),
    "resolver: refund unknown": (18, 62),
    "outbox": (11, 36),
    "expiry": (14, 50),
}
"""How many boundaries each use case crosses, in memory and (with each SQL statement) in SQLite. A number that shrinks
means that there is something which no fault can strike any more; look for the reason before you change it here."""

cases = pytest.mark.parametrize("case", USE_CASES, ids=lambda case: case.name)


@cases
@pytest.mark.parametrize("sql", [False, True], ids=["memory", "sqlite"])
def test_a_use_case_crosses_as_many_boundaries_as_we_know(case: UseCase, sql: bool) -> None:
    found = len(points(case, sql=sql))
    print(f"{case.name}: {found} points")

    assert found == POINTS[case.name][sql]


@cases
def test_one_fault_anywhere_changes_nothing_in_the_end(case: UseCase) -> None:
    assert list(_what_breaks(case, sql=False)) == []


@cases
def test_one_fault_anywhere_does_not_change_the_final_state_in_a_database(case: UseCase) -> None:
    assert list(_what_breaks(case, sql=True)) == []


def _what_breaks(case: UseCase, *, sql: bool) -> Iterator[str]:
    for repair in case.repairs:
        faults = [fault for fault in _faults(case, sql) if repair in _repairs(case, fault)]
        expected = _expected(case, repair, sql=sql) if faults else set()
        for fault in faults:
            world = play(case, fault, repair, sql=sql)
            wrong = list(world.invariants.broken)
            if fault.fault is not InjectedFault.DECLINE and not _ended_as(world, fault, case, expected):
                wrong.append(f"ended as {outcome(world)}")
            if wrong:
                yield f"{fault} of {case.name}, repaired by {repair}: {wrong}\n{world.log.text()}"


def _repairs(case: UseCase, fault: OneFault) -> tuple[Repairs, ...]:
    """How a fault is repaired: at night in each way that is possible, by day in one of them. Neighboring boundaries,
    faults of different kinds, and a fault once and several times have different ones."""
    place = fault.number + list(InjectedFault).index(fault.fault) + (fault.times > 1)
    return case.repairs if NIGHTLY else (case.repairs[place % len(case.repairs)],)


def _expected(case: UseCase, repair: Repairs, *, sql: bool) -> set[Outcome]:
    expected = {outcome(play(case, None, repair, sql=sql))} | replaced(case)
    return expected | untouched(case, sql=sql) if repair == RESOLVER else expected


def _ended_as(world: SimulatedWorld, fault: OneFault, case: UseCase, expected: set[Outcome]) -> bool:
    """Whether it ended as ``expected``. Where the payment that was to replace another one was lost, nothing is charged
    and the booking waits to be paid: the client's request was for a payment that is over."""
    found = _without_lost(world, fault)
    if case.refused_in_action and fault.fault is InjectedFault.ERROR_BEFORE and found[2] == ("canceled",):
        found = (*found[:2], ("canceled", "requires_payment_method"), found[3])
        return found in untouched(case)
    return found in expected


def _without_lost(world: SimulatedWorld, fault: OneFault) -> Outcome:
    """Return the outcome without payments that were abandoned as lost: after a stored 500 without an effect a client
    pays with a new payment, or does not."""
    intents, refunds, statuses, bookings = outcome(world)
    lost = any(each.intent_id is None and each.status.value == "canceled" for each in world.ours.payments.values())
    if fault.fault is not InjectedFault.ERROR_BEFORE or not lost:
        return intents, refunds, statuses, bookings
    left = list(statuses)
    left.remove("canceled")
    return intents, refunds, tuple(left) or ("requires_payment_method",), bookings


ONE_IN: Final = {False: 6, True: 24}
"""By day one boundary in so many is tried, in memory (False) and in SQLite (True)."""
_OF_BOOKS: Final = (BoundaryKind.TRANSACTION, BoundaryKind.READ, BoundaryKind.STATEMENT, BoundaryKind.PUBLISH)
_IN_MEMORY: Final = (BoundaryKind.GATEWAY, BoundaryKind.TRANSACTION, BoundaryKind.READ, BoundaryKind.PUBLISH)


def _faults(case: UseCase, sql: bool) -> Iterator[OneFault]:
    """All faults at night. By day those of one boundary in ``ONE_IN``, beginning with another one in each use case. In
    SQLite what the gateway does is left to the nights: the books' adapter has no part in it."""
    for point in _struck(case, sql=sql):
        yield from faults_for(point)


def _struck(case: UseCase, *, sql: bool) -> Sequence[Point]:
    found = points(case, sql=sql)
    if NIGHTLY:
        return found
    one_in, kinds = ONE_IN[sql], _OF_BOOKS if sql else _IN_MEMORY
    first = USE_CASES.index(case) % one_in
    return [point for kind in kinds for point in [each for each in found if each.kind is kind][first::one_in]]


@pytest.mark.parametrize(
    ("sql", "kinds", "least"), [(False, _IN_MEMORY, 25), (True, _OF_BOOKS, 25)], ids=["memory", "sqlite"]
)
def test_boundaries_of_every_kind_are_struck(sql: bool, kinds: Sequence[BoundaryKind], least: int) -> None:
    struck = Counter(point.kind for case in USE_CASES for point in _struck(case, sql=sql))

    print(dict(struck))
    assert sum(struck.values()) >= least
    assert min(struck[kind] for kind in kinds) >= 1
