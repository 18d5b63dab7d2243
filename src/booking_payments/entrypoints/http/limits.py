"""Rate limits: per address, per address without a valid token, and per principal on routes that move money.

An address is where the connection comes from, or what a trusted proxy says of it (``TRUSTED_PROXIES``). One of IPv6
stands for its whole /64, which one customer has all to himself. The gateways' webhooks and the probes of the
operator's own machinery are not counted: they come often, from few addresses, and turning them away would do harm.
"""

import hashlib
import ipaddress
import math
from typing import Final

from litestar.types import Scope

from booking_payments.entrypoints.http.metrics import Metrics
from booking_payments.entrypoints.http.problems import RequestRefused
from booking_payments.runtime.rate_limits import RateLimits

UNCOUNTED: Final = frozenset({"/api/webhooks/health", "/health/live", "/health/ready", "/metrics"})
"""Paths without a limit per address, in addition to the gateways' webhooks, whose requests are bounded in size."""


async def count_request(limits: RateLimits, scope: Scope, metrics: Metrics) -> None:
    """Count a request of its address. Raises ``RequestRefused`` (429) when there were too many."""
    path = scope["path"].removesuffix("/")
    if path not in UNCOUNTED and path not in limits.webhooks:
        decision = await limits.address.take(address_of(scope))
        _judge(decision.wait_s, "address", decision.alone, metrics)


async def count_failure(limits: RateLimits, scope: Scope, metrics: Metrics) -> None:
    """Count a request without a valid token. Raises ``RequestRefused`` (429) when too many came from this address.

    Requests with a valid token are not affected by failures from the same address, which many clients may share.
    """
    decision = await limits.failures.take(address_of(scope))
    _judge(decision.wait_s, "failures", decision.alone, metrics)


async def count_log_in(limits: RateLimits, scope: Scope, metrics: Metrics) -> None:
    """Count a log-in for which the OpenID provider is to be asked. Raises ``RequestRefused`` (429) when too many came
    from this address.

    They are not counted with the failures: those of others at the same address would keep operators out.
    """
    decision = await limits.log_ins.take(address_of(scope))
    _judge(decision.wait_s, "log_ins", decision.alone, metrics)


async def count_money(limits: RateLimits, subject: str, issuer: str | None, metrics: Metrics) -> None:
    """Count a request that moves money. Raises ``RequestRefused`` (429) when its principal sent too many."""
    name = hashlib.sha256(f"{issuer or ''}\n{subject}".encode()).hexdigest()
    decision = await limits.money.take(name)
    _judge(decision.wait_s, "money", decision.alone, metrics)


def _judge(wait_s: float, limit: str, alone: bool, metrics: Metrics) -> None:
    if alone:
        metrics.counted_alone()
    if wait_s > 0:
        metrics.limited(limit)
        raise too_many(wait_s)


def too_many(wait_s: float) -> RequestRefused:
    """429, with the whole seconds after which the next request is let in."""
    seconds = max(1, math.ceil(wait_s))
    detail = "too many requests; wait as long as Retry-After says, and send fewer"
    return RequestRefused(429, "too_many_requests", detail, headers={"Retry-After": str(seconds)}, retryable=True)


def address_of(scope: Scope) -> str:
    """The key under which a request is counted: an IPv4 address, an IPv6 network, or ``unknown`` without either."""
    client = scope.get("client")
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0] if client else "")
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
