"""Middleware: request ids, security headers, health, metrics, the audit log, the framework's errors."""

from typing import Any

import pytest
import structlog

from booking_payments.domain import errors
from booking_payments.domain.declines import DECLINES, Decline
from booking_payments.entrypoints.http.middleware import SECURITY_HEADERS
from booking_payments.entrypoints.http.problems import STATUSES, response_to, status_of
from booking_payments.ports.storage import CommitLost, StorageConflict, StorageDown
from booking_payments.runtime.services import Readiness
from booking_payments.testing.kit import PaymentsTestKit
from tests.integration.http.api import ANN, BOOKING_APP, OPERATOR, Api, open_api, problem_of
from tests.integration.http.routes import declared

EVERYWHERE = ["/health/live", "/api/payments/", "/nope", "/schema", "/metrics"]


# --- headers


@pytest.mark.parametrize("path", EVERYWHERE)
@pytest.mark.parametrize("header", SECURITY_HEADERS)
def test_every_response_has_the_security_headers(api: Api, path: str, header: str) -> None:
    assert api.get(path).headers[header]


@pytest.mark.parametrize("path", EVERYWHERE)
def test_every_response_has_a_request_id(api: Api, path: str) -> None:
    assert api.get(path).headers["x-request-id"].startswith("req_")


def test_a_valid_request_id_is_kept(api: Api) -> None:
    response = api.get("/health/live", headers={"X-Request-Id": "abc-1.2_3"})

    assert response.headers["x-request-id"] == "abc-1.2_3"


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", "<script>", "a;b"])
def test_an_invalid_request_id_is_replaced(api: Api, given: str) -> None:
    response = api.get("/health/live", headers={"X-Request-Id": given})

    assert response.headers["x-request-id"].startswith("req_")


def test_the_request_id_is_the_cause_in_the_journal(api: Api) -> None:
    booking_id = api.book()
    api.post(f"/api/bookings/{booking_id}/payment/intent/", ANN, headers={"X-Request-Id": "abc"}, json={})

    events = api.get(f"/api/bookings/{booking_id}/payment/events/", ANN).json()["events"]

    assert events[0]["cause"] == "abc"


def test_no_other_origin_is_allowed(api: Api) -> None:
    response = api.get("/health/live", headers={"Origin": "https://evil.example"})

    assert "access-control-allow-origin" not in response.headers


# --- HEAD


READ = [each.path for each in declared(sandboxed=False) if each.method == "GET"]


@pytest.mark.parametrize("path", [*READ, "/schema", "/console/login", "/checkout/bk_1", "/nope"])
def test_head_has_the_response_of_get_without_a_body(api: Api, path: str) -> None:
    path = path.replace("{booking_id}", "bk_1")
    got, headed = (api.client.request(method, path, headers=OPERATOR) for method in ("GET", "HEAD"))

    assert (headed.status_code, headed.content) == (got.status_code, b"")
    assert headed.headers["content-type"] == got.headers["content-type"]


def test_head_has_the_content_length_of_get(api: Api) -> None:
    assert api.client.head("/health/live").headers["content-length"] == str(len(api.get("/health/live").content))


def test_head_needs_the_same_token_as_get(api: Api) -> None:
    assert [api.client.head("/api/payments/", headers=who).status_code for who in ({}, ANN, OPERATOR)] == [
        401,
        403,
        200,
    ]


def test_head_is_counted_as_get(api: Api) -> None:
    api.client.head("/health/live")

    counted = api.get("/metrics").text
    assert 'method="GET",route="/health/live",status="200"} 1.0' in counted
    assert "HEAD" not in counted


# --- the framework's own errors


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api", 404),
        ("GET", "/api/bookings/x/y/z", 404),
        ("POST", "/admin", 404),
        ("GET", "/schema/ui/../../../etc/passwd", 404),
        ("GET", "/schema/ui/..%2f..%2fetc%2fpasswd", 404),
        ("DELETE", "/api/bookings/x/", 405),
        ("PUT", "/api/bookings/", 405),
        ("GET", "/api/webhooks/stripe/", 405),
        ("HEAD", "/api/webhooks/stripe/", 405),
        ("TRACE", "/health/live", 405),
    ],
)
def test_the_frameworks_errors_are_problems_too(api: Api, method: str, path: str, status: int) -> None:
    response = api.client.request(method, path)

    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")


