"""The model takes the parameters that Stripe takes, and its answers are judged by Stripe's own description."""

import importlib
import re
from typing import Any

import pytest
import stripe

from booking_payments.sandbox.emulator import Answer
from booking_payments.sandbox.emulator.endpoints import ENDPOINTS, Endpoint
from tests.integration.sandbox.emulator.stripe_account import StripeAccountClient, made
from tests.stripe_openapi import description, is_described, problems, problems_of, problems_of_event, samples
from tests.stripe_openapi_checker import StripeOpenApiChecker

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
    "GET /v1/refunds/{id}": "RefundRetrieveParams",
    "POST /v1/refunds/{id}": "RefundUpdateParams",
    "POST /v1/refunds/{id}/cancel": "RefundCancelParams",
    "GET /v1/charges": "ChargeListParams",
    "GET /v1/charges/{id}": "ChargeRetrieveParams",
    "GET /v1/disputes": "DisputeListParams",
    "GET /v1/disputes/{id}": "DisputeRetrieveParams",
    "POST /v1/disputes/{id}": "DisputeUpdateParams",
    "POST /v1/disputes/{id}/close": "DisputeCloseParams",
    "POST /v1/payment_methods": "PaymentMethodCreateParams",
    "GET /v1/payment_methods": "PaymentMethodListParams",
    "GET /v1/payment_methods/{id}": "PaymentMethodRetrieveParams",
    "POST /v1/customers": "CustomerCreateParams",
    "GET /v1/customers/{id}": "CustomerRetrieveParams",
    "GET /v1/events": "EventListParams",
    "GET /v1/events/{id}": "EventRetrieveParams",
    "GET /v1/balance_transactions": "BalanceTransactionListParams",
    "GET /v1/balance_transactions/{id}": "BalanceTransactionRetrieveParams",
    "POST /v1/webhook_endpoints": "WebhookEndpointCreateParams",
    "GET /v1/webhook_endpoints": "WebhookEndpointListParams",
    "GET /v1/webhook_endpoints/{id}": "WebhookEndpointRetrieveParams",
    "DELETE /v1/webhook_endpoints/{id}": "WebhookEndpointDeleteParams",
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


def test_every_endpoint_is_compared() -> None:
    assert set(SDK_PARAMS) == set(BY_NAME)


def test_a_parameter_that_stripe_does_not_know_is_refused(account: StripeAccountClient) -> None:
    answer = account.stripe.call("POST", "/v1/refunds", {"payment_intent": "pi_1", "seat": "7"})

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
def test_the_judge_sees(account: StripeAccountClient, spoil: Any, problem: str) -> None:
    body = account.pay("pm_card_visa").body
    assert list(problems("GET", "/v1/payment_intents/pi_1", 200, body)) == []

    spoil(body)

    assert problem in " ".join(problems("GET", "/v1/payment_intents/pi_1", 200, body))


def test_the_judge_looks_into_lists_and_events(account: StripeAccountClient) -> None:
    account.pay("pm_card_visa")
    page = account.stripe.call("GET", "/v1/payment_intents").body
    event = account.stripe.events[-1]
    page["data"][0]["currency"] = 7
    event["data"]["object"]["amount"] = "many"

    assert any("currency" in each for each in problems("GET", "/v1/payment_intents", 200, page))
    assert any("amount" in each for each in problems_of_event(event))


def test_the_judge_takes_enums_as_open(account: StripeAccountClient) -> None:
    body = account.pay("pm_card_visa").body | {"status": "a_status_of_tomorrow"}

    assert list(problems("GET", "/v1/payment_intents/pi_1", 200, body)) == []


def test_the_judge_takes_enums_of_one_word_as_open(account: StripeAccountClient) -> None:
    body = account.pay("pm_card_visa").body | {"processing": {"type": "a_method_of_tomorrow"}}

    assert list(problems("GET", "/v1/payment_intents/pi_1", 200, body)) == []


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (404, {"error": {"message": "No such customer"}}, "type"),
        (404, {"message": "No such customer"}, "error"),
        (200, {"id": "cus_1", "object": "customer"}, "created"),
        (200, {"id": "x_1", "object": "novelty"}, "described nowhere"),
        (200, "no object", "described nowhere"),
    ],
)
def test_the_judge_lets_nothing_pass_unseen(status: int, body: object, problem: str) -> None:
    assert problem in " ".join(problems("GET", "/v1/customers/cus_1", status, body))


def test_an_object_is_judged_by_its_kind(account: StripeAccountClient) -> None:
    assert list(problems_of(account.paid() | {"object": "charge"})) != []


