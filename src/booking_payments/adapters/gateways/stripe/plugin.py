"""Stripe."""

from typing import Final

from booking_payments.adapters.gateways.stripe.gateway import StripeGateway
from booking_payments.adapters.gateways.stripe.pace import Paced
from booking_payments.adapters.gateways.stripe.webhooks import ALERTS, KINDS, StripeWebhooks
from booking_payments.adapters.network import Network
from booking_payments.ports.gateway_plugin import BuiltGateway, GatewayDependencies, GatewayPlugin, PluginSetting


def build(given: GatewayDependencies) -> BuiltGateway:
    """Stripe over its SDK."""
    from booking_payments.adapters.gateways.stripe.sdk import SdkTransport  # what the extra ``stripe`` brings

    key = given.settings["STRIPE_SECRET_KEY"]
    transport = SdkTransport(key, given.settings.get("STRIPE_API_BASE"), network=Network.of_environment())
    paced = Paced(transport, max_per_s=given.max_per_s, max_concurrent=given.max_concurrent)
    # The second part of a key says whether it moves real money (docs.stripe.com/keys).
    livemode = key.split("_")[1:2] == ["live"]
    return BuiltGateway(
        gateway=StripeGateway(paced, livemode=livemode, amount_digits=given.max_amount_digits),
        webhooks=StripeWebhooks(secrets=given.webhook_secrets),
        webhook_names=("stripe",),
        close=transport.close,
    )


PLUGIN: Final = GatewayPlugin(
    name="stripe",
    title="Card and more",
    build=build,
    settings=(
        PluginSetting(name="STRIPE_SECRET_KEY", description="must be set for the Stripe gateway"),
        PluginSetting(name="STRIPE_API_BASE", description="another base URL, for the sandbox", required=False),
    ),
    event_types=frozenset({*KINDS, *ALERTS}),
    extra="stripe",
    script_sources=("https://js.stripe.com",),
)
