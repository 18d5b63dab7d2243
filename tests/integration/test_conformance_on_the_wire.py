"""All responses that the sandbox sends are checked against Stripe's OpenAPI description."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from booking_payments.sandbox.emulator import objects
from booking_payments.testing.sandbox import Sandbox
from tests.stripe_openapi_checker import StripeOpenApiChecker, checking

PAID = {
    "amount": "1000",
    "currency": "usd",
    "allowed_payment_method_types[]": "card",
    "payment_method": "pm_card_visa",
    "confirm": "true",
}


@pytest.fixture
def checker() -> Iterator[StripeOpenApiChecker]:
    with checking() as checker:
        yield checker


@pytest.fixture
def http(checker: StripeOpenApiChecker) -> Iterator[httpx2.Client]:
    with Sandbox() as sandbox, httpx2.Client(base_url=sandbox.url, trust_env=False, timeout=10) as http:
        yield http


def _post(http: httpx2.Client, path: str, **form: Any) -> httpx2.Response:
    return http.post(path, data=form, auth=("sk_test_any", ""))


def test_every_reply_is_heard(checker: StripeOpenApiChecker, http: httpx2.Client) -> None:
    intent = _post(http, "/v1/payment_intents", **PAID).json()
    _post(http, "/v1/refunds", payment_intent=intent["id"])
    http.get("/v1/refunds")

    assert [each for each in checker.heard if each.startswith("wire")] == [
        "wire POST /v1/payment_intents 200",
        "wire POST /v1/refunds 200",
        "wire GET /v1/refunds 401",
    ]
    assert checker.found == []


def test_a_reply_that_does_not_conform_is_found(
    checker: StripeOpenApiChecker, http: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = objects.customer
    monkeypatch.setattr(objects, "customer", lambda *given, **named: whole(*given, **named) | {"created": "today"})

    _post(http, "/v1/customers")

    assert any(each.startswith("customer created: 'today'") for each in checker.found)


def test_the_customers_part_is_heard(checker: StripeOpenApiChecker, http: httpx2.Client) -> None:
    intent = _post(http, "/v1/payment_intents", amount="1000", currency="usd").json()
    secret = {"client_secret": intent["client_secret"], "payment_method": "pm_card_visa"}
    http.post(f"/v1/payment_intents/{intent['id']}/confirm", data=secret, auth=("pk_test_any", ""))

    assert "verb 200" in checker.heard
    assert f"wire POST /v1/payment_intents/{intent['id']}/confirm 200" in checker.heard
