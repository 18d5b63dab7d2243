"""Disputes as the bank moves them: any amount, any status in any order, in any settlement currency."""

from itertools import permutations
from typing import Any

import pytest

from booking_payments.sandbox.emulator.disputes import CLOSED, OPEN_CHARGEBACKS, STATUSES, WARNINGS

from .stripe_account import StripeAccountClient, error, made

Object = dict[str, Any]


def opened(account: StripeAccountClient, /, **given: Any) -> Object:
    return made(account.stripe.open_dispute(account.paid()["id"], **given))


def moved(account: StripeAccountClient, dispute: Object, status: str, /, **given: Any) -> Object:
    return made(account.stripe.move_dispute(dispute["id"], status, **given))


def amounts(dispute: Object) -> list[int]:
    return [each["amount"] for each in dispute["balance_transactions"]]


def refund(account: StripeAccountClient, dispute: Object, amount: int) -> str:
    """The status of a refund, or the code of the refusal."""
    answer = account.post("refunds", payment_intent=dispute["payment_intent"], amount=amount)
    return str(answer.body["status"] if answer.ok else error(answer)["code"])


# --- opening


def test_a_dispute_may_be_over_a_part(account: StripeAccountClient) -> None:
    dispute = opened(account, amount=300, reason="duplicate")

    assert (dispute["amount"], dispute["status"], amounts(dispute)) == (300, "needs_response", [-300])


@pytest.mark.parametrize("status", sorted(STATUSES))
def test_a_dispute_may_begin_in_any_status(account: StripeAccountClient, status: str) -> None:
    dispute = opened(account, status=status)

    expected = [] if status in WARNINGS else [-1000, 1000] if status == "won" else [-1000]
    assert (dispute["status"], amounts(dispute)) == (status, expected)
    assert dispute["is_charge_refundable"] is (status not in OPEN_CHARGEBACKS)
    assert ("charge.dispute.closed" in account.types()) == (status in CLOSED)
    created = next(each for each in account.stripe.events if each["type"] == "charge.dispute.created")
    assert created["data"]["object"]["status"] == status


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"amount": 1001}, "amount"),
        ({"amount": 0}, "amount"),
        ({"status": "charge_refunded"}, "status"),
        ({"status": "needs_response", "inquiry": True}, "status"),
        ({"reason": "boredom"}, "reason"),
        ({"currency": "eur"}, "amount"),
        ({"currency": "bitcoin", "amount": 5}, "currency"),
        ({"status": "prevented", "case_type": "inquiry"}, "case_type"),
        ({"status": "lost", "case_type": "block"}, "case_type"),
    ],
)
def test_an_opening_that_does_not_fit_is_refused_with_the_parameter(
    account: StripeAccountClient, given: Object, param: str
) -> None:
    answer = account.stripe.open_dispute(account.paid()["id"], **given)

    assert (answer.status, error(answer)["param"], error(answer)["message"][:8]) == (400, param, "Invalid ")
    assert "charge.dispute.created" not in account.types()


def test_a_charge_takes_several_disputes_and_each_has_its_say(account: StripeAccountClient) -> None:
    intent = account.paid()
    first, second = (made(account.stripe.open_dispute(intent["id"], amount=200)) for _ in range(2))

    blocked = refund(account, first, 100)
    moved(account, first, "won")
    still = refund(account, first, 100)
    moved(account, second, "needs_response", refundable=True)

    assert (blocked, still, refund(account, first, 100)) == ("charge_disputed", "charge_disputed", "succeeded")


def test_a_dispute_may_be_in_another_currency_than_its_charge(account: StripeAccountClient) -> None:
    dispute = opened(account, currency="eur", amount=920)

    assert (dispute["currency"], dispute["amount"], dispute["balance_transactions"][0]["currency"]) == (
        "eur",
        920,
        "eur",
    )


# --- moving


@pytest.mark.parametrize("first", sorted(STATUSES))
def test_any_status_follows_any(account: StripeAccountClient, first: str) -> None:
    for second in sorted(STATUSES):
        dispute = opened(account, status=first)

        after = moved(account, dispute, second)

        assert (after["status"], after["is_charge_refundable"]) == (second, second not in OPEN_CHARGEBACKS)
        assert account.read(dispute) == after


