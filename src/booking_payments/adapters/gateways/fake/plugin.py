"""The fake gateway: the emulator of Stripe inside this process. No money moves."""

from typing import Final

from booking_payments.adapters.gateways.fake.gateway import FakeGateway
from booking_payments.adapters.gateways.fake.store import SqlFakeStore
from booking_payments.adapters.gateways.stripe.webhooks import ALERTS, KINDS, StripeWebhooks
from booking_payments.ports.gateway_plugin import BuiltGateway, GatewayDependencies, GatewayPlugin
from booking_payments.sandbox.emulator import FakeStripe


def build(given: GatewayDependencies) -> BuiltGateway:
    """The emulator, whose state is kept beside the database. Raises ``SQLAlchemyError`` without that."""
    store = SqlFakeStore.beside(given.database_url)
    stripe = FakeStripe(
        clock=given.clock.now,
        store=store,
        amount_digits=given.max_amount_digits,
        bank_pages=given.own_address,
    )

    async def close() -> None:
        store.close()

    return BuiltGateway(
        gateway=FakeGateway(stripe=stripe, clock=given.clock),
        webhooks=StripeWebhooks(secrets=given.webhook_secrets),
        # It speaks Stripe's language, so it takes what is sent to Stripe's address, too.
        webhook_names=("fake", "stripe"),
        close=close,
        parts=(stripe,),
    )


PLUGIN: Final = GatewayPlugin(
    name="fake",
    title="Test card",
    build=build,
    event_types=frozenset({*KINDS, *ALERTS}),
    moves_money=False,
)
