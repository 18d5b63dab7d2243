"""Refunds (docs.stripe.com/refunds)."""

from typing import Any

import pytest

from booking_payments.sandbox.emulator.refunds import FAILURE_REASONS, TRANSITIONS

from .shop import Shop, error, made


def test_a_card_refund_succeeds_at_once(shop: Shop) -> None:
    intent = shop.paid()
    since = len(shop.types())

    refund = shop.refunded(intent, metadata={"refund_id": "r1"}, reason="requested_by_customer")

    charge = shop.charge_of(intent)
    assert (refund["status"], refund["amount"], refund["metadata"]) == ("succeeded", 1000, {"refund_id": "r1"})
    assert (charge["amount_refunded"], charge["refunded"]) == (1000, True)
    assert shop.read(intent)["status"] == "succeeded"
    assert shop.types(since) == ["refund.created", "charge.refunded"]


def test_several_parts_add_up_to_the_charge_and_no_more(shop: Shop) -> None:
    intent = shop.paid()
    shop.refunded(intent, amount=600)

    over = shop.post("refunds", payment_intent=intent["id"], amount=401)
    rest = shop.refunded(intent)
    again = shop.post("refunds", payment_intent=intent["id"], amount=1)

    assert (over.status, error(over).get("code"), error(over)["param"]) == (400, None, "amount")
    assert rest["amount"] == 400
    assert (again.status, error(again)["code"]) == (400, "charge_already_refunded")


@pytest.mark.parametrize("amount", [0, -5, "1.50"])
def test_a_refund_of_nothing_is_no_number(shop: Shop, amount: Any) -> None:
    answer = shop.post("refunds", payment_intent=shop.paid()["id"], amount=amount)

    assert (answer.status, error(answer)["code"], error(answer)["param"]) == (
        400,
        "parameter_invalid_integer",
        "amount",
    )


def test_a_refund_must_name_what_it_refunds(shop: Shop) -> None:
    answer = shop.post("refunds", amount=100)

    assert (answer.status, error(answer).get("code")) == (400, None)


def test_a_refund_of_an_unknown_charge_is_404(shop: Shop) -> None:
    answer = shop.post("refunds", charge="ch_no")

    assert (answer.status, error(answer)["code"], error(answer)["param"]) == (404, "resource_missing", "id")


def test_an_uncaptured_charge_is_canceled_not_refunded(shop: Shop) -> None:
    answer = shop.post("refunds", payment_intent=shop.paid(capture_method="manual")["id"])

    assert (answer.status, error(answer).get("code")) == (400, None)
    assert "Cancel" in error(answer)["message"]


def test_an_unpaid_intent_has_nothing_to_refund(shop: Shop) -> None:
    assert shop.post("refunds", payment_intent=shop.intent()["id"]).status == 400


def test_a_pending_refund_arrives_later(shop: Shop) -> None:
    intent = shop.paid("pm_card_pendingRefund")
    refund = shop.refunded(intent)
    since = len(shop.types())

    shop.wait(seconds=2)

    assert (refund["status"], refund["pending_reason"]) == ("pending", "processing")
    assert shop.charge_of(intent)["amount_refunded"] == 1000
    assert shop.read(refund)["status"] == "succeeded"
    assert shop.types(since) == ["refund.updated", "charge.refund.updated"]


def test_a_failing_refund_first_succeeds(shop: Shop) -> None:
    intent = shop.paid("pm_card_refundFail")
    refund = shop.refunded(intent)
    since = len(shop.types())

    shop.wait(seconds=2)

    failed = shop.read(refund)
    moved = shop.get(f"balance_transactions/{failed['failure_balance_transaction']}").body
    assert (refund["status"], failed["status"], failed["failure_reason"]) == ("succeeded", "failed", "unknown")
    assert (moved["type"], moved["amount"]) == ("refund_failure", 1000)
    assert shop.types(since) == ["refund.updated", "charge.refund.updated", "refund.failed"]


