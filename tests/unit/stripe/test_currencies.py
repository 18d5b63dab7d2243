"""The complete currency table, row by row, and the conversion of amounts to Stripe's units and back.

Each row: the code, decimals by ISO 4217, decimals at Stripe, the factor of which Stripe's amounts must be a multiple,
and the smallest charge in Stripe's minor units (docs.stripe.com/currencies); dashes for a currency without charges.
"""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking_payments.adapters.gateways.stripe import amounts
from booking_payments.adapters.gateways.stripe.limits import check_amount, check_charge
from booking_payments.domain.errors import RefusedByRule
from booking_payments.domain.money import MAX_DIGITS, Currency, Money
from tests.nightly import NIGHTLY
from tests.rows import row

ROUND_TRIPS = 100_000 if NIGHTLY else 2_000

TABLE = """
    aed 2 2 1 200    | afn 2 2 1 1      | all 2 2 1 1      | amd 2 2 1 1      | ang 2 2 1 1
    aoa 2 2 1 1      | ars 2 2 1 50     | aud 2 2 1 50     | awg 2 2 1 1      | azn 2 2 1 1
    bam 2 2 1 1      | bbd 2 2 1 1      | bdt 2 2 1 1      | bgn 2 2 1 1      | bhd 3 3 10 1
    bif 0 0 1 1      | bmd 2 2 1 1      | bnd 2 2 1 1      | bob 2 2 1 1      | brl 2 2 1 50
    bsd 2 2 1 1      | btn 2 - - -      | bwp 2 2 1 1      | byn 2 2 1 1      | bzd 2 2 1 1
    cad 2 2 1 50     | cdf 2 2 1 1      | chf 2 2 1 50     | clp 0 0 1 1      | cny 2 2 1 1
    cop 2 2 1 50     | crc 2 2 1 1      | cup 2 - - -      | cve 2 2 1 1      | czk 2 2 1 1500
    djf 0 0 1 1      | dkk 2 2 1 250    | dop 2 2 1 1      | dzd 2 2 1 1      | egp 2 2 1 1
    ern 2 - - -      | etb 2 2 1 1      | eur 2 2 1 50     | fjd 2 2 1 1      | fkp 2 2 1 1
    gbp 2 2 1 30     | gel 2 2 1 1      | ghs 2 - - -      | gip 2 2 1 1      | gmd 2 2 1 1
    gnf 0 0 1 1      | gtq 2 2 1 1      | gyd 2 2 1 1      | hkd 2 2 1 400    | hnl 2 2 1 1
    htg 2 2 1 1      | huf 2 2 1 17500  | idr 2 2 1 50     | ils 2 2 1 50     | inr 2 2 1 50
    iqd 3 - - -      | irr 2 - - -      | isk 0 2 100 1    | jmd 2 2 1 1      | jod 3 3 10 1
    jpy 0 0 1 50     | kes 2 2 1 1      | kgs 2 2 1 1      | khr 2 2 1 1      | kmf 0 0 1 1
    kpw 2 - - -      | krw 0 0 1 50     | kwd 3 3 10 1     | kyd 2 2 1 1      | kzt 2 2 1 1
    lak 2 2 1 1      | lbp 2 2 1 1      | lkr 2 2 1 1      | lrd 2 2 1 1      | lsl 2 2 1 1
    lyd 3 - - -      | mad 2 2 1 1      | mdl 2 2 1 1      | mga 2 0 1 1      | mkd 2 2 1 1
    mmk 2 2 1 1      | mnt 2 2 1 1      | mop 2 2 1 1      | mru 2 - - -      | mur 2 2 1 1
    mvr 2 2 1 1      | mwk 2 2 1 1      | mxn 2 2 1 1000   | myr 2 2 1 200    | mzn 2 2 1 1
    nad 2 2 1 1      | ngn 2 2 1 1      | nio 2 2 1 1      | nok 2 2 1 300    | npr 2 2 1 1
    nzd 2 2 1 50     | omr 3 3 10 1     | pab 2 2 1 1      | pen 2 2 1 1      | pgk 2 2 1 1
    php 2 2 1 50     | pkr 2 2 1 1      | pln 2 2 1 200    | pyg 0 0 1 1      | qar 2 2 1 1
    ron 2 2 1 200    | rsd 2 2 1 1      | rub 2 2 1 50     | rwf 0 0 1 1      | sar 2 2 1 1
    sbd 2 2 1 1      | scr 2 2 1 1      | sdg 2 - - -      | sek 2 2 1 300    | sgd 2 2 1 50
    shp 2 2 1 1      | sle 2 2 1 1      | sos 2 2 1 1      | srd 2 2 1 1      | ssp 2 - - -
    std 2 2 1 1      | stn 2 - - -      | svc 2 - - -      | syp 2 - - -      | szl 2 2 1 1
    thb 2 2 1 1000   | tjs 2 2 1 1      | tmt 2 - - -      | tnd 3 3 10 1     | top 2 2 1 1
    try 2 2 1 1      | ttd 2 2 1 1      | twd 2 2 1 1      | tzs 2 2 1 1      | uah 2 2 1 1
    ugx 0 2 100 1    | usd 2 2 1 50     | uyu 2 2 1 1      | uzs 2 2 1 1      | ves 2 - - -
    vnd 0 0 1 1      | vuv 0 0 1 1      | wst 2 2 1 1      | xaf 0 0 1 1      | xcd 2 2 1 1
    xcg 2 - - -      | xof 0 0 1 1      | xpf 0 0 1 1      | yer 2 2 1 1      | zar 2 2 1 50
    zmw 2 2 1 1      | zwg 2 - - -
"""
ROWS = [cell.split() for line in TABLE.strip().splitlines() for cell in line.split("|")]
TAKEN = [row for row in ROWS if row[2] != "-"]
NOT_TAKEN = [row[0] for row in ROWS if row[2] == "-"]


