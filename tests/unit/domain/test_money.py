"""Money: valid and invalid amounts, exact arithmetic, and the absence of floats."""

import ast
from collections.abc import Iterator
from decimal import ROUND_UP, Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import booking_payments.domain
from booking_payments.domain.errors import CurrencyMismatch, InvalidAmount, UnknownCurrency
from booking_payments.domain.money import MAX_DIGITS, Currency, Money, in_currency, round_half_even, total
from tests.sources import tree_of
from tests.unit.domain.builders import EXPONENTS, eur, usd

LARGEST = 10**MAX_DIGITS - 1
AMOUNTS = st.builds(Money, st.integers(-LARGEST, LARGEST), st.sampled_from(Currency))
DOMAIN = Path(booking_payments.domain.__file__).parent


@given(AMOUNTS)
def test_printed_text_parses_to_the_same_amount(amount: Money) -> None:
    assert Money.parse(amount.major(), amount.currency, allow_negative=True) == amount


def test_one_major_unit_is_ten_to_the_exponent_in_every_currency() -> None:
    units = {currency: Money.parse("1", currency).minor for currency in Currency}

    assert units == {currency: 10**currency.exponent for currency in Currency}


@pytest.mark.parametrize(
    ("text", "code", "minor"),
    [
        ("100.00", "usd", 10000),
        ("100", "usd", 10000),
        ("100.5", "usd", 10050),
        ("0.01", "usd", 1),
        ("100", "jpy", 100),
        ("5.120", "kwd", 5120),
        ("0", "eur", 0),
        ("007.00", "eur", 700),
        ("9999999999.99", "usd", LARGEST),
    ],
)
def test_plain_decimal_text_is_an_amount(text: str, code: str, minor: int) -> None:
    assert Money.parse(text, Currency.of(code)) == Money(minor, Currency.of(code))


@pytest.mark.parametrize(
    "text",
    [
        "100.001", "NaN", "nan", "inf", "Infinity", "-inf", "1e5", "1E5", "+1", " 1", "1 ", "1 000", "1,000", "1_000",
        "", ".", ".5", "5.", "-1.00", "-0", "--1", "0x10", "\u0661\u0660\u0660", "\uff11\uff10\uff10", "\u00b2", "1\n",
        "$1", "10000000000.00", "1234567890123", "9" * 400, "1.00 usd",
    ],
)  # fmt: skip
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount):
        Money.parse(text, Currency.USD)


@pytest.mark.parametrize(
    ("currency", "text"), [(Currency.JPY, "1.0"), (Currency.USD, "1.001"), (Currency.KWD, "1.0001")]
)
def test_more_decimals_than_the_currency_has_are_refused(currency: Currency, text: str) -> None:
    with pytest.raises(InvalidAmount, match="decimals"):
        Money.parse(text, currency)


def test_a_negative_amount_is_read_where_it_is_allowed() -> None:
    assert Money.parse("-1.50", Currency.USD, allow_negative=True).minor == -150


@pytest.mark.parametrize("minor", [10**MAX_DIGITS, -(10**MAX_DIGITS), True, Decimal(1)])
def test_minor_units_are_an_integer_of_at_most_twelve_digits(minor: int) -> None:
    with pytest.raises(InvalidAmount):
        Money(minor, Currency.USD)


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (5, Currency.USD, "0.05"),
        (-5, Currency.USD, "-0.05"),
        (5, Currency.JPY, "5"),
        (5, Currency.KWD, "0.005"),
        (123456, Currency.USD, "1234.56"),
    ],
)
def test_major_text_has_exactly_the_decimals_of_its_currency(minor: int, currency: Currency, text: str) -> None:
    assert Money(minor, currency).major() == text


def test_an_amount_reads_as_text_and_currency() -> None:
    assert str(usd("1.50")) == "1.50 usd"


@pytest.mark.parametrize("operator", ["__add__", "__sub__", "__lt__", "__le__", "__gt__", "__ge__"])
def test_two_currencies_cannot_be_combined(operator: str) -> None:
    with pytest.raises(CurrencyMismatch) as refused:
        getattr(usd("1.00"), operator)(eur("1.00"))

    assert refused.value.message == "amounts in usd and eur cannot be combined"


def test_equal_numbers_of_two_currencies_are_not_equal() -> None:
    assert usd("1.00") != eur("1.00")


@given(st.integers(-(10**11), 10**11), st.integers(-(10**11), 10**11))
def test_addition_and_subtraction_are_exact(left: int, right: int) -> None:
    a, b = Money(left, Currency.USD), Money(right, Currency.USD)

    assert (a + b).minor == left + right
    assert (a + b) - b == a
    assert a - b == -(b - a)


@given(st.integers(-9, 9), st.integers(-9, 9))
def test_amounts_are_ordered_as_their_minor_units(left: int, right: int) -> None:
    a, b = Money(left, Currency.USD), Money(right, Currency.USD)

    assert (a < b, a <= b, a > b, a >= b) == (left < right, left <= right, left > right, left >= right)


@pytest.mark.parametrize(("minor", "truth"), [(0, False), (1, True), (-1, True)])
def test_only_zero_is_false(minor: int, truth: bool) -> None:
    assert bool(Money(minor, Currency.USD)) is truth


@pytest.mark.parametrize(
    ("value", "nearest"),
    [("0.5", 0), ("1.5", 2), ("2.5", 2), ("-0.5", 0), ("-1.5", -2), ("2.4999", 2), ("2.5001", 3)],
)
def test_a_tie_rounds_to_the_even_neighbor(value: str, nearest: int) -> None:
    assert round_half_even(Fraction(value)) == nearest


