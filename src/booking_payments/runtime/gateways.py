"""The gateways of the settings: found by name, built, closed."""

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from secrets import token_urlsafe
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from booking_payments.adapters.network import Network, NetworkMisconfigured
from booking_payments.adapters.telemetry.gateway_log import logged
from booking_payments.adapters.telemetry.traces import traced_gateway, tracer
from booking_payments.application.gateways import ConnectedGateway
from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway import Gateway
from booking_payments.ports.gateway_plugin import GROUP, BuiltGateway, GatewayDependencies, GatewayPlugin
from booking_payments.runtime.extras import extra, require_driver
from booking_payments.runtime.settings import FAKE, Settings
from booking_payments.runtime.settings_error import SettingProblem, SettingsError

if TYPE_CHECKING:  # what extras bring is imported where it is chosen
    from booking_payments.adapters.gateways.stripe.examination import Finding
    from booking_payments.adapters.gateways.stripe.sdk import SdkTransport


class DatabaseUnavailableError(SettingsError):
    """The fake gateway keeps its state beside the database, which can't be reached."""


def plugin_named(name: str) -> GatewayPlugin:
    """The plugin of the gateway ``name``. Raises ``SettingsError`` where none is installed; it names those that are."""
    found = entry_points(group=GROUP, name=name)
    for each in found:
        plugin: GatewayPlugin = each.load()
        return plugin
    installed = ", ".join(sorted(entry_points(group=GROUP).names))
    raise SettingsError(SettingProblem("PAYMENT_GATEWAYS", f"there is no gateway {name}; installed are: {installed}"))


def build_gateways(settings: Settings, clock: Clock, secrets: Sequence[str]) -> Mapping[str, BuiltGateway]:
    """The gateways of the settings by name, the default one first. Raises ``SettingsError``."""
    return {name: build_gateway(name, settings, clock, secrets) for name in settings.gateways}


def build_gateway(name: str, settings: Settings, clock: Clock, secrets: Sequence[str]) -> BuiltGateway:
    """One gateway. Raises ``SettingsError`` for settings that it lacks, or a package that is not installed."""
    require_driver(on_postgresql=settings.on_postgresql)  # else a gateway that opens the database would lack it
    plugin = plugin_named(name)
    given = {each.name: settings.value_of(each.name) for each in plugin.settings}
    missing = [each for each in plugin.settings if each.required and not given[each.name]]
    if missing:
        raise SettingsError(*(SettingProblem(each.name, each.description) for each in missing))
    dependencies = GatewayDependencies(
        settings={key: value for key, value in given.items() if value},
        database_url=settings.normalized_database_url,
        clock=clock,
        own_address=settings.own_address,
        max_amount_digits=settings.gateway_max_amount_digits,
        max_per_s=settings.gateway_max_per_s,
        max_concurrent=settings.gateway_max_concurrent,
        webhook_secrets=secrets,
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


def connected(built: BuiltGateway) -> ConnectedGateway:
    """A built gateway as the use cases see it, with a line of the log and a span for each call."""
    return ConnectedGateway(
        gateway=observed(built.gateway),
        webhooks=built.webhooks,
        webhook_names=built.webhook_names,
        recorded=built.recorded,
        settle_refund=built.settle_refund,
    )


def stripe_transport(settings: Settings) -> "SdkTransport":
    """The connection to Stripe's API. Raises ``SettingsError`` without a key or without the extra ``stripe``."""
    if settings.stripe_secret_key is None:
        raise SettingsError(SettingProblem("STRIPE_SECRET_KEY", "must be set for the Stripe gateway"))
    with extra("stripe", "PAYMENT_GATEWAY", "stripe"):
        from booking_payments.adapters.gateways.stripe.sdk import SdkTransport
    network = network_of_environment()
    return SdkTransport(settings.stripe_secret_key.get_secret_value(), settings.stripe_api_base, network=network)


def network_of_environment() -> Network:
    """Proxies and certificates of the environment. Raises ``SettingsError``."""
    try:
        return Network.of_environment()
    except NetworkMisconfigured as wrong:
        raise SettingsError(SettingProblem(wrong.variable, wrong.remedy)) from None


def webhook_secrets(settings: Settings) -> Sequence[str]:
    """The secrets that webhooks may be signed with.

    Without a setting the fake gateway gets a secret that only this process knows: its events are handed over within
    the process, and nobody else can sign any.
    """
    if settings.webhook_secrets or FAKE not in settings.gateways:
        return settings.webhook_secrets
    return (f"whsec_{token_urlsafe(32)}",)


def observed(gateway: Gateway) -> Gateway:
    """``gateway`` with a line of the log and a span for each call."""
    return traced_gateway(logged(gateway), tracer())


async def examine_stripe(settings: Settings) -> "Sequence[Finding]":
    """What is right and wrong at Stripe: rights of the key, webhook endpoints. Raises ``GatewayError``."""
    transport = stripe_transport(settings)
    from booking_payments.adapters.gateways.stripe.examination import examine

    try:
        return await examine(transport, livemode=settings.stripe_livemode)
    finally:
        await transport.close()
