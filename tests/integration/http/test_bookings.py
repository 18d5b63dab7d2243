"""Bookings over HTTP."""

import pytest

from tests.integration.http.api import ANN, BOOKING_APP, Api, problem_of


def test_a_new_booking_is_201_with_its_id(api: Api) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, json=api.new_booking())

    assert response.status_code == 201
    assert response.json()["id"].startswith("bk_")


def test_the_same_booking_again_is_200_and_the_same(api: Api) -> None:
    body = api.new_booking()
    first = api.post("/api/bookings/", BOOKING_APP, json=body)

    second = api.post("/api/bookings/", BOOKING_APP, json=body)

    assert (second.status_code, second.json()) == (200, first.json())


def test_the_same_reference_with_other_content_is_409(api: Api) -> None:
    body = api.new_booking()
    api.post("/api/bookings/", BOOKING_APP, json=body)

    response = api.post("/api/bookings/", BOOKING_APP, json={**body, "amount": "1.00"})

    assert (response.status_code, problem_of(response)["code"]) == (409, "reference_taken")


def test_a_hold_that_outlasts_the_event_is_422(api: Api) -> None:
    body = api.new_booking(expires_at="2026-06-01T20:00:01Z")

    assert api.post("/api/bookings/", BOOKING_APP, json=body).status_code == 422


def test_the_hold_lasts_until_the_event_by_default(api: Api) -> None:
    booking = api.get(f"/api/bookings/{api.book()}/", ANN).json()

    assert booking["expires_at"] == "2026-06-01T20:00:00Z"


def test_times_come_back_in_utc(api: Api) -> None:
    booking_id = api.book(event_starts_at="2026-06-01T22:00:00+02:00")

    assert api.get(f"/api/bookings/{booking_id}/", ANN).json()["event_starts_at"] == "2026-06-01T20:00:00Z"


def test_the_refund_policy_comes_back(api: Api) -> None:
    policy = {
        "tiers": [{"hours_before": 48, "percent": "100"}, {"hours_before": 24, "percent": "50"}],
        "fee": "returned",
    }

    booking_id = api.book(refund_policy=policy)

    assert api.get(f"/api/bookings/{booking_id}/", ANN).json()["refund_policy"] == policy


def test_paths_work_without_the_trailing_slash(api: Api) -> None:
    assert api.get(f"/api/bookings/{api.book()}", ANN).status_code == 200


@pytest.mark.parametrize(("currency", "amount"), [("jpy", "100"), ("kwd", "5.120"), ("usd", "0.50")])
def test_amounts_have_the_decimals_of_their_currency(api: Api, currency: str, amount: str) -> None:
    booking_id = api.book(currency=currency, amount=amount)

    assert api.get(f"/api/bookings/{booking_id}/", ANN).json()["amount"] == amount


def test_a_canceled_booking_says_so(api: Api) -> None:
    response = api.post(f"/api/bookings/{api.book()}/cancel/", BOOKING_APP, json={"reason": "ill"})

    assert response.json()["status"] == "canceled"


def test_canceling_a_paid_booking_gives_the_money_back(api: Api) -> None:
    booking_id = api.paid()

    api.post(f"/api/bookings/{booking_id}/cancel/", BOOKING_APP, json={"refund": "full"})

    assert api.status(booking_id)["refunded_amount"] == "100.00"


def test_a_paid_booking_is_confirmed(api: Api) -> None:
    assert api.get(f"/api/bookings/{api.paid()}/", ANN).json()["status"] == "confirmed"


@pytest.mark.parametrize("body", [{"refund": "half"}, {"reason": "x" * 501}, {"reason": "a\x00"}, {"reason": 5}])
def test_a_bad_cancellation_is_400(api: Api, body: object) -> None:
    response = api.post(f"/api/bookings/{api.book()}/cancel/", BOOKING_APP, json=body)

    assert response.status_code == 400
