"""Idempotency keys (docs.stripe.com/api/idempotent_requests)."""

from datetime import timedelta

import pytest

from .shop import NO_REDIRECTS, Shop, error, made


def test_the_same_key_answers_the_same_without_a_second_effect(shop: Shop) -> None:
    first = shop.pay("pm_card_visa", "k1")
    again = shop.pay("pm_card_visa", "k1")

    assert again.body == first.body
    assert len(shop.get("payment_intents").body["data"]) == 1


def test_a_replay_is_marked_and_has_its_own_request_id(shop: Shop) -> None:
    first = shop.pay("pm_card_visa", "k1")
    again = shop.pay("pm_card_visa", "k1")

    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert again.headers["Request-Id"] != first.headers["Request-Id"]


def test_a_replay_is_a_snapshot_and_may_be_stale(shop: Shop) -> None:
    intent = made(shop.post("payment_intents", "k1", amount=1000, currency="usd"))
    shop.post(f"payment_intents/{intent['id']}/cancel")

    again = shop.post("payment_intents", "k1", amount=1000, currency="usd")

    assert again.body["status"] == "requires_payment_method"


def test_numbers_and_text_are_the_same_parameters(shop: Shop) -> None:
    shop.post("payment_intents", "k1", amount=1000, currency="usd", automatic_payment_methods={"enabled": True})

    again = shop.post(
        "payment_intents", "k1", amount="1000", currency="usd", automatic_payment_methods={"enabled": "true"}
    )

    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_decline_is_saved(shop: Shop) -> None:
    first = shop.pay("pm_card_chargeDeclined", "k1")
    again = shop.pay("pm_card_chargeDeclined", "k1")

    assert (again.status, again.body) == (402, first.body)
    assert shop.types().count("charge.failed") == 1


def test_a_refusal_during_execution_is_saved(shop: Shop) -> None:
    intent = shop.paid()
    shop.post(f"payment_intents/{intent['id']}/capture", "k1")

    again = shop.post(f"payment_intents/{intent['id']}/capture", "k1")

    assert (again.status, again.headers["Idempotent-Replayed"]) == (400, "true")


def test_a_validation_failure_is_not_saved(shop: Shop) -> None:
    refused = shop.post("payment_intents", "k1", amount="ten", currency="usd")

    corrected = shop.post("payment_intents", "k1", amount=1000, currency="usd")

    assert (refused.status, corrected.status) == (400, 200)


@pytest.mark.parametrize("fault", ["409", "429_limit", "429_lock", "503"])
def test_an_answer_from_before_execution_is_not_saved(shop: Shop, fault: str) -> None:
    shop.stripe.faults.script("POST /v1/payment_intents", fault)

    refused, again = shop.pay("pm_card_visa", "k1"), shop.pay("pm_card_visa", "k1")

    assert (refused.status, again.status) == (int(fault[:3]), 200)
    assert "Idempotent-Replayed" not in again.headers


def test_a_500_after_the_work_is_saved(shop: Shop) -> None:
    shop.stripe.faults.script("POST /v1/payment_intents", "500_after")

    lost, again = shop.pay("pm_card_visa", "k1"), shop.pay("pm_card_visa", "k1")

    assert (lost.status, again.status, again.headers["Idempotent-Replayed"]) == (500, 500, "true")
    assert shop.get("payment_intents").body["data"][0]["status"] == "succeeded"


