"""Refunds (docs.stripe.com/refunds)."""

from typing import Any

import pytest

from booking_payments.sandbox.emulator.refunds import FAILURE_REASONS, TRANSITIONS

from .stripe_account import StripeAccountClient, error, made


def test_a_card_refund_succeeds_at_once(account: StripeAccountClient) -> None:
    intent = account.paid()
    since = len(account.types())

    refund = account.refunded(intent, metadata={"refund_id": "r1"}, reason="requested_by_customer")

    charge = account.charge_of(intent)
    assert (refund["status"], refund["amount"], refund["metadata"]) == ("succeeded", 1000, {"refund_id": "r1"})
    assert (charge["amount_refunded"], charge["refunded"]) == (1000, True)
    assert account.read(intent)["status"] == "succeeded"
    assert account.types(since) == ["refund.created", "charge.refunded"]


def test_several_parts_add_up_to_the_charge_and_no_more(account: StripeAccountClient) -> None:
    intent = account.paid()
    account.refunded(intent, amount=600)

    over = account.post("refunds", payment_intent=intent["id"], amount=401)
    rest = account.refunded(intent)
    again = account.post("refunds", payment_intent=intent["id"], amount=1)

    assert (over.status, error(over).get("code"), error(over)["param"]) == (400, None, "amount")
    assert rest["amount"] == 400
    assert (again.status, error(again)["code"]) == (400, "charge_already_refunded")


@pytest.mark.parametrize("amount", [0, -5, "1.50"])
def test_a_refund_of_nothing_is_no_number(account: StripeAccountClient, amount: Any) -> None:
    answer = account.post("refunds", payment_intent=account.paid()["id"], amount=amount)

    assert (answer.status, error(answer)["code"], error(answer)["param"]) == (
        400,
        "parameter_invalid_integer",
        "amount",
    )


def test_a_refund_must_name_its_charge(account: StripeAccountClient) -> None:
    answer = account.post("refunds", amount=100)

    assert (answer.status, error(answer).get("code")) == (400, None)


def test_a_refund_of_an_unknown_charge_is_404(account: StripeAccountClient) -> None:
    answer = account.post("refunds", charge="ch_no")

    assert (answer.status, error(answer)["code"], error(answer)["param"]) == (404, "resource_missing", "id")


def test_an_uncaptured_charge_is_canceled_not_refunded(account: StripeAccountClient) -> None:
    answer = account.post("refunds", payment_intent=account.paid(capture_method="manual")["id"])

    assert (answer.status, error(answer).get("code")) == (400, None)
    assert "Cancel" in error(answer)["message"]


def test_an_unpaid_intent_has_nothing_to_refund(account: StripeAccountClient) -> None:
    assert account.post("refunds", payment_intent=account.intent()["id"]).status == 400


def test_a_pending_refund_arrives_later(account: StripeAccountClient) -> None:
    intent = account.paid("pm_card_pendingRefund")
    refund = account.refunded(intent)
    since = len(account.types())

    account.wait(seconds=2)

    assert (refund["status"], refund["pending_reason"]) == ("pending", "processing")
    assert account.charge_of(intent)["amount_refunded"] == 1000
    assert account.read(refund)["status"] == "succeeded"
    assert account.types(since) == ["refund.updated", "charge.refund.updated"]


def test_a_failing_refund_first_succeeds(account: StripeAccountClient) -> None:
    intent = account.paid("pm_card_refundFail")
    refund = account.refunded(intent)
    since = len(account.types())

    account.wait(seconds=2)

    failed = account.read(refund)
    moved = account.get(f"balance_transactions/{failed['failure_balance_transaction']}").body
    assert (refund["status"], failed["status"], failed["failure_reason"]) == ("succeeded", "failed", "unknown")
    assert (moved["type"], moved["amount"]) == ("refund_failure", 1000)
    assert account.types(since) == ["refund.updated", "charge.refund.updated", "refund.failed"]


