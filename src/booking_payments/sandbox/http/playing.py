"""``/_sandbox``: the parts that are not the merchant's: customer, bank, dashboard, clock, network.

Bodies and answers are JSON, no key is needed, and unknown fields are refused.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from attrs import evolve, frozen

from booking_payments.sandbox.emulator.errors import Refusal, error_body, invalid, unknown_url
from booking_payments.sandbox.http.account import SandboxStripe
from booking_payments.sandbox.http.messages import CORS, HttpResponse, Request, reply_refusing, reply_with

PREFIX: Final = "/_sandbox"
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Url = Annotated[str, msgspec.Meta(max_length=2048, pattern=r"^https?://[!-~]+$")]
Secret = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern="^[!-~]+$")]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=86400 * 36525)]
Amount = Annotated[int, msgspec.Meta(ge=1, le=10**12)]
M = TypeVar("M", bound=msgspec.Struct)


class NoFields(msgspec.Struct, forbid_unknown_fields=True):
    """No field at all."""


class WebhookEndpoint(msgspec.Struct, forbid_unknown_fields=True):
    """Where events go, the secret that signs them, which events (by default all), and the version that they have (by
    default the account's)."""

    url: Url
    secret: Secret
    enabled_events: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1, max_length=100)] = ("*",)
    api_version: Text | None = None


class AuthenticationResult(msgspec.Struct, forbid_unknown_fields=True):
    """How the customer left the bank's 3-D Secure window, or its page; ``processing`` is for methods that redirect."""

    client_secret: Text
    outcome: Literal["succeeded", "failed", "processing"]


class VoucherEnd(msgspec.Struct, forbid_unknown_fields=True):
    """Whether the customer pays the voucher or lets it expire."""

    outcome: Literal["paid", "expired"]


class Confirmation(msgspec.Struct, forbid_unknown_fields=True):
    """What the customer pays with in the browser: a method's id, or a test card's number."""

    client_secret: Text
    payment_method: Text


class DashboardRefund(msgspec.Struct, forbid_unknown_fields=True):
    """In the currency's smallest unit; without an amount, everything left."""

    amount: Amount | None = None


class NewDispute(msgspec.Struct, forbid_unknown_fields=True):
    """The bank's complaint; an inquiry moves no money. ``FakeStripe.open_dispute`` says what each field means."""

    reason: Text = "fraudulent"
    inquiry: bool = False
    amount: Amount | None = None
    status: Text | None = None
    currency: Text | None = None
    case_type: Text | None = None
    is_charge_refundable: bool | None = None


class DisputeMove(msgspec.Struct, forbid_unknown_fields=True):
    """What the bank does to a dispute. ``FakeStripe.move_dispute`` says what each field means."""

    status: Text
    reinstated: Annotated[int, msgspec.Meta(ge=0, le=10**15)] | None = None
    is_charge_refundable: bool | None = None
    case_type: Text | None = None
    keeps_refunds: bool = False


class RefundMove(msgspec.Struct, forbid_unknown_fields=True):
    """What the bank does to a refund."""

    status: Literal["pending", "requires_action", "succeeded", "failed", "canceled"]
    failure_reason: Text = "unknown"


class AccountChange(msgspec.Struct, forbid_unknown_fields=True):
    """Settings of the account from now on; those that are left out stay. ``FakeStripe.set_settlement`` and
    ``set_release_as_refund`` say what they mean."""

    settlement_currency: Text | msgspec.UnsetType | None = msgspec.UNSET
    rates: Annotated[dict[Text, Text], msgspec.Meta(max_length=200)] = msgspec.field(default_factory=dict)
    release_as_refund: bool | Literal["expired_uncaptured_charge"] | msgspec.UnsetType = msgspec.UNSET


class Advance(msgspec.Struct, forbid_unknown_fields=True):
    """How much time passes at once."""

    advance_s: Seconds


