"""Payments over HTTP, as a front end uses them: paying, declines, 3-D Secure, capturing and canceling."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.integration.http.api import ANN, OPERATOR, Api, Json, bearer, problem_of

FIELDS = [
    "success",
    "booking_id",
    "payment_id",
    "payment_intent_id",
    "gateway",
    "client_secret",
    "status",
    "requires_action",
    "next_action",
    "outcome_unknown",
    "amount",
    "currency",
    "amount_received",
    "fee",
    "refunded_amount",
    "refund_pending_amount",
    "refund_owed",
    "refund_waiting",
    "withdrawn_amount",
    "refunds",
    "dispute",
    "disputes",
    "capture_before",
    "method",
    "receipt_url",
    "attempts_made",
    "attempts_left",
    "error",
    "error_code",
    "decline_code",
    "created_at",
    "updated_at",
]


def intent(api: Api, booking_id: str, **body: Any) -> Json:
    content: Json = api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json=body).json()
    return content


def authenticate(api: Api, payment: Json, outcome: str) -> None:
    body = {"client_secret": payment["client_secret"], "outcome": outcome}
    path = f"/_sandbox/payment_intents/{payment['payment_intent_id']}/authenticate"
    assert api.post(path, json=body).status_code == 200


def test_a_payment_has_exactly_the_fields_of_the_contract(api: Api) -> None:
    assert list(intent(api, api.book())) == FIELDS


def test_a_valid_card_pays_at_once(api: Api) -> None:
    payment = api.pay(api.book()).json()

    assert (payment["status"], payment["amount_received"], payment["success"]) == ("succeeded", "100.00", True)


def test_the_net_is_the_gross_minus_the_fee(api: Api) -> None:
    payment = api.pay(api.book()).json()

    assert payment["fee"] == {"rate": "0.03", "amount": "3.00", "payer": "organizer", "net": "97.00"}


def test_starting_an_open_payment_returns_it(api: Api) -> None:
    booking_id = api.book()

    assert intent(api, booking_id)["payment_id"] == intent(api, booking_id)["payment_id"]


def test_paying_twice_is_409(api: Api) -> None:
    response = api.pay(api.paid())

    assert (response.status_code, problem_of(response)["code"]) == (409, "already_paid")


def test_an_event_that_has_started_is_422(api: Api) -> None:
    booking_id = api.book(event_starts_at="2026-03-01T20:00:00Z")
    api.kit.clock.advance(timedelta(hours=8))

    response = api.pay(booking_id)

    assert (response.status_code, problem_of(response)["code"]) == (422, "event_started")


def test_an_unknown_payment_method_is_422(api: Api) -> None:
    response = api.pay(api.book(), "pm_unknown")

    assert response.status_code == 422


@pytest.mark.parametrize(
    ("booked", "asked"), [({"currency": "gbp"}, {}), ({}, {"capture_method": "manual"})], ids=["pounds", "held"]
)
def test_a_payment_method_that_does_not_fit_the_payment_is_422(api: Api, booked: Json, asked: Json) -> None:
    booking_id = api.book(**booked)

    answer = api.pay(booking_id, "pm_usBankAccount_success", **asked)

    assert problem_of(answer)["code"] == "payment_method_incompatible"
    assert answer.status_code == 422
    assert api.pay(booking_id, "pm_card_visa").status_code == 200


def test_a_status_before_any_payment_is_404(api: Api) -> None:
    assert api.get(f"/api/bookings/{api.book()}/payment/status/", ANN).status_code == 404


# --- declines


def test_a_decline_is_402_with_its_code(api: Api) -> None:
    response = api.pay(api.book(), "pm_card_visa_chargeDeclinedInsufficientFunds")

    problem = problem_of(response)
    assert (response.status_code, problem["decline_code"]) == (402, "insufficient_funds")


def test_a_decline_is_shown_in_the_payment(api: Api) -> None:
    booking_id = api.book()
    api.pay(booking_id, "pm_card_visa_chargeDeclinedInsufficientFunds")

    payment = api.status(booking_id)

    assert (payment["decline_code"], payment["attempts_made"]) == ("insufficient_funds", 1)
    assert payment["error"]


def test_a_declined_payment_is_still_open(api: Api) -> None:
    booking_id = api.book()
    api.pay(booking_id, "pm_card_visa_chargeDeclined")

    assert api.status(booking_id)["success"] is True


def test_another_card_pays_after_a_decline(api: Api) -> None:
    booking_id = api.book()
    api.pay(booking_id, "pm_card_visa_chargeDeclined")

    payment = api.post(
        f"/api/bookings/{booking_id}/payment/retry/", ANN, json={"payment_method_id": "pm_card_visa"}
    ).json()

    assert (payment["status"], payment["error"]) == ("succeeded", None)


def test_another_card_pays_after_a_decline_of_a_payment_with_a_return_url(api: Api) -> None:
    booking_id = api.book()
    api.pay(booking_id, "pm_card_visa_chargeDeclined", return_url="https://shop.example/back")

    retried = api.post(f"/api/bookings/{booking_id}/payment/retry/", ANN, json={"payment_method_id": "pm_card_visa"})

    assert (retried.status_code, retried.json()["status"]) == (200, "succeeded")


def test_with_stripe_js_the_action_runs_on_the_page_also_for_a_retry(api: Api) -> None:
    booking_id = api.book()
    back, card = "https://shop.example/back", "pm_card_authenticationRequired"
    api.pay(booking_id, "pm_card_visa_chargeDeclined", return_url=back, client="stripe_js")

    retried = api.post(f"/api/bookings/{booking_id}/payment/retry/", ANN, json={"payment_method_id": card}).json()
    without = api.pay(api.book(), card, return_url=back).json()

    assert (retried["next_action"]["type"], without["next_action"]["type"]) == ("use_stripe_sdk", "redirect_to_url")


@pytest.mark.parametrize("client", ["stripe", "", "STRIPE_JS", 1, ["stripe_js"]])
def test_an_unknown_client_is_refused_and_nothing_is_charged(api: Api, client: object) -> None:
    booking_id = api.book()
    response = api.pay(booking_id, "pm_card_visa", client=client)

    assert response.status_code == 400
    assert "client" in problem_of(response)["detail"]
    assert api.get(f"/api/bookings/{booking_id}/payment/status/", ANN).status_code == 404


def test_a_retry_needs_a_payment_method(api: Api) -> None:
    response = api.post(f"/api/bookings/{api.book()}/payment/retry/", ANN, json={})

    assert "payment_method_id" in problem_of(response)["detail"]


def test_after_the_last_attempt_the_payment_has_failed(api: Api) -> None:
    booking_id = api.book()
    for _ in range(3):
        api.pay(booking_id, "pm_card_visa_chargeDeclined")

    payment = api.status(booking_id)

    assert (payment["status"], payment["success"], payment["attempts_left"]) == ("failed", False, 0)


def test_no_attempt_left_is_422(api: Api) -> None:
    booking_id = api.book()
    for _ in range(3):
        api.pay(booking_id, "pm_card_visa_chargeDeclined")

    response = api.pay(booking_id)

    assert (response.status_code, problem_of(response)["code"]) == (422, "attempts_exhausted")


# --- hidden declines

STOLEN = "pm_card_visa_chargeDeclinedStolenCard"


def test_a_stolen_card_has_the_response_of_a_generic_decline(api: Api) -> None:
    stolen = problem_of(api.pay(api.book(), STOLEN))

    assert stolen == problem_of(api.pay(api.book(), "pm_card_visa_chargeDeclined"))


def test_the_owner_never_sees_a_hidden_decline_code(api: Api) -> None:
    booking_id = api.book()
    answers = [api.pay(booking_id, STOLEN).text]
    for path in ("status", "events"):
        answers.append(api.get(f"/api/bookings/{booking_id}/payment/{path}/", ANN).text)

    assert "stolen" not in "".join(answers)


@pytest.mark.parametrize("path", ["status", "events"])
def test_an_operator_sees_the_hidden_decline_code(api: Api, path: str) -> None:
    booking_id = api.book()
    api.pay(booking_id, STOLEN)

    assert "stolen_card" in api.get(f"/api/bookings/{booking_id}/payment/{path}/", OPERATOR).text


def test_an_operator_who_pays_sees_the_hidden_decline_code(api: Api) -> None:
    response = api.pay(api.book(), STOLEN, who=bearer("ann", "payments:operate"))

    assert problem_of(response)["decline_code"] == "stolen_card"


# --- 3-D Secure


def test_a_card_that_needs_authentication_is_not_an_error(api: Api) -> None:
    response = api.pay(api.book(), "pm_card_threeDSecure2Required")

    payment = response.json()
    assert (response.status_code, payment["status"], payment["requires_action"]) == (200, "requires_action", True)


def test_the_owner_gets_the_next_action(api: Api) -> None:
    payment = api.pay(api.book(), "pm_card_threeDSecure2Required").json()

    assert payment["next_action"]["type"]


def test_a_passed_authentication_pays(api: Api) -> None:
    booking_id = api.book()
    authenticate(api, api.pay(booking_id, "pm_card_threeDSecure2Required").json(), "succeeded")
    api.deliver_all()

    assert api.status(booking_id)["status"] == "succeeded"


def test_confirming_reads_the_outcome_of_the_authentication(api: Api) -> None:
    booking_id = api.book()
    authenticate(api, api.pay(booking_id, "pm_card_threeDSecure2Required").json(), "succeeded")

    payment = api.post(f"/api/bookings/{booking_id}/payment/confirm/", ANN, json={}).json()

    assert payment["status"] == "succeeded"


def test_a_failed_authentication_leaves_the_payment_open(api: Api) -> None:
    booking_id = api.book()
    authenticate(api, api.pay(booking_id, "pm_card_threeDSecure2Required").json(), "failed")
    api.deliver_all()

    assert api.status(booking_id)["status"] == "requires_payment_method"


@pytest.mark.parametrize(("intent_id", "status"), [("pi_missing", 404), ("pi_%00", 404), ("..", 404), ("x" * 300, 404)])
def test_the_sandbox_does_not_accept_foreign_intents(api: Api, intent_id: str, status: int) -> None:
    body = {"client_secret": "x", "outcome": "succeeded"}

    response = api.post(f"/_sandbox/payment_intents/{intent_id}/authenticate", json=body)

    assert response.status_code == status


def test_the_sandbox_requires_the_client_secret(api: Api) -> None:
    payment = api.pay(api.book(), "pm_card_threeDSecure2Required").json()
    body = {"client_secret": "wrong", "outcome": "succeeded"}

    response = api.post(f"/_sandbox/payment_intents/{payment['payment_intent_id']}/authenticate", json=body)

    assert 400 <= response.status_code < 500


# --- capturing and canceling


def held(api: Api) -> str:
    booking_id = api.book()
    assert api.pay(booking_id, capture_method="manual").json()["status"] == "requires_capture"
    return booking_id


def test_an_authorization_is_captured(api: Api) -> None:
    payment = api.post(f"/api/bookings/{held(api)}/payment/capture/", OPERATOR).json()

    assert (payment["status"], payment["amount_received"]) == ("succeeded", "100.00")


def test_fee_and_amount_follow_a_partial_capture(api: Api) -> None:
    payment = api.post(f"/api/bookings/{held(api)}/payment/capture/", OPERATOR, json={"amount": "60.00"}).json()

    assert (payment["amount"], payment["fee"]["net"]) == ("60.00", "58.20")


def test_a_capture_above_the_authorized_amount_is_422(api: Api) -> None:
    response = api.post(f"/api/bookings/{held(api)}/payment/capture/", OPERATOR, json={"amount": "100.01"})

    assert response.status_code == 422


def test_a_canceled_payment_has_the_status_canceled(api: Api) -> None:
    payment = api.post(f"/api/bookings/{held(api)}/payment/cancel/", ANN).json()

    assert (payment["status"], payment["success"]) == ("canceled", False)


def test_after_canceling_a_new_payment_can_start(api: Api) -> None:
    booking_id = api.book()
    first = intent(api, booking_id)
    api.post(f"/api/bookings/{booking_id}/payment/cancel/", ANN)

    assert intent(api, booking_id)["payment_intent_id"] != first["payment_intent_id"]


# --- the journal and the list


def test_the_journal_lists_the_events_of_a_payment(api: Api) -> None:
    events = api.get(f"/api/bookings/{api.paid()}/payment/events/", ANN).json()["events"]

    types = [event["type"] for event in events]
    assert types[0] == "payment_started"
    assert "payment_succeeded" in types


def test_the_events_of_the_journal_are_numbered_from_one(api: Api) -> None:
    events = api.get(f"/api/bookings/{api.paid()}/payment/events/", ANN).json()["events"]

    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))


def test_the_owner_sees_that_an_operator_acted_but_not_the_name(api: Api) -> None:
    booking_id = held(api)
    api.post(f"/api/bookings/{booking_id}/payment/capture/", OPERATOR)

    assert "olga" not in api.get(f"/api/bookings/{booking_id}/payment/events/", ANN).text


def test_idempotency_keys_of_the_gateway_are_shown_to_operators_only(api: Api) -> None:
    booking_id = api.paid()

    assert "idempotency_key" not in api.get(f"/api/bookings/{booking_id}/payment/events/", ANN).text


def test_pages_follow_each_other(api: Api) -> None:
    paid = {api.paid() for _ in range(3)}
    first = api.get("/api/payments/?limit=2", OPERATOR).json()

    second = api.get(f"/api/payments/?limit=2&cursor={first['next_cursor']}", OPERATOR).json()

    assert {item["booking_id"] for item in first["items"] + second["items"]} == paid
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("status=succeeded", 1),
        ("status=canceled", 0),
        ("customer_id=ann", 1),
        ("customer_id=bob", 0),
        ("created_from=2026-03-01T12:00:00Z", 1),
        ("created_to=2026-03-01T12:00:00Z", 0),
        ("created_from=2026-03-01T13:00:00%2B02:00", 1),
        ("reference=R-1", 1),
        ("q=r-", 1),
        ("q=nobody", 0),
        ("email=ann", 0),
        ("event_id=hamlet", 0),
        ("amount=100", 1),
        ("amount=100.00&last4=4242", 1),
        ("amount=99.99", 0),
        ("last4=1881", 0),
        ("refunded=true", 0),
        ("refunded=false&disputed=false", 1),
        ("refunded=partly", 0),
        ("disputed=true", 0),
    ],
)
def test_filters_limit_the_list_of_payments(api: Api, query: str, count: int) -> None:
    api.paid()

    assert len(api.get(f"/api/payments/?{query}", OPERATOR).json()["items"]) == count


def test_what_filters_choose_is_exported_as_csv(api: Api) -> None:
    api.paid()

    answer = api.get("/api/exports/payments/?last4=4242", OPERATOR)

    assert answer.headers["content-type"] == "text/csv; header=present; charset=utf-8"
    header, line = answer.text.split("\r\n")[:2]
    assert header.startswith("payment_id,booking_id,booking_reference,customer_id,")
    assert line.split(",")[2:4] == ["R-1", "ann"]
    assert api.get("/api/exports/payments/?last4=1881", OPERATOR).text.count("\r\n") == 1


def test_an_export_of_an_unknown_kind_is_a_404_that_names_the_kinds(api: Api) -> None:
    answer = api.get("/api/exports/customers/", OPERATOR)

    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        "there are exports of payments, refunds, disputes, postings",
    )


def test_an_export_with_a_bad_filter_is_a_problem_and_no_file(api: Api) -> None:
    answer = api.get("/api/exports/postings/?created_from=yesterday", OPERATOR)

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


def test_the_configuration_has_gateway_and_limits(api: Api) -> None:
    config = api.get("/api/payment/config/", ANN).json()

    assert (config["gateway"], config["processing_fee_rate"], config["retry_attempts"]) == ("fake", "0.03", 3)


# --- the payment method, and the capture deadline

VISA = {"type": "card", "brand": "visa", "last4": "4242", "wallet": None}


def in_the_browser(api: Api, payment: Json, card: str) -> None:
    api.kit.stripe.confirm_as_customer(payment["payment_intent_id"], payment["client_secret"], card)


def test_the_payment_method_is_shown(api: Api) -> None:
    assert api.pay(api.book()).json()["method"] == VISA


def test_the_payment_method_of_a_browser_payment_is_shown(api: Api) -> None:
    booking_id = api.book()
    started = intent(api, booking_id)
    in_the_browser(api, started, "pm_card_mastercard")
    api.deliver_all()

    paid = api.status(booking_id)
    assert (started["method"], paid["status"]) == (None, "succeeded")
    assert paid["method"] == {"type": "card", "brand": "mastercard", "last4": "4444", "wallet": None}


def test_the_journal_has_the_time_at_which_the_method_was_recorded(api: Api) -> None:
    booking_id = api.paid()

    events = api.get(f"/api/bookings/{booking_id}/payment/events/", ANN).json()["events"]
    [seen] = [event["data"] for event in events if event["type"] == "method_seen"]
    assert (seen["method"], seen["capture_before"]) == (VISA, None)


@pytest.mark.parametrize("order", [1, -1])
def test_the_payment_method_is_recorded_without_a_gateway_call(api: Api, order: int) -> None:
    """The event of the charge contains it: a read for each payment would be the most expensive call."""
    booking_id = api.book()
    in_the_browser(api, intent(api, booking_id), "pm_card_visa")
    events = {event["type"]: event for event in api.kit.stripe.events}
    before = len(api.kit.stripe.calls)

    for type_ in ["charge.succeeded", "payment_intent.succeeded"][::order]:
        assert api.deliver(json.dumps(events[type_]).encode()).json()["outcome"] == "processed"

    assert (len(api.kit.stripe.calls), api.status(booking_id)["method"]) == (before, VISA)


def test_the_event_of_a_foreign_charge_makes_no_gateway_call(api: Api) -> None:
    charge = {"id": "ch_9", "payment_intent": "pi_9", "amount": 100, "currency": "usd", "captured": True}
    before = len(api.kit.stripe.calls)

    event = {"id": "evt_9", "type": "charge.succeeded", "data": {"object": charge}}
    assert api.deliver(json.dumps(event).encode()).json()["outcome"] == "ignored"
    assert len(api.kit.stripe.calls) == before


def test_a_declined_card_is_not_shown_as_the_payment_method(api: Api) -> None:
    booking_id = api.book()
    api.pay(booking_id, "pm_card_chargeDeclined")
    api.deliver_all()

    assert api.status(booking_id)["method"] is None


def test_a_debit_has_no_brand(api: Api) -> None:
    paid = api.pay(api.book(), "pm_usBankAccount_success").json()

    assert paid["method"] == {"type": "us_bank_account", "brand": None, "last4": "6789", "wallet": None}


def test_a_payment_has_the_gateways_receipt_once_money_was_captured(api: Api) -> None:
    booking_id = api.book()
    held = api.pay(booking_id, capture_method="manual").json()
    captured = api.post(f"/api/bookings/{booking_id}/payment/capture/", OPERATOR, json={}).json()
    declined = api.pay(api.book(), "pm_card_chargeDeclined")

    assert held["receipt_url"] is None
    assert captured["receipt_url"].startswith("https://pay.stripe.com/receipts/payment/ch_")
    assert api.status(booking_id)["receipt_url"] == captured["receipt_url"]
    assert "receipt_url" not in declined.json()


def test_an_authorization_has_its_capture_deadline(api: Api) -> None:
    booking_id = api.book()
    held = api.pay(booking_id, capture_method="manual").json()
    captured = api.post(f"/api/bookings/{booking_id}/payment/capture/", OPERATOR, json={}).json()

    until = datetime.fromisoformat(held["capture_before"])
    assert until - api.kit.clock.now() == timedelta(days=7)
    assert (captured["status"], captured["capture_before"]) == ("succeeded", None)


def test_an_authorization_made_in_the_browser_has_its_capture_deadline(api: Api) -> None:
    booking_id = api.book()
    in_the_browser(api, intent(api, booking_id, capture_method="manual"), "pm_card_visa")
    api.deliver_all()

    assert api.status(booking_id)["capture_before"] is not None
