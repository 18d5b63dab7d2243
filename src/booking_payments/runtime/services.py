"""The services of one process, as a way in receives them from the composition root."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from booking_payments.application.payments import BookingPayments
from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway import Gateway
from booking_payments.ports.gateway_plugin import CheckoutForm
from booking_payments.ports.ids import Ids
from booking_payments.ports.storage import Storage
from booking_payments.runtime.settings import Settings
from booking_payments.sandbox.emulator import FakeStripe

if TYPE_CHECKING:
    from booking_payments.runtime.rate_limits import RateLimits


@frozen(kw_only=True)
class Readiness:
    """Whether the service can work: ``database`` is reachable, ``migrations`` are current. ``detail`` says what to do
    when one is not; it is shown to anybody, so it holds no address and no secret."""

    database: bool
    migrations: bool
    detail: str | None = None

    @property
    def ok(self) -> bool:
        return self.database and self.migrations


@frozen(kw_only=True)
class Services:
    """The facade, what stored answers need, and what runs beside the app while it lives.

    ``gateway`` is the default one, ``gateways`` are all of them by name, ``gateway_titles`` what customers read of
    each.
    ``background`` is entered when the app starts and left when it stops. ``sandbox`` is there only with the fake
    gateway: the customer's side of its 3-D Secure window. ``bank_transfer_operations`` are the operators' side of the
    gateways that they settle by hand, by gateway. ``own_gateway``: the gateway is not that of the settings, but one
    that the embedding program made. ``limits`` is missing where rates are not bounded, and where no HTTP is served.
    """

    payments: BookingPayments
    gateway: Gateway
    gateways: Mapping[str, Gateway] = field(factory=dict)
    gateway_titles: Mapping[str, str] = field(factory=dict)
    own_gateway: bool = False
    storage: Storage
    clock: Clock
    ids: Ids
    settings: Settings = field(repr=False)
    ready: Callable[[], Awaitable[Readiness]]
    background: Callable[[], AbstractAsyncContextManager[None]] | None = None
    sandbox: FakeStripe | None = None
    bank_transfer_operations: Mapping[str, Any] = field(factory=dict)
    limits: "RateLimits | None" = None

    @property
    def forms(self) -> Mapping[str, CheckoutForm]:
        """The checkout forms by gateway, of those that have one."""
        if self.own_gateway:
            return {}
        plugins = self.settings.plugins
        return {name: plugin.checkout for name, plugin in plugins.items() if plugin.checkout is not None}
