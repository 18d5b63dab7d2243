"""The Stripe adapter keeps the contract of the gateway port: over the sandbox, and over Stripe itself where a key of
its test mode is given in ``STRIPE_TEST_SECRET_KEY``."""

import os
from collections.abc import AsyncIterator
from datetime import timedelta

import anyio
import pytest

from booking_payments.adapters.gateways.stripe.gateway import StripeGateway
from booking_payments.adapters.gateways.stripe.sdk import SdkTransport
from booking_payments.adapters.gateways.stripe.webhooks import StripeWebhooks
from booking_payments.adapters.memory.ids import RandomIds
from booking_payments.domain.instructions import CreateIntent
from booking_payments.domain.reports import IntentReport
from booking_payments.testing.gateway_contract import CardGatewayContract, by_card
from booking_payments.testing.sandbox import Sandbox
from tests.stripe_openapi_checker import every_answer_conforms  # noqa: F401 - a fixture for all tests here

REAL_KEY = os.environ.get("STRIPE_TEST_SECRET_KEY", "")


class SandboxGatewayHarness:
    """The adapter in front of the sandbox, whose clock the test moves."""

    def __init__(self, sandbox: Sandbox, gateway: StripeGateway) -> None:
        self.gateway = gateway
        self._sandbox = sandbox
        self.webhooks = StripeWebhooks(["whsec_contract"])
        self._ids = RandomIds()

    def new_key(self) -> str:
        return self._ids.idempotency_key()

    async def pay(self, instruction: CreateIntent) -> IntentReport:
        return await self.gateway.create_intent(by_card(instruction), self.new_key())

    async def end_refund(self, refund_id: str) -> None:
        """A card's is over at once."""

    async def authenticate(self, intent: IntentReport, outcome: str) -> None:
        path = f"/payment_intents/{intent.id}/authenticate"
        self._sandbox.play(path, client_secret=intent.client_secret, outcome=outcome)

    async def wait(self, duration: timedelta) -> None:
        self._sandbox.advance(duration)


class TestStripeOverTheSandbox(CardGatewayContract):
    """The contract, through the SDK and a socket."""

    @pytest.fixture
    async def harness(self) -> AsyncIterator[SandboxGatewayHarness]:
        async with Sandbox() as sandbox:
            transport = SdkTransport("sk_test_contract", sandbox.url)
            yield SandboxGatewayHarness(sandbox, StripeGateway(transport, livemode=False))
            await transport.close()


class RealGatewayHarness:
    """The adapter in front of Stripe's test mode, where only a browser can pass 3-D Secure."""

    def __init__(self, gateway: StripeGateway) -> None:
        self.gateway = gateway
        self.webhooks = StripeWebhooks(["whsec_contract"])
        self._ids = RandomIds()

    def new_key(self) -> str:
        return self._ids.idempotency_key()

    async def pay(self, instruction: CreateIntent) -> IntentReport:
        return await self.gateway.create_intent(by_card(instruction), self.new_key())

    async def end_refund(self, refund_id: str) -> None:
        """A card's is over at once."""

    async def authenticate(self, intent: IntentReport, outcome: str) -> None:
        pytest.skip("Stripe's 3-D Secure window opens in a browser only")

    async def wait(self, duration: timedelta) -> None:
        await anyio.sleep(duration.total_seconds())


@pytest.mark.skipif(not REAL_KEY, reason="set STRIPE_TEST_SECRET_KEY to a key of Stripe's test mode (sk_test_...)")
class TestStripeItself(CardGatewayContract):
    """The contract, over Stripe's own test mode."""

    @pytest.fixture
    async def harness(self) -> AsyncIterator[RealGatewayHarness]:
        assert REAL_KEY.startswith(("sk_test_", "rk_test_")), "never a live key"
        transport = SdkTransport(REAL_KEY)
        yield RealGatewayHarness(StripeGateway(transport, livemode=False))
        await transport.close()
