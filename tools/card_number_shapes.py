"""How often identifiers of honest callers are taken for card numbers: a million of each shape, from a seed.

Run ``python -m tools.card_number_shapes`` (a few minutes); give a count for fewer: ``... card_number_shapes 20000``.
The figures in ``docs/security.md`` are those of a million.
"""

import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

from booking_payments.presentation.card_numbers import holds_card_number

Shape = Callable[[Random], str]
SEED: Final = 18
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_URL_SAFE: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_FIRST_MS: Final = 1_640_995_200_000  # from 2022 on
_YEARS_MS: Final = 10 * 365 * 86_400_000


def _uuid4(chance: Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def _uuid7(chance: Random) -> str:
    raw = _ms(chance) << 80 | 7 << 76 | chance.getrandbits(12) << 64 | 2 << 62 | chance.getrandbits(62)
    return str(uuid.UUID(int=raw))


def _ms(chance: Random) -> int:
    return _FIRST_MS + chance.randrange(_YEARS_MS)


def _when(chance: Random) -> datetime:
    return datetime(2022, 1, 1, tzinfo=UTC) + timedelta(milliseconds=chance.randrange(_YEARS_MS))


def _ulid(chance: Random) -> str:
    value = _ms(chance) << 80 | chance.getrandbits(80)
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))


def _snowflake(epoch_ms: int) -> Shape:
    return lambda chance: str((_ms(chance) - epoch_ms) << 22 | chance.getrandbits(22))


def _phone(chance: Random) -> str:
    return chance.choice("123456789") + "".join(chance.choices("0123456789", k=chance.randint(9, 14)))


IDENTIFIERS: Final[Mapping[str, Shape]] = {
    "uuid4": _uuid4,
    "uuid4 in a URL": lambda chance: f"https://shop.example/back?booking={_uuid4(chance)}&n=1",
    "uuid4, number behind": lambda chance: f"{_uuid4(chance)}-{chance.randrange(100)}",
    "uuid4 in capitals": lambda chance: _uuid4(chance).upper(),
    "uuid4 without hyphens": lambda chance: f"{chance.getrandbits(128):032x}",
    "uuid7": _uuid7,
    "ULID": _ulid,
    "nanoid": lambda chance: "".join(chance.choices(_URL_SAFE, k=21)),
    "hex, 24 digits": lambda chance: f"{chance.getrandbits(96):024x}",
    "hex, 40 digits": lambda chance: f"{chance.getrandbits(160):040x}",
    "hex, 64 digits": lambda chance: f"{chance.getrandbits(256):064x}",
    "E.164 phone, plus sign": lambda chance: f"+{_phone(chance)}",
}
"""Shapes with letters, with the hyphens of a UUID, or with a plus sign: none may be refused."""

PLAIN_DIGITS: Final[Mapping[str, Shape]] = {
    "YYYYMMDDHHMMSS": lambda chance: f"{_when(chance):%Y%m%d%H%M%S}",
    "YYYYMMDDHHMMSS and ms": lambda chance: f"{_when(chance):%Y%m%d%H%M%S%f}"[:17],
    "date-number": lambda chance: f"{_when(chance):%Y%m%d}-{chance.randrange(10**8)}",
    "Y-M-D-number": lambda chance: f"{_when(chance):%Y-%m-%d}-{chance.randrange(10**6):06}",
    "Unix time in ms": lambda chance: str(_ms(chance)),
    "Unix time in us": lambda chance: str(_ms(chance) * 1000 + chance.randrange(1000)),
    "Unix time in ns": lambda chance: str(_ms(chance) * 10**6 + chance.randrange(10**6)),
    "snowflake (2010)": _snowflake(1_288_834_974_657),
    "snowflake (2015)": _snowflake(1_420_070_400_000),
    "hex, 16 digits": lambda chance: f"{chance.getrandbits(64):016x}",
    "E.164 phone, bare": _phone,
    "13 random digits": lambda chance: f"{chance.randrange(10**13):013}",
    "16 random digits": lambda chance: f"{chance.randrange(10**16):016}",
    "19 random digits": lambda chance: f"{chance.randrange(10**19):019}",
}
"""Shapes of digits only: some cannot be distinguished from a card number."""


def refused(shape: Shape, count: int) -> int:
    """Return how many of ``count`` identifiers of a shape are mistaken for card numbers."""
    chance = Random(SEED)  # noqa: S311 - figures that can be had again
    return sum(holds_card_number(shape(chance)) for _ in range(count))


def table(count: int) -> Iterator[str]:
    """Return the figures as rows of Markdown."""
    yield f"| shape | refused of {count:,} |"
    yield "|---|---|"
    for name, shape in {**IDENTIFIERS, **PLAIN_DIGITS}.items():
        yield f"| {name} | {refused(shape, count):,} |"


if __name__ == "__main__":
    for row in table(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000):
        print(row, flush=True)