def test_the_table_has_every_currency_once() -> None:
    assert [row[0] for row in ROWS] == [currency.code for currency in Currency]


def test_every_currency_of_stripe_is_a_currency_of_the_domain() -> None:
    assert amounts.SUPPORTED - {currency.code for currency in Currency} == set()


def test_a_currency_has_its_decimals() -> None:
    for each in ROWS:
        with row(each[0]):
            currency, decimals = Currency.of(each[0]), int(each[1])

            assert (currency.exponent, Money.parse("7", currency)) == (decimals, Money(7 * 10**decimals, currency))


def test_seven_units_are_as_many_minor_units_at_stripe() -> None:
    for each in TAKEN:
        with row(each[0]):
            code, decimals, at_stripe = each[0], int(each[1]), int(each[2])
            sevens = Money.parse("7", Currency.of(code)).minor

            sent = amounts.to_stripe(sevens, decimals, code)

            assert (sent, amounts.from_stripe(sent, decimals, code)) == (7 * 10**at_stripe, sevens)


def test_stripes_rules_for_a_currency() -> None:
    for each in TAKEN:
        with row(each[0]):
            code, multiple, least = each[0], int(each[3]), int(each[4])

            assert (amounts.MULTIPLES.get(code, 1), amounts.minimum(code)) == (multiple, least)


TRIED = TAKEN if NIGHTLY else list({tuple(each[1:4]): each for each in TAKEN}.values())
"""By day one currency of each kind: decimals, decimals at Stripe, and step."""


@pytest.mark.parametrize("row", TRIED, ids=lambda row: row[0])
@settings(derandomize=True, database=None, deadline=None, max_examples=25)
@given(st.integers(1, 10**9))
def test_amounts_can_be_sent_exactly_when_they_are_multiples_of_the_step(row: list[str], minor: int) -> None:
    currency = Currency.of(row[0])
    step = amounts.step(currency.exponent, currency.code)

    check_amount(Money(minor * step, currency))
    if minor % step:
        with pytest.raises(RefusedByRule):
            check_amount(Money(minor, currency))


@pytest.mark.parametrize(
    ("code", "step"), [("usd", 1), ("jpy", 1), ("isk", 1), ("ugx", 1), ("kwd", 10), ("tnd", 10), ("mga", 100)]
)
def test_a_currency_has_its_step_in_our_minor_units(code: str, step: int) -> None:
    assert amounts.step(Currency.of(code).exponent, code) == step


