"""Progress of long work, told to whoever waits for it."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Takes what is being done, how much of it is done, and how much there is in all (as far as it was known at the
beginning: more may turn up)."""


def in_silence(doing: str, done: int, total: int) -> None:
    """Tell nobody."""
