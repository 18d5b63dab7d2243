"""Types of options: values of an enum, amounts of no particular currency, texts, times, units of a booking's items."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from booking_payments.domain.booking import ItemCount

ROOT: Final = __name__.partition(".")[0]
MAX_TEXT: Final = 255


class EnumChoice(click.Choice[str]):
    """One of the values of an enum, which is imported only when a value is checked, completed or listed in ``--help``.

    ``enum`` names it as ``module:class`` with the module relative to this library, for example
    ``domain.booking:BookingStatus``.
    """

    def __init__(self, enum: str) -> None:
        self._enum: Final = enum
        super().__init__(())
        del self.choices

    @cached_property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        """The values, in the order in which the enum has them."""
        module, _, name = self._enum.partition(":")
        members: type[StrEnum] = getattr(import_module(f"{ROOT}.{module}"), name)
        return tuple(member.value for member in members)


class MajorUnits(click.ParamType[Decimal]):
    """An amount in major units, such as 12.50, of any currency."""

    name = "amount"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """The amount; anything else is wrong usage."""
        from booking_payments.domain.errors import InvalidAmount
        from booking_payments.domain.money import Money

        if isinstance(value, Decimal):
            return value
        try:
            return Money.major_units(str(value))
        except InvalidAmount as error:
            self.fail(error.message, param, ctx)


class FreeText(click.ParamType[str]):
    """Text of any length, for people. The use case checks its length and characters."""

    name = "text"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is; a card number is wrong usage."""
        from booking_payments.presentation.card_numbers import holds_card_number

        text = str(value)
        if holds_card_number(text):
            self.fail("this looks like a card number; card data goes to the payment provider only", param, ctx)
        return text


class OneLineText(FreeText):
    """Visible text on one line, for people: 1 to ``most`` characters."""

    identifier = False

    def __init__(self, most: int = MAX_TEXT) -> None:
        self._most: Final = most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is."""
        from booking_payments.domain.errors import InvalidInput
        from booking_payments.domain.texts import require_identifier, require_line

        text = str(value)
        check = require_identifier if self.identifier else require_line
        try:
            check(text, self.name)
        except InvalidInput:
            text = ""
        if not 0 < len(text) <= self._most:
            self.fail(f"use 1 to {self._most} visible characters", param, ctx)
        return super().convert(text, param, ctx)


class IdentifierText(OneLineText):
    """A reference or an id: each character is visible by itself."""

    identifier = True


class LastFour(click.ParamType[str]):
    """The last four digits, or letters, of a card or account."""

    name = "digits"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The digits as they are."""
        from booking_payments.domain.errors import InvalidInput
        from booking_payments.domain.texts import require_last4

        try:
            return require_last4(str(value))
        except InvalidInput as error:
            self.fail(error.message, param, ctx)


class Moment(click.ParamType[datetime]):
    """A time with its zone, as RFC 3339 writes it."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time in UTC."""
        try:
            read = datetime.fromisoformat(str(value))
            if read.tzinfo is not None:
                return read.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        self.fail("write a time with its zone, such as 2030-01-01T20:00:00Z", param, ctx)


class ItemUnits(click.ParamType["ItemCount"]):
    """Units of an item of a booking, such as adult:2; without a number all that are left."""

    name = "units"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> ItemCount:
        """The item's id and the number of units; anything else is wrong usage."""
        from booking_payments.domain.booking import ItemCount

        its, colon, quantity = str(value).partition(":")
        if not its or (colon and not (quantity.isascii() and quantity.isdecimal() and len(quantity) < 6)):
            self.fail("write an item's id, and how many of it: adult:2", param, ctx)
        return ItemCount(id=its, quantity=int(quantity) if colon else None)
