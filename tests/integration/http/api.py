"""The HTTP API over an in-memory test kit. Every response is checked against the OpenAPI document."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import httpx
import jwt
from attrs import define, field

from booking_payments.adapters.gateways.fake.gateway import due_deliveries
from booking_payments.adapters.throttle import Counters
from booking_payments.entrypoints.http.app import metrics_of
from booking_payments.runtime.rate_limits import RateLimits
from booking_payments.runtime.services import Readiness, Services
from booking_payments.runtime.settings import Settings, load_settings
from booking_payments.sandbox.signature import sign
from booking_payments.testing.kit import SECRET, PaymentsTestKit
from tests.in_thread import InThreadClient
from tests.integration.http.apps import app_over
from tests.integration.http.openapi_checker import OpenApiChecker
from tests.integration.http.routes import DOCUMENT
from tests.services import READY, services_over

JWT_SECRET = "a-secret-of-the-tests-with-32-bytes-or-more"
Json = dict[str, Any]
CHECKER: Final = OpenApiChecker(DOCUMENT)
"""One for all tests, since to make the validators takes longer than most tests."""


def settings(**changes: str) -> Settings:
    """The settings of the tests, without a settings file."""
    return _loaded(frozenset(changes.items()))


@cache
def _loaded(changes: frozenset[tuple[str, str]]) -> Settings:
    given = {
        "JWT_SECRET": JWT_SECRET,
        "RATE_LIMIT_ENABLED": "false",
        "PAYMENT_RETURN_URL_ORIGINS": "https://shop.example",
        **dict(changes),
    }
    return load_settings(given, env_file=None)


LONGER_THAN_THE_SUITE_S = 4 * 3600


def token(sub: str = "ann", scope: str = "", **claims: Any) -> str:
    content = {"sub": sub, "exp": int(time.time()) + LONGER_THAN_THE_SUITE_S, "scope": scope, **claims}
    return jwt.encode(content, JWT_SECRET, "HS256")


def bearer(sub: str = "ann", scope: str = "") -> dict[str, str]:
    return {"Authorization": f"Bearer {token(sub, scope)}"}


ANN = bearer("ann")
BOB = bearer("bob")
OPERATOR = bearer("olga", "payments:operate")
BOOKING_APP = bearer("app", "bookings:write")


def problem_of(response: httpx.Response) -> Json:
    """Return the problem in a response, after checking that it is one."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    content: Json = response.json()
    assert content["status"] == response.status_code
    assert content["success"] is False
    assert content["error"] == content["detail"]
    return content


@define
class Api:
    """A client with shortcuts for the steps of a booking."""

    client: InThreadClient[Any]
    kit: PaymentsTestKit
    checker: OpenApiChecker
    _references: int = field(default=0)

    def send(
        self, method: str, path: str, who: Mapping[str, str] | None = None, headers: Any = None, **more: Any
    ) -> httpx.Response:
        sent = [*(who or {}).items(), *(headers or {}).items()]
        response = self.client.request(method, path, headers=sent, **more)
        self.checker.check(method, path, response)
        return response

    def get(self, path: str, who: Mapping[str, str] | None = None, **more: Any) -> httpx.Response:
        return self.send("GET", path, who, **more)

    def post(self, path: str, who: Mapping[str, str] | None = None, **more: Any) -> httpx.Response:
        return self.send("POST", path, who, **more)

    def new_booking(self, **changes: Any) -> Json:
        """The body that registers a booking."""
        self._references += 1
        return {
            "reference": f"R-{self._references}",
            "customer_id": "ann",
            "amount": "100.00",
            "currency": "usd",
            "event_starts_at": "2026-06-01T20:00:00Z",
            "event_id": "evening",
            **changes,
        }

    def book(self, **changes: Any) -> str:
        """Register a booking of Ann, and return its id."""
        response = self.post("/api/bookings/", BOOKING_APP, json=self.new_booking(**changes))
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def pay(
        self, booking_id: str, method: str = "pm_card_visa", who: Mapping[str, str] = ANN, **more: Any
    ) -> httpx.Response:
        body = {"payment_method_id": method, "confirm_immediately": True, **more}
        return self.post(f"/api/bookings/{booking_id}/payment/intent/", who, json=body)

    def paid(self, **changes: Any) -> str:
        """Register and pay a booking, and return its id."""
        booking_id = self.book(**changes)
        assert self.pay(booking_id).status_code == 200
        return booking_id

    def path_of(self, path: str, booking_id: str) -> str:
        """Fill ``path`` with the ids of a booking, its latest payment and its event; with unknown ids when it has
        none. An export is that of payments.
        """
        if "{event_id}" in path:
            found = self.get(f"/api/bookings/{booking_id}/", OPERATOR).json()
            return path.replace("{event_id}", found.get("event_id", booking_id))
        if "{payment_id}" in path:
            found = self.get(f"/api/bookings/{booking_id}/payment/status/", OPERATOR).json()
            return path.replace("{payment_id}", found.get("payment_id", booking_id))
        return path.replace("{booking_id}", booking_id).replace("{kind}", "payments")

    def status(self, booking_id: str, who: Mapping[str, str] = ANN) -> Json:
        content: Json = self.get(f"/api/bookings/{booking_id}/payment/status/", who).json()
        return content

    def deliver(self, body: bytes, signature: str | None = None) -> httpx.Response:
        """Deliver a webhook, signed now unless a signature is given."""
        signed = signature if signature is not None else sign(body, SECRET, self.kit.clock.now())
        return self.post("/api/webhooks/stripe/", headers={"Stripe-Signature": signed}, content=body)

    def deliver_all(self) -> list[Json]:
        answers = []
        for event_id, endpoint, body in list(due_deliveries(self.kit.stripe)):
            answers.append(self.deliver(body).json())
            self.kit.stripe.delivered(event_id, True, endpoint)
        return answers


def services_of(
    kit: PaymentsTestKit, *, readiness: Readiness | None = None, changes: Mapping[str, str] | None = None
) -> Services:
    """The services with an in-memory test kit and changed settings."""
    chosen = settings(**(changes or {}))
    limits = RateLimits.of(chosen, Counters(), kit.deps.webhook_names) if chosen.rate_limit_enabled else None
    return services_over(kit, chosen, readiness=readiness or READY, limits=limits)


@contextmanager
def open_api(
    *,
    readiness: Readiness | None = None,
    kit: PaymentsTestKit | None = None,
    changes: Mapping[str, str] | None = None,
) -> Iterator[Api]:
    """A separate app for ``kit``, with changed settings."""
    kit = kit or PaymentsTestKit()
    services = services_of(kit, readiness=readiness, changes=changes)
    with app_over(services, changes or {}) as app, InThreadClient(app, raise_server_exceptions=False) as client:
        yield Api(client=client, kit=kit, checker=CHECKER)


def moved_in(shared: Api, kit: PaymentsTestKit | None = None) -> Api:
    """The shared app with a new test kit: creating an app costs more than most tests."""
    kit = kit or PaymentsTestKit()
    state = shared.client.app.state
    services = services_of(kit)
    state["services"], state["metrics"] = services, metrics_of(services)
    shared.client.cookies.clear()
    return Api(client=shared.client, kit=kit, checker=shared.checker)
