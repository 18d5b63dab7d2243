"""Starting a server, and the small figures: imports, start, memory, and the domain's own work."""

import asyncio
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
from anyio.from_thread import start_blocking_portal

from bench.seed import make_pattern
from booking_payments.domain import decisions
from booking_payments.domain.fees import FeePolicy
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import evolve, fold
from booking_payments.domain.reports import IntentReport
from booking_payments.embedding import SyncBookingPayments
from booking_payments.testing.house import House

READY_WITHIN_S: Final = 30


@contextmanager
def serving(command: Sequence[str], settings: Mapping[str, str]) -> Iterator[int]:
    """The port on which ``command`` serves, until the block ends."""
    port = _free_port()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)], env={**os.environ, **settings}, stdout=log, stderr=log
        )
        try:
            _wait(process, port)
            yield port
        finally:
            process.terminate()
            process.wait(READY_WITHIN_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        if _answers(port):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} did not listen on {port} within {READY_WITHIN_S} s")


def _answers(port: int) -> bool:
    """Whether something is said to a request: the socket listens before those who work on it are ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_WITHIN_S)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status > 0
    except OSError:
        return False
    finally:
        connection.close()


def figures() -> dict[str, str]:
    """Each small figure, in words."""
    return {**_domain(), **_faces(), "import of `booking_payments.domain`": _import_ms(), **_start()}


def _domain() -> dict[str, str]:
    pattern = asyncio.run(make_pattern("10.99", "usd"))
    payment, booking = pattern.payment, pattern.booking
    report = IntentReport(
        id=payment.intent_id or "",
        status=PaymentStatus.SUCCEEDED,
        amount=payment.amount,
        amount_received=payment.amount,
        amount_capturable=Money.zero(payment.amount.currency),
        charge_id="ch_1",
    )
    last = pattern.journal[-1]
    succeeded = decisions.observe_intent(payment, report, booking, alone=True)[0]
    recorded = attrs.evolve(last, sequence=last.sequence + 1, fact=succeeded)
    paid = evolve(payment, recorded)
    amount = iter(range(1, 10**9))
    return {
        "decide: a success from the gateway": _us(
            lambda: decisions.observe_intent(payment, report, booking, alone=True)
        ),
        "evolve: one fact": _us(lambda: evolve(payment, recorded)),
        f"fold: a journal of {len(pattern.journal)} facts": _us(lambda: fold(pattern.journal)),
        "quote of a refund": _us(lambda: paid.refundable.quote(last.at, None)),
        "fee of an amount not seen before": _us(lambda: FeePolicy().of_booking(Money(next(amount), Currency.USD))),
    }


def _faces() -> dict[str, str]:
    """What a call costs more without an event loop, on a house in memory."""
    calls, house = 2_000, House()

    async def awaited() -> float:
        booking = await house.book()
        began = time.perf_counter()
        for _ in range(calls):
            await house.payments.get_booking(booking.id)
        return time.perf_counter() - began

    with start_blocking_portal() as portal:
        plain = portal.call(awaited)
        payments = SyncBookingPayments(house.payments, portal)
        booking_id = portal.call(house.book).id
        began = time.perf_counter()
        for _ in range(calls):
            payments.get_booking(booking_id)
        took = time.perf_counter() - began
    return {"sync face, over the async one, a call": f"{(took - plain) / calls * 1e6:.0f} µs"}


def _us(work: Callable[[], object]) -> str:
    return f"{min(timeit.repeat(work, number=500, repeat=9)) / 500 * 1e6:.1f} µs"


def _import_ms() -> str:
    code = (
        "import time; t = time.perf_counter(); import booking_payments.domain.payment; print(time.perf_counter() - t)"
    )
    took = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(5)]
    return f"{sorted(took)[2] * 1000:.0f} ms"


def _start() -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        settings = {"DATABASE_URL": f"sqlite:///{Path(folder) / 'start.db'}"}
        command = [sys.executable, "-m", "booking_payments"]
        subprocess.run([*command, "migrate"], env={**os.environ, **settings}, check=True, capture_output=True)
        took = [_start_once([*command, "serve"], settings) for _ in range(3)]
    return {"`serve` ready, warm": f"{sorted(took)[1]:.1f} s"}


def _start_once(command: Sequence[str], settings: Mapping[str, str]) -> float:
    began = time.perf_counter()
    with serving(command, settings):
        return time.perf_counter() - began
