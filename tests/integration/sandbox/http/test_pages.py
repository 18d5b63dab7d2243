"""What a customer's browser loads from the sandbox."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from booking_payments.testing.sandbox import Sandbox

BACK = "https://shop.example/back?seat=A"


@pytest.fixture
def at_bank(http: httpx2.Client) -> dict[str, Any]:
    """An intent whose customer is redirected to the bank."""
    form = {
        "amount": "109900",
        "currency": "eur",
        "payment_method": "pm_card_authenticationRequired",
        "automatic_payment_methods[enabled]": "true",
        "confirm": "true",
        "return_url": BACK,
    }
    intent: dict[str, Any] = http.post("/v1/payment_intents", data=form).json()
    assert intent["status"] == "requires_action", intent
    return intent


def _bank(intent: dict[str, Any]) -> str:
    return str(intent["next_action"]["redirect_to_url"]["url"])


def test_the_bank_asks_for_consent_and_sends_the_customer_back(sandbox: Sandbox, at_bank: dict[str, Any]) -> None:
    address = _bank(at_bank)
    assert address.startswith(f"{sandbox.url}/pages/bank/{at_bank['id']}?key=")
    key = parse_qs(urlsplit(address).query)["key"][0]
    page = httpx2.get(address, trust_env=False, verify=False)
    left = httpx2.post(address, data={"key": key, "outcome": "succeeded"}, trust_env=False, verify=False)
    again = httpx2.post(address, data={"key": key, "outcome": "failed"}, trust_env=False, verify=False)

    assert "1,099.00 EUR" in page.text
    assert "take your time" not in page.text  # a card's bank decides at once
    assert left.status_code == 303
    secret = at_bank["client_secret"]
    query = f"payment_intent={at_bank['id']}&payment_intent_client_secret={secret}&redirect_status=succeeded"
    assert left.headers["Location"] == f"{BACK}&{query}"
    assert again.headers["Location"] == left.headers["Location"]


def test_another_key_or_outcome_is_refused(at_bank: dict[str, Any]) -> None:
    address = _bank(at_bank)
    key = parse_qs(urlsplit(address).query)["key"][0]

    assert httpx2.get(f"{address}x", trust_env=False, verify=False).status_code == 404
    wrong = httpx2.post(address, data={"key": f"{key}x", "outcome": "succeeded"}, trust_env=False, verify=False)
    assert wrong.status_code == 404
    assert httpx2.post(address, data={"key": key, "outcome": "paid"}, trust_env=False, verify=False).status_code == 400


def test_a_bank_page_that_was_left_open_changes_nothing_once_the_customer_pays_otherwise(
    sandbox: Sandbox, http: httpx2.Client, at_bank: dict[str, Any]
) -> None:
    address = _bank(at_bank)
    key = parse_qs(urlsplit(address).query)["key"][0]
    sandbox.stripe.confirm_as_customer(at_bank["id"], at_bank["client_secret"], "pm_card_authenticationRequired")
    left = httpx2.post(address, data={"key": key, "outcome": "succeeded"}, trust_env=False, verify=False)

    assert left.headers["Location"].endswith("redirect_status=failed")
    assert http.get(f"/v1/payment_intents/{at_bank['id']}").json()["status"] == "requires_action"


def test_after_a_reset_the_bank_is_where_it_was(sandbox: Sandbox) -> None:
    sandbox.play("/reset")
    made = sandbox.stripe.call(
        "POST",
        "/v1/payment_intents",
        {
            "amount": 1000,
            "currency": "eur",
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "always"},
        },
    ).body
    confirmed = sandbox.stripe.confirm_as_customer(made["id"], made["client_secret"], "ideal", BACK)

    assert _bank(confirmed.body).startswith(sandbox.url)


def test_only_what_the_script_calls_is_open_to_other_origins(sandbox: Sandbox) -> None:
    opened = httpx2.options(f"{sandbox.url}/_sandbox/payment_intents/pi_1/authenticate", trust_env=False, verify=False)
    closed = httpx2.options(f"{sandbox.url}/_sandbox/reset", trust_env=False, verify=False)
    refused = httpx2.post(
        f"{sandbox.url}/_sandbox/payment_intents/pi_1/authenticate",
        json={"client_secret": "pi_1_secret_x", "outcome": "succeeded"},
        trust_env=False,
        verify=False,
    )

    assert (opened.status_code, opened.headers["Access-Control-Allow-Origin"]) == (204, "*")
    assert refused.headers["Access-Control-Allow-Origin"] == "*"
    assert refused.status_code == 404
    assert "Access-Control-Allow-Origin" not in closed.headers
    assert closed.status_code == 405
