"""Authorization: every route declares its scopes, and callers see only their own bookings."""

from collections.abc import Mapping
from typing import Any

import pytest
from litestar import get
from litestar.routes import HTTPRoute

from booking_payments.entrypoints.http.app import create_app
from booking_payments.entrypoints.http.auth import PUBLIC_PATHS, Access
from booking_payments.testing.kit import PaymentsTestKit
from tests.in_thread import InThreadClient
from tests.integration.http.api import ANN, BOB, BOOKING_APP, OPERATOR, Api, bearer, problem_of, services_of
from tests.integration.http.routes import declared
from tests.rows import row

NOBODY: dict[str, str] = {}
WHO = {"anonymous": NOBODY, "owner": ANN, "other": BOB, "operator": OPERATOR, "booking app": BOOKING_APP}

INTENT = {"payment_method_id": "pm_card_visa"}
BODIES: Mapping[str, Any] = {
    "/api/bookings/{booking_id}/payment/retry/": INTENT,
    "/api/bookings/{booking_id}/payment/record/": {"amount": "100.00", "kind": "cash", "reference": "17-204"},
    "/api/bookings/{booking_id}/": {"amount": "90.00"},
    "/api/events/{event_id}/reschedule/": {"event_starts_at": "2026-09-01T20:00:00Z"},
    "/api/payments/{payment_id}/owed/settle/": {"amount": "1.00", "how": "waived", "note": "they gave it to us"},
}

# (method, path): the roles with access (never the anonymous one). The others get 403 when a scope is missing, else 404.
# A role that may see every booking never gets a 404.
ALLOWED: Mapping[tuple[str, str], set[str]] = {
    ("POST", "/api/bookings/"): {"booking app"},
    ("GET", "/api/bookings/"): {"operator", "booking app"},
    ("GET", "/api/bookings/{booking_id}/"): {"owner", "operator", "booking app"},
    ("POST", "/api/bookings/{booking_id}/cancel/"): {"owner", "operator", "booking app"},
    ("POST", "/api/bookings/{booking_id}/payment/intent/"): {"owner"},
    ("POST", "/api/bookings/{booking_id}/payment/confirm/"): {"owner"},
    ("POST", "/api/bookings/{booking_id}/payment/retry/"): {"owner"},
    ("POST", "/api/bookings/{booking_id}/payment/record/"): {"operator"},
    ("POST", "/api/bookings/{booking_id}/payment/capture/"): {"operator"},
    ("POST", "/api/bookings/{booking_id}/payment/cancel/"): {"owner", "operator"},
    ("GET", "/api/bookings/{booking_id}/payment/status/"): {"owner", "operator", "booking app"},
    ("GET", "/api/bookings/{booking_id}/payment/events/"): {"owner", "operator", "booking app"},
    ("POST", "/api/bookings/{booking_id}/payment/refund/"): {"owner", "operator"},
    ("GET", "/api/bookings/{booking_id}/payment/refund/quote/"): {"owner", "operator"},
    ("PATCH", "/api/bookings/{booking_id}/"): {"operator", "booking app"},
    ("GET", "/api/events/{event_id}/"): {"operator", "booking app"},
    ("POST", "/api/events/{event_id}/cancel/"): {"operator"},
    ("POST", "/api/events/{event_id}/reschedule/"): {"operator"},
    ("GET", "/api/payments/"): {"operator"},
    ("GET", "/api/exports/{kind}/"): {"operator"},
    ("POST", "/api/payments/{payment_id}/refund/"): {"operator"},
    ("GET", "/api/payments/{payment_id}/refund/quote/"): {"operator"},
    ("POST", "/api/payments/{payment_id}/owed/settle/"): {"operator"},
    ("GET", "/api/payment/config/"): {"owner", "other", "operator", "booking app"},
}
NEEDS_SCOPE = {
    ("PATCH", "/api/bookings/{booking_id}/"),
    ("GET", "/api/events/{event_id}/"),
    ("POST", "/api/events/{event_id}/cancel/"),
    ("POST", "/api/events/{event_id}/reschedule/"),
    ("POST", "/api/bookings/"),
    ("GET", "/api/bookings/"),
    ("POST", "/api/bookings/{booking_id}/payment/record/"),
    ("POST", "/api/bookings/{booking_id}/payment/capture/"),
    ("GET", "/api/payments/"),
    ("GET", "/api/exports/{kind}/"),
    ("POST", "/api/payments/{payment_id}/refund/"),
    ("GET", "/api/payments/{payment_id}/refund/quote/"),
    ("POST", "/api/payments/{payment_id}/owed/settle/"),
}
MATRIX = [(method, path, who) for method, path in ALLOWED for who in WHO]


