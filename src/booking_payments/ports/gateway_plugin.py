"""A gateway as one value: all that the service needs to run it.

Plugins are found by the entry point group ``booking_payments.gateways``; ours are found the same way. A gateway of
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
    """Closes nothing."""


@frozen(kw_only=True)
class PluginSetting:
    """One setting of a gateway.

    Attributes:
        name: Its name in the environment, such as ``PAYPAL_CLIENT_ID``.
        description: What an error says when it is missing: ``set it to ...``.
        required: Whether the gateway cannot work without.
    """

    name: str
    description: str
    required: bool = True


@frozen(kw_only=True)
class GatewayDependencies:
    """What a gateway is built of.

    Attributes:
        settings: The values of the plugin's own settings that were given, by name.
        database_url: The service's database, in SQLAlchemy's spelling with an async driver. It may hold a password.
        clock: The service's clock.
        own_address: Where a browser reaches this service.
        max_amount_digits: Digits of the largest amount, in the gateway's smallest units.
        max_per_s: How many requests the gateway may be sent in a second; 0: any number.
        max_concurrent: How many requests may be under way at the same time; 0: any number.
        webhook_secrets: What webhooks may be signed with, where the gateway uses ``STRIPE_WEBHOOK_SECRET``.
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
    """A gateway that is ready to be used.

    Attributes:
        gateway: Moves the money.
        webhooks: Reads what the gateway sends.
        webhook_names: The names in ``/api/webhooks/{name}/`` under which its webhooks are taken; none where it sends
            none.
        close: Closes what ``build`` opened.
        recorded: Operators record its payments; customers can't pay by it.
        settle_refund: Says that the refund with this id has been given back, and returns the event that tells so.
        parts: What pages and commands of this gateway work with.
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
    """A gateway, before it is built.

    Attributes:
        name: What payments, settings and routes call it.
        title: What customers read where they choose how to pay.
        build: Makes the gateway. Raises ``ValueError`` for a setting that is wrong, with the remedy as its text.
        settings: Its own settings.
        event_types: The types of events that it understands.
        extra: The extra of this package, or the package, that brings what it imports; None where nothing is needed.
        moves_money: Whether real money may move.
        script_sources: Addresses from which the checkout loads scripts for it (Content-Security-Policy).
    """

    name: str
    title: str
    build: Callable[[GatewayDependencies], BuiltGateway]
    settings: Sequence[PluginSetting] = ()
    event_types: Collection[str] = frozenset()
    extra: str | None = None
    moves_money: bool = True
    script_sources: Sequence[str] = ()
