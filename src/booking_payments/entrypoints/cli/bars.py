"""Progress bars on standard error, shown only when it is a terminal."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click

from booking_payments.application.progress import Progress, in_silence


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Shows one bar after another, one for each kind of work; none when standard error is not a terminal."""
    if not sys.stderr.isatty():
        yield in_silence
        return
    bars = _Bars()
    with bars:
        yield bars.show


class _Bars(ExitStack):
    """The bar of the current kind of work."""

    def __init__(self) -> None:
        super().__init__()
        self._doing: str | None = None
        self._bar: Any = None

    def show(self, doing: str, done: int, total: int) -> None:
        """Advance the bar, or start another one."""
        if doing != self._doing:
            self.close()
            self._doing, self._bar = doing, self.enter_context(_bar(doing, total))
        self._bar.length = max(total, 1)
        self._bar.update(done - self._bar.pos)


def _bar(doing: str, total: int) -> Any:
    return click.progressbar(length=max(total, 1), label=doing, file=sys.stderr, width=30)
