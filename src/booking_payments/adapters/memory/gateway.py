"""The fake gateway: the gateway port over a model of Stripe in memory.

It speaks Stripe's own language inside (``fake_stripe``) and goes through the same translation as the Stripe adapter,
so what tests and the demo see is what the real one does, down to the decline codes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from booking_payments.adapters.fake_stripe import Answer, FakeStripe, NetworkFault
from booking_payments.adapters.stripe import limits
from booking_payments.adapters.stripe.answers import error_from, is_replayed
from booking_payments.adapters.stripe.objects import dispute_report, intent_report, refund_report
from booking_payments.adapters.stripe.requests import path_and_params
from booking_payments.adapters.stripe.webhooks import read_event
from booking_payments.domain.instructions import (
    CancelIntent,
    CaptureIntent,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
    Instruction,
)
from booking_payments.domain.money import Money
from booking_payments.domain.reports import DisputeReport, IntentReport, RefundReport
from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway import GatewayEvent, Silent

Report = TypeVar("Report")

PAGE: Final = 100
"""Most objects that Stripe lists at once."""


class FakeGateway:
    """Moves no money. ``stripe`` is the model: script faults there, play the customer, open disputes."""

    name = "fake"

    def __init__(self, stripe: FakeStripe, clock: Clock, *, livemode: bool = False) -> None:
        self.stripe = stripe
        self.livemode = livemode
        self._clock = clock

    async def create_intent(self, instruction: CreateIntent, idempotency_key: str) -> IntentReport:
        return await self._post_intent(instruction, idempotency_key)

    async def confirm_intent(self, instruction: ConfirmIntent, idempotency_key: str) -> IntentReport:
        return await self._post_intent(instruction, idempotency_key)

    async def capture_intent(self, instruction: CaptureIntent, idempotency_key: str) -> IntentReport:
        return await self._post_intent(instruction, idempotency_key)

    async def cancel_intent(self, instruction: CancelIntent, idempotency_key: str) -> IntentReport:
        return await self._post_intent(instruction, idempotency_key)

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        return intent_report((await self._call("GET", f"/v1/payment_intents/{intent_id}")).body)

    def check_amount(self, amount: Money) -> None:
        limits.check_amount(amount)

    def check_charge(self, amount: Money) -> None:
        limits.check_charge(amount)

    async def create_refund(self, instruction: CreateRefund, idempotency_key: str) -> RefundReport:
        path, params = path_and_params(instruction)
        answer = await self._call("POST", path, params, idempotency_key)
        return refund_report(answer.body, replayed=_replayed(answer))

    async def retrieve_refund(self, refund_id: str) -> RefundReport:
        return refund_report((await self._call("GET", f"/v1/refunds/{refund_id}")).body)

    async def list_refunds(self, intent_id: str) -> Sequence[RefundReport]:
        return await self._list("/v1/refunds", {"payment_intent": intent_id}, refund_report)

    async def retrieve_dispute(self, dispute_id: str) -> DisputeReport:
        return dispute_report((await self._call("GET", f"/v1/disputes/{dispute_id}")).body)

    async def list_disputes(self, intent_id: str) -> Sequence[DisputeReport]:
        return await self._list("/v1/disputes", {"payment_intent": intent_id}, dispute_report)

    async def list_intents(self, since: datetime) -> Sequence[IntentReport]:
        return await self._list("/v1/payment_intents", _created_since(since), intent_report)

    async def list_events(self, since: datetime) -> Sequence[GatewayEvent]:
        return await self._list("/v1/events", _created_since(since), _event)

    async def _post_intent(self, instruction: Instruction, idempotency_key: str) -> IntentReport:
        path, params = path_and_params(instruction)
        answer = await self._call("POST", path, params, idempotency_key)
        return intent_report(answer.body, replayed=_replayed(answer))

    async def _list(
        self, path: str, params: Mapping[str, Any], read: Callable[[Mapping[str, Any]], Report]
    ) -> Sequence[Report]:
        """All pages, oldest first; Stripe lists the newest first."""
        found: list[Report] = []
        after: Mapping[str, Any] = {}
        while True:
            body = (await self._call("GET", path, {"limit": PAGE, **params, **after})).body
            found.extend(read(item) for item in body["data"])
            if not body["has_more"]:
                return found[::-1]
            after = {"starting_after": body["data"][-1]["id"]}

    async def _call(
        self, method: str, path: str, params: Mapping[str, Any] | None = None, idempotency_key: str | None = None
    ) -> Answer:
        try:
            answer = self.stripe.call(method, path, params, idempotency_key)
        except NetworkFault as fault:
            raise Silent(str(fault), code=fault.kind) from fault
        if answer.delay:
            await self._clock.sleep(answer.delay)
        if not answer.ok:
            raise error_from(answer.status, answer.body, _lower(answer.headers))
        return answer


def _event(body: Mapping[str, Any]) -> GatewayEvent:
    return read_event(msgspec.json.encode(body))


def _created_since(since: datetime) -> dict[str, Any]:
    """Stripe's times have whole seconds, so the second in which ``since`` lies is taken in."""
    return {"created": {"gte": int(since.timestamp())}}


def _replayed(answer: Answer) -> bool:
    return is_replayed(_lower(answer.headers))


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def due_deliveries(stripe: FakeStripe) -> Iterator[tuple[str, str | None, bytes]]:
    """Events that wait for their delivery: event id, endpoint id (None: this process), body."""
    stripe.tick()
    for delivery in stripe.pending_deliveries():
        yield delivery.event_id, delivery.endpoint_id, msgspec.json.encode(delivery.event)