def test_a_failed_refund_can_be_asked_for_again(shop: Shop) -> None:
    intent = shop.paid("pm_card_refundFail")
    shop.refunded(intent)
    shop.wait(seconds=2)

    assert shop.charge_of(intent)["refunded"] is False
    assert shop.refunded(intent)["amount"] == 1000


def test_a_refund_in_the_dashboard_carries_nothing_of_ours(shop: Shop) -> None:
    intent = shop.paid(metadata={"booking_id": "b1"})

    refund = made(shop.stripe.refund_in_dashboard(intent["id"], 300))

    assert (refund["amount"], refund["metadata"]) == (300, {})
    assert shop.stripe.events[-1]["request"]["idempotency_key"] is None


def test_only_metadata_of_a_refund_changes(shop: Shop) -> None:
    refund = shop.refunded(shop.paid(), metadata={"a": "1", "b": "2"})

    changed = made(shop.post(f"refunds/{refund['id']}", metadata={"a": "", "c": "3"}))
    refused = shop.post(f"refunds/{refund['id']}", amount=1)

    assert changed["metadata"] == {"b": "2", "c": "3"}
    assert error(refused)["code"] == "parameter_unknown"
    assert shop.stripe.events[-1]["data"]["previous_attributes"] == {"metadata": {"a": "1", "b": "2"}}


def test_a_card_refund_cannot_be_canceled(shop: Shop) -> None:
    answer = shop.post(f"refunds/{shop.refunded(shop.paid())['id']}/cancel")

    assert "unsupported" in error(answer)["message"]


def test_a_refund_that_waits_for_the_customer_can_be_canceled(shop: Shop) -> None:
    intent = shop.paid("pm_card_pendingRefund")
    refund = shop.refunded(intent)
    shop.stripe.move_refund(refund["id"], "requires_action")

    canceled = made(shop.post(f"refunds/{refund['id']}/cancel"))

    assert (canceled["status"], canceled["failure_reason"]) == ("canceled", "merchant_request")
    assert shop.charge_of(intent)["amount_refunded"] == 0


@pytest.mark.parametrize("to", TRANSITIONS)
def test_the_bank_moves_a_sent_refund_only_to_failed(shop: Shop, to: str) -> None:
    refund = shop.refunded(shop.paid())

    assert shop.stripe.move_refund(refund["id"], to, "declined").ok == (to == "failed")


@pytest.mark.parametrize("reason", sorted(FAILURE_REASONS))
def test_a_refund_that_succeeded_fails_later_and_its_amount_is_refundable_again(shop: Shop, reason: str) -> None:
    intent = shop.paid()
    refund = shop.refunded(intent, amount=600)
    shop.wait(days=8)
    since = len(shop.types())

    failed = made(shop.stripe.fail_refund(refund["id"], reason))

    charge = shop.charge_of(intent)
    assert (failed["status"], failed["failure_reason"]) == ("failed", reason)
    assert (charge["amount_refunded"], charge["refunded"]) == (0, False)
    assert shop.types(since) == ["refund.updated", "charge.refund.updated", "refund.failed"]
    assert shop.stripe.events[-1]["data"]["object"]["failure_reason"] == reason
    assert shop.refunded(intent)["amount"] == 1000
    assert error(shop.stripe.fail_refund(refund["id"]))["param"] == "status"


def test_an_unknown_failure_reason_is_refused(shop: Shop) -> None:
    refund = shop.refunded(shop.paid())

    answer = shop.stripe.fail_refund(refund["id"], "boredom")

    assert (answer.status, error(answer)["param"]) == (400, "failure_reason")
    assert shop.read(refund)["status"] == "succeeded"


def test_a_pending_refund_may_go_every_way_of_stripes(shop: Shop) -> None:
    refund = shop.refunded(shop.paid("pm_card_pendingRefund"))

    seen = [
        made(shop.stripe.move_refund(refund["id"], status))["status"]
        for status in ("requires_action", "pending", "succeeded", "failed")
    ]

    assert seen == ["requires_action", "pending", "succeeded", "failed"]


