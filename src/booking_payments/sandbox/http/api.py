"""Stripe's own interface: keys, versions and forms here; everything else is the model's."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from booking_payments.sandbox.emulator.answers import Answer
from booking_payments.sandbox.emulator.errors import (
    Refusal,
    error_body,
    invalid,
    parameter_missing,
    unknown_url,
)
from booking_payments.sandbox.http.account import SandboxStripe
from booking_payments.sandbox.http.forms import BadForm, decode
from booking_payments.sandbox.http.messages import Reply, Request, reply_refusing, reply_with

SECRET_KEYS: Final = ("sk_test_", "rk_test_")
"""How the keys begin that may do everything: secret keys, and restricted ones, whose permissions are not modelled."""

PUBLISHABLE_KEY: Final = "pk_test_"

_VERSION: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[a-z]{1,32})?")
_CUSTOMERS_PATH: Final = re.compile(r"/v1/payment_intents/(?P<id>[^/]+)(?P<confirm>/confirm)?")
_FORM: Final = "application/x-www-form-urlencoded"


def answer(stripe: SandboxStripe, request: Request) -> Reply:
    """Answer as Stripe does. Raises ``NetworkFault`` when a script says so."""
    try:
        reply = _answer(stripe, request)
    except Refusal as refusal:
        reply = reply_refusing(refusal)
    return _dressed(reply, request)


def _answer(stripe: SandboxStripe, request: Request) -> Reply:
    if request.method == "OPTIONS":
        return Reply(204, None, {"Allow": "GET, HEAD, POST, DELETE, OPTIONS"})
    _check_key(request)
    _check_version(request)
    params = _params(request)
    if _key_of(request.headers).startswith(PUBLISHABLE_KEY):
        return reply_with(_for_customer(stripe, request, params))
    method = "GET" if request.method == "HEAD" else request.method
    key, version = request.headers.get("idempotency-key"), request.headers.get("stripe-version")
    return reply_with(stripe.call(method, request.path, params, key, version))


# --- keys ------------------------------------------------------------------------------------------------------


def _check_key(request: Request) -> None:
    key = _key_of(request.headers)
    if not key:
        raise _unauthorized(
            "You did not provide an API key. You need to provide your API key in the Authorization header, using "
            "Bearer auth (e.g. 'Authorization: Bearer sk_test_...')."
        )
    if key.startswith(SECRET_KEYS):
        return
    if not key.startswith(PUBLISHABLE_KEY):
        raise _unauthorized("Invalid API Key provided: this sandbox takes keys that begin with sk_test_ or rk_test_.")
    if _customers_part(request) is None:
        raise _unauthorized(
            "This API call cannot be made with a publishable API key. Please use a secret API key.",
            code="secret_key_required",
        )


def _key_of(headers: Mapping[str, str]) -> str:
    """The key in the Authorization header; empty without one."""
    scheme, _, rest = headers.get("authorization", "").strip().partition(" ")
    reader = _READERS.get(scheme.lower())
    return reader(rest.strip()) if reader else ""


def _user_name(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        return ""


_READERS: Final[Mapping[str, Callable[[str], str]]] = {"bearer": str, "basic": _user_name}


def _unauthorized(message: str, code: str | None = None) -> Refusal:
    error = error_body("invalid_request_error", message, code=code)
    return Refusal(401, error, executed=False, headers={"WWW-Authenticate": 'Basic realm="Stripe"'})


# --- what the request says -------------------------------------------------------------------------------------


def _check_version(request: Request) -> None:
    version = request.headers.get("stripe-version")
    if version is not None and not _VERSION.fullmatch(version):
        raise invalid(f"Invalid Stripe API version: {version[:60]}")


def _params(request: Request) -> dict[str, Any]:
    """Query and body are one set of parameters."""
    media = request.headers.get("content-type", _FORM).partition(";")[0].strip().lower()
    if request.body and media != _FORM:
        raise invalid(f"Invalid request (check that your POST content type is {_FORM}).")
    try:
        return decode("&".join(filter(None, (request.query, request.body.decode()))))
    except UnicodeDecodeError:
        raise invalid("Invalid form: the text is not valid UTF-8.") from None
    except BadForm as error:
        raise invalid(str(error)) from None


# --- the customer's browser ------------------------------------------------------------------------------------


def _customers_part(request: Request) -> re.Match[str] | None:
    """With a publishable key and an intent's own secret a browser may read the intent, and confirm it."""
    match = _CUSTOMERS_PATH.fullmatch(request.path.rstrip("/"))
    wanted = ("POST",) if match and match["confirm"] else ("GET", "HEAD")
    return match if request.method in wanted else None


def _for_customer(stripe: SandboxStripe, request: Request, params: Mapping[str, Any]) -> Answer:
    part = _customers_part(request)
    if part is None:
        raise unknown_url(request.method, request.path)
    secret = _text(params, "client_secret")
    if part["confirm"]:
        return stripe.confirm_as_customer(part["id"], secret, _method(params), params.get("return_url"))
    return stripe.call("GET", request.path, {"client_secret": secret})


def _method(params: Mapping[str, Any]) -> str:
    """A method's id, or the type of one that redirects and has no details of its own."""
    data = params.get("payment_method_data")
    return _text(data, "type") if isinstance(data, Mapping) else _text(params, "payment_method")


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise parameter_missing(name)
    return value


# --- what the reply says ---------------------------------------------------------------------------------------


def _dressed(reply: Reply, request: Request) -> Reply:
    """The version asked for is echoed; browsers may read what their customers may."""
    headers = dict(reply.headers)
    version = request.headers.get("stripe-version", "")
    if _VERSION.fullmatch(version):
        headers["Stripe-Version"] = version
    if _CUSTOMERS_PATH.fullmatch(request.path.rstrip("/")):
        headers |= _CORS
    return Reply(reply.status, reply.content, headers, reply.delay)


_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Stripe-Version",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
}
