"""One ``serve`` for each SQLite file, by a lock of the operating system on a file beside it.

The operating system releases the lock when the process ends, also after a crash. The database file itself is not
locked here: when a process closes any handle of a file, it loses the POSIX locks that SQLite holds on it.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import anyio

from booking_payments.adapters.sql.engine import is_sqlite, normalize_url

LONGEST_WAIT: Final = timedelta(seconds=30)
"""How long a second ``serve`` waits: the first may be shutting down and still finish its requests."""

LOOK_AGAIN_S: Final = 0.1

OnWait = Callable[[int | None], None]
"""Called once when another process holds the lock, with the id of that process if it is known."""


class FileServedError(Exception):
    """Another process serves this file, or the lock is not available. The message says what to do."""


def database_file(url: str) -> Path | None:
    """The real path of the SQLite file at ``url``; None for a database in memory and for PostgreSQL."""
    parsed = normalize_url(url)
    name = parsed.database or ":memory:"
    if not is_sqlite(parsed) or ":memory:" in name or parsed.query.get("mode") == "memory":
        return None
    return Path(os.path.realpath(urlsplit(name).path if name.startswith("file:") else name))


@asynccontextmanager
async def serving_alone(file: Path, wait: timedelta, on_wait: OnWait) -> AsyncIterator[None]:
    """Hold the lock of the database ``file`` while the context lasts; wait at most ``wait`` for another process.

    Raises ``FileServedError`` when the time is over or the lock file can't be opened or locked. The lock file is never
    removed, since another process may wait for its lock.
    """
    lock = file.with_name(f"{file.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise FileServedError(f"the lock file {lock} can't be opened: {_reason(error)}") from error
    try:
        await _take(descriptor, lock, file, wait, on_wait)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


async def _take(descriptor: int, lock: Path, file: Path, wait: timedelta, on_wait: OnWait) -> None:
    until = anyio.current_time() + wait.total_seconds()
    waits = False
    while not _is_free(descriptor, lock):
        if anyio.current_time() >= until:
            raise FileServedError(_message(file, _holder(descriptor)))
        if not waits:
            on_wait(_holder(descriptor))
            waits = True
        await anyio.sleep(LOOK_AGAIN_S)


def _is_free(descriptor: int, lock: Path) -> bool:
    """Try to take the lock. Returns whether this process holds it now."""
    try:
        import fcntl
    except ModuleNotFoundError:  # pragma: no cover - Windows
        text = "this system has no file locks (flock), so serve can't use a SQLite file; use PostgreSQL"
        raise FileServedError(text) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        text = f"the lock file {lock} can't be locked: {_reason(error)}; keep the database on a local disk"
        raise FileServedError(text) from error
    return True


def _holder(descriptor: int) -> int | None:
    written = os.pread(descriptor, 32, 0).strip()
    return int(written) if written.isdigit() else None


def _message(file: Path, holder: int | None) -> str:
    who = f"process {holder}" if holder else "another process"
    return (
        f"{who} serves {file} already, and only one serve may use a SQLite file; stop that one, give this one another "
        "file, or use PostgreSQL, which any number of processes may share"
    )


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