class FaultScript(msgspec.Struct, forbid_unknown_fields=True):
    """What goes wrong with the next ``times`` requests that match; ``delay_s`` is for ``slow``, ``500_later`` and
    ``delay``."""

    match: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^*]*(\*[^*]+){0,4}\*?$")]
    fault: Text
    times: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 1
    delay_s: Seconds = 5


def answer(stripe: SandboxStripe, request: Request) -> HttpResponse:
    """Answer a request below ``/_sandbox``."""
    try:
        reply = _answer(stripe, request)
    except Refusal as refusal:
        reply = reply_refusing(refusal)
    open_to_pages = _BY_STRIPE_JS.fullmatch(request.path.rstrip("/"))
    return evolve(reply, headers={**reply.headers, **CORS}) if open_to_pages else reply


def _answer(stripe: SandboxStripe, request: Request) -> HttpResponse:
    if request.method == "OPTIONS" and _BY_STRIPE_JS.fullmatch(request.path.rstrip("/")):
        return HttpResponse(204, None, {"Allow": "POST, OPTIONS"})
    role, id_ = _find(request)
    return role.play(stripe, id_, _read_body(request, role.body))


_BY_STRIPE_JS: Final = re.compile(PREFIX + "/payment_intents/[^/]+/authenticate")
"""What the sandbox's Stripe.js calls from pages of other origins; the client secret is asked for there."""


# --- who plays what --------------------------------------------------------------------------------------------


def _hello(stripe: SandboxStripe, _: str, __: NoFields) -> HttpResponse:
    delay_s = stripe.follow_up_delay.total_seconds()
    return HttpResponse(200, {"sandbox": "booking-payments", "now": stripe.clock.now(), "follow_up_delay_s": delay_s})


def _register(stripe: SandboxStripe, _: str, given: WebhookEndpoint) -> HttpResponse:
    """An address that is registered already gets the new secret and events instead of a second copy of each event."""
    params: dict[str, Any] = {"url": given.url, "enabled_events": list(given.enabled_events)}
    if given.api_version is not None:
        params["api_version"] = given.api_version
    with stripe.lock:
        known = [each["id"] for each in _endpoints(stripe) if each["url"] == given.url]
        made = stripe.by_hand("POST", "/v1/webhook_endpoints", params)
        if not made.ok:
            return reply_with(made)
        for id_ in known:
            stripe.by_hand("DELETE", f"/v1/webhook_endpoints/{id_}", {})
        stripe.set_webhook_secret(made.body["id"], given.secret)
        return HttpResponse(200, _endpoint_summary(made.body))


def _endpoints(stripe: SandboxStripe) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stripe.by_hand("GET", "/v1/webhook_endpoints", {"limit": 100}).body["data"]
    return found


def _endpoint_summary(endpoint: dict[str, Any]) -> dict[str, Any]:
    return {name: endpoint[name] for name in ("id", "url", "enabled_events", "status", "api_version")}


def _list_endpoints(stripe: SandboxStripe, _: str, __: NoFields) -> HttpResponse:
    return HttpResponse(200, {"webhook_endpoints": [_endpoint_summary(endpoint) for endpoint in _endpoints(stripe)]})


def _remove_endpoint(stripe: SandboxStripe, id_: str, _: NoFields) -> HttpResponse:
    return reply_with(stripe.by_hand("DELETE", f"/v1/webhook_endpoints/{id_}", {}))


def _remove_endpoints(stripe: SandboxStripe, _: str, given: NoFields) -> HttpResponse:
    for endpoint in _endpoints(stripe):
        _remove_endpoint(stripe, endpoint["id"], given)
    return HttpResponse(200, {"webhook_endpoints": []})


def _waiting(stripe: SandboxStripe, _: str, __: NoFields) -> HttpResponse:
    waiting = [
        {
            "event_id": delivery.event_id,
            "type": delivery.event["type"],
            "endpoint_id": delivery.endpoint_id,
            "attempts": delivery.attempts,
            "next_attempt_at": delivery.next_attempt_at,
        }
        for delivery in stripe.deliveries()
    ]
    return HttpResponse(200, {"deliveries": waiting})


