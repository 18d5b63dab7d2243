"""Numbered cases of refunds, disputes and promises, over HTTP and, where the library differs, in the library. Those
of the console are in ``pages/test_console_refunds`` and ``test_consistent_errors``.

Every case ends with ``sound``: the ledger is consistent, no more was returned than was captured, and each promised
amount was refunded, taken by the bank, or is listed as owed.
"""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from booking_payments.adapters.gateways.fake.gateway import due_deliveries
from booking_payments.application.dependencies import PaymentConfig
from booking_payments.domain.fees import FeeOnRefund, FeePayer, FeePolicy
from booking_payments.testing.kit import PaymentsTestKit
from tests.integration.http.api import ANN, BOOKING_APP, OPERATOR, Api, Json, open_api, problem_of

SOON = "2026-03-04T12:00:00Z"
"""The event's start: three days from the beginning of each test."""
HALF_UNTIL_TWO_DAYS = {"tiers": [{"hours_before": 48, "percent": "50"}], "fee": "kept"}
AFTER_THE_START = timedelta(days=4)

CURRENCIES = [
    pytest.param("usd", "100.00", "30.00", "70.00", id="usd"),
    pytest.param("jpy", "10000", "3000", "7000", id="jpy"),
    pytest.param("kwd", "100.000", "30.000", "70.000", id="kwd"),
]
ZERO = {"usd": "0.00", "jpy": "0", "kwd": "0.000"}


# --- steps


def paid(api: Api, method: str = "pm_card_visa", **booking: Any) -> str:
    booking_id = api.book(**{"event_starts_at": SOON, **booking})
    assert api.pay(booking_id, method).status_code == 200
    settle(api)
    return booking_id


def settle(api: Api) -> None:
    """Deliver the gateway's events, and run the background work."""
    api.client.blocking_portal.call(api.kit.settle)


def look(api: Api, booking_id: str) -> Json:
    return api.status(booking_id, OPERATOR)


def dispute(api: Api, booking_id: str, **opening: Any) -> str:
    """Open a dispute of the booking's charge, and deliver its event; returns its id."""
    answer = api.kit.stripe.open_dispute(look(api, booking_id)["payment_intent_id"], **opening)
    assert answer.ok, answer.body
    settle(api)
    return str(answer.body["id"])


def move(api: Api, dispute_id: str, status: str, **more: Any) -> None:
    answer = api.kit.stripe.move_dispute(dispute_id, status, **more)
    assert answer.ok, answer.body
    settle(api)


def cancel(api: Api, booking_id: str, refund: str) -> Json:
    response = api.post(f"/api/bookings/{booking_id}/cancel/", BOOKING_APP, json={"refund": refund})
    assert response.status_code == 200, response.text
    content: Json = response.json()
    return content


def ask(api: Api, booking_id: str, who: Mapping[str, str] = ANN, headers: Any = None, **body: Any) -> Any:
    return api.post(f"/api/bookings/{booking_id}/payment/refund/", who, headers=headers, json=body)


def refund(api: Api, booking_id: str, who: Mapping[str, str] = ANN, **body: Any) -> Json:
    response = ask(api, booking_id, who, **body)
    assert response.status_code == 200, response.text
    content: Json = response.json()
    return content


def quote(api: Api, booking_id: str, who: Mapping[str, str] = ANN, **query: Any) -> Json:
    response = api.get(f"/api/bookings/{booking_id}/payment/refund/quote/", who, params=query)
    content: Json = response.json()
    return content


def bounce(api: Api, booking_id: str) -> None:
    """The bank returns the booking's newest refund."""
    refund_id = look(api, booking_id)["refunds"][-1]["gateway_refund_id"]
    assert api.kit.stripe.fail_refund(refund_id).ok
    settle(api)


def later(api: Api, by: timedelta = AFTER_THE_START) -> None:
    api.kit.clock.advance(by)
    settle(api)


def codes(api: Api) -> tuple[list[str], list[str]]:
    """The codes that ``reconcile`` reports for a person, and those that wait."""
    found = api.client.blocking_portal.call(api.kit.payments.reconcile)
    return [each.code for each in found.left], [each.code for each in found.waiting]


def money(payment: Json) -> tuple[str, str, str]:
    """Return the amounts refunded, withdrawn by disputes, and owed."""
    return payment["refunded_amount"], payment["withdrawn_amount"], payment["refund_owed"]