@pytest.mark.parametrize("first", sorted(STATUSES - WARNINGS))
def test_money_that_is_out_is_not_taken_twice(account: StripeAccountClient, first: str) -> None:
    for second, third in permutations(sorted(STATUSES - WARNINGS - {first}), 2):
        dispute = opened(account, inquiry=True)
        for status in (first, second, third):
            dispute = moved(account, dispute, status)
            assert sum(amounts(dispute)) == (0 if status == "won" else -1000)


def test_an_escalated_inquiry_withdraws(account: StripeAccountClient) -> None:
    dispute = opened(account, inquiry=True, amount=400)
    since = len(account.types())

    after = moved(account, dispute, "needs_response")

    assert (amounts(after), after["payment_method_details"]["card"]["case_type"]) == ([-400], "chargeback")
    assert account.types(since) == ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]
    assert account.stripe.events[-2]["data"]["previous_attributes"]["status"] == "warning_needs_response"


def test_a_lost_dispute_that_is_won_later_gives_the_money_and_the_fee_back(account: StripeAccountClient) -> None:
    dispute = moved(account, opened(account), "lost")
    since = len(account.types())

    after = moved(account, dispute, "won")

    assert [(each["amount"], each["fee"], each["net"]) for each in after["balance_transactions"]] == [
        (-1000, 1500, -2500),
        (1000, -1500, 2500),
    ]
    assert account.types(since) == ["charge.dispute.funds_reinstated", "charge.dispute.closed", "charge.updated"]


def test_transactions_have_their_type(account: StripeAccountClient) -> None:
    taken, back = moved(account, opened(account), "won")["balance_transactions"]

    assert {taken["type"], back["type"]} == {"adjustment"}
    assert (taken["reporting_category"], back["reporting_category"]) == ("dispute", "dispute_reversal")
    assert [each["type"] for each in taken["fee_details"]] == ["stripe_fee"]


def test_a_part_may_be_given_back_in_any_status(account: StripeAccountClient) -> None:
    dispute = moved(account, opened(account), "lost", reinstated=300)
    since = len(account.types())

    after = moved(account, dispute, "lost", reinstated=200)
    won = moved(account, after, "won")

    assert amounts(won) == [-1000, 300, 200, 500]
    assert account.types(since)[:2] == ["charge.dispute.updated", "charge.dispute.funds_reinstated"]


@pytest.mark.parametrize(("reinstated", "then"), [(0, [1000]), (600, [400])])
def test_a_won_dispute_may_give_back_less_and_the_rest_later(
    account: StripeAccountClient, reinstated: int, then: list[int]
) -> None:
    first = moved(account, opened(account), "won", reinstated=reinstated)

    assert amounts(first) == [-1000, reinstated][: 1 + bool(reinstated)]
    assert amounts(moved(account, first, "won")) == amounts(first) + then


def test_reinstated_money_is_withdrawn_again_when_a_won_dispute_is_lost_after_all(account: StripeAccountClient) -> None:
    partly = moved(account, opened(account), "won", reinstated=600)

    assert amounts(moved(account, partly, "lost")) == [-1000, 600, -600]


def test_an_appeal_withdraws_nothing_again(account: StripeAccountClient) -> None:
    given = moved(account, opened(account), "lost", reinstated=1000)

    assert amounts(moved(account, given, "appeal_needs_response")) == [-1000, 1000]


def test_nothing_can_come_back_that_was_never_taken(account: StripeAccountClient) -> None:
    answer = account.stripe.move_dispute(opened(account, inquiry=True)["id"], "warning_closed", reinstated=5)

    assert (answer.status, error(answer)["param"]) == (400, "reinstated")


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"status": "over"}, "status"),
        ({"status": "won", "reinstated": -1}, "reinstated"),
        ({"status": "won", "case_type": "block"}, "case_type"),
    ],
)
def test_a_move_that_does_not_fit_changes_nothing(account: StripeAccountClient, given: Object, param: str) -> None:
    dispute = opened(account)
    since = len(account.types())

    answer = account.stripe.move_dispute(dispute["id"], **given)

    assert (answer.status, error(answer)["param"]) == (400, param)
    assert (account.read(dispute), account.types(since)) == (dispute, [])


