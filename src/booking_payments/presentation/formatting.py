"""Formats values for pages and the command line."""

import re
from datetime import UTC, datetime
from typing import Final

from booking_payments.domain.errors import PaymentError
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.reports import MethodDetails


def money(amount: Money) -> str:
    """Format an amount: ``1,250.00 USD``, ``-0.50 USD``."""
    whole, point, fraction = amount.major().removeprefix("-").partition(".")
    sign = "-" if amount.minor < 0 else ""
    return f"{sign}{int(whole):,}{point}{fraction} {amount.currency.code.upper()}"


def with_printed_amounts(text: str) -> str:
    """Return an error text with its amounts formatted as by ``money``: ``1250.00 usd`` as ``1,250.00 USD``."""
    return _AMOUNT.sub(_printed, text)


_AMOUNT: Final = re.compile(r"(?<![\w.])(\d{1,15}(?:\.\d{1,4})?) ([a-z]{3})\b", re.ASCII)


def _printed(found: re.Match[str]) -> str:
    try:
        amount = Money.parse(found[1], Currency.of(found[2]))
    except PaymentError:
        return found[0]
    # Some codes are words: "3 all" is no amount, for it lacks the decimals of that currency.
    return money(amount) if amount.major() == found[1] else found[0]


def method(used: MethodDetails) -> str:
    """Format a payment method: ``Visa 4242, Apple pay``; with its type if it has no brand."""
    named = words(used.brand or used.type)
    digits = f"{named} {used.last4}" if used.last4 else named
    return f"{digits}, {words(used.wallet)}" if used.wallet else digits


def moment(at: datetime) -> str:
    """Format a time to the minute: ``1 Mar 2026, 12:00 UTC``."""
    utc = at.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y, %H:%M} UTC"


def exact(at: datetime) -> str:
    """Format a time to the millisecond, for the entries of a timeline: ``2026-03-01 12:00:00.250 UTC``."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"


def words(name: str) -> str:
    """Format a name as words: ``payment_started`` and ``PaymentStarted`` as ``Payment started``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|[_.]", " ", name).lower()
    return spaced[:1].upper() + spaced[1:]


def percent(share: float | None) -> str:
    """Format a share from 0 to 1: ``97.5 %``; a dash for None."""
    return "–" if share is None else f"{share * 100:.1f} %"  # noqa: RUF001 - the dash is one


def duration(seconds: float | None) -> str:
    """Format a duration in seconds: ``0.4 s``, ``12 min``, ``3.5 h``, ``2.0 days``; a dash for None."""
    if seconds is None:
        return "–"  # noqa: RUF001 - the dash is one
    if 0 < seconds < 0.1:
        return "< 0.1 s"
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds / size:.{1 if seconds / size < 10 else 0}f} {unit}"
    return f"{seconds / 86400:.1f} days"
