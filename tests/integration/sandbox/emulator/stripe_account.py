"""A Stripe account in memory with a clock that tests set, and short methods for its requests."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from booking_payments.sandbox.emulator import FakeStore, FakeStripe, StripeResponse

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
NO_REDIRECTS = {"enabled": True, "allow_redirects": "never"}


class StripeAccountClient:
    """Calls Stripe's model as one account.

    Attributes:
        now: the time of the account; ``wait`` advances it.
    """

    def __init__(self, store: FakeStore | None = None, seed: int = 1, start: datetime = START) -> None:
        self.now = start
        self.stripe = FakeStripe(lambda: self.now, random.Random(seed), store=store)

    def post(self, path: str, key: str | None = None, /, **params: Any) -> StripeResponse:
        return self.stripe.call("POST", f"/v1/{path}", params, key)

    def get(self, path: str, /, **params: Any) -> StripeResponse:
        return self.stripe.call("GET", f"/v1/{path}", params)

    def intent(self, /, **params: Any) -> dict[str, Any]:
        given = {"amount": 1000, "currency": "usd", "automatic_payment_methods": NO_REDIRECTS} | params
        return made(self.post("payment_intents", **given))

    def pay(self, payment_method: str = "pm_card_visa", key: str | None = None, /, **params: Any) -> StripeResponse:
        given = {"amount": 1000, "currency": "usd", "automatic_payment_methods": NO_REDIRECTS} | params
        if "capture_method" not in given:  # books at once; the default, automatic_async, books later
            given["capture_method"] = "automatic"
        return self.post("payment_intents", key, confirm=True, payment_method=payment_method, **given)

    def paid(self, payment_method: str = "pm_card_visa", /, **params: Any) -> dict[str, Any]:
        return made(self.pay(payment_method, **params))

    def refunded(self, intent: dict[str, Any], /, **params: Any) -> dict[str, Any]:
        return made(self.post("refunds", payment_intent=intent["id"], **params))

    def read(self, body: dict[str, Any]) -> dict[str, Any]:
        return made(self.get(f"{body['object']}s/{body['id']}"))

    def charge_of(self, intent: dict[str, Any]) -> dict[str, Any]:
        return made(self.get(f"charges/{self.read(intent)['latest_charge']}"))

    def dispute_of(self, intent: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.get("disputes", payment_intent=intent["id"]).body["data"][0]
        return found

    def wait(self, **span: float) -> int:
        self.now += timedelta(**span)
        return self.stripe.tick()

    def types(self, since: int = 0) -> list[str]:
        return [event["type"] for event in self.stripe.events[since:]]


def made(answer: StripeResponse) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    return answer.body


def error(answer: StripeResponse) -> dict[str, Any]:
    assert answer.status >= 400, answer.body
    body: dict[str, Any] = answer.body["error"]
    return body


class MemoryStore:
    """Keeps documents as JSON text, so nothing that JSON cannot say gets through."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.saves = 0

    def load(self) -> list[tuple[str, str, dict[str, Any]]]:
        return [(kind, id_, json.loads(text)) for (kind, id_), text in self.kept.items()]

    def save(self, changes: list[tuple[str, str, dict[str, Any] | None]]) -> None:
        self.saves += 1
        for kind, id_, document in changes:
            if document is None:
                self.kept.pop((kind, id_), None)
            else:
                self.kept[kind, id_] = json.dumps(document)
