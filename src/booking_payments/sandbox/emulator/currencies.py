"""The currencies in which Stripe charges, as Stripe's page lists them (docs.stripe.com/currencies).

The emulator has its own table: one that it shared with the Stripe adapter would repeat the adapter's mistakes.
A test compares the two.
"""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

DEFAULT_DIGITS: Final = 8
"""Digits of the largest amount of a PaymentIntent, as Stripe's reference says."""

HIGHEST_DIGITS: Final = 12
"""Digits of the largest amount that most cards take."""


@frozen
class StripeCurrency:
    """What Stripe says about one currency. Amounts are integers in Stripe's minor unit.

    Attributes:
        decimals: Decimal places of the minor unit: 0, 2 or 3.
        multiple: Every amount is a multiple of it; 1 where Stripe asks for none.
        minimum: The smallest charge; 1 where Stripe publishes none. Stripe compares after conversion to the settlement
            currency; the emulator compares in the currency of the charge.
        digits: Digits of the largest charge of an account with Stripe's default limit.
    """

    decimals: int
    multiple: int
    minimum: int
    digits: int

    def maximum(self, digits: int) -> int:
        """The largest charge of an account that takes amounts of ``digits`` digits."""
        return int(10 ** max(digits, self.digits)) - 1


# The rows differ from ISO 4217 for MGA (no decimals), ISK and UGX (two decimals that are always 00). The last digit of
# a currency with three decimals is always 0.
_TABLE: Final = """
    code decimals multiple minimum digits
    aed 2 1 200 8        | afn 2 1 1 8          | all 2 1 1 8          | amd 2 1 1 8          | ang 2 1 1 8
    aoa 2 1 1 8          | ars 2 1 50 8         | aud 2 1 50 8         | awg 2 1 1 8          | azn 2 1 1 8
    bam 2 1 1 8          | bbd 2 1 1 8          | bdt 2 1 1 8          | bgn 2 1 1 8          | bhd 3 10 1 8
    bif 0 1 1 8          | bmd 2 1 1 8          | bnd 2 1 1 8          | bob 2 1 1 8          | brl 2 1 50 8
    bsd 2 1 1 8          | bwp 2 1 1 8          | byn 2 1 1 8          | bzd 2 1 1 8          | cad 2 1 50 8
    cdf 2 1 1 8          | chf 2 1 50 8         | clp 0 1 1 8          | cny 2 1 1 8          | cop 2 1 50 10
    crc 2 1 1 8          | cve 2 1 1 8          | czk 2 1 1500 8       | djf 0 1 1 8          | dkk 2 1 250 8
    dop 2 1 1 8          | dzd 2 1 1 8          | egp 2 1 1 8          | etb 2 1 1 8          | eur 2 1 50 8
    fjd 2 1 1 8          | fkp 2 1 1 8          | gbp 2 1 30 8         | gel 2 1 1 8          | gip 2 1 1 8
    gmd 2 1 1 8          | gnf 0 1 1 8          | gtq 2 1 1 8          | gyd 2 1 1 8          | hkd 2 1 400 8
    hnl 2 1 1 8          | htg 2 1 1 8          | huf 2 1 17500 8      | idr 2 1 50 12        | ils 2 1 50 8
    inr 2 1 50 9         | isk 2 100 1 8        | jmd 2 1 1 8          | jod 3 10 1 8         | jpy 0 1 50 8
    kes 2 1 1 8          | kgs 2 1 1 8          | khr 2 1 1 8          | kmf 0 1 1 8          | krw 0 1 50 8
    kwd 3 10 1 8         | kyd 2 1 1 8          | kzt 2 1 1 8          | lak 2 1 1 8          | lbp 2 1 1 8
    lkr 2 1 1 8          | lrd 2 1 1 8          | lsl 2 1 1 8          | mad 2 1 1 8          | mdl 2 1 1 8
    mga 0 1 1 8          | mkd 2 1 1 8          | mmk 2 1 1 8          | mnt 2 1 1 8          | mop 2 1 1 8
    mur 2 1 1 8          | mvr 2 1 1 8          | mwk 2 1 1 8          | mxn 2 1 1000 8       | myr 2 1 200 8
    mzn 2 1 1 8          | nad 2 1 1 8          | ngn 2 1 1 8          | nio 2 1 1 8          | nok 2 1 300 8
    npr 2 1 1 8          | nzd 2 1 50 8         | omr 3 10 1 8         | pab 2 1 1 8          | pen 2 1 1 8
    pgk 2 1 1 8          | php 2 1 50 8         | pkr 2 1 1 8          | pln 2 1 200 8        | pyg 0 1 1 8
    qar 2 1 1 8          | ron 2 1 200 8        | rsd 2 1 1 8          | rub 2 1 50 8         | rwf 0 1 1 8
    sar 2 1 1 8          | sbd 2 1 1 8          | scr 2 1 1 8          | sek 2 1 300 8        | sgd 2 1 50 8
    shp 2 1 1 8          | sle 2 1 1 8          | sos 2 1 1 8          | srd 2 1 1 8          | std 2 1 1 8
    szl 2 1 1 8          | thb 2 1 1000 8       | tjs 2 1 1 8          | tnd 3 10 1 8         | top 2 1 1 8
    try 2 1 1 8          | ttd 2 1 1 8          | twd 2 1 1 8          | tzs 2 1 1 8          | uah 2 1 1 8
    ugx 2 100 1 8        | usd 2 1 50 8         | uyu 2 1 1 8          | uzs 2 1 1 8          | vnd 0 1 1 8
    vuv 0 1 1 8          | wst 2 1 1 8          | xaf 0 1 1 8          | xcd 2 1 1 8          | xof 0 1 1 8
    xpf 0 1 1 8          | yer 2 1 1 8          | zar 2 1 50 8         | zmw 2 1 1 8
"""


def _read(table: str) -> dict[str, StripeCurrency]:
    _, *lines = table.strip().splitlines()
    rows = [cell.split() for line in lines for cell in line.split("|")]
    return {code: StripeCurrency(*map(int, numbers)) for code, *numbers in rows}


CURRENCIES: Final[Mapping[str, StripeCurrency]] = _read(_TABLE)
"""Every currency that Stripe takes, by its lower-case code."""
