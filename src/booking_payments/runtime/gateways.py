"""The gateways of the settings: found by name, built, closed."""

from collections.abc import Mapping

from sqlalchemy.exc import SQLAlchemyError

from booking_payments.adapters.network import Network, NetworkMisconfigured
from booking_payments.adapters.telemetry.gateway_log import logged
from booking_payments.adapters.telemetry.traces import traced_gateway, tracer
from booking_payments.application.gateways import ConnectedGateway
from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway import Gateway
from booking_payments.ports.gateway_plugin import BuiltGateway, GatewayDependencies
from booking_payments.runtime.extras import extra, require_driver
from booking_payments.runtime.settings import Settings
from booking_payments.runtime.settings_error import SettingProblem, SettingsError


class DatabaseUnavailableError(SettingsError):
    """The fake gateway keeps its state beside the database, which can't be reached."""


def build_gateways(settings: Settings, clock: Clock) -> Mapping[str, BuiltGateway]:
    """The gateways of the settings by name, the default one first. Raises ``SettingsError``."""
    return {name: build_gateway(name, settings, clock) for name in settings.gateways}


def build_gateway(name: str, settings: Settings, clock: Clock) -> BuiltGateway:
    """One gateway of the settings. Raises ``SettingsError`` where a package is not installed."""
    require_driver(on_postgresql=settings.on_postgresql)  # else a gateway that opens the database would lack it
    plugin = settings.plugins[name]
    dependencies = GatewayDependencies(
        settings=settings.of_gateway(name),
        service=settings.service_facts,
        database_url=settings.normalized_database_url,
        clock=clock,
        own_address=settings.own_address,
        max_amount_digits=settings.gateway_max_amount_digits,
        max_per_s=settings.gateway_max_per_s,
        max_concurrent=settings.gateway_max_concurrent,
    )
    try:
        with extra(plugin.extra or name, "PAYMENT_GATEWAY", name):
            return plugin.build(dependencies)
    except NetworkMisconfigured as wrong:
        raise SettingsError(SettingProblem(wrong.variable, wrong.remedy)) from None
    except SQLAlchemyError:
        raise DatabaseUnavailableError(SettingProblem("DATABASE_URL", "the database can't be reached")) from None
    except ValueError as wrong:
        raise SettingsError(SettingProblem("PAYMENT_GATEWAYS", f"{name}: {wrong}")) from wrong


def connected(built: BuiltGateway, *, recorded: bool) -> ConnectedGateway:
    """A built gateway as the use cases see it, with a line of the log and a span for each call."""
    return ConnectedGateway(
        gateway=observed(built.gateway),
        webhooks=built.webhooks,
        webhook_names=built.webhook_names,
        recorded=recorded,
        settle_refund=built.settle_refund,
        refunds_by_hand=built.refunds_by_hand,
    )


def network_of_environment() -> Network:
    """Proxies and certificates of the environment. Raises ``SettingsError``."""
    try:
        return Network.of_environment()
    except NetworkMisconfigured as wrong:
        raise SettingsError(SettingProblem(wrong.variable, wrong.remedy)) from None


def observed(gateway: Gateway) -> Gateway:
    """``gateway`` with a line of the log and a span for each call."""
    return traced_gateway(logged(gateway), tracer())
