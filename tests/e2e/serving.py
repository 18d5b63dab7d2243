"""A service of the test's own: a process with its books in a folder, on a free port."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from booking_payments.settings import SETTING_NAMES

READY_S = 20


def command(*words: str) -> list[str]:
    """The command line of the environment that runs the tests."""
    return [sys.executable, "-m", "booking_payments", *words]


def environment() -> dict[str, str]:
    """This process's environment without any setting of ours."""
    return {name: value for name, value in os.environ.items() if name not in SETTING_NAMES}


def printed(directory: Path, *words: str) -> str:
    """What a command prints that is run in ``directory``."""
    done = subprocess.run(command(*words), cwd=directory, env=environment(), capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextmanager
def serving(directory: Path) -> Iterator[str]:
    """The address of a migrated, empty service whose books are in ``directory``; it ends with the block."""
    printed(directory, "migrate")
    port = _free_port()
    process = subprocess.Popen(
        command("serve", "--port", str(port)), cwd=directory, env=environment(), stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_until_ready(address: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_S
    with httpx.Client(base_url=address, trust_env=False) as client:
        while time.monotonic() < until and process.poll() is None:
            try:
                if client.get("/health/ready").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
    pytest.fail("the service did not become ready")
