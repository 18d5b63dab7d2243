"""Progress reports of long-running work."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the current step, how many items are done, and how many there are (an estimate from the beginning of the
step)."""


def in_silence(doing: str, done: int, total: int) -> None:
    """Ignore the report."""
