"""``Idempotency-Key``: a request runs once, its repetition gets the same response, and no caller gets a response of
another.
"""

from datetime import timedelta
from typing import Any

import attrs
import httpx
import pytest

from booking_payments.entrypoints.http import idempotency
from booking_payments.entrypoints.http.auth import Principal
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.ports.idempotency import ANSWER_LIFETIME
from booking_payments.ports.payments import PollState
from booking_payments.presentation.models import RefundPayment
from booking_payments.sandbox.emulator.faults import Fault
from tests.integration.http.api import ANN, BOB, BOOKING_APP, OPERATOR, Api, bearer, problem_of

KEY = "0b6f3c52-8f0e-4f0e-9b0a-000000000001"
OTHER_KEY = "0b6f3c52-8f0e-4f0e-9b0a-000000000002"


def with_key(key: str = KEY) -> dict[str, str]:
    return {"Idempotency-Key": key}


def refund(api: Api, booking_id: str, amount: str = "25.00", key: str = KEY, who: Any = ANN) -> httpx.Response:
    path = f"/api/bookings/{booking_id}/payment/refund/"
    return api.post(path, who, headers=with_key(key), json={"amount": amount})


def test_a_repeated_request_runs_once(api: Api) -> None:
    booking_id = api.paid()
    refund(api, booking_id)
    refund(api, booking_id)

    assert api.status(booking_id)["refunded_amount"] == "25.00"


def test_a_repeated_request_gets_the_same_response(api: Api) -> None:
    booking_id = api.paid()
    first = refund(api, booking_id)

    second = refund(api, booking_id)

    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers["content-type"] == first.headers["content-type"]


def test_a_repeated_response_is_marked(api: Api) -> None:
    booking_id = api.paid()
    first = refund(api, booking_id)

    second = refund(api, booking_id)

    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"


def test_the_key_may_be_quoted(api: Api) -> None:
    booking_id = api.paid()
    refund(api, booking_id)

    assert refund(api, booking_id, key=f'"{KEY}"').headers["idempotent-replayed"] == "true"


def test_spelling_and_defaults_do_not_change_the_request(api: Api) -> None:
    booking_id = api.paid()
    refund(api, booking_id)

    response = api.post(
        f"/api/bookings/{booking_id}/payment/refund",
        ANN,
        headers={**with_key(), "Content-Type": "application/json"},
        content=b'{ "reason": "requested_by_customer",  "amount": "25.00" }',
    )

    assert response.headers["idempotent-replayed"] == "true"


def test_another_key_makes_a_new_request(api: Api) -> None:
    booking_id = api.paid()
    refund(api, booking_id)
    refund(api, booking_id, key=OTHER_KEY)

    assert api.status(booking_id)["refunded_amount"] == "50.00"


def test_the_same_key_for_another_request_is_422(api: Api) -> None:
    booking_id = api.paid()
    refund(api, booking_id)

    response = refund(api, booking_id, amount="26.00")

    assert (response.status_code, problem_of(response)["code"]) == (422, "idempotency_key_reused")


def test_the_same_key_for_another_booking_makes_a_new_request(api: Api) -> None:
    refund(api, api.paid())

    assert "idempotent-replayed" not in refund(api, api.paid()).headers


def test_another_caller_does_not_get_the_stored_response(api: Api) -> None:
    booking_id = api.paid()
    refund(api, booking_id)

    assert refund(api, booking_id, who=BOB).status_code == 404


def test_an_operator_and_a_customer_with_the_same_subject_are_different_callers(api: Api) -> None:
    booking_id = api.paid()
    refund(api, booking_id, who=bearer("ann", "payments:operate"))

    assert "idempotent-replayed" not in refund(api, booking_id).headers


def test_a_decline_is_repeated(api: Api) -> None:
    booking_id = api.book()
    body = {"payment_method_id": "pm_card_visa_chargeDeclined", "confirm_immediately": True}
    path = f"/api/bookings/{booking_id}/payment/intent/"
    api.post(path, ANN, headers=with_key(), json=body)

    second = api.post(path, ANN, headers=with_key(), json=body)

    assert (second.status_code, second.headers["content-type"]) == (402, "application/problem+json")
    assert api.status(booking_id)["attempts_made"] == 1


