"""Settings of the HTTP edge: other origins, TLS, the documentation."""

from typing import Any

import httpx
import pytest

from booking_payments.entrypoints.http.app import create_app
from booking_payments.testing.kit import PaymentsTestKit
from tests.integration.http.api import ANN, open_api, problem_of, services_of

SHOP = "https://shop.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}


# --- other origins


def test_an_allowed_origin_may_read_responses() -> None:
    with open_api(changes={"CORS_ORIGINS": SHOP}) as api:
        answer = api.get("/api/payment/config/", ANN, headers={"Origin": SHOP})

    assert answer.headers["access-control-allow-origin"] == SHOP
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://shop.example", f"{SHOP}.evil.example", ""])
def test_another_origin_may_not_read_responses(origin: str) -> None:
    with open_api(changes={"CORS_ORIGINS": SHOP}) as api:
        answer = api.get("/api/payment/config/", ANN, headers={"Origin": origin})

    assert "access-control-allow-origin" not in answer.headers


def test_an_allowed_origin_may_read_retry_after() -> None:
    with open_api(
        changes={"CORS_ORIGINS": SHOP, "RATE_LIMIT_ENABLED": "true", "RATE_LIMIT_ADDRESS": "1/minute"}
    ) as api:
        answers = [api.get("/api/payment/config/", ANN, headers={"Origin": SHOP}) for _ in range(2)]

    assert answers[1].status_code == 429
    assert answers[1].headers["access-control-allow-origin"] == SHOP


def test_a_preflight_request_of_an_allowed_origin_is_accepted() -> None:
    with open_api(changes={"CORS_ORIGINS": SHOP}) as api:
        answer = api.client.options("/api/bookings/", headers={"Origin": SHOP, **PREFLIGHT})

    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, SHOP)
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()


def test_a_preflight_request_of_another_origin_is_refused() -> None:
    with open_api(changes={"CORS_ORIGINS": SHOP}) as api:
        answer = api.client.options("/api/bookings/", headers={"Origin": "https://evil.example", **PREFLIGHT})

    assert answer.status_code == 400
    assert "access-control-allow-origin" not in answer.headers


def test_without_configured_origins_no_preflight_request_is_accepted() -> None:
    with open_api() as api:
        answer = api.client.options("/api/bookings/", headers={"Origin": SHOP, **PREFLIGHT})

    assert not [name for name in answer.headers if name.startswith("access-control")]


# --- TLS


async def strict(peer: str, scheme: str, forwarded: str | None, **settings: str) -> str | None:
    """Return the HSTS header of a response to ``peer``."""
    app: Any = create_app(services_of(PaymentsTestKit(), changes={"HSTS_MAX_AGE_S": "31536000", **settings}))
    transport = httpx.ASGITransport(app=app, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://service") as client:
        answer = await client.get("/health/live", headers={"X-Forwarded-Proto": forwarded} if forwarded else {})
    found: str | None = answer.headers.get("strict-transport-security")
    return found


async def test_hsts_is_sent_only_over_tls() -> None:
    assert await strict("10.0.0.7", "https", None) == "max-age=31536000"
    assert await strict("10.0.0.7", "http", None) is None


async def test_a_trusted_proxy_reports_tls() -> None:
    assert await strict("10.0.0.7", "http", "https", TRUSTED_PROXIES="10.0.0.7") == "max-age=31536000"
    assert await strict("10.0.0.8", "http", "https", TRUSTED_PROXIES="10.0.0.7") is None


async def test_hsts_is_sent_only_if_configured() -> None:
    assert await strict("10.0.0.7", "https", None, HSTS_MAX_AGE_S="0") is None


# --- documentation


@pytest.mark.parametrize("path", ["/schema", "/schema/openapi.json", "/schema/ui/init.js"])
def test_the_documentation_can_be_switched_off(path: str) -> None:
    with open_api(changes={"DOCS_ENABLED": "false"}) as api:
        answer = api.client.get(path)

    assert (answer.status_code, problem_of(answer)["code"]) == (404, "not_found")
