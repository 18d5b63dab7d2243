"""The fake gateway keeps the contract of the gateway port."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from booking_payments.adapters.gateways.fake.gateway import FakeGateway
from booking_payments.adapters.gateways.stripe.webhooks import StripeWebhooks
from booking_payments.adapters.memory.clock import ManualClock
from booking_payments.adapters.memory.ids import RandomIds
from booking_payments.domain.instructions import ConfirmIntent, CreateIntent, UpdateIntent
from booking_payments.domain.reports import IntentReport
from booking_payments.ports.gateway import GatewayRefused, Misconfigured, NotSent, OutcomeAmbiguous
from booking_payments.sandbox.emulator import FakeStripe
from booking_payments.testing.gateway_contract import LONG_AGO, CardGatewayContract, by_card, charged, creation
from tests.stripe_openapi_checker import every_answer_conforms  # noqa: F401 - a fixture for all tests here


class FakeGatewayHarness:
    """The fake gateway with a clock that the test advances."""

    def __init__(self, refused_in_action: Collection[str] = ()) -> None:
        self.clock = ManualClock(datetime(2026, 3, 1, tzinfo=UTC))
        self.stripe = FakeStripe(self.clock.now, Random(1), refused_in_action=refused_in_action)
        self.gateway = FakeGateway(self.stripe, self.clock)
        self.webhooks = StripeWebhooks(["whsec_contract"])
        self._ids = RandomIds(Random(2))

    def new_key(self) -> str:
        return self._ids.idempotency_key()

    async def pay(self, instruction: CreateIntent) -> IntentReport:
        return await self.gateway.create_intent(by_card(instruction), self.new_key())

    async def end_refund(self, refund_id: str) -> None:
        """A card payment settles at once."""

    async def authenticate(self, intent: IntentReport, outcome: str) -> None:
        assert self.stripe.authenticate(intent.id, intent.client_secret or "", outcome).ok

    async def wait(self, duration: timedelta) -> None:
        self.clock.advance(duration)


@pytest.fixture
def harness() -> FakeGatewayHarness:
    return FakeGatewayHarness()


class TestFakeGateway(CardGatewayContract):
    """The contract, called on the emulator directly."""


class TestFakeGatewayThatRefusesInAction(CardGatewayContract):
    """The contract, with an emulator that refuses the server changes while the customer has to act, as Stripe does
    for some intents.
    """

    @pytest.fixture(params=[("confirmed",), ("updated", "confirmed")], ids=["confirm", "update and confirm"])
    def harness(self, request: pytest.FixtureRequest) -> FakeGatewayHarness:
        return FakeGatewayHarness(request.param)


@pytest.mark.parametrize("change", ["updated", "confirmed"])
async def test_the_emulator_can_be_configured_to_refuse_changes_while_the_customer_has_to_act(change: str) -> None:
    harness = FakeGatewayHarness([change])
    waiting = await charged(harness, "pm_card_authenticationRequired")
    calls = {
        "updated": harness.gateway.update_intent(
            UpdateIntent(intent_id=waiting.id, payment_method_id="pm_card_visa"), harness.new_key()
        ),
        "confirmed": harness.gateway.confirm_intent(
            ConfirmIntent(intent_id=waiting.id, payment_method_id="pm_card_visa", return_url=None), harness.new_key()
        ),
    }
    allowed = next(call for name, call in calls.items() if name != change)
    allowed.close()

    with pytest.raises(GatewayRefused) as refused:
        await calls[change]

    assert refused.value.code == "payment_intent_unexpected_state"


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "409", "429_lock", "500_before", "503"])
async def test_a_timeout_is_an_ambiguous_outcome(harness: FakeGatewayHarness, fault: str) -> None:
    harness.stripe.faults.script("POST /v1/payment_intents", fault)

    with pytest.raises(OutcomeAmbiguous):
        await harness.gateway.create_intent(creation("pm_card_visa"), harness.new_key())


async def test_a_rate_limited_call_has_no_effect(harness: FakeGatewayHarness) -> None:
    harness.stripe.faults.script("POST /v1/payment_intents", "429_limit")

    with pytest.raises(NotSent):
        await harness.gateway.create_intent(creation("pm_card_visa"), harness.new_key())

    assert await harness.gateway.list_intents(LONG_AGO) == []


async def test_more_than_one_page_is_listed(harness: FakeGatewayHarness) -> None:
    made = [(await charged(harness)).id for _ in range(101)]

    assert [intent.id for intent in await harness.gateway.list_intents(LONG_AGO)] == made


def test_a_misconfiguration_is_not_a_call_that_was_not_sent() -> None:
    assert not issubclass(Misconfigured, NotSent)
