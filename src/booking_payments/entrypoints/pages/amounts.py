"""Amounts as people type them: with a comma for the decimals, or as these pages show them.

The API takes plain decimal text only. Here ``9,25`` is an amount as well, and so are ``1,250.00``, which these pages
print, ``1 250,00`` and ``1'250.00``. Text that can be read in two ways is refused, and the error says how to write it.
"""

import re
from decimal import Decimal
from typing import Final

from attrs import frozen

from booking_payments.domain.errors import InvalidAmount, PaymentError
from booking_payments.domain.money import Currency, Money

_PLAIN: Final = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_DECIMAL_COMMA: Final = re.compile(r"(\d+),(\d+)", re.ASCII)
_GROUPED: Final = (
    re.compile(r"(\d{1,3}(?:,\d{3})+)(?:\.(\d+))?", re.ASCII),
    re.compile(r"(\d{1,3}(?:\.\d{3})+)(?:,(\d+))?", re.ASCII),
    re.compile(r"(\d{1,3}(?: \d{3})+)(?:[.,](\d+))?", re.ASCII),
    re.compile(r"(\d{1,3}(?:'\d{3})+)(?:[.,](\d+))?", re.ASCII),
)
"""Thousands set apart by commas, with a point for the decimals; the other way round; and by spaces or apostrophes."""

_WITH_CODE: Final = re.compile(r"(?P<amount>[^A-Za-z]*[^A-Za-z ]) *(?P<code>[A-Za-z]{3})", re.ASCII)

_ALIKE: Final = str.maketrans(
    {
        **dict.fromkeys("\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}\N{IDEOGRAPHIC SPACE}", " "),
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{FULLWIDTH COMMA}": ",",
        "\N{FULLWIDTH FULL STOP}": ".",
        **{chr(ord("\N{FULLWIDTH DIGIT ZERO}") + digit): str(digit) for digit in range(10)},
    }
)
"""Other forms of the same signs: spaces of printed amounts, and what a Japanese keyboard types."""


@frozen
class TypedAmount:
    """An amount of any currency, to look for.

    Attributes:
        number: in major units.
        currency: None when none was typed.
    """

    number: Decimal
    currency: Currency | None


def amount_typed(text: str, currency: Currency) -> Money:
    """Return the amount that ``text`` can only mean in ``currency``. The currency's code may stand behind it.

    Nothing is rounded.

    Raises ``InvalidAmount`` for text that is no amount, has more decimals than the currency, or could be two amounts:
    ``1,250`` dollars may be 1.250 or 1250.
    """
    bare, code = _bare(text), currency.code.upper()
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


def any_amount_typed(text: str) -> TypedAmount:
    """Return the number that ``text`` can only mean as an amount, of the currency whose code stands behind it if one
    does.

    Raises ``InvalidAmount`` as ``amount_typed`` does. Without a currency its decimals are not known, so ``1.250`` could
    be two amounts as well.
    """
    bare = _bare(text)
    named = _WITH_CODE.fullmatch(bare)
    if named:
        try:
            currency = Currency.of(named["code"].lower())
        except PaymentError:
            raise InvalidAmount(f"there is no currency {named['code'].upper()}") from None
        amount = amount_typed(named["amount"], currency)
        return TypedAmount(amount.amount, currency)
    found = dict.fromkeys([*([bare] if _PLAIN.fullmatch(bare) else []), *_readings(bare, decimals=True)])
    if len(found) > 1:
        both = " or ".join(found)
        raise InvalidAmount(
            f"this may mean {both}: write it with two decimals, such as 1250.00, or with its currency, such as 1250 USD"
        )
    if not found:
        raise InvalidAmount("write the amount as 1000.50")
    return TypedAmount(Money.major_units(next(iter(found))), None)


def _bare(text: str) -> str:
    return text.translate(_ALIKE).strip()


def _readings(text: str, *, decimals: bool) -> list[str]:
    """Return each plain decimal text that ``text`` may stand for; with ``decimals`` a comma may stand before them."""
    comma = _DECIMAL_COMMA.fullmatch(text)
    found = [f"{comma[1]}.{comma[2]}"] if comma and decimals else []
    for grouped in _GROUPED:
        match = grouped.fullmatch(text)
        if match:
            whole = re.sub(r"[^0-9]", "", match[1])
            found.append(f"{whole}.{match[2]}" if match[2] else whole)
    return found
