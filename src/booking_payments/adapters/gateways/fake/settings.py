"""The settings of the fake gateway."""

from collections.abc import Iterator
from typing import Final

from attrs import frozen

from booking_payments.adapters.gateways.stripe.settings import StripeShapedSettings
from booking_payments.ports.gateway_settings import ServiceFacts, SettingProblem, address_without_user, setting

DEVELOPMENT_WEBHOOK_SECRET: Final = "whsec_development"  # noqa: S105 - public by design


@frozen(kw_only=True)
class FakeSettings(StripeShapedSettings):
    """The settings of the fake gateway.

    Attributes:
        webhook_url: where its webhooks are posted to; None: to the service itself.
    """

    webhook_url: str | None = setting(
        "FAKE_WEBHOOK_URL",
        "must be an address such as http://127.0.0.1:8000/webhooks/stripe, without user and password",
        read=address_without_user,
    )

    def problems(self, service: ServiceFacts) -> Iterator[SettingProblem]:
        if "stripe" in service.gateways:
            remedy = "must not name both stripe and fake, which speaks Stripe's language"
            yield SettingProblem("PAYMENT_GATEWAYS", remedy)
        yield from super().problems(service)
        if not (self.webhook_secrets or service.in_development or service.embedded):
            remedy = "set it: others can reach HOST, and the default is known to everybody"
            yield SettingProblem("STRIPE_WEBHOOK_SECRET", remedy)
