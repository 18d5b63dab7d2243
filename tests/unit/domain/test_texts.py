"""Free text has a limited length, and no control characters."""

import pytest

from booking_payments.domain.errors import InvalidInput
from booking_payments.domain.texts import require_identifier, require_line, require_note, require_reason, require_text


@pytest.mark.parametrize("text", ["hallo\nwelt\t!", "\u00fcber\u00e4ll", "x" * 500, "", None])
def test_a_note_may_have_line_breaks(text: str | None) -> None:
    require_note(text)


@pytest.mark.parametrize("text", ["a\x07b", "line\x00", "half a character \ud800"])
def test_a_note_has_no_control_characters(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^note: leave out control characters$"):
        require_note(text)


def test_a_note_has_the_length_limit_of_metadata() -> None:
    with pytest.raises(InvalidInput, match=r"^note: 500 characters at most$"):
        require_note("x" * 501)


@pytest.mark.parametrize("text", ["the hall is flooded", "x" * 500, "", None])
def test_a_reason_may_be_empty_or_one_line(text: str | None) -> None:
    require_reason(text)


@pytest.mark.parametrize("text", ["two\nlines", "line\x00", " "])
def test_a_reason_is_visible_and_on_one_line(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^reason: use visible characters on one line$"):
        require_reason(text)


def test_a_reason_has_the_length_limit_of_a_note() -> None:
    with pytest.raises(InvalidInput, match=r"^reason: 500 characters at most$"):
        require_reason("x" * 501)


def test_a_valid_line_is_returned_unchanged() -> None:
    assert require_line("order 1001", "reference") == "order 1001"


@pytest.mark.parametrize(
    "text",
    [
        "20\u00a0\u20ac pro Person",
        "1\u202f000\u00a0\u20ac",
        "family \U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "a character that Python's tables lack: \U00036c73",
        "soft\u00adhyphen",
    ],
)
def test_text_for_people_is_whatever_they_write(text: str) -> None:
    assert require_line(text, "title") == text
    require_text(text, "description")


@pytest.mark.parametrize(
    "text", ["pay 10\u202e0.00", "\u2066name", "C1 \x88", "two\u2028lines", "\u200b", "\u00a0", ""]
)
def test_a_line_for_people_is_not_empty_or_reordered(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^title: use visible characters on one line$"):
        require_line(text, "title")


@pytest.mark.parametrize("text", ["R\u200b1", "R\u00a01", "R\u00ad1", " ", "", "R\n1"])
def test_each_character_of_an_identifier_is_visible(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^reference: use visible characters on one line$"):
        require_identifier(text, "reference")
