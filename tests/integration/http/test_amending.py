"""Amending bookings, and single items, over HTTP."""

from typing import Any

import httpx
import pytest

from tests.integration.http.api import ANN, BOB, BOOKING_APP, OPERATOR, Api, problem_of

KEY = {"Idempotency-Key": "0123456789abcdef"}
ITEMS = [
    {"id": "adult", "label": "Adult", "quantity": 2, "unit_amount": "30.00"},
    {"id": "child", "label": "Child", "quantity": 1, "unit_amount": "10.00"},
]
SHOWN = [{**each, "refunded_quantity": 0} for each in ITEMS]


def amend(api: Api, booking_id: str, who: Any = BOOKING_APP, headers: Any = None, **change: Any) -> httpx.Response:
    return api.send("PATCH", f"/api/bookings/{booking_id}/", who, headers, json=change)


def without_amount(api: Api, **changes: Any) -> dict[str, Any]:
    body = api.new_booking(**changes)
    del body["amount"]
    return body


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, problem_of(response)["code"]


def test_every_field_of_a_booking_is_returned(api: Api) -> None:
    said = {
        "event_id": "evening-1",
        "customer_name": "Ann Example",
        "locale": "de-AT",
        "time_zone": "Europe/Vienna",
        "success_url": "https://shop.example/thanks",
        "cancel_url": "https://shop.example/cart",
        "metadata": {"table": "7"},
    }
    booking = api.get(f"/api/bookings/{api.book(**said)}/", ANN).json()

    assert said.items() <= booking.items()
    assert (booking["version"], booking["items"], booking["free"]) == (1, [], False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"locale": "german!"},
        {"time_zone": "Mars/Base"},
        {"success_url": "javascript:alert(1)"},
        {"cancel_url": "https://user:pass@shop.example"},
        {"success_url": "https://elsewhere.example/thanks"},
        {"items": []},
        {"items": [{"id": "a", "unit_amount": "-1.00"}]},
        {"items": [{"id": "a", "unit_amount": "1.00", "quantity": 0}]},
        {"metadata": {"k": "v" * 501}},
    ],
    ids=str,
)
def test_an_invalid_field_of_a_booking_is_400(api: Api, wrong: dict[str, Any]) -> None:
    assert api.post("/api/bookings/", BOOKING_APP, json=api.new_booking(**wrong)).status_code == 400


def test_metadata_keys_of_this_service_are_refused(api: Api) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, json=api.new_booking(metadata={"booking_id": "x"}))

    assert code(response) == (422, "metadata_key_reserved")


def test_the_amount_is_the_sum_of_the_items(api: Api) -> None:
    booking = api.post("/api/bookings/", BOOKING_APP, json=without_amount(api, items=ITEMS)).json()

    assert (booking["amount"], booking["items"]) == ("70.00", SHOWN)


def test_items_that_do_not_add_up_are_422(api: Api) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, json=api.new_booking(items=ITEMS))

    assert code(response) == (422, "items_do_not_add_up")


def test_neither_amount_nor_items_is_400(api: Api) -> None:
    assert api.post("/api/bookings/", BOOKING_APP, json=without_amount(api)).status_code == 400


def test_bookings_are_found_by_their_event(api: Api) -> None:
    booking_id = api.book(event_id="evening-1")
    api.book(event_id="evening-2")

    found = api.get("/api/bookings/?event_id=evening-1", OPERATOR).json()["items"]
    assert [each["id"] for each in found] == [booking_id]


def test_patch_changes_only_the_named_fields(api: Api) -> None:
    booking_id = api.book(title="Night", description="long")

    after = amend(api, booking_id, amount="80.00", title=None).json()

    assert (after["amount"], after["title"], after["description"], after["version"]) == ("80.00", None, "long", 2)


def test_patch_with_an_idempotency_key_takes_effect_once(api: Api) -> None:
    booking_id = api.book()
    first = amend(api, booking_id, headers=KEY, amount="80.00", expected_version=1)
    again = amend(api, booking_id, headers=KEY, amount="80.00", expected_version=1)

    assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_lost_update_is_409(api: Api) -> None:
    booking_id = api.book()
    amend(api, booking_id, amount="80.00", expected_version=1)

    assert code(amend(api, booking_id, amount="70.00", expected_version=1)) == (409, "version_conflict")


def test_raising_the_price_of_a_paid_booking_is_409(api: Api) -> None:
    assert code(amend(api, api.paid(), amount="100.01")) == (409, "balance_needed")


def test_lowering_the_price_of_a_paid_booking_refunds_the_difference(api: Api) -> None:
    booking_id = api.paid()

    assert amend(api, booking_id, OPERATOR, amount="60.00", refund="full").json()["refund_owed"] == "0.00"
    assert api.status(booking_id)["refunded_amount"] == "40.00"