@pytest.mark.parametrize(("minor", "product"), [(50, 2), (150, 4), (250, 8), (350, 10)])
def test_a_rate_times_an_amount_rounds_half_even(minor: int, product: int) -> None:
    assert Money(minor, Currency.USD).times(Decimal("0.03")) == Money(product, Currency.USD)


@pytest.mark.parametrize(
    ("major", "currency", "minor"),
    [
        ("0.30", Currency.USD, 30),
        ("0.30", Currency.JPY, 0),
        ("0.50", Currency.JPY, 0),
        ("1.50", Currency.JPY, 2),
        ("0.30", Currency.KWD, 300),
        ("0.125", Currency.USD, 12),
    ],
)
def test_a_setting_finer_than_the_currency_rounds_half_even(major: str, currency: Currency, minor: int) -> None:
    with localcontext(rounding=ROUND_UP):  # rounding set by the embedding program has no effect
        assert in_currency(Decimal(major), currency) == Money(minor, currency)


@pytest.mark.parametrize(("minor", "product"), [(49, 0), (50, 0), (51, 10), (150, 20), (250, 20)])
def test_a_rate_times_an_amount_rounds_half_even_to_a_step(minor: int, product: int) -> None:
    assert Money(minor, Currency.KWD).times(Decimal("0.1"), 10) == Money(product, Currency.KWD)


@pytest.mark.parametrize(
    ("minor", "step", "rounded"), [(2565, 10, 2560), (2560, 10, 2560), (9, 10, 0), (2565, 1, 2565), (-5, 10, -10)]
)
def test_an_amount_is_rounded_down_to_a_step(minor: int, step: int, rounded: int) -> None:
    assert Money(minor, Currency.KWD).rounded_down(step) == Money(rounded, Currency.KWD)


def test_the_total_of_nothing_is_zero_of_the_currency() -> None:
    assert total([], Currency.EUR) == eur("0")


def test_a_total_adds_everything_up() -> None:
    assert total([usd("1.00"), usd("2.50")], Currency.USD) == usd("3.50")


# --- sums


LARGE = Money(LARGEST, Currency.IDR)


def test_a_sum_may_have_more_digits_than_a_single_amount() -> None:
    eleven = total([LARGE] * 11, Currency.IDR)

    assert (eleven.minor, str(eleven)) == (11 * LARGEST, "109999999999.89 idr")
    assert (LARGE + LARGE) - LARGE == LARGE
    assert -(LARGE + LARGE) < -LARGE
    assert hash(LARGE + LARGE - LARGE) == hash(LARGE)


def test_a_sum_from_minor_units_equals_a_sum_of_amounts() -> None:
    assert Money.sum_of(2 * LARGEST, Currency.IDR) == LARGE + LARGE
    assert Money.sum_of(5, Currency.USD) == Money(5, Currency.USD)


def test_a_sum_becomes_a_single_amount_only_within_the_limit() -> None:
    assert (LARGE + LARGE - LARGE).single() == LARGE
    with pytest.raises(InvalidAmount):
        (LARGE + Money(1, Currency.IDR)).single()


def test_a_sum_times_a_rate_is_a_single_amount() -> None:
    with pytest.raises(InvalidAmount):
        (LARGE + LARGE).times(Decimal(1))


@pytest.mark.parametrize("code", ["USD", "xxx", "", "us", "dollar", None, ["usd"]])
def test_an_unknown_currency_is_refused(code: str) -> None:
    with pytest.raises(UnknownCurrency) as unknown:
        Currency.of(code)

    assert unknown.value.currency == code


def test_every_currency_is_found_by_its_code() -> None:
    assert [Currency.of(currency.code) for currency in Currency] == list(Currency)


def test_a_currency_shows_its_name() -> None:
    assert repr(Currency.USD) == "Currency.USD"


def test_currencies_without_and_with_three_decimals_are_those_of_iso_4217() -> None:
    none = " ".join(c.code for c in Currency if c.exponent == 0)
    three = " ".join(c.code for c in Currency if c.exponent == 3)

    assert none == "bif clp djf gnf isk jpy kmf krw pyg rwf ugx vnd vuv xaf xof xpf"
    assert three == "bhd iqd jod kwd lyd omr tnd"
    assert {c.exponent for c in Currency} == set(EXPONENTS)


def _floats(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield f"line {node.lineno}: the literal {node.value}"
        if isinstance(node, ast.Name) and node.id == "float":
            yield f"line {node.lineno}: float"


def _divisions(tree: ast.AST) -> Iterator[str]:
    """Return the true divisions, except those of a Fraction just created, which stay exact."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            left = node.left if isinstance(node, ast.BinOp) else node.target
            exact = isinstance(left, ast.Call) and isinstance(left.func, ast.Name) and left.func.id == "Fraction"
            if not exact:
                yield f"line {node.lineno}: true division"


@pytest.mark.parametrize("module", sorted(DOMAIN.glob("*.py")), ids=lambda path: path.name)
def test_the_domain_contains_no_float(module: Path) -> None:
    tree = tree_of(module)

    assert [*_floats(tree), *_divisions(tree)] == []


@pytest.mark.parametrize("source", ["x = 0.5", "float(x)", "def f(x: float): ...", "a / b", "a /= b", "1j"])
def test_the_search_for_floats_finds_them(source: str) -> None:
    tree = ast.parse(source)

    assert [*_floats(tree), *_divisions(tree)] != []
