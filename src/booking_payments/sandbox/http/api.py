"""Stripe's own interface: keys, versions and forms here; everything else is the model's."""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final

from booking_payments.sandbox.emulator import browser
from booking_payments.sandbox.emulator.errors import Refusal, invalid, not_modelled_header, unauthorized
from booking_payments.sandbox.emulator.objects import ACCOUNT_ID
from booking_payments.sandbox.emulator.published import is_version
from booking_payments.sandbox.http.account import SandboxStripe
from booking_payments.sandbox.http.forms import BadForm, decode
from booking_payments.sandbox.http.messages import CORS, HttpResponse, Request, reply_refusing, reply_with

SECRET_KEYS: Final = ("sk_test_", "rk_test_")
"""How the keys begin that may do everything: secret keys, and restricted ones, whose permissions are not modelled."""

PUBLISHABLE_KEY: Final = "pk_test_"

_FORM: Final = "application/x-www-form-urlencoded"


def answer(stripe: SandboxStripe, request: Request) -> HttpResponse:
    """Answer as Stripe does. Raises ``NetworkFault`` when a script says so."""
    try:
        reply = _answer(stripe, request)
    except Refusal as refusal:
        reply = reply_refusing(refusal)
    return _dressed(reply, request)


def _answer(stripe: SandboxStripe, request: Request) -> HttpResponse:
    if request.method == "OPTIONS":
        return HttpResponse(204, None, {"Allow": "GET, HEAD, POST, DELETE, OPTIONS"})
    params = _params(request)
    key = _take_key(request, params)
    method = "GET" if request.method == "HEAD" else request.method
    _check_key(key, method, request.path)
    version = _take_version(request, params)
    _check_account(request, params)
    if key.startswith(PUBLISHABLE_KEY):
        return reply_with(stripe.browser_call(method, request.path, params))
    return reply_with(stripe.call(method, request.path, params, request.headers.get("idempotency-key"), version))


# --- keys ------------------------------------------------------------------------------------------------------


def _take_key(request: Request, params: dict[str, Any]) -> str:
    """The key in the Authorization header, else the parameter ``key``, as Stripe's scripts send it; or empty."""
    in_form = params.pop("key", None)
    return _key_of(request.headers) or (in_form if isinstance(in_form, str) else "")


def _check_key(key: str, method: str, path: str) -> None:
    if not key:
        raise unauthorized(
            "You did not provide an API key. You need to provide your API key in the Authorization header, using "
            "Bearer auth (e.g. 'Authorization: Bearer sk_test_...')."
        )
    if key.startswith(SECRET_KEYS):
        return
    if not key.startswith(PUBLISHABLE_KEY):
        raise unauthorized("Invalid API Key provided: this sandbox takes keys that begin with sk_test_ or rk_test_.")
    if not browser.is_for_browsers(method, path.rstrip("/")):
        raise unauthorized(
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


# --- what the request says -------------------------------------------------------------------------------------


def _take_version(request: Request, params: dict[str, Any]) -> str | None:
    """The version in the header, else the parameter ``_stripe_version``; raises 400 for one that Stripe has not."""
    in_form = params.pop("_stripe_version", None)
    version = request.headers.get("stripe-version") or (in_form if isinstance(in_form, str) else None)
    if version is not None and not is_version(version):
        raise invalid(f"Invalid Stripe API version: {version[:60]}")
    return version


def _check_account(request: Request, params: dict[str, Any]) -> None:
    """Raises 400 for a request on behalf of another account; one's own may be named."""
    for name in ("Stripe-Account", "Stripe-Context"):
        if request.headers.get(name.lower(), ACCOUNT_ID) != ACCOUNT_ID:
            raise not_modelled_header(name)
    if params.pop("_stripe_account", ACCOUNT_ID) != ACCOUNT_ID:
        raise not_modelled_header("_stripe_account")


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


# --- what the reply says ---------------------------------------------------------------------------------------


def _dressed(reply: HttpResponse, request: Request) -> HttpResponse:
    """The version asked for is echoed; browsers may read what their customers may."""
    headers = dict(reply.headers)
    version = request.headers.get("stripe-version", "")
    if is_version(version):
        headers["Stripe-Version"] = version
    if browser.is_open_to_pages(request.path.rstrip("/")):
        headers |= CORS
    return HttpResponse(reply.status, reply.content, headers, reply.delay)
