"""Tables for a terminal: a header line, aligned columns, and the command for the next page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import click

COLOURS: Final = {"good": "green", "bad": "red", "warn": "yellow"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table: ``head`` in capitals, then ``rows``, each column as wide as its widest cell.

    Cells may be coloured: colour takes no width.
    """
    cells = [[name.upper() for name in head], *([*row] for row in rows)]
    widths = [max(len(click.unstyle(row[column])) for row in cells) for column in range(len(head))]
    for row in cells:
        padded = (cell + " " * (width - len(click.unstyle(cell))) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()


def coloured(text: str, style: str) -> str:
    """Return ``text`` in the colour of ``style``; click removes colours when the output is not a terminal."""
    return click.style(text, fg=COLOURS.get(style), bold=True)


def limit_option(default: int, most: int) -> Callable[[Any], Any]:
    """The option ``--limit`` of a list."""
    return click.option(
        "--limit",
        metavar="N",
        type=click.IntRange(1, most),
        default=default,
        show_default=True,
        help=f"How many at most; up to {most}.",
    )
