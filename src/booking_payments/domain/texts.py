"""Rules for free text: its length and its characters. All entrypoints apply them."""

import re
from datetime import UTC, datetime
from typing import Final

from booking_payments.domain.errors import InvalidInput

LONGEST: Final = 500
"""Largest length of a note or a reason, in characters: the limit of a value in Stripe's metadata."""

_BREAKS: Final = re.compile(r"[\r\n\t]")


def rfc3339(moment: datetime) -> str:
    """Return a time as RFC 3339 text in UTC, with a ``Z``."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def rfc3339_or_none(moment: datetime | None) -> str | None:
    """``rfc3339`` of a time that may be missing."""
    return rfc3339(moment) if moment else None


def require_note(text: str | None) -> None:
    """Check a note: line breaks and tabs are allowed, other control characters are not. Raises ``InvalidInput``."""
    if text is None:
        return
    _require_short(text, "note")
    if not _BREAKS.sub("", text).isprintable():
        raise InvalidInput("note: leave out control characters")


def require_reason(text: str | None) -> None:
    """Check a reason: one line of visible text, at most ``LONGEST`` characters. Raises ``InvalidInput``."""
    if text:
        _require_short(text, "reason")
        require_line(text, "reason")


def require_line(text: str, name: str) -> str:
    """Return ``text`` if it is one line of visible characters. Raises ``InvalidInput``."""
    if not text.isprintable() or not text.strip():
        raise InvalidInput(f"{name}: use visible characters on one line")
    return text


def require_text(text: str | None, name: str) -> None:
    """Check text of several lines: no control characters except line breaks and tabs. Raises ``InvalidInput``."""
    if text is not None and not _BREAKS.sub("", text).isprintable():
        raise InvalidInput(f"{name}: leave out control characters")


def require_email(text: str, name: str) -> str:
    """Return ``text`` if it is an e-mail address without a display name. Raises ``InvalidInput``."""
    if not _EMAIL.fullmatch(text):
        raise InvalidInput(f"{name}: must be an e-mail address such as ann@example.com")
    return text


_EMAIL: Final = re.compile(r"[A-Za-z0-9.!#$%&*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


def _require_short(text: str, name: str) -> None:
    if len(text) > LONGEST:
        raise InvalidInput(f"{name}: {LONGEST} characters at most")