def _authenticate(stripe: SandboxStripe, id_: str, given: AuthenticationResult) -> HttpResponse:
    return reply_with(stripe.authenticate(id_, given.client_secret, given.outcome))


def _authenticate_setup(stripe: SandboxStripe, id_: str, given: AuthenticationResult) -> HttpResponse:
    return reply_with(stripe.authenticate_setup(id_, given.client_secret, given.outcome))


def _end_voucher(stripe: SandboxStripe, id_: str, given: VoucherEnd) -> HttpResponse:
    return reply_with(stripe.end_voucher(id_, given.outcome))


def _confirm(stripe: SandboxStripe, id_: str, given: Confirmation) -> HttpResponse:
    return reply_with(stripe.confirm_as_customer(id_, given.client_secret, given.payment_method))


def _refund(stripe: SandboxStripe, id_: str, given: DashboardRefund) -> HttpResponse:
    return reply_with(stripe.refund_in_dashboard(id_, given.amount))


def _dispute(stripe: SandboxStripe, id_: str, given: NewDispute) -> HttpResponse:
    opened = stripe.open_dispute(
        id_,
        given.reason,
        given.inquiry,
        amount=given.amount,
        status=given.status,
        currency=given.currency,
        case_type=given.case_type,
        refundable=given.is_charge_refundable,
    )
    return reply_with(opened)


def _move_dispute(stripe: SandboxStripe, id_: str, given: DisputeMove) -> HttpResponse:
    moved = stripe.move_dispute(
        id_,
        given.status,
        reinstated=given.reinstated,
        refundable=given.is_charge_refundable,
        case_type=given.case_type,
        keeps_refunds=given.keeps_refunds,
    )
    return reply_with(moved)


def _move_refund(stripe: SandboxStripe, id_: str, given: RefundMove) -> HttpResponse:
    return reply_with(stripe.move_refund(id_, given.status, given.failure_reason))


def _account(stripe: SandboxStripe, _: str, __: NoFields) -> HttpResponse:
    return HttpResponse(200, stripe.account_settings)


def _change_account(stripe: SandboxStripe, _: str, given: AccountChange) -> HttpResponse:
    with stripe.lock:
        currency = given.settlement_currency
        if currency is msgspec.UNSET:
            currency = stripe.account_settings["settlement_currency"]
        try:
            stripe.set_settlement(currency, given.rates)
        except ValueError as error:
            raise invalid(f"Invalid account: {error}") from None
        if given.release_as_refund is not msgspec.UNSET:
            stripe.set_release_as_refund(given.release_as_refund)
        return HttpResponse(200, stripe.account_settings)


def _advance(stripe: SandboxStripe, _: str, given: Advance) -> HttpResponse:
    try:
        happened = stripe.advance(timedelta(seconds=given.advance_s))
    except ValueError as error:
        raise invalid(f"Invalid advance_s: {error}", param="advance_s") from None
    return HttpResponse(200, {"now": stripe.clock.now(), "happened": happened})


def _now(stripe: SandboxStripe, _: str, __: NoFields) -> HttpResponse:
    return HttpResponse(200, {"now": stripe.clock.now()})


def _script_fault(stripe: SandboxStripe, _: str, given: FaultScript) -> HttpResponse:
    try:
        stripe.faults.script(given.match, given.fault, given.times, timedelta(seconds=given.delay_s))
    except ValueError as error:
        raise invalid(f"Invalid fault: {error}", param="fault") from None
    return _faults(stripe)


def _list_faults(stripe: SandboxStripe, _: str, __: NoFields) -> HttpResponse:
    return _faults(stripe)


def _clear_faults(stripe: SandboxStripe, _: str, __: NoFields) -> HttpResponse:
    stripe.faults.clear()
    return _faults(stripe)


def _faults(stripe: SandboxStripe) -> HttpResponse:
    coming = [
        {
            "match": script.match,
            "fault": script.fault.value,
            "times": script.times,
            "delay_s": script.delay.total_seconds(),
        }
        for script in stripe.faults.coming()
    ]
    return HttpResponse(200, {"faults": coming})