def test_a_refusal_by_rule_is_repeated(api: Api) -> None:
    booking_id = api.paid()
    refund(api, booking_id, amount="200.00")

    assert refund(api, booking_id, amount="200.00").headers["idempotent-replayed"] == "true"


def test_a_409_is_not_stored(api: Api) -> None:
    booking_id = api.book()
    api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json={})
    assert refund(api, booking_id).status_code == 409
    api.pay(booking_id)

    assert refund(api, booking_id).status_code == 200


def test_a_400_is_not_stored(api: Api) -> None:
    booking_id = api.paid()
    assert refund(api, booking_id, amount="25.001").status_code == 400

    assert refund(api, booking_id).status_code == 200


@pytest.mark.parametrize("wrong", ["https://elsewhere.example/", "https://shop.example/a b"])
def test_a_400_of_the_handler_is_not_stored(api: Api, wrong: str) -> None:
    path = f"/api/bookings/{api.book()}/payment/intent/"
    card = {"payment_method_id": "pm_card_visa", "confirm_immediately": True}

    refused = api.post(path, ANN, headers=with_key(), json={**card, "return_url": wrong})
    mended = api.post(path, ANN, headers=with_key(), json={**card, "return_url": "https://shop.example/"})

    assert (refused.status_code, mended.status_code) == (400, 200)


def test_a_registration_runs_once(api: Api) -> None:
    body = api.new_booking()
    api.post("/api/bookings/", BOOKING_APP, headers=with_key(), json=body)

    second = api.post("/api/bookings/", BOOKING_APP, headers=with_key(), json=body)

    assert (second.status_code, second.headers["idempotent-replayed"]) == (201, "true")


def test_after_72_hours_a_key_can_be_used_again(api: Api) -> None:
    booking_id = api.paid()
    refund(api, booking_id)
    api.kit.clock.advance(ANSWER_LIFETIME)

    assert "idempotent-replayed" not in refund(api, booking_id).headers


BAD_KEYS = [
    "",
    "short",
    "x" * 15,
    "x" * 256,
    '"' + "x" * 16,
    "\u00e4" * 16,
    "x" * 15 + "\t" + "x",
    '"' + "x" * 256 + '"',
    '""',
    "4242424242424242",
]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_an_invalid_key_is_400(api: Api, key: str) -> None:
    headers = [(b"Authorization", ANN["Authorization"].encode()), (b"Idempotency-Key", key.encode("latin-1"))]

    response = api.client.post(f"/api/bookings/{api.paid()}/payment/refund/", headers=headers, json={})

    assert response.status_code == 400
    assert problem_of(response)["code"] in ("idempotency_key_invalid", "card_number_refused")


@pytest.mark.parametrize("key", ["x" * 16, "x" * 255, '"' + "x" * 255 + '"', KEY, 'a"b' + "x" * 16])
def test_a_valid_key_is_accepted(key: str) -> None:
    assert idempotency.key_of([key])


def test_two_keys_are_400() -> None:
    with pytest.raises(RequestRefused):
        idempotency.key_of([KEY, OTHER_KEY])


def test_an_invalid_body_is_reported_before_the_key_is_checked(api: Api) -> None:
    booking_id = api.paid()
    refund(api, booking_id)

    response = api.post(f"/api/bookings/{booking_id}/payment/refund/", ANN, headers=with_key(), json={"x": 1})

    assert problem_of(response)["code"] == "unknown_field"


# --- while it runs, and after a crash


def test_the_same_key_is_409_while_its_request_runs(api: Api) -> None:
    booking_id = api.paid()
    path = f"/api/bookings/{booking_id}/payment/refund/"
    leave_a_mark(api, path)

    response = api.post(path, ANN, headers=with_key(), json={})

    assert (response.status_code, problem_of(response)["code"]) == (409, "idempotency_key_in_use")
    assert int(response.headers["retry-after"]) > 0


