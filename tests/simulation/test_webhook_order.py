"""Webhooks arrive in any order, and twice: all orders of a history's events end in the same state."""

from collections.abc import Iterator
from itertools import islice, permutations
from math import factorial

import pytest

from tests.simulation.gateway_histories import GATEWAY_HISTORIES, GatewayHistory, live
from tests.simulation.invariants import Json
from tests.simulation.sizes import NIGHTLY

MOST_EVENTS = 7

histories = pytest.mark.parametrize("name", GATEWAY_HISTORIES)


CHARGED = "charge.succeeded"
"""Tells only what a charge was made with. It is tried at each place among the others.

So all orders of the others stay few enough to be tried."""


def _others(history: GatewayHistory) -> list[Json]:
    return [event for event in history.events() if event["type"] != CHARGED]


def _in_order(name: str, *, sql: bool = False, whole: bool = True) -> tuple[object, ...]:
    history = live(name, sql=sql)
    for event in history.events() if whole else _others(history):
        history.hear(event)
    assert history.wrong() == []
    return history.state()


@histories
def test_events_in_order_report_every_change(name: str) -> None:
    assert _in_order(name) == _in_order(name, sql=True)


@histories
def test_every_order_of_the_events_ends_in_the_same_state(name: str) -> None:
    history = live(name)
    events = _others(history)
    assert 2 <= len(events) <= MOST_EVENTS

    ends = list(_ends(history, events))
    assert len(ends) == factorial(len(events))
    assert set(map(repr, ends)) == {repr(_in_order(name, whole=False))}
    assert history.world.invariants.broken == []


@histories
def test_an_event_with_the_method_of_a_charge_may_arrive_at_any_time(name: str) -> None:
    history = live(name)
    others, charged = _others(history), [event for event in history.events() if event["type"] == CHARGED]
    for place in range(len(others) + 1):
        memory = history.remember()
        for event in (*others[:place], *charged, *others[place:]):
            history.hear(event)
        assert repr(history.state()) == repr(_in_order(name))
        history.go_back(memory)


def _ends(history: GatewayHistory, waiting: list[Json], heard: tuple[Json, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Yield the state after each order of the events. Each event is delivered twice, and all again at the end."""
    if not waiting:
        yield _state_after_repetitions(history, heard)
        return
    memory = history.remember()
    for event in waiting:
        history.hear(event)
        assert history.hear(event) == "duplicate"
        yield from _ends(history, [other for other in waiting if other is not event], (*heard, event))
        history.go_back(memory)


def _state_after_repetitions(history: GatewayHistory, heard: tuple[Json, ...]) -> tuple[object, ...]:
    state = history.state()
    assert history.hear(heard[0]) == "duplicate"
    assert history.state() == state
    return state


@histories
def test_some_orders_of_the_events_lead_to_the_same_state_in_a_database(name: str) -> None:
    expected = repr(_in_order(name))
    for order in islice(permutations(range(len(live(name).events()))), 0, None, 5 if NIGHTLY else 50):
        history = live(name, sql=True)
        events = history.events()
        for place in order:
            history.hear(events[place])
        assert (history.wrong(), repr(history.state())) == ([], expected), order