def _calls(stripe: SandboxStripe, _: str, __: NoFields) -> HttpResponse:
    calls = [
        {
            "method": call.method,
            "path": call.path,
            "key": call.key,
            "key_age_s": None if call.key_age is None else call.key_age.total_seconds(),
        }
        for call in stripe.calls_so_far()
    ]
    return HttpResponse(200, {"calls": calls})


def _reset(stripe: SandboxStripe, _: str, __: NoFields) -> HttpResponse:
    stripe.reset()
    return HttpResponse(200, {"reset": True})


# --- the table -------------------------------------------------------------------------------------------------


@frozen
class Role:
    """One row of the table below, ready to match."""

    method: str
    pattern: re.Pattern[str]
    body: type[msgspec.Struct]
    play: Callable[[SandboxStripe, str, Any], HttpResponse]


def _role(line: str, body: type[M], play: Callable[[SandboxStripe, str, M], HttpResponse]) -> Role:
    method, _, path = line.partition(" ")
    return Role(method, re.compile(PREFIX + path.replace("{id}", "(?P<id>[^/]+)")), body, play)


ROLES: Final = (
    _role("GET ", NoFields, _hello),
    _role("POST /webhook_endpoints", WebhookEndpoint, _register),
    _role("GET /webhook_endpoints", NoFields, _list_endpoints),
    _role("DELETE /webhook_endpoints", NoFields, _remove_endpoints),
    _role("DELETE /webhook_endpoints/{id}", NoFields, _remove_endpoint),
    _role("GET /deliveries", NoFields, _waiting),
    _role("POST /payment_intents/{id}/authenticate", AuthenticationResult, _authenticate),
    _role("POST /payment_intents/{id}/voucher", VoucherEnd, _end_voucher),
    _role("POST /setup_intents/{id}/authenticate", AuthenticationResult, _authenticate_setup),
    _role("POST /payment_intents/{id}/confirm", Confirmation, _confirm),
    _role("POST /payment_intents/{id}/refund", DashboardRefund, _refund),
    _role("POST /payment_intents/{id}/dispute", NewDispute, _dispute),
    _role("POST /disputes/{id}", DisputeMove, _move_dispute),
    _role("POST /refunds/{id}", RefundMove, _move_refund),
    _role("GET /account", NoFields, _account),
    _role("POST /account", AccountChange, _change_account),
    _role("GET /clock", NoFields, _now),
    _role("POST /clock", Advance, _advance),
    _role("POST /faults", FaultScript, _script_fault),
    _role("GET /faults", NoFields, _list_faults),
    _role("DELETE /faults", NoFields, _clear_faults),
    _role("GET /calls", NoFields, _calls),
    _role("POST /reset", NoFields, _reset),
)


def _find(request: Request) -> tuple[Role, str]:
    method = "GET" if request.method == "HEAD" else request.method
    path, allowed = request.path.rstrip("/"), []
    for role in ROLES:
        match = role.pattern.fullmatch(path)
        if match and role.method == method:
            return role, match.groupdict().get("id", "")
        allowed += [role.method] if match else []
    if not allowed:
        raise unknown_url(request.method, request.path)
    raise _other_method(allowed)


def _other_method(allowed: list[str]) -> Refusal:
    message = f"This address takes {' and '.join(allowed)} only."
    error = error_body("invalid_request_error", message)
    return Refusal(405, error, executed=False, headers={"Allow": ", ".join(allowed)})


def _read_body(request: Request, model: type[M]) -> M:
    """The body as ``model``.

    Only a declared JSON body is read: a web page of another origin cannot send one.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.body.strip() and media != "application/json":
        raise invalid("Invalid body: send JSON (Content-Type: application/json).")
    try:
        return msgspec.json.decode(request.body.strip() or b"{}", type=model)
    except msgspec.ValidationError as error:
        raise invalid(f"Invalid body: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("Invalid body: not well-formed JSON.") from None
