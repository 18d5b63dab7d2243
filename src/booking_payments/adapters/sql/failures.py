"""What a database error means: a value that is taken, another transaction in the way, text that it can't hold, or that
it is out of reach."""

import sqlite3
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError

_UNIQUE_VIOLATION: Final = "23505"

_CONFLICTS: Final = frozenset({"40001", "40P01", "55P03"})
"""PostgreSQL's serialization_failure, deadlock_detected and lock_not_available (its documentation, appendix A)."""

_DOWN: Final = ("08", "53", "57", "58")
"""PostgreSQL's classes connection exception, insufficient resources, operator intervention and system error."""

_READ_ONLY: Final = "25006"
"""PostgreSQL's read_only_sql_transaction: a server that was replaced by another one still answers, but only reads."""

_SQLITE_DOWN: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
)
_SQLITE_PRIMARY: Final = 0xFF
"""The low byte of SQLite's codes says which of these it is; the rest says more of it."""

_SQLITE_TAKEN: Final = frozenset({sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE})


def is_taken(error: IntegrityError) -> bool:
    """Return True when ``error`` says that a unique value is taken. Every other violated constraint is a programming
    error and must not be mistaken for it."""
    return _sqlstate(error) == _UNIQUE_VIOLATION or getattr(error.orig, "sqlite_errorcode", None) in _SQLITE_TAKEN


def is_conflict(error: DBAPIError) -> bool:
    """Whether the database only says that another transaction was in the way."""
    return _sqlstate(error) in _CONFLICTS or "database is locked" in str(error.orig)


def is_out_of_reach(error: DBAPIError) -> bool:
    """Whether the database can't be reached, or can do nothing at present."""
    state, code = _sqlstate(error), getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & _SQLITE_PRIMARY in _SQLITE_DOWN
    if state is None:  # not even a server's answer: the connection was never made, or is broken
        return isinstance(error, OperationalError) and not isinstance(error.orig, sqlite3.Error)
    return state.startswith(_DOWN)


def only_reads(error: DBAPIError) -> bool:
    """Whether the database takes no writes at present; where we only read, it is our own doing."""
    return _sqlstate(error) == _READ_ONLY


def is_unstorable(error: Exception) -> bool:
    """Whether a text can't be stored at all: PostgreSQL takes no NUL, no database takes half a surrogate pair."""
    return isinstance(error, UnicodeEncodeError) or (isinstance(error, DataError) and "NUL" in str(error.orig))


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)
