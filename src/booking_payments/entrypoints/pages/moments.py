"""Conversion of the pages' date and time fields: in UTC, to the minute."""

from datetime import UTC, datetime
from typing import Final

from booking_payments.domain.errors import InvalidInput
from booking_payments.presentation.asked import utc

_LENGTHS: Final = (len("2030-01-01T20:00"), len("2030-01-01T20:00:00"))


def moment_typed(text: str) -> datetime:
    """Return the time of ``2030-01-01T20:00``. A browser without such a field sends the typed text, with a blank.

    Raises:
        InvalidInput: any other text.
    """
    try:
        if len(text) not in _LENGTHS or not text.isascii():
            raise ValueError
        return utc(datetime.fromisoformat(text).replace(tzinfo=UTC), "date")
    except (ValueError, InvalidInput):
        raise InvalidInput("write date and time like 2030-01-31 20:00, in UTC") from None


def moment_in_address(text: str) -> datetime:
    """Return the moment that a page has written into the address of the next one, with its offset.

    Raises ``InvalidInput`` for anything else.
    """
    try:
        moment = datetime.fromisoformat(text) if len(text) < 40 and text.isascii() else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidInput("this page address is not valid; start at the first page")
    return moment


def field_of(moment: datetime | None) -> str:
    """Return the text that a field for date and time has for ``moment``; empty for None."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M}" if moment else ""
