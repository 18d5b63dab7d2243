"""Locks of PostgreSQL that belong to no row."""

from typing import Any

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class LockUntilCommit(FunctionElement[str]):
    """Locks the name in its argument until the transaction ends, and waits for a transaction that holds the same lock.

    The next statement of the transaction sees everything that was committed under the lock (READ COMMITTED). On SQLite,
    which has
    one writer at a time, this does nothing.
    """

    type = Text()
    inherit_cache = True


@compiles(LockUntilCommit, "postgresql")
def _on_postgresql(element: LockUntilCommit, compiler: SQLCompiler, **options: Any) -> str:
    name = compiler.process(element.clauses, **options)
    return f"pg_advisory_xact_lock(hashtextextended('booking_payments ' || {name}, 0))::text"


@compiles(LockUntilCommit)
def _elsewhere(element: LockUntilCommit, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)
