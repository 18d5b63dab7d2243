"""``--since`` and ``--until``: a point in time, as people and scripts write it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""The earliest time accepted; no supported gateway is older."""

HINT: Final = "a date (2026-03-01, in UTC), a time with its zone (2026-03-01T12:00:00Z), or a span (12h, 7d, 4w)"


class Since(click.ParamType[datetime]):
    """A date, a time with its zone, or a span that ends now; not in the future unless ``ahead``."""

    name = "since"

    def __init__(self, *, ahead: bool = False) -> None:
        self._ahead = ahead

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time in UTC."""
        if isinstance(value, datetime):
            return value
        now = datetime.now(UTC)
        try:
            since = _parse(str(value), now)
        except (ValueError, OverflowError):
            self.fail(f"write {HINT}", param, ctx)
        if since < FIRST:
            self.fail(f"lies before {FIRST:%Y-%m-%d}", param, ctx)
        if since > now and not self._ahead:
            self.fail("lies in the future", param, ctx)
        return since


def _parse(text: str, now: datetime) -> datetime:
    span = re.fullmatch(r"([0-9]{1,6})([mhdw])", text, re.ASCII)
    if span:
        return now - timedelta(**{_UNITS[span[2]]: int(span[1])})
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    read = datetime.fromisoformat(text)
    if read.tzinfo is None:
        raise ValueError("without a zone")
    return read.astimezone(UTC)


def since_option(help_: str) -> Callable[[Any], Any]:
    """The option ``--since``; ``help_`` describes its effect in this command."""
    return click.option("--since", type=Since(), metavar="WHEN", help=f"{help_} WHEN is {HINT}.")
