"""Money: integer minor units of an ISO 4217 currency. Floats are not accepted anywhere.

Rounding is half-even (``docs/decisions/0004-rounding.md``) and happens only where an amount is multiplied by a rate.
Text with more decimals than the currency has is an error; it is not rounded.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Final, Self

from attrs import field, frozen

from booking_payments.domain.errors import CurrencyMismatch, InvalidAmount, UnknownCurrency

MAX_DIGITS: Final = 12
"""Digits of the largest single amount in minor units; a sum may have more.

Stripe's widest limit for a charge: docs.stripe.com/currencies.
"""

_AMOUNT: Final = re.compile(r"(?P<sign>-?)(?P<whole>\d{1,15})(?:\.(?P<part>\d{1,6}))?", re.ASCII)


class Currency(Enum):
    """An ISO 4217 currency: lower-case code and the number of its decimals (0, 2 or 3)."""

    code: str
    exponent: int

    # There is one object for each member. Enum hashes its name instead, in Python, each time it is looked up.
    __hash__ = object.__hash__

    def __new__(cls, code: str, exponent: int) -> Self:
        member = object.__new__(cls)
        member._value_ = member.code = code
        member.exponent = exponent
        return member

    @classmethod
    def of(cls, code: str) -> "Currency":
        """Return the currency with this lower-case code. Raises ``UnknownCurrency`` for any other value."""
        try:
            return _BY_CODE[code]
        except (KeyError, TypeError):
            raise UnknownCurrency(code) from None

    def __repr__(self) -> str:
        return f"Currency.{self.name}"

    # ISO 4217 table A.1 without funds codes and metals, and from table A.3 (withdrawn codes) those that Stripe still
    # lists: ANG (XCG since 2025), BGN (EUR since 2026) and STD (STN since 2018).
    AED = "aed", 2
    AFN = "afn", 2
    ALL = "all", 2
    AMD = "amd", 2
    ANG = "ang", 2
    AOA = "aoa", 2
    ARS = "ars", 2
    AUD = "aud", 2
    AWG = "awg", 2
    AZN = "azn", 2
    BAM = "bam", 2
    BBD = "bbd", 2
    BDT = "bdt", 2
    BGN = "bgn", 2
    BHD = "bhd", 3
    BIF = "bif", 0
    BMD = "bmd", 2
    BND = "bnd", 2
    BOB = "bob", 2
    BRL = "brl", 2
    BSD = "bsd", 2
    BTN = "btn", 2
    BWP = "bwp", 2
    BYN = "byn", 2
    BZD = "bzd", 2
    CAD = "cad", 2
    CDF = "cdf", 2
    CHF = "chf", 2
    CLP = "clp", 0
    CNY = "cny", 2
    COP = "cop", 2
    CRC = "crc", 2
    CUP = "cup", 2
    CVE = "cve", 2
    CZK = "czk", 2
    DJF = "djf", 0
    DKK = "dkk", 2
    DOP = "dop", 2
    DZD = "dzd", 2
    EGP = "egp", 2
    ERN = "ern", 2
    ETB = "etb", 2
    EUR = "eur", 2
    FJD = "fjd", 2
    FKP = "fkp", 2
    GBP = "gbp", 2
    GEL = "gel", 2
    GHS = "ghs", 2
    GIP = "gip", 2
    GMD = "gmd", 2
    GNF = "gnf", 0
    GTQ = "gtq", 2
    GYD = "gyd", 2
    HKD = "hkd", 2
    HNL = "hnl", 2
    HTG = "htg", 2
    HUF = "huf", 2
    IDR = "idr", 2
    ILS = "ils", 2
    INR = "inr", 2
    IQD = "iqd", 3
    IRR = "irr", 2
    ISK = "isk", 0
    JMD = "jmd", 2
    JOD = "jod", 3
    JPY = "jpy", 0
    KES = "kes", 2
    KGS = "kgs", 2
    KHR = "khr", 2
    KMF = "kmf", 0
    KPW = "kpw", 2
    KRW = "krw", 0
    KWD = "kwd", 3
    KYD = "kyd", 2
    KZT = "kzt", 2
    LAK = "lak", 2
    LBP = "lbp", 2
    LKR = "lkr", 2
    LRD = "lrd", 2
    LSL = "lsl", 2
    LYD = "lyd", 3
    MAD = "mad", 2
    MDL = "mdl", 2
    MGA = "mga", 2
    MKD = "mkd", 2
    MMK = "mmk", 2
    MNT = "mnt", 2
    MOP = "mop", 2
    MRU = "mru", 2
    MUR = "mur", 2
    MVR = "mvr", 2
    MWK = "mwk", 2
    MXN = "mxn", 2
    MYR = "myr", 2
    MZN = "mzn", 2
    NAD = "nad", 2
    NGN = "ngn", 2
    NIO = "nio", 2
    NOK = "nok", 2
    NPR = "npr", 2
    NZD = "nzd", 2
    OMR = "omr", 3
    PAB = "pab", 2
    PEN = "pen", 2
    PGK = "pgk", 2
    PHP = "php", 2
    PKR = "pkr", 2
    PLN = "pln", 2
    PYG = "pyg", 0
    QAR = "qar", 2
    RON = "ron", 2
    RSD = "rsd", 2
    RUB = "rub", 2
    RWF = "rwf", 0
    SAR = "sar", 2
    SBD = "sbd", 2
    SCR = "scr", 2
    SDG = "sdg", 2
    SEK = "sek", 2
    SGD = "sgd", 2
    SHP = "shp", 2
    SLE = "sle", 2
    SOS = "sos", 2
    SRD = "srd", 2
    SSP = "ssp", 2
    STD = "std", 2
    STN = "stn", 2
    SVC = "svc", 2
    SYP = "syp", 2
    SZL = "szl", 2
    THB = "thb", 2
    TJS = "tjs", 2
    TMT = "tmt", 2
    TND = "tnd", 3
    TOP = "top", 2
    TRY = "try", 2
    TTD = "ttd", 2
    TWD = "twd", 2
    TZS = "tzs", 2
    UAH = "uah", 2
    UGX = "ugx", 0
    USD = "usd", 2
    UYU = "uyu", 2
    UZS = "uzs", 2
    VES = "ves", 2
    VND = "vnd", 0
    VUV = "vuv", 0
    WST = "wst", 2
    XAF = "xaf", 0
    XCD = "xcd", 2
    XCG = "xcg", 2
    XOF = "xof", 0
    XPF = "xpf", 0
    YER = "yer", 2
    ZAR = "zar", 2
    ZMW = "zmw", 2
    ZWG = "zwg", 2


_BY_CODE: Final = {member.code: member for member in Currency}


@frozen(order=False)
class Money:
    """An exact amount: ``minor`` units (cents, fils, yen) of one ``currency``. It may be negative in arithmetic.

    A single amount has at most 12 digits: the constructor, ``parse``, decoding from storage and multiplication by a
    rate raise ``InvalidAmount`` beyond that. Sums and differences (``+``, ``-``, ``total``, ``Money.sum_of``) have no
    limit, since many charges add up to more than the largest one. ``single`` checks a sum that is to be charged,
    refunded or stored as one amount.
    """

    minor: int = field()
    currency: Currency

    @minor.validator
    def _within_digits(self, _: object, minor: int) -> None:
        if type(minor) is not int or abs(minor) >= 10**MAX_DIGITS:
            raise InvalidAmount(f"an amount has at most {MAX_DIGITS} digits")

    @classmethod
    def zero(cls, currency: Currency) -> "Money":
        return _ZEROS[currency]

    @classmethod
    def sum_of(cls, minor: int, currency: Currency) -> "Money":
        """Return a sum of ``minor`` units that was computed elsewhere, for example in SQL; it has no digit limit."""
        made = object.__new__(cls)  # the constructor checks the limit
        object.__setattr__(made, "minor", minor)
        object.__setattr__(made, "currency", currency)
        return made

    def single(self) -> "Money":
        """Return this sum as a single amount. Raises ``InvalidAmount`` when it has more than 12 digits."""
        return Money(self.minor, self.currency)

    @classmethod
    def parse(cls, text: str, currency: Currency, *, allow_negative: bool = False) -> "Money":
        """Return the amount of plain decimal text in major units (``"100.00"``, JPY ``"100"``, KWD ``"5.120"``).

        Nothing is rounded.

        Raises:
            InvalidAmount: more decimals than the currency has, NaN, infinity, an exponent, a sign where none is
                allowed, spaces, or more than 12 digits.
        """
        match = _AMOUNT.fullmatch(text)
        if match is None:
            raise InvalidAmount('write the amount as plain decimal text, for example "100.00"')
        if match["sign"] and not allow_negative:
            raise InvalidAmount("the amount must not be negative")
        part = match["part"] or ""
        if len(part) > currency.exponent:
            raise InvalidAmount(f"{currency.code.upper()} has {currency.exponent} decimals; the amount has {len(part)}")
        return cls(int(match["sign"] + match["whole"] + part.ljust(currency.exponent, "0")), currency)

    @staticmethod
    def major_units(text: str) -> Decimal:
        """Return plain decimal text in major units of no particular currency as a number.

        Raises ``InvalidAmount`` for text that is not an amount in any currency.
        """
        match = _AMOUNT.fullmatch(text)
        if match is None or match["sign"]:
            raise InvalidAmount('write the amount as plain decimal text, for example "100.00"')
        return Decimal(text)

    @property
    def amount(self) -> Decimal:
        """The amount in major units, exact, with exactly the currency's decimals."""
        return Decimal(self.major())

    def major(self) -> str:
        """Return decimal text in major units, with exactly the currency's decimals."""
        exponent = self.currency.exponent
        sign, digits = "-" if self.minor < 0 else "", str(abs(self.minor)).rjust(exponent + 1, "0")
        return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}" if exponent else f"{sign}{digits}"

    def __str__(self) -> str:
        return f"{self.major()} {self.currency.code}"

    def __add__(self, other: "Money") -> "Money":
        return Money.sum_of(self.minor + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money.sum_of(self.minor - self._same(other), self.currency)

    def __neg__(self) -> "Money":
        return Money.sum_of(-self.minor, self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.minor < self._same(other)

    def __le__(self, other: "Money") -> bool:
        return self.minor <= self._same(other)

    def __gt__(self, other: "Money") -> bool:
        return self.minor > self._same(other)

    def __ge__(self, other: "Money") -> bool:
        return self.minor >= self._same(other)

    def __bool__(self) -> bool:
        return self.minor != 0

    def times(self, ratio: Decimal | Fraction, step: int = 1) -> "Money":
        """Return this amount times an exact ratio, rounded half-even to a multiple of ``step`` minor units."""
        part, of = ratio.as_integer_ratio()
        return Money(round_share(self.minor, part, of * step) * step, self.currency)

    def rounded_down(self, step: int) -> "Money":
        """Return the largest multiple of ``step`` minor units that is not above this amount."""
        return Money(self.minor - self.minor % step, self.currency)

    def _same(self, other: "Money") -> int:
        if self.currency is not other.currency:
            raise CurrencyMismatch(self.currency.code, other.currency.code)
        return other.minor


_ZEROS: Final = {currency: Money(0, currency) for currency in Currency}
"""Most amounts of a payment are zero most of the time."""


def round_half_even(value: Fraction) -> int:
    """Return the nearest integer; a tie goes to the even neighbor (``round`` on a Fraction is exact)."""
    return round(value)


def round_share(whole: int, part: int, of: int) -> int:
    """Return ``whole`` x ``part`` / ``of``, rounded half-even, in integers."""
    quotient, remainder = divmod(whole * part, of)
    twice = 2 * remainder
    return quotient + (twice > of or (twice == of and quotient % 2 == 1))


def _to_step(minor: Fraction, step: int) -> int:
    return round_half_even(Fraction(minor) / step) * step


def in_currency(major: Decimal, currency: Currency, step: int = 1) -> Money:
    """Return a configured major-unit amount in ``currency``, rounded half-even to a multiple of ``step`` units.

    ``step`` is in minor units. For settings that apply to several currencies, such as a fixed fee of 0.30; amounts from
    callers go through ``Money.parse``, which never rounds.
    """
    return Money(_to_step(Fraction(major) * 10**currency.exponent, step), currency)


def total(amounts: Iterable[Money], currency: Currency) -> Money:
    """Return the sum of ``amounts``, without the limit of a single amount; zero of ``currency`` for no amounts."""
    minor = 0
    for amount in amounts:
        if amount.currency is not currency:
            raise CurrencyMismatch(currency.code, amount.currency.code)
        minor += amount.minor
    return Money.sum_of(minor, currency) if minor else Money.zero(currency)
