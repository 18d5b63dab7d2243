"""``doctor`` with Stripe: permissions of the key, webhook endpoints, and whether deliveries arrive."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from booking_payments.adapters.gateways.stripe.gateway import API_VERSION
from booking_payments.adapters.gateways.stripe.webhooks import ALERTS, KINDS
from booking_payments.entrypoints.cli import main
from booking_payments.ports.webhooks import WebhookRefused
from booking_payments.runtime.composition import build
from booking_payments.runtime.settings import load_settings, setting_names
from booking_payments.sandbox.signature import sign
from tests.integration.http.stand_in import StandIn, refusal, stand_in

SECRET = "whsec_doctor"
LISTS = ["payment_intents", "refunds", "disputes", "charges", "events"]
RIGHTS = {
    "GET /v1/payment_intents?": "PaymentIntents: read",
    "POST /v1/payment_intents": "PaymentIntents: write",
    "GET /v1/refunds": "Refunds: read",
    "POST /v1/refunds": "Refunds: write",
    "GET /v1/disputes": "Disputes: read",
    "GET /v1/charges": "Charges: read",
    "GET /v1/events": "Events: read",
}
EVERYTHING = ["*"]
URL = "https://pay.example/api/webhooks/stripe/"


@pytest.fixture
def stripe(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A correctly configured account, the settings for it in the environment, and a migrated database."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(sqlite_template, tmp_path / "booking-payments.db")
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    with stand_in() as account:
        settings = {
            "STRIPE_SECRET_KEY": "rk_test_doctor",
            "STRIPE_PUBLISHABLE_KEY": "pk_test_doctor",
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "STRIPE_API_BASE": account.url,
            "JWT_SECRET": "a-secret-of-the-tests-with-32-bytes-or-more",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        account.answer("GET /v1/payment_intents/pi_doctor", 404, refusal(code="resource_missing", param="intent"))
        for each in LISTS:
            account.answer(f"GET /v1/{each}", 200, {"object": "list", "data": [], "has_more": False})
        for each in ("payment_intents", "refunds"):
            account.answer(f"POST /v1/{each}", 400, refusal(code="parameter_missing", param="amount"))
        account.answer("GET /v2/", 404, refusal())
        has(account, endpoint())
        yield account
        asyncio.run(account.transport.close())


def endpoint(**changes: Any) -> dict[str, Any]:
    known = {"url": URL, "status": "enabled", "enabled_events": EVERYTHING, "api_version": API_VERSION}
    return {"id": "we_1", "object": "webhook_endpoint", **known, **changes}


def has(account: StandIn, *endpoints: dict[str, Any]) -> None:
    account.answer("GET /v1/webhook_endpoints", 200, {"object": "list", "data": list(endpoints), "has_more": False})


def findings() -> list[dict[str, Any]]:
    checks: list[dict[str, Any]] = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)["checks"]
    return checks


def wrong() -> list[tuple[str, str]]:
    return [(check["name"], check["detail"]) for check in findings() if not check["ok"]]


def test_a_correct_configuration_has_no_finding(stripe: StandIn) -> None:
    assert wrong() == []


@pytest.mark.parametrize("request_", RIGHTS)
def test_each_missing_permission_of_the_key_is_named(stripe: StandIn, request_: str) -> None:
    stripe.answer(request_, 403, refusal("The provided key 'rk_test_***tor' does not have the required permissions"))

    assert wrong() == [("rights", f"the key lacks {RIGHTS[request_]}")]


def test_all_missing_permissions_are_listed(stripe: StandIn) -> None:
    for request in RIGHTS:
        stripe.answer(request, 403, refusal())
    stripe.answer("GET /v1/payment_intents/pi_doctor", 403, refusal())

    assert [detail for _, detail in wrong()] == [f"the key lacks {right}" for right in RIGHTS.values()]


def test_the_check_creates_nothing_at_stripe(stripe: StandIn) -> None:
    findings()

    assert {params.get("amount") for line, params in stripe.asked if line.startswith("POST")} == {None}
    read = {line for line, _ in stripe.asked if line.startswith("GET")}
    assert {f"GET /v1/{each}?limit=1" for each in LISTS} <= read


def test_a_wrong_key_is_one_finding(stripe: StandIn) -> None:
    stripe.answer("GET /v1/payment_intents/pi_doctor", 401, refusal(code="api_key_expired"))

    assert wrong() == [("gateway", "stripe refuses the key (api_key_expired)")]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"status": "disabled"}, f"{URL} is disabled"),
        ({"enabled_events": sorted({*KINDS, *ALERTS} - {"refund.failed"})}, f"{URL} does not receive refund.failed"),
    ],
)
def test_each_fault_of_the_endpoint_is_named(stripe: StandIn, changes: dict[str, Any], found: str) -> None:
    has(stripe, endpoint(url="https://other.example/hooks", status="disabled"), endpoint(**changes))

    assert wrong() == [("endpoint", found)]


@pytest.mark.parametrize(("version", "shown"), [("2020-08-27", "2020-08-27"), (None, "the default version")])
def test_the_api_version_of_the_events_is_shown(stripe: StandIn, version: str | None, shown: str) -> None:
    has(stripe, endpoint(api_version=version))

    [detail] = [check["detail"] for check in findings() if check["name"] == "endpoint"]
    assert f"receives events in {shown}" in detail


@pytest.mark.parametrize(("mode", "ok"), [("test", True), ("live", False)])
def test_a_missing_endpoint_is_a_fault(stripe: StandIn, mode: str, ok: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a live key a URL without TLS is refused at the start, so the test changes the settings afterwards."""
    has(stripe, endpoint(url="https://other.example/hooks"))
    live = "booking_payments.adapters.gateways.stripe.settings.StripeSettings"
    monkeypatch.setattr(f"{live}.livemode", mode == "live")
    monkeypatch.setattr(f"{live}.problems", lambda settings, service: ())

    [check] = [check for check in findings() if check["name"] == "endpoint"]
    assert (check["ok"], "no webhook endpoint" in check["detail"]) == (ok, True)


