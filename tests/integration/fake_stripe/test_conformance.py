"""The model takes the parameters that Stripe takes, and its answers are judged by Stripe's own description."""

import importlib
import re
from typing import Any

import pytest
import stripe

from booking_payments.adapters.fake_stripe.endpoints import ENDPOINTS, Endpoint
from tests.integration.fake_stripe.shop import Shop
from tests.stripe_openapi import description, problems, problems_of_event

SDK_PARAMS = {
    "POST /v1/payment_intents": "PaymentIntentCreateParams",
    "GET /v1/payment_intents": "PaymentIntentListParams",
    "GET /v1/payment_intents/{id}": "PaymentIntentRetrieveParams",
    "POST /v1/payment_intents/{id}": "PaymentIntentUpdateParams",
    "POST /v1/payment_intents/{id}/confirm": "PaymentIntentConfirmParams",
    "POST /v1/payment_intents/{id}/capture": "PaymentIntentCaptureParams",
    "POST /v1/payment_intents/{id}/cancel": "PaymentIntentCancelParams",
    "POST /v1/refunds": "RefundCreateParams",
    "GET /v1/refunds": "RefundListParams",
    "POST /v1/refunds/{id}": "RefundUpdateParams",
    "POST /v1/refunds/{id}/cancel": "RefundCancelParams",
    "GET /v1/charges": "ChargeListParams",
    "GET /v1/disputes": "DisputeListParams",
    "POST /v1/disputes/{id}": "DisputeUpdateParams",
    "POST /v1/disputes/{id}/close": "DisputeCloseParams",
    "POST /v1/customers": "CustomerCreateParams",
    "GET /v1/events": "EventListParams",
    "GET /v1/balance_transactions": "BalanceTransactionListParams",
    "POST /v1/webhook_endpoints": "WebhookEndpointCreateParams",
    "GET /v1/webhook_endpoints": "WebhookEndpointListParams",
}
BY_NAME = {f"{each.method} {each.pattern.pattern.replace('(?P<id>[^/]+)', '{id}')}": each for each in ENDPOINTS}


def _of_sdk(name: str) -> set[str]:
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    typed = getattr(importlib.import_module(f"stripe.params._{words}"), name)
    return set(typed.__annotations__) - set(stripe.RequestOptions.__annotations__)


def _of_description(line: str) -> set[str]:
    method, path = line.split()
    for known, operations in description()["paths"].items():
        if re.sub(r"\{\w+\}", "{id}", known) == path and method.lower() in operations:
            operation: dict[str, Any] = operations[method.lower()]
            names = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
            form = operation.get("requestBody", {}).get("content", {}).get("application/x-www-form-urlencoded", {})
            return names | set(form.get("schema", {}).get("properties", {}))
    return set()


@pytest.mark.parametrize("line", sorted(SDK_PARAMS))
def test_the_parameters_are_stripes(line: str) -> None:
    endpoint: Endpoint = BY_NAME[line]
    stripes = _of_description(line) | _of_sdk(SDK_PARAMS[line])

    assert (stripes - set(endpoint.fields), set(endpoint.fields) - stripes) == (set(), set())


def test_of_payment_methods_only_the_types_differ() -> None:
    stripes = _of_sdk("PaymentMethodCreateParams") | _of_description("POST /v1/payment_methods")

    assert set(BY_NAME["POST /v1/payment_methods"].fields) <= stripes


def test_a_parameter_that_stripe_does_not_know_is_refused(shop: Shop) -> None:
    answer = shop.stripe.call("POST", "/v1/refunds", {"payment_intent": "pi_1", "seat": "7"})

    assert (answer.status, answer.body["error"]["code"]) == (400, "parameter_unknown")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda body: body.pop("amount"), "amount"),
        (lambda body: body.update(amount="10000"), "not of type 'integer'"),
        (lambda body: body.update(livemode=None), "livemode"),
        (lambda body: body.update(object="intent"), "object"),
        (lambda body: body.update(latest_charge={"id": "ch_1"}), "latest_charge"),
        (lambda body: body.update(metadata={"a": 1}), "metadata"),
    ],
)
def test_the_judge_sees(shop: Shop, spoil: Any, problem: str) -> None:
    body = shop.pay("pm_card_visa").body
    assert list(problems("GET", "/v1/payment_intents/pi_1", 200, body)) == []

    spoil(body)

    assert problem in " ".join(problems("GET", "/v1/payment_intents/pi_1", 200, body))


def test_the_judge_looks_into_lists_and_events(shop: Shop) -> None:
    shop.pay("pm_card_visa")
    page = shop.stripe.call("GET", "/v1/payment_intents").body
    event = shop.stripe.events[-1]
    page["data"][0]["currency"] = 7
    event["data"]["object"]["amount"] = "many"

    assert any("currency" in each for each in problems("GET", "/v1/payment_intents", 200, page))
    assert any("amount" in each for each in problems_of_event(event))


def test_the_judge_takes_enums_as_open(shop: Shop) -> None:
    body = shop.pay("pm_card_visa").body | {"status": "a_status_of_tomorrow"}

    assert list(problems("GET", "/v1/payment_intents/pi_1", 200, body)) == []
