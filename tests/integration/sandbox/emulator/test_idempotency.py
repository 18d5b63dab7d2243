"""Idempotency keys (docs.stripe.com/api/idempotent_requests)."""

from datetime import timedelta

import pytest

from .stripe_account import NO_REDIRECTS, StripeAccountClient, error, made


def test_the_same_key_answers_the_same_without_a_second_effect(account: StripeAccountClient) -> None:
    first = account.pay("pm_card_visa", "k1")
    again = account.pay("pm_card_visa", "k1")

    assert again.body == first.body
    assert len(account.get("payment_intents").body["data"]) == 1


def test_a_replay_is_marked_and_has_its_own_request_id(account: StripeAccountClient) -> None:
    first = account.pay("pm_card_visa", "k1")
    again = account.pay("pm_card_visa", "k1")

    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert again.headers["Request-Id"] != first.headers["Request-Id"]


def test_a_replay_is_a_snapshot_and_may_be_stale(account: StripeAccountClient) -> None:
    intent = made(account.post("payment_intents", "k1", amount=1000, currency="usd"))
    account.post(f"payment_intents/{intent['id']}/cancel")

    again = account.post("payment_intents", "k1", amount=1000, currency="usd")

    assert again.body["status"] == "requires_payment_method"


def test_numbers_and_text_are_the_same_parameters(account: StripeAccountClient) -> None:
    account.post("payment_intents", "k1", amount=1000, currency="usd", automatic_payment_methods={"enabled": True})

    again = account.post(
        "payment_intents", "k1", amount="1000", currency="usd", automatic_payment_methods={"enabled": "true"}
    )

    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_decline_is_saved(account: StripeAccountClient) -> None:
    first = account.pay("pm_card_chargeDeclined", "k1")
    again = account.pay("pm_card_chargeDeclined", "k1")

    assert (again.status, again.body) == (402, first.body)
    assert account.types().count("charge.failed") == 1


def test_a_refusal_during_execution_is_saved(account: StripeAccountClient) -> None:
    intent = account.paid()
    account.post(f"payment_intents/{intent['id']}/capture", "k1")

    again = account.post(f"payment_intents/{intent['id']}/capture", "k1")

    assert (again.status, again.headers["Idempotent-Replayed"]) == (400, "true")


def test_a_validation_failure_is_not_saved(account: StripeAccountClient) -> None:
    refused = account.post("payment_intents", "k1", amount="ten", currency="usd")

    corrected = account.post("payment_intents", "k1", amount=1000, currency="usd")

    assert (refused.status, corrected.status) == (400, 200)


@pytest.mark.parametrize("fault", ["409", "429_limit", "429_lock", "503"])
def test_an_answer_from_before_execution_is_not_saved(account: StripeAccountClient, fault: str) -> None:
    account.stripe.faults.script("POST /v1/payment_intents", fault)

    refused, again = account.pay("pm_card_visa", "k1"), account.pay("pm_card_visa", "k1")

    assert (refused.status, again.status) == (int(fault[:3]), 200)
    assert "Idempotent-Replayed" not in again.headers


def test_a_500_after_the_work_is_saved(account: StripeAccountClient) -> None:
    account.stripe.faults.script("POST /v1/payment_intents", "500_after")

    lost, again = account.pay("pm_card_visa", "k1"), account.pay("pm_card_visa", "k1")

    assert (lost.status, again.status, again.headers["Idempotent-Replayed"]) == (500, 500, "true")
    assert account.get("payment_intents").body["data"][0]["status"] == "succeeded"


