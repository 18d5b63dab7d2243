"""Too many requests are refused with the time to retry; no client can avoid being counted."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from booking_payments.adapters.throttle import Counters, Throttle
from booking_payments.application.dependencies import PaymentConfig
from booking_payments.entrypoints.http.app import create_app
from booking_payments.entrypoints.http.limits import UNCOUNTED, address_of
from booking_payments.runtime.rate_limits import RateLimits
from booking_payments.testing.kit import PaymentsTestKit
from tests.integration.http.api import (
    ANN,
    BOB,
    BOOKING_APP,
    OPERATOR,
    Api,
    bearer,
    open_api,
    problem_of,
    services_of,
    settings,
)
from tests.integration.http.routes import declared

EVENT = b'{"id": "evt_1", "object": "event", "type": "made.up", "livemode": false}'


def limited(**changes: str) -> dict[str, str]:
    return {"RATE_LIMIT_ENABLED": "true", **changes}


def config(api: Api, who: Mapping[str, str] = ANN) -> httpx.Response:
    return api.get("/api/payment/config/", who)


# --- per client address


def test_too_many_requests_of_an_address_are_429_with_a_retry_time() -> None:
    with open_api(changes=limited(RATE_LIMIT_ADDRESS="3/minute")) as api:
        answers = [config(api) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert problem_of(answers[-1])["code"] == "too_many_requests"
    assert problem_of(answers[-1])["retryable"] is True
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 20


def test_a_429_has_the_usual_headers_and_is_counted() -> None:
    with open_api(changes=limited(RATE_LIMIT_ADDRESS="1/minute")) as api:
        config(api)
        answer = config(api)
        metrics = api.get("/metrics").text

    assert answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    assert 'booking_payments_rate_limited_total{limit="address"} 1.0' in metrics


def test_unknown_paths_are_counted() -> None:
    with open_api(changes=limited(RATE_LIMIT_ADDRESS="2/minute")) as api:
        statuses = [api.get(path).status_code for path in ("/nope", "/admin", "/nope")]

    assert statuses == [404, 404, 429]


@pytest.mark.parametrize("slash", ["", "/"])
def test_stripes_webhooks_are_never_rate_limited(slash: str) -> None:
    with open_api(changes=limited(RATE_LIMIT_ADDRESS="1/minute")) as api:
        config(api)
        statuses = {api.post(f"/api/webhooks/stripe{slash}", content=EVENT).status_code for _ in range(5)}

    assert statuses == {400}


def test_probes_are_never_rate_limited() -> None:
    with open_api(changes=limited(RATE_LIMIT_ADDRESS="1/minute")) as api:
        statuses = {api.get(path).status_code for path in ("/health/live", "/health/ready", "/metrics") * 3}

    assert statuses == {200}


def test_every_uncounted_path_is_a_route() -> None:
    assert {each.path.rstrip("/") for each in declared(sandboxed=False)} >= UNCOUNTED


def test_limits_can_be_switched_off() -> None:
    with open_api(changes={"RATE_LIMIT_ADDRESS": "1/minute", "RATE_LIMIT_MONEY": "1/minute"}) as api:
        assert {config(api).status_code for _ in range(5)} == {200}


# --- per principal, where money moves


def test_moving_money_too_often_is_429() -> None:
    with open_api(changes=limited(RATE_LIMIT_MONEY="2/minute")) as api:
        booking_id = api.book()
        statuses = [api.pay(booking_id).status_code for _ in range(3)]

    assert statuses == [200, 409, 429]


def test_the_money_limit_does_not_affect_other_principals_and_reads() -> None:
    with open_api(changes=limited(RATE_LIMIT_MONEY="1/minute")) as api:
        first, other = api.book(), api.book(customer_id="bob")
        api.pay(first)
        refused = api.pay(first)
        of_bob, looked = api.pay(other, who=BOB), api.get(f"/api/bookings/{first}/payment/status/", ANN)

    assert (refused.status_code, of_bob.status_code, looked.status_code) == (429, 200, 200)


def test_a_new_token_does_not_reset_the_limit() -> None:
    with open_api(changes=limited(RATE_LIMIT_MONEY="1/minute")) as api:
        booking_id = api.book()
        api.pay(booking_id)

        assert api.pay(booking_id, who=bearer("ann", "something")).status_code == 429


def test_all_routes_that_move_money_share_one_limit() -> None:
    with open_api(changes=limited(RATE_LIMIT_MONEY="1/minute")) as api:
        booking_id = api.book()
        api.pay(booking_id)
        paths = [f"/api/bookings/{booking_id}/payment/{action}/" for action in ("refund", "cancel", "confirm", "retry")]
        statuses = {api.post(path, ANN, json={}).status_code for path in paths}

    assert statuses == {429}


def test_a_booking_app_is_limited_only_by_its_address() -> None:
    with open_api(changes=limited(RATE_LIMIT_MONEY="1/minute")) as api:
        statuses = {api.post("/api/bookings/", BOOKING_APP, json=api.new_booking()).status_code for _ in range(5)}

        bookings = [api.book() for _ in range(3)]
        canceled = {api.post(f"/api/bookings/{each}/cancel/", BOOKING_APP, json={}).status_code for each in bookings}

    assert (statuses, canceled) == ({201}, {200})


def test_a_customer_who_cancels_bookings_is_counted() -> None:
    with open_api(changes=limited(RATE_LIMIT_MONEY="1/minute")) as api:
        bookings = [api.book() for _ in range(2)]
        statuses = [api.post(f"/api/bookings/{each}/cancel/", ANN, json={}).status_code for each in bookings]

    assert statuses == [200, 429]


def test_the_routes_that_count_as_moving_money() -> None:
    counted = {each.path for each in declared(sandboxed=True) if each.moves_money}

    of_bookings = ("intent", "record", "confirm", "retry", "capture", "cancel", "refund")
    assert counted == {
        "/api/bookings/{booking_id}/",  # PATCH: an amendment can refund
        "/api/bookings/{booking_id}/cancel/",
        *(f"/api/events/{{event_id}}/{action}/" for action in ("cancel", "reschedule")),
        *(f"/api/bookings/{{booking_id}}/payment/{action}/" for action in of_bookings),
        *(f"/api/payments/{{payment_id}}/{action}/" for action in ("refund", "owed/settle")),
    }


def test_a_rate_limited_request_has_no_effect_and_frees_its_key() -> None:
    with open_api(changes=limited(RATE_LIMIT_MONEY="1/minute")) as api:
        first, second = api.book(), api.book()
        api.pay(first)
        refused = api.post(
            f"/api/bookings/{second}/payment/intent/", ANN, headers={"Idempotency-Key": "k" * 16}, json={}
        )
        state = api.client.app.state
        state["services"] = services_of(api.kit)
        done = api.post(f"/api/bookings/{second}/payment/intent/", ANN, headers={"Idempotency-Key": "k" * 16}, json={})

    assert (refused.status_code, done.status_code) == (429, 200)
    assert "idempotent-replayed" not in done.headers


# --- limits that do not expire


def test_the_unpaid_bookings_of_a_customer_are_limited() -> None:
    with open_api(kit=PaymentsTestKit(config=PaymentConfig(max_unpaid_bookings=2))) as api:
        answers = [api.post("/api/bookings/", BOOKING_APP, json=api.new_booking()) for _ in range(3)]
        of_bob = api.post("/api/bookings/", BOOKING_APP, json=api.new_booking(customer_id="bob"))

    assert [answer.status_code for answer in (*answers, of_bob)] == [201, 201, 422, 201]
    assert problem_of(answers[2])["code"] == "too_many_unpaid_bookings"


def test_the_number_of_cards_of_a_payment_is_limited() -> None:
    with open_api() as api:
        booking_id = api.book()
        api.pay(booking_id, "pm_card_chargeDeclined")
        body = {"payment_method_id": "pm_card_visa_chargeDeclinedInsufficientFunds"}
        statuses = [
            api.post(f"/api/bookings/{booking_id}/payment/retry/", ANN, json=body).status_code for _ in range(4)
        ]

    assert statuses == [402, 402, 422, 422]


# --- without a valid token


def test_requests_with_an_invalid_token_have_a_fifth_of_the_rate() -> None:
    with open_api(changes=limited(RATE_LIMIT_ADDRESS="15/minute")) as api:
        statuses = [config(api, {"Authorization": "Bearer a.b.c"}).status_code for _ in range(5)]

    assert statuses == [401, 401, 401, 429, 429]


def test_a_valid_token_is_accepted_despite_guesses_from_the_same_address() -> None:
    with open_api(changes=limited(RATE_LIMIT_ADDRESS="15/minute")) as api:
        guesses = [config(api, {}).status_code for _ in range(4)]
        turned_away = config(api, {})
        answer = config(api, OPERATOR)

    assert guesses == [401, 401, 401, 429]
    assert 1 <= int(turned_away.headers["retry-after"]) <= 60
    assert answer.status_code == 200


# --- the client's address


def app_behind(*proxies: str, rate: str = "2/minute") -> Any:
    trusted = ",".join(proxies)
    return create_app(services_of(PaymentsTestKit(), changes=limited(RATE_LIMIT_ADDRESS=rate, TRUSTED_PROXIES=trusted)))


async def statuses(app: Any, peer: str, *forwarded: str) -> list[int]:
    """Return the statuses of requests from ``peer``, each with a different ``X-Forwarded-For``."""
    transport = httpx.ASGITransport(app=app, client=(peer, 50000))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        answers = [await client.get("/nope", headers={"X-Forwarded-For": each} if each else {}) for each in forwarded]
    return [answer.status_code for answer in answers]


async def test_without_trusted_proxies_a_forwarded_address_changes_nothing() -> None:
    found = await statuses(app_behind(), "203.0.113.9", "198.51.100.1", "198.51.100.2", "198.51.100.3")

    assert found == [404, 404, 429]


async def test_only_a_trusted_proxy_can_forward_an_address() -> None:
    found = await statuses(app_behind("10.0.0.7"), "203.0.113.9", "198.51.100.1", "198.51.100.2", "198.51.100.3")

    assert found == [404, 404, 429]


async def test_behind_a_trusted_proxy_each_client_is_counted_separately() -> None:
    app = app_behind("10.0.0.0/8")
    first = await statuses(app, "10.0.0.7", *["198.51.100.1"] * 3)
    second = await statuses(app, "10.0.0.8", "198.51.100.2", "198.51.100.1")

    assert (first, second) == ([404, 404, 429], [404, 429])


async def test_forwarded_addresses_added_by_a_client_are_ignored() -> None:
    spoofed = [f"192.0.2.{number}, 198.51.100.1" for number in range(3)]

    assert await statuses(app_behind("10.0.0.7"), "10.0.0.7", *spoofed) == [404, 404, 429]


async def test_a_chain_of_trusted_proxies_is_followed_to_the_first_untrusted_address() -> None:
    chain = [f"192.0.2.{number}, 198.51.100.1, 10.0.0.8" for number in range(3)]

    assert await statuses(app_behind("10.0.0.7", "10.0.0.8"), "10.0.0.7", *chain) == [404, 404, 429]


async def test_an_ipv6_proxy_is_recognized_in_every_spelling() -> None:
    app = app_behind("fd00::/8")
    first = await statuses(app, "fd00:0:0::1", "198.51.100.1", "198.51.100.2", "198.51.100.3")

    assert first == [404, 404, 404]


async def test_requests_without_an_address_share_one_count() -> None:
    nonsense = ["unknown", "_hidden", "'; drop", "999.1.1.1"]

    assert await statuses(app_behind("10.0.0.7"), "10.0.0.7", *nonsense) == [404, 404, 429, 429]


@pytest.mark.parametrize(
    ("host", "who"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_address_that_is_counted(host: str, who: str) -> None:
    scope: Any = {"client": (host, 1)}

    assert address_of(scope) == who


def test_a_connection_without_address_is_counted_too() -> None:
    scope: Any = {"client": None}

    assert address_of(scope) == "unknown"


# --- the three rates


async def test_the_default_rates_are_those_of_the_settings() -> None:
    limits = RateLimits.of(settings(), Counters(), ())

    async def allowed(throttle: Throttle) -> int:
        return [(await throttle.take("somebody")).wait_s > 0 for _ in range(700)].index(True)

    found = [await allowed(limits.money), await allowed(limits.failures), await allowed(limits.address)]
    assert found == [pytest.approx(60, abs=1), pytest.approx(120, abs=2), pytest.approx(600, abs=12)]
