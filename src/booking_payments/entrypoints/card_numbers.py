"""Card numbers, found wherever somebody may have put one (PCI DSS: card data never comes near us)."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_DIGITS: Final = re.compile(r"[0-9]+(?:[ .\-]{1,3}[0-9]+)*")


def holds_card_number(text: str) -> bool:
    """True for 13 to 19 digits of any script, perhaps with spaces, dots or dashes between, that pass the Luhn check."""
    runs = _DIGITS.findall("".join(_plain(character) for character in unicodedata.normalize("NFKC", text)))
    return any(_is_card_number(digits) for run in runs for digits in _joined(re.split(r"[ .\-]+", run)))


def _plain(character: str) -> str:
    """Every digit as 0 to 9, every space and dash as one in ASCII, and nothing for what can't be seen."""
    if character.isascii():
        return " " if character.isspace() else character
    kind = unicodedata.category(character)
    return {"Nd": str(unicodedata.decimal(character, "")), "Pd": "-", "Zs": " ", "Cf": ""}.get(kind, character)


def _joined(groups: list[str]) -> Iterator[str]:
    for first in range(len(groups)):
        digits = ""
        for group in groups[first:]:
            digits += group
            if len(digits) > 19:
                break
            yield digits


def _is_card_number(digits: str) -> bool:
    return 13 <= len(digits) <= 19 and digits[0] in "23456789" and _luhn(digits)


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B."""
    doubled = (int(digit) * (1 + position % 2) for position, digit in enumerate(reversed(digits)))
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0
