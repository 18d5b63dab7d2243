"""``/_sandbox``: the parts that are not the merchant's."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any, Final

import httpx2
import pytest
import stripe

from booking_payments.sandbox.emulator import FakeStripe
from booking_payments.sandbox.http.account import SandboxStripe
from booking_payments.sandbox.http.playing import ROLES
from booking_payments.testing.sandbox import Sandbox
from tests.integration.sandbox.http.sdk import card, unpaid
from tests.nightly import NIGHTLY


def test_no_key_is_needed(sandbox: Sandbox) -> None:
    answer = httpx2.get(f"{sandbox.url}/_sandbox", trust_env=False, verify=False)

    assert answer.json()["sandbox"] == "booking-payments"


def test_the_customer_pays_in_the_browser(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    made = client.v1.payment_intents.create(unpaid())

    paid = sandbox.play(
        f"/payment_intents/{made.id}/confirm", client_secret=made.client_secret, payment_method="4242424242424242"
    )

    assert paid["status"] == "succeeded"


def test_a_wrong_secret_opens_nothing(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    made = client.v1.payment_intents.create(card("pm_card_authenticationRequired"))

    with pytest.raises(ValueError, match="client_secret"):
        sandbox.play(f"/payment_intents/{made.id}/authenticate", client_secret="pi_x_secret_y", outcome="succeeded")


def test_an_operator_refunds_in_the_dashboard(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    intent = client.v1.payment_intents.create(card())
    part = sandbox.play(f"/payment_intents/{intent.id}/refund", amount=1500)
    rest = sandbox.play(f"/payment_intents/{intent.id}/refund")

    assert (part["amount"], rest["amount"], part["metadata"]) == (1500, 8500, {})


@pytest.mark.parametrize(("inquiry", "status"), [(False, "needs_response"), (True, "warning_needs_response")])
def test_the_bank_disputes(sandbox: Sandbox, client: stripe.StripeClient, inquiry: bool, status: str) -> None:
    intent = client.v1.payment_intents.create(card())

    dispute = sandbox.play(f"/payment_intents/{intent.id}/dispute", reason="duplicate", inquiry=inquiry)

    assert (dispute["status"], dispute["reason"]) == (status, "duplicate")


def test_the_bank_disputes_a_part_in_any_status(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    intent = client.v1.payment_intents.create(card())
    path = f"/payment_intents/{intent.id}/dispute"

    part = sandbox.play(path, amount=3000, status="appeal_needs_response", is_charge_refundable=True)
    block = sandbox.play(path, amount=920, currency="eur", status="prevented", case_type="block")

    assert (part["amount"], part["status"], part["is_charge_refundable"]) == (3000, "appeal_needs_response", True)
    assert (block["amount"], block["currency"], block["balance_transactions"]) == (920, "eur", [])


def test_the_bank_moves_a_dispute(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    intent = client.v1.payment_intents.create(card())
    dispute = sandbox.play(f"/payment_intents/{intent.id}/dispute", inquiry=True)
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 1000})

    lost = sandbox.play(
        f"/disputes/{dispute['id']}", status="lost", reinstated=4000, is_charge_refundable=False, keeps_refunds=True
    )
    won = sandbox.play(f"/disputes/{dispute['id']}", status="won")

    assert (lost["status"], lost["is_charge_refundable"], won["is_charge_refundable"]) == ("lost", False, True)
    assert [each["amount"] for each in won["balance_transactions"]] == [-10000, 4000, 6000]
    assert client.v1.refunds.retrieve(refund.id).status == "succeeded"
    assert client.v1.disputes.retrieve(dispute["id"]).status == "won"


def test_the_bank_moves_a_refund(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    intent = client.v1.payment_intents.create(card())
    refund = client.v1.refunds.create({"payment_intent": intent.id})

    moved = sandbox.play(f"/refunds/{refund.id}", status="failed", failure_reason="lost_or_stolen_card")

    assert (moved["status"], moved["failure_reason"]) == ("failed", "lost_or_stolen_card")


def test_the_account_settles_in_another_currency(
    sandbox: Sandbox, client: stripe.StripeClient, http: httpx2.Client
) -> None:
    intent = client.v1.payment_intents.create(card())
    sandbox.play("/account", settlement_currency="eur", rates={"usd": "0.92"})
    dispute = sandbox.play(f"/payment_intents/{intent.id}/dispute")
    told = sandbox.play("/account", rates={"usd": "0.915"})

    won = sandbox.play(f"/disputes/{dispute['id']}", status="won")

    assert [(each["amount"], each["currency"]) for each in won["balance_transactions"]] == [
        (-9200, "eur"),
        (9150, "eur"),
    ]
    assert told == {"settlement_currency": "eur", "rates": {"usd": "0.915"}, "release_as_refund": False}
    assert http.get("/_sandbox/account").json() == told
    assert sandbox.play("/account", settlement_currency=None)["rates"] == {}


def test_the_account_lists_releases_as_refunds(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    sandbox.play("/account", release_as_refund=True)
    params = card()
    params["capture_method"] = "manual"
    intent = client.v1.payment_intents.create(params)
    client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 7500})

    (refund,) = client.v1.refunds.list({"payment_intent": intent.id}).data

    assert (refund.amount, str(refund.metadata), refund.reason) == (2500, "{}", None)


def test_the_clock_is_advanced_and_due_things_happen(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    intent = client.v1.payment_intents.create(card("pm_card_pendingRefund", capture_method="automatic"))
    refund = client.v1.refunds.create({"payment_intent": intent.id})

    advanced = sandbox.play("/clock", advance_s=86400)

    assert advanced["happened"] == 1
    assert client.v1.refunds.retrieve(refund.id).status == "succeeded"
    assert datetime.fromisoformat(advanced["now"]) - datetime.now(UTC) > timedelta(hours=23)


def test_a_key_runs_anew_after_a_day(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    first = client.v1.payment_intents.create(card(), {"idempotency_key": "k"})
    sandbox.advance(timedelta(hours=24))
    again = client.v1.payment_intents.create(card(), {"idempotency_key": "k"})

    assert again.id != first.id


def test_calls_tell_methods_keys_and_their_age(
    sandbox: Sandbox, client: stripe.StripeClient, http: httpx2.Client
) -> None:
    client.v1.payment_intents.create(card(), {"idempotency_key": "k"})
    sandbox.advance(timedelta(hours=1))
    client.v1.payment_intents.create(card(), {"idempotency_key": "k"})

    calls = http.get("/_sandbox/calls").json()["calls"]

    assert [(call["method"], call["path"], call["key"]) for call in calls] == [
        ("POST", "/v1/payment_intents", "k"),
        ("POST", "/v1/payment_intents", "k"),
    ]
    assert calls[0]["key_age_s"] == 0
    assert calls[1]["key_age_s"] >= 3600


def test_playing_is_not_among_the_calls(sandbox: Sandbox, http: httpx2.Client) -> None:
    sandbox.play("/webhook_endpoints", url="http://127.0.0.1:9/", secret="whsec_x")
    sandbox.play("/webhook_endpoints", url="http://127.0.0.1:9/", secret="whsec_y")

    assert http.get("/_sandbox/calls").json() == {"calls": []}


def test_reset_forgets_everything(sandbox: Sandbox, client: stripe.StripeClient, http: httpx2.Client) -> None:
    client.v1.payment_intents.create(card())
    sandbox.play("/webhook_endpoints", url="http://127.0.0.1:9/", secret="whsec_x")
    sandbox.play("/faults", match="POST /v1/refunds", fault="503")
    sandbox.play("/clock", advance_s=1000)
    sandbox.play("/account", settlement_currency="eur", release_as_refund=True)
    sandbox.play("/reset")

    assert client.v1.payment_intents.list().data == []
    assert http.get("/_sandbox/webhook_endpoints").json() == {"webhook_endpoints": []}
    assert http.get("/_sandbox/faults").json() == {"faults": []}
    assert http.get("/_sandbox/account").json()["settlement_currency"] is None
    assert datetime.fromisoformat(http.get("/_sandbox/clock").json()["now"]) - datetime.now(UTC) < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/clock", {"advance_s": -1}),
        ("/clock", {"advance_s": 10**12}),
        ("/clock", {"advance": 1}),
        ("/clock", {}),
        ("/faults", {"match": "POST /v1/refunds", "fault": "earthquake"}),
        ("/faults", {"match": "webhook", "fault": "503"}),
        ("/faults", {"match": "POST /v1/refunds", "fault": "drop"}),
        ("/faults", {"match": "POST /v1/refunds", "fault": "503", "times": 0}),
        ("/faults", {"match": "*" * 50, "fault": "503"}),
        ("/webhook_endpoints", {"url": "ftp://127.0.0.1/", "secret": "whsec_x"}),
        ("/webhook_endpoints", {"url": "http://127.0.0.1/", "secret": ""}),
        ("/webhook_endpoints", {"url": "http://127.0.0.1/"}),
        ("/payment_intents/pi_1/authenticate", {"client_secret": "x", "outcome": "maybe"}),
        ("/payment_intents/pi_1/refund", {"amount": "1.00"}),
        ("/payment_intents/pi_1/dispute", {"amount": 0}),
        ("/payment_intents/pi_1/dispute", {"amount": "10"}),
        ("/payment_intents/pi_1/dispute", {"inquiry": "yes"}),
        ("/account", {"settlement_currency": "bitcoin"}),
        ("/account", {"settlement_currency": "eur", "rates": {"usd": 0.92}}),
        ("/account", {"settlement_currency": "eur", "rates": {"usd": "-1"}}),
        ("/account", {"rates": {"usd": "0.92"}}),
        ("/account", {"release_as_refund": "fraudulent"}),
        ("/disputes/du_1", {}),
        ("/disputes/du_1", {"status": "won", "reinstated": -1}),
        ("/disputes/du_1", {"status": "won", "reinstated": "1.00"}),
        ("/reset", {"really": True}),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_the_reason(
    http: httpx2.Client, path: str, body: dict[str, Any]
) -> None:
    answer = http.post(f"/_sandbox{path}", json=body)

    assert (answer.status_code, answer.json()["error"]["message"][:8]) == (400, "Invalid ")


@pytest.mark.parametrize("raw", [b"{", b"[]", b"\xff", b'{"advance_s": 1', b"[" * 100_000])
def test_a_body_without_a_json_object_is_refused(http: httpx2.Client, raw: bytes) -> None:
    answer = http.post("/_sandbox/clock", content=raw, headers={"Content-Type": "application/json"})

    assert answer.status_code == 400


def test_a_page_of_another_origin_cannot_play(http: httpx2.Client) -> None:
    body = b'{"url": "http://127.0.0.1:9/", "secret": "whsec_x"}'

    answer = http.post("/_sandbox/webhook_endpoints", content=body, headers={"Content-Type": "text/plain"})

    assert answer.status_code == 400


def test_another_method_gets_the_allowed_one(http: httpx2.Client) -> None:
    answer = http.delete("/_sandbox/calls")

    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")


def test_an_unknown_object_is_404(http: httpx2.Client) -> None:
    assert http.post("/_sandbox/payment_intents/pi_1/refund", json={}).status_code == 404
    assert http.post("/_sandbox/payment_intents/pi_1/dispute", json={}).status_code == 404
    assert http.post("/_sandbox/disputes/du_1", json={"status": "won"}).status_code == 404
    assert http.delete("/_sandbox/webhook_endpoints/we_1").status_code == 404


EACH: Final = 25 if NIGHTLY else 8
"""Payments of each of four shoppers, who pay at the same time."""


def test_the_model_can_be_used_while_the_server_runs(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    def shop(shopper: int) -> None:
        for number in range(EACH):
            sandbox.stripe.call("POST", "/v1/payment_intents", card(), f"{shopper}-{number}")
            sandbox.play("/clock", advance_s=1)

    with ThreadPoolExecutor(4) as shoppers:
        done = [shoppers.submit(shop, shopper) for shopper in range(4)]
        listed = [client.v1.payment_intents.list({"limit": 100}) for _ in range(EACH)]
    made = {intent.id for intent in client.v1.payment_intents.list({"limit": 100}).auto_paging_iter()}

    assert [each.exception() for each in done] == [None] * 4
    assert (len(listed), len(made)) == (EACH, 4 * EACH)


def test_every_body_refuses_unknown_fields() -> None:
    lenient = [role.body.__name__ for role in ROLES if not role.body.__struct_config__.forbid_unknown_fields]

    assert lenient == []


def test_every_verb_of_the_model_waits_its_turn(sandbox: Sandbox) -> None:
    verbs = {name for name in vars(FakeStripe) if not name.startswith("_")}
    waiting = Thread(target=sandbox.stripe.call, args=("GET", "/v1/refunds"))
    with sandbox.stripe.lock:
        waiting.start()
        waiting.join(0.05)
        before = len(sandbox.stripe.calls)
    waiting.join()

    assert verbs <= set(vars(SandboxStripe))
    assert (before, len(sandbox.stripe.calls)) == (0, 1)
