"""Refunds and quotes over HTTP."""

import pytest

from tests.integration.http.api import ANN, OPERATOR, Api, Json, problem_of

FIELDS = [
    "success",
    "refund_id",
    "gateway_refund_id",
    "status",
    "amount",
    "currency",
    "reason",
    "refunded_amount",
    "remaining_refundable",
    "deferred",
    "refund_owed",
]


def refund(api: Api, booking_id: str, **body: object) -> Json:
    content: Json = api.post(f"/api/bookings/{booking_id}/payment/refund/", ANN, json=body).json()
    return content


def quote(api: Api, booking_id: str, query: str = "") -> Json:
    content: Json = api.get(f"/api/bookings/{booking_id}/payment/refund/quote/{query}", ANN).json()
    return content


def test_a_refund_has_exactly_the_fields_of_the_contract(api: Api) -> None:
    assert list(refund(api, api.paid())) == FIELDS


def test_a_refund_is_in_full_by_default(api: Api) -> None:
    assert refund(api, api.paid())["amount"] == "100.00"


def test_a_partial_refund_leaves_the_remainder(api: Api) -> None:
    made = refund(api, api.paid(), amount="25.00")

    assert (made["refunded_amount"], made["remaining_refundable"]) == ("25.00", "75.00")


def test_the_payment_lists_its_refunds(api: Api) -> None:
    booking_id = api.paid()
    made = refund(api, booking_id, amount="25.00")

    payment = api.status(booking_id)

    assert [each["refund_id"] for each in payment["refunds"]] == [made["refund_id"]]
    assert payment["status"] == "succeeded"


def test_a_refund_above_the_refundable_amount_is_422(api: Api) -> None:
    booking_id = api.paid()

    response = api.post(f"/api/bookings/{booking_id}/payment/refund/", ANN, json={"amount": "100.01"})

    assert (response.status_code, problem_of(response)["code"]) == (422, "exceeds_refundable")


def test_a_refund_of_an_unpaid_booking_is_refused(api: Api) -> None:
    booking_id = api.book()
    api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json={})

    response = api.post(f"/api/bookings/{booking_id}/payment/refund/", ANN, json={})

    assert (response.status_code, problem_of(response)["code"]) == (409, "not_paid")


@pytest.mark.parametrize(
    "body",
    [
        {"amount": 25},
        {"amount": "25.001"},
        {"amount": "0"},
        {"amount": "-1"},
        {"amount": None, "reason": None},
        {"reason": "because"},
        {"note": "x" * 501},
        {"note": "a\x1bb"},
        {"note": "my card is 4242 4242 4242 4242"},
    ],
)
def test_an_invalid_refund_is_400(api: Api, body: object) -> None:
    response = api.post(f"/api/bookings/{api.paid()}/payment/refund/", ANN, json=body)

    assert response.status_code == 400, response.text


@pytest.mark.parametrize("reason", ["requested_by_customer", "duplicate", "fraudulent"])
def test_the_refund_has_the_requested_reason(api: Api, reason: str) -> None:
    made = api.post(f"/api/bookings/{api.paid()}/payment/refund/", OPERATOR, json={"reason": reason})

    assert made.json()["reason"] == reason


def test_an_owner_sees_their_own_reason(api: Api) -> None:
    assert refund(api, api.paid(), reason="requested_by_customer")["reason"] == "requested_by_customer"


@pytest.mark.parametrize("reason", ["duplicate", "fraudulent"])
def test_an_owner_may_not_use_a_reason_that_blocks_the_card(api: Api, reason: str) -> None:
    booking_id = api.paid()

    response = api.post(f"/api/bookings/{booking_id}/payment/refund/", ANN, json={"reason": reason})

    assert (response.status_code, problem_of(response)["code"]) == (422, "reason_not_allowed")
    assert api.status(booking_id)["refunds"] == []


@pytest.mark.parametrize("path", ["status", "events"])
def test_an_operators_reason_of_fraud_is_not_shown_to_the_owner(api: Api, path: str) -> None:
    booking_id = api.paid()
    api.post(f"/api/bookings/{booking_id}/payment/refund/", OPERATOR, json={"reason": "fraudulent"})

    assert "fraudulent" not in api.get(f"/api/bookings/{booking_id}/payment/{path}/", ANN).text


