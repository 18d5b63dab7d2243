"""An installation with two gateways."""

from random import Random

from booking_payments.adapters.gateways.fake.gateway import ModelTransport
from booking_payments.adapters.gateways.stripe.gateway import StripeGateway
from booking_payments.adapters.gateways.stripe.webhooks import StripeWebhooks
from booking_payments.application.gateways import ConnectedGateway
from booking_payments.application.payments import BookingPayments
from booking_payments.ports.storage import Storage
from booking_payments.sandbox.emulator import FakeStripe
from booking_payments.testing.kit import PaymentsTestKit

VISA = "pm_card_visa"
SECRET = "whsec_other"
"""The secret with which the gateway ``other`` signs its webhooks."""


class Two:
    """An installation with the gateway ``fake``, which is the default, and ``other``; they share no objects."""

    def __init__(self, storage: Storage | None = None) -> None:
        self.kit = PaymentsTestKit(storage=storage)
        self.stripe = FakeStripe(self.kit.clock.now, Random(99))
        other = StripeGateway(ModelTransport(self.stripe, self.kit.clock), livemode=False, name="other")
        connected = ConnectedGateway(gateway=other, webhooks=StripeWebhooks([SECRET]), webhook_names=("other",))
        self.kit = PaymentsTestKit(storage=storage, others={"other": connected})
        self.stripe = FakeStripe(self.kit.clock.now, Random(99))
        other._transport = ModelTransport(self.stripe, self.kit.clock)

    @property
    def payments(self) -> BookingPayments:
        return self.kit.payments

    def intents(self, stripe: FakeStripe) -> list[str]:
        """Return the statuses of all intents at one gateway."""
        answer = stripe.call("GET", "/v1/payment_intents", {"limit": "100"}, None)
        return [each["status"] for each in answer.body["data"]]
