"""Checks of the Stripe account for ``doctor``: the permissions of the key, and the webhook endpoints.

No check changes anything. A write permission is tested with a request that lacks a required parameter: Stripe rejects
it as incomplete if the key has the permission, and as forbidden otherwise.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import frozen

from booking_payments.adapters.gateways.stripe.gateway import API_VERSION, Transport
from booking_payments.adapters.gateways.stripe.requests import Params
from booking_payments.adapters.gateways.stripe.webhooks import ALERTS, KINDS
from booking_payments.ports.gateway import GatewayRefused, Misconfigured, OutcomeAmbiguous

PATH: Final = "/api/webhooks/stripe"
"""Path of the service's webhook route, independent of proxies in front of it."""

_ONE: Final[Params] = {"limit": 1}

RIGHTS: Final[Mapping[str, tuple[str, str, Params]]] = {
    "PaymentIntents: read": ("GET", "/v1/payment_intents", _ONE),
    "PaymentIntents: write": ("POST", "/v1/payment_intents", {}),
    "Refunds: read": ("GET", "/v1/refunds", _ONE),
    "Refunds: write": ("POST", "/v1/refunds", {}),
    "Disputes: read": ("GET", "/v1/disputes", _ONE),
    "Charges: read": ("GET", "/v1/charges", _ONE),
    "Events: read": ("GET", "/v1/events", _ONE),
}
"""The permissions that the service needs, each with the request that tests it."""


@frozen(kw_only=True)
class CheckResult:
    """The result of one check. ``remedy`` describes the correction; None when the check is ``ok``."""

    name: str
    ok: bool
    detail: str
    remedy: str | None = None


async def examine(transport: Transport, *, livemode: bool) -> Sequence[CheckResult]:
    """Return the results of all checks, for a valid key. Raises ``GatewayError`` if Stripe is unreachable."""
    return [*await _rights(transport), *await _endpoints(transport, livemode)]


async def _rights(transport: Transport) -> Sequence[CheckResult]:
    missing = [right for right, request in RIGHTS.items() if not await _may(transport, *request)]
    if not missing:
        return [CheckResult(name="rights", ok=True, detail="the key has every permission that is needed")]
    remedy = "add the permission to the restricted key in Stripe's dashboard"
    return [CheckResult(name="rights", ok=False, detail=f"the key lacks {right}", remedy=remedy) for right in missing]


async def _may(transport: Transport, method: str, path: str, params: Params) -> bool:
    try:
        await transport.call(method, path, params, None)
    except Misconfigured:
        return False
    except GatewayRefused:
        return True  # Stripe checks the permission before the parameters
    return True


# --- webhook endpoints ------------------------------------------------------------------------------------------


async def _endpoints(transport: Transport, livemode: bool) -> Sequence[CheckResult]:
    """Return the results for the endpoints with the service's address.

    A key needs no permission to list them, so a refused request is not a problem. In test mode there may be no
    endpoint, since Stripe's CLI forwards events without one.
    """
    try:
        body = (await transport.call("GET", "/v1/webhook_endpoints", {"limit": 100}, None)).body
    except (Misconfigured, GatewayRefused) as error:
        detail = f"cannot be listed with this key ({error.code})"
        return [CheckResult(name="endpoint", ok=True, detail=detail)]
    found = [each for each in _objects(body) if _is_ours(each)]
    thin = await _thin(transport)
    if not found and not thin:
        detail = f"no webhook endpoint of the account has an address that ends in {PATH}/"
        remedy = "create one in Stripe's dashboard, and set STRIPE_WEBHOOK_SECRET to its signing secret"
        return [CheckResult(name="endpoint", ok=not livemode, detail=detail, remedy=remedy)]
    return [*(finding for each in found for finding in _of_endpoint(each)), *thin]


def _of_endpoint(endpoint: Mapping[str, Any]) -> Sequence[CheckResult]:
    url = str(endpoint.get("url"))
    problems = [
        CheckResult(name="endpoint", ok=False, detail=f"{url} {detail}", remedy=remedy)
        for detail, remedy in (_disabled(endpoint), _events(endpoint))
        if detail
    ]
    return [*problems, CheckResult(name="endpoint", ok=True, detail=f"{url} receives events in {_version(endpoint)}")]


def _disabled(endpoint: Mapping[str, Any]) -> tuple[str | None, str]:
    off = endpoint.get("status") not in ("enabled", None)
    return "is disabled" if off else None, "enable it in Stripe's dashboard, then run: booking-payments reconcile"


def _events(endpoint: Mapping[str, Any]) -> tuple[str | None, str]:
    enabled = set(endpoint.get("enabled_events") or ())
    missing = [] if "*" in enabled else sorted({*KINDS, *ALERTS} - enabled)
    return f"does not receive {', '.join(missing)}" if missing else None, "select these events in Stripe's dashboard"


def _version(endpoint: Mapping[str, Any]) -> str:
    """Return a description of the endpoint's API version.

    Events have the endpoint's version, independent of the version of requests. Another version is not a problem: fields
    that an event lacks are read with a request.
    """
    version = endpoint.get("api_version")
    if version == API_VERSION:
        return f"the version {version}"
    return f"{version or 'the default version of the account'}, which need not be {API_VERSION}"


async def _thin(transport: Transport) -> Sequence[CheckResult]:
    """Return a problem for each destination that sends thin events to the service's address.

    Only the second generation of Stripe's API lists them, and not for every key. A destination that is not listed
    raises an alert with its first event.
    """
    params = {"include": ["webhook_endpoint.url"]}
    try:
        body = (await transport.call("GET", "/v2/core/event_destinations", params, None)).body
    except (Misconfigured, GatewayRefused, OutcomeAmbiguous):
        return []
    remedy = "choose the payload style snapshot in Stripe's dashboard"
    return [
        CheckResult(
            name="endpoint",
            ok=False,
            detail=f"{each['webhook_endpoint']['url']} receives thin events",
            remedy=remedy,
        )
        for each in _objects(body)
        if each.get("event_payload") == "thin" and _is_ours(each.get("webhook_endpoint"))
    ]


def _objects(body: object) -> Sequence[Mapping[str, Any]]:
    data = body.get("data") if isinstance(body, Mapping) else None
    return [each for each in data if isinstance(each, Mapping)] if isinstance(data, list) else []


def _is_ours(endpoint: object) -> bool:
    url = endpoint.get("url") if isinstance(endpoint, Mapping) else None
    return isinstance(url, str) and urlsplit(url).path.rstrip("/").endswith(PATH)