def test_a_pending_refund_is_shown_separately(api: Api) -> None:
    booking_id = api.book()
    api.pay(booking_id, "pm_card_pendingRefund")
    made = refund(api, booking_id, amount="25.00")

    payment = api.status(booking_id)

    assert made["status"] == "pending"
    assert (payment["refunded_amount"], payment["refund_pending_amount"]) == ("0.00", "25.00")


def test_a_quote_has_the_refundable_amount(api: Api) -> None:
    quoted = quote(api, api.paid())

    assert quoted == {
        "allowed": True,
        "amount": "100.00",
        "currency": "usd",
        "fee_refunded": "0.00",
        "refundable_until": "2026-06-01T20:00:00Z",
        "reason_code": "refundable",
        "deferred": False,
        "overrides": [],
    }


def test_a_quote_above_the_refundable_amount_has_the_reason(api: Api) -> None:
    quoted = quote(api, api.paid(), "?amount=100.01")

    assert (quoted["allowed"], quoted["reason_code"]) == (False, "exceeds_refundable")


def test_a_quote_changes_nothing(api: Api) -> None:
    booking_id = api.paid()
    quote(api, booking_id)

    assert api.status(booking_id)["refunds"] == []


def test_a_dispute_blocks_refunds(api: Api) -> None:
    booking_id = api.book()
    api.pay(booking_id, "pm_card_createDispute")
    api.deliver_all()

    response = api.post(f"/api/bookings/{booking_id}/payment/refund/", ANN, json={})

    assert (response.status_code, problem_of(response)["code"]) == (409, "disputed")


def test_the_payment_shows_its_dispute(api: Api) -> None:
    booking_id = api.book()
    api.pay(booking_id, "pm_card_createDispute")
    api.deliver_all()

    dispute = api.status(booking_id)["dispute"]

    assert list(dispute) == [
        "dispute_id",
        "status",
        "reason",
        "amount",
        "withdrawn_amount",
        "is_inquiry",
        "opened_at",
        "evidence_due_by",
    ]
    assert (dispute["withdrawn_amount"], dispute["is_inquiry"]) == ("100.00", False)


def test_a_full_refund_before_the_event_cancels_the_booking_and_a_partial_one_does_not(api: Api) -> None:
    whole, part = api.paid(), api.paid()

    refund(api, whole)
    refund(api, part, amount="99.99")

    assert api.get(f"/api/bookings/{whole}/", ANN).json()["status"] == "canceled"
    assert api.get(f"/api/bookings/{part}/", ANN).json()["status"] == "confirmed"
    journal = api.get(f"/api/bookings/{whole}/payment/events/", ANN).json()["events"]
    released = [each for each in journal if each["type"] == "booking_released"]
    assert [(each["actor"], each["data"]["reason"]) for each in released] == [("customer:ann", "refunded")]


def test_an_operators_full_refund_keeps_the_booking(api: Api) -> None:
    booking_id = api.paid()

    assert api.post(f"/api/bookings/{booking_id}/payment/refund/", OPERATOR, json={}).status_code == 200

    assert api.get(f"/api/bookings/{booking_id}/", ANN).json()["status"] == "confirmed"


def test_a_booking_can_reserve_refunds_to_the_organizer(api: Api) -> None:
    booking_id = api.paid(customer_refunds="none")

    quoted = quote(api, booking_id)
    refused = api.post(f"/api/bookings/{booking_id}/payment/refund/", ANN, json={})

    assert api.get(f"/api/bookings/{booking_id}/", ANN).json()["customer_refunds"] == "none"
    assert (quoted["allowed"], quoted["amount"], quoted["reason_code"]) == (False, "0.00", "refunded_by_organizer")
    assert (refused.status_code, refused.json()["code"]) == (422, "refunded_by_organizer")
    assert api.post(f"/api/bookings/{booking_id}/payment/refund/", OPERATOR, json={}).status_code == 200


def test_a_booking_canceled_by_its_full_refund_has_the_reason(api: Api) -> None:
    booking_id = api.paid()

    refund(api, booking_id)

    booking = api.get(f"/api/bookings/{booking_id}/", ANN).json()
    assert (booking["status"], booking["reason"]) == ("canceled", "refunded")
