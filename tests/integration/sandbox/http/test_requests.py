"""Requests as the SDKs of several languages, and browsers, send them."""

import io
import logging
from typing import Any

import httpx2
import pytest
import stripe

from booking_payments.testing.sandbox import Sandbox
from tests.integration.sandbox.http.receiver import Receiver
from tests.integration.sandbox.http.sdk import card, unpaid

PAID = {
    "amount": "1000",
    "currency": "usd",
    "allowed_payment_method_types[]": "card",
    "payment_method": "pm_card_visa",
    "confirm": "True",
}


@pytest.fixture
def bare(sandbox: Sandbox) -> Any:
    """A client without a key."""
    with httpx2.Client(base_url=sandbox.url, trust_env=False, verify=False, timeout=10) as bare:
        yield bare


def _secret(client: stripe.StripeClient, **more: Any) -> tuple[str, str]:
    made = client.v1.payment_intents.create(unpaid() | more)
    return f"/v1/payment_intents/{made.id}", str(made.client_secret)


def test_python_sdks_of_some_years_write_booleans_with_a_capital(http: httpx2.Client) -> None:
    assert http.post("/v1/payment_intents", data=PAID).json()["status"] == "succeeded"


@pytest.mark.parametrize("key", ["sk_test_any", "rk_test_any"])
def test_secret_and_restricted_keys_are_let_in(bare: httpx2.Client, key: str) -> None:
    assert bare.post("/v1/payment_intents", data=PAID, headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_a_key_may_be_in_the_body(bare: httpx2.Client, client: stripe.StripeClient) -> None:
    path, secret = _secret(client)
    fields = {"client_secret": secret, "payment_method": "pm_card_visa", "_stripe_version": "2026-10-28.endive"}

    refused = bare.post(f"{path}/confirm", data=fields)
    paid = bare.post(f"{path}/confirm", data=fields | {"key": "pk_test_any"})

    assert (refused.status_code, paid.json()["status"]) == (401, "succeeded")


def test_a_browser_reads_and_confirms_with_a_card_that_was_typed_in(
    bare: httpx2.Client, client: stripe.StripeClient
) -> None:
    path, secret = _secret(client)
    fields = {
        "key": "pk_test_any",
        "client_secret": secret,
        "payment_method_data[type]": "card",
        "payment_method_data[card][number]": "4242 4242 4242 4242",
        "payment_method_data[card][exp_month]": "4",
        "payment_method_data[card][exp_year]": "2044",
        "payment_method_data[card][cvc]": "123",
        "payment_method_data[guid]": "NA",
        "use_stripe_sdk": "true",
    }
    paid = bare.post(f"{path}/confirm", data=fields)
    read = bare.get(path, params={"key": "pk_test_any", "client_secret": secret})
    method = client.v1.payment_methods.retrieve(paid.json()["payment_method"])

    assert (paid.json()["status"], read.json()["status"]) == ("succeeded", "succeeded")
    assert method.card is not None
    assert (method.card.last4, method.card.exp_month, method.card.exp_year) == ("4242", 4, 2044)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"client_secret": "pi_1_secret_2"}, 400),
        ({"amount": "1"}, 400),
        ({"off_session": "true"}, 400),
        ({"payment_method_data[card][number]": "4242424242424241"}, 402),
    ],
)
def test_a_browser_may_do_no_more(
    bare: httpx2.Client, client: stripe.StripeClient, more: dict[str, str], status: int
) -> None:
    path, secret = _secret(client)
    fields = {"key": "pk_test_any", "client_secret": secret, "payment_method_data[type]": "card"}
    number = {"payment_method_data[card][number]": "4242424242424242"}

    assert bare.post(f"{path}/confirm", data=fields | number | more).status_code == status


def test_a_browser_makes_a_method_and_sets_it_up(bare: httpx2.Client, client: stripe.StripeClient) -> None:
    customer = client.v1.customers.create()
    setup = client.v1.setup_intents.create({"customer": customer.id})
    fields = {"key": "pk_test_any", "type": "card", "card[number]": "4242424242424242"}
    method = bare.post("/v1/payment_methods", data=fields).json()["id"]
    fields = {"key": "pk_test_any", "client_secret": str(setup.client_secret), "payment_method": method}
    done = bare.post(f"/v1/setup_intents/{setup.id}/confirm", data=fields)

    assert done.json()["status"] == "succeeded"
    assert [each.id for each in client.v1.customers.payment_methods.list(customer.id).data] == [method]


