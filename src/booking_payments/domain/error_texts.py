"""Redaction of error messages for logs and the database: own messages are kept, those of libraries are hidden.

Messages of libraries and drivers quote their input, for example a row with an address. Own messages quote nothing.
"""

from typing import Final

OWN: Final = __name__.partition(".")[0]
HIDDEN: Final = "(not shown: texts of libraries may quote data)"


def safe_text(error: BaseException) -> str:
    """Return the message of an own error; of any other error its error numbers, if it has some, and a placeholder."""
    if is_own(error):
        return str(error)
    numbers = [
        f"{name}={value}" for name in ("errno", "sqlstate", "sqlite_errorname") if (value := _number(error, name))
    ]
    return " ".join([*numbers, HIDDEN])


def is_own(error: BaseException) -> bool:
    """True when the error's class is defined in this package."""
    return type(error).__module__.partition(".")[0] == OWN


def _number(error: BaseException, name: str) -> str | int | None:
    """Return the attribute ``name`` of the error or of its ``orig`` (SQLAlchemy); None without such a code."""
    for each in (error, getattr(error, "orig", None)):
        value = getattr(each, name, None)
        if isinstance(value, int) or (isinstance(value, str) and value.isascii() and len(value) <= 40):
            return value
    return None