def sound(api: Api, booking_id: str) -> None:
    """Check that the ledger is consistent, and that refunds and withdrawals do not exceed the captured amount."""
    checked = api.client.blocking_portal.call(api.kit.payments.check_ledger)
    assert checked.agrees, checked.faults
    payment = look(api, booking_id)
    names = ("refunded_amount", "refund_pending_amount", "withdrawn_amount")
    left = sum(Decimal(payment[name]) for name in names)
    assert left <= Decimal(payment["amount_received"])


def fees_back(api: Api, booking_id: str) -> str:
    """Return the refunded fee, without refunds that failed."""

    async def read() -> str:
        payment = (await api.kit.payments.payment_status(booking_id)).payment
        return payment.fee_returned.major()

    return str(api.client.blocking_portal.call(read))


# --- 1. a promise is kept although its refund could not start


@pytest.mark.parametrize(("currency", "all_", "part", "rest"), CURRENCIES)
def test_a_full_cancellation_during_an_inquiry_refunds_at_once(
    api: Api, currency: str, all_: str, part: str, rest: str
) -> None:
    """1a: during an inquiry Stripe accepts a refund of the full remainder, and withdraws nothing afterwards."""
    booking_id = paid(api, currency=currency, amount=all_)
    dispute(api, booking_id, inquiry=True)

    canceled = cancel(api, booking_id, "full")
    settle(api)

    zero = ZERO[currency]
    assert money(look(api, booking_id)) == (all_, zero, zero)
    assert canceled["refund_owed"] == zero
    assert codes(api) == ([], [])
    sound(api, booking_id)


def test_an_inquiry_by_a_test_card_does_not_delay_a_full_cancellation(api: Api) -> None:
    """1a, with the test card that opens an inquiry."""
    booking_id = paid(api, "pm_card_createDisputeInquiry")

    cancel(api, booking_id, "full")
    settle(api)

    assert money(look(api, booking_id)) == ("100.00", "0.00", "0.00")
    sound(api, booking_id)


@pytest.mark.parametrize("after_the_start", [False, True])
def test_a_partial_refund_promised_during_an_inquiry_is_sent_once_the_inquiry_ends(
    api: Api, after_the_start: bool
) -> None:
    """1a and 1b: promised, shown as owed and waiting, and sent by the system, also after the event's start."""
    booking_id = paid(api, refund_policy=HALF_UNTIL_TWO_DAYS)
    inquiry = dispute(api, booking_id, inquiry=True)

    canceled = cancel(api, booking_id, "policy")
    waiting = look(api, booking_id)
    listed = codes(api)
    if after_the_start:
        later(api)
    move(api, inquiry, "warning_closed")

    assert (canceled["refund_owed"], canceled["refund_waiting"]) == ("50.00", "50.00")
    assert (waiting["refund_owed"], waiting["refund_waiting"], waiting["refunded_amount"]) == ("50.00", "50.00", "0.00")
    assert listed == ([], ["waiting"])
    assert money(look(api, booking_id)) == ("50.00", "0.00", "0.00")
    assert codes(api) == ([], [])
    sound(api, booking_id)


def test_a_lost_chargeback_settles_the_promised_refund(api: Api) -> None:
    """1a: the bank has paid the customer, so no amount is owed and none is sent twice."""
    booking_id = paid(api, refund_policy=HALF_UNTIL_TWO_DAYS)
    inquiry = dispute(api, booking_id, inquiry=True)
    cancel(api, booking_id, "policy")

    move(api, inquiry, "needs_response")
    still_owed = look(api, booking_id)["refund_owed"]
    move(api, inquiry, "lost")

    assert still_owed == "50.00"
    assert money(look(api, booking_id)) == ("0.00", "100.00", "0.00")
    assert codes(api) == ([], [])
    sound(api, booking_id)


@pytest.mark.parametrize(("mode", "expected"), [("full", "100.00"), ("policy", "50.00")])
@pytest.mark.parametrize("after_the_start", [False, True])
def test_a_refund_promised_during_a_chargeback_is_sent_when_the_chargeback_is_won(
    api: Api, mode: str, expected: str, after_the_start: bool
) -> None:
    """1b."""
    booking_id = paid(api, refund_policy=HALF_UNTIL_TWO_DAYS)
    chargeback = dispute(api, booking_id)
    canceled = cancel(api, booking_id, mode)
    if after_the_start:
        later(api)

    move(api, chargeback, "won")

    assert canceled["refund_owed"] == expected
    assert money(look(api, booking_id)) == (expected, "0.00", "0.00")
    assert codes(api) == ([], [])
    sound(api, booking_id)


