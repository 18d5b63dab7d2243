"""Adoption: each mismatch, one at a time, is a reason against adopting a charge."""

from typing import Any

import attrs
import pytest

from booking_payments.domain import decisions as decide
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from tests.unit.domain.builders import PRICE, a_booking, an_intent

OWN = "inst_a"
BOOKING = a_booking()
NAMES = {
    "installation_id": OWN,
    "payment_id": "pay_lost",
    "booking_id": "bk_lost",
    "booking_reference": BOOKING.reference,
    "customer_key": decide.customer_key(OWN, BOOKING.customer_id),
}
CHARGE = attrs.evolve(an_intent(PaymentStatus.SUCCEEDED), amount=PRICE, metadata=NAMES)
FITS: dict[str, Any] = {
    "installation_id": OWN,
    "payment_known": False,
    "booking_known": False,
    "bookings": [BOOKING],
    "has_payment": False,
    "asked": PRICE,
}


def named(**changes: str) -> dict[str, Any]:
    return {"intent": attrs.evolve(CHARGE, metadata=NAMES | changes)}


def booked(**changes: Any) -> dict[str, Any]:
    return {"bookings": [attrs.evolve(BOOKING, **changes)]}


def test_a_charge_that_matches_in_every_respect_is_adopted() -> None:
    assert decide.reason_against(CHARGE, **FITS) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"installation_id": None}, "this installation"),
        (named(installation_id="inst_b"), "this installation"),
        (named(installation_id=""), "this installation"),
        (named(payment_id=""), "do not name a payment"),
        (named(booking_id=""), "do not name a payment"),
        (named(booking_reference=""), "do not name a payment"),
        ({"payment_known": True}, "the database has its payment pay_lost"),
        ({"booking_known": True}, "the database has its booking bk_lost"),
        ({"bookings": []}, "no booking has its reference"),
        ({"bookings": [BOOKING, BOOKING]}, "several bookings have its reference"),
        (booked(status=BookingStatus.CONFIRMED), "is confirmed"),
        (booked(status=BookingStatus.EXPIRED), "is expired"),
        (booked(status=BookingStatus.CANCELED), "is canceled"),
        ({"has_payment": True}, "has a payment already"),
        (booked(customer_id="somebody else"), "another customer"),
        (named(customer_key=""), "another customer"),
        ({"asked": PRICE + Money(1, PRICE.currency)}, "would be charged"),
        ({"asked": Money(PRICE.minor, Currency.JPY)}, "would be charged"),
        ({"asked": None}, "would be charged"),
    ],
)
def test_each_mismatch_is_a_reason_against_adoption(changes: dict[str, Any], reason: str) -> None:
    said = decide.reason_against(**{"intent": CHARGE, **FITS, **changes})

    assert said is not None
    assert reason in said


def test_the_key_of_a_customer_differs_by_customer_and_installation() -> None:
    keys = {decide.customer_key(own, customer) for own in ("inst_a", "inst_b") for customer in ("ann", "bob")}

    assert len(keys) == 4
