"""Events over HTTP: sums, previews, jobs."""

from typing import Any

import pytest

from tests.integration.http.api import ANN, BOOKING_APP, OPERATOR, Api, problem_of

EVENT = "evening-1"
PATH = f"/api/events/{EVENT}"
KEY = {"Idempotency-Key": "0123456789abcdef"}


def paid(api: Api, **more: Any) -> str:
    return api.paid(event_id=EVENT, **more)


def work(api: Api) -> None:
    api.client.blocking_portal.call(api.kit.settle)


def test_the_sums_of_an_event(api: Api) -> None:
    paid(api)
    api.book(event_id=EVENT)

    event = api.get(f"{PATH}/", BOOKING_APP).json()
    totals = event["totals"][0]
    assert (totals["currency"], totals["captured"], totals["unpaid"], event["job"]) == ("usd", "100.00", "100.00", None)


def test_a_preview_is_200_and_changes_nothing(api: Api) -> None:
    booking_id = paid(api)

    response = api.post(f"{PATH}/cancel/", OPERATOR, json={"preview": True})

    assert (response.status_code, response.json()["to_refund"]) == (200, [{"currency": "usd", "amount": "100.00"}])
    assert api.get(f"/api/bookings/{booking_id}/", ANN).json()["status"] == "confirmed"


def test_canceling_is_202_with_a_job_and_repeating_it_returns_that_job(api: Api) -> None:
    booking_id = paid(api)

    first = api.post(f"{PATH}/cancel/", OPERATOR, json={"reason": "the hall is flooded"})
    again = api.post(f"{PATH}/cancel/", OPERATOR, json={})
    assert (first.status_code, again.status_code, again.json()["id"]) == (202, 202, first.json()["id"])
    work(api)

    job = api.get(f"{PATH}/", OPERATOR).json()["job"]
    assert (job["state"], job["done"], job["failed"], job["total"], job["kind"]) == ("done", 1, 0, 1, "cancel")
    assert api.status(booking_id)["refunded_amount"] == "100.00"
    refused = api.post("/api/bookings/", BOOKING_APP, json=api.new_booking(event_id=EVENT))
    assert (refused.status_code, problem_of(refused)["code"]) == (409, "event_canceled")


def test_an_idempotency_key_is_accepted(api: Api) -> None:
    paid(api)

    first = api.post(f"{PATH}/cancel/", OPERATOR, headers=KEY, json={})
    again = api.post(f"{PATH}/cancel/", OPERATOR, headers=KEY, json={})
    assert (again.status_code, again.json(), again.headers["Idempotent-Replayed"]) == (202, first.json(), "true")


def test_moving_is_202_and_changes_the_date_of_the_bookings(api: Api) -> None:
    booking_id = paid(api)
    body = {"event_starts_at": "2026-09-01T20:00:00Z", "refund_grace_until": "2026-08-01T00:00:00Z"}

    assert api.post(f"{PATH}/reschedule/", OPERATOR, json={**body, "preview": True}).status_code == 200
    assert api.post(f"{PATH}/reschedule/", OPERATOR, json=body).status_code == 202
    work(api)

    booking = api.get(f"/api/bookings/{booking_id}/", ANN).json()
    assert {name: booking[name] for name in body} == body
    assert api.get(f"/api/bookings/{booking_id}/payment/refund/quote/", ANN).json()["reason_code"] == "event_moved"


@pytest.mark.parametrize("path", ["cancel", "reschedule"])
def test_only_operators_may_cancel_and_move(api: Api, path: str) -> None:
    body = {"event_starts_at": "2026-09-01T20:00:00Z"} if path == "reschedule" else {}
    for who in (ANN, BOOKING_APP):
        assert api.post(f"{PATH}/{path}/", who, json=body).status_code == 403


def test_an_event_without_bookings_is_404(api: Api) -> None:
    assert api.get("/api/events/nothing/", OPERATOR).status_code == 404
    assert api.post("/api/events/nothing/cancel/", OPERATOR, json={"preview": True}).status_code == 404
