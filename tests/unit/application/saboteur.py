"""A gateway that fails on cue, with errors that the model of Stripe has no reason to give."""

from collections.abc import Sequence

from booking_payments.adapters.memory.gateway import FakeGateway
from booking_payments.domain.instructions import CancelIntent, ConfirmIntent, CreateIntent, CreateRefund
from booking_payments.domain.reports import DisputeReport, IntentReport, RefundReport
from booking_payments.testing.house import House


class PowerCut(BaseException):
    """The process dies here."""


class Saboteur(FakeGateway):
    """The fake gateway; each verb named in ``failures`` raises the next error of its list before it does anything."""

    def __init__(self, house: House, **failures: Sequence[BaseException]) -> None:
        super().__init__(house.stripe, house.clock)
        self.failures = {verb: list(errors) for verb, errors in failures.items()}

    def _fail(self, verb: str) -> None:
        waiting = self.failures.get(verb)
        if waiting:
            raise waiting.pop(0)

    async def create_intent(self, instruction: CreateIntent, idempotency_key: str) -> IntentReport:
        self._fail("create_intent")
        return await super().create_intent(instruction, idempotency_key)

    async def cancel_intent(self, instruction: CancelIntent, idempotency_key: str) -> IntentReport:
        self._fail("cancel_intent")
        return await super().cancel_intent(instruction, idempotency_key)

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        self._fail("retrieve_intent")
        return await super().retrieve_intent(intent_id)

    async def confirm_intent(self, instruction: ConfirmIntent, idempotency_key: str) -> IntentReport:
        self._fail("confirm_intent")
        return await super().confirm_intent(instruction, idempotency_key)

    async def create_refund(self, instruction: CreateRefund, idempotency_key: str) -> RefundReport:
        self._fail("create_refund")
        return await super().create_refund(instruction, idempotency_key)

    async def list_disputes(self, intent_id: str) -> Sequence[DisputeReport]:
        self._fail("list_disputes")
        return await super().list_disputes(intent_id)
