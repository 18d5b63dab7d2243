"""Tables as CSV (RFC 4180): UTF-8, a header line, CRLF at the end of each line."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from booking_payments.application.exporting import Cell
from booking_payments.domain.money import Money

MEDIA_TYPE: Final = "text/csv; header=present"
BYTE_ORDER_MARK: Final = "\ufeff"
"""Begins a file that people open in a spreadsheet: without it, Excel does not read a CSV as UTF-8. Programs get none,
because many take it for a part of the first column's name.
"""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a formula begins with, full-width signs too."""


def csv_lines(rows: Iterable[Sequence[Cell]]) -> str:
    """Return the lines of ``rows``: amounts as decimal text in major units, times in RFC 3339 and UTC, None as an empty
    cell."""
    text = io.StringIO()
    csv.writer(text).writerows([_cell(each) for each in row] for row in rows)
    return text.getvalue()


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, Money):
        return value.major()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return safe_text(str(value)) if isinstance(value, str) else str(value)


def safe_text(text: str) -> str:
    """Return text of others as a spreadsheet takes it: one that begins like a formula gets an apostrophe before it.

    Source: OWASP, CSV Injection.
    """
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
