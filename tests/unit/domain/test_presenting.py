"""Texts of a charge: suffixes that fit on a statement, and who receives which text."""

from datetime import timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from booking_payments.domain.booking import Booking, BookingDetails
from booking_payments.domain.errors import RefusedByRule
from booking_payments.domain.instructions import ANY_METHOD, ChargeTexts, MethodChoice
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.presenting import is_suffix, suffix_of, texts_of
from booking_payments.testing.kit import NOW

BOOKING = Booking(
    id="bk_1",
    reference="R-1",
    customer_id="ann",
    amount=Money(10000, Currency.USD),
    event_starts_at=NOW + timedelta(days=1),
    expires_at=NOW + timedelta(days=1),
    created_at=NOW,
)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("ROW 7", "ROW 7"),
        ("Summer Night Gala", "Summer Nig"),
        ("Fête d'été", "Fete dete"),
        ("<b>*Gala*</b>", "bGala/b"),
        ("  Gala  ", "Gala"),
        ("Midsummer n ight", "Midsummer"),
        ("2026", None),
        ("夏の夜", None),
        ("***", None),
        ("", None),
    ],
)
def test_a_suffix_is_cleaned_and_shortened(given: str, kept: str | None) -> None:
    assert suffix_of(given) == kept


@given(st.text(max_size=60))
def test_every_cleaned_suffix_is_valid(text: str) -> None:
    suffix = suffix_of(text)

    assert suffix is None or (len(suffix) <= 10 and is_suffix(suffix) and not set(suffix) & set("<>\\'\"*"))


def test_the_description_has_title_and_reference() -> None:
    titled = evolve(BOOKING, details=BookingDetails(title="Night"))

    assert texts_of(titled, suffix=None, receipts=False).description == "Night, R-1"
    assert texts_of(BOOKING, suffix=None, receipts=False) == ChargeTexts(description="R-1", order_reference="R-1")


def test_a_long_title_is_shortened() -> None:
    titled = evolve(BOOKING, details=BookingDetails(title="x" * 900))

    assert len(texts_of(titled, suffix=None, receipts=False).description or "") == 500


@pytest.mark.parametrize(
    ("own", "settings", "shown"),
    [
        (None, None, None),
        (None, "NIGHTS", "NIGHTS"),
        ("Gala of the year", None, "Gala of th"),
        ("Gala", "NIGHTS", "Gala"),
        ("2026", "NIGHTS", "NIGHTS"),
    ],
)
def test_the_bookings_suffix_takes_precedence_over_the_settings(
    own: str | None, settings: str | None, shown: str | None
) -> None:
    booking = evolve(BOOKING, details=BookingDetails(statement_descriptor_suffix=own))

    assert texts_of(booking, suffix=settings, receipts=False).statement_descriptor_suffix == shown


@pytest.mark.parametrize(("receipts", "email"), [(False, None), (True, "ann@example.com")])
def test_the_address_is_sent_only_with_receipts_enabled(receipts: bool, email: str | None) -> None:
    booking = evolve(BOOKING, details=BookingDetails(customer_email="ann@example.com"))

    assert texts_of(booking, suffix=None, receipts=receipts).receipt_email == email


def test_the_repr_contains_no_address() -> None:
    booking = evolve(BOOKING, details=BookingDetails(customer_email="ann@example.com"))

    assert "ann@" not in repr(booking) + repr(texts_of(booking, suffix=None, receipts=True))


CARD, DEBITS = MethodChoice(allowed=("card",)), MethodChoice(allowed=("sepa_debit", "us_bank_account"))
WIDE, NO_IDEAL = MethodChoice(allowed=("card", "klarna")), MethodChoice(excluded=("ideal",))
NO_KLARNA = MethodChoice(excluded=("klarna",), configuration="pmc_1")


@pytest.mark.parametrize(
    ("settings", "own", "taken"),
    [
        (ANY_METHOD, ANY_METHOD, ANY_METHOD),
        (CARD, ANY_METHOD, CARD),
        (ANY_METHOD, CARD, CARD),
        (WIDE, MethodChoice(allowed=("klarna", "ideal")), MethodChoice(allowed=("klarna",))),
        (NO_KLARNA, NO_IDEAL, MethodChoice(excluded=("klarna", "ideal"), configuration="pmc_1")),
        (NO_KLARNA, MethodChoice(allowed=("klarna", "card")), CARD),
        (WIDE, MethodChoice(excluded=("klarna",)), CARD),
    ],
)
def test_a_bookings_choice_of_methods_narrows_the_settings(
    settings: MethodChoice, own: MethodChoice, taken: MethodChoice
) -> None:
    assert settings.narrowed_by(own) == taken


@pytest.mark.parametrize(("settings", "own"), [(CARD, DEBITS), (CARD, MethodChoice(excluded=("card",)))])
def test_a_choice_without_any_method_left_is_refused(settings: MethodChoice, own: MethodChoice) -> None:
    with pytest.raises(RefusedByRule):
        settings.narrowed_by(own)


@pytest.mark.parametrize(
    ("methods", "taken"),
    [(ANY_METHOD, True), (CARD, True), (DEBITS, False), (MethodChoice(excluded=("card",)), False), (NO_KLARNA, True)],
)
def test_a_suffix_is_for_cards(methods: MethodChoice, taken: bool) -> None:
    texts = texts_of(BOOKING, suffix="NIGHTS", receipts=False, methods=methods)

    assert (texts.statement_descriptor_suffix == "NIGHTS") is taken
