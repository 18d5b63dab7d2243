"""Card numbers are found in every usual spelling, and generated identifiers are never mistaken for one."""

import os
from random import Random

import pytest
from tools.card_number_shapes import IDENTIFIERS, PLAIN_DIGITS, refused

from booking_payments.presentation.card_numbers import holds_card_number

COUNT = 1_000_000 if os.environ.get("SIMULATION") == "nightly" else 4_000

SCHEMES = {
    "Visa": "4242424242424242",
    "Visa, 13 digits": "4222222222222",
    "Visa, 19 digits": "4242424242424242428",
    "Visa debit": "4000056655665556",
    "Mastercard": "5555555555554444",
    "Mastercard, 2 series": "2223003122003222",
    "Mastercard, last of the 2 series": "2720992222222229",
    "American Express": "378282246310005",
    "American Express 34": "343434343434343",
    "Diners Club": "36227206271667",
    "Diners Club, 16 digits": "3056930009020004",
    "Discover": "6011111111111117",
    "Discover 65": "6500000000000002",
    "JCB": "3566002020360505",
    "UnionPay": "6200000000000005",
    "UnionPay, 19 digits": "6205500000000000004",
    "Maestro": "6759649826438453",
    "Maestro 50": "5018000000000009",
    "Mir": "2200000000000004",
}
SPELLINGS = [
    "{}",
    "card {} thanks",
    "({})",
    "#{}",
    "number={}&cvc=123",
    "order_{}",
    "4-{}",
    "\u00fc{}",
    "\u5361\u53f7{}\u8c22\u8c22",
    "\u2116{}",
    "+{}, I think",
    "on 2026-11-29 with {}, 12/28",
    "12 {} 99",
]


def grouped(number: str, sizes: list[int], gap: str) -> str:
    groups, place = [], 0
    for size in sizes:
        groups.append(number[place : place + size])
        place += size
    return gap.join(group for group in [*groups, number[place:]] if group)


@pytest.mark.parametrize("name", SCHEMES)
def test_a_number_of_each_scheme_is_found(name: str) -> None:
    assert holds_card_number(SCHEMES[name])


@pytest.mark.parametrize("name", SCHEMES)
def test_a_number_with_a_wrong_check_digit_is_not_a_card_number(name: str) -> None:
    number = SCHEMES[name]

    assert not holds_card_number(number[:-1] + str((int(number[-1]) + 1) % 10))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_card_number_is_found_between_other_text(spelling: str) -> None:
    assert holds_card_number(spelling.format("4242424242424242"))


@pytest.mark.parametrize(
    "gap", [" ", "-", ".", "  ", " - ", "\t", "\n", "\u00a0", "\u2013", "\u2011", "\u200b", "\u3000"]
)
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("Visa", [4, 4, 4]),
        ("Visa", [8]),
        ("Visa", [1] * 16),
        ("Visa, 13 digits", [4, 3, 3]),
        ("Visa, 19 digits", [4, 4, 4, 4]),
        ("American Express", [4, 6]),
        ("American Express", [5, 5]),
        ("Diners Club", [4, 6]),
        ("UnionPay, 19 digits", [6]),
        ("Mastercard", [6, 6]),
    ],
)
def test_a_grouped_card_number_is_found(name: str, sizes: list[int], gap: str) -> None:
    assert holds_card_number(f"my card: {grouped(SCHEMES[name], sizes, gap)}!")


@pytest.mark.parametrize(
    "digits",
    [
        "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19",
        "".join(map(chr, range(0x660, 0x66A))),
        "".join(map(chr, range(0x1D7CE, 0x1D7D8))),
        "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079",
    ],
)
def test_a_card_number_is_found_in_digits_of_every_script(digits: str) -> None:
    assert holds_card_number("".join(digits[int(digit)] for digit in "4242424242424242"))


def test_combining_marks_do_not_hide_a_card_number() -> None:
    assert holds_card_number("".join(f"{digit}\ufe0f\u20e3" for digit in "4242424242424242"))


@pytest.mark.parametrize(
    "text",
    [
        "x4242424242424242x",
        "a4000056655665556b",
        "cus4242424242424242",
        "4242424242424242kg",
        "42424242424242424",
        "04242424242424242",
        "4242/4242/4242/4242",
        "1111111111111117",
        "9111111111111111",
        "",
    ],
)
def test_digits_next_to_letters_or_without_a_card_scheme_are_not_a_card_number(text: str) -> None:
    assert not holds_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "f2424242-4242-4242-4242-424242424242",
        "42424242-4242-4242-8242-424242424242",
        "urn:uuid:42424242-4242-4242-8242-424242424242",
        "booking-42424242-4242-4242-8242-424242424242-1",
        "{42424242-4242-4242-A242-424242424242}",
        "2f6c1b1e-5555-4242-4242-424242424242",
    ],
)
def test_a_uuid_is_not_a_card_number_even_if_its_digits_are_valid(text: str) -> None:
    assert not holds_card_number(text)


def test_a_card_number_next_to_a_uuid_is_found() -> None:
    assert holds_card_number("42424242-4242-4242-8242-424242424242 4242424242424242")
    assert holds_card_number("4242424242424242-42424242-4242-4242-8242-424242424242")


@pytest.mark.parametrize("text", ["+4915123456787", "+49 1512 3456787", "tel:+4915123456787"])
def test_a_telephone_number_with_a_plus_sign_is_not_a_card_number(text: str) -> None:
    assert holds_card_number(text.replace("+", "")), "the digits alone look like a card number"
    assert not holds_card_number(text)


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_generated_identifiers_are_accepted(name: str) -> None:
    assert refused(IDENTIFIERS[name], COUNT) == 0


@pytest.mark.parametrize("name", [name for name in PLAIN_DIGITS if "Unix" in name or "YYYY" in name or "date" in name])
def test_times_and_dates_are_accepted(name: str) -> None:
    assert refused(PLAIN_DIGITS[name], COUNT // 4) == 0


def test_the_check_digit_agrees_with_one_computed_by_hand() -> None:
    chance = Random(5)
    for _ in range(2000):
        digits = chance.choice(["4", "5"]) + "".join(chance.choices("0123456789", k=15))
        values = [int(digit) for digit in reversed(digits)]
        total = sum(values[::2]) + sum(sum(divmod(2 * value, 10)) for value in values[1::2])
        known = digits[0] == "4" or digits[:2] in {"50", "51", "52", "53", "54", "55", "56", "57", "58"}
        assert holds_card_number(digits) == (known and total % 10 == 0)
