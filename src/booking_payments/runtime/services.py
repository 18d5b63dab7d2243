"""The objects of one process that the composition root passes to the HTTP API, the command line and embedding."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from booking_payments.application.console_sessions import OperatorSessions
from booking_payments.application.payments import BookingPayments
from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway import Gateway
from booking_payments.ports.gateway_plugin import CheckoutForm, DashboardLinks
from booking_payments.ports.identity_provider import IdentityProvider
from booking_payments.ports.ids import Ids
from booking_payments.ports.storage import Storage
from booking_payments.runtime.settings import Settings
from booking_payments.sandbox.emulator import FakeStripe

if TYPE_CHECKING:
    from booking_payments.runtime.rate_limits import RateLimits


@frozen(kw_only=True)
class Readiness:
    """Whether the service is ready: the ``database`` is reachable, and its ``migrations`` are current.

    ``detail`` says what to do if not. It is public, so it contains no address and no secret.
    """

    database: bool
    migrations: bool
    detail: str | None = None

    @property
    def ok(self) -> bool:
        return self.database and self.migrations


@frozen(kw_only=True)
class Services:
    """The objects of one process.

    Attributes:
        payments: the facade.
        gateway: the default gateway.
        gateways: all gateways by name.
        gateway_titles: the names of the gateways that customers see.
        dashboards: where the dashboards of gateways show payments and disputes, of those that have one.
        storage: the storage.
        clock: the time.
        ids: makes ids.
        settings: the settings.
        ready: checks the database and its schema.
        background: a context that runs the background tasks; the app enters it at its start.
        sandbox: the emulator of Stripe behind the fake gateway; None without it.
        bank_transfer_operations: the operators' use cases of the gateways that they settle by hand, by gateway name.
        own_gateway: the gateway is not that of the settings, but one that the embedding program made.
        identity_provider: where operators log in to the console; None: only with a token.
        limits: the rate limits; None if they are off, and in a process that serves no HTTP.
    """

    payments: BookingPayments
    gateway: Gateway
    gateways: Mapping[str, Gateway] = field(factory=dict)
    gateway_titles: Mapping[str, str] = field(factory=dict)
    dashboards: Mapping[str, DashboardLinks] = field(factory=dict)
    own_gateway: bool = False
    storage: Storage
    clock: Clock
    ids: Ids
    settings: Settings = field(repr=False)
    ready: Callable[[], Awaitable[Readiness]]
    background: Callable[[], AbstractAsyncContextManager[None]] | None = None
    sandbox: FakeStripe | None = None
    bank_transfer_operations: Mapping[str, Any] = field(factory=dict)
    identity_provider: IdentityProvider | None = None
    limits: "RateLimits | None" = None

    @property
    def operator_sessions(self) -> OperatorSessions:
        """The use cases of the console's sessions. Raises ``SettingsError`` when no key of tokens is set."""
        return OperatorSessions(
            storage=self.storage,
            clock=self.clock,
            key=self.settings.jwt_verification_key,
            idle=timedelta(seconds=self.settings.console_session_idle_s),
            lifetime=timedelta(seconds=self.settings.console_session_lifetime_s),
        )

    @property
    def forms(self) -> Mapping[str, CheckoutForm]:
        """The checkout forms by gateway, of those that have one."""
        if self.own_gateway:
            return {}
        plugins = self.settings.plugins
        return {name: plugin.checkout for name, plugin in plugins.items() if plugin.checkout is not None}
