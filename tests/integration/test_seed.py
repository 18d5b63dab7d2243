"""The database that load generators drive: its payments belong to the gateway whose webhooks they wait for."""

import pytest
from bench.seed import make_pattern

from booking_payments.domain.events import PaymentStarted


@pytest.mark.parametrize("gateway", ["stripe", "fake"])
async def test_seeded_payments_belong_to_the_gateway_that_is_named(gateway: str) -> None:
    pattern = await make_pattern("10.99", "usd", gateway)

    started = [each.event.gateway for each in pattern.journal if isinstance(each.event, PaymentStarted)]
    assert (pattern.payment.gateway, started) == (gateway, [gateway])


async def test_without_a_name_it_is_stripe() -> None:
    assert (await make_pattern("10.99", "usd")).payment.gateway == "stripe"
