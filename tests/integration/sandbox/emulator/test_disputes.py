"""Disputes and inquiries (docs.stripe.com/disputes, docs.stripe.com/testing#disputes)."""

from typing import Any

import pytest

from .stripe_account import StripeAccountClient, error, made


def disputed(
    account: StripeAccountClient, card: str = "pm_card_createDispute"
) -> tuple[dict[str, Any], dict[str, Any]]:
    intent = account.paid(card)
    return intent, account.dispute_of(intent)


def argue(account: StripeAccountClient, dispute: dict[str, Any], text: str) -> dict[str, Any]:
    return made(account.post(f"disputes/{dispute['id']}", evidence={"uncategorized_text": text}))


def test_a_dispute_can_precede_the_success_of_its_payment(account: StripeAccountClient) -> None:
    disputed(account)

    assert account.types() == [
        "payment_intent.created",
        "charge.succeeded",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "payment_intent.succeeded",
    ]


@pytest.mark.parametrize(
    ("card", "status", "reason"),
    [
        ("pm_card_createDispute", "needs_response", "fraudulent"),
        ("pm_card_createDisputeProductNotReceived", "needs_response", "product_not_received"),
        ("pm_card_createDisputeInquiry", "warning_needs_response", "fraudulent"),
    ],
)
def test_a_dispute_card_opens_its_dispute(account: StripeAccountClient, card: str, status: str, reason: str) -> None:
    intent, dispute = disputed(account, card)

    assert (dispute["status"], dispute["reason"], dispute["amount"]) == (status, reason, 1000)
    assert (account.charge_of(intent)["disputed"], account.read(intent)["status"]) == (True, "succeeded")


def test_one_charge_may_have_several_disputes(account: StripeAccountClient) -> None:
    intent, _ = disputed(account, "pm_card_createMultipleDisputes")

    assert len(account.get("disputes", payment_intent=intent["id"]).body["data"]) == 2


def test_a_held_payment_is_disputed_when_it_is_captured(account: StripeAccountClient) -> None:
    intent = account.paid("pm_card_createDispute", capture_method="manual")

    account.post(f"payment_intents/{intent['id']}/capture", amount_to_capture=400)

    assert account.dispute_of(intent)["amount"] == 400
    assert account.types()[-4:] == [
        "charge.captured",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "payment_intent.succeeded",
    ]


def test_a_disputed_charge_cannot_be_refunded(account: StripeAccountClient) -> None:
    intent, dispute = disputed(account)

    answer = account.post("refunds", payment_intent=intent["id"])

    assert (error(answer)["code"], dispute["is_charge_refundable"]) == ("charge_disputed", False)


def test_winning_evidence_wins(account: StripeAccountClient) -> None:
    intent, dispute = disputed(account)
    since = len(account.types())

    sent = argue(account, dispute, "winning_evidence")
    account.wait(seconds=2)

    won = account.read(dispute)
    assert (sent["status"], won["status"], won["is_charge_refundable"]) == ("under_review", "won", True)
    assert sum(move["net"] for move in won["balance_transactions"]) == 0
    assert account.charge_of(intent)["disputed"] is True
    assert account.types(since) == [
        "charge.dispute.updated",
        "charge.updated",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
        "charge.updated",
    ]


def test_losing_evidence_loses(account: StripeAccountClient) -> None:
    _, dispute = disputed(account)

    argue(account, dispute, "losing_evidence")
    account.wait(seconds=2)

    lost = account.read(dispute)
    assert (lost["status"], lost["is_charge_refundable"]) == ("lost", False)
    assert [(move["amount"], move["fee"], move["net"]) for move in lost["balance_transactions"]] == [
        (-1000, 1500, -2500)
    ]


def test_other_evidence_stays_under_review(account: StripeAccountClient) -> None:
    _, dispute = disputed(account)

    argue(account, dispute, "the guest was there")
    account.wait(days=1)

    assert account.read(dispute)["status"] == "under_review"


def test_evidence_can_be_kept_back(account: StripeAccountClient) -> None:
    _, dispute = disputed(account)

    draft = made(account.post(f"disputes/{dispute['id']}", evidence={"uncategorized_text": "draft"}, submit="false"))

    assert (draft["status"], draft["evidence_details"]["submission_count"]) == ("needs_response", 0)


def test_closing_a_dispute_accepts_it(account: StripeAccountClient) -> None:
    _, dispute = disputed(account)

    closed = made(account.post(f"disputes/{dispute['id']}/close"))

    assert closed["status"] == "lost"
    assert account.types()[-2:] == ["charge.dispute.closed", "charge.updated"]
    assert account.post(f"disputes/{dispute['id']}/close").status == 400
    assert account.post(f"disputes/{dispute['id']}", evidence={"uncategorized_text": "late"}).status == 400


def test_an_unanswered_dispute_is_lost_at_its_deadline(account: StripeAccountClient) -> None:
    _, dispute = disputed(account)

    account.wait(seconds=dispute["evidence_details"]["due_by"] - dispute["created"])

    assert account.read(dispute)["status"] == "lost"


def test_an_inquiry_moves_no_money_and_ends_when_answered(account: StripeAccountClient) -> None:
    _, dispute = disputed(account, "pm_card_createDisputeInquiry")

    sent = argue(account, dispute, "winning_evidence")
    account.wait(seconds=2)

    assert sent["status"] == "warning_under_review"
    assert account.read(dispute)["status"] == "warning_closed"
    assert account.read(dispute)["balance_transactions"] == []


def test_a_full_refund_ends_an_inquiry(account: StripeAccountClient) -> None:
    intent, dispute = disputed(account, "pm_card_createDisputeInquiry")

    account.refunded(intent)
    account.wait(seconds=2)

    assert account.read(dispute)["status"] == "warning_closed"


def test_an_escalated_inquiry_withdraws_the_money(account: StripeAccountClient) -> None:
    _, dispute = disputed(account, "pm_card_createDisputeInquiry")
    argue(account, dispute, "escalate_inquiry_evidence")

    account.wait(seconds=2)

    after = account.read(dispute)
    assert (after["status"], after["is_charge_refundable"]) == ("needs_response", False)
    assert after["payment_method_details"]["card"]["case_type"] == "chargeback"
    assert account.types()[-1] == "charge.dispute.funds_withdrawn"


def test_a_refund_made_during_an_inquiry_fails_when_it_escalates(account: StripeAccountClient) -> None:
    intent, dispute = disputed(account, "pm_card_createDisputeInquiry")
    refund = account.refunded(intent, amount=400)
    argue(account, dispute, "escalate_inquiry_evidence")

    account.wait(seconds=2)

    after = account.read(refund)
    assert (after["status"], after["failure_reason"]) == ("failed", "charge_for_pending_refund_disputed")


def test_the_bank_may_dispute_any_captured_charge(account: StripeAccountClient) -> None:
    paid, held = account.paid(), account.paid(capture_method="manual")

    opened = account.stripe.open_dispute(paid["id"], "duplicate", inquiry=True)

    assert (made(opened)["status"], opened.body["reason"]) == ("warning_needs_response", "duplicate")
    assert account.stripe.open_dispute(held["id"], "duplicate").status == 400
    assert account.stripe.open_dispute(paid["id"], "boredom").status == 400
