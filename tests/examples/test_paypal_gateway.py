"""The template of a gateway: it passes the contract suite, and a booking is paid, refunded and disputed with it."""

import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from booking_payments.adapters.memory.ids import RandomIds
from booking_payments.application.gateways import ConnectedGateway
from booking_payments.domain.instructions import CreateIntent
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.reports import IntentReport
from booking_payments.ports.gateway_plugin import GatewayDependencies
from booking_payments.ports.gateway_settings import ServiceFacts, missing_settings, read_settings
from booking_payments.testing import certificate_webhooks as certificates
from booking_payments.testing.gateway_contract import GatewayContract, by_card
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.examples.paypal_server import PayPalServer
from tests.examples.test_examples import EXAMPLES

FILE = EXAMPLES / "paypal_gateway.py"
WEBHOOK_ID = "WH-ID-1"
METHOD = "paypal"


def module() -> Any:
    found = importlib.util.spec_from_file_location("paypal_gateway", FILE)
    assert found is not None
    assert found.loader is not None
    loaded = importlib.util.module_from_spec(found)
    found.loader.exec_module(loaded)
    return loaded


class PayPalGatewayHarness:
    """The template with the provider's server."""

    def __init__(self) -> None:
        example = module()
        self.server = PayPalServer()
        self.gateway = example.PayPalGateway(self.server, livemode=False)
        self.webhooks = example.PayPalWebhooks(WEBHOOK_ID, self.server.certificate)
        self._ids = RandomIds()

    def new_key(self) -> str:
        return self._ids.idempotency_key()

    async def pay(self, instruction: CreateIntent) -> IntentReport:
        asked = await self.gateway.create_intent(by_card(instruction, METHOD), self.new_key())
        self.server.approve(asked.id)
        paid: IntentReport = await self.gateway.retrieve_intent(asked.id)
        return paid

    async def end_refund(self, refund_id: str) -> None:
        self.server.finish_refund(refund_id)


class TestPayPal(GatewayContract):
    """The contract, unchanged."""

    @pytest.fixture
    def harness(self) -> PayPalGatewayHarness:
        return PayPalGatewayHarness()


def test_the_template_is_short() -> None:
    assert len(FILE.read_text().splitlines()) < 300


def test_the_plugin_is_built_from_its_settings() -> None:
    plugin = module().PLUGIN
    given = {f"PAYPAL_{name}": "x" for name in ("CLIENT_ID", "SECRET", "WEBHOOK_ID")}
    settings, _ = read_settings(plugin.settings, given.get)
    dependencies = GatewayDependencies(
        settings=settings,
        service=ServiceFacts(gateways=("paypal",), embedded=False, in_development=False),
        database_url="sqlite+aiosqlite:///books.db",
        clock=PaymentsTestKit().clock,
        own_address="http://127.0.0.1:8000",
        max_amount_digits=8,
        max_per_s=0,
        max_concurrent=0,
    )

    built = plugin.build(dependencies)

    assert (plugin.name, built.gateway.name, built.webhook_names) == ("paypal", "paypal", ("paypal",))
    assert {each.setting for each in missing_settings(plugin.settings())} == set(given)


def signed(event: dict[str, Any], at: datetime) -> tuple[bytes, dict[str, str]]:
    body, sent_at = json.dumps(event).encode(), at.isoformat()
    return body, {
        certificates.TRANSMISSION_ID: "tr-1",
        certificates.TRANSMISSION_TIME: sent_at,
        certificates.CERT_URL: f"{certificates.CERTIFICATES}cert-1",
        certificates.AUTH_ALGO: certificates.ALGORITHM,
        certificates.SIGNATURE: certificates.sign(body, "tr-1", sent_at, WEBHOOK_ID, b"the key of the certificate"),
    }


async def test_a_booking_is_paid_after_approval_refunded_and_disputed() -> None:
    harness = PayPalGatewayHarness()
    connected = ConnectedGateway(gateway=harness.gateway, webhooks=harness.webhooks, webhook_names=("paypal",))
    kit = PaymentsTestKit(others={"paypal": connected})
    booking = await kit.book()

    view = await kit.payments.start_payment(
        booking.id, ANN, payment_method_id=METHOD, confirm_immediately=True, gateway="paypal"
    )
    action = view.client_action.next_action if view.client_action else None
    assert (view.payment.status, bool(action)) == (PaymentStatus.REQUIRES_ACTION, True)

    harness.server.approve(view.payment.intent_id or "")
    event = {"id": "WH-77", "event_type": "CHECKOUT.ORDER.APPROVED", "create_time": datetime.now(UTC).isoformat()}
    body, headers = signed({**event, "resource": {"id": view.payment.intent_id}}, kit.clock.now())
    result = await kit.payments.receive_webhook(body, headers, gateway="paypal")
    assert result.outcome == "processed"
    paid = (await kit.payments.payment_status(booking.id, ANN)).payment
    assert (paid.gateway, paid.status) == ("paypal", PaymentStatus.SUCCEEDED)

    refund = await kit.payments.refund_payment(booking.id, ANN, amount="30.00")
    assert refund.refund.amount.major() == "30.00"
    harness.server.finish_refund(next(iter(harness.server.refunds)))
    harness.server.dispute(view.payment.intent_id or "")
    await kit.payments.poll_payment(booking.id, ANN)
    await kit.payments.reconcile()

    now = (await kit.payments.payment_status(booking.id, ANN)).payment
    assert [each.status for each in now.refunds] == [RefundStatus.SUCCEEDED]
    assert len(now.disputes) == 1


def test_the_file_named_in_the_guide_exists() -> None:
    assert "examples/paypal_gateway.py" in (Path(__file__).parents[2] / "docs/guides/write-a-gateway.md").read_text()