def test_a_405_names_the_allowed_methods(api: Api) -> None:
    assert "GET" in api.client.delete("/api/bookings/x/").headers["allow"]


def test_every_get_route_allows_head(api: Api) -> None:
    allowed = [
        api.client.delete(path).headers["allow"].split(", ") for path in ("/health/live", "/api/webhooks/stripe/")
    ]

    assert [sorted(each) for each in allowed] == [["GET", "HEAD", "OPTIONS"], ["OPTIONS", "POST"]]


def test_a_host_that_is_not_allowed_is_a_problem(api: Api) -> None:
    assert api.client.get("/health/live", headers={"Host": "a b"}).status_code == 400


class FailingUseCasesKit(PaymentsTestKit):
    """A test kit whose use cases raise an unexpected error."""

    def __init__(self, error: Exception) -> None:
        super().__init__()

        async def describe_booking(*_: Any) -> Any:
            raise error

        self.payments.describe_booking = describe_booking  # type: ignore[method-assign,assignment]


def test_an_unexpected_error_is_500_without_details() -> None:
    with open_api(kit=FailingUseCasesKit(RuntimeError("canary"))) as api:
        response = api.get("/api/bookings/bk_1/", ANN)

    assert (response.status_code, problem_of(response)["code"]) == (500, "internal_error")
    assert "canary" not in response.text


def test_a_busy_storage_is_503_with_a_retry_time() -> None:
    with open_api(kit=FailingUseCasesKit(StorageConflict("canary"))) as api:
        response = api.get("/api/bookings/bk_1/", ANN)

    assert (response.status_code, problem_of(response)["retryable"]) == (503, True)
    assert int(response.headers["retry-after"]) > 0


def test_an_unreachable_database_is_503_and_says_that_nothing_was_changed() -> None:
    with open_api(kit=FailingUseCasesKit(StorageDown("canary"))) as api:
        response = api.get("/api/bookings/bk_1/", ANN)

    problem = problem_of(response)
    assert (response.status_code, problem["code"], problem["retryable"]) == (503, "storage_unavailable", True)
    assert "canary" not in response.text


def test_a_lost_commit_is_an_unknown_outcome() -> None:
    with open_api(kit=FailingUseCasesKit(CommitLost("canary"))) as api:
        response = api.get("/api/bookings/bk_1/", ANN)

    problem = problem_of(response)
    assert (response.status_code, problem["code"], problem["outcome_unknown"]) == (503, "outcome_unknown", True)
    assert "canary" not in response.text


# --- the table of errors


def all_errors(root: type[Exception] = errors.PaymentError) -> list[type[Exception]]:
    return [root, *(found for child in root.__subclasses__() for found in all_errors(child))]


@pytest.mark.parametrize("kind", [kind for kind in all_errors() if kind.__module__ == errors.__name__])
def test_every_error_has_a_status(kind: type[Exception]) -> None:
    assert any(ancestor in STATUSES for ancestor in kind.__mro__ if ancestor is not errors.PaymentError) or (
        kind in (errors.PaymentError, errors.CustomerCanFix)
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidAmount("x"), 400),
        (errors.NotFound(), 404),
        (errors.AlreadyUnderWay(), 409),
        (errors.RefusedByRule("x"), 422),
        (errors.GatewayRefusedUs(), 502),
        (errors.RefundRefused(), 502),
        (errors.Contradiction("x"), 502),
        (errors.IllegalTransition("a", "b"), 500),
        (errors.TryAgainLater(), 503),
        (errors.OutcomeUnknown(), 503),
        (ValueError("x"), 500),
    ],
)
def test_the_status_of_each_error(error: Exception, status: int) -> None:
    assert (status_of(error), response_to(error).status) == (status, status)


@pytest.mark.parametrize("code", [code for code, rule in DECLINES.items() if rule.hidden])
def test_hidden_declines_have_identical_responses(code: str) -> None:
    hidden = errors.CardDeclined(Decline(code="card_declined", message="canary", decline_code=code))
    generic = Decline(
        code="card_declined",
        message="Your card was declined.",
        decline_code="generic_decline",
        advice_code="try_again_later",
    )

    assert response_to(hidden) == response_to(errors.CardDeclined(generic))


