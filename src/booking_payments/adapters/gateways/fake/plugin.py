"""The fake gateway: the emulator of Stripe inside this process. No money moves."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from secrets import token_urlsafe
from typing import Final

from booking_payments.adapters.gateways.fake.cards import METHOD_IDS, groups_for
from booking_payments.adapters.gateways.fake.settings import DEVELOPMENT_WEBHOOK_SECRET, FakeSettings
from booking_payments.adapters.gateways.stripe.plugin import event_types, terms
from booking_payments.ports.gateway_plugin import (
    BuiltGateway,
    CheckoutForm,
    Doctor,
    FormFacts,
    GatewayDependencies,
    GatewayPlugin,
    PeriodicTask,
    TaskDependencies,
)

DELIVERED_EVERY: Final = timedelta(milliseconds=100)


def build(given: GatewayDependencies) -> BuiltGateway:
    """Return the emulator, whose state is stored beside the database. Raises ``SQLAlchemyError`` if that fails."""
    from booking_payments.adapters.gateways.fake.gateway import FakeGateway
    from booking_payments.adapters.gateways.fake.store import SqlFakeStore
    from booking_payments.adapters.gateways.fake.webhooks import Deliveries, HandedOver, Posted
    from booking_payments.adapters.gateways.stripe.webhooks import StripeWebhooks
    from booking_payments.sandbox.emulator import FakeStripe

    settings: FakeSettings = given.settings
    secrets = webhook_secrets(settings, in_development=given.service.in_development)
    store = SqlFakeStore.beside(given.database_url)
    stripe = FakeStripe(
        clock=given.clock.now,
        store=store,
        amount_digits=given.max_amount_digits,
        bank_pages=given.own_address,
    )

    def tasks(of: TaskDependencies) -> Iterable[PeriodicTask]:
        address = settings.webhook_url or of.webhook_address
        receiver = Posted(address) if address else HandedOver(of.receive_webhook)
        yield PeriodicTask(every=DELIVERED_EVERY, work=Deliveries(stripe, given.clock, receiver, secrets[0]).round)

    async def close() -> None:
        store.close()

    return BuiltGateway(
        gateway=FakeGateway(stripe=stripe, clock=given.clock),
        webhooks=StripeWebhooks(secrets=secrets),
        # It speaks Stripe's language, so it takes what is sent to Stripe's address, too.
        webhook_names=("fake", "stripe"),
        close=close,
        tasks=tasks,
        parts=(stripe,),
    )


def webhook_secrets(settings: FakeSettings, *, in_development: bool) -> tuple[str, ...]:
    """Return the secrets with which webhooks may be signed.

    Without a setting, and outside of development, it is a random secret of this process: the events are delivered
    within the process, and no other sender can sign any.
    """
    if settings.webhook_secrets:
        return settings.webhook_secrets
    return (DEVELOPMENT_WEBHOOK_SECRET if in_development else f"whsec_{token_urlsafe(32)}",)


def _moves_money(settings: FakeSettings) -> bool:
    return False


def _form_context(settings: FakeSettings, facts: FormFacts) -> Mapping[str, object]:
    return {"groups": groups_for(facts.price.currency)}


PLUGIN: Final = GatewayPlugin(
    name="fake",
    title="Test card",
    build=build,
    settings=FakeSettings,
    terms=terms,
    event_types=event_types,
    moves_money=_moves_money,
    for_development=True,
    in_one_process=True,
    checkout=CheckoutForm(package=__package__, methods=METHOD_IDS, context=_form_context),
    doctor=Doctor(note="no money moves"),
)
