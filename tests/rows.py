"""Tables that are tested row by row within one test: hundreds of tests cost more time than what they test."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def row(name: object) -> Iterator[None]:
    """Let whatever fails within the block say which row of the table it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"row: {name}")
        raise
