"""Rules for free text: its length and its characters. All entrypoints apply them."""

import re
from datetime import UTC, datetime
from typing import Final

from booking_payments.domain.errors import InvalidInput

LONGEST: Final = 500
"""Largest length of a note or a reason, in characters: the limit of a value in Stripe's metadata."""

# Listed by code point, since ``str.isprintable`` follows the Unicode version of the running Python: it refuses an
# emoji that is newer, and also the no-break space of French prices and the joiners in emoji and Persian words.
_CONTROLS: Final = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff"
# A page shows what follows these in reverse, so that text reads as other text (Unicode Technical Report 36, 2.5).
_REORDERING: Final = r"\u202a-\u202e\u2066-\u2069"
_NOT_IN_TEXT: Final = re.compile(f"[{_CONTROLS}{_REORDERING}]")
_NOT_ON_A_LINE: Final = re.compile(rf"[{_CONTROLS}{_REORDERING}\t\n\r\u2028\u2029]")
# Spaces and joiners alone would be shown as nothing.
_UNSEEN: Final = re.compile(r"[\s\u00ad\u200b-\u200f\u2060-\u2064\ufeff]*")


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
    require_text(text, "note")


def require_reason(text: str | None) -> None:
    """Check a reason: one line of visible text, at most ``LONGEST`` characters. Raises ``InvalidInput``."""
    if text:
        _require_short(text, "reason")
        require_line(text, "reason")


def is_line(text: str) -> bool:
    """Whether ``text`` holds nothing that a line of text for people may not: no control character, line break, or
    character that reorders text. It may be empty."""
    return not _NOT_ON_A_LINE.search(text)


def require_line(text: str, name: str) -> str:
    """Return ``text``, written for people, if it is one line with visible characters. Raises ``InvalidInput``."""
    if not is_line(text) or _UNSEEN.fullmatch(text):
        raise InvalidInput(f"{name}: use visible characters on one line")
    return text


def require_identifier(text: str, name: str) -> str:
    """Return ``text``, which programs compare, if each of its characters is visible by itself: no joiner and no space
    except the ordinary one. Raises ``InvalidInput``."""
    if not text.isprintable() or not text.strip():
        raise InvalidInput(f"{name}: use visible characters on one line")
    return text


def require_text(text: str | None, name: str) -> None:
    """Check text of several lines: no control characters except line breaks and tabs. Raises ``InvalidInput``."""
    if text is not None and _NOT_IN_TEXT.search(text):
        raise InvalidInput(f"{name}: leave out control characters")


def require_last4(text: str) -> str:
    """Return ``text`` if it may be the last four digits, or letters, of a card or account. Raises ``InvalidInput``."""
    if not _LAST4.fullmatch(text):
        raise InvalidInput("write the last four digits of the card or account, such as 4242")
    return text


_LAST4: Final = re.compile(r"[0-9A-Za-z]{4}", re.ASCII)


def require_email(text: str, name: str) -> str:
    """Return ``text`` if it is an e-mail address without a display name. Raises ``InvalidInput``."""
    if not _EMAIL.fullmatch(text):
        raise InvalidInput(f"{name}: must be an e-mail address such as ann@example.com")
    return text


_EMAIL: Final = re.compile(r"[A-Za-z0-9.!#$%&*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


def require_locale(text: str, name: str) -> str:
    """Return ``text`` if it has the form of a BCP 47 language tag, such as ``de-AT``. Raises ``InvalidInput``."""
    if not _LOCALE.fullmatch(text):
        raise InvalidInput(f"{name}: must be a language tag such as de-AT")
    return text


_LOCALE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,8}")


def require_time_zone(text: str, name: str) -> str:
    """Return ``text`` if it has the form of an IANA time zone, such as ``Europe/Vienna``. Raises ``InvalidInput``."""
    if not _TIME_ZONE.fullmatch(text):
        raise InvalidInput(f"{name}: must be the name of a time zone such as Europe/Vienna")
    return text


_TIME_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}")


def require_web_address(text: str, name: str) -> str:
    """Return ``text`` if it is an absolute http(s) address without credentials. Raises ``InvalidInput``."""
    if len(text) > MAX_WEB_ADDRESS or not _WEB_ADDRESS.fullmatch(text):
        raise InvalidInput(f"{name}: must be an address such as https://shop.example/thanks")
    return text


MAX_WEB_ADDRESS: Final = 2048
_WEB_ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?([/?#][!-\[\]-~]*)?")


def _require_short(text: str, name: str) -> None:
    if len(text) > LONGEST:
        raise InvalidInput(f"{name}: {LONGEST} characters at most")