def leave_a_mark(api: Api, path: str) -> None:
    """Store the mark of a process that died during the request."""
    principal = Principal(subject="ann", issuer=None, scopes=frozenset())
    asked = idempotency.asked(KEY, principal, "POST", path, RefundPayment())
    mark = asked.mark("req_dead", api.kit.clock.now())

    async def store() -> None:
        until = api.kit.clock.now() + timedelta(seconds=60)
        await api.kit.storage.transact(lambda uow: uow.answers.put(attrs.evolve(mark, locked_until=until)))

    with api.client.portal() as portal:
        portal.call(store)


def test_a_crashed_request_is_taken_over_when_its_lease_has_expired(api: Api) -> None:
    booking_id = api.paid()
    path = f"/api/bookings/{booking_id}/payment/refund/"
    leave_a_mark(api, path)
    api.kit.clock.advance(timedelta(seconds=61))

    assert api.post(path, ANN, headers=with_key(), json={}).status_code == 200


def test_a_partial_refund_whose_response_was_lost_is_not_made_twice(api: Api) -> None:
    booking_id = api.paid()
    api.kit.stripe.faults.script("POST /v1/refunds", Fault.TIMEOUT_AFTER.value)
    api.kit.stripe.faults.script("POST /v1/refunds", Fault.TIMEOUT_BEFORE.value, times=2)
    lost = refund(api, booking_id)
    api.kit.clock.advance(timedelta(hours=2))

    again = refund(api, booking_id)

    assert lost.status_code == 503
    assert problem_of(lost)["outcome_unknown"] is True
    assert (again.status_code, again.json()["amount"]) == (200, "25.00")
    assert len(api.status(booking_id, OPERATOR)["refunds"]) == 1


def test_two_refunds_with_the_same_request_id_are_separate(api: Api) -> None:
    booking_id = api.paid()
    same = {"X-Request-Id": "always-the-same"}
    path = f"/api/bookings/{booking_id}/payment/refund/"
    api.post(path, ANN, headers={**with_key(), **same}, json={"amount": "25.00"})
    api.post(path, ANN, headers={**with_key(OTHER_KEY), **same}, json={"amount": "25.00"})

    assert len(api.status(booking_id)["refunds"]) == 2


def test_the_response_of_a_retry_after_503_is_stored(api: Api) -> None:
    booking_id = api.paid()
    api.kit.stripe.faults.script("POST /v1/refunds", Fault.TIMEOUT_BEFORE.value, times=3)
    refund(api, booking_id)
    api.kit.clock.advance(timedelta(hours=2))
    refund(api, booking_id)

    assert refund(api, booking_id).headers["idempotent-replayed"] == "true"


def test_a_conflict_does_not_delete_the_keys_first_run(api: Api) -> None:
    booking_id = api.book()
    path = f"/api/bookings/{booking_id}/payment/intent/"
    card = {"payment_method_id": "pm_card_visa", "confirm_immediately": True}
    api.kit.stripe.faults.script("POST /v1/payment_intents", Fault.TIMEOUT_AFTER.value, times=3)
    lost = api.post(path, ANN, headers=with_key(), json=card)
    somebody_elses_lease(api, booking_id)

    conflict = api.post(path, ANN, headers=with_key(), json=card)
    api.kit.clock.advance(timedelta(minutes=2))
    found = api.post(path, ANN, headers=with_key(), json=card)

    assert (lost.status_code, conflict.status_code, found.status_code) == (503, 409, 200)
    assert found.json()["status"] == "succeeded"


def somebody_elses_lease(api: Api, booking_id: str) -> None:
    """Another process works on the payment for a minute."""
    payment_id = api.status(booking_id)["payment_id"]
    until = api.kit.clock.now() + timedelta(minutes=1)

    async def take() -> None:
        await api.kit.storage.transact(
            lambda uow: uow.payments.save_poll_state(payment_id, PollState(lease_until=until, holder="another"))
        )

    with api.client.portal() as portal:
        portal.call(take)
