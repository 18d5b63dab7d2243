"""Booking: whether it may be paid, and the reason if not."""

from datetime import timedelta
from typing import Any

import pytest

from booking_payments.domain.booking import Booking, BookingDetails, BookingStatus, Item, Payability, require_items
from booking_payments.domain.errors import InvalidInput, NotPossibleNow, PaymentError, RefusedByRule
from booking_payments.domain.refunds import RefundPolicy
from tests.unit.domain.builders import NOW, STARTS, TICK, a_booking, usd

FREE = usd("0.00")
ENDS = NOW + timedelta(days=1)


@pytest.mark.parametrize(
    ("status", "payability"),
    [
        (BookingStatus.PENDING, Payability.PAYABLE),
        (BookingStatus.CONFIRMED, Payability.ALREADY_PAID),
        (BookingStatus.CANCELED, Payability.CANCELED),
        (BookingStatus.EXPIRED, Payability.EXPIRED),
    ],
)
def test_only_a_pending_booking_is_payable(status: BookingStatus, payability: Payability) -> None:
    assert a_booking(status=status).payability(NOW) is payability


def test_a_booking_may_be_paid_until_the_microsecond_before_it_expires() -> None:
    assert a_booking().payability(ENDS - TICK) is Payability.PAYABLE


def test_a_booking_expires_exactly_at_its_deadline() -> None:
    assert a_booking().payability(ENDS) is Payability.EXPIRED


def test_nothing_is_payable_from_the_moment_the_event_starts() -> None:
    assert a_booking(expires_at=STARTS).payability(STARTS) is Payability.EVENT_STARTED


def test_the_deadline_may_be_the_start_of_the_event() -> None:
    assert a_booking(expires_at=STARTS).payability(STARTS - TICK) is Payability.PAYABLE


def test_a_free_booking_needs_no_payment() -> None:
    assert a_booking(amount=FREE).payability(NOW) is Payability.NOTHING_TO_PAY


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": BookingStatus.CANCELED, "event_starts_at": NOW}, Payability.CANCELED),
        ({"event_starts_at": NOW, "expires_at": NOW}, Payability.EVENT_STARTED),
        ({"expires_at": NOW, "amount": FREE}, Payability.EXPIRED),
        ({"status": BookingStatus.CONFIRMED, "amount": FREE, "event_starts_at": NOW}, Payability.NOTHING_TO_PAY),
        ({"status": BookingStatus.CANCELED, "amount": FREE}, Payability.CANCELED),
    ],
)
def test_with_several_reasons_the_first_one_is_returned(changes: dict[str, Any], reason: Payability) -> None:
    assert a_booking(**changes).payability(NOW) is reason


@pytest.mark.parametrize(
    ("payability", "kind", "code"),
    [
        (Payability.ALREADY_PAID, NotPossibleNow, "already_paid"),
        (Payability.CANCELED, NotPossibleNow, "booking_canceled"),
        (Payability.EXPIRED, NotPossibleNow, "booking_expired"),
        (Payability.EVENT_STARTED, RefusedByRule, "event_started"),
        (Payability.NOTHING_TO_PAY, NotPossibleNow, "nothing_to_pay"),
        (Payability.ATTEMPTS_EXHAUSTED, RefusedByRule, "attempts_exhausted"),
    ],
)
def test_each_reason_raises_an_error_with_its_code(payability: Payability, kind: type[PaymentError], code: str) -> None:
    error = payability.error()

    assert (type(error), error.code, error.message) == (kind, code, payability.message)


@pytest.mark.parametrize("changes", [{"id": "bk_2"}, {"status": BookingStatus.CONFIRMED}, {"created_at": NOW}])
def test_fields_that_the_service_sets_are_not_part_of_the_content(changes: dict[str, Any]) -> None:
    assert a_booking().same_content(a_booking(**changes))


@pytest.mark.parametrize(
    "other",
    [
        a_booking(reference="ref-2"),
        a_booking(customer_id="bob"),
        a_booking(amount=usd("100.01")),
        a_booking(event_starts_at=STARTS + TICK),
        a_booking(expires_at=ENDS + TICK),
        a_booking(refund_policy=RefundPolicy()),
    ],
    ids=["reference", "customer", "amount", "event", "expiry", "policy"],
)
def test_every_requested_field_is_part_of_the_content(other: Booking) -> None:
    assert not a_booking().same_content(other)


def test_the_digest_of_a_registration_stays_the_one_that_databases_hold() -> None:
    details = BookingDetails(title="Hamlet", customer_email="ann@example.com", locale="de-AT")
    items = (Item(id="adult", label="Adult", quantity=2, unit_amount=usd("50.00")),)
    booking = a_booking(details=details, items=items, metadata={"row": "B"}, event_id="evening-1")

    assert booking.content_digest == "b7df8b99bd8dde749282c0535a3803146302b65f283c87dd2c065020597b8391", (
        "an amended booking of an earlier release would not know its own registration: give a new field a default"
    )


@pytest.mark.parametrize(
    ("its", "label"),
    [("", "Adult"), ("a" * 65, "Adult"), ("a\u200bb", "Adult"), ("a", ""), ("a", "x" * 201), ("a", "two\nlines")],
)
def test_an_item_has_a_visible_id_and_a_label_on_one_line(its: str, label: str) -> None:
    item = Item(id=its, label=label, quantity=1, unit_amount=usd("10.00"))

    with pytest.raises(InvalidInput):
        require_items([item], None)