def expected_refusal(method: str, path: str, who: str) -> int:
    if who == "anonymous":
        return 401
    return 403 if (method, path) in NEEDS_SCOPE or who in ("operator", "booking app") else 404


def call(api: Api, method: str, path: str, who: str, booking_id: str) -> Any:
    body = api.new_booking() if path == "/api/bookings/" else BODIES.get(path, {})
    more = {"json": body} if method in ("POST", "PATCH") else {}
    return api.send(method, api.path_of(path, booking_id), WHO[who], **more)


def test_every_route_with_a_token_is_in_the_matrix() -> None:
    routes = {(each.method, each.path) for each in declared(sandboxed=True) if each.access.needs_token}

    assert routes == set(ALLOWED), "list in ALLOWED which roles may call the route"


@pytest.mark.parametrize(("method", "path", "who"), MATRIX)
def test_exactly_the_permitted_roles_have_access(api: Api, method: str, path: str, who: str) -> None:
    booking_id = api.book()
    api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json=INTENT)

    response = call(api, method, path, who, booking_id)

    if who in ALLOWED[method, path]:
        assert response.status_code not in (401, 403, 404), response.text
    else:
        expected = expected_refusal(method, path, who)
        assert response.status_code == expected, f"a route that needs a scope is in NEEDS_SCOPE: {response.text}"


# With the scope, no booking is foreign.
@pytest.mark.parametrize(
    ("method", "path"), [pair for pair in ALLOWED if "{booking_id}" in pair[1] and pair not in NEEDS_SCOPE]
)
def test_foreign_and_missing_bookings_give_the_same_response(api: Api, method: str, path: str) -> None:
    foreign = call(api, method, path, "other", api.paid())
    assert foreign.status_code == 404

    for missing in ("bk_0000000000000000000000", "nonsense", "%00", "%ff", "a" * 300):
        with row(missing):
            assert call(api, method, path, "other", missing).content == foreign.content


def test_the_body_for_a_foreign_booking_is_parsed_no_further_than_for_a_missing_one(api: Api) -> None:
    booking_id = api.paid()

    foreign = api.post(f"/api/bookings/{booking_id}/payment/refund/", BOB, json={"amount": "1e9"})

    assert foreign.status_code == 404


def test_a_route_without_declared_access_is_refused() -> None:
    app = create_app(services_of(PaymentsTestKit()))
    routes = [route for route in app.routes if isinstance(route, HTTPRoute)]
    handlers = [(route.path, handler) for route in routes for handler in route.route_handlers]
    options = [(path, each.opt) for path, each in handlers if each.http_methods != {"OPTIONS"}]

    without = [path for path, opt in options if not isinstance(opt.get("access"), Access)]
    assert without == [], "these routes do not declare who may call them: for_token(Access....)"
    declared = [(path, opt["access"]) for path, opt in options]
    browser = {path for path, access in declared if access is Access.BROWSER}
    assert {path for path, access in declared if not access.needs_token} - browser == PUBLIC_PATHS
    assert all(path.startswith(("/checkout/", "/console")) for path in browser)


def test_a_route_without_declared_access_is_closed_to_all_roles() -> None:
    async def forgotten() -> str:
        return "come in"

    declared: dict[str, dict[str, Any]] = {
        "/nothing": {},
        "/none": {"access": None},
        "/text": {"access": "anybody"},
        "/true": {"access": True},
    }
    app = create_app(services_of(PaymentsTestKit()))
    for path, declares in declared.items():
        app.register(get(path, opt=declares)(forgotten))
    with InThreadClient(app) as client:
        for path in declared:
            for who in WHO.values():
                response = client.get(path, headers=who)
                assert (path, response.status_code, response.json()["code"]) == (path, 403, "forbidden")