def test_only_customers_are_judged_without_a_description() -> None:
    undescribed = [line for line in BY_NAME if not is_described(*line.replace("{id}", "x_1").split())]

    assert undescribed == ["POST /v1/customers", "GET /v1/customers/{id}"]


# --- what is judged


def _make_everything(account: StripeAccountClient) -> dict[str, str]:
    """One of each kind, through every endpoint that makes or changes something; answers the ids by kind."""
    paid, disputed = account.paid(), account.paid("pm_card_createDispute")
    held, left = account.paid(capture_method="manual"), account.intent()
    refund, waiting = account.refunded(paid, amount=100), account.refunded(account.paid("pm_card_pendingRefund"))
    account.stripe.move_refund(waiting["id"], "requires_action")
    dispute = account.dispute_of(disputed)
    method = made(account.post("payment_methods", type="card", card={"token": "tok_visa"}))
    made(account.post(f"payment_intents/{left['id']}", description="row 7"))
    made(account.post(f"payment_intents/{left['id']}/confirm", payment_method=method["id"]))
    made(account.post(f"payment_intents/{held['id']}/capture", amount_to_capture=500))
    made(account.post(f"payment_intents/{account.intent()['id']}/cancel"))
    made(account.post(f"refunds/{refund['id']}", metadata={"a": "b"}))
    made(account.post(f"refunds/{waiting['id']}/cancel"))
    made(account.post(f"disputes/{dispute['id']}", evidence={"uncategorized_text": "it was played"}, submit=False))
    made(account.post(f"disputes/{dispute['id']}/close"))
    customer = made(account.post("customers", email="ann@example.com"))
    endpoint = made(account.post("webhook_endpoints", url="https://example.com/", enabled_events=["*"]))
    kinds = {"payment_intents": paid, "refunds": refund, "disputes": dispute, "payment_methods": method}
    kinds |= {"charges": account.charge_of(paid), "customers": customer, "webhook_endpoints": endpoint}
    kinds |= {
        "events": account.stripe.events[0],
        "balance_transactions": account.get("balance_transactions").body["data"][0],
    }
    return {name: body["id"] for name, body in kinds.items()}


def _read_everything(account: StripeAccountClient, ids: dict[str, str]) -> None:
    for line in sorted(BY_NAME, reverse=True):
        method, path = line.split()
        if method != "POST":
            made(account.stripe.call(method, path.replace("{id}", ids[path.split("/")[2]])))


def test_every_endpoint_is_judged(account: StripeAccountClient, every_answer_conforms: StripeOpenApiChecker) -> None:
    _read_everything(account, _make_everything(account))

    def answered(endpoint: Endpoint) -> bool:
        wanted = re.compile(f"{endpoint.method} {endpoint.pattern.pattern} 200")
        return any(wanted.fullmatch(each) for each in every_answer_conforms.heard)

    assert [line for line, endpoint in BY_NAME.items() if not answered(endpoint)] == []


NOT_SENT = {("charge", "refunds"): "expanded only, since version 2022-11-15"}
"""Fields of Stripe's samples that an answer does not have by itself."""


def test_objects_have_the_fields_of_stripes_samples(account: StripeAccountClient) -> None:
    ids = _make_everything(account)
    ours = [account.get(f"{name}/{id_}").body for name, id_ in ids.items()]

    missing = {(each["object"], name) for each in ours for name in samples()[each["object"]] if name not in each}
    assert missing == set(NOT_SENT)
    assert {each["object"] for each in ours} == set(samples())


def test_an_early_fraud_warning_has_the_fields_of_the_sdk(account: StripeAccountClient) -> None:
    account.paid("pm_card_createIssuerFraudRecord")
    warning = account.stripe.events[-1]["data"]["object"]

    assert set(warning) == {name for name in stripe.radar.EarlyFraudWarning.__annotations__ if name.islower()}