def test_a_500_before_the_work_is_saved_and_nothing_happens(shop: Shop) -> None:
    intent = shop.paid()
    shop.stripe.faults.script("POST /v1/refunds", "500_before")

    lost, again = (shop.post("refunds", "k1", payment_intent=intent["id"]) for _ in range(2))

    assert (lost.status, again.status, again.body["error"]) == (500, 500, lost.body["error"])
    assert ("Idempotent-Replayed" in lost.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert shop.charge_of(intent)["amount_refunded"] == 0
    shop.wait(hours=24)
    assert shop.post("refunds", "k1", payment_intent=intent["id"]).status == 200


def test_a_request_may_be_completed_long_after_its_500(shop: Shop) -> None:
    shop.stripe.faults.script("POST /v1/payment_intents", "500_later", delay=timedelta(hours=1))
    lost = shop.pay("pm_card_visa", "k1")
    shop.wait(minutes=59, seconds=59)
    before = shop.get("payment_intents").body["data"]

    shop.wait(seconds=1)

    after = shop.get("payment_intents").body["data"]
    assert (lost.status, before, [each["status"] for each in after]) == (500, [], ["succeeded"])
    assert (shop.pay("pm_card_visa", "k1").status, len(shop.get("payment_intents").body["data"])) == (500, 1)


def test_what_can_not_be_completed_any_more_is_left(shop: Shop) -> None:
    intent = shop.paid()
    shop.stripe.faults.script("POST /v1/refunds", "500_later", delay=timedelta(hours=1))
    shop.post("refunds", "k1", payment_intent=intent["id"])
    whole = shop.post("refunds", "k2", payment_intent=intent["id"]).status

    shop.wait(hours=1)

    assert (whole, len(shop.get("refunds").body["data"])) == (200, 1)


@pytest.mark.parametrize("fault", ["500_before", "500_after", "500_later"])
def test_a_saved_answer_is_replayed_before_anything_breaks_down(shop: Shop, fault: str) -> None:
    first = shop.pay("pm_card_visa", "k1")
    shop.stripe.faults.script("POST /v1/payment_intents", fault)

    again = shop.pay("pm_card_visa", "k1")

    assert (again.status, again.body) == (200, first.body)


def test_a_500_without_a_key_is_not_saved(shop: Shop) -> None:
    shop.stripe.faults.script("POST /v1/payment_intents", "500_before")

    assert [shop.pay().status for _ in range(2)] == [500, 200]


def test_other_parameters_under_the_same_key_are_refused(shop: Shop) -> None:
    shop.post("payment_intents", "k1", amount=1000, currency="usd")

    answer = shop.post("payment_intents", "k1", amount=1001, currency="usd")

    told = error(answer)
    assert (answer.status, told["type"]) == (400, "idempotency_error")
    assert not {"code", "param"} & set(told)
    assert len(shop.get("payment_intents").body["data"]) == 1


def test_another_endpoint_under_the_same_key_is_refused(shop: Shop) -> None:
    intent = made(shop.pay("pm_card_visa", "k1"))

    answer = shop.post("refunds", "k1", payment_intent=intent["id"])

    assert error(answer)["type"] == "idempotency_error"
    assert shop.charge_of(intent)["amount_refunded"] == 0


def test_a_key_runs_anew_after_24_hours(shop: Shop) -> None:
    first = made(shop.pay("pm_card_visa", "k1"))
    shop.wait(hours=23, minutes=59)
    kept = made(shop.pay("pm_card_visa", "k1"))
    shop.wait(minutes=1)

    anew = made(shop.pay("pm_card_visa", "k1"))

    assert kept["id"] == first["id"] != anew["id"]


def test_get_ignores_keys(shop: Shop) -> None:
    intent = shop.paid()
    path = f"/v1/payment_intents/{intent['id']}"
    shop.stripe.call("GET", path, {}, "k1")

    answer = shop.stripe.call("GET", path, {"expand": ["latest_charge"]}, "k1")

    assert (answer.status, "Idempotent-Replayed" in answer.headers) == (200, False)


def test_a_key_longer_than_255_characters_is_refused(shop: Shop) -> None:
    assert shop.post("payment_intents", "k" * 256, amount=1000, currency="usd").status == 400


def test_calls_tell_the_age_of_their_keys(shop: Shop) -> None:
    shop.pay("pm_card_visa", "k1")
    shop.wait(minutes=5)
    shop.pay("pm_card_visa", "k1")
    shop.get("payment_intents")

    assert [call.key_age for call in shop.stripe.calls] == [timedelta(), timedelta(minutes=5), None]
    assert [call.method for call in shop.stripe.calls] == ["POST", "POST", "GET"]


def test_events_name_the_request_and_its_key(shop: Shop) -> None:
    answer = shop.pay("pm_card_visa", "k1", automatic_payment_methods=NO_REDIRECTS)

    event = shop.stripe.events[0]
    assert event["request"] == {"id": answer.headers["Request-Id"], "idempotency_key": "k1"}
