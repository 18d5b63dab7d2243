"""Webhooks come in any order, and twice: all orders of a life's events end in the same state."""

from collections.abc import Iterator
from itertools import islice, permutations
from math import factorial

import pytest

from tests.simulation.invariants import Json
from tests.simulation.lives import LIVES, Life, live
from tests.simulation.sizes import NIGHTLY

MOST_EVENTS = 7

lives = pytest.mark.parametrize("name", LIVES)


CHARGED = "charge.succeeded"
"""Tells only what a charge was made with. It is tried at each place among the others.

So all orders of the others stay few enough to be tried."""


def _others(life: Life) -> list[Json]:
    return [event for event in life.events() if event["type"] != CHARGED]


def _in_order(name: str, *, sql: bool = False, whole: bool = True) -> tuple[object, ...]:
    life = live(name, sql=sql)
    for event in life.events() if whole else _others(life):
        life.hear(event)
    assert life.wrong() == []
    return life.state()


@lives
def test_events_that_come_in_order_tell_all_that_has_happened(name: str) -> None:
    assert _in_order(name) == _in_order(name, sql=True)


@lives
def test_every_order_of_the_events_ends_in_the_same_state(name: str) -> None:
    life = live(name)
    events = _others(life)
    assert 2 <= len(events) <= MOST_EVENTS

    ends = list(_ends(life, events))
    assert len(ends) == factorial(len(events))
    assert set(map(repr, ends)) == {repr(_in_order(name, whole=False))}
    assert life.world.invariants.broken == []


@lives
def test_what_a_charge_was_made_with_may_be_told_at_any_time(name: str) -> None:
    life = live(name)
    others, charged = _others(life), [event for event in life.events() if event["type"] == CHARGED]
    for place in range(len(others) + 1):
        memory = life.remember()
        for event in (*others[:place], *charged, *others[place:]):
            life.hear(event)
        assert repr(life.state()) == repr(_in_order(name))
        life.go_back(memory)


def _ends(life: Life, waiting: list[Json], heard: tuple[Json, ...] = ()) -> Iterator[tuple[object, ...]]:
    """The state after each order of what is waiting. Each event comes twice at once, and in the end all come again."""
    if not waiting:
        yield _state_after_repetitions(life, heard)
        return
    memory = life.remember()
    for event in waiting:
        life.hear(event)
        assert life.hear(event) == "duplicate"
        yield from _ends(life, [other for other in waiting if other is not event], (*heard, event))
        life.go_back(memory)


def _state_after_repetitions(life: Life, heard: tuple[Json, ...]) -> tuple[object, ...]:
    state = life.state()
    assert life.hear(heard[0]) == "duplicate"
    assert life.state() == state
    return state


@lives
def test_some_orders_of_the_events_end_in_the_same_state_of_sql_books(name: str) -> None:
    expected = repr(_in_order(name))
    for order in islice(permutations(range(len(live(name).events()))), 0, None, 5 if NIGHTLY else 50):
        life = live(name, sql=True)
        events = life.events()
        for place in order:
            life.hear(events[place])
        assert (life.wrong(), repr(life.state())) == ([], expected), order
