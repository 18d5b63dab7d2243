"""Several worker processes on one port: they share the database, and one that dies is replaced."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.e2e.serving import READY_S, printed, process
from tests.integration.postgres import PostgresServer
from tests.nightly import NIGHTLY
from tests.ports import free_port

pytestmark = pytest.mark.timeout(300)  # workers that are left over are killed after READY_S
SETTINGS = {"PAYMENT_GATEWAY": "manual", "JWT_SECRET": "0123456789abcdef0123456789abcdef", "WORKERS": "2"}
"""With the gateway that loads least."""


WITHOUT_EXTRAS = "import sys; sys.modules.update(dict.fromkeys(['fastapi', 'redis', 'rich']))"
"""The injector, the rate limits and the log import these packages where they are installed, as for the tests, which
takes a quarter of a worker's start."""


def in_workers(folder: Path, code: str) -> dict[str, str]:
    """A setting with which the workers run ``code`` at their start. Their parent does not: it is a forked process."""
    (folder / "sitecustomize.py").write_text(f"{WITHOUT_EXTRAS}\n{code}\n")
    return {"PYTHONPATH": str(folder)}


def _running(parent: int) -> set[int]:
    found = subprocess.run(["pgrep", "-P", str(parent), "-f", "spawn_main"], capture_output=True, text=True)
    return {int(pid) for pid in found.stdout.split()}


def _ready(folder: Path) -> list[int]:
    """The process ids of all workers that have served, in order, according to the log."""
    lines = [json.loads(line) for line in (folder / "serve.log").read_text().splitlines() if line.startswith("{")]
    return [line["pid"] for line in lines if line["event"] == "serve.worker_ready"]


# SIGTERM only at night: by day it is tested by tests/integration/test_supervisor.py, with workers that start quickly.
@pytest.mark.parametrize("by", [signal.SIGKILL, *([signal.SIGTERM] if NIGHTLY else [])], ids=lambda by: by.name)
def test_a_worker_that_dies_is_replaced_and_all_end_with_their_parent_and_leave_its_port(
    by: signal.Signals, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with postgres_server.database() as url:
        settings = {**SETTINGS, "DATABASE_URL": url, **in_workers(tmp_path, "")}
        printed(tmp_path, "migrate", settings=settings)
        port = free_port()
        with process("serve", "--port", str(port), directory=tmp_path, settings=settings) as service:
            before = _until(lambda: _ready(tmp_path), 2)
            started = _running(service.pid)
            os.kill(before[0], signal.SIGKILL)
            after = _until(lambda: _ready(tmp_path), 3)[1:]
            running = _running(service.pid)
            ready = httpx2.get(f"http://127.0.0.1:{port}/health/ready", trust_env=False).status_code
            service.send_signal(by)
            ended = service.wait(READY_S)
        _until_refused(port, after)
    socket.create_server(("127.0.0.1", port)).close()  # raises OSError while somebody has the port

    assert (started, running, ready) == ({*before}, {*after}, 200)
    assert "uvicorn.access" not in (tmp_path / "serve.log").read_text()
    assert ended == (0 if by == signal.SIGTERM else -by)


def test_serve_ends_with_an_error_when_no_worker_can_start(postgres_server: PostgresServer, tmp_path: Path) -> None:
    with postgres_server.database() as url:
        # The workers read the settings themselves, and those of this test have changed by then.
        changed = in_workers(tmp_path, "import os; os.environ['DATABASE_URL'] = 'nonsense'")
        settings = {**SETTINGS, "DATABASE_URL": url, **changed}
        printed(tmp_path, "migrate", settings=settings)
        with process("serve", "--port", str(free_port()), directory=tmp_path, settings=settings) as service:
            ended = service.wait(READY_S)

    log = (tmp_path / "serve.log").read_text()
    assert (ended, log.splitlines()[-1].partition(";")[0]) == (1, "Error: no worker process could start")
    assert "DATABASE_URL: must be" in log
    assert _running(service.pid) == set()


def _until_refused(port: int, workers: list[int]) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.05)
    for each in workers:
        os.kill(each, signal.SIGKILL)
    pytest.fail("somebody still listens")


def _until(look: Callable[[], list[int]], count: int) -> list[int]:
    """What ``look`` finds, when it finds ``count``."""
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        if len(found := look()) == count:
            return found
        time.sleep(0.05)
    pytest.fail(f"there are {len(found)} workers, not {count}")
