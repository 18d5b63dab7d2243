"""Checks of the types of values that an embedding service gives: ``InvalidInput`` with what to give instead."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from booking_payments.domain.errors import InvalidInput
from booking_payments.domain.money import Money


def require_moment(value: object, name: str) -> None:
    """Raise ``InvalidInput`` unless ``value`` is a time with a time zone."""
    if not isinstance(value, datetime):
        raise InvalidInput(f"{name}: give a datetime with a time zone, such as datetime.now(UTC)")
    if value.utcoffset() is None:
        raise InvalidInput(f"{name}: the time has no time zone; give one, such as datetime.now(UTC)")


def require_money(value: object, name: str) -> None:
    """Raise ``InvalidInput`` unless ``value`` is ``Money``."""
    if not isinstance(value, Money):
        raise InvalidInput(f'{name}: give Money, such as Money.parse("100.00", Currency.USD)')


def require_whole(value: object, name: str) -> None:
    """Raise ``InvalidInput`` unless ``value`` is a whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInput(f"{name}: give a whole number")


def require_string(value: object, name: str) -> None:
    """Raise ``InvalidInput`` unless ``value`` is text."""
    if not isinstance(value, str):
        raise InvalidInput(f"{name}: give text")


def require_strings(value: object, name: str) -> None:
    """Raise ``InvalidInput`` unless ``value`` is a mapping of texts to texts."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{name}: give a mapping, such as a dict")
    if not all(isinstance(each, str) for entry in value.items() for each in entry):
        raise InvalidInput(f"{name}: keys and values are text")


def as_tuple(value: object) -> Any:
    """Return a list as a tuple, and anything else unchanged."""
    return tuple(value) if isinstance(value, list) else value


def require_instance(value: object, name: str, *, kind: type) -> None:
    """Raise ``InvalidInput`` unless ``value`` is a ``kind``."""
    if not isinstance(value, kind):
        raise InvalidInput(f"{name}: give {kind.__name__}")
