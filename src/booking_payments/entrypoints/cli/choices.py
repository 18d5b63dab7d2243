"""Types of options: the values of an enum, amounts of no particular currency, and units of a booking's items."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from booking_payments.domain.booking import ItemCount

ROOT: Final = __name__.partition(".")[0]


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