@pytest.mark.parametrize(("currency", "all_", "part", "rest"), CURRENCIES)
@pytest.mark.parametrize("canceled_first", [False, True])
def test_after_a_lost_partial_dispute_the_remainder_is_refunded(
    api: Api, currency: str, all_: str, part: str, rest: str, canceled_first: bool
) -> None:
    """1b: 30 of 100 are lost, the other 70 go back, whichever came first."""
    booking_id = paid(api, currency=currency, amount=all_)
    minor = int(Decimal(part).scaleb({"usd": 2, "jpy": 0, "kwd": 3}[currency]))
    if canceled_first:
        chargeback = dispute(api, booking_id, amount=minor)
        cancel(api, booking_id, "full")
        move(api, chargeback, "lost")
    else:
        move(api, dispute(api, booking_id, amount=minor), "lost")
        cancel(api, booking_id, "full")
    settle(api)

    assert money(look(api, booking_id)) == (rest, part, ZERO[currency])
    assert codes(api) == ([], [])
    sound(api, booking_id)


@pytest.mark.parametrize("who", ["operator", "cancel policy", "library"])
def test_a_refund_that_fails_after_the_start_is_refunded_as_promised(api: Api, who: str) -> None:
    """1c: 50 under a 50 % tier, never 0 and never 100."""
    booking_id = paid(api, refund_policy=HALF_UNTIL_TWO_DAYS)
    refund(api, booking_id)
    later(api)
    bounce(api, booking_id)
    owed, listed, quoted = look(api, booking_id), codes(api), quote(api, booking_id)

    if who == "operator":
        refund(api, booking_id, OPERATOR)
    elif who == "library":
        api.client.blocking_portal.call(api.kit.payments.process_booking_refund, booking_id)
    else:
        cancel(api, booking_id, "policy")
    settle(api)

    assert (owed["refund_owed"], owed["refund_waiting"]) == ("50.00", "0.00")
    assert listed == (["refund_owed"], [])
    assert (quoted["amount"], quoted["reason_code"]) == ("50.00", "refund_owed")
    assert money(look(api, booking_id)) == ("50.00", "0.00", "0.00")
    assert fees_back(api, booking_id) == "0.00"
    assert codes(api) == ([], [])
    sound(api, booking_id)


def test_an_owed_amount_can_be_settled_in_parts_up_to_its_total(api: Api) -> None:
    """1: an operator settles a debt by other means; the audit trail has the operator and the reason."""
    booking_id = paid(api)
    chargeback = dispute(api, booking_id)
    cancel(api, booking_id, "full")
    path = f"/api/payments/{look(api, booking_id)['payment_id']}/owed/settle/"
    body = {"amount": "60.00", "how": "paid_elsewhere", "note": "in cash"}

    first = api.post(path, OPERATOR, json=body)
    too_much = api.post(path, OPERATOR, json=body)
    move(api, chargeback, "won")

    assert first.json()["refund_owed"] == "40.00"
    assert (too_much.status_code, problem_of(too_much)["code"]) == (422, "exceeds_owed")
    assert money(look(api, booking_id)) == ("40.00", "0.00", "0.00")
    settled = [each for each in _events(api, booking_id) if each["type"] == "debt_settled"]
    assert [(each["actor"], each["data"]["note"]) for each in settled] == [("operator:olga", "in cash")]
    sound(api, booking_id)


def _events(api: Api, booking_id: str) -> list[Json]:
    found: list[Json] = api.get(f"/api/bookings/{booking_id}/payment/events/", OPERATOR).json()["events"]
    return found


# --- 2. the refundable amount deducts every outflow


@pytest.mark.parametrize("end", ["lost", "prevented"])
def test_after_a_lost_small_dispute_the_remainder_is_refundable(api: Api, end: str) -> None:
    """2a: over 20 of 100; the other 80 are refundable, and no more."""
    booking_id = paid(api)
    move(api, dispute(api, booking_id, amount=2000), end)

    quoted = quote(api, booking_id)
    too_much = ask(api, booking_id, amount="80.01")
    refund(api, booking_id)

    assert (quoted["allowed"], quoted["amount"]) == (True, "80.00")
    assert problem_of(too_much)["code"] == "exceeds_refundable"
    assert money(look(api, booking_id)) == ("80.00", "20.00", "0.00")
    sound(api, booking_id)


