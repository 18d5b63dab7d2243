"""Gauges of ``/metrics`` that tell the gateways apart."""

import pytest
from prometheus_client import CollectorRegistry

from booking_payments.domain.errors import OutcomeUnknown
from booking_payments.entrypoints.http import gauges
from booking_payments.ports.gateway import OutcomeAmbiguous
from booking_payments.testing.kit import ANN
from tests.two_gateways import VISA, Two
from tests.unit.application.failing_gateway import FailingGateway, use_gateway


async def _gauges(two: Two, name: str) -> dict[str, float | None]:
    """Return the values of a gauge by gateway."""
    registry = CollectorRegistry()
    names = two.payments.gateway_names
    gauges.fill(registry, await two.payments.figures(two.kit.clock.now()), names)
    return {each: registry.get_sample_value(f"booking_payments_{name}", {"gateway": each}) for each in names}


async def test_each_configured_gateway_has_its_values() -> None:
    assert await _gauges(Two(), "webhooks_received_last_hour") == {"fake": 0, "other": 0}


async def test_an_unknown_outcome_is_counted_for_its_gateway() -> None:
    two = Two()
    booking = await two.kit.book()
    no_answer = [OutcomeAmbiguous("no answer", code="timeout")] * 3
    use_gateway(two.kit, FailingGateway(two.kit, create_intent=no_answer))

    with pytest.raises(OutcomeUnknown):
        await two.payments.start_payment(booking.id, ANN, payment_method_id=VISA, confirm_immediately=True)

    assert await _gauges(two, "unknown_outcomes") == {"fake": 1, "other": 0}


async def test_a_dispute_is_counted_for_its_gateway() -> None:
    two = Two()
    booking = await two.kit.book()
    disputed = "pm_card_createDispute"
    await two.payments.start_payment(
        booking.id, ANN, payment_method_id=disputed, confirm_immediately=True, gateway="other"
    )
    await two.payments.reconcile()

    assert await _gauges(two, "open_disputes") == {"fake": 0, "other": 1}
    received = await _gauges(two, "webhooks_received_last_hour")
    assert received["fake"] == 0
    assert (received["other"] or 0) > 0