def test_a_500_before_the_work_is_saved_and_nothing_happens(account: StripeAccountClient) -> None:
    intent = account.paid()
    account.stripe.faults.script("POST /v1/refunds", "500_before")

    lost, again = (account.post("refunds", "k1", payment_intent=intent["id"]) for _ in range(2))

    assert (lost.status, again.status, again.body["error"]) == (500, 500, lost.body["error"])
    assert ("Idempotent-Replayed" in lost.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert account.charge_of(intent)["amount_refunded"] == 0
    account.wait(hours=24)
    assert account.post("refunds", "k1", payment_intent=intent["id"]).status == 200


def test_a_request_may_be_completed_long_after_its_500(account: StripeAccountClient) -> None:
    account.stripe.faults.script("POST /v1/payment_intents", "500_later", delay=timedelta(hours=1))
    lost = account.pay("pm_card_visa", "k1")
    account.wait(minutes=59, seconds=59)
    before = account.get("payment_intents").body["data"]

    account.wait(seconds=1)

    after = account.get("payment_intents").body["data"]
    assert (lost.status, before, [each["status"] for each in after]) == (500, [], ["succeeded"])
    assert (account.pay("pm_card_visa", "k1").status, len(account.get("payment_intents").body["data"])) == (500, 1)


def test_what_can_not_be_completed_any_more_is_left(account: StripeAccountClient) -> None:
    intent = account.paid()
    account.stripe.faults.script("POST /v1/refunds", "500_later", delay=timedelta(hours=1))
    account.post("refunds", "k1", payment_intent=intent["id"])
    whole = account.post("refunds", "k2", payment_intent=intent["id"]).status

    account.wait(hours=1)

    assert (whole, len(account.get("refunds").body["data"])) == (200, 1)


@pytest.mark.parametrize("fault", ["500_before", "500_after", "500_later"])
def test_a_saved_answer_is_replayed_before_anything_breaks_down(account: StripeAccountClient, fault: str) -> None:
    first = account.pay("pm_card_visa", "k1")
    account.stripe.faults.script("POST /v1/payment_intents", fault)

    again = account.pay("pm_card_visa", "k1")

    assert (again.status, again.body) == (200, first.body)


def test_a_500_without_a_key_is_not_saved(account: StripeAccountClient) -> None:
    account.stripe.faults.script("POST /v1/payment_intents", "500_before")

    assert [account.pay().status for _ in range(2)] == [500, 200]


def test_other_parameters_under_the_same_key_are_refused(account: StripeAccountClient) -> None:
    account.post("payment_intents", "k1", amount=1000, currency="usd")

    answer = account.post("payment_intents", "k1", amount=1001, currency="usd")

    told = error(answer)
    assert (answer.status, told["type"]) == (400, "idempotency_error")
    assert not {"code", "param"} & set(told)
    assert len(account.get("payment_intents").body["data"]) == 1


def test_another_endpoint_under_the_same_key_is_refused(account: StripeAccountClient) -> None:
    intent = made(account.pay("pm_card_visa", "k1"))

    answer = account.post("refunds", "k1", payment_intent=intent["id"])

    assert error(answer)["type"] == "idempotency_error"
    assert account.charge_of(intent)["amount_refunded"] == 0


def test_a_key_runs_anew_after_24_hours(account: StripeAccountClient) -> None:
    first = made(account.pay("pm_card_visa", "k1"))
    account.wait(hours=23, minutes=59)
    kept = made(account.pay("pm_card_visa", "k1"))
    account.wait(minutes=1)

    anew = made(account.pay("pm_card_visa", "k1"))

    assert kept["id"] == first["id"] != anew["id"]


def test_get_ignores_keys(account: StripeAccountClient) -> None:
    intent = account.paid()
    path = f"/v1/payment_intents/{intent['id']}"
    account.stripe.call("GET", path, {}, "k1")

    answer = account.stripe.call("GET", path, {"expand": ["latest_charge"]}, "k1")

    assert (answer.status, "Idempotent-Replayed" in answer.headers) == (200, False)


def test_a_key_longer_than_255_characters_is_refused(account: StripeAccountClient) -> None:
    assert account.post("payment_intents", "k" * 256, amount=1000, currency="usd").status == 400


def test_calls_tell_the_age_of_their_keys(account: StripeAccountClient) -> None:
    account.pay("pm_card_visa", "k1")
    account.wait(minutes=5)
    account.pay("pm_card_visa", "k1")
    account.get("payment_intents")

    assert [call.key_age for call in account.stripe.calls] == [timedelta(), timedelta(minutes=5), None]
    assert [call.method for call in account.stripe.calls] == ["POST", "POST", "GET"]


def test_events_name_the_request_and_its_key(account: StripeAccountClient) -> None:
    answer = account.pay("pm_card_visa", "k1", automatic_payment_methods=NO_REDIRECTS)

    event = account.stripe.events[0]
    assert event["request"] == {"id": answer.headers["Request-Id"], "idempotency_key": "k1"}
