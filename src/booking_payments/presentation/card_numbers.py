"""Finds payment card numbers in text (PCI DSS: card data never reaches this service).

A number counts as a card number when three conditions hold:

1. it stands alone: it is not next to an ASCII letter or a digit, so that generated identifiers (UUID, ULID, hex,
   base64) are never taken for card numbers. Letters of other scripts do not count, since some scripts have no spaces;
2. it has the length and the prefix of a card scheme, and
3. its check digit is right (ISO/IEC 7812-1, annex B).

Digits may be in groups separated by spaces, dots or hyphens, and in any script. Two forms are excluded first: the five
groups of a UUID (RFC 9562), and a telephone number in E.164 form, with its plus sign.

The time is linear in the length of the text: no expression can match one place in two ways, and check digits are
computed from prefix sums.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import accumulate
from typing import Final

SHORTEST, LONGEST = 13, 19
"""Digits of a card number (ISO/IEC 7812-1 allows 8 to 19; no scheme issues fewer than 13)."""

E164_LONGEST: Final = 15
"""Digits of a telephone number with its country code (ITU-T E.164)."""

_GAP: Final = r"[ .\-]{0,3}"
_ASCII_GAPS: Final = {character: " " for character in map(chr, range(128)) if character.isspace()}
_TO_PLAIN_ASCII: Final = str.maketrans(_ASCII_GAPS)
_ENOUGH_DIGITS: Final = re.compile(rf"[0-9](?:{_GAP}[0-9]){{{SHORTEST - 1}}}")
_UUID: Final = re.compile(
    r"(?<![0-9])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9])", re.IGNORECASE
)
_LETTER: Final = re.compile(r"[A-Za-z]")
_WORD: Final = re.compile(r"[0-9A-Za-z]+")
_CACHED_CHARACTERS: Final = 1024


def _lengths_by_prefix() -> Mapping[str, frozenset[int]]:
    """Return the possible lengths of card numbers by their first two digits.

    Two digits suffice: a prefix of which a scheme uses only a part counts as the scheme's. Maestro also issues numbers
    of 12 digits, which look like order numbers, and UATP numbers begin with 1 as timestamps do; both are left out.
    """
    long, usual, any_length = range(16, 20), range(16, 17), range(13, 20)
    schemes = {
        "4": (13, 16, 19),  # Visa, Dankort, Elo
        "51 52 53 54 55 23 24 25 26": usual,  # Mastercard
        "22 27": long,  # Mastercard 2221 to 2720, Mir 2200 to 2204, BORICA 2205
        "34 37": (15,),  # American Express
        "30 36 38 39": range(14, 20),  # Diners Club
        "35": long,  # JCB, RuPay
        "60 64 65": long,  # Discover, RuPay, Elo, Hipercard, Troy, Verve
        "62 81 82": long,  # UnionPay, RuPay
        "50 56 57 58 61 63 66 67 68 69": any_length,  # Maestro, InterPayment, Verve
        "86 97 98": usual,  # Uzcard, Troy, Humo
    }
    lengths = dict[str, frozenset[int]]()
    for prefixes, allowed in schemes.items():
        for prefix in prefixes.split():
            for rest in range(10 ** (2 - len(prefix))):
                lengths[f"{prefix}{rest}" if len(prefix) == 1 else prefix] = frozenset(allowed)
    return lengths


_LENGTHS: Final = _lengths_by_prefix()


def holds_card_number(text: str) -> bool:
    """Return whether ``text`` contains a number that fulfills the three conditions."""
    plain = _plain(text)
    if _ENOUGH_DIGITS.search(plain) is None:
        return False
    # A letter replaces each UUID, so that digits next to it count as a part of an identifier.
    plain = _UUID.sub("x", plain)
    return any(_is_card_number_in(run) for run in _runs(plain))


# --- characters ------------------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Return ``text`` with all digits, spaces and dashes in ASCII, and without invisible characters."""
    if text.isascii():
        return text.translate(_TO_PLAIN_ASCII)
    return "".join(map(_plain_character, text))


@lru_cache(maxsize=_CACHED_CHARACTERS)
def _plain_character(character: str) -> str:
    """Return one character in ASCII, as ``_plain`` does.

    Characters are normalized one by one, since normalizing a text takes quadratic time for a row of combining marks. A
    character that would become letters stays, so that "\u2116" (which is "No") does not hide the number after it.
    """
    plain = "".join(map(_ascii_of, unicodedata.normalize("NFKC", character)))
    return character if _LETTER.search(plain) else plain


def _ascii_of(character: str) -> str:
    if character.isascii():
        return " " if character.isspace() else character
    kind = unicodedata.category(character)
    seen = {"Nd": str(unicodedata.decimal(character, "")), "Pd": "-", "Zs": " ", "Zl": " ", "Zp": " "}
    unseen = {"Cf": "", "Mn": "", "Me": ""}
    return {**seen, **unseen}.get(kind, character)


# --- numbers ---------------------------------------------------------------------------------------------------


def _runs(plain: str) -> Iterator[list[str]]:
    """Yield rows of digit groups; adjacent groups of a row may form one number. The first may have a plus sign.

    A group next to a letter is a part of a word and belongs to no row.
    """
    row, end = list[str](), -1
    for word in _WORD.finditer(plain):
        gap = plain[end : word.start()] if row else ""
        if row and (len(gap) > 3 or gap.strip(" .-")):
            yield row
            row = []
        if word[0].isdecimal():
            signed = not row and word.start() > 0 and plain[word.start() - 1] == "+"
            row.append(f"+{word[0]}" if signed else word[0])
        elif row:
            yield row
            row = []
        end = word.end()
    if row:
        yield row


def _is_card_number_in(groups: list[str]) -> bool:
    phone = groups[0].startswith("+")
    digits = "".join(groups).removeprefix("+")
    if len(digits) < SHORTEST:
        return False
    starts = list(accumulate((len(group.removeprefix("+")) for group in groups), initial=0))
    ends = frozenset(starts[1:])
    sums = _luhn_sums(digits)
    for start in starts[:-1]:
        for length in _LENGTHS.get(digits[start : start + 2], ()):
            if start + length not in ends or (phone and start == 0 and length <= E164_LONGEST):
                continue
            if _passes_luhn(sums, start, start + length):
                return True
    return False


def _luhn_sums(digits: str) -> tuple[list[int], list[int]]:
    """Return two lists of prefix sums of the digits: with the digits at even places doubled, and at odd places."""
    single = [ord(digit) - 48 for digit in digits]
    double = [2 * value - 9 * (value > 4) for value in single]
    even = [double[place] if place % 2 == 0 else value for place, value in enumerate(single)]
    odd = [double[place] if place % 2 else value for place, value in enumerate(single)]
    return list(accumulate(even, initial=0)), list(accumulate(odd, initial=0))


def _passes_luhn(sums: tuple[list[int], list[int]], start: int, end: int) -> bool:
    """Return whether the check digit is right (ISO/IEC 7812-1, annex B: every second digit from the end is doubled)."""
    doubled_places = sums[end % 2]
    return (doubled_places[end] - doubled_places[start]) % 10 == 0