_ADDRESS = {"city": "Graz", "country": "AT", "line1": "Ring 1", "line2": "2", "postal_code": "8010", "state": "ST"}
_SHIPPING = {"address": _ADDRESS, "name": "Ann", "phone": "1", "carrier": "post", "tracking_number": "2"}
_CARD = {
    "type": "card",
    "card": {"token": "tok_visa"},
    "billing_details": {"address": _ADDRESS, "email": "ann@example.com", "name": "Ann", "phone": "1", "tax_id": "2"},
    "metadata": {"seat": "7"},
}
_TEXTS = {"description": "row 7", "receipt_email": "ann@example.com", "statement_descriptor_suffix": "ROW 7"}
_PAYMENT = {"payment_method_data": _CARD, "setup_future_usage": "off_session", "shipping": _SHIPPING}
_ALLOWED = {"allowed_payment_method_types": ["card"]}
WELL_FORMED: list[tuple[str, dict[str, Any]]] = [
    (
        "POST /v1/payment_intents",
        {
            "amount": 1000,
            "currency": "usd",
            "confirm": True,
            **_ALLOWED,
            **_PAYMENT,
            **_TEXTS,
        },
    ),
    ("POST /v1/payment_intents/{id}", {"amount": 2000, "metadata": {"seat": "7"}, **_PAYMENT, **_TEXTS}),
    ("POST /v1/payment_intents/{id}/confirm", {"receipt_email": "ann@example.com", **_PAYMENT}),
    ("POST /v1/payment_intents/{id}/cancel", {"cancellation_reason": "abandoned", "expand": ["latest_charge"]}),
    ("POST /v1/refunds", {"amount": 10, "reason": "duplicate", "metadata": {"seat": "7"}, "expand": ["charge"]}),
    ("POST /v1/refunds/{id}", {"metadata": {"seat": "7"}, "expand": ["charge", "payment_intent"]}),
    ("POST /v1/disputes/{id}", {"evidence": {"uncategorized_text": "it was played"}, "metadata": {"seat": "7"}}),
    ("POST /v1/payment_methods", {"allow_redisplay": "always", **_CARD}),
    ("POST /v1/payment_methods", {"type": "sepa_debit", "sepa_debit": {"iban": "DE89370400440532013000"}}),
    ("POST /v1/customers", {"email": "ann@example.com", "address": _ADDRESS, "shipping": _SHIPPING, "balance": 5}),
    ("POST /v1/webhook_endpoints", {"url": "https://example.com/", "enabled_events": ["*"], "description": "mine"}),
]
SPOILT: list[Any] = ["", "x", "5", -1, 0, True, None, [], ["x"], [{}], {}, {"a": "b"}, {"line1": 5}, {"name": {}}]
Place = tuple[str, ...]


def _places(value: Any, here: Place = ()) -> list[Place]:
    inside = value.items() if isinstance(value, dict) else ()
    return [*([here] if here else []), *(place for name, each in inside for place in _places(each, (*here, name)))]


def _spoilt(value: Any, place: Place, by: Any) -> Any:
    return {**value, place[0]: _spoilt(value[place[0]], place[1:], by)} if place else by


def _case(line: str, place: Place) -> str:
    return f"{line} {'/'.join(place)}"


CASES = [(line, params, place) for line, params in WELL_FORMED for place in _places(params)]


def _scene(account: StripeAccountClient, line: str) -> dict[str, str]:
    """Ids by kind of objects that a request can still change."""
    kind = line.split("/")[2]
    if kind == "refunds":
        paid = account.paid()
        return {"paid": paid["id"], "refunds": account.refunded(paid, amount=10)["id"]}
    if kind == "disputes":
        return {"disputes": account.dispute_of(account.paid("pm_card_createDisputeInquiry"))["id"]}
    return {}


def _ask(account: StripeAccountClient, scene: dict[str, str], line: str, params: dict[str, Any]) -> Answer:
    method, path = line.split()
    ids = scene | ({"payment_intents": account.intent()["id"]} if "payment_intents/{id}" in path else {})
    named = {"payment_intent": scene["paid"]} if line == "POST /v1/refunds" else {}
    return account.stripe.call(method, path.replace("{id}", ids.get(path.split("/")[2], "")), named | params)


@pytest.mark.parametrize(("line", "params", "place"), CASES, ids=[_case(line, place) for line, _, place in CASES])
def test_whatever_a_parameter_says_the_answer_conforms(
    account: StripeAccountClient,
    every_answer_conforms: StripeOpenApiChecker,
    line: str,
    params: dict[str, Any],
    place: Place,
) -> None:
    scene = _scene(account, line)
    answers = [_ask(account, scene, line, _spoilt(params, place, by)) for by in SPOILT]

    assert {answer.status for answer in answers} <= {200, 400, 402}
    assert every_answer_conforms.found == []


@pytest.mark.parametrize(("line", "params"), WELL_FORMED, ids=[line for line, _ in WELL_FORMED])
def test_what_is_spoilt_there_was_well_formed(account: StripeAccountClient, line: str, params: dict[str, Any]) -> None:
    assert _ask(account, _scene(account, line), line, params).status == 200