def test_an_amount_withdrawn_by_a_prevented_dispute_is_not_refundable(api: Api) -> None:
    """2b."""
    booking_id = paid(api)
    dispute(api, booking_id, status="prevented")

    quoted, refused = quote(api, booking_id), ask(api, booking_id, amount="1.00")

    assert (quoted["allowed"], quoted["reason_code"]) == (False, "nothing_left")
    assert refused.status_code == 422
    assert money(look(api, booking_id)) == ("0.00", "100.00", "0.00")
    sound(api, booking_id)


def test_a_blocked_prevented_dispute_withdraws_nothing(api: Api) -> None:
    """2b: a block stops the dispute before money moves."""
    booking_id = paid(api)
    dispute(api, booking_id, status="prevented", case_type="block")

    assert quote(api, booking_id)["amount"] == "100.00"


def test_a_late_payment_that_the_bank_took_back_is_not_refunded(api: Api) -> None:
    """2b: its refund could not be sent, and the bank has withdrawn the full amount before it can be."""
    booking_id = api.book(event_starts_at=SOON)
    payment = api.pay(booking_id, "pm_usBankAccount_success").json()
    cancel(api, booking_id, "full")
    api.kit.stripe.faults.script("POST /v1/refunds", "429_limit", times=1000)
    settle(api)
    reserved = look(api, booking_id)["refund_pending_amount"]
    assert api.kit.stripe.open_dispute(payment["payment_intent_id"], status="prevented").ok
    settle(api)
    api.kit.stripe.faults.clear()

    later(api, timedelta(hours=6))

    assert reserved == "100.00"
    assert money(look(api, booking_id)) == ("0.00", "100.00", "0.00")
    sound(api, booking_id)


@pytest.mark.parametrize("fault", ["timeout_before", "reset_before", "500_before", "503"])
def test_a_refund_that_never_arrived_is_not_sent_again_after_a_withdrawal(api: Api, fault: str) -> None:
    """2: the limit also applies to a refund that was reserved before the dispute."""
    booking_id = paid(api)
    api.kit.stripe.faults.script("POST /v1/refunds", fault, times=1000)
    answer = ask(api, booking_id, amount="50.00")
    intent_id = look(api, booking_id)["payment_intent_id"]
    assert api.kit.stripe.open_dispute(intent_id, status="prevented").ok
    settle(api)
    api.kit.stripe.faults.clear()

    later(api, timedelta(hours=6))

    assert problem_of(answer)["outcome_unknown"] is True
    payment = look(api, booking_id)
    assert (*money(payment), payment["refund_pending_amount"]) == ("0.00", "100.00", "0.00", "0.00")
    assert codes(api) == ([], [])
    sound(api, booking_id)


def test_a_late_payment_found_together_with_its_withdrawal_is_not_refunded(api: Api) -> None:
    """2b: no event came, so that charge and dispute are read at once."""
    booking_id = api.book(event_starts_at=SOON)
    payment = api.pay(booking_id, "pm_usBankAccount_success").json()
    cancel(api, booking_id, "full")
    api.kit.clock.advance(timedelta(seconds=3))
    api.kit.stripe.tick()
    assert api.kit.stripe.open_dispute(payment["payment_intent_id"], status="prevented").ok
    for event_id, endpoint, _ in list(due_deliveries(api.kit.stripe)):
        api.kit.stripe.delivered(event_id, True, endpoint)

    later(api, timedelta(hours=6))
    codes(api)
    settle(api)

    assert money(look(api, booking_id)) == ("0.00", "100.00", "0.00")
    sound(api, booking_id)


def test_the_refundable_amount_equals_the_quote(api: Api) -> None:
    """2c, on a canceled booking of which some is owed, and on one that is not canceled."""
    booking_id = paid(api, refund_policy=HALF_UNTIL_TWO_DAYS)
    made = refund(api, booking_id, amount="20.00")
    assert made["remaining_refundable"] == quote(api, booking_id)["amount"] == "30.00"
    cancel(api, booking_id, "full")
    bounce(api, booking_id)
    later(api)

    payment = look(api, booking_id)

    remaining = {each["remaining_refundable"] for each in payment["refunds"]}
    assert remaining == {quote(api, booking_id)["amount"]} == {payment["refund_owed"]} == {"80.00"}


def test_quote_and_refund_of_an_authorization_have_the_same_reason(api: Api) -> None:
    """2d."""
    booking_id = api.book(event_starts_at=SOON)
    api.pay(booking_id, capture_method="manual")

    quoted, refused = quote(api, booking_id), ask(api, booking_id)

    assert (quoted["allowed"], quoted["reason_code"]) == (False, "not_captured")
    assert (refused.status_code, problem_of(refused)["code"]) == (409, "not_captured")