def test_the_frameworks_options_response_needs_no_token(api: Api) -> None:
    assert api.client.options("/api/payments/").status_code == 204


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/api/bookings/", {"GET", "HEAD", "POST", "OPTIONS"}), ("/api/payments/", {"GET", "HEAD", "OPTIONS"})],
)
@pytest.mark.parametrize("method", ["OPTIONS", "DELETE"])
def test_the_allow_header_names_all_methods_of_a_path(api: Api, method: str, path: str, allowed: set[str]) -> None:
    response = api.client.request(method, path, headers=BOOKING_APP)

    assert set(response.headers["allow"].split(", ")) == allowed


def test_an_operator_acts_as_a_customer_only_for_own_bookings(api: Api) -> None:
    own = api.pay(api.book(customer_id="olga"), who=OPERATOR)
    response = api.pay(api.book(), who=OPERATOR)

    assert (own.status_code, response.status_code) == (200, 403)


def test_the_owner_gets_the_client_secret(api: Api) -> None:
    booking_id = api.book()
    api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json={})

    assert api.status(booking_id, ANN)["client_secret"]


def test_operators_do_not_get_the_client_secret(api: Api) -> None:
    booking_id = api.book()
    api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json={})

    assert api.status(booking_id, OPERATOR)["client_secret"] is None


def test_an_operator_who_is_the_owner_gets_the_client_secret(api: Api) -> None:
    booking_id = api.book()
    api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json={})

    assert api.status(booking_id, bearer("ann", "payments:operate"))["client_secret"]


def test_a_paid_booking_has_no_client_secret(api: Api) -> None:
    assert api.status(api.paid())["client_secret"] is None


def test_lists_contain_no_secrets(api: Api) -> None:
    booking_id = api.book()
    api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, json={})

    page = api.get("/api/payments/", bearer("ann", "payments:operate"))

    assert page.json()["items"][0]["client_secret"] is None


def test_a_403_names_the_missing_scope(api: Api) -> None:
    response = api.get("/api/payments/", ANN)

    assert problem_of(response)["code"] == "missing_scope"
    assert 'scope="payments:operate"' in response.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("path", "scope"), [("payment/refund/", 'scope="payments:operate"'), ("payment/intent/", "insufficient_scope")]
)
def test_a_role_that_may_see_the_booking_gets_a_403_with_the_missing_scope(api: Api, path: str, scope: str) -> None:
    response = api.post(f"/api/bookings/{api.paid()}/{path}", BOOKING_APP, json={})

    problem = problem_of(response)
    assert (problem["status"], problem["code"]) == (403, "missing_scope")
    assert scope in response.headers["www-authenticate"]


def test_a_missing_payment_is_404_for_the_owner_of_the_booking(api: Api) -> None:
    """An operator who is the customer of a booking without a payment."""
    booking_id = api.book(customer_id="olga")

    assert api.post(f"/api/bookings/{booking_id}/payment/confirm/", OPERATOR, json={}).status_code == 404


def test_the_booking_app_reads_status_and_journal_of_every_booking(api: Api) -> None:
    booking_id = api.paid()

    status = api.get(f"/api/bookings/{booking_id}/payment/status/", BOOKING_APP)
    events = api.get(f"/api/bookings/{booking_id}/payment/events/", BOOKING_APP)

    assert (status.json()["status"], events.json()["events"][0]["type"]) == ("succeeded", "payment_started")


def test_the_booking_app_gets_no_secret_and_no_hidden_decline_code(api: Api) -> None:
    booking_id = api.book()
    api.pay(booking_id, "pm_card_visa_chargeDeclinedLostCard")

    payment = api.status(booking_id, BOOKING_APP)

    assert (payment["client_secret"], payment["decline_code"]) == (None, "generic_decline")
