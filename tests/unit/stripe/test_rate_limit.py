"""The limits on requests to Stripe: a request that would wait too long raises ``NotSent`` and is not sent."""

import contextlib

import anyio
import pytest

from booking_payments.adapters.gateways.stripe import rate_limit
from booking_payments.adapters.gateways.stripe.gateway import TransportResponse
from booking_payments.adapters.gateways.stripe.rate_limit import RateLimitedTransport
from booking_payments.adapters.gateways.stripe.requests import Params
from booking_payments.ports.gateway import NotSent, OutcomeAmbiguous
from tests.event_loop import all_tasks_blocked


class RecordingTransport:
    """Records the time and the concurrency of requests; with ``gate`` they wait until it is opened."""

    def __init__(self, *, held: bool = False, fails: bool = False) -> None:
        self.time = 0.0
        self.sent_at: list[float] = []
        self.at_once = self.most_at_once = 0
        self.gate = anyio.Event()
        self._fails = fails
        if not held:
            self.gate.set()

    async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> TransportResponse:
        self.sent_at.append(self.time)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        if self._fails:
            raise OutcomeAmbiguous("nothing came back", code="timeout")
        return TransportResponse({})

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


def limited(recorder: RecordingTransport, *, per_s: int = 0, at_once: int = 0) -> RateLimitedTransport:
    return RateLimitedTransport(
        recorder, max_per_s=per_s, max_concurrent=at_once, now=lambda: recorder.time, sleep=recorder.sleep
    )


async def ask(transport: RateLimitedTransport) -> None:
    await transport.call("GET", "/v1/events", {}, None)


async def test_the_requests_of_one_second_are_sent_in_a_burst_and_the_rest_at_the_rate() -> None:
    recorder = RecordingTransport()
    transport = limited(recorder, per_s=20)

    for _ in range(60):
        await ask(transport)

    assert recorder.sent_at[:20] == [0.0] * 20
    assert recorder.sent_at[-1] == pytest.approx(2.0)


async def test_after_a_pause_the_burst_is_limited_to_one_second() -> None:
    recorder = RecordingTransport()
    transport = limited(recorder, per_s=5)
    recorder.time = 3600.0

    for _ in range(10):
        await ask(transport)

    assert recorder.sent_at.count(3600.0) == 5


async def test_a_request_that_would_wait_too_long_is_refused_and_not_sent() -> None:
    recorder = RecordingTransport()
    transport = RateLimitedTransport(recorder, max_per_s=2, max_concurrent=0, now=lambda: 0.0, sleep=recorder.sleep)
    for _ in range(2 + int(2 * rate_limit.LONGEST_WAIT_S)):
        await ask(transport)
    sent = len(recorder.sent_at)

    with pytest.raises(NotSent) as busy:
        await ask(transport)

    assert (busy.value.code, len(recorder.sent_at)) == ("gateway_busy", sent)


async def test_the_number_of_concurrent_requests_is_limited() -> None:
    recorder = RecordingTransport(held=True)
    transport = limited(recorder, at_once=3)

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(ask, transport)
        await all_tasks_blocked()
        under_way = recorder.at_once
        recorder.gate.set()

    assert (under_way, recorder.most_at_once, len(recorder.sent_at)) == (3, 3, 10)


async def test_a_request_that_waits_too_long_for_a_slot_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "LONGEST_WAIT_S", 0.01)
    recorder = RecordingTransport(held=True)
    transport = limited(recorder, at_once=1)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, transport)
        await all_tasks_blocked()
        with pytest.raises(NotSent):
            await ask(transport)
        recorder.gate.set()

    assert len(recorder.sent_at) == 1


async def test_a_changing_call_does_not_wait_behind_reads() -> None:
    time, paid_at = 0.0, list[float]()
    moved = anyio.Event()

    async def sleep(seconds: float) -> None:
        until = time + seconds
        while time < until - 1e-9:
            await moved.wait()

    class SlowTransport(RecordingTransport):
        async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> TransportResponse:
            await sleep(0.3)
            return TransportResponse({})

    transport = RateLimitedTransport(SlowTransport(), max_per_s=20, max_concurrent=10, now=lambda: time, sleep=sleep)

    async def ask_or_give_up() -> None:
        with contextlib.suppress(NotSent):
            await ask(transport)

    async def pay() -> None:
        await transport.call("POST", "/v1/payment_intents", {}, "key")
        paid_at.append(time)

    async with anyio.create_task_group() as tasks:
        for _ in range(150):
            tasks.start_soon(ask_or_give_up)
        await all_tasks_blocked()
        for _ in range(3):
            tasks.start_soon(pay)
        for step in range(1, 200):
            await all_tasks_blocked()
            time, moved, before = step * 0.05, anyio.Event(), moved
            before.set()

    assert len(paid_at) == 3
    assert max(paid_at) <= 1.0, "a place and a turn, each at the next opportunity"


async def test_the_postponed_read_gets_the_turn_of_the_changing_call() -> None:
    time, sent = 0.0, list[tuple[str, float]]()
    moved = anyio.Event()

    async def sleep(seconds: float) -> None:
        until = time + seconds
        while time < until - 1e-9:
            await moved.wait()

    class Noted(RecordingTransport):
        async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> TransportResponse:
            sent.append((method, round(time, 6)))
            return TransportResponse({})

    transport = RateLimitedTransport(Noted(), max_per_s=2, max_concurrent=0, now=lambda: time, sleep=sleep)

    async def pay() -> None:
        await transport.call("POST", "/v1/refunds", {}, "key")

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(ask, transport)
        await all_tasks_blocked()
        for _ in range(2):
            tasks.start_soon(pay)
        for step in range(1, 9):
            await all_tasks_blocked()
            time, moved, before = step * 0.5, anyio.Event(), moved
            before.set()

    assert [method for method, _ in sent] == ["GET", "GET", "POST", "POST", "GET", "GET", "GET", "GET"]
    assert [at for _, at in sent] == [0.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0], "two a second, as always"


async def test_a_failed_call_releases_its_slot() -> None:
    recorder = RecordingTransport(fails=True)
    transport = limited(recorder, at_once=1)

    for _ in range(3):
        with pytest.raises(OutcomeAmbiguous):
            await ask(transport)

    assert len(recorder.sent_at) == 3


async def test_zero_disables_a_limit() -> None:
    recorder = RecordingTransport()
    transport = limited(recorder)

    for _ in range(1000):
        await ask(transport)

    assert recorder.time == 0.0
