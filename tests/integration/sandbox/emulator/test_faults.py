"""Scripted faults, restarts, and input of every kind."""

import random
from datetime import timedelta
from typing import Any

import pytest

from booking_payments.sandbox.emulator import FakeStripe, NetworkFault
from booking_payments.sandbox.emulator.endpoints import ENDPOINTS

from .stripe_account import START, MemoryStore, StripeAccountClient, error, made


@pytest.mark.parametrize(
    ("fault", "kind", "applied"),
    [
        ("timeout_before", "timeout", False),
        ("timeout_after", "timeout", True),
        ("reset_before", "reset", False),
        ("reset_after", "reset", True),
    ],
)
def test_a_broken_connection_tells_whether_the_work_was_done(
    account: StripeAccountClient, fault: str, kind: str, applied: bool
) -> None:
    account.stripe.faults.script("POST /v1/payment_intents", fault)

    with pytest.raises(NetworkFault) as caught:
        account.pay("pm_card_visa", "k1")

    assert (caught.value.kind, caught.value.applied) == (kind, applied)
    assert len(account.get("payment_intents").body["data"]) == applied


def test_the_same_key_finds_the_work_of_a_broken_connection(account: StripeAccountClient) -> None:
    account.stripe.faults.script("POST /v1/payment_intents", "reset_after")
    with pytest.raises(NetworkFault):
        account.pay("pm_card_visa", "k1")

    answer = account.pay("pm_card_visa", "k1")

    assert answer.headers["Idempotent-Replayed"] == "true"
    assert account.stripe.successful_charges(answer.body["id"]) == 1


@pytest.mark.parametrize(
    ("fault", "status", "code", "header"),
    [
        ("409", 409, "idempotency_key_in_use", None),
        ("429_limit", 429, "rate_limit", "Stripe-Rate-Limited-Reason"),
        ("429_lock", 429, "lock_timeout", "Stripe-Should-Retry"),
        ("500_before", 500, None, None),
        ("503", 503, None, "Stripe-Should-Retry"),
    ],
)
def test_an_error_answer_looks_like_stripes(
    account: StripeAccountClient, fault: str, status: int, code: str | None, header: str | None
) -> None:
    account.stripe.faults.script("POST /v1/payment_intents", fault)

    answer = account.pay("pm_card_visa", "k1")

    assert (answer.status, error(answer).get("code")) == (status, code)
    assert header is None or header in answer.headers
    assert ("Stripe-Rate-Limited-Reason" in answer.headers) == (fault == "429_limit")
    assert account.stripe.events == []


def test_a_slow_answer_says_how_slow(account: StripeAccountClient) -> None:
    account.stripe.faults.script("GET /v1/*", "slow", delay=timedelta(seconds=30))

    assert account.get("payment_intents").delay == timedelta(seconds=30)
    assert account.get("payment_intents").delay == timedelta()


def test_a_fault_strikes_matching_requests_as_often_as_it_says(account: StripeAccountClient) -> None:
    intent = account.intent()
    account.stripe.faults.script("POST /v1/payment_intents/{id}/confirm", "503", times=2)

    def confirm() -> int:
        return account.post(f"payment_intents/{intent['id']}/confirm", payment_method="pm_card_visa").status

    assert account.post(f"payment_intents/{intent['id']}", description="x").status == 200
    assert [confirm(), confirm(), confirm()] == [503, 503, 200]


@pytest.mark.parametrize(
    ("match", "fault", "times"),
    [("POST /v1/refunds", "meteor", 1), ("webhook", "503", 1), ("GET /v1/events", "drop", 1), ("webhook", "drop", 0)],
)
def test_a_fault_that_makes_no_sense_is_refused(
    account: StripeAccountClient, match: str, fault: str, times: int
) -> None:
    with pytest.raises(ValueError, match=r".+"):
        account.stripe.faults.script(match, fault, times)


def test_cleared_faults_do_not_strike(account: StripeAccountClient) -> None:
    account.stripe.faults.script("GET /v1/*", "503")
    account.stripe.faults.clear()

    assert account.get("payment_intents").status == 200


def test_a_restart_forgets_nothing() -> None:
    store = MemoryStore()
    before = StripeAccountClient(store)
    refund = before.refunded(before.paid("pm_card_pendingRefund"))
    first = before.pay("pm_card_visa", "k1")

    after = StripeAccountClient(store, start=before.now)
    replay = after.pay("pm_card_visa", "k1")

    assert (replay.body, replay.headers["Idempotent-Replayed"]) == (first.body, "true")
    assert after.stripe.events == before.stripe.events
    assert after.stripe.deliveries() == before.stripe.deliveries()
    assert after.stripe.next_due_at == START + timedelta(seconds=2)
    assert after.wait(seconds=2) == 1
    assert after.read(refund)["status"] == "succeeded"


def test_ids_stay_unique_when_the_same_seed_starts_again() -> None:
    store = MemoryStore()
    first = StripeAccountClient(store).paid()

    second = StripeAccountClient(store).paid()

    assert second["id"] != first["id"]


def test_a_call_that_changes_nothing_saves_nothing() -> None:
    store = MemoryStore()
    account = StripeAccountClient(store)
    account.intent()
    saves = store.saves

    account.get("payment_intents")

    assert (saves, store.saves) == (1, saves)


def test_work_that_was_done_before_the_line_broke_is_saved() -> None:
    store = MemoryStore()
    account = StripeAccountClient(store)
    account.stripe.faults.script("POST /v1/payment_intents", "timeout_after")
    with pytest.raises(NetworkFault):
        account.pay()

    assert StripeAccountClient(store).get("payment_intents").body["data"][0]["status"] == "succeeded"


JUNK: list[Any] = [
    "",
    "x",
    -1,
    0,
    10**30,
    1.5,
    True,
    None,
    [],
    ["x"],
    [[]],
    {},
    {"x": "y"},
    {"": ""},
    "9" * 400,
    "\x00é",
]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.pattern.pattern}")
def test_junk_is_answered_never_raised(account: StripeAccountClient, endpoint: Any) -> None:
    intent = account.paid("pm_card_createDisputeInquiry")
    ids = {"payment_intents": intent["id"], "refunds": account.refunded(intent, amount=10)["id"]}
    ids["disputes"] = account.dispute_of(intent)["id"]
    dice = random.Random(endpoint.pattern.pattern)
    kind = endpoint.pattern.pattern.split("/")[2]
    path = endpoint.pattern.pattern.replace("(?P<id>[^/]+)", ids.get(kind, "zz"))

    for name in endpoint.fields:
        for junk in JUNK:
            given = {
                "amount": 1000,
                "currency": "usd",
                name: junk,
                dice.choice(list(endpoint.fields)): dice.choice(JUNK),
            }
            answer = account.stripe.call(
                endpoint.method, path, {k: v for k, v in given.items() if k in endpoint.fields}
            )

            assert answer.status in (200, 400, 402, 404), answer.body


def test_it_runs_with_nothing_but_defaults() -> None:
    stripe = FakeStripe()

    answer = stripe.call("post", "/v1/payment_intents/", {"amount": 100, "currency": "eur"})

    assert made(answer)["client_secret"].startswith(f"{answer.body['id']}_secret_")
