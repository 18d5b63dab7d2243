"""The fake gateway: the gateway port over a model of Stripe in memory.

It uses Stripe's objects (``sandbox.emulator``) and the same translation as the Stripe adapter, so tests and the demo
behave like the real gateway, down to the decline codes.
"""

from collections.abc import Iterator, Mapping

import msgspec

from booking_payments.adapters.gateways.stripe.answers import error_from, is_replayed
from booking_payments.adapters.gateways.stripe.gateway import StripeGateway, TransportResponse
from booking_payments.adapters.gateways.stripe.requests import Params
from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway import OutcomeAmbiguous
from booking_payments.sandbox.emulator import FakeStripe, NetworkFault


class FakeGateway(StripeGateway):
    """Moves no money. ``stripe`` is the emulator: use it to script faults, act as the customer and open disputes."""

    def __init__(self, stripe: FakeStripe, clock: Clock, *, livemode: bool = False) -> None:
        line, digits = ModelTransport(stripe, clock), stripe.amount_digits
        super().__init__(line, livemode=livemode, name="fake", amount_digits=digits)
        self.stripe = stripe


class ModelTransport:
    """Passes requests to the emulator, with its scripted network faults and delays."""

    def __init__(self, stripe: FakeStripe, clock: Clock) -> None:
        self._stripe = stripe
        self._clock = clock

    async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> TransportResponse:
        try:
            answer = self._stripe.call(method, path, params, idempotency_key)
        except NetworkFault as fault:
            raise OutcomeAmbiguous(str(fault), code=fault.kind) from fault
        if answer.delay:
            await self._clock.sleep(answer.delay)
        headers = _lower(answer.headers)
        if not answer.ok:
            raise error_from(answer.status, answer.body, headers)
        return TransportResponse(answer.body, is_replayed(headers))


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def due_deliveries(stripe: FakeStripe) -> Iterator[tuple[str, str | None, bytes]]:
    """Yield events that wait for their delivery: event id, endpoint id (None: this process), body."""
    stripe.tick()
    for delivery in stripe.pending_deliveries():
        yield delivery.event_id, delivery.endpoint_id, msgspec.json.encode(delivery.event)