def test_the_smallest_charge_is_accepted_and_less_is_refused() -> None:
    for each in TAKEN:
        with row(each[0]):
            _check_the_smallest_charge(each)


def _check_the_smallest_charge(row: list[str]) -> None:
    code, decimals, multiple = row[0], int(row[1]), int(row[3])
    least = -(-int(row[4]) // multiple) * multiple
    try:
        smallest = Money(amounts.from_stripe(least, decimals, code), Currency.of(code))
    except amounts.AmountNotRepresentable:
        smallest = Money.parse("1", Currency.of(code))

    check_charge(smallest)
    with pytest.raises(RefusedByRule):
        check_charge(Money(0, Currency.of(code)))
    if amounts.to_stripe(smallest.minor, decimals, code) == int(row[4]) > multiple:
        step = amounts.from_stripe(multiple, decimals, code) or 1
        with pytest.raises(RefusedByRule):
            check_charge(Money(smallest.minor - step, Currency.of(code)))


def test_an_unsupported_currency_is_refused() -> None:
    for code in NOT_TAKEN:
        with row(code):
            with pytest.raises(RefusedByRule) as refused:
                check_amount(Money.parse("7", Currency.of(code)))

            assert refused.value.code == "currency_not_supported"


MORE_THAN_EIGHT_DIGITS = {"idr": 12, "cop": 10, "inr": 9}


def _with_digits(digits: int, code: str) -> Money:
    """Return the largest amount with so many digits in Stripe's minor units."""
    multiple, currency = amounts.MULTIPLES.get(code, 1), Currency.of(code)
    return Money(amounts.from_stripe((10**digits - 1) // multiple * multiple, currency.exponent, code), currency)


def _one_digit_more(amount: Money) -> Money:
    return Money(amount.minor * 10, amount.currency)


def test_the_largest_charge_has_the_digits_of_its_currency() -> None:
    for code, *_ in TAKEN:
        with row(code):
            largest = _with_digits(MORE_THAN_EIGHT_DIGITS.get(code, 8), code)

            check_charge(largest)
            if code != "idr":  # its limit is the largest amount of Money
                with pytest.raises(RefusedByRule) as refused:
                    check_charge(_one_digit_more(largest))
                assert refused.value.code == "amount_too_large"


def test_a_setting_raises_the_number_of_digits() -> None:
    for code, *_ in TAKEN:
        with row(code):
            largest = _with_digits(max(9, MORE_THAN_EIGHT_DIGITS.get(code, 9)), code)

            check_charge(largest, 9)
            if code != "idr":
                with pytest.raises(RefusedByRule):
                    check_charge(_one_digit_more(largest), 9)


@pytest.mark.parametrize(("code", "text"), [("idr", "1000000.00"), ("idr", "9999999999.99"), ("cop", "50000000.00")])
def test_ordinary_tickets_can_be_charged_in_currencies_of_small_units(code: str, text: str) -> None:
    check_charge(Money.parse(text, Currency.of(code)))


def test_amounts_convert_there_and_back_or_are_refused() -> None:
    """Text, ISO minor units and Stripe's units are the same amount, or the conversion raises; nothing is rounded."""
    chance = Random(12)
    went = 0
    for _ in range(ROUND_TRIPS):
        code, decimals = (row := chance.choice(TAKEN))[0], int(row[1])
        money = Money(chance.randrange(10 ** chance.randint(1, MAX_DIGITS)), Currency.of(code))
        assert Money.parse(money.major(), money.currency) == money
        try:
            sent = amounts.to_stripe(money.minor, decimals, code)
        except amounts.AmountNotRepresentable:
            assert money.minor * 10 ** int(row[2]) % (10**decimals * int(row[3])) != 0
            continue
        went += 1
        assert sent * 10**decimals == money.minor * 10 ** int(row[2])
        assert amounts.from_stripe(sent, decimals, code) == money.minor
    assert went > ROUND_TRIPS // 2
