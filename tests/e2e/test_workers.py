"""Several worker processes on one port: they share the database, and one that dies is replaced."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.e2e.serving import READY_S, printed, process, wait_until_ready
from tests.integration.postgres import PostgresServer
from tests.ports import free_port

STRIPE = {
    "STRIPE_SECRET_KEY": "sk_test_workers",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_workers",
    "STRIPE_WEBHOOK_SECRET": "whsec_workers",
    "STRIPE_API_BASE": "http://127.0.0.1:9",
    "JWT_SECRET": "0123456789abcdef0123456789abcdef",
    "WORKERS": "2",
}


def _workers(of: int) -> set[int]:
    found = subprocess.run(["pgrep", "-P", str(of), "-f", "spawn_main"], capture_output=True, text=True)
    return {int(pid) for pid in found.stdout.split()}


def test_a_worker_that_dies_is_replaced_and_all_end_together(postgres_server: PostgresServer, tmp_path: Path) -> None:
    with postgres_server.database() as url:
        settings = {**STRIPE, "DATABASE_URL": url}
        printed(tmp_path, "migrate", settings=settings)
        port = free_port()
        with process("serve", "--port", str(port), directory=tmp_path, settings=settings) as service:
            address = f"http://127.0.0.1:{port}/health/ready"
            wait_until_ready(address, service)
            before = _until(lambda: _workers(service.pid))
            os.kill(min(before), signal.SIGKILL)
            after = _until(lambda: found if (found := _workers(service.pid)) != before else set())
            wait_until_ready(address, service)  # the one that was left may itself not have come up by now
            ready = httpx2.get(address, trust_env=False).status_code

    assert (len(before), len(after), ready) == (2, 2, 200)
    assert _workers(service.pid) == set()
    assert service.returncode == 0
    assert "uvicorn.access" not in (tmp_path / "serve.log").read_text()


def test_serve_ends_with_an_error_when_no_worker_can_start_again(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    settings_file, log = tmp_path / ".env", tmp_path / "serve.log"
    with postgres_server.database() as url:
        settings_file.write_text(f"DATABASE_URL={url}\n")
        printed(tmp_path, "migrate")
        port = free_port()
        with process("serve", "--port", str(port), directory=tmp_path, settings=STRIPE) as service:
            wait_until_ready(f"http://127.0.0.1:{port}/health/ready", service)
            workers = _until(lambda: _workers(service.pid))
            settings_file.write_text("DATABASE_URL=nonsense\n")  # workers read the settings themselves
            for each in workers:
                os.kill(each, signal.SIGKILL)
            ended = service.wait(READY_S)

    last = log.read_text().splitlines()[-1]
    assert (ended, last.partition(";")[0]) == (1, "Error: no worker process could start")
    assert "DATABASE_URL" in log.read_text()


def test_workers_end_with_a_parent_that_was_killed_and_leave_its_port(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with postgres_server.database() as url:
        settings = {**STRIPE, "DATABASE_URL": url}
        printed(tmp_path, "migrate", settings=settings)
        port = free_port()
        ready = f"http://127.0.0.1:{port}/health/ready"
        with process("serve", "--port", str(port), directory=tmp_path, settings=settings) as service:
            wait_until_ready(ready, service)
            orphans = _until(lambda: _workers(service.pid))
            service.kill()
        _until_refused(port, orphans)
    socket.create_server(("127.0.0.1", port)).close()  # raises OSError while somebody has the port


def _until_refused(port: int, orphans: set[int]) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.05)
    for each in orphans:
        os.kill(each, signal.SIGKILL)
    pytest.fail("somebody still listens")


def _until(look: Callable[[], set[int]]) -> set[int]:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        if len(found := look()) == 2:
            return found
        time.sleep(0.05)
    pytest.fail("the workers did not come up")