def test_the_release_of_an_authorization_is_not_a_refund(api: Api) -> None:
    """2: hold 20, capture 15, and the gateway lists a refund of 5."""
    booking_id = api.book(event_starts_at=SOON, amount="20.00")
    api.kit.stripe.set_release_as_refund()
    api.pay(booking_id, capture_method="manual")
    captured = api.post(f"/api/bookings/{booking_id}/payment/capture/", OPERATOR, json={"amount": "15.00"})
    settle(api)

    assert captured.status_code == 200
    assert look(api, booking_id)["refunded_amount"] == "0.00"
    assert quote(api, booking_id)["amount"] == "15.00"
    assert codes(api) == ([], [])
    sound(api, booking_id)


# --- 3. a repeated request is not a new one

SILENT = ["reset_after", "timeout_after", "500_after", "timeout_before", "reset_before"]


@pytest.mark.parametrize("fault", SILENT)
@pytest.mark.parametrize("settled", [False, True])
def test_a_repeated_refund_with_an_unknown_outcome_is_one_refund(api: Api, fault: str, settled: bool) -> None:
    """3a: also with other keys, and after it was settled meanwhile. After a response, an equal request is a new
    refund.
    """
    booking_id = paid(api)
    api.kit.stripe.faults.script("POST /v1/refunds", fault, times=3)
    first = ask(api, booking_id, amount="20.00", headers={"Idempotency-Key": "the-first-key-of-it"})
    api.kit.stripe.faults.clear()
    if settled:
        settle(api)

    second = ask(api, booking_id, amount="20.00", headers={"Idempotency-Key": "the-second-key-of-it"})
    once = look(api, booking_id)
    third = ask(api, booking_id, amount="20.00")
    settle(api)

    assert (first.status_code, problem_of(first)["outcome_unknown"], first.headers["retry-after"]) == (503, True, "5")
    assert (second.status_code, second.headers.get("idempotent-replayed")) == (200, "true")
    assert len(once["refunds"]) == 1
    assert (third.status_code, "idempotent-replayed" in third.headers) == (200, False)
    assert look(api, booking_id)["refunded_amount"] == "40.00"
    sound(api, booking_id)


@pytest.mark.parametrize("fault", SILENT)
def test_a_repeated_refund_without_a_key_in_the_library_is_one_refund(api: Api, fault: str) -> None:
    """3a."""
    booking_id = paid(api)
    process, call = api.kit.payments.process_booking_refund, api.client.blocking_portal.call
    api.kit.stripe.faults.script("POST /v1/refunds", fault, times=3)
    first = call(process, booking_id, "20.00")
    api.kit.stripe.faults.clear()

    second = call(process, booking_id, "20.00")
    settle(api)

    assert (first.success, first.outcome_unknown, second.success) == (False, True, True)
    assert look(api, booking_id)["refunded_amount"] == "20.00"


@pytest.mark.parametrize("change", ["another amount", "all of it", "another caller", "another day"])
def test_a_different_request_after_an_unknown_outcome_is_another_refund(api: Api, change: str) -> None:
    """3a: only the same caller, amount and day make it the same request."""
    booking_id = paid(api)
    api.kit.stripe.faults.script("POST /v1/refunds", "reset_after", times=3)
    ask(api, booking_id, amount="20.00")
    api.kit.stripe.faults.clear()
    settle(api)
    if change == "another day":
        api.kit.clock.advance(timedelta(hours=24))
    who = OPERATOR if change == "another caller" else ANN
    amount = {"another amount": {"amount": "20.01"}, "all of it": {}}.get(change, {"amount": "20.00"})

    answer = ask(api, booking_id, who, **amount)

    assert (answer.status_code, "idempotent-replayed" in answer.headers) == (200, False)
    assert len(look(api, booking_id)["refunds"]) == 2


def test_a_refund_that_was_never_sent_fails_and_reports_it(api: Api) -> None:
    """3b: no refund is pending and no amount is owed; a retry refunds once."""
    booking_id = paid(api)
    api.kit.stripe.faults.script("POST /v1/refunds", "429_limit", times=20)
    first = ask(api, booking_id, amount="25.00")
    api.kit.stripe.faults.clear()
    after_it = look(api, booking_id)
    settle(api)
    second = refund(api, booking_id, amount="25.00")
    settle(api)

    problem = problem_of(first)
    assert (first.status_code, problem["code"], problem["retryable"]) == (503, "gateway_unavailable", True)
    assert "outcome_unknown" not in problem
    assert (after_it["refund_pending_amount"], after_it["refund_owed"]) == ("0.00", "0.00")
    assert second["refunded_amount"] == "25.00"
    assert look(api, booking_id)["refunded_amount"] == "25.00"
    sound(api, booking_id)


