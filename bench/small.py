"""Starting a server, and the small figures: imports, start, memory, and the domain's own work."""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from anyio.from_thread import start_blocking_portal
from attrs import frozen

from booking_payments.embedding import SyncBookingPayments
from booking_payments.testing.kit import PaymentsTestKit

ROOT: Final = Path(__file__).resolve().parent.parent
READY_WITHIN_S: Final = 120


@frozen
class RunningServer:
    """A server that runs: its port on loopback, and its process."""

    port: int
    pid: int

    @property
    def resident_mb(self) -> float:
        """What its memory takes at present (Linux)."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    @property
    def processor_s(self) -> float:
        """Processor time that it and its workers have taken so far (Linux)."""
        return sum(self.processor_s_of_each.values())

    @property
    def processor_s_of_each(self) -> dict[int, float]:
        """Processor time by process: of the server and of its workers (Linux)."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/children")
        workers = [int(each) for task in tasks for each in task.read_text().split()]
        return {pid: _processor_s(pid) for pid in (self.pid, *workers)}


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(command: Sequence[str], settings: Mapping[str, str]) -> Iterator[RunningServer]:
    """``command``, which serves until the block ends."""
    port = _free_port()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)], env={**os.environ, **settings}, stdout=log, stderr=log
        )
        try:
            _wait(process, port)
            yield RunningServer(port, process.pid)
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
    """Medians of pytest-benchmark, by the names of its tests."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "domain.json"
        command = [sys.executable, "-m", "pytest", "-q", "bench/test_domain.py", f"--benchmark-json={told}"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        found = json.loads(told.read_text())["benchmarks"]
    return {_words(each["name"]): f"{each['stats']['median'] * 1e6:.1f} µs" for each in found}


def _words(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ")


def _faces() -> dict[str, str]:
    """What a call costs more without an event loop, on an in-memory test kit."""
    calls, kit = 2_000, PaymentsTestKit()

    async def awaited() -> float:
        booking = await kit.book()
        began = time.perf_counter()
        for _ in range(calls):
            await kit.payments.get_booking(booking.id)
        return time.perf_counter() - began

    with start_blocking_portal() as portal:
        plain = portal.call(awaited)
        payments = SyncBookingPayments(kit.payments, portal)
        booking_id = portal.call(kit.book).id
        began = time.perf_counter()
        for _ in range(calls):
            payments.get_booking(booking_id)
        took = time.perf_counter() - began
    return {"sync face, over the async one, a call": f"{(took - plain) / calls * 1e6:.0f} µs"}


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
