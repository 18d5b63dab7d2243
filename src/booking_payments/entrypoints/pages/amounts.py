"""Amounts as people type them: with a comma for the decimals, or as these pages show them.

The API takes plain decimal text only. Here ``9,25`` is an amount as well, and so is ``1,250.00``, which these pages
print. Text that can be read in two ways is refused, and the error says how to write it.
"""

import re
from decimal import Decimal
from typing import Final

from booking_payments.domain.errors import InvalidAmount
from booking_payments.domain.money import Currency, Money

_PLAIN: Final = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_DECIMAL_COMMA: Final = re.compile(r"(\d+),(\d+)", re.ASCII)
_GROUPED: Final = (
    re.compile(r"(\d{1,3}(?:,\d{3})+)(?:\.(\d+))?", re.ASCII),
    re.compile(r"(\d{1,3}(?:\.\d{3})+)(?:,(\d+))?", re.ASCII),
)
"""Thousands set apart by commas, with a point for the decimals; and the other way round."""


def amount_typed(text: str, currency: Currency) -> Money:
    """Return the amount that ``text`` can only mean in ``currency``. The currency's code may stand behind it.

    Nothing is rounded.

    Raises ``InvalidAmount`` for text that is no amount, has more decimals than the currency, or could be two amounts:
    ``1,250`` dollars may be 1.250 or 1250.
    """
    bare, code = text.strip(), currency.code.upper()
    if bare.upper().endswith(code):
        bare = bare[: -len(code)].rstrip()
    if _PLAIN.fullmatch(bare):
        return Money.parse(bare, currency)
    found = _readings(bare, decimals=currency.exponent > 0)
    if len(found) == 1:
        return Money.parse(found[0], currency)
    if found:
        both = " or ".join(found)
        raise InvalidAmount(f"this may mean {both} {code}: write it with a point for the decimals and nothing else")
    raise InvalidAmount(f"write the amount in {code} like {Money.sum_of(925, currency).major()}")


def major_units_typed(text: str) -> Decimal:
    """Return the number that ``text`` can only mean as an amount of whatever currency.

    Raises ``InvalidAmount`` as ``amount_typed`` does.
    """
    bare = text.strip()
    found = [bare] if _PLAIN.fullmatch(bare) else _readings(bare, decimals=True)
    if len(found) != 1:
        raise InvalidAmount("write the amount as 1000.50")
    return Money.major_units(found[0])


def _readings(text: str, *, decimals: bool) -> list[str]:
    """Return each plain decimal text that ``text`` may stand for; with ``decimals`` a comma may stand before them."""
    comma = _DECIMAL_COMMA.fullmatch(text)
    found = [f"{comma[1]}.{comma[2]}"] if comma and decimals else []
    for grouped in _GROUPED:
        match = grouped.fullmatch(text)
        if match:
            whole = match[1].replace(",", "").replace(".", "")
            found.append(f"{whole}.{match[2]}" if match[2] else whole)
    return found
