"""One ``serve`` for each SQLite file, by a lock of the operating system on a file beside it.

The lock ends with the process that holds it, however that ends. SQLite's own file is not locked: its locks belong to
SQLite, and closing a second handle of the file would drop them.
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
"""How long a second one waits for the first, which may have been told to stop and finishes its requests."""

LOOK_AGAIN_S: Final = 0.1

OnWait = Callable[[int | None], None]
"""Called once when somebody else has the lock, with the id of that process where it is known."""


class FileServedError(Exception):
    """Another process serves this file, or nobody can say whether one does. The message says what to do."""


def database_file(url: str) -> Path | None:
    """The file of the SQLite database at ``url``, by its one real path; None for one in memory and for PostgreSQL."""
    parsed = normalize_url(url)
    name = parsed.database or ":memory:"
    if not is_sqlite(parsed) or ":memory:" in name or parsed.query.get("mode") == "memory":
        return None
    return Path(os.path.realpath(urlsplit(name).path if name.startswith("file:") else name))


@asynccontextmanager
async def serving_alone(file: Path, wait: timedelta, on_wait: OnWait) -> AsyncIterator[None]:
    """Hold the lock of the database ``file`` while the context lasts; wait at most so long for another process.

    Raises ``FileServedError``. The lock's file stays: whoever removed it could not know that nobody waits for it.
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
            raise FileServedError(_told(file, _holder(descriptor)))
        if not waits:
            on_wait(_holder(descriptor))
            waits = True
        await anyio.sleep(LOOK_AGAIN_S)


def _is_free(descriptor: int, lock: Path) -> bool:
    """Take the lock where nobody has it; whether that worked."""
    try:
        import fcntl
    except ModuleNotFoundError:  # pragma: no cover - Windows
        told = "this system can't say whether another serve has the SQLite file open; use PostgreSQL"
        raise FileServedError(told) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        told = f"the lock file {lock} can't be locked: {_reason(error)}; keep the database on a local disk"
        raise FileServedError(told) from error
    return True


def _holder(descriptor: int) -> int | None:
    written = os.pread(descriptor, 32, 0).strip()
    return int(written) if written.isdigit() else None


def _told(file: Path, holder: int | None) -> str:
    who = f"process {holder}" if holder else "another process"
    return (
        f"{who} serves {file} already, and only one serve may use a SQLite file; stop that one, give this one another "
        "file, or use PostgreSQL, which any number of processes may share"
    )


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
