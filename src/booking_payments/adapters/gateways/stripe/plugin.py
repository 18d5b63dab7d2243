"""Stripe.

What the gateway itself imports is imported when it is built: plugins are loaded to read their settings, which every
command does.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from booking_payments.adapters.gateways.stripe.settings import STRIPE_JS_ORIGIN, StripeSettings, StripeShapedSettings
from booking_payments.domain.instructions import MethodChoice
from booking_payments.ports.gateway import Gateway
from booking_payments.ports.gateway_plugin import (
    BuiltGateway,
    Check,
    CheckoutForm,
    DashboardLinks,
    Doctor,
    FormFacts,
    GatewayDependencies,
    GatewayPlugin,
    GatewayTerms,
)

API: Final = "https://api.stripe.com"
_OF_STRIPE_JS: Final = {
    "script-src": "https://*.js.stripe.com https://js.stripe.com",
    "frame-src": "https://*.js.stripe.com https://js.stripe.com https://hooks.stripe.com",
    "connect-src": "https://api.stripe.com",
}


def build(given: GatewayDependencies) -> BuiltGateway:
    """Stripe over its SDK."""
    from booking_payments.adapters.gateways.stripe.gateway import StripeGateway
    from booking_payments.adapters.gateways.stripe.rate_limit import RateLimitedTransport
    from booking_payments.adapters.gateways.stripe.sdk import SdkTransport  # what the extra ``stripe`` brings
    from booking_payments.adapters.gateways.stripe.webhooks import StripeWebhooks
    from booking_payments.adapters.network import Network

    settings: StripeSettings = given.settings
    transport = SdkTransport(settings.secret_key, settings.api_base, network=Network.of_environment())
    limited = RateLimitedTransport(transport, max_per_s=given.max_per_s, max_concurrent=given.max_concurrent)
    return BuiltGateway(
        gateway=StripeGateway(limited, livemode=settings.livemode, amount_digits=given.max_amount_digits),
        webhooks=StripeWebhooks(secrets=settings.webhook_secrets),
        webhook_names=("stripe",),
        close=transport.close,
    )


def event_types() -> frozenset[str]:
    """The types of events that are processed, are worth a remark in the log, or raise an alert."""
    from booking_payments.adapters.gateways.stripe.webhooks import ALERTS, KINDS, REMARKS

    return frozenset({*KINDS, *REMARKS, *ALERTS})


def terms(settings: StripeShapedSettings) -> GatewayTerms:
    """What the settings say of payments."""
    return GatewayTerms(
        methods=MethodChoice(
            allowed=settings.allowed_methods,
            excluded=settings.excluded_methods,
            configuration=settings.method_configuration,
        ),
        booking_metadata=settings.booking_metadata,
        publishable_key=settings.publishable_key,
    )


async def _examine(settings: StripeSettings, gateway: Gateway) -> Sequence[Check]:
    from booking_payments.adapters.gateways.stripe.doctor import examine

    return await examine(settings, gateway)


def _addresses(settings: StripeSettings) -> Mapping[str, str]:
    return {"Stripe": settings.api_base or API}


def _moves_money(settings: StripeSettings) -> bool:
    return settings.livemode


def _form_context(settings: StripeSettings, facts: FormFacts) -> Mapping[str, str | None]:
    return {"publishable_key": settings.publishable_key}


def _remote_scripts(settings: StripeSettings) -> Sequence[str]:
    return (settings.js_url,)


def _sources(settings: StripeSettings) -> Mapping[str, str]:
    """What Stripe's script needs (docs.stripe.com/security/guide); one in its place has its own origin alone."""
    parts = urlsplit(settings.js_url)
    origin = f"{parts.scheme}://{parts.netloc}"
    return _OF_STRIPE_JS if origin == STRIPE_JS_ORIGIN else {"script-src": origin, "connect-src": origin}


def _dashboard(settings: StripeSettings) -> DashboardLinks | None:
    """Stripe's dashboard, which has the objects of test mode under ``/test``; None for a server in Stripe's place."""
    if settings.api_base and not settings.livemode:
        return None
    address = f"https://dashboard.stripe.com{'' if settings.livemode else '/test'}"
    return DashboardLinks(payment=f"{address}/payments/{{id}}", dispute=f"{address}/disputes/{{id}}")


PLUGIN: Final = GatewayPlugin(
    name="stripe",
    title="Card and more",
    build=build,
    settings=StripeSettings,
    terms=terms,
    event_types=event_types,
    extra="stripe",
    moves_money=_moves_money,
    dashboard=_dashboard,
    checkout=CheckoutForm(
        package=__package__,
        context=_form_context,
        scripts=("stripe.js",),
        remote_scripts=_remote_scripts,
        sources=_sources,
    ),
    doctor=Doctor(
        examine=_examine,
        addresses=_addresses,
        webhooks_remedy="compare STRIPE_WEBHOOK_SECRET with the endpoint's signing secret",
    ),
)