def test_a_move_of_an_unknown_dispute_is_404(account: StripeAccountClient) -> None:
    assert account.stripe.move_dispute("du_no", "won").status == 404


def test_a_resolution_takes_the_money_and_a_block_does_not(account: StripeAccountClient) -> None:
    resolution, block = opened(account, status="prevented"), opened(account, status="prevented", case_type="block")

    assert (amounts(resolution), amounts(block)) == ([-1000], [])
    assert [each["payment_method_details"]["card"]["case_type"] for each in (resolution, block)] == [
        "resolution",
        "block",
    ]
    assert amounts(moved(account, resolution, "lost")) == [-1000]
    assert amounts(moved(account, opened(account, inquiry=True), "prevented")) == [-1000]


# --- deadlines


def test_an_appeal_has_its_own_deadline(account: StripeAccountClient) -> None:
    dispute = moved(account, opened(account), "lost")
    account.wait(days=3)

    appeal = moved(account, dispute, "appeal_needs_response")

    assert appeal["evidence_details"]["due_by"] == int(account.now.timestamp()) + 10 * 86400
    account.wait(days=9)
    assert account.read(dispute)["status"] == "appeal_needs_response"
    account.wait(days=12)
    assert account.read(dispute)["status"] == "lost"


def test_the_first_deadline_does_not_end_an_appeal(account: StripeAccountClient) -> None:
    dispute = moved(account, opened(account), "lost")
    account.wait(days=8)
    moved(account, dispute, "appeal_needs_response")

    account.wait(days=7)

    assert account.read(dispute)["status"] == "appeal_needs_response"


@pytest.mark.parametrize(("evidence", "status"), [("winning_evidence", "won"), ("losing_evidence", "lost")])
def test_an_appeal_is_decided_by_evidence(account: StripeAccountClient, evidence: str, status: str) -> None:
    dispute = opened(account, status="appeal_needs_response")

    sent = made(account.post(f"disputes/{dispute['id']}", evidence={"uncategorized_text": evidence}))
    account.wait(seconds=2)

    assert (sent["status"], account.read(dispute)["status"]) == ("appeal_under_review", status)


# --- what the charge still takes


@pytest.mark.parametrize("status", sorted(STATUSES))
def test_the_charge_is_refundable_as_the_dispute_says(account: StripeAccountClient, status: str) -> None:
    dispute = opened(account, amount=400)
    moved(account, dispute, status)

    takes = refund(account, dispute, 100)

    assert takes == ("charge_disputed" if status in OPEN_CHARGEBACKS else "succeeded")
    moved(account, dispute, status, refundable=takes != "succeeded")
    assert refund(account, dispute, 100) == ("succeeded" if takes != "succeeded" else "charge_disputed")


def test_the_undisputed_part_can_be_refunded_when_a_part_is_lost(account: StripeAccountClient) -> None:
    dispute = opened(account, amount=300)
    made(account.post(f"disputes/{dispute['id']}/close"))

    assert (account.read(dispute)["status"], refund(account, dispute, 700)) == ("lost", "succeeded")


# --- refunds and disputes meet


@pytest.mark.parametrize("given", [{}, {"amount": 100}, {"status": "prevented"}, {"status": "lost"}])
def test_a_pending_refund_fails_when_its_charge_is_charged_back(account: StripeAccountClient, given: Object) -> None:
    intent = account.paid("pm_card_pendingRefund")
    pending = account.refunded(intent, amount=400)

    made(account.stripe.open_dispute(intent["id"], **given))
    account.wait(seconds=2)

    failed = account.read(pending)
    assert (failed["status"], failed["failure_reason"]) == ("failed", "charge_for_pending_refund_disputed")
    assert account.charge_of(intent)["amount_refunded"] == 0


