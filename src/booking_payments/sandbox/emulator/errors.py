"""Stripe's refusals, with its statuses, types and codes (docs.stripe.com/error-codes).

``Refusal`` travels inside this package only; ``FakeStripe.call`` turns it into an ``StripeResponse``. ``executed``
says whether the endpoint had begun: only then is the answer saved under the idempotency key. What the
parameters alone decide is validation; what needed the account's state is execution.
"""

from typing import Any

from booking_payments.sandbox.emulator.answers import Json


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not a failure
    """A request that Stripe answers with an error body."""

    def __init__(
        self, status: int, error: Json, *, executed: bool = True, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(error.get("message", ""))
        self.status = status
        self.error = error
        self.executed = executed
        self.headers = headers or {}


def invalid(
    message: str, *, code: str | None = None, param: str | None = None, executed: bool = False, **more: Any
) -> Refusal:
    """400 ``invalid_request_error``, by default from validation."""
    error = error_body("invalid_request_error", message, code=code, param=param, **more)
    return Refusal(400, error, executed=executed)


def error_body(type_: str, message: str, **fields: Any) -> Json:
    """An error object without its empty fields; a code brings its documentation address."""
    error = {"type": type_, "message": message, **fields}
    if fields.get("code"):
        error["doc_url"] = f"https://stripe.com/docs/error-codes/{str(fields['code']).replace('_', '-')}"
    return {name: value for name, value in sorted(error.items()) if value is not None}


def parameter_missing(param: str) -> Refusal:
    """400: a required parameter is not there."""
    return invalid(f"Missing required param: {param}.", code="parameter_missing", param=param)


def parameter_unknown(param: str) -> Refusal:
    """400: a parameter that Stripe does not have."""
    return invalid(f"Received unknown parameter: {param}", code="parameter_unknown", param=param)


def invalid_integer(message: str, param: str) -> Refusal:
    """400: not a whole number, or out of bounds."""
    return invalid(message, code="parameter_invalid_integer", param=param)


def no_such(noun: str, id_: str, *, param: str = "id", status: int = 404, hint: str = "") -> Refusal:
    """``resource_missing``: 404 for the object of the path, 400 for one named in a parameter."""
    message = f"No such {noun}: '{id_}'{hint}"
    body = error_body("invalid_request_error", message, code="resource_missing", param=param)
    return Refusal(status, body)


def unknown_url(method: str, path: str) -> Refusal:
    """404: no such endpoint."""
    message = (
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at "
        "https://support.stripe.com/."
    )
    return Refusal(404, error_body("invalid_request_error", message), executed=False)


def unexpected_state(message: str, intent: Json) -> Refusal:
    """400 ``payment_intent_unexpected_state``: the intent's status does not allow this."""
    return invalid(message, code="payment_intent_unexpected_state", executed=True, payment_intent=intent)


def card_error(error: Json) -> Refusal:
    """402: the parameters are fine, the payment failed."""
    return Refusal(402, error)


def idempotency_mismatch(key: str) -> Refusal:
    """400 ``idempotency_error``: the key belongs to another request."""
    message = (
        "Keys for idempotent requests can only be used with the same parameters they were first "
        "used with. Try using "
        f"a key other than '{key}' if you meant to execute a different request."
    )
    return Refusal(400, error_body("idempotency_error", message), executed=False)


def key_in_use(key: str | None) -> Refusal:
    """409: the first request with this key is still running."""
    message = (
        "There is currently another in-progress request using this Idempotent Key (that probably "
        "means you submitted "
        f"twice, and the other request is still going through): {key}. Please try again later."
    )
    body = error_body("invalid_request_error", message, code="idempotency_key_in_use")
    return Refusal(409, body, executed=False)


def rate_limited() -> Refusal:
    """429 from the rate limiter, which stands before the idempotency layer."""
    message = "Request rate limit exceeded. You can learn more here: https://stripe.com/docs/rate-limits."
    body = error_body("invalid_request_error", message, code="rate_limit")
    return Refusal(429, body, executed=False, headers={"Stripe-Rate-Limited-Reason": "global-rate"})


def lock_timeout() -> Refusal:
    """429 because something else holds the object; may be tried again."""
    message = (
        "This object cannot be accessed right now because another API request or Stripe process is "
        "currently accessing "
        "it. If you see this error intermittently, retry the request."
    )
    body = error_body("invalid_request_error", message, code="lock_timeout")
    return Refusal(429, body, executed=False, headers={"Stripe-Should-Retry": "true"})


def server_error(status: int, *, executed: bool = False) -> Refusal:
    """500 or 503 on Stripe's side. A 500 tells nothing about what happened; a 503 may be tried again."""
    message = "An unknown error occurred"
    headers = {"Stripe-Should-Retry": "true"} if status == 503 else {}
    return Refusal(status, error_body("api_error", message), executed=executed, headers=headers)


def not_modelled_url(method: str, path: str) -> Refusal:
    """404 for a URL that Stripe has and the emulator has not."""
    message = f"Not modelled: Stripe has {path}, but this sandbox does not answer {method} {path}."
    return Refusal(404, error_body("invalid_request_error", message), executed=False)


def not_modelled_header(name: str) -> Refusal:
    """400 for a request on behalf of another account."""
    message = f"Header not modelled: {name} names another account, and this sandbox has one account only."
    return invalid(message)


def unauthorized(message: str, code: str | None = None) -> Refusal:
    """401: no key, a bad one, or one that may not do this."""
    error = error_body("invalid_request_error", message, code=code)
    return Refusal(401, error, executed=False, headers={"WWW-Authenticate": 'Basic realm="Stripe"'})
