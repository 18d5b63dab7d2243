"""Disputes and inquiries (docs.stripe.com/disputes, docs.stripe.com/testing#disputes)."""

from typing import Any

import pytest

from .shop import Shop, error, made


def disputed(shop: Shop, card: str = "pm_card_createDispute") -> tuple[dict[str, Any], dict[str, Any]]:
    intent = shop.paid(card)
    return intent, shop.dispute_of(intent)


def argue(shop: Shop, dispute: dict[str, Any], text: str) -> dict[str, Any]:
    return made(shop.post(f"disputes/{dispute['id']}", evidence={"uncategorized_text": text}))


def test_a_dispute_can_precede_the_success_of_its_payment(shop: Shop) -> None:
    disputed(shop)

    assert shop.types() == [
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
def test_a_dispute_card_opens_its_dispute(shop: Shop, card: str, status: str, reason: str) -> None:
    intent, dispute = disputed(shop, card)

    assert (dispute["status"], dispute["reason"], dispute["amount"]) == (status, reason, 1000)
    assert (shop.charge_of(intent)["disputed"], shop.read(intent)["status"]) == (True, "succeeded")


def test_one_charge_may_have_several_disputes(shop: Shop) -> None:
    intent, _ = disputed(shop, "pm_card_createMultipleDisputes")

    assert len(shop.get("disputes", payment_intent=intent["id"]).body["data"]) == 2


def test_a_held_payment_is_disputed_when_it_is_captured(shop: Shop) -> None:
    intent = shop.paid("pm_card_createDispute", capture_method="manual")

    shop.post(f"payment_intents/{intent['id']}/capture", amount_to_capture=400)

    assert shop.dispute_of(intent)["amount"] == 400
    assert shop.types()[-4:] == [
        "charge.captured",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "payment_intent.succeeded",
    ]


def test_a_disputed_charge_cannot_be_refunded(shop: Shop) -> None:
    intent, dispute = disputed(shop)

    answer = shop.post("refunds", payment_intent=intent["id"])

    assert (error(answer)["code"], dispute["is_charge_refundable"]) == ("charge_disputed", False)


def test_winning_evidence_wins(shop: Shop) -> None:
    intent, dispute = disputed(shop)
    since = len(shop.types())

    sent = argue(shop, dispute, "winning_evidence")
    shop.wait(seconds=2)

    won = shop.read(dispute)
    assert (sent["status"], won["status"], won["is_charge_refundable"]) == ("under_review", "won", True)
    assert sum(move["net"] for move in won["balance_transactions"]) == 0
    assert shop.charge_of(intent)["disputed"] is True
    assert shop.types(since) == [
        "charge.dispute.updated",
        "charge.updated",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
        "charge.updated",
    ]


def test_losing_evidence_loses(shop: Shop) -> None:
    _, dispute = disputed(shop)

    argue(shop, dispute, "losing_evidence")
    shop.wait(seconds=2)

    lost = shop.read(dispute)
    assert (lost["status"], lost["is_charge_refundable"]) == ("lost", False)
    assert [(move["amount"], move["fee"], move["net"]) for move in lost["balance_transactions"]] == [
        (-1000, 1500, -2500)
    ]


def test_other_evidence_stays_under_review(shop: Shop) -> None:
    _, dispute = disputed(shop)

    argue(shop, dispute, "the guest was there")
    shop.wait(days=1)

    assert shop.read(dispute)["status"] == "under_review"


def test_evidence_can_be_kept_back(shop: Shop) -> None:
    _, dispute = disputed(shop)

    draft = made(shop.post(f"disputes/{dispute['id']}", evidence={"uncategorized_text": "draft"}, submit="false"))

    assert (draft["status"], draft["evidence_details"]["submission_count"]) == ("needs_response", 0)


def test_closing_a_dispute_accepts_it(shop: Shop) -> None:
    _, dispute = disputed(shop)

    closed = made(shop.post(f"disputes/{dispute['id']}/close"))

    assert closed["status"] == "lost"
    assert shop.types()[-2:] == ["charge.dispute.closed", "charge.updated"]
    assert shop.post(f"disputes/{dispute['id']}/close").status == 400
    assert shop.post(f"disputes/{dispute['id']}", evidence={"uncategorized_text": "late"}).status == 400


def test_an_unanswered_dispute_is_lost_at_its_deadline(shop: Shop) -> None:
    _, dispute = disputed(shop)

    shop.wait(seconds=dispute["evidence_details"]["due_by"] - dispute["created"])

    assert shop.read(dispute)["status"] == "lost"


def test_an_inquiry_moves_no_money_and_ends_when_answered(shop: Shop) -> None:
    _, dispute = disputed(shop, "pm_card_createDisputeInquiry")

    sent = argue(shop, dispute, "winning_evidence")
    shop.wait(seconds=2)

    assert sent["status"] == "warning_under_review"
    assert shop.read(dispute)["status"] == "warning_closed"
    assert shop.read(dispute)["balance_transactions"] == []


def test_a_full_refund_ends_an_inquiry(shop: Shop) -> None:
    intent, dispute = disputed(shop, "pm_card_createDisputeInquiry")

    shop.refunded(intent)
    shop.wait(seconds=2)

    assert shop.read(dispute)["status"] == "warning_closed"


def test_an_escalated_inquiry_withdraws_the_money(shop: Shop) -> None:
    _, dispute = disputed(shop, "pm_card_createDisputeInquiry")
    argue(shop, dispute, "escalate_inquiry_evidence")

    shop.wait(seconds=2)

    after = shop.read(dispute)
    assert (after["status"], after["is_charge_refundable"]) == ("needs_response", False)
    assert after["payment_method_details"]["card"]["case_type"] == "chargeback"
    assert shop.types()[-1] == "charge.dispute.funds_withdrawn"


def test_a_refund_made_during_an_inquiry_fails_when_it_escalates(shop: Shop) -> None:
    intent, dispute = disputed(shop, "pm_card_createDisputeInquiry")
    refund = shop.refunded(intent, amount=400)
    argue(shop, dispute, "escalate_inquiry_evidence")

    shop.wait(seconds=2)

    after = shop.read(refund)
    assert (after["status"], after["failure_reason"]) == ("failed", "charge_for_pending_refund_disputed")


def test_the_bank_may_dispute_any_captured_charge(shop: Shop) -> None:
    paid, held = shop.paid(), shop.paid(capture_method="manual")

    opened = shop.stripe.open_dispute(paid["id"], "duplicate", inquiry=True)

    assert (made(opened)["status"], opened.body["reason"]) == ("warning_needs_response", "duplicate")
    assert shop.stripe.open_dispute(held["id"], "duplicate").status == 400
    assert shop.stripe.open_dispute(paid["id"], "boredom").status == 400
