"""What an embedding service gives by mistake is refused as ``InvalidInput``, whose message says what to give."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from booking_payments.application.views import NewBooking
from booking_payments.domain.amendments import BookingChange
from booking_payments.domain.booking import BookingDetails, Item
from booking_payments.domain.errors import InvalidInput
from booking_payments.domain.money import Currency, Money
from booking_payments.testing.kit import OPERATOR, PaymentsTestKit

NAIVE = datetime(2030, 1, 1, 20)
AWARE = NAIVE.replace(tzinfo=UTC)
PRICE = Money(10_000, Currency.USD)
SEAT: Mapping[str, Any] = {"id": "seat", "label": "Seat", "quantity": 1, "unit_amount": PRICE}

EITHER: Mapping[str, tuple[dict[str, Any], str]] = {
    "a time without a zone": ({"event_starts_at": NAIVE}, "time zone"),
    "a deadline without a zone": ({"expires_at": NAIVE}, "time zone"),
    "no date": ({"event_starts_at": None}, "event_starts_at"),
    "a date as text": ({"event_starts_at": "2030-01-01T20:00:00Z"}, "give a datetime"),
    "an amount as text": ({"amount": "100.00"}, "Money.parse"),
    "an item that is none": ({"items": ["seat"]}, "give a list of Item"),
    "metadata with a number": ({"metadata": {"row": 3}}, "keys and values are text"),
    "metadata with a number as key": ({"metadata": {3: "row"}}, "keys and values are text"),
    "metadata that is no mapping": ({"metadata": "row"}, "mapping"),
}
OF_NEW: Mapping[str, tuple[dict[str, Any], str]] = {
    "a reference that is a number": ({"reference": 1001}, "reference: give text"),
    "a customer that is a number": ({"customer_id": 7}, "customer_id: give text"),
    "an event that is a number": ({"event_id": 7}, "event_id: give text"),
    "a policy that is none": ({"refund_policy": "flexible"}, "give RefundPolicy"),
    "details as a dict": ({"details": {"title": "Hamlet"}}, "give BookingDetails"),
}
OF_CHANGE: Mapping[str, tuple[dict[str, Any], str]] = {
    "a grace without a zone": ({"refund_grace_until": NAIVE}, "time zone"),
    "a title that is a number": ({"title": 5}, "title: give text"),
    **{f"{name} removed": ({name: None}, "can't be removed") for name in ("amount", "items", "expires_at", "metadata")},
}


def new_booking(**given: Any) -> NewBooking:
    return NewBooking(**{"reference": "R-1", "customer_id": "ann", "amount": PRICE, "event_starts_at": AWARE, **given})


@pytest.mark.parametrize(("given", "message"), [*EITHER.values(), *OF_NEW.values()], ids=[*EITHER, *OF_NEW])
def test_a_new_booking_with_a_value_of_another_type_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        new_booking(**given)


@pytest.mark.parametrize(("given", "message"), [*EITHER.values(), *OF_CHANGE.values()], ids=[*EITHER, *OF_CHANGE])
def test_a_change_with_a_value_of_another_type_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        BookingChange(**given)


def test_the_items_of_a_new_booking_may_be_a_list() -> None:
    assert new_booking(amount=None, items=[Item(**SEAT)]).price == PRICE


@pytest.mark.parametrize("wrong", [{"quantity": "1"}, {"quantity": True}, {"unit_amount": "10.00"}], ids=str)
def test_an_item_with_a_value_of_another_type_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="items: "):
        Item(**{**SEAT, **wrong})


@pytest.mark.parametrize("wrong", [{"id": 7}, {"label": None}], ids=str)
async def test_an_item_whose_name_is_no_text_is_refused(kit: PaymentsTestKit, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="give text"):
        await kit.payments.register_booking(new_booking(amount=None, items=(Item(**{**SEAT, **wrong}),)))


@pytest.mark.parametrize("name", ["title", "description", "customer_email", "success_url"])
async def test_details_that_are_no_text_are_refused(kit: PaymentsTestKit, name: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name}: give text"):
        await kit.payments.register_booking(new_booking(details=BookingDetails(**{name: 7})))  # type: ignore[arg-type]


async def _moved(kit: PaymentsTestKit) -> object:
    return await kit.payments.reschedule_event("evening", OPERATOR, event_starts_at=NAIVE)


async def _moved_with_grace(kit: PaymentsTestKit) -> object:
    return await kit.payments.reschedule_event("evening", OPERATOR, event_starts_at=AWARE, refund_grace_until=NAIVE)


async def _looked_at(kit: PaymentsTestKit) -> object:
    return await kit.payments.preview_event("evening", event_starts_at=NAIVE)


@pytest.mark.parametrize("call", [_moved, _moved_with_grace, _looked_at])
async def test_an_event_is_not_moved_to_a_time_without_a_zone(
    kit: PaymentsTestKit, call: Callable[[PaymentsTestKit], Any]
) -> None:
    await kit.book(event_id="evening")

    with pytest.raises(InvalidInput, match="time zone"):
        await call(kit)
