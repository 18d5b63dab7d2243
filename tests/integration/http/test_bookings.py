"""Bookings over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from booking_payments.application.dependencies import PaymentConfig
from booking_payments.domain.instructions import MethodChoice
from booking_payments.testing.kit import PaymentsTestKit
from tests.integration.http.api import ANN, BOB, BOOKING_APP, OPERATOR, Api, open_api, problem_of


def test_a_new_booking_is_201_with_its_id(api: Api) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, json=api.new_booking())

    assert response.status_code == 201
    assert response.json()["id"].startswith("bk_")


def test_a_repeated_registration_is_200_with_the_same_booking(api: Api) -> None:
    body = api.new_booking()
    first = api.post("/api/bookings/", BOOKING_APP, json=body)

    second = api.post("/api/bookings/", BOOKING_APP, json=body)

    assert (second.status_code, second.json()) == (200, first.json())


def test_the_same_reference_with_other_content_is_409(api: Api) -> None:
    body = api.new_booking()
    api.post("/api/bookings/", BOOKING_APP, json=body)

    response = api.post("/api/bookings/", BOOKING_APP, json={**body, "amount": "1.00"})

    assert (response.status_code, problem_of(response)["code"]) == (409, "reference_taken")


def test_a_hold_beyond_the_start_of_the_event_is_422(api: Api) -> None:
    body = api.new_booking(expires_at="2026-06-01T20:00:01Z")

    assert api.post("/api/bookings/", BOOKING_APP, json=body).status_code == 422


def test_the_hold_lasts_until_the_event_by_default(api: Api) -> None:
    booking = api.get(f"/api/bookings/{api.book()}/", ANN).json()

    assert booking["expires_at"] == "2026-06-01T20:00:00Z"


def test_times_are_returned_in_utc(api: Api) -> None:
    booking_id = api.book(event_starts_at="2026-06-01T22:00:00+02:00")

    assert api.get(f"/api/bookings/{booking_id}/", ANN).json()["event_starts_at"] == "2026-06-01T20:00:00Z"


def test_the_refund_policy_is_returned(api: Api) -> None:
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


def test_a_canceled_booking_has_the_status_canceled(api: Api) -> None:
    response = api.post(f"/api/bookings/{api.book()}/cancel/", BOOKING_APP, json={"reason": "ill"})

    assert response.json()["status"] == "canceled"


def test_canceling_a_paid_booking_refunds_it(api: Api) -> None:
    booking_id = api.paid()

    api.post(f"/api/bookings/{booking_id}/cancel/", BOOKING_APP, json={"refund": "full"})

    assert api.status(booking_id)["refunded_amount"] == "100.00"


def test_a_paid_booking_is_confirmed(api: Api) -> None:
    assert api.get(f"/api/bookings/{api.paid()}/", ANN).json()["status"] == "confirmed"


@pytest.mark.parametrize("body", [{"refund": "half"}, {"reason": "x" * 501}, {"reason": "a\x00"}, {"reason": 5}])
def test_an_invalid_cancellation_is_400(api: Api, body: object) -> None:
    response = api.post(f"/api/bookings/{api.book()}/cancel/", BOOKING_APP, json=body)

    assert response.status_code == 400


# --- details for the customer and the dashboard

DETAILS = {
    "title": "Summer Night",
    "description": "Row 7\nseat 12",
    "customer_email": "ann@example.com",
    "statement_descriptor_suffix": "Summer Night Gala",
}


def _intent(api: Api, **changes: Any) -> Any:
    """Return what Stripe has stored for a payment of this booking."""
    paid = api.pay(api.book(reference="R-1", **changes)).json()
    return api.kit.stripe.call("GET", f"/v1/payment_intents/{paid['payment_intent_id']}").body


def test_the_details_of_a_booking_are_stored(api: Api) -> None:
    booking_id = api.book(**DETAILS)

    booking = api.get(f"/api/bookings/{booking_id}/", ANN).json()
    assert {name: booking[name] for name in DETAILS} == DETAILS


def test_the_details_of_a_booking_are_optional(api: Api) -> None:
    booking = api.get(f"/api/bookings/{api.book()}/", ANN).json()

    assert {booking[name] for name in DETAILS} == {None}


def test_a_registration_with_other_details_is_409(api: Api) -> None:
    first = api.new_booking(reference="R-1", title="Summer Night")
    again = api.post("/api/bookings/", BOOKING_APP, json=first)
    same = api.post("/api/bookings/", BOOKING_APP, json=first)
    other = api.post("/api/bookings/", BOOKING_APP, json={**first, "title": "Winter Night"})

    assert (again.status_code, same.status_code, other.status_code) == (201, 200, 409)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", ""),
        ("title", "two\nlines"),
        ("title", "x" * 201),
        ("description", "bell\a"),
        ("customer_email", "ann"),
        ("customer_email", "Ann <ann@example.com>"),
        ("customer_email", "ann@example.com\nBcc: bob@example.com"),
        ("statement_descriptor_suffix", "two\nlines"),
    ],
)
def test_unprintable_details_are_refused(api: Api, name: str, value: str) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, json=api.new_booking(**{name: value}))

    assert response.status_code == 400
    assert name in problem_of(response)["detail"]


def test_dashboard_and_bank_statement_have_the_details(api: Api) -> None:
    intent = _intent(api, **DETAILS)

    assert intent["description"] == "Summer Night, R-1"
    assert intent["statement_descriptor_suffix"] == "Summer Nig"
    assert intent["payment_details"]["order_reference"] == "R-1"
    assert intent["receipt_email"] is None


def test_receipts_are_mailed_if_the_setting_is_on() -> None:
    with open_api(
        kit=PaymentsTestKit(config=PaymentConfig(receipt_emails=True, statement_descriptor_suffix="NIGHTS"))
    ) as api:
        intent = _intent(api, customer_email="ann@example.com")

    assert (intent["receipt_email"], intent["statement_descriptor_suffix"]) == ("ann@example.com", "NIGHTS")


# --- finding them


def _listed(api: Api, who: Any = BOOKING_APP, **query: Any) -> Any:
    response = api.get("/api/bookings/", who, params=query)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("who", [BOOKING_APP, OPERATOR])
def test_a_booking_is_found_by_its_reference(api: Api, who: Any) -> None:
    booking_id = api.book(reference="R-7")
    api.book()

    assert [each["id"] for each in _listed(api, who, reference="R-7")["items"]] == [booking_id]
    assert _listed(api, who, reference="R-77") == {"items": [], "next_cursor": None}


def test_bookings_are_listed_newest_first_page_by_page(api: Api) -> None:
    ids = []
    for _ in range(3):
        ids.append(api.book())
        api.kit.clock.advance(timedelta(seconds=1))

    first = _listed(api, limit=2)
    rest = _listed(api, limit=2, cursor=first["next_cursor"])

    assert [each["id"] for each in first["items"] + rest["items"]] == ids[::-1]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "confirmed"}, {"R-paid"}),
        ({"status": "pending"}, {"R-bob", "R-open"}),
        ({"customer_id": "bob"}, {"R-bob"}),
        ({"customer_id": "bob", "status": "confirmed"}, set()),
        ({}, {"R-paid", "R-bob", "R-open"}),
    ],
)
def test_bookings_are_filtered(api: Api, query: Any, found: set[str]) -> None:
    api.paid(reference="R-paid")
    api.book(reference="R-open")
    api.book(reference="R-bob", customer_id="bob")

    assert {each["reference"] for each in _listed(api, **query)["items"]} == found


@pytest.mark.parametrize("query", [{"cursor": "nonsense"}, {"limit": 0}, {"limit": 101}, {"status": "x"}, {"seat": 7}])
def test_an_invalid_list_request_is_400(api: Api, query: Any) -> None:
    assert problem_of(api.get("/api/bookings/", BOOKING_APP, params=query))["status"] == 400


# --- payment methods


@pytest.mark.parametrize(
    ("chosen", "types"),
    [
        ({"allowed": ["card"]}, ["card"]),
        ({"excluded": ["us_bank_account", "klarna"]}, ["card"]),
        (None, ["card", "us_bank_account"]),
    ],
)
def test_a_booking_can_restrict_its_payment_methods(api: Api, chosen: Any, types: list[str]) -> None:
    booking_id = api.book(payment_methods=chosen)

    payment = api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json={}).json()
    intent = api.kit.stripe.call("GET", f"/v1/payment_intents/{payment['payment_intent_id']}").body

    assert intent["payment_method_types"] == types
    assert api.get(f"/api/bookings/{booking_id}/", ANN).json()["payment_methods"] == chosen


@pytest.mark.parametrize(
    "chosen", [{}, {"allowed": ["card"], "excluded": ["klarna"]}, {"allowed": []}, {"allowed": ["Card"]}, {"all": True}]
)
def test_an_invalid_choice_of_methods_is_400(api: Api, chosen: Any) -> None:
    new = api.new_booking(payment_methods=chosen)

    assert problem_of(api.post("/api/bookings/", BOOKING_APP, json=new))["status"] == 400


def test_a_booking_cannot_add_a_method_that_the_configuration_excludes() -> None:
    with open_api(kit=PaymentsTestKit(config=PaymentConfig(methods=MethodChoice(allowed=("card",))))) as api:
        new = api.new_booking(payment_methods={"allowed": ["klarna"]})
        problem = problem_of(api.post("/api/bookings/", BOOKING_APP, json=new))

    assert (problem["status"], problem["code"]) == (422, "no_payment_method_left")


def test_without_cards_a_statement_has_no_suffix(api: Api) -> None:
    booking_id = api.book(payment_methods={"excluded": ["card"]}, statement_descriptor_suffix="Gala")
    payment = api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json={}).json()

    intent = api.kit.stripe.call("GET", f"/v1/payment_intents/{payment['payment_intent_id']}").body
    assert intent["statement_descriptor_suffix"] is None


# --- amounts and capture method


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": "0.20"}, "amount_too_small"),
        ({"amount": "1000000.00"}, "amount_too_large"),
        ({"amount": "1.005", "currency": "kwd"}, "amount_not_chargeable"),
    ],
    ids=["small", "large", "not a multiple"],
)
def test_an_amount_that_the_gateway_does_not_charge_is_422(api: Api, changes: dict[str, str], code: str) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, json=api.new_booking(**changes))

    assert (response.status_code, problem_of(response)["code"]) == (422, code)
    assert api.get("/api/bookings/", BOOKING_APP).json()["items"] == []


def test_a_negative_amount_is_refused(api: Api) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, json=api.new_booking(amount="-1.00"))

    assert response.status_code in (400, 422)


def test_a_free_booking_is_confirmed_at_once(api: Api) -> None:
    body = api.new_booking(amount="0.00")

    first = api.post("/api/bookings/", BOOKING_APP, json=body)
    second = api.post("/api/bookings/", BOOKING_APP, json=body)
    asked = api.post(f"/api/bookings/{first.json()['id']}/payment/intent/", ANN, json={})

    assert (first.status_code, first.json()["status"], first.json()["free"]) == (201, "confirmed", True)
    assert (second.status_code, second.json()) == (200, first.json())
    assert (asked.status_code, problem_of(asked)["code"]) == (409, "nothing_to_pay")


def test_the_capture_method_is_returned_and_part_of_the_content(api: Api) -> None:
    plain, manual = api.new_booking(), api.new_booking(capture_method="manual")

    answers = [api.post("/api/bookings/", BOOKING_APP, json=body).json() for body in (plain, manual)]
    again = api.post("/api/bookings/", BOOKING_APP, json=plain | {"capture_method": "automatic"})
    other = api.post("/api/bookings/", BOOKING_APP, json=plain | {"capture_method": "manual"})

    assert [each["capture_method"] for each in answers] == ["automatic", "manual"]
    assert (again.status_code, other.status_code, problem_of(other)["code"]) == (200, 409, "reference_taken")


@pytest.mark.parametrize(("registered", "asked"), [("automatic", "manual"), ("manual", "automatic")])
def test_a_customers_choice_of_the_capture_method_is_refused(registered: str, asked: str) -> None:
    with open_api(kit=PaymentsTestKit(config=PaymentConfig())) as api:
        booking_id = api.book(capture_method=registered)
        refused = api.pay(booking_id, capture_method=asked)
        paid = api.pay(booking_id, capture_method=registered)

    assert (refused.status_code, problem_of(refused)["code"]) == (422, "capture_method_not_allowed")
    assert paid.json()["status"] == ("requires_capture" if registered == "manual" else "succeeded")


def test_after_the_last_attempt_the_booking_has_expired_with_a_reason(api: Api) -> None:
    body = api.new_booking()
    booking_id = api.post("/api/bookings/", BOOKING_APP, json=body).json()["id"]
    for _ in range(3):
        api.pay(booking_id, "pm_card_chargeDeclinedInsufficientFunds")

    ended = api.get(f"/api/bookings/{booking_id}/", ANN).json()
    payment = api.get(f"/api/bookings/{booking_id}/payment/status/", ANN).json()
    refused = api.pay(booking_id)
    new = api.post("/api/bookings/", BOOKING_APP, json=body)
    listed = api.get(f"/api/bookings/?reference={body['reference']}", BOOKING_APP).json()["items"]

    assert (ended["status"], ended["reason"], payment["status"]) == ("expired", "attempts_exhausted", "failed")
    assert (refused.status_code, problem_of(refused)["code"]) == (422, "attempts_exhausted")
    assert (new.status_code, new.json()["reason"]) == (201, None)
    assert {each["id"] for each in listed} == {booking_id, new.json()["id"]}


# --- canceled by the customer


def test_a_customer_may_cancel_an_unpaid_booking(api: Api) -> None:
    unpaid, paid = api.book(), api.paid()

    canceled = api.post(f"/api/bookings/{unpaid}/cancel/", ANN, json={"reason": "ill"})
    refused = api.post(f"/api/bookings/{paid}/cancel/", ANN, json={})
    of_bob = api.post(f"/api/bookings/{api.book()}/cancel/", BOB, json={})

    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
    assert (refused.status_code, problem_of(refused)["code"]) == (409, "already_paid")
    assert of_bob.status_code == 404


def test_a_customers_choice_of_the_refund_is_refused(api: Api) -> None:
    booking_id = api.book()

    refused = api.post(f"/api/bookings/{booking_id}/cancel/", ANN, json={"refund": "policy"})
    of_bob = api.post(f"/api/bookings/{booking_id}/cancel/", BOB, json={"refund": "policy"})

    assert (refused.status_code, problem_of(refused)["code"]) == (422, "refund_not_allowed")
    assert of_bob.status_code == 404


def test_an_operator_may_cancel_a_booking(api: Api) -> None:
    canceled = api.post(f"/api/bookings/{api.paid()}/cancel/", OPERATOR, json={"refund": "full"})

    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