def test_a_failed_refund_can_be_asked_for_again(account: StripeAccountClient) -> None:
    intent = account.paid("pm_card_refundFail")
    account.refunded(intent)
    account.wait(seconds=2)

    assert account.charge_of(intent)["refunded"] is False
    assert account.refunded(intent)["amount"] == 1000


def test_a_refund_in_the_dashboard_has_no_metadata(account: StripeAccountClient) -> None:
    intent = account.paid(metadata={"booking_id": "b1"})

    refund = made(account.stripe.refund_in_dashboard(intent["id"], 300))

    assert (refund["amount"], refund["metadata"]) == (300, {})
    assert account.stripe.events[-1]["request"]["idempotency_key"] is None


def test_only_metadata_of_a_refund_changes(account: StripeAccountClient) -> None:
    refund = account.refunded(account.paid(), metadata={"a": "1", "b": "2"})

    changed = made(account.post(f"refunds/{refund['id']}", metadata={"a": "", "c": "3"}))
    refused = account.post(f"refunds/{refund['id']}", amount=1)

    assert changed["metadata"] == {"b": "2", "c": "3"}
    assert error(refused)["code"] == "parameter_unknown"
    assert account.stripe.events[-1]["data"]["previous_attributes"] == {"metadata": {"a": "1", "b": "2"}}


def test_a_card_refund_cannot_be_canceled(account: StripeAccountClient) -> None:
    answer = account.post(f"refunds/{account.refunded(account.paid())['id']}/cancel")

    assert "unsupported" in error(answer)["message"]


def test_a_refund_that_waits_for_the_customer_can_be_canceled(account: StripeAccountClient) -> None:
    intent = account.paid("pm_card_pendingRefund")
    refund = account.refunded(intent)
    account.stripe.move_refund(refund["id"], "requires_action")

    canceled = made(account.post(f"refunds/{refund['id']}/cancel"))

    assert (canceled["status"], canceled["failure_reason"]) == ("canceled", "merchant_request")
    assert account.charge_of(intent)["amount_refunded"] == 0


@pytest.mark.parametrize("to", TRANSITIONS)
def test_the_bank_moves_a_sent_refund_only_to_failed(account: StripeAccountClient, to: str) -> None:
    refund = account.refunded(account.paid())

    assert account.stripe.move_refund(refund["id"], to, "declined").ok == (to == "failed")


@pytest.mark.parametrize("reason", sorted(FAILURE_REASONS))
def test_a_refund_that_succeeded_fails_later_and_its_amount_is_refundable_again(
    account: StripeAccountClient, reason: str
) -> None:
    intent = account.paid()
    refund = account.refunded(intent, amount=600)
    account.wait(days=8)
    since = len(account.types())

    failed = made(account.stripe.fail_refund(refund["id"], reason))

    charge = account.charge_of(intent)
    assert (failed["status"], failed["failure_reason"]) == ("failed", reason)
    assert (charge["amount_refunded"], charge["refunded"]) == (0, False)
    assert account.types(since) == ["refund.updated", "charge.refund.updated", "refund.failed"]
    assert account.stripe.events[-1]["data"]["object"]["failure_reason"] == reason
    assert account.refunded(intent)["amount"] == 1000
    assert error(account.stripe.fail_refund(refund["id"]))["param"] == "status"


def test_an_unknown_failure_reason_is_refused(account: StripeAccountClient) -> None:
    refund = account.refunded(account.paid())

    answer = account.stripe.fail_refund(refund["id"], "boredom")

    assert (answer.status, error(answer)["param"]) == (400, "failure_reason")
    assert account.read(refund)["status"] == "succeeded"


def test_a_pending_refund_may_go_every_way_of_stripes(account: StripeAccountClient) -> None:
    refund = account.refunded(account.paid("pm_card_pendingRefund"))

    seen = [
        made(account.stripe.move_refund(refund["id"], status))["status"]
        for status in ("requires_action", "pending", "succeeded", "failed")
    ]

    assert seen == ["requires_action", "pending", "succeeded", "failed"]