@pytest.mark.parametrize("path", ["/v1/customers", "/v1/refunds", "/v1/payment_intents", "/v1/balance"])
def test_a_publishable_key_is_for_browsers_only(bare: httpx2.Client, path: str) -> None:
    answer = bare.get(path, params={"key": "pk_test_any"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "secret_key_required")


@pytest.mark.parametrize("version", ["2020-99-99", "latest", "2024-06-20.acacia", "2026-10-29", "2031-99-01.fir"])
def test_a_version_that_stripe_does_not_have_is_refused(http: httpx2.Client, version: str) -> None:
    answer = http.get("/v1/charges", headers={"Stripe-Version": version})

    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error.get("code")) == (400, "invalid_request_error", None)


@pytest.mark.parametrize("version", ["2019-12-03", "2024-06-20", "2026-10-28.endive", "2027-03-31.fir"])
def test_a_version_that_stripe_has_or_may_have_is_taken(http: httpx2.Client, version: str) -> None:
    answer = http.get("/v1/charges", headers={"Stripe-Version": version})

    assert (answer.status_code, answer.headers["Stripe-Version"]) == (200, version)


@pytest.mark.parametrize("header", ["Stripe-Account", "Stripe-Context"])
def test_requests_for_other_accounts_are_refused_by_name(http: httpx2.Client, header: str) -> None:
    answer = http.post("/v1/payment_intents", data=PAID, headers={header: "acct_1"})

    assert (answer.status_code, header in answer.json()["error"]["message"]) == (400, True)
    assert http.get("/v1/payment_intents").json()["data"] == []


def test_requests_may_name_the_account_itself(http: httpx2.Client) -> None:
    own = http.get("/v1/account").json()["id"]

    assert http.get("/v1/charges", headers={"Stripe-Account": own}).status_code == 200


def test_a_webhook_has_the_version_of_its_endpoint(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    sandbox.play("/webhook_endpoints", url=receiver.url, secret="whsec_a", api_version="2024-06-20")
    client.v1.payment_intents.create(card())
    receiver.wait_for(3)

    assert {event.api_version for event in receiver.events("whsec_a")} == {"2024-06-20"}


def test_a_webhook_endpoint_of_the_sandbox_has_a_known_version(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="Invalid Stripe API version"):
        sandbox.play("/webhook_endpoints", url="http://127.0.0.1:9/", secret="whsec_a", api_version="yesterday")


def test_a_voucher_is_paid_in_the_sandbox(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    shown = client.v1.payment_intents.create(
        {
            "amount": 10000,
            "currency": "mxn",
            "confirm": True,
            "allowed_payment_method_types": ["oxxo"],
            "payment_method_data": {"type": "oxxo", "billing_details": {"name": "Ann", "email": "a@example.com"}},
        }
    )
    paid = sandbox.play(f"/payment_intents/{shown.id}/voucher", outcome="paid")

    assert (shown.status, paid["status"]) == ("requires_action", "succeeded")


def test_a_set_up_is_authenticated_in_the_sandbox(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    waiting = client.v1.setup_intents.create(
        {
            "confirm": True,
            "payment_method": "pm_card_authenticationRequired",
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        }
    )
    path = f"/setup_intents/{waiting.id}/authenticate"
    done = sandbox.play(path, client_secret=waiting.client_secret, outcome="succeeded")

    assert (waiting.status, done["status"]) == ("requires_action", "succeeded")


def test_requests_are_not_logged_where_another_server_of_this_process_logs_its_own(
    http: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    access, lines = logging.getLogger("uvicorn.access"), io.StringIO()
    monkeypatch.setattr(access, "handlers", [logging.StreamHandler(lines)])
    level = access.level
    access.setLevel(logging.INFO)

    http.get("/v1/payment_intents")

    access.setLevel(level)

    assert lines.getvalue() == ""
