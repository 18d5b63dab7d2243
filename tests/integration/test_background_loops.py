"""The loops of the background work: each goes its own way, and is woken by the signal for itself."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from booking_payments.ports.jobs import DeliverMessages, SettlePayment
from booking_payments.runtime import background
from booking_payments.runtime.background import Every, RunPass, WokenBy, WorkSignal, running

TIMEOUT_S = 30


@pytest.fixture
def only_when_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """No loop looks by itself within the time of a test."""
    monkeypatch.setattr(background, "POLL_PAUSE", timedelta(hours=1))


def _signal() -> WorkSignal:
    return WorkSignal(lambda: datetime.now(UTC))


class Counted:
    """Work that is counted; each round waits until it is ``free``."""

    def __init__(self) -> None:
        self.begun = 0
        self.free = anyio.Event()

    async def work(self) -> int:
        self.begun += 1
        await self.free.wait()
        return 0


def _free() -> Counted:
    counted = Counted()
    counted.free.set()
    return counted


async def _until(happened: Callable[[], bool]) -> None:
    with anyio.fail_after(TIMEOUT_S):
        while not happened():  # noqa: ASYNC110 - what is waited for is a count
            await anyio.sleep(0.01)


async def test_a_long_pass_does_not_delay_other_loops() -> None:
    slow, quick, now_and_then = Counted(), _free(), _free()
    signal = _signal()

    async with running(signal, [slow.work, quick.work], [Every(timedelta(milliseconds=10), now_and_then.work)]):
        for rounds in range(1, 4):
            await _until(lambda rounds=rounds: min(quick.begun, now_and_then.begun) >= rounds)  # type: ignore[misc]
            signal.notify()
        assert slow.begun == 1
        slow.free.set()


async def test_a_failing_pass_does_not_stop_other_loops() -> None:
    quick = _free()

    async def breaks() -> int:
        raise RuntimeError("a programming error")

    async with running(_signal(), [breaks, quick.work]):
        await _until(lambda: quick.begun >= 2)


@pytest.mark.usefixtures("only_when_woken")
async def test_a_job_wakes_the_loops_that_it_concerns_and_no_other() -> None:
    deliver, settle, everything = _free(), _free(), _free()
    signal = _signal()
    woken: list[RunPass | WokenBy] = [
        WokenBy(DeliverMessages, deliver.work),
        WokenBy(SettlePayment, settle.work),
        everything.work,
    ]

    async with running(signal, woken):
        await _until(lambda: all(each.begun == 1 for each in (deliver, settle, everything)))
        signal.notify([(DeliverMessages(), datetime.now(UTC))])
        await _until(lambda: (deliver.begun, everything.begun) == (2, 2))
        signal.notify([(SettlePayment(payment_id="pay_1"), datetime.now(UTC))])
        await _until(lambda: everything.begun == 3 and settle.begun >= 2)
        assert (deliver.begun, settle.begun) == (2, 2)


@pytest.mark.usefixtures("only_when_woken")
async def test_the_signal_wakes_every_loop_that_waits() -> None:
    works = [_free(), _free()]
    woken: list[RunPass | WokenBy] = [each.work for each in works]
    signal = _signal()

    async with running(signal, woken):
        await _until(lambda: all(each.begun for each in works))
        signal.notify()
        await _until(lambda: all(each.begun == 2 for each in works))


@pytest.mark.usefixtures("only_when_woken")
async def test_a_loop_that_is_signaled_during_a_pass_runs_again_at_once() -> None:
    busy, idle = Counted(), _free()
    signal = _signal()

    async with running(signal, [busy.work, idle.work]):
        await _until(lambda: busy.begun == 1)
        signal.notify()
        await _until(lambda: idle.begun == 2)
        busy.free.set()
        await _until(lambda: busy.begun == 2)
