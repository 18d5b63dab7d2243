"""Stripe's currency table: how many decimals an amount has, how small and how large it may be.

Stripe differs from ISO 4217 for ISK, UGX and MGA and wants round amounts in some currencies, so these
tables are Stripe's own (docs.stripe.com/currencies). Nothing here rounds: an amount that Stripe cannot
express is an error.
"""

from collections.abc import Mapping
from math import gcd
from typing import Final

DIGITS: Final = 8
"""Digits of the largest amount of a PaymentIntent in Stripe's minor units, as its reference says. Most cards take up to
``MOST_DIGITS``, so a house may ask for more."""

MOST_DIGITS: Final = 12

LARGER: Final[Mapping[str, int]] = {"cop": 10, "idr": 12, "inr": 9}
"""Digits in the currencies in which everything that Stripe takes may be larger, cards or not."""

# fmt: off
ZERO_DECIMALS: Final = frozenset([
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf",
])
# fmt: on

# fmt: off
THREE_DECIMALS: Final = frozenset([
    "bhd", "jod", "kwd", "omr", "tnd",
])
# fmt: on

MULTIPLES: Final[Mapping[str, int]] = {
    # Three decimals, but the card networks know two: the last digit must be 0.
    "bhd": 10,
    "jod": 10,
    "kwd": 10,
    "omr": 10,
    "tnd": 10,
    # No decimals in use, two in the interface: the amount must end in 00.
    "isk": 100,
    "ugx": 100,
}

MINIMUMS: Final[Mapping[str, int]] = {
    "aed": 200,
    "ars": 50,
    "aud": 50,
    "brl": 50,
    "cad": 50,
    "chf": 50,
    "cop": 50,
    "czk": 1500,
    "dkk": 250,
    "eur": 50,
    "gbp": 30,
    "hkd": 400,
    "huf": 17500,
    "idr": 50,
    "ils": 50,
    "inr": 50,
    "jpy": 50,
    "krw": 50,
    "mxn": 1000,
    "myr": 200,
    "nok": 300,
    "nzd": 50,
    "php": 50,
    "pln": 200,
    "ron": 200,
    "rub": 50,
    "sek": 300,
    "sgd": 50,
    "thb": 1000,
    "usd": 50,
    "zar": 50,
}

# fmt: off
SUPPORTED: Final = frozenset([
    "aed", "afn", "all", "amd", "ang", "aoa", "ars", "aud", "awg", "azn", "bam", "bbd", "bdt", "bgn", "bhd",
    "bif", "bmd", "bnd", "bob", "brl", "bsd", "bwp", "byn", "bzd", "cad", "cdf", "chf", "clp", "cny", "cop",
    "crc", "cve", "czk", "djf", "dkk", "dop", "dzd", "egp", "etb", "eur", "fjd", "fkp", "gbp", "gel", "gip",
    "gmd", "gnf", "gtq", "gyd", "hkd", "hnl", "htg", "huf", "idr", "ils", "inr", "isk", "jmd", "jod", "jpy",
    "kes", "kgs", "khr", "kmf", "krw", "kwd", "kyd", "kzt", "lak", "lbp", "lkr", "lrd", "lsl", "mad", "mdl",
    "mga", "mkd", "mmk", "mnt", "mop", "mur", "mvr", "mwk", "mxn", "myr", "mzn", "nad", "ngn", "nio", "nok",
    "npr", "nzd", "omr", "pab", "pen", "pgk", "php", "pkr", "pln", "pyg", "qar", "ron", "rsd", "rub", "rwf",
    "sar", "sbd", "scr", "sek", "sgd", "shp", "sle", "sos", "srd", "std", "szl", "thb", "tjs", "tnd", "top",
    "try", "ttd", "twd", "tzs", "uah", "ugx", "usd", "uyu", "uzs", "vnd", "vuv", "wst", "xaf", "xcd", "xof",
    "xpf", "yer", "zar", "zmw",
])
# fmt: on


class AmountNotRepresentable(ValueError):  # noqa: N818 - our errors say what is the case, without a suffix
    """The amount cannot be written exactly on the other side; rounding would move other money than agreed."""


def exponent(code: str) -> int:
    """Decimals of Stripe's minor unit for a lower-case currency code: 0, 2 or 3; 2 unless Stripe lists it."""
    if code in ZERO_DECIMALS:
        return 0
    return 3 if code in THREE_DECIMALS else 2


def minimum(code: str) -> int:
    """The smallest charge in Stripe's minor units; 1 where Stripe publishes none.

    Stripe compares after conversion to the settlement currency; here that is the charge's own currency.
    """
    return MINIMUMS.get(code, 1)


def maximum(code: str, digits: int = DIGITS) -> int:
    """The largest charge in Stripe's minor units, where the house asks for ``digits`` of them."""
    return int(10 ** max(digits, LARGER.get(code, digits))) - 1


def is_round(amount: int, code: str) -> bool:
    """Whether Stripe takes this amount's last digits (see ``MULTIPLES``)."""
    return amount % MULTIPLES.get(code, 1) == 0


def step(iso_exponent: int, code: str) -> int:
    """What amounts in ISO 4217 minor units must be a multiple of, so that ``to_stripe`` takes them."""
    finer = exponent(code) - iso_exponent
    multiple = MULTIPLES.get(code, 1)
    if finer < 0:
        return multiple * int(10**-finer)
    return multiple // gcd(multiple, int(10**finer))


def to_stripe(minor: int, iso_exponent: int, code: str) -> int:
    """An amount in ISO 4217 minor units as Stripe's amount; raises ``AmountNotRepresentable``."""
    amount = _shift(minor, exponent(code) - iso_exponent, code)
    if not is_round(amount, code):
        raise AmountNotRepresentable(f"Stripe takes {code} amounts in multiples of {MULTIPLES[code]} only")
    return amount


def from_stripe(amount: int, iso_exponent: int, code: str) -> int:
    """Stripe's amount in ISO 4217 minor units; raises ``AmountNotRepresentable``."""
    return _shift(amount, iso_exponent - exponent(code), code)


def _shift(amount: int, places: int, code: str) -> int:
    if places >= 0:
        return amount * int(10**places)
    whole, rest = divmod(amount, int(10**-places))
    if rest:
        raise AmountNotRepresentable(f"{amount} has more decimals than {code} has on the other side")
    return whole
