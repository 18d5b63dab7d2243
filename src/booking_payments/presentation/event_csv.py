"""The report of an event's job as CSV: one row for each booking."""

from collections.abc import AsyncIterator
from typing import Final

from booking_payments.application.event_jobs import EventLine
from booking_payments.presentation.tables import csv_lines

COLUMNS: Final = ("booking_id", "reference", "status", "outcome", "reason", "currency", "refunded", "owed")


async def rows(lines: AsyncIterator[EventLine]) -> AsyncIterator[str]:
    """Yield the header, then the text of each row as soon as its line is read.

    The header follows the first reading, so that nothing is yielded of a report that cannot be read.
    """
    header = csv_lines([COLUMNS])
    async for line in lines:
        booking = line.booking
        row = (booking.id, booking.reference, booking.status.value, line.outcome.value, line.reason)
        yield header + csv_lines([(*row, booking.amount.currency.code, line.refunded, line.owed)])
        header = ""
    if header:
        yield header
