"""Stripe's settings, and those that the fake gateway has in common with it, since it speaks Stripe's language."""

import re
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from booking_payments.ports.gateway_settings import (
    GatewaySettings,
    ServiceFacts,
    SettingProblem,
    address_without_user,
    boolean,
    comma_separated,
    prefixed,
    setting,
    web_address,
)

STRIPE_JS_ORIGIN: Final = "https://js.stripe.com"
STRIPE_JS: Final = f"{STRIPE_JS_ORIGIN}/v3/"
"""Where Stripe serves its script (docs.stripe.com/js)."""

_METHOD_TYPES: Final = "must be types of payment methods in Stripe's words, separated by commas: card,sepa_debit"


def _method_types(text: str) -> tuple[str, ...]:
    types = tuple(dict.fromkeys(comma_separated(text)))
    if not all(re.fullmatch(r"[a-z][a-z0-9_]{1,49}", each, re.ASCII) for each in types):
        raise ValueError
    return types


def is_live(key: str) -> bool:
    """Whether a key moves real money: its second part says so (docs.stripe.com/keys)."""
    return key.split("_")[1:2] == ["live"]


@frozen(kw_only=True)
class StripeShapedSettings(GatewaySettings):
    """What every gateway that speaks Stripe's language reads.

    Attributes:
        publishable_key: the key of browsers.
        webhook_secrets: the secrets that a webhook may be signed with.
        allowed_methods, excluded_methods, method_configuration: as ``MethodChoice`` has them.
        booking_metadata: whether the metadata of bookings go to Stripe.
    """

    publishable_key: str | None = setting(
        "STRIPE_PUBLISHABLE_KEY", "must be the publishable key, which begins with pk_", read=prefixed("pk_")
    )
    webhook_secrets: tuple[str, ...] = setting(
        "STRIPE_WEBHOOK_SECRET",
        "must be one secret, or several separated by commas",
        read=comma_separated,
        default=(),
        secret=True,
    )
    allowed_methods: tuple[str, ...] = setting("STRIPE_ALLOWED_METHODS", _METHOD_TYPES, read=_method_types, default=())
    excluded_methods: tuple[str, ...] = setting(
        "STRIPE_EXCLUDED_METHODS", _METHOD_TYPES, read=_method_types, default=()
    )
    method_configuration: str | None = setting(
        "STRIPE_METHOD_CONFIGURATION",
        "must be the id of a payment method configuration, which begins with pmc_",
        read=prefixed("pmc_"),
    )
    booking_metadata: bool = setting("STRIPE_BOOKING_METADATA", "must be true or false", read=boolean, default=False)

    def problems(self, service: ServiceFacts) -> Iterator[SettingProblem]:
        if self.allowed_methods and (self.excluded_methods or self.method_configuration):
            others = "neither STRIPE_EXCLUDED_METHODS nor STRIPE_METHOD_CONFIGURATION"
            remedy = f"goes with {others}; leave these out, or this"
            yield SettingProblem("STRIPE_ALLOWED_METHODS", remedy)


@frozen(kw_only=True)
class StripeSettings(StripeShapedSettings):
    """Stripe's settings.

    Attributes:
        secret_key: the key of this service, secret or restricted.
        api_base: another base URL than Stripe's, for the sandbox or a proxy.
        js_url: where the checkout loads Stripe.js from: Stripe, or the sandbox's script in its place.
    """

    secret_key: str = setting(
        "STRIPE_SECRET_KEY",
        "must be a secret or restricted key, which begins with sk_ or rk_",
        read=prefixed("sk_", "rk_"),
        missing="set it to the secret key: the Stripe gateway cannot work without",
        secret=True,
    )
    api_base: str | None = setting(
        "STRIPE_API_BASE", "must be an address such as http://127.0.0.1:12111", read=web_address
    )
    js_url: str = setting(
        "STRIPE_JS_URL", f"must be an address such as {STRIPE_JS}", read=address_without_user, default=STRIPE_JS
    )

    @property
    def livemode(self) -> bool:
        """Whether the key moves real money."""
        return is_live(self.secret_key)

    def problems(self, service: ServiceFacts) -> Iterator[SettingProblem]:
        if self.publishable_key is None:
            yield SettingProblem("STRIPE_PUBLISHABLE_KEY", "set it to the publishable key: browsers cannot pay without")
        if self.publishable_key and self.secret_key and is_live(self.publishable_key) != self.livemode:
            remedy = "must be of the same mode, live or test, as STRIPE_SECRET_KEY"
            yield SettingProblem("STRIPE_PUBLISHABLE_KEY", remedy)
        yield from super().problems(service)
        if self.api_base and self.api_base.startswith("http://") and self.secret_key and self.livemode:
            yield SettingProblem("STRIPE_API_BASE", "must begin with https:// with a live key")
        if self.secret_key and self.livemode and not self.js_url.startswith(f"{STRIPE_JS_ORIGIN}/"):
            yield SettingProblem("STRIPE_JS_URL", f"must begin with {STRIPE_JS_ORIGIN}/ with a live key")
        if not self.webhook_secrets and not service.embedded:
            remedy = "set it to the endpoint's signing secret: the Stripe gateway needs it"
            yield SettingProblem("STRIPE_WEBHOOK_SECRET", remedy)
