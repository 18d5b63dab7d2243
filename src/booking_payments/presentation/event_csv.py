"""The report of an event's job as CSV: one row for each booking."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from typing import Final

from booking_payments.application.event_jobs import EventLine

COLUMNS: Final = ("booking_id", "reference", "status", "outcome", "reason", "currency", "refunded", "owed")


async def rows(lines: AsyncIterator[EventLine]) -> AsyncIterator[str]:
    """Yield the header, then the text of each row as soon as its line is read (RFC 4180: lines end with CR LF)."""
    yield _written(COLUMNS)
    async for line in lines:
        yield _written(
            [
                line.booking.id,
                _cell(line.booking.reference),
                line.booking.status.value,
                line.outcome.value,
                _cell(line.reason or ""),
                line.booking.amount.currency.code,
                line.refunded.major(),
                line.owed.major(),
            ]
        )


def _written(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


def _cell(text: str) -> str:
    """Put an apostrophe before text of others that a spreadsheet would take for a formula (OWASP, CSV injection)."""
    return f"'{text}" if text.lstrip(" ")[:1] in _FORMULA else text


_FORMULA: Final = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
