"""What has to be right at Stripe, looked at for ``doctor``: the rights of the key, and the webhook endpoints.

Nothing here changes anything: rights to write are tried with a request that lacks what Stripe requires, so that it is
refused as incomplete by whoever may write, and as forbidden by whoever may not.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import frozen

from booking_payments.adapters.stripe.gateway import API_VERSION, Transport
from booking_payments.adapters.stripe.requests import Params
from booking_payments.adapters.stripe.webhooks import ALERTS, KINDS
from booking_payments.ports.gateway import Misconfigured, Refused, Silent

PATH: Final = "/api/webhooks/stripe"
"""Where the service takes webhooks, whatever stands in front of it."""

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
"""Each right that the service needs, and the request that tries it."""


@frozen(kw_only=True)
class Finding:
    """One thing looked at. ``remedy`` says what to do where it is not ``ok``."""

    name: str
    ok: bool
    detail: str
    remedy: str | None = None


async def examine(transport: Transport, *, livemode: bool) -> Sequence[Finding]:
    """Everything, for a key that Stripe takes. Raises ``GatewayError`` where Stripe can't be reached."""
    return [*await _rights(transport), *await _endpoints(transport, livemode)]


async def _rights(transport: Transport) -> Sequence[Finding]:
    missing = [right for right, request in RIGHTS.items() if not await _may(transport, *request)]
    if not missing:
        return [Finding(name="rights", ok=True, detail="the key may do all that is needed")]
    remedy = "give it to the restricted key in Stripe's dashboard"
    return [Finding(name="rights", ok=False, detail=f"the key lacks {right}", remedy=remedy) for right in missing]


async def _may(transport: Transport, method: str, path: str, params: Params) -> bool:
    try:
        await transport.call(method, path, params, None)
    except Misconfigured:
        return False
    except Refused:
        return True  # Stripe has looked at the parameters
    return True


# --- webhook endpoints ------------------------------------------------------------------------------------------


async def _endpoints(transport: Transport, livemode: bool) -> Sequence[Finding]:
    """The endpoints whose address is the service's.

    A key needs no right to see them, so a missing right is no fault. In test mode there may be none, since Stripe's
    command line forwards events without one.
    """
    try:
        body = (await transport.call("GET", "/v1/webhook_endpoints", {"limit": 100}, None)).body
    except (Misconfigured, Refused) as error:
        detail = f"can't be looked at with this key ({error.code})"
        return [Finding(name="endpoint", ok=True, detail=detail)]
    found = [each for each in _objects(body) if _is_ours(each)]
    thin = await _thin(transport)
    if not found and not thin:
        detail = f"no webhook endpoint of the account has an address that ends in {PATH}/"
        remedy = "make one in Stripe's dashboard, and put its signing secret into STRIPE_WEBHOOK_SECRET"
        return [Finding(name="endpoint", ok=not livemode, detail=detail, remedy=remedy)]
    return [*(finding for each in found for finding in _of_endpoint(each)), *thin]


def _of_endpoint(endpoint: Mapping[str, Any]) -> Sequence[Finding]:
    url = str(endpoint.get("url"))
    problems = [
        Finding(name="endpoint", ok=False, detail=f"{url} {detail}", remedy=remedy)
        for detail, remedy in (_disabled(endpoint), _events(endpoint))
        if detail
    ]
    return [*problems, Finding(name="endpoint", ok=True, detail=f"{url} gets events in {_version(endpoint)}")]


def _disabled(endpoint: Mapping[str, Any]) -> tuple[str | None, str]:
    off = endpoint.get("status") not in ("enabled", None)
    return "is disabled" if off else None, "enable it in Stripe's dashboard, then run: booking-payments reconcile"


def _events(endpoint: Mapping[str, Any]) -> tuple[str | None, str]:
    enabled = set(endpoint.get("enabled_events") or ())
    missing = [] if "*" in enabled else sorted({*KINDS, *ALERTS} - enabled)
    return f"does not get {', '.join(missing)}" if missing else None, "select these events in Stripe's dashboard"


def _version(endpoint: Mapping[str, Any]) -> str:
    """Events come as the endpoint has it, whatever version our requests name. Another version is no fault: what an
    event does not say is read."""
    version = endpoint.get("api_version")
    if version == API_VERSION:
        return f"the version {version}"
    return f"{version or 'the default version of the account'}, which need not be {API_VERSION}"


async def _thin(transport: Transport) -> Sequence[Finding]:
    """Destinations that send thin events to our address. Only the second generation of Stripe's interface shows them,
    and not to every key: what it does not show raises an alert when the first event comes."""
    params = {"include": ["webhook_endpoint.url"]}
    try:
        body = (await transport.call("GET", "/v2/core/event_destinations", params, None)).body
    except (Misconfigured, Refused, Silent):
        return []
    remedy = "choose the payload style snapshot in Stripe's dashboard"
    return [
        Finding(name="endpoint", ok=False, detail=f"{each['webhook_endpoint']['url']} gets thin events", remedy=remedy)
        for each in _objects(body)
        if each.get("event_payload") == "thin" and _is_ours(each.get("webhook_endpoint"))
    ]


def _objects(body: object) -> Sequence[Mapping[str, Any]]:
    data = body.get("data") if isinstance(body, Mapping) else None
    return [each for each in data if isinstance(each, Mapping)] if isinstance(data, list) else []


def _is_ours(endpoint: object) -> bool:
    url = endpoint.get("url") if isinstance(endpoint, Mapping) else None
    return isinstance(url, str) and urlsplit(url).path.rstrip("/").endswith(PATH)
