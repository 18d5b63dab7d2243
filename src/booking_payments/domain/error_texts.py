"""What may be written of an error: our own texts, and of all others only what kind of error it is.

The messages of libraries and drivers quote what they were given: a row with an address and a note, a text that is no
number. Ours are written for whoever reads them, and quote nothing.
"""

from typing import Final

OWN: Final = __name__.partition(".")[0]
HIDDEN: Final = "(not shown: texts of libraries may quote data)"


def safe_text(error: BaseException) -> str:
    """The message of an error of ours; of another one the number that says what it is, if it has one."""
    if is_own(error):
        return str(error)
    numbers = [
        f"{name}={value}" for name in ("errno", "sqlstate", "sqlite_errorname") if (value := _number(error, name))
    ]
    return " ".join([*numbers, HIDDEN])


def is_own(error: BaseException) -> bool:
    """Whether the error's type is one of this package."""
    return type(error).__module__.partition(".")[0] == OWN


def _number(error: BaseException, name: str) -> str | int | None:
    """Of the error, or of the driver's error in it (SQLAlchemy's ``orig``)."""
    for each in (error, getattr(error, "orig", None)):
        value = getattr(each, name, None)
        if isinstance(value, int) or (isinstance(value, str) and value.isascii() and len(value) <= 40):
            return value
    return None
