"""Mapping of Stripe's responses to the errors of the gateway port, by status, type and code.

Sources: docs.stripe.com/error-low-level, docs.stripe.com/error-codes, docs.stripe.com/rate-limits.
"""

from collections.abc import Mapping
from typing import Any, Final

from booking_payments.adapters.gateways.stripe.objects import UnreadableObject, failure_report, intent_report
from booking_payments.adapters.gateways.stripe.refusals import Whose, row_of
from booking_payments.domain.reports import IntentReport
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

RATE_LIMIT_REASON: Final = "stripe-rate-limited-reason"
"""Only the rate limiter sends this header; a 429 without it is a lock timeout."""

REPLAYED: Final = "idempotent-replayed"

SHOULD_RETRY: Final = "stripe-should-retry"
"""Stripe's own hint about a retry; without it the status decides."""

Headers = Mapping[str, str]
Body = Mapping[str, Any]


def is_replayed(headers: Headers) -> bool:
    """True when the response was stored for an earlier request with the same key. Header names are in lower case."""
    return headers.get(REPLAYED, "").lower() == "true"


def error_from(status: int, body: object, headers: Headers) -> GatewayError:
    """Return the error for a response outside 2xx, or with an undecodable body. Header names are in lower case.

    Only Stripe's own error object is a verdict: a page that a proxy has put in its place leaves the outcome unknown.
    """
    error = _error(status, body, headers)
    error.worth_another_try = headers.get(SHOULD_RETRY, "").lower() != "false"
    return error


def _error(status: int, body: object, headers: Headers) -> GatewayError:
    error = _error_of(body)
    if status in (401, 403):
        code = _text(error, "code") or f"http_{status}"
        return Misconfigured(_message(error, status), code=code, forbidden=status == 403)
    if not error or status < 400:
        return OutcomeAmbiguous(_message(error, status), code=f"http_{status}")
    return _from_object(status, error, headers)


def _from_object(status: int, error: Body, headers: Headers) -> GatewayError:
    code = _text(error, "code")
    message = _message(error, status)
    if status >= 500 or status == 409:
        return OutcomeAmbiguous(message, code=code or f"http_{status}", stored=status == 500)
    if status == 429 or code == "rate_limit":
        return _too_many(code, message, headers)
    if _text(error, "type") == "idempotency_error":
        return KeyMisused(message, code="idempotency_error")
    if _text(error, "type") == "card_error":
        return Declined(failure_report(error), _intent(error))
    return _refused(status, error, code, message)


def _too_many(code: str | None, message: str, headers: Headers) -> GatewayError:
    if RATE_LIMIT_REASON in headers or code == "rate_limit":
        return NotSent(message, code="rate_limit")
    return OutcomeAmbiguous(message, code=code or "lock_timeout")


def _refused(status: int, error: Body, code: str | None, message: str) -> GatewayError:
    """Return the error for a response without a card error, according to the table in ``refusals``."""
    param = _text(error, "param")
    row = row_of(status, code, param, message, decline_code=_text(error, "decline_code"))
    match row.whose:
        case Whose.VERDICT:
            return Declined(failure_report({**error, "message": row.text}), _intent(error))
        case Whose.LATER:
            return NotSent(message, code=code or "try_later")
        case Whose.UNKNOWN:
            return OutcomeAmbiguous(message, code=code or f"http_{status}")
        case Whose.RULE:
            return GatewayRefused(message, code=row.word or "refused", param=param, intent=_intent(error))
    if status == 404:
        return ObjectNotFound(message, code=code or "resource_missing", param=param)
    return GatewayRefused(message, code=code or "invalid_request", param=param, intent=_intent(error))


def _message(error: Body, status: int) -> str:
    return _text(error, "message") or f"the payment provider answered {status}"


def _intent(error: Body) -> IntentReport | None:
    intent = error.get("payment_intent")
    if not isinstance(intent, Mapping):
        return None
    try:
        return intent_report(intent)
    except UnreadableObject:
        return None


def _error_of(body: object) -> Body:
    error = body.get("error") if isinstance(body, Mapping) else None
    return error if isinstance(error, Mapping) else {}


def _text(error: Body, name: str) -> str | None:
    value = error.get(name)
    return value if isinstance(value, str) and value else None
