"""Events over HTTP: sums, previews, jobs."""

import csv
import io
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


# --- CSV -------------------------------------------------------------------------------------------------------


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("query", "accept", "is_csv"),
    [
        ("?format=csv", None, True),
        ("?format=csv", "application/json", True),
        ("", "text/csv", True),
        ("", "text/csv;q=0.9, application/json;q=0.1", True),
        ("", "text/csv;q=0.1, application/json", False),
        ("?format=json", "text/csv", False),
        ("", "*/*", False),
        ("", "text/html", False),
        ("", None, False),
    ],
)
def test_the_report_is_csv_when_it_is_asked_for(api: Api, query: str, accept: str | None, is_csv: bool) -> None:
    booking_id = paid(api)
    api.post(f"{PATH}/cancel/", OPERATOR, json={})
    work(api)

    response = api.get(f"{PATH}/{query}", OPERATOR, headers={"Accept": accept} if accept else {})

    assert (response.status_code, response.headers["Vary"]) == (200, "Accept")
    assert response.headers["Content-Type"] == ("text/csv; charset=utf-8" if is_csv else "application/json")
    if is_csv:
        [row] = rows_of(response.text)
        shown = {name: row[name] for name in ("booking_id", "status", "outcome", "currency", "refunded", "owed")}
        assert response.headers["Content-Disposition"] == f'attachment; filename="{EVENT}.csv"'
        assert list(shown.values()) == [booking_id, "canceled", "done", "usd", "100.00", "0.00"]


@pytest.mark.parametrize("reference", ["=cmd()", "+1", "-1", "@a", " =1+1", "\uff1d1"])
def test_no_cell_of_the_csv_is_a_formula(api: Api, reference: str) -> None:
    api.book(event_id=EVENT, reference=reference)
    api.post(f"{PATH}/cancel/", OPERATOR, json={})
    work(api)

    [row] = rows_of(api.get(f"{PATH}/?format=csv", BOOKING_APP).text)

    assert row["reference"] == f"'{reference}"


def test_there_is_no_csv_without_a_job_and_none_for_customers(api: Api) -> None:
    paid(api)

    assert api.get(f"{PATH}/?format=csv", OPERATOR).status_code == 404
    assert api.get(f"{PATH}/?format=xml", OPERATOR).status_code == 400
    assert api.get(f"{PATH}/?format=csv", ANN).status_code == 403


def test_a_long_report_is_complete(api: Api) -> None:
    ids = {api.book(event_id=EVENT, reference=f"R-{number}") for number in range(120)}
    api.post(f"{PATH}/cancel/", OPERATOR, json={})
    work(api)

    found = rows_of(api.get(f"{PATH}/?format=csv", OPERATOR).text)

    assert ({row["booking_id"] for row in found}, len(found)) == (ids, 120)


# --- balances --------------------------------------------------------------------------------------------------


def test_a_preview_says_what_the_gateways_balance_lacks(api: Api) -> None:
    paid(api)  # its money is pending at the gateway for two days
    api.pay(api.book(event_id=EVENT, reference="R-2"), "pm_card_bypassPending")

    preview = api.post(f"{PATH}/cancel/", OPERATOR, json={"preview": True}).json()

    [balance] = preview["balances"]
    assert balance == {
        "gateway": "fake",
        "currency": "usd",
        "needed": "200.00",
        "available": "96.80",
        "missing": "103.20",
        "unknown": None,
    }