def test_endpoints_that_the_key_may_not_read_are_not_a_fault(stripe: StandIn) -> None:
    stripe.answer("GET /v1/webhook_endpoints", 403, refusal())

    assert wrong() == []


def test_a_destination_for_thin_events_is_named(stripe: StandIn) -> None:
    destination = {"id": "ed_1", "event_payload": "thin", "webhook_endpoint": {"url": URL}}
    stripe.answer("GET /v2/core/event_destinations", 200, {"data": [destination]})

    assert wrong() == [("endpoint", f"{URL} receives thin events")]


# --- deliveries


async def _deliver(*deliveries: tuple[str, str]) -> None:
    async with build(load_settings(env_file=None)) as services:
        for number, secret in deliveries:
            event = {**_EVENT, "id": f"evt_{number}"}
            body = json.dumps(event).encode()
            try:
                await services.payments.receive_webhook(
                    body, {"Stripe-Signature": sign(body, secret, services.clock.now())}
                )
            except WebhookRefused:
                continue


def deliveries() -> dict[str, Any]:
    [check] = [check for check in findings() if check["name"] == "webhooks"]
    return check


def test_the_doctor_reports_that_no_delivery_has_arrived(stripe: StandIn) -> None:
    check = deliveries()

    assert (check["ok"], check["detail"]) == (
        True,
        "stripe: 0 refused for their signature in the last 24 hours; no good one has come yet",
    )


async def _read_from_the_list() -> None:
    """The event is found by the hourly catch-up and not delivered."""
    async with build(load_settings(env_file=None)) as services:
        await services.payments.catch_up()


def test_an_event_read_from_the_list_does_not_count_as_a_delivery(stripe: StandIn) -> None:
    """After a catch-up the database shows no missing events, but ``doctor`` must still report that deliveries are
    refused.
    """
    stripe.answer("GET /v1/events", 200, {"object": "list", "data": [_EVENT], "has_more": False})
    asyncio.run(_deliver(("1", "whsec_other")))
    asyncio.run(_read_from_the_list())

    check = deliveries()

    assert not check["ok"]
    assert check["detail"].endswith("no good one has come yet")


def test_a_delivery_of_an_event_that_was_already_read_counts(stripe: StandIn) -> None:
    stripe.answer("GET /v1/events", 200, {"object": "list", "data": [_EVENT], "has_more": False})
    asyncio.run(_read_from_the_list())
    asyncio.run(_deliver(("1", SECRET)))

    assert "the last good one came at 20" in deliveries()["detail"]


_EVENT = {"id": "evt_1", "type": "payment_intent.created", "data": {"object": {"id": "pi_1"}}}


def test_a_wrong_webhook_secret_is_detected_by_refused_deliveries(stripe: StandIn) -> None:
    asyncio.run(_deliver(*[(str(number), "whsec_other") for number in range(3)]))

    check = deliveries()

    assert not check["ok"]
    assert check["detail"].startswith("stripe: 3 refused for their signature")
    assert "STRIPE_WEBHOOK_SECRET" in check["remedy"]


def test_refused_deliveries_beside_accepted_ones_are_information(stripe: StandIn) -> None:
    asyncio.run(_deliver(("1", "whsec_other"), ("2", SECRET)))

    check = deliveries()

    assert check["ok"]
    assert check["detail"].startswith("stripe: 1 refused for their signature")
    assert "the last good one came at 20" in check["detail"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "DATABASE_URL is unset"),
        ({"DATABASE_URL": "sqlite:///own.db"}, "that of DATABASE_URL"),
        (
            {"DATABASE_URL": "mysql://the/host's", "BOOKING_PAYMENTS_DATABASE_URL": "sqlite:///own.db"},
            "that of BOOKING_PAYMENTS_DATABASE_URL",
        ),
        ({"BOOKING_PAYMENTS_PORT": "9000"}, "also read with the prefix: BOOKING_PAYMENTS_PORT"),
    ],
)
def test_the_name_of_the_setting_of_the_database_is_shown(
    given: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    checks = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)["checks"]

    assert said in checks[0]["detail"]
