"""Cursors of pages: the position of the last item as opaque text."""

import base64
from datetime import UTC, datetime, timedelta

from booking_payments.domain.errors import InvalidInput

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode_cursor(created_at: datetime, item_id: str) -> str:
    """The cursor behind the item with this time and id."""
    microseconds = (created_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{microseconds}:{item_id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[datetime, str]:
    """Return the time and id after which a page begins. Raises ``InvalidInput`` for an invalid cursor."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        microseconds, _, item_id = text.partition(":")
        place = _EPOCH + timedelta(microseconds=int(microseconds)), item_id
    except (ValueError, OverflowError):
        raise bad_cursor() from None
    # What int() and base64 let pass besides our own spelling is refused, and so is what no database takes as text.
    if not item_id or not item_id.isprintable() or encode_cursor(*place) != cursor:
        raise bad_cursor()
    return place


def bad_cursor() -> InvalidInput:
    """Return the error for an invalid cursor."""
    return InvalidInput("invalid cursor; use the next_cursor of a page unchanged", code="bad_cursor")


def unknown_cursor() -> InvalidInput:
    """For a cursor that is behind all messages: taken from another channel, or from before a backup was restored."""
    return InvalidInput(
        "no message with this cursor was handed out on this channel; was the database restored from a backup, or the "
        "cursor taken from another channel?",
        code="unknown_cursor",
    )
