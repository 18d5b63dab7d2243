"""Locks of PostgreSQL that belong to no row."""

from typing import Any

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class LockUntilCommit(FunctionElement[str]):
    """Locks the name that is its argument until the transaction ends; waits for whoever has locked it.

    Where transactions wait for nothing else after having written under it, they see in their next statement all that
    was committed under it (READ COMMITTED). On SQLite, which has one writer at a time, it does nothing.
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
