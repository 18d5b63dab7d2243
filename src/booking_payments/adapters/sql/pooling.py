"""Whether an address of PostgreSQL leads to a pooler in transaction mode, and whether our statements work there.

Such a pooler (PgBouncer with ``pool_mode = transaction``) gives each transaction any server connection that is free.
What a session sets is lost then: our ``search_path`` above all, without which our tables are not found. So is what a
session prepares, unless the pooler keeps count of it (PgBouncer 1.21 and newer, with ``max_prepared_statements``).
"""

from typing import Any, Final

import anyio
import psycopg
from attrs import frozen
from psycopg.conninfo import make_conninfo
from psycopg.errors import DuplicatePreparedStatement, InvalidSqlStatementName

from booking_payments.adapters.sql.engine import normalize_url, patience_with, schema_of, without_schema

WITHIN_S: Final = 10
"""How long the examination may take. It stands still where all server connections of a pooler are in use."""

_WHO: Final = "SELECT pg_backend_pid()"
_ROLE: Final = "SELECT current_user, reset_val FROM pg_settings WHERE name = 'search_path'"


@frozen(kw_only=True)
class Pooling:
    """How transactions of one connection get to PostgreSQL.

    Attributes:
        by_transaction: each may get another server connection.
        prepares: statements that the connection has prepared are known on all of them.
        finds_schema: our tables are found before the session has set anything, by a setting of role or database.
        schema: where our tables are.
        role: who we are there.
    """

    by_transaction: bool
    prepares: bool
    finds_schema: bool
    schema: str
    role: str


async def examine(url: str) -> Pooling:
    """Look at the address ``url`` of a PostgreSQL database. Raises ``psycopg.Error`` where it can't be reached, and
    ``TimeoutError``."""
    parsed = normalize_url(url)
    dsn = without_schema(parsed).set(drivername="postgresql").render_as_string(hide_password=False)
    schema = schema_of(parsed)
    with anyio.fail_after(WITHIN_S):
        async with await _connect(dsn, patience_with(parsed)) as first:
            role, path = await _one(first, _ROLE)
            async with await _connect(dsn, patience_with(parsed)) as second:
                by_transaction, prepares = await _moved(first, second)
    found = [each.strip().strip('"') for each in path.split(",")]
    return Pooling(
        by_transaction=by_transaction,
        prepares=prepares,
        finds_schema=found[:1] == [schema],
        schema=schema,
        role=role,
    )


Connection = psycopg.AsyncConnection[tuple[Any, ...]]


async def _connect(dsn: str, timeouts: dict[str, int]) -> Connection:
    return await psycopg.AsyncConnection.connect(make_conninfo(dsn, **timeouts), autocommit=True)


async def _one(connection: Connection, statement: str, *, prepare: bool = False) -> tuple[Any, ...]:
    row = await (await connection.execute(statement, prepare=prepare)).fetchone()
    assert row is not None  # noqa: S101 - each of our statements has a row
    return row


async def _moved(first: Connection, second: Connection) -> tuple[bool, bool]:
    """Return two facts: whether ``first`` is given another server connection while a transaction of ``second`` occupies
    its previous one, and whether a statement that ``first`` has prepared is known there."""
    try:
        before = await _one(first, _WHO, prepare=True)
        async with second.transaction():
            await _one(second, _WHO)
            after = await _one(first, _WHO, prepare=True)
    except (InvalidSqlStatementName, DuplicatePreparedStatement):  # it is another's, or there is another's of that name
        return True, False
    return after != before, True
