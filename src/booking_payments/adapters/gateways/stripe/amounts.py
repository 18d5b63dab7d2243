"""Stripe's currency table: decimals, steps, smallest and largest amounts.

Stripe differs from ISO 4217 for ISK, UGX and MGA and requires round amounts in some currencies, so these tables are
Stripe's own (docs.stripe.com/currencies). Nothing is rounded here: an amount that Stripe cannot express is an error.
"""

from collections.abc import Mapping
from math import gcd
from typing import Final

DIGITS: Final = 8
"""Digits of the largest PaymentIntent amount in Stripe's minor units, according to the API reference.

Most cards accept up to ``MOST_DIGITS``; a setting raises the limit.
"""

MOST_DIGITS: Final = 12
"""Upper limit of the setting."""

LARGER: Final[Mapping[str, int]] = {"cop": 10, "idr": 12, "inr": 9}
"""Digits in the currencies in which Stripe accepts larger amounts, for cards and other methods."""

# fmt: off
ZERO_DECIMALS: Final = frozenset([
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf",
])
"""Currencies whose Stripe amount has no decimals."""
# fmt: on

# fmt: off
THREE_DECIMALS: Final = frozenset([
    "bhd", "jod", "kwd", "omr", "tnd",
])
"""Currencies whose Stripe amount has three decimals."""
# fmt: on

MULTIPLES: Final[Mapping[str, int]] = {
    # Three decimals, of which the card networks support two: the last digit must be 0.
    "bhd": 10,
    "jod": 10,
    "kwd": 10,
    "omr": 10,
    "tnd": 10,
    # No decimals in use, two in the API: the amount must end in 00.
    "isk": 100,
    "ugx": 100,
}
"""Stripe accepts only multiples of these amounts, in its minor units."""

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
"""Smallest charge in Stripe's minor units."""

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
"""Currencies in which Stripe accepts charges."""
# fmt: on


class AmountNotRepresentable(ValueError):  # noqa: N818 - our errors say what is the case, without a suffix
    """The amount cannot be expressed exactly in the other unit; rounding it would change the agreed amount."""


def exponent(code: str) -> int:
    """Return the decimals of Stripe's minor unit for a lower-case currency code: 0 or 3 if listed, otherwise 2."""
    if code in ZERO_DECIMALS:
        return 0
    return 3 if code in THREE_DECIMALS else 2


def minimum(code: str) -> int:
    """Return the smallest charge in Stripe's minor units; 1 where Stripe publishes none.

    Stripe compares after conversion to the settlement currency; here the charge's own currency is assumed.
    """
    return MINIMUMS.get(code, 1)


def maximum(code: str, digits: int = DIGITS) -> int:
    """Return the largest charge in Stripe's minor units, for a limit of ``digits`` digits."""
    return int(10 ** max(digits, LARGER.get(code, digits))) - 1


def is_round(amount: int, code: str) -> bool:
    """True when Stripe accepts the last digits of this amount (see ``MULTIPLES``)."""
    return amount % MULTIPLES.get(code, 1) == 0


def step(iso_exponent: int, code: str) -> int:
    """Return the number of ISO 4217 minor units of which ``to_stripe`` accepts only multiples."""
    finer = exponent(code) - iso_exponent
    multiple = MULTIPLES.get(code, 1)
    if finer < 0:
        return multiple * int(10**-finer)
    return multiple // gcd(multiple, int(10**finer))


def to_stripe(minor: int, iso_exponent: int, code: str) -> int:
    """Return Stripe's amount for an amount in ISO 4217 minor units. Raises ``AmountNotRepresentable``."""
    amount = _shift(minor, exponent(code) - iso_exponent, code)
    if not is_round(amount, code):
        raise AmountNotRepresentable(f"Stripe takes {code} amounts in multiples of {MULTIPLES[code]} only")
    return amount


def from_stripe(amount: int, iso_exponent: int, code: str) -> int:
    """Return the ISO 4217 minor units of Stripe's amount. Raises ``AmountNotRepresentable``."""
    return _shift(amount, iso_exponent - exponent(code), code)


def _shift(amount: int, places: int, code: str) -> int:
    if places >= 0:
        return amount * int(10**places)
    whole, rest = divmod(amount, int(10**-places))
    if rest:
        raise AmountNotRepresentable(f"{amount} has more decimals than the other unit of {code}")
    return whole
