"""Which gateway the settings choose, what it is built of, and how it is closed."""

from collections.abc import Sequence
from secrets import token_urlsafe
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from booking_payments.adapters.network import Network, NetworkMisconfigured
from booking_payments.adapters.sql.fake_store import SqlFakeStore
from booking_payments.adapters.telemetry.gateway_log import logged
from booking_payments.adapters.telemetry.traces import traced_gateway, tracer
from booking_payments.ports.gateway import Gateway
from booking_payments.runtime.extras import extra
from booking_payments.runtime.problems import Problem, SettingsError
from booking_payments.runtime.settings import GatewayName, Settings

if TYPE_CHECKING:  # what extras bring is imported where it is chosen
    from booking_payments.adapters.stripe.examination import Finding
    from booking_payments.adapters.stripe.sdk import SdkTransport


class DatabaseUnavailableError(SettingsError):
    """The fake gateway keeps its state beside the database, which can't be reached."""


def stripe_transport(settings: Settings) -> "SdkTransport":
    """The connection to Stripe's API. Raises ``SettingsError`` without a key or without the extra ``stripe``."""
    if settings.stripe_secret_key is None:
        raise SettingsError(Problem("STRIPE_SECRET_KEY", "must be set for the Stripe gateway"))
    with extra("stripe", "PAYMENT_GATEWAY", "stripe"):
        from booking_payments.adapters.stripe.sdk import SdkTransport
    network = network_of_environment()
    return SdkTransport(settings.stripe_secret_key.get_secret_value(), settings.stripe_api_base, network=network)


def network_of_environment() -> Network:
    """Proxies and certificates of the environment. Raises ``SettingsError``."""
    try:
        return Network.of_environment()
    except NetworkMisconfigured as wrong:
        raise SettingsError(Problem(wrong.variable, wrong.remedy)) from None


def webhook_secrets(settings: Settings) -> Sequence[str]:
    """The secrets that webhooks may be signed with.

    Without a setting the fake gateway gets a secret that only this process knows: its events are handed over within
    the process, and nobody else can sign any.
    """
    if settings.webhook_secrets or settings.gateway is not GatewayName.FAKE:
        return settings.webhook_secrets
    return (f"whsec_{token_urlsafe(32)}",)


def fake_store(database_url: str) -> SqlFakeStore:
    """The fake gateway's state beside the database. Raises ``DatabaseUnavailableError``."""
    try:
        return SqlFakeStore.beside(database_url)
    except SQLAlchemyError:
        raise DatabaseUnavailableError(Problem("DATABASE_URL", "the database can't be reached")) from None


def observed(gateway: Gateway) -> Gateway:
    """``gateway`` with a line of the log and a span for each call."""
    return traced_gateway(logged(gateway), tracer())


async def examine_stripe(settings: Settings) -> "Sequence[Finding]":
    """What is right and wrong at Stripe: rights of the key, webhook endpoints. Raises ``GatewayError``."""
    transport = stripe_transport(settings)
    from booking_payments.adapters.stripe.examination import examine

    try:
        return await examine(transport, livemode=settings.livemode)
    finally:
        await transport.close()