def test_an_unknown_outcome_is_marked_in_the_problem() -> None:
    assert b'"outcome_unknown":true' in response_to(errors.OutcomeUnknown()).body


# --- health and metrics


def test_the_liveness_probe_is_200(api: Api) -> None:
    assert api.get("/health/live").json() == {"status": "ok"}


def test_the_readiness_probe_is_200_with_a_current_database(api: Api) -> None:
    assert api.get("/health/ready").json()["checks"] == {"database": True, "migrations": True}


@pytest.mark.parametrize(
    "readiness",
    [
        Readiness(database=False, migrations=False, detail="the database can't be reached"),
        Readiness(database=True, migrations=False, detail="run: booking-payments migrate"),
    ],
)
def test_the_readiness_probe_is_503_with_the_command_to_run(readiness: Readiness) -> None:
    with open_api(readiness=readiness) as api:
        response = api.get("/health/ready")

    assert (response.status_code, problem_of(response)["detail"]) == (503, readiness.detail)


def test_operations_are_counted(api: Api) -> None:
    api.paid()

    line = 'booking_payments_operations_total{code="",operation="start_payment",outcome="done"} 1.0'
    assert line in api.get("/metrics").text


def test_declines_are_counted_by_their_code(api: Api) -> None:
    api.pay(api.book(), "pm_card_visa_chargeDeclined")

    assert 'code="card_declined",operation="start_payment",outcome="refused"' in api.get("/metrics").text


def test_unknown_events_share_a_label(api: Api) -> None:
    for number in range(3):
        body = f'{{"id": "evt_{number}", "object": "event", "type": "made.up.{number}", "livemode": false}}'
        api.deliver(body.encode())

    assert "made.up" not in api.get("/metrics").text


def test_routes_are_counted_by_their_template(api: Api) -> None:
    booking_id = api.paid()

    assert booking_id not in api.get("/metrics").text


# --- the audit log


def test_every_payment_operation_is_logged_once(api: Api) -> None:
    booking_id = api.book(reference="R-audit")
    with structlog.testing.capture_logs() as logs:
        payment = api.pay(booking_id).json()

    lines = [line for line in logs if line["event"] == "payment.operation"]
    assert [
        (line["operation"], line["outcome"], line["booking_reference"], line["payment_intent_id"], line["actor"])
        for line in lines
    ] == [("start_payment", "done", "R-audit", payment["payment_intent_id"], "customer:ann")]


def test_a_declined_operation_names_booking_and_error(api: Api) -> None:
    booking_id = api.book(reference="R-audit")
    with structlog.testing.capture_logs() as logs:
        api.pay(booking_id, "pm_card_visa_chargeDeclined")

    assert (logs[-1]["outcome"], logs[-1]["error"], logs[-1]["booking_reference"]) == (
        "refused",
        "card_declined",
        "R-audit",
    )


def test_the_log_of_an_operation_on_a_foreign_booking_has_none_of_its_data(api: Api) -> None:
    booking_id = api.book(customer_id="bob")
    with structlog.testing.capture_logs() as logs:
        api.pay(booking_id)

    assert logs[-1]["booking_reference"] is None


def test_every_webhook_is_logged_once(api: Api) -> None:
    with structlog.testing.capture_logs() as logs:
        api.deliver(b'{"id": "evt_1", "object": "event", "type": "made.up", "livemode": false}')

    assert [(line["type"], line["outcome"]) for line in logs if line["event"] == "webhook.received"] == [
        ("made.up", "ignored")
    ]


def test_no_secret_reaches_the_log(api: Api) -> None:
    with structlog.testing.capture_logs() as logs:
        payment = api.post(f"/api/bookings/{api.book()}/payment/intent/", ANN, json={}).json()
        api.post("/api/bookings/", BOOKING_APP, json=api.new_booking(reference="4242424242424242"))

    text = repr(logs)
    assert payment["client_secret"] not in text
    assert "4242424242424242" not in text
    assert ANN["Authorization"].removeprefix("Bearer ") not in text
