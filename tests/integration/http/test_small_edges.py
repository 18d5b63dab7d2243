"""Edge cases of tokens, times and names that two parsers could interpret differently."""

import json
from datetime import timedelta
from typing import Any

import pytest

from booking_payments.adapters.gateways.stripe.webhooks import read_event
from booking_payments.entrypoints.http.metrics import Metrics
from tests.integration.http.api import ANN, BOOKING_APP, OPERATOR, Api, bearer, problem_of

# --- scopes (RFC 8693, 4.2)

BLANKS = ["\t", "\n", "\r", "\f", "\v", "\u00a0", "\u2003", "\u3000", "\u0085", "\x1c", "\u2028", ",", "+", "%20"]


@pytest.mark.parametrize("blank", BLANKS)
def test_only_a_space_separates_scopes(api: Api, blank: str) -> None:
    for scope in (f"x{blank}payments:operate", f"{blank}payments:operate", f"payments:operate{blank}"):
        assert api.get("/api/payments/", bearer("eve", scope)).status_code == 403


@pytest.mark.parametrize(
    "scope", ["payments:operate", "x payments:operate", " payments:operate  y", "y  payments:operate"]
)
def test_spaces_separate_scopes(api: Api, scope: str) -> None:
    assert api.get("/api/payments/", bearer("olga", scope)).status_code == 200


# --- years, in UTC


MOMENTS = (
    *("2199-12-31T23:59:59-00:01", "2199-12-31T12:00:00-23:59", "1999-12-31T23:59:59Z", "2000-01-01T00:00:00+00:01"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_year_is_the_year_in_utc(api: Api, moment: str) -> None:
    booked = api.post("/api/bookings/", BOOKING_APP, json=api.new_booking(event_starts_at=moment))
    listed = api.get("/api/payments/", OPERATOR, params={"created_from": moment})

    assert (booked.status_code, listed.status_code) == (400, 400)
    assert "year" in problem_of(booked)["detail"]


def test_the_last_instant_in_utc_is_accepted(api: Api) -> None:
    booked = api.post("/api/bookings/", BOOKING_APP, json=api.new_booking(event_starts_at="2200-01-01T00:59:59+01:00"))

    assert booked.json()["event_starts_at"] == "2199-12-31T23:59:59Z"


@pytest.mark.parametrize("created", [253_402_300_800, 2**40 - 1, 2**63, -1, True, "1700000000", 1.5])
def test_an_impossible_time_of_an_event_is_ignored(created: Any) -> None:
    event = read_event(json.dumps({"id": "evt_1", "type": "x.y", "created": created}).encode())

    assert event.created_at is None


def test_the_last_second_of_9999_is_accepted() -> None:
    event = read_event(b'{"id": "evt_1", "type": "x.y", "created": 253402300799}')

    assert event.created_at is not None
    assert event.created_at.year == 9999


# --- bookings of the past


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"event_starts_at": "2026-02-28T20:00:00Z"}, "event_in_past"),
        ({"event_starts_at": "2026-03-01T12:00:00Z"}, "event_in_past"),
        ({"expires_at": "2026-02-28T20:00:00Z"}, "expiry_in_past"),
        ({"expires_at": "2026-03-01T12:00:00Z"}, "expiry_in_past"),
    ],
)
def test_a_booking_for_a_past_event_is_refused(api: Api, changes: dict[str, str], code: str) -> None:
    response = api.post("/api/bookings/", BOOKING_APP, json=api.new_booking(**changes))

    assert (response.status_code, problem_of(response)["code"]) == (422, code)


def test_a_repeated_registration_after_the_event_returns_the_booking(api: Api) -> None:
    new = api.new_booking()
    first = api.post("/api/bookings/", BOOKING_APP, json=new)
    api.kit.clock.advance(timedelta(days=400))

    again = api.post("/api/bookings/", BOOKING_APP, json=new)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]


# --- events with their own label


def test_only_event_types_that_a_gateway_names_are_labels() -> None:
    metrics = Metrics({"charge.expired"})
    for event_type in ("charge.expired", "made.up", None):
        metrics.webhook("stripe", event_type, "processed")

    count = metrics.registry.get_sample_value
    labels = {"gateway": "stripe", "outcome": "processed"}
    assert count("booking_payments_webhooks_total", {**labels, "type": "charge.expired"}) == 1
    assert count("booking_payments_webhooks_total", {**labels, "type": "other"}) == 2


def test_an_expired_charge_is_counted_by_its_name(api: Api) -> None:
    body = b'{"id": "evt_1", "object": "event", "type": "charge.expired", "data": {"object": {"id": "ch_1"}}}'
    api.deliver(body)

    assert (
        'booking_payments_webhooks_total{gateway="stripe",outcome="ignored",type="charge.expired"} 1.0'
        in api.get("/metrics", ANN).text
    )