@pytest.mark.parametrize(
    ("who", "amount", "status"),
    [(ANN, "25.00", 200), (ANN, "25.01", 422), (OPERATOR, "25.00", 422)],
    ids=["the same", "another amount", "another caller"],
)
def test_a_repetition_of_a_refund_that_was_never_sent_uses_the_time_of_the_first(
    api: Api, who: Mapping[str, str], amount: str, status: int
) -> None:
    """3: only the time is kept, for the same caller and amount; the tier ends in between."""
    booking_id = paid(api, refund_policy=HALF_UNTIL_TWO_DAYS)
    api.kit.stripe.faults.script("POST /v1/refunds", "429_limit", times=20)
    assert ask(api, booking_id, amount="25.00").status_code == 503
    api.kit.stripe.faults.clear()
    api.kit.clock.advance(timedelta(hours=23, minutes=59))

    again = ask(api, booking_id, who, amount=amount)

    assert again.status_code == status, again.text
    sound(api, booking_id)


def test_a_cancellation_with_an_unreachable_gateway_refunds_later(api: Api) -> None:
    """1 and 3b: a cancellation always promises its refund, and background work sends it later."""
    booking_id = paid(api)
    api.kit.stripe.faults.script("POST /v1/refunds", "429_limit", times=3)
    api.post(f"/api/bookings/{booking_id}/cancel/", BOOKING_APP, json={"refund": "full"})
    owed = look(api, booking_id)
    api.kit.stripe.faults.clear()

    settle(api)

    assert (owed["refund_owed"], owed["refund_waiting"]) == ("100.00", "100.00")
    assert money(look(api, booking_id)) == ("100.00", "0.00", "0.00")
    sound(api, booking_id)


# --- 4. amounts follow the balance and not a status


def test_a_lost_dispute_that_is_won_later_returns_the_amount(api: Api) -> None:
    """4a: the reinstated amount is recorded, and refunds continue."""
    booking_id = paid(api)
    chargeback = dispute(api, booking_id)
    move(api, chargeback, "lost")
    lost = look(api, booking_id)
    move(api, chargeback, "won")

    assert lost["withdrawn_amount"] == "100.00"
    assert look(api, booking_id)["withdrawn_amount"] == "0.00"
    assert refund(api, booking_id)["refunded_amount"] == "100.00"
    sound(api, booking_id)


def test_a_promised_refund_is_owed_again_when_a_lost_dispute_is_won_later(api: Api) -> None:
    """4a with 1: the customer has neither seat nor money, so the amount is refunded or listed."""
    booking_id = paid(api)
    chargeback = dispute(api, booking_id)
    cancel(api, booking_id, "full")
    move(api, chargeback, "lost")
    settled = money(look(api, booking_id))
    move(api, chargeback, "won")

    payment, listed = look(api, booking_id), codes(api)

    assert settled == ("0.00", "100.00", "0.00")
    assert money(payment) in [("100.00", "0.00", "0.00"), ("0.00", "0.00", "100.00")]
    assert listed == (([], []) if payment["refund_owed"] == "0.00" else (["refund_owed"], []))
    sound(api, booking_id)


@pytest.mark.parametrize("status", ["appeal_needs_response", "appeal_under_review"])
def test_a_dispute_first_seen_in_its_appeal_is_recorded_with_its_withdrawal(api: Api, status: str) -> None:
    """4b: it has the appeal's deadline, and no refund is offered."""
    booking_id = paid(api)
    appeal = dispute(api, booking_id, status=status)

    [shown] = look(api, booking_id)["disputes"]
    refused = ask(api, booking_id, amount="1.00")
    move(api, appeal, "won")

    assert (shown["status"], shown["withdrawn_amount"], shown["is_inquiry"]) == (status, "100.00", False)
    assert shown["evidence_due_by"] is not None
    assert (refused.status_code, problem_of(refused)["code"]) == (409, "disputed")
    assert refund(api, booking_id)["refunded_amount"] == "100.00"
    sound(api, booking_id)


