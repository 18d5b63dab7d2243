"""What the emulator answers and sends conforms to the types of Stripe's official SDK."""

import re
from typing import Any

import pytest

from booking_payments.sandbox.emulator import StripeResponse
from booking_payments.sandbox.emulator.endpoints import ENDPOINTS, Endpoint
from tests.integration.sandbox.emulator.stripe_account import StripeAccountClient, made
from tests.stripe_objects import problems, problems_of, problems_of_event, samples
from tests.stripe_openapi_checker import StripeOpenApiChecker

BY_NAME = {f"{each.method} {each.path}": each for each in ENDPOINTS}


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda body: body.pop("amount"), "amount"),
        (lambda body: body.pop("payment_record"), "payment_record"),
        (lambda body: body.update(amount="10000"), "not of type 'number'"),
        (lambda body: body.update(livemode=None), "livemode"),
        (lambda body: body.update(object="intent"), "described nowhere"),
        (lambda body: body.update(latest_charge={"id": "ch_1"}), "latest_charge"),
        (lambda body: body.update(metadata={"a": 1}), "metadata"),
        (lambda body: body.update(mood="good"), "mood"),
    ],
)
def test_the_check_finds(account: StripeAccountClient, spoil: Any, problem: str) -> None:
    body = account.pay("pm_card_visa").body
    assert list(problems(200, body)) == []

    spoil(body)

    assert problem in " ".join(problems(200, body))


def test_the_check_reads_lists_and_events(account: StripeAccountClient) -> None:
    account.pay("pm_card_visa")
    page = account.stripe.call("GET", "/v1/payment_intents").body
    event = account.stripe.events[-1]
    page["data"][0]["currency"] = 7
    event["data"]["object"]["amount"] = "many"

    assert any("currency" in each for each in problems(200, page))
    assert any("amount" in each for each in problems_of_event(event))


def test_the_check_takes_enums_as_open(account: StripeAccountClient) -> None:
    body = account.pay("pm_card_visa").body | {"status": "a_status_of_tomorrow"}

    assert list(problems(200, body)) == []


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (404, {"error": {"message": "No such customer"}}, "type"),
        (404, {"message": "No such customer"}, "error"),
        (200, {"id": "cus_1", "object": "customer"}, "created"),
        (200, {"id": "x_1", "object": "novelty"}, "described nowhere"),
        (200, "no object", "described nowhere"),
        (200, {"object": "list", "data": [{"object": "novelty"}], "has_more": False, "url": "/v1/x"}, "novelty"),
        (200, {"id": "we_1", "object": "webhook_endpoint"}, "enabled_events"),
    ],
)
def test_the_check_leaves_no_body_out(status: int, body: object, problem: str) -> None:
    assert problem in " ".join(problems(status, body))


def test_an_object_is_checked_by_its_kind(account: StripeAccountClient) -> None:
    assert list(problems_of(account.paid() | {"object": "charge"})) != []


# --- every endpoint


def _make_everything(account: StripeAccountClient) -> dict[str, str]:
    """One object of each kind, through every endpoint that makes or changes one; answers the ids by kind."""
    paid, disputed = account.paid(), account.paid("pm_card_createDispute")
    risky, warned = account.paid("pm_card_riskLevelElevated"), account.paid("pm_card_createIssuerFraudRecord")
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
    made(account.post(f"charges/{paid['latest_charge']}", description="row 8"))
    made(account.post(f"disputes/{dispute['id']}", evidence={"uncategorized_text": "it was played"}, submit=False))
    made(account.post(f"disputes/{dispute['id']}/close"))
    customer = made(account.post("customers", email="ann@example.com"))
    made(account.post(f"customers/{customer['id']}", name="Ann"))
    kept = made(account.post("payment_methods/pm_card_visa/attach", customer=customer["id"]))
    made(account.post(f"payment_methods/{kept['id']}", metadata={"a": "b"}))
    gone = made(account.post("payment_methods/pm_card_visa/attach", customer=customer["id"]))
    made(account.post(f"payment_methods/{gone['id']}/detach"))
    made(account.post(f"reviews/{account.read(risky)['review']}/approve"))
    setup = made(account.post("setup_intents", customer=customer["id"], allowed_payment_method_types=["card"]))
    made(account.post(f"setup_intents/{setup['id']}", payment_method="pm_card_visa"))
    made(account.post(f"setup_intents/{setup['id']}/confirm"))
    made(account.post(f"setup_intents/{made(account.post('setup_intents'))['id']}/cancel"))
    endpoint = made(account.post("webhook_endpoints", url="https://example.com/", enabled_events=["*"]))
    made(account.post(f"webhook_endpoints/{endpoint['id']}", disabled=True))
    warning = account.get("radar/early_fraud_warnings", payment_intent=warned["id"]).body["data"][0]
    kinds = {"payment_intents": paid, "refunds": refund, "disputes": dispute, "payment_methods": kept}
    kinds |= {"charges": account.charge_of(paid), "customers": customer, "webhook_endpoints": endpoint}
    kinds |= {
        "events": account.stripe.events[0],
        "balance_transactions": account.get("balance_transactions").body["data"][0],
    }
    kinds |= {"radar": warning, "reviews": account.get("reviews").body["data"][0], "setup_intents": setup}
    return {name: body["id"] for name, body in kinds.items()}


