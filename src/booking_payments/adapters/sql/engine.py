"""Database engines, configured so that a committed transaction is durable and no lock is waited for without end."""

import math
import sqlite3
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from booking_payments.ports.schema_name import SCHEMA, SCHEMA_PARAMETER, is_schema_name

BUSY_TIMEOUT_MS: Final = 2_000
"""Milliseconds after which waiting for a lock fails; the transaction is then restarted."""

LONGEST_S = 30.0
"""Seconds after which a transaction is abandoned. A suspended PostgreSQL sends no error, and transactions of this
service take less than a second; the time spent waiting for SQLite's only writer counts, too."""

POOL_SIZE: Final = 10

IDLE_S: Final = 1.0
"""How long a connection was unused before it is tried with a ping."""

CONNECTION_TIMEOUTS: Final[Mapping[str, int]] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""How long a PostgreSQL is waited for that says nothing, in libpq's words. What the address says counts more."""

_USED: Final = "booking_payments_used"

READS: Final = "booking_payments_reads"
"""Execution option of a connection that only reads."""


def normalize_url(url: str) -> URL:
    """Any spelling of a SQLite or PostgreSQL address as the one with the driver that we use.

    Raises ``ValueError`` for other databases.
    """
    parsed = make_url(url)
    backend = parsed.drivername.partition("+")[0]
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    if backend not in drivers:
        raise ValueError(f"{backend} is not supported; use a sqlite:/// or postgresql:// address")
    return parsed.set(drivername=drivers[backend])


def schema_of(url: URL) -> str:
    """The schema that the address of a PostgreSQL database names, or the usual one. Raises ``ValueError``."""
    name = str(url.query.get(SCHEMA_PARAMETER, SCHEMA))
    if not is_schema_name(name):
        raise ValueError("a schema is called by letters a-z, digits and underscores")
    return name


def without_schema(url: URL) -> URL:
    """The address as drivers know it."""
    return url.difference_update_query([SCHEMA_PARAMETER])


def set_search_path(schema: str, *, local: bool = False) -> str:
    """Return the statement by which a session finds this service's tables by their bare names; with ``local`` only
    until the transaction ends."""
    return f'SET {"LOCAL " if local else ""}search_path TO "{schema}"'


def prepare_postgresql(engine: Engine, schema: str) -> None:
    """Have all connections find our tables, and wait for no lock without end."""
    event.listen(engine, "connect", partial(_on_connect_postgresql, schema))


def create_schema(connection: Connection, schema: str) -> None:
    """Create the schema if it does not exist. An existing one needs no right to create schemas."""
    there = text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
    if connection.execute(there, {"name": schema}).first() is None:
        connection.exec_driver_sql(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')


def libpq_with_schema(url: str) -> str:
    """libpq's connection string for the address, whose sessions find our tables from the start.

    For direct connections only: PgBouncer does not pass such options on.
    """
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    parsed = normalize_url(url)
    dsn = without_schema(parsed).set(drivername="postgresql").render_as_string(hide_password=False)
    given = str(conninfo_to_dict(dsn).get("options") or "")
    return make_conninfo(dsn, options=f"{given} -csearch_path={schema_of(parsed)}".strip())


def is_sqlite(url: URL) -> bool:
    """Whether the (normalized) address is one of SQLite."""
    return url.get_backend_name() == "sqlite"


def open_engine(url: str) -> AsyncEngine:
    """An engine for the database at ``url``.

    SQLite: transactions are ours (``BEGIN IMMEDIATE`` for writers, so that a read-then-write never fails half-way),
    write-ahead log, every commit on disk, foreign keys on. PostgreSQL: READ COMMITTED, with row locks where we need
    them, and no endless waiting for one.
    """
    parsed = normalize_url(url)
    if not is_sqlite(parsed):
        return _open_postgresql(parsed)
    engine = create_async_engine(parsed, hide_parameters=True)
    prepare_sqlite(engine.sync_engine)
    return engine


def _open_postgresql(url: URL) -> AsyncEngine:
    engine = create_async_engine(
        without_schema(url),
        hide_parameters=True,
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        isolation_level="READ COMMITTED",
        connect_args=patience_with(url),
    )
    prepare_postgresql(engine.sync_engine, schema_of(url))
    _ping_the_rested(engine.sync_engine)
    return engine


def patience_with(url: URL) -> dict[str, int]:
    """Return the entries of ``CONNECTION_TIMEOUTS`` that the address does not set itself."""
    return {name: value for name, value in CONNECTION_TIMEOUTS.items() if name not in url.query}


def _ping_the_rested(engine: Engine) -> None:
    """Try a connection before it is used, unless it has just been: a ping costs as much as a statement."""

    broken_at = -math.inf

    def on_invalidate(_: object, record: ConnectionPoolEntry, error: object) -> None:
        nonlocal broken_at
        broken_at = time.monotonic()  # others may be broken, too

    def on_checkin(_: object, record: ConnectionPoolEntry) -> None:
        record.info[_USED] = time.monotonic()

    def on_checkout(connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
        used = record.info.get(_USED, math.inf)
        if used > max(broken_at, time.monotonic() - IDLE_S):
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError("the database has let go of its connections") from error

    event.listen(engine, "invalidate", on_invalidate)
    event.listen(engine, "checkin", on_checkin)
    event.listen(engine, "checkout", on_checkout)


def _on_connect_postgresql(schema: str, connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute(set_search_path(schema))
    cursor.execute(f"SET lock_timeout = {BUSY_TIMEOUT_MS}")
    cursor.close()
    connection.commit()  # a rollback would undo settings made in this transaction


def prepare_sqlite(engine: Engine, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
    """Take transactions into our own hands, make commits durable, and wait ``busy_timeout_ms`` for a lock."""
    event.listen(engine, "do_connect", _require_folder)
    event.listen(engine, "connect", partial(_on_connect, busy_timeout_ms))
    event.listen(engine, "begin", _on_begin)


def _require_folder(_: object, record: object, args: Sequence[Any], options: object) -> None:
    """Fail as SQLite would where the file's folder is missing, before a thread is started for the connection: one that
    cannot connect ends after its event loop, and its last words would be a traceback."""
    file = str(args[0]) if args else ""
    if file and not file.startswith((":memory:", "file:")) and not Path(file).absolute().parent.is_dir():
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_CANTOPEN, "SQLITE_CANTOPEN"
        raise error


def _on_connect(busy_timeout_ms: int, connection: Any, _: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {busy_timeout_ms}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "recursive_triggers = ON",  # without it INSERT OR REPLACE would get past the append-only triggers
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get(READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