@pytest.mark.parametrize(("taken", "back"), [("0.92", 9150), ("0.92", 9200), ("0.92", 9300)])
def test_a_won_dispute_settled_in_another_currency_blocks_nothing(api: Api, taken: str, back: int) -> None:
    """4c: 92.00 eur were withdrawn and 91.50 (or more) returned; the owed amount is refunded."""
    api.kit.stripe.set_settlement("eur", {"usd": taken})
    booking_id = paid(api)
    chargeback = dispute(api, booking_id)
    cancel(api, booking_id, "full")
    during = look(api, booking_id)
    move(api, chargeback, "won", reinstated=back)

    assert (during["withdrawn_amount"], during["refund_owed"]) == ("100.00", "100.00")
    assert money(look(api, booking_id)) == ("100.00", "0.00", "0.00")
    sound(api, booking_id)


def test_a_dispute_in_another_currency_is_recorded_by_its_share(api: Api) -> None:
    """4d: a dispute of 46.00 eur of a payment of 100.00 usd at a rate of 0.92 is one of 50.00 usd, and at most the
    full amount.
    """
    api.kit.stripe.set_settlement("eur", {"usd": "0.92"})
    booking_id = paid(api)
    dispute(api, booking_id, amount=4600, currency="eur")

    payment = look(api, booking_id)

    [shown] = payment["disputes"]
    assert shown["amount"] in ("50.00", "100.00")
    assert Decimal(shown["withdrawn_amount"]) > 0
    assert ask(api, booking_id, amount="60.00").status_code == 409
    sound(api, booking_id)


def test_all_disputes_are_shown_and_counted_once_each(api: Api) -> None:
    """4: one of 20 that is lost, one of 30 that is open, an inquiry of 50."""
    booking_id = paid(api)
    move(api, dispute(api, booking_id, amount=2000), "lost")
    dispute(api, booking_id, amount=3000)
    dispute(api, booking_id, amount=5000, inquiry=True)

    payment = look(api, booking_id)

    seen = [(each["amount"], each["withdrawn_amount"], each["is_inquiry"]) for each in payment["disputes"]]
    assert sorted(seen) == [("20.00", "20.00", False), ("30.00", "30.00", False), ("50.00", "0.00", True)]
    assert payment["withdrawn_amount"] == "50.00"
    assert payment["dispute"]["status"] in ("needs_response", "warning_needs_response")
    sound(api, booking_id)


# --- 5. fees


@pytest.mark.parametrize("after_the_start", [False, True])
@pytest.mark.parametrize("payer", FeePayer)
@pytest.mark.parametrize("on_refund", FeeOnRefund)
def test_the_refunded_fee_follows_the_promise_and_not_the_current_time(
    after_the_start: bool, payer: FeePayer, on_refund: FeeOnRefund
) -> None:
    """5a: after a full cancellation the refund fails and is requested again: 3.00, before and after the event's
    start.
    """
    terms = PaymentConfig(fees=FeePolicy(payer=payer, on_refund=on_refund))
    with open_api(kit=PaymentsTestKit(config=terms)) as api:
        booking_id = paid(api)
        cancel(api, booking_id, "full")
        settle(api)
        bounce(api, booking_id)
        if after_the_start:
            later(api)
        refund(api, booking_id, OPERATOR)
        settle(api)

        payment = look(api, booking_id)
        assert payment["refunded_amount"] == payment["amount"]
        assert fees_back(api, booking_id) == "3.00"
        assert payment["refund_owed"] == "0.00"
        sound(api, booking_id)


# --- 6. operators are not customers

OVERRIDE = {"override": True, "note": "the band was ill"}


def test_an_operator_is_bound_by_the_customers_rules_without_an_override(api: Api) -> None:
    """6."""
    booking_id = paid(api, refund_policy=HALF_UNTIL_TWO_DAYS)

    above_the_tier = ask(api, booking_id, OPERATOR, amount="50.01")
    later(api)
    after_the_start = ask(api, booking_id, OPERATOR, amount="1.00")

    assert problem_of(above_the_tier)["code"] == "exceeds_refundable"
    assert problem_of(after_the_start)["code"] == "event_started"


def test_with_an_override_any_amount_up_to_the_limit_can_be_refunded_at_any_time(api: Api) -> None:
    """6: above the tier, and after the start; the quote names the overridden rules."""
    booking_id = paid(api, refund_policy=HALF_UNTIL_TWO_DAYS)
    tier = quote(api, booking_id, OPERATOR, amount="60.00", override="true")
    refund(api, booking_id, OPERATOR, amount="60.00", **OVERRIDE)
    later(api)
    start = quote(api, booking_id, OPERATOR, override="true")
    refund(api, booking_id, OPERATOR, amount="40.00", **OVERRIDE)
    beyond = ask(api, booking_id, OPERATOR, amount="0.01", **OVERRIDE)

    assert (tier["allowed"], tier["overrides"]) == (True, ["tier"])
    assert (start["amount"], start["overrides"]) == ("40.00", ["event_started"])
    assert beyond.status_code == 422
    assert money(look(api, booking_id)) == ("100.00", "0.00", "0.00")
    sound(api, booking_id)