def test_customers_may_not_amend(api: Api) -> None:
    booking_id = api.book()

    assert (amend(api, booking_id, ANN, amount="1.00").status_code, amend(api, booking_id, BOB).status_code) == (
        403,
        403,
    )


@pytest.mark.parametrize("body", [{}, {"amount": None}, {"reference": "other"}, {"expected_version": 1}])
def test_a_patch_without_a_change_or_of_an_immutable_field_is_400(api: Api, body: dict[str, Any]) -> None:
    assert amend(api, api.book(), **body).status_code == 400


# --- single items ----------------------------------------------------------------------------------------------


def paid_with_items(api: Api, **changes: Any) -> str:
    booking_id = str(
        api.post("/api/bookings/", BOOKING_APP, json=without_amount(api, items=ITEMS, **changes)).json()["id"]
    )
    api.pay(booking_id)
    return booking_id


def test_one_seat_of_three_is_refunded_and_the_booking_is_kept(api: Api) -> None:
    booking_id = paid_with_items(api)
    body = {"items": [{"id": "adult", "quantity": 1}], "refund": "full"}

    booking = api.post(f"/api/bookings/{booking_id}/cancel/", OPERATOR, json=body).json()

    assert (booking["status"], booking["amount"], booking["items"][0]["quantity"]) == ("confirmed", "40.00", 1)
    assert api.status(booking_id)["refunded_amount"] == "30.00"


def test_removing_all_items_cancels_the_booking(api: Api) -> None:
    booking_id = paid_with_items(api)
    body = {"items": [{"id": "adult"}, {"id": "child"}]}

    booking = api.post(f"/api/bookings/{booking_id}/cancel/", OPERATOR, json=body).json()

    assert (booking["status"], api.status(booking_id)["refunded_amount"]) == ("canceled", "70.00")


def test_a_customers_refund_of_an_item_releases_its_seat_once(api: Api) -> None:
    booking_id = paid_with_items(api)
    path = f"/api/bookings/{booking_id}/payment/refund/"

    assert api.get(f"{path}quote/?items=child:1", ANN).json()["amount"] == "10.00"
    refund = api.post(path, ANN, json={"items": [{"id": "child", "quantity": 1}]})
    assert (refund.status_code, refund.json()["amount"]) == (200, "10.00")

    booking = api.get(f"/api/bookings/{booking_id}/", ANN).json()
    assert (booking["amount"], [each["id"] for each in booking["items"]]) == ("60.00", ["adult"])
    assert code(api.post(path, ANN, json={"items": [{"id": "child"}]})) == (422, "item_unknown")


def test_an_operators_refund_of_an_item_keeps_the_seat(api: Api) -> None:
    booking_id = paid_with_items(api)
    path = f"/api/bookings/{booking_id}/payment/refund/"
    api.post(path, OPERATOR, json={"items": [{"id": "adult", "quantity": 1}]})

    booking = api.get(f"/api/bookings/{booking_id}/", ANN).json()
    assert (booking["amount"], booking["items"][0]["refunded_quantity"]) == ("70.00", 1)
    api.post(path, OPERATOR, json={"items": [{"id": "adult", "quantity": 1}]})
    assert code(api.post(path, OPERATOR, json={"items": [{"id": "adult"}]})) == (422, "item_given_back")
    assert api.status(booking_id)["refunded_amount"] == "60.00"


def test_a_customer_can_remove_an_unpaid_item(api: Api) -> None:
    booking_id = str(api.post("/api/bookings/", BOOKING_APP, json=without_amount(api, items=ITEMS)).json()["id"])

    booking = api.post(f"/api/bookings/{booking_id}/cancel/", ANN, json={"items": [{"id": "child"}]}).json()
    assert (booking["amount"], booking["status"]) == ("60.00", "pending")
    assert api.pay(booking_id).json()["amount"] == "60.00"


@pytest.mark.parametrize("items", ["adult:x", "", "[]", "adult;child", '[{"id":"adult","quantity":"1"}]'])
def test_unreadable_items_of_a_quote_are_400(api: Api, items: str) -> None:
    booking_id = paid_with_items(api)

    response = api.get(f"/api/bookings/{booking_id}/payment/refund/quote/?items={items}", ANN)
    assert response.status_code == 400


def test_items_of_a_quote_may_be_json(api: Api) -> None:
    booking_id = paid_with_items(api)

    response = api.client.get(
        f"/api/bookings/{booking_id}/payment/refund/quote/",
        params={"items": '[{"id":"adult","quantity":2}]'},
        headers=ANN,
    )
    assert response.json()["amount"] == "60.00"


def test_items_of_a_booking_without_items_are_422(api: Api) -> None:
    response = api.post(f"/api/bookings/{api.paid()}/cancel/", OPERATOR, json={"items": [{"id": "adult"}]})

    assert code(response) == (422, "no_items")
