"""Fields that a client cannot set: internal names in every body, and the price in hundreds of requests (at
night in thousands).
"""

from random import Random
from typing import Any

import pytest

from tests.integration.http.api import ANN, OPERATOR, Api, bearer, problem_of
from tests.integration.http.routes import DOCUMENT, OPERATIONS
from tests.integration.http.test_parsing import PRIVILEGED
from tests.nightly import NIGHTLY

WRITES = [
    (method, path) for (method, path), operation in OPERATIONS.items() if method == "POST" and operation["security"]
]
EVERYBODY = bearer("ann", "bookings:write payments:operate")
TAMPERED = 5_000 if NIGHTLY else 250
ANY_VALUE = ("1", 1, True, None, {"x": 1}, ["ann"])


def schema_of(method: str, path: str) -> dict[str, Any]:
    reference = OPERATIONS[method, path]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def test_at_least_twenty_names_are_tried() -> None:
    assert len(set(PRIVILEGED)) >= 20
    assert len(WRITES) >= 8


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_every_body_refuses_unknown_fields(method: str, path: str) -> None:
    assert schema_of(method, path)["additionalProperties"] is False


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_no_internal_field_can_be_set(api: Api, method: str, path: str) -> None:
    """With every scope, so that only the name can be the reason for a refusal."""
    booking_id = api.paid()
    example = OPERATIONS[method, path]["requestBody"]["content"]["application/json"].get("example", {})
    names = [name for name in PRIVILEGED if name not in schema_of(method, path)["properties"]]
    before = _state(api, booking_id)
    assert len(names) >= 17

    for place, name in enumerate(names):
        for value in ANY_VALUE if NIGHTLY else [ANY_VALUE[place % len(ANY_VALUE)]]:
            answer = api.post(path.replace("{booking_id}", booking_id), EVERYBODY, json={**example, name: value})
            assert (answer.status_code, problem_of(answer)["code"]) == (400, "unknown_field"), (name, value)

    assert _state(api, booking_id) == before


def _state(api: Api, booking_id: str) -> list[Any]:
    base = f"/api/bookings/{booking_id}"
    paths = (f"{base}/", f"{base}/payment/status/", f"{base}/payment/events/", "/api/payments/")
    return [api.get(path, OPERATOR).json() for path in paths]


# --- the price

NAMES = [
    "amount", "amount_minor", "currency", "price", "total", "discount", "fee", "fee_rate", "net", "booking_amount",
    "amount_received", "coupon", "unit_amount", "application_fee_amount", "booking", "payment_intent_id",
]  # fmt: skip
VALUES = ["0.01", "1", 1, 0, -1, "0", "-100.00", 0.01, None, True, "jpy", {"minor": 1, "currency": "jpy"}, ["1"]]


def tampered(chance: Random) -> dict[str, Any]:
    """Generate a request to pay, with a price in one of the places where a client can write something."""
    name, value = chance.choice(NAMES), chance.choice(VALUES)
    body = {"payment_method_id": "pm_card_visa", "confirm_immediately": True}
    spelled = chance.choice([name, name.upper(), name.replace("_", ""), name.title(), f" {name}"])
    return chance.choice(
        [
            {"json": {**body, spelled: value}},
            {"json": {**body, "metadata": {name: value}}},
            {"json": {**body, "booking": {name: value}}},
            {"json": body, "params": {name: str(value)}},
            {"json": body, "headers": {f"X-{name.replace('_', '-')}": str(value)}},
            {"json": body, "headers": {"X-HTTP-Method-Override": "PATCH", "Prefer": f"{name}={value}"}},
            {"json": body, "headers": {"Cookie": f"{name}={value}"}},
            {"data": {**body, name: str(value)}},
            {"content": f'{{"payment_method_id": "pm_card_visa", "{name}": 1, "{name}": 2}}'},
            {"json": [{**body, name: value}]},
        ]
    )


def test_no_request_changes_the_charged_amount(api: Api) -> None:
    chance, accepted = Random(4), 0
    booking_id = api.book(amount="123.45")
    for _ in range(TAMPERED):
        action = chance.choice(["intent", "confirm", "retry"])
        answer = api.post(f"/api/bookings/{booking_id}/payment/{action}/", ANN, **tampered(chance))
        assert answer.status_code < 500, answer.text
        if answer.status_code == 200:
            accepted += 1
            assert (answer.json()["amount"], answer.json()["currency"]) == ("123.45", "usd")
            booking_id = api.book(amount="123.45")

    intents = [event["data"]["object"] for event in api.kit.stripe.events if event["type"].startswith("payment_intent")]
    assert {(intent["amount"], intent["currency"]) for intent in intents} == {(12345, "usd")}
    assert {intent["amount_received"] for intent in intents} <= {0, 12345}
    assert accepted > TAMPERED // 20
