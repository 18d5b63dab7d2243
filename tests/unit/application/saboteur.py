"""A gateway that fails on cue, with errors that the model of Stripe has no reason to give."""

from collections.abc import Awaitable, Callable, Sequence

from booking_payments.adapters.memory.gateway import FakeGateway
from booking_payments.domain.instructions import CreateIntent, CreateRefund
from booking_payments.domain.reports import DisputeReport, IntentReport, RefundReport
from booking_payments.testing.house import House

OUR_BUG = RuntimeError("a bug of ours")


class Saboteur(FakeGateway):
    """The fake gateway; each verb named in ``failures`` raises the next error of its list before it does anything."""

    def __init__(self, house: House, **failures: Sequence[Exception]) -> None:
        super().__init__(house.stripe, house.clock)
        self.failures = {verb: list(errors) for verb, errors in failures.items()}

    def _fail(self, verb: str) -> None:
        waiting = self.failures.get(verb)
        if waiting:
            raise waiting.pop(0)

    async def create_intent(self, instruction: CreateIntent, idempotency_key: str) -> IntentReport:
        self._fail("create_intent")
        return await super().create_intent(instruction, idempotency_key)

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        self._fail("retrieve_intent")
        return await super().retrieve_intent(intent_id)

    async def create_refund(self, instruction: CreateRefund, idempotency_key: str) -> RefundReport:
        self._fail("create_refund")
        return await super().create_refund(instruction, idempotency_key)

    async def list_disputes(self, intent_id: str) -> Sequence[DisputeReport]:
        self._fail("list_disputes")
        return await super().list_disputes(intent_id)


class Overtaken(FakeGateway):
    """A gateway that fails with ``error``, and while it is tried somebody else does something."""

    def __init__(self, house: House, meanwhile: Callable[[], Awaitable[object]], error: Exception = OUR_BUG) -> None:
        super().__init__(house.stripe, house.clock)
        self._meanwhile, self._error = meanwhile, error

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        await self._meanwhile()
        raise self._error

    async def create_intent(self, instruction: CreateIntent, idempotency_key: str) -> IntentReport:
        await self._meanwhile()
        raise self._error