def _read_everything(account: StripeAccountClient, ids: dict[str, str]) -> None:
    for line in sorted(BY_NAME, key=lambda line: (line.startswith("DELETE"), line)):
        method, path = line.split()
        if method != "POST":
            path = path.replace("{id}", ids.get(path.split("/")[2], "")).replace("{method}", ids["payment_methods"])
            made(account.stripe.call(method, path, {"query": "created>0"} if path.endswith("/search") else {}))


def test_every_endpoint_is_checked(account: StripeAccountClient, every_answer_conforms: StripeOpenApiChecker) -> None:
    _read_everything(account, _make_everything(account))

    def answered(endpoint: Endpoint) -> bool:
        wanted = re.compile(f"{endpoint.method} {endpoint.pattern.pattern} 200")
        return any(wanted.fullmatch(each) for each in every_answer_conforms.heard)

    assert [line for line, endpoint in BY_NAME.items() if not answered(endpoint)] == []


NOT_SENT = {
    ("charge", "refunds"): "expanded only, since version 2022-11-15",
    ("charge", "radar_options"): "the emulator takes none",
    ("dispute", "payment_method_details"): "",
}
"""Fields of Stripe's samples that an answer does not have by itself."""


def test_objects_have_the_fields_of_stripes_samples(account: StripeAccountClient) -> None:
    ids = _make_everything(account)
    ours = [account.get(f"{name}/{id_}").body for name, id_ in ids.items() if name != "radar"]
    sampled = [each for each in ours if each["object"] in samples()]

    missing = {(each["object"], name) for each in sampled for name in samples()[each["object"]] if name not in each}
    assert missing <= set(NOT_SENT)
    assert {each["object"] for each in sampled} == set(samples())


_ADDRESS = {"city": "Graz", "country": "AT", "line1": "Ring 1", "line2": "2", "postal_code": "8010", "state": "ST"}
_TO_CUSTOMER = {"address": _ADDRESS, "name": "Ann", "phone": "1"}
_SHIPPING = {**_TO_CUSTOMER, "carrier": "post", "tracking_number": "2"}
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
    ("POST /v1/customers", {"email": "ann@example.com", "address": _ADDRESS, "shipping": _TO_CUSTOMER, "balance": 5}),
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


def _ask(account: StripeAccountClient, scene: dict[str, str], line: str, params: dict[str, Any]) -> StripeResponse:
    method, path = line.split()
    ids = scene | ({"payment_intents": account.intent()["id"]} if "payment_intents/{id}" in path else {})
    named = {"payment_intent": scene["paid"]} if line == "POST /v1/refunds" else {}
    return account.stripe.call(method, path.replace("{id}", ids.get(path.split("/")[2], "")), named | params)


@pytest.mark.parametrize(("line", "params", "place"), CASES, ids=[_case(line, place) for line, _, place in CASES])
def test_answers_conform_for_any_value_of_a_parameter(
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
def test_the_spoilt_requests_were_well_formed(account: StripeAccountClient, line: str, params: dict[str, Any]) -> None:
    assert _ask(account, _scene(account, line), line, params).status == 200
