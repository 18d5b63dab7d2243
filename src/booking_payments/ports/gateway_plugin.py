"""Gateway plugins: one value with everything that the service needs to run a gateway.

Plugins are found by the entry point group ``booking_payments.gateways``, including those of this package. A gateway in
another package is a folder with a ``plugin.py`` and one line in that package's ``pyproject.toml``::

    [project.entry-points."booking_payments.gateways"]
    paypal = "my_package.paypal.plugin:PLUGIN"
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway import Gateway
from booking_payments.ports.webhooks import GatewayEvent, WebhookReader

GROUP: Final = "booking_payments.gateways"
"""The entry point group."""


async def _nothing_to_close() -> None:
    """Do nothing."""


@frozen(kw_only=True)
class PluginSetting:
    """One setting of a gateway.

    Attributes:
        name: its name in the environment, such as ``PAYPAL_CLIENT_ID``.
        description: completes the error message for a missing value: ``set it to ...``.
        required: the gateway cannot work without it.
    """

    name: str
    description: str
    required: bool = True


@frozen(kw_only=True)
class GatewayDependencies:
    """The values from which a gateway is built.

    Attributes:
        settings: the given values of the plugin's own settings, by name.
        database_url: the service's database, as SQLAlchemy URL with an async driver. It may contain a password.
        clock: the service's clock.
        own_address: the address of this service for browsers.
        max_amount_digits: digits of the largest amount, in the gateway's smallest units.
        max_per_s: largest number of requests to the gateway per second; 0: no limit.
        max_concurrent: largest number of concurrent requests to the gateway; 0: no limit.
        webhook_secrets: secrets of webhook signatures, for the gateway that uses ``STRIPE_WEBHOOK_SECRET``.
    """

    settings: Mapping[str, str] = field(repr=False)
    database_url: str = field(repr=False)
    clock: Clock
    own_address: str
    max_amount_digits: int
    max_per_s: int
    max_concurrent: int
    webhook_secrets: Sequence[str] = field(default=(), repr=False)


@frozen(kw_only=True)
class BuiltGateway:
    """A gateway that is ready to use.

    Attributes:
        gateway: the gateway port.
        webhooks: verifies and decodes the gateway's webhooks.
        webhook_names: the names in ``/api/webhooks/{name}/`` under which its webhooks are accepted; empty without
            webhooks.
        close: closes everything that ``build`` opened.
        recorded: operators record its payments; customers cannot pay with it.
        settle_refund: records that the refund with this id was paid back, and returns the gateway event.
        parts: objects that the pages and commands of this gateway use.
    """

    gateway: Gateway
    webhooks: WebhookReader
    webhook_names: Sequence[str] = ()
    close: Callable[[], Awaitable[None]] = _nothing_to_close
    recorded: bool = False
    settle_refund: Callable[[str], Awaitable[GatewayEvent]] | None = None
    parts: Sequence[Any] = ()


@frozen(kw_only=True)
class GatewayPlugin:
    """A gateway before it is built.

    Attributes:
        name: its name in payments, settings and routes.
        title: its name for customers who choose how to pay.
        build: creates the gateway. Raises ``ValueError`` for a wrong setting, with the remedy as its text.
        settings: its own settings.
        event_types: the types of events that it processes.
        extra: the extra of this package, or the package, with its imports; None if nothing has to be installed.
        moves_money: real money may move.
        script_sources: addresses from which the checkout loads its scripts (Content-Security-Policy).
    """

    name: str
    title: str
    build: Callable[[GatewayDependencies], BuiltGateway]
    settings: Sequence[PluginSetting] = ()
    event_types: Collection[str] = frozenset()
    extra: str | None = None
    moves_money: bool = True
    script_sources: Sequence[str] = ()
