"""Free text has a limited length, and no control characters."""

import pytest

from booking_payments.domain.errors import InvalidInput
from booking_payments.domain.texts import require_line, require_note, require_reason


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
