"""The fake gateway: the gateway port over a model of Stripe in memory.

It speaks Stripe's own language inside (``sandbox.emulator``) and goes through the same translation as the Stripe
adapter, so what tests and the demo see is what the real one does, down to the decline codes.
"""

from collections.abc import Iterator, Mapping

import msgspec

from booking_payments.adapters.gateways.stripe.answers import error_from, is_replayed
from booking_payments.adapters.gateways.stripe.gateway import Reply, StripeGateway
from booking_payments.adapters.gateways.stripe.requests import Params
from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway import OutcomeAmbiguous
from booking_payments.sandbox.emulator import FakeStripe, NetworkFault


class FakeGateway(StripeGateway):
    """Moves no money. ``stripe`` is the model: script faults there, play the customer, open disputes."""

    def __init__(self, stripe: FakeStripe, clock: Clock, *, livemode: bool = False) -> None:
        line, digits = ModelTransport(stripe, clock), stripe.amount_digits
        super().__init__(line, livemode=livemode, name="fake", amount_digits=digits)
        self.stripe = stripe


class ModelTransport:
    """Hands requests to the model, whose network faults and delays are felt as over a real line."""

    def __init__(self, stripe: FakeStripe, clock: Clock) -> None:
        self._stripe = stripe
        self._clock = clock

    async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> Reply:
        try:
            answer = self._stripe.call(method, path, params, idempotency_key)
        except NetworkFault as fault:
            raise OutcomeAmbiguous(str(fault), code=fault.kind) from fault
        if answer.delay:
            await self._clock.sleep(answer.delay)
        headers = _lower(answer.headers)
        if not answer.ok:
            raise error_from(answer.status, answer.body, headers)
        return Reply(answer.body, is_replayed(headers))


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def due_deliveries(stripe: FakeStripe) -> Iterator[tuple[str, str | None, bytes]]:
    """Events that wait for their delivery: event id, endpoint id (None: this process), body."""
    stripe.tick()
    for delivery in stripe.pending_deliveries():
        yield delivery.event_id, delivery.endpoint_id, msgspec.json.encode(delivery.event)
