"""Webhooks arrive in any order, and twice: all orders of a history's events end in the same state."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice, permutations
from math import factorial

import pytest

from tests.simulation.gateway_histories import GATEWAY_HISTORIES, GatewayHistory, live
from tests.simulation.invariants import Json
from tests.simulation.sizes import NIGHTLY

MOST_EVENTS = 7
BY_DAY, BEGINNINGS = 4, 3
"""By day so many events arrive in every order, after so many orders of the events before them: both the first and the
last event begin."""

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

    begun = _beginnings(events)
    ends = [end for beginning in begun for end in _ends(history, events, beginning)]
    assert len(ends) == len(begun) * factorial(len(events) - len(begun[0]))
    assert set(map(repr, ends)) == {repr(_in_order(name, whole=False))}
    assert history.world.invariants.broken == []


@histories
def test_an_event_with_the_method_of_a_charge_may_arrive_at_any_time(name: str) -> None:
    history = live(name)
    others, charged = _others(history), [event for event in history.events() if event["type"] == CHARGED]
    expected = repr(_in_order(name))
    for place in range(len(others) + 1):
        memory = history.remember()
        for event in (*others[:place], *charged, *others[place:]):
            history.hear(event)
        assert repr(history.state()) == expected
        history.go_back(memory)


def _beginnings(events: list[Json]) -> list[tuple[Json, ...]]:
    """Return the events that are delivered before those that are delivered in every order: none at night."""
    if NIGHTLY or len(events) <= BY_DAY:
        return [()]
    orders = list(permutations(events, len(events) - BY_DAY))
    return [orders[number * (len(orders) - 1) // (BEGINNINGS - 1)] for number in range(BEGINNINGS)]


def _ends(history: GatewayHistory, events: list[Json], beginning: Sequence[Json]) -> Iterator[tuple[object, ...]]:
    """Yield the state after each order of the events with this beginning. The first is delivered again at the end, and
    at night each one also at once, which takes twice as long."""
    memory = history.remember()
    for event in beginning:
        history.hear(event)
    yield from _ends_after(history, [event for event in events if event not in beginning], tuple(beginning))
    history.go_back(memory)


def _ends_after(history: GatewayHistory, waiting: list[Json], heard: tuple[Json, ...]) -> Iterator[tuple[object, ...]]:
    if not waiting:
        yield _state_after_repetition(history, heard[0])
        return
    memory = history.remember()
    for event in waiting:
        history.hear(event)
        assert not NIGHTLY or history.hear(event) == "duplicate"
        yield from _ends_after(history, [other for other in waiting if other is not event], (*heard, event))
        history.go_back(memory)


def _state_after_repetition(history: GatewayHistory, event: Json) -> tuple[object, ...]:
    state = history.state()
    assert history.hear(event) == "duplicate"
    assert history.state() == state
    return state


@histories
def test_some_orders_of_the_events_lead_to_the_same_state_in_a_database(name: str) -> None:
    expected = repr(_in_order(name))
    history = live(name, sql=True)
    memory = history.remember()
    with closing(memory.books):
        for order in _sampled(history):
            for event in order:
                history.hear(event)
            names = [event["type"] for event in order]
            assert (history.wrong(), repr(history.state())) == ([], expected), names
            history.go_back(memory)


def _sampled(history: GatewayHistory) -> Iterator[Sequence[Json]]:
    """Yield one in five of all orders at night; by day one in two hundred of those of the other events, with the
    method of the charge at each place in turn."""
    if NIGHTLY:
        yield from islice(permutations(history.events()), 0, None, 5)
        return
    charged = [event for event in history.events() if event["type"] == CHARGED]
    for number, order in enumerate(islice(permutations(_others(history)), 0, None, 200)):
        place = number % (len(order) + 1)
        yield *order[:place], *charged, *order[place:]
