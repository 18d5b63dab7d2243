"""Every response of Stripe is mapped to an error of the port (docs.stripe.com/error-low-level)."""

from typing import Any

import pytest

from booking_payments.adapters.gateways.stripe.answers import error_from, is_replayed
from booking_payments.ports.gateway import (
    Declined,
    GatewayError,
    GatewayRefused,
    KeyMisused,
    Misconfigured,
    NotSent,
    ObjectNotFound,
    OutcomeAmbiguous,
)

LIMITED = {"stripe-rate-limited-reason": "endpoint-rate"}


def _body(**error: Any) -> dict[str, Any]:
    return {"error": {"type": "invalid_request_error", "message": "as Stripe says", **error}}


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind", "code"),
    [
        (400, _body(code="parameter_unknown", param="x"), {}, GatewayRefused, "parameter_unknown"),
        (400, _body(), {}, GatewayRefused, "invalid_request"),
        (400, _body(type="idempotency_error"), {}, KeyMisused, "idempotency_error"),
        (400, _body(code="rate_limit"), {}, NotSent, "rate_limit"),
        (400, _body(code="resource_missing", param="payment_method"), {}, GatewayRefused, "payment_method_unknown"),
        (400, _body(code="amount_too_small"), {}, GatewayRefused, "amount_too_small"),
        (400, _body(param="amount"), {}, GatewayRefused, "refund_exceeds_charge"),
        (400, _body(code="charge_already_refunded"), {}, GatewayRefused, "charge_already_refunded"),
        (401, _body(), {}, Misconfigured, "http_401"),
        (401, _body(code="api_key_expired"), {}, Misconfigured, "api_key_expired"),
        (402, _body(type="card_error", code="card_declined"), {}, Declined, "card_declined"),
        (402, _body(code="card_declined"), {}, Declined, "card_declined"),
        (402, _body(message="a raw card number"), {}, GatewayRefused, "invalid_request"),
        (403, _body(code="secret_key_required"), {}, Misconfigured, "secret_key_required"),
        (404, _body(code="resource_missing", param="id"), {}, ObjectNotFound, "resource_missing"),
        (409, _body(code="idempotency_key_in_use"), {}, OutcomeAmbiguous, "idempotency_key_in_use"),
        (429, _body(code="lock_timeout"), {}, OutcomeAmbiguous, "lock_timeout"),
        (429, _body(code="rate_limit"), {}, NotSent, "rate_limit"),
        (429, _body(), LIMITED, NotSent, "rate_limit"),
        (500, _body(type="api_error"), {}, OutcomeAmbiguous, "http_500"),
        (502, "<html>", {}, OutcomeAmbiguous, "http_502"),
        (503, None, {}, OutcomeAmbiguous, "http_503"),
        (401, None, {}, Misconfigured, "http_401"),
        # Not a verdict of Stripe: a proxy's page.
        (400, {"error": "text"}, {}, OutcomeAmbiguous, "http_400"),
        (404, "<html>", {}, OutcomeAmbiguous, "http_404"),
        (402, None, {}, OutcomeAmbiguous, "http_402"),
        (429, None, {}, OutcomeAmbiguous, "http_429"),
        (302, None, {}, OutcomeAmbiguous, "http_302"),
        (200, "<html>", {}, OutcomeAmbiguous, "http_200"),
    ],
)
def test_each_response_is_an_error_of_the_port(
    status: int, body: object, headers: dict[str, str], kind: type[GatewayError], code: str
) -> None:
    error = error_from(status, body, headers)

    assert (type(error), error.code) == (kind, code)


def test_a_decline_has_its_reason_and_its_charge() -> None:
    body = _body(
        type="card_error",
        code="card_declined",
        decline_code="lost_card",
        advice_code="do_not_try_again",
        charge="ch_1",
        payment_method={"id": "pm_1"},
    )

    error = error_from(402, body, {})

    assert isinstance(error, Declined)
    failure = error.failure
    assert (failure.decline.decline_code, failure.decline.advice_code) == ("lost_card", "do_not_try_again")
    assert (failure.charge_id, failure.payment_method_id, error.intent) == ("ch_1", "pm_1", None)


def test_a_refusal_has_the_intent_in_the_error() -> None:
    intent = {"id": "pi_1", "amount": 100, "amount_received": 0, "currency": "usd", "status": "canceled"}

    error = error_from(400, _body(code="payment_intent_unexpected_state", payment_intent=intent), {})

    assert isinstance(error, GatewayRefused)
    assert error.intent is not None
    assert error.intent.id == "pi_1"


def test_an_unreadable_intent_in_an_error_is_left_out() -> None:
    error = error_from(400, _body(code="payment_intent_unexpected_state", payment_intent={"id": "pi_1"}), {})

    assert isinstance(error, GatewayRefused)
    assert error.intent is None


@pytest.mark.parametrize(("headers", "replayed"), [({"idempotent-replayed": "true"}, True), ({}, False)])
def test_a_replay_is_marked(headers: dict[str, str], replayed: bool) -> None:
    assert is_replayed(headers) is replayed


@pytest.mark.parametrize(("hint", "worth"), [("true", True), ("false", False), ("False", False), ("", True)])
def test_stripes_retry_hint_is_respected(hint: str, worth: bool) -> None:
    error = error_from(500, _body(type="api_error"), {"stripe-should-retry": hint})

    assert error.worth_another_try is worth
