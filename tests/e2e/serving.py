"""Processes of the test's own: the service with its books in a folder, and a sandbox, each on a free port."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import httpx2
import pytest
from click.testing import CliRunner, Result

from booking_payments.entrypoints.cli import main
from booking_payments.runtime.settings import setting_names
from tests import preloaded
from tests.ports import free_port

READY_S = 100
STOP_S = 40
"""Longer than the service takes to finish running requests."""


def command(*words: str) -> list[str]:
    """The command line of the environment that runs the tests."""
    return [sys.executable, "-m", "booking_payments", *words]


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment with ``settings`` as the only settings of the service."""
    settings_of_the_service = setting_names()
    own = {name: value for name, value in os.environ.items() if name not in settings_of_the_service}
    return own | dict(settings or {})


def invoked(directory: Path, *words: str, settings: Mapping[str, str] | None = None) -> Result:
    """Return the result of a command that ends by itself, run in ``directory`` with only these ``settings``.

    It runs in this process, since a new one would need a second or more of CPU time to import the package.
    ``test_readme``,
    ``test_install`` and ``test_restoring`` test commands as processes.

    Raises:
        Exception: the command's, if it raised one instead of reporting an error.
    """
    nothing: dict[str, str | None] = dict.fromkeys(setting_names())
    before = Path.cwd()
    os.chdir(directory)
    try:
        result = CliRunner().invoke(main, words, env={**nothing, **(settings or {})})
    finally:
        os.chdir(before)
    if isinstance(result.exception, Exception):
        raise result.exception
    return result


def printed(directory: Path, *words: str, settings: Mapping[str, str] | None = None) -> str:
    """What a command prints that is run in ``directory`` and has to succeed."""
    done = invoked(directory, *words, settings=settings)
    assert done.exit_code == 0, f"{words}: {done.output}"
    return done.stdout.strip()


@cache
def _migrated() -> bytes:
    """An empty, migrated SQLite file; to migrate one takes longer than to copy it."""
    with TemporaryDirectory() as folder:
        printed(Path(folder), "migrate")
        return (Path(folder) / "booking-payments.db").read_bytes()


@contextmanager
def serving(directory: Path, settings: Mapping[str, str] | None = None, port: int | None = None) -> Iterator[str]:
    """The address of a migrated service whose books are in ``directory``; it ends with the block."""
    books = directory / "booking-payments.db"
    if (settings and "DATABASE_URL" in settings) or books.exists() or (directory / ".env").exists():
        printed(directory, "migrate", settings=settings)
    else:
        books.write_bytes(_migrated())
    port = port or free_port()
    with process("serve", "--port", str(port), directory=directory, settings=settings) as started:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{address}/health/ready", started)
        yield address


@contextmanager
def sandboxed(directory: Path, *words: str) -> Iterator[str]:
    """The address of an empty sandbox; it ends with the block."""
    port = free_port()
    with process("sandbox", "--port", str(port), *words, directory=directory) as started:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{address}/_sandbox/faults", started)
        yield address


@contextmanager
def process(
    *words: str, directory: Path, settings: Mapping[str, str] | None = None
) -> Iterator[preloaded.ForkedProcess]:
    """Run a command until the block ends. Its log goes to ``<its name>.log`` in ``directory``."""
    with (directory / f"{words[0]}.log").open("ab") as log:
        module = ["-m", "booking_payments", *words]
        started = preloaded.started(module, cwd=directory, env=environment(settings), stderr=log)
        try:
            yield started
        finally:
            started.terminate()
            started.wait(timeout=STOP_S)


class Started(Protocol):
    """A process, started by ``subprocess`` or ``preloaded``."""

    def poll(self) -> int | None: ...


def wait_until_ready(url: str, started: Started) -> None:
    """Return when ``url`` answers 200; fail when it never does."""
    until = time.monotonic() + READY_S
    with httpx2.Client(trust_env=False) as client:
        while time.monotonic() < until and started.poll() is None:
            try:
                if client.get(url).status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.05)
    pytest.fail(f"{url} did not become ready")
