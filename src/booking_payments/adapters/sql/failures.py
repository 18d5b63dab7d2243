"""What a database error means: a value that is taken, another transaction in the way, text that it can't hold."""

import sqlite3
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

_UNIQUE_VIOLATION: Final = "23505"

_CONFLICTS: Final = frozenset({"40001", "40P01", "55P03"})
"""PostgreSQL's serialization_failure, deadlock_detected and lock_not_available (its documentation, appendix A)."""

_SQLITE_TAKEN: Final = frozenset({sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE})


def is_taken(error: IntegrityError) -> bool:
    """Whether a unique value is taken. Any other violated constraint is a bug of ours and must not pass for this."""
    return _sqlstate(error) == _UNIQUE_VIOLATION or getattr(error.orig, "sqlite_errorcode", None) in _SQLITE_TAKEN


def is_conflict(error: DBAPIError) -> bool:
    """Whether the database only says that another transaction was in the way."""
    return _sqlstate(error) in _CONFLICTS or "database is locked" in str(error.orig)


def is_unstorable(error: Exception) -> bool:
    """Whether a text can't be stored at all: PostgreSQL takes no NUL, no database takes half a surrogate pair."""
    return isinstance(error, UnicodeEncodeError) or (isinstance(error, DataError) and "NUL" in str(error.orig))


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)