@pytest.mark.parametrize("given", [{"inquiry": True}, {"status": "prevented", "case_type": "block"}])
def test_a_pending_refund_goes_on_while_no_money_is_taken(account: StripeAccountClient, given: Object) -> None:
    intent = account.paid("pm_card_pendingRefund")
    pending = account.refunded(intent, amount=400)

    made(account.stripe.open_dispute(intent["id"], **given))
    account.wait(seconds=2)

    assert account.read(pending)["status"] == "succeeded"


@pytest.mark.parametrize(("keeps", "status", "out"), [(False, "failed", -1000), (True, "succeeded", -1200)])
def test_a_refund_during_an_inquiry_may_be_taken_back_or_stay(
    account: StripeAccountClient, keeps: bool, status: str, out: int
) -> None:
    dispute = opened(account, inquiry=True)
    part = account.refunded({"id": dispute["payment_intent"]}, amount=200)

    after = moved(account, dispute, "needs_response", keeps_refunds=keeps)

    refunded = account.charge_of({"object": "payment_intent", "id": dispute["payment_intent"]})["amount_refunded"]
    assert (account.read(part)["status"], sum(amounts(after)) - refunded) == (status, out)


def test_a_full_refund_that_is_under_way_keeps_no_money_from_an_escalation(account: StripeAccountClient) -> None:
    intent = account.paid("pm_card_pendingRefund")
    pending = account.refunded(intent)
    dispute = made(account.stripe.open_dispute(intent["id"], inquiry=True))

    after = moved(account, dispute, "needs_response")

    assert (amounts(after), account.read(pending)["status"]) == ([-1000], "failed")


def test_after_a_full_refund_an_escalation_withdraws_nothing(account: StripeAccountClient) -> None:
    dispute = opened(account, inquiry=True)
    full = account.refunded({"id": dispute["payment_intent"]})
    assert error(account.stripe.move_dispute(dispute["id"], "lost", reinstated=5))["param"] == "reinstated"

    after = moved(account, dispute, "needs_response")

    assert (after["status"], amounts(after), account.read(full)["status"]) == ("needs_response", [], "succeeded")


# --- settlement in another currency


def test_a_dispute_settled_at_two_rates_leaves_a_difference(account: StripeAccountClient) -> None:
    account.stripe.set_settlement("eur", {"usd": "0.92"})
    dispute = opened(account)
    account.stripe.set_settlement("eur", {"usd": "0.915"})

    won = moved(account, dispute, "won")

    assert [(each["amount"], each["currency"], each["exchange_rate"]) for each in won["balance_transactions"]] == [
        (-920, "eur", 0.92),
        (915, "eur", 0.915),
    ]
    assert won["amount"] == 1000
    assert amounts(moved(account, won, "lost")) == [-920, 915, -915]


def test_money_given_back_is_in_the_settlement_currency(account: StripeAccountClient) -> None:
    account.stripe.set_settlement("eur", {"usd": "0.92"})
    dispute = opened(account)

    part = moved(account, dispute, "lost", reinstated=460)
    won = moved(account, part, "won")

    assert amounts(won) == [-920, 460, 460]


def test_a_withdrawal_that_rounds_to_nothing_can_be_given_back(account: StripeAccountClient) -> None:
    account.stripe.set_settlement("eur", {"usd": "0.0001"})

    assert amounts(moved(account, opened(account, amount=1), "lost", reinstated=1)) == [0, 1]


@pytest.mark.parametrize(
    ("currency", "amount", "into", "rate", "settled"),
    [
        ("jpy", 1000, "eur", "0.0062", 620),
        ("usd", 1000, "jpy", "151.5", 1515),
        ("kwd", 10000, "usd", "3.25", 3250),
        ("usd", 1001, "eur", "0.5", 500),
    ],
)
def test_rates_are_of_whole_units(
    account: StripeAccountClient, currency: str, amount: int, into: str, rate: str, settled: int
) -> None:
    account.stripe.set_settlement(into, {currency: rate})
    intent = account.paid(currency=currency, amount=amount)

    moves = account.get("balance_transactions").body["data"]

    assert [(each["amount"], each["currency"]) for each in moves] == [(settled, into)]
    assert account.charge_of(intent)["amount"] == amount
