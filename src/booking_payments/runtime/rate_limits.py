"""The rates that the settings allow: per address, per address without a token, per principal where money moves."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Self

from attrs import frozen

from booking_payments.runtime.settings import Settings

if TYPE_CHECKING:  # the extra `http` brings what this is made of
    from booking_payments.adapters.throttle import Counters, Throttle

FAILURES: Final = 5
"""Requests without a valid token are allowed at a fifth of an address's rate, so that guessing tokens is slow."""


@frozen(kw_only=True)
class RateLimits:
    """One throttle for each rate.

    Attributes:
        address: all requests of an address.
        failures: requests of an address without a valid token.
        log_ins: log-ins of an address that are finished at the OpenID provider.
        money: requests of a principal that move money.
        webhooks: the paths at which gateways of this installation deliver webhooks; requests there are not counted.
    """

    address: "Throttle"
    failures: "Throttle"
    log_ins: "Throttle"
    money: "Throttle"
    webhooks: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings, counters: "Counters", webhook_names: Iterable[str] = ()) -> Self:
        """The rates of the settings, counted in ``counters``; webhooks sent to one of ``webhook_names`` are not
        counted."""
        from booking_payments.adapters.throttle import Throttle

        address, money = settings.rate_limit_address, settings.rate_limit_money
        failures = max(1, address.requests // FAILURES)
        return cls(
            address=Throttle("address", counters, requests=address.requests, period_s=address.period_s),
            failures=Throttle("failures", counters, requests=failures, period_s=address.period_s),
            log_ins=Throttle("log_ins", counters, requests=failures, period_s=address.period_s),
            money=Throttle("money", counters, requests=money.requests, period_s=money.period_s),
            webhooks=frozenset(f"/api/webhooks/{name}" for name in webhook_names),
        )