def test_with_an_override_a_partial_refund_is_sent_during_an_inquiry(api: Api) -> None:
    """6 and 2: without an override it is deferred, as the response says."""
    booking_id = paid(api)
    dispute(api, booking_id, inquiry=True)
    waits = refund(api, booking_id, OPERATOR, amount="10.00")
    quoted = quote(api, booking_id, OPERATOR, amount="30.00", override="true")
    sent = refund(api, booking_id, OPERATOR, amount="30.00", **OVERRIDE)

    assert (waits["deferred"], waits["status"], waits["refund_owed"]) == (True, "pending", "10.00")
    assert (quoted["deferred"], quoted["overrides"]) == (False, ["inquiry"])
    assert (sent["deferred"], sent["status"]) == (False, "succeeded")
    assert look(api, booking_id)["refunded_amount"] == "30.00"
    sound(api, booking_id)


def test_an_override_cannot_refund_an_amount_withdrawn_by_a_chargeback(api: Api) -> None:
    """6 with 2: the limit is not a rule that can be overridden."""
    booking_id = paid(api)
    dispute(api, booking_id, amount=3000)

    too_much = ask(api, booking_id, OPERATOR, amount="70.01", **OVERRIDE)
    sendable_later = ask(api, booking_id, OPERATOR, amount="70.00", **OVERRIDE)

    assert too_much.status_code == 409
    assert (sendable_later.status_code, sendable_later.json()["deferred"]) == (200, True)
    sound(api, booking_id)


@pytest.mark.parametrize(
    ("who", "body", "code"),
    [
        (ANN, {"override": True, "note": "please"}, "override_not_allowed"),
        (OPERATOR, {"override": True}, "note_required"),
        (OPERATOR, {"override": True, "note": "  "}, "note_required"),
        (ANN, {"reason": "fraudulent"}, "reason_not_allowed"),
        (ANN, {"reason": "duplicate"}, "reason_not_allowed"),
    ],
)
def test_the_fields_that_only_operators_may_use(api: Api, who: Mapping[str, str], body: Json, code: str) -> None:
    """6: override with a note, and the reasons that reach the gateway's block lists."""
    booking_id = paid(api)

    answer = ask(api, booking_id, who, **body)

    assert (answer.status_code, problem_of(answer)["code"]) == (422, code)
    assert look(api, booking_id)["refunds"] == []


def test_a_customer_may_not_quote_with_an_override(api: Api) -> None:
    """6."""
    answer = api.get(f"/api/bookings/{paid(api)}/payment/refund/quote/", ANN, params={"override": "true"})

    assert (answer.status_code, problem_of(answer)["code"]) == (422, "override_not_allowed")


def test_a_note_is_not_sent_to_the_gateway(api: Api) -> None:
    """6: it is stored in the journal and not sent to the gateway."""
    booking_id = paid(api)
    made = refund(api, booking_id, OPERATOR, amount="10.00", note="a canary of a note")

    there = api.kit.stripe.call("GET", f"/v1/refunds/{made['gateway_refund_id']}").body

    assert "canary" not in repr(there)
    assert any(each["data"].get("note") == "a canary of a note" for each in _events(api, booking_id))


@pytest.mark.parametrize("after_the_start", [False, True])
def test_a_late_payment_whose_refund_failed_is_refunded_by_its_payment_id(api: Api, after_the_start: bool) -> None:
    """6."""
    booking_id = api.book(event_starts_at=SOON)
    api.pay(booking_id, "pm_usBankAccount_success")
    cancel(api, booking_id, "full")
    settle(api)
    bounce(api, booking_id)
    if after_the_start:
        later(api)
    payment_id = look(api, booking_id)["payment_id"]

    quoted = api.get(f"/api/payments/{payment_id}/refund/quote/", OPERATOR).json()
    answer = api.post(f"/api/payments/{payment_id}/refund/", OPERATOR, json={})
    settle(api)

    assert (quoted["allowed"], quoted["amount"]) == (True, "100.00")
    assert answer.status_code == 200
    assert money(look(api, booking_id)) == ("100.00", "0.00", "0.00")
    assert codes(api) == ([], [])
    sound(api, booking_id)