# --- a released authorization that is listed as a refund, as before 2025-03-31.basil


def captured(account: StripeAccountClient, amount: int) -> dict[str, Any]:
    intent = account.paid(capture_method="manual", amount=2000)
    return made(account.post(f"payment_intents/{intent['id']}/capture", amount_to_capture=amount))


def listed(account: StripeAccountClient, intent: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = account.get("refunds", payment_intent=intent["id"]).body["data"]
    return found


def test_a_release_is_no_refund(account: StripeAccountClient) -> None:
    assert listed(account, captured(account, 1500)) == []


@pytest.mark.parametrize(("setting", "reason"), [(True, None), ("expired_uncaptured_charge",) * 2])
def test_a_release_may_be_listed_as_a_refund(account: StripeAccountClient, setting: Any, reason: str | None) -> None:
    account.stripe.set_release_as_refund(setting)

    intent = captured(account, 1500)

    (refund,) = listed(account, intent)
    assert (refund["amount"], refund["reason"], refund["status"]) == (500, reason, "succeeded")
    assert (refund["metadata"], refund["balance_transaction"]) == ({}, None)
    assert [each["amount"] for each in account.get("balance_transactions").body["data"]] == [1500]
    assert account.types()[-4:] == ["charge.captured", "refund.created", "charge.refunded", "payment_intent.succeeded"]


def test_a_release_lowers_nothing_that_can_be_refunded(account: StripeAccountClient) -> None:
    account.stripe.set_release_as_refund()
    intent = captured(account, 1500)

    over = account.post("refunds", payment_intent=intent["id"], amount=1501)
    part, rest = account.refunded(intent, amount=400), account.refunded(intent)
    charge = account.charge_of(intent)

    assert (over.status, part["amount"], rest["amount"]) == (400, 400, 1100)
    assert (charge["amount_refunded"], charge["refunded"]) == (2000, True)


def test_a_release_does_not_fail(account: StripeAccountClient) -> None:
    account.stripe.set_release_as_refund()
    (refund,) = listed(account, captured(account, 1500))

    assert account.stripe.fail_refund(refund["id"]).status == 400


def test_a_full_capture_releases_nothing(account: StripeAccountClient) -> None:
    account.stripe.set_release_as_refund()

    assert listed(account, captured(account, 2000)) == []


def test_an_authorization_that_ends_uncaptured_is_listed_with_its_reason(account: StripeAccountClient) -> None:
    account.stripe.set_release_as_refund()
    canceled, expired = (account.paid(capture_method="manual") for _ in range(2))

    made(account.post(f"payment_intents/{canceled['id']}/cancel"))
    account.wait(days=7)

    assert [(each["amount"], each["reason"]) for each in listed(account, canceled)] == [(1000, None)]
    assert [(each["amount"], each["reason"]) for each in listed(account, expired)] == [
        (1000, "expired_uncaptured_charge")
    ]


def test_refunds_are_listed_by_payment(account: StripeAccountClient) -> None:
    intent, other = account.paid(), account.paid()
    wanted = account.refunded(intent)
    account.refunded(other)

    assert [each["id"] for each in account.get("refunds", payment_intent=intent["id"]).body["data"]] == [wanted["id"]]


def test_the_balance_adds_up(account: StripeAccountClient) -> None:
    intent = account.paid()
    account.refunded(intent, amount=300)

    moves = account.get("balance_transactions").body["data"]

    assert [(each["type"], each["net"], each["fee"]) for each in moves] == [("refund", -300, 0), ("charge", 941, 59)]


def test_a_bank_debit_is_refunded_later(account: StripeAccountClient) -> None:
    intent = account.paid("pm_usBankAccount_success")
    account.wait(seconds=2)

    refund = account.refunded(intent)
    account.wait(seconds=2)

    assert (refund["status"], account.read(refund)["status"]) == ("pending", "succeeded")
