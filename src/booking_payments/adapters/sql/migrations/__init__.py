"""The schema's history, applied by ``migrate`` and checked at start.

Alembic does the work. What only looks at the revision does without it: a service has no other use for it, and it takes
time and memory at every start.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from booking_payments.adapters.sql.engine import (
    BUSY_TIMEOUT_MS,
    create_schema,
    is_sqlite,
    normalize_url,
    prepare_postgresql,
    prepare_sqlite,
    schema_of,
    set_search_path,
    without_schema,
)
from booking_payments.ports.schema_name import VERSION_TABLE

if TYPE_CHECKING:
    from alembic.config import Config

_HERE: Final = Path(__file__).parent

_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtext('booking_payments.migrate'))"
"""PostgreSQL's lock for processes that start at once; SQLite has its write lock."""

_LONGEST_WAIT_MS: Final = 60_000
"""Another process may be migrating: all revisions take longer than a lock is waited for in daily work."""

_WAIT_FOR_OTHERS: Final = f"SET LOCAL lock_timeout = {_LONGEST_WAIT_MS}"

_WAIT_FOR_TABLES: Final = f"SET LOCAL lock_timeout = {BUSY_TIMEOUT_MS}"

_QUEUE_TABLE: Final = "procrastinate_jobs"


class CannotMigrateError(Exception):
    """The schema belongs to another application, or to a newer release."""


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_HERE))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The revision that this version of the package needs: the last one, since each follows the one before."""
    return max(path.name.partition("_")[0] for path in (_HERE / "versions").glob("[0-9]*_*.py"))


def migrate(url: str) -> str:
    """Bring the database at ``url`` to the newest revision in one transaction, and return that revision.

    Running it twice changes nothing; of several processes that run it at once, one does the work.

    Raises:
        CannotMigrateError: a newer release has migrated the database, or another application's Procrastinate uses the
            schema. Nothing was changed.
    """
    from alembic import command

    parsed = normalize_url(url)
    engine = _engine(parsed)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(_WAIT_FOR_OTHERS)
                connection.exec_driver_sql(_ONE_AT_A_TIME)
                connection.exec_driver_sql(_WAIT_FOR_TABLES)
                create_schema(connection, schema_of(parsed))
                # A pooler in transaction mode may have lost what the session set.
                connection.exec_driver_sql(set_search_path(schema_of(parsed), local=True))
            _require_ours(connection)
            command.upgrade(_config(connection), "head")
    finally:
        engine.dispose()
    return head()


def is_newer(revision: str | None) -> bool:
    """Whether a database at this revision belongs to a newer release than this one."""
    return revision is not None and revision > head()


def _require_ours(connection: Connection) -> None:
    revision = _current(connection)
    if is_newer(revision):
        raise CannotMigrateError(
            f"the database is at revision {revision}, of a newer release than this one ({head()}); install that release"
        )
    if revision is None and inspect(connection).has_table(_QUEUE_TABLE):
        raise CannotMigrateError(
            "another application uses Procrastinate in this schema; give booking-payments a schema of its own "
            "(DATABASE_SCHEMA)"
        )


def _engine(url: URL) -> Engine:
    if not is_sqlite(url):
        engine = create_engine(without_schema(url), hide_parameters=True)
        prepare_postgresql(engine, schema_of(url))
        return engine
    engine = create_engine(url.set(drivername="sqlite"), hide_parameters=True)
    prepare_sqlite(engine, busy_timeout_ms=_LONGEST_WAIT_MS)
    return engine


async def current(engine: AsyncEngine) -> str | None:
    """The revision of the database; None for an empty one. Raises what the driver raises when it can't be reached."""
    async with engine.connect() as connection:
        return await connection.run_sync(_current)


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    statement = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 - a name of our own
    return connection.exec_driver_sql(statement).scalar_one_or_none()


_COLUMNS: Final = {
    "postgresql": "SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
    "WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped",
    "sqlite": "SELECT its.name, columns.name FROM sqlite_master AS its JOIN pragma_table_info(its.name) AS columns "
    "WHERE its.type = 'table'",
}
"""All columns that there are, with their tables."""


async def missing(engine: AsyncEngine) -> Sequence[str]:
    """The tables and columns that this release needs and the database does not have, by name: a revision alone does not
    say that they are there. Raises what the driver raises when it can't be reached."""
    async with engine.connect() as connection:
        found = {(row[0], row[1]) for row in await connection.execute(text(_COLUMNS[engine.dialect.name]))}
    tables = {table for table, _ in found}
    lacking = _expected(engine.dialect.name) - found
    return sorted({f"{table}.{column}" if table in tables else table for table, column in lacking})


@cache
def _expected(dialect: str) -> frozenset[tuple[str, str]]:
    from booking_payments.adapters.gateways.bank_transfer import tables as _  # noqa: F401 - its tables are among them
    from booking_payments.adapters.sql import search
    from booking_payments.adapters.sql.tables import metadata

    queue = {(_QUEUE_TABLE, "id")} if dialect == "postgresql" else set()
    ours = {(table.name, column.name) for table in metadata.tables.values() for column in table.columns}
    return frozenset(ours | queue | {(search.INDEXED, "booking_id"), (search.INDEXED, "search_text")})
