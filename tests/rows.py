"""Tables that one test checks row by row: hundreds of parametrized tests would cost more time than their checks."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def row(name: object) -> Iterator[None]:
    """Add the row to the error that the block raises."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"row: {name}")
        raise