# --- a released authorization that is listed as a refund, as before 2025-03-31.basil


def captured(shop: Shop, amount: int) -> dict[str, Any]:
    intent = shop.paid(capture_method="manual", amount=2000)
    return made(shop.post(f"payment_intents/{intent['id']}/capture", amount_to_capture=amount))


def listed(shop: Shop, intent: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shop.get("refunds", payment_intent=intent["id"]).body["data"]
    return found


def test_a_release_is_no_refund(shop: Shop) -> None:
    assert listed(shop, captured(shop, 1500)) == []


@pytest.mark.parametrize(("setting", "reason"), [(True, None), ("expired_uncaptured_charge",) * 2])
def test_a_release_may_be_listed_as_a_refund(shop: Shop, setting: Any, reason: str | None) -> None:
    shop.stripe.set_release_as_refund(setting)

    intent = captured(shop, 1500)

    (refund,) = listed(shop, intent)
    assert (refund["amount"], refund["reason"], refund["status"]) == (500, reason, "succeeded")
    assert (refund["metadata"], refund["balance_transaction"]) == ({}, None)
    assert [each["amount"] for each in shop.get("balance_transactions").body["data"]] == [1500]
    assert shop.types()[-4:] == ["charge.captured", "refund.created", "charge.refunded", "payment_intent.succeeded"]


def test_a_release_lowers_nothing_that_can_be_refunded(shop: Shop) -> None:
    shop.stripe.set_release_as_refund()
    intent = captured(shop, 1500)

    over = shop.post("refunds", payment_intent=intent["id"], amount=1501)
    part, rest = shop.refunded(intent, amount=400), shop.refunded(intent)
    charge = shop.charge_of(intent)

    assert (over.status, part["amount"], rest["amount"]) == (400, 400, 1100)
    assert (charge["amount_refunded"], charge["refunded"]) == (2000, True)


def test_a_release_does_not_fail(shop: Shop) -> None:
    shop.stripe.set_release_as_refund()
    (refund,) = listed(shop, captured(shop, 1500))

    assert shop.stripe.fail_refund(refund["id"]).status == 400


def test_a_full_capture_releases_nothing(shop: Shop) -> None:
    shop.stripe.set_release_as_refund()

    assert listed(shop, captured(shop, 2000)) == []


def test_an_authorization_that_ends_uncaptured_is_listed_with_its_reason(shop: Shop) -> None:
    shop.stripe.set_release_as_refund()
    canceled, expired = (shop.paid(capture_method="manual") for _ in range(2))

    made(shop.post(f"payment_intents/{canceled['id']}/cancel"))
    shop.wait(days=7)

    assert [(each["amount"], each["reason"]) for each in listed(shop, canceled)] == [(1000, None)]
    assert [(each["amount"], each["reason"]) for each in listed(shop, expired)] == [(1000, "expired_uncaptured_charge")]


def test_refunds_are_listed_by_payment(shop: Shop) -> None:
    intent, other = shop.paid(), shop.paid()
    wanted = shop.refunded(intent)
    shop.refunded(other)

    assert [each["id"] for each in shop.get("refunds", payment_intent=intent["id"]).body["data"]] == [wanted["id"]]


def test_the_balance_adds_up(shop: Shop) -> None:
    intent = shop.paid()
    shop.refunded(intent, amount=300)

    moves = shop.get("balance_transactions").body["data"]

    assert [(each["type"], each["net"], each["fee"]) for each in moves] == [("refund", -300, 0), ("charge", 941, 59)]


def test_a_bank_debit_is_refunded_later(shop: Shop) -> None:
    intent = shop.paid("pm_usBankAccount_success")
    shop.wait(seconds=2)

    refund = shop.refunded(intent)
    shop.wait(seconds=2)

    assert (refund["status"], shop.read(refund)["status"]) == ("pending", "succeeded")
