"""A fake gateway whose calls raise chosen errors, among them some that the Stripe emulator never returns."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import attrs

from booking_payments.adapters.gateways.fake.gateway import FakeGateway, ModelTransport
from booking_payments.adapters.gateways.stripe.gateway import StripeGateway, TransportResponse
from booking_payments.adapters.gateways.stripe.requests import Params
from booking_payments.application.payments import BookingPayments
from booking_payments.domain.instructions import CancelIntent, ConfirmIntent, CreateIntent, CreateRefund
from booking_payments.domain.reports import DisputeReport, IntentReport, RefundReport
from booking_payments.ports.gateway import Gateway, OutcomeAmbiguous
from booking_payments.testing.kit import PaymentsTestKit

OUR_BUG = RuntimeError("a programming error")


class PowerCut(BaseException):
    """Simulates the death of the process at this point."""


class FailingGateway(FakeGateway):
    """The fake gateway; a method named in ``failures`` raises the next error of its list before it does anything."""

    def __init__(self, kit: PaymentsTestKit, **failures: Sequence[BaseException]) -> None:
        super().__init__(kit.stripe, kit.clock)
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


class Overtaken(FakeGateway):
    """A gateway that runs ``meanwhile`` during a call and then raises ``error``."""

    def __init__(
        self, kit: PaymentsTestKit, meanwhile: Callable[[], Awaitable[object]], error: Exception = OUR_BUG
    ) -> None:
        super().__init__(kit.stripe, kit.clock)
        self._meanwhile, self._error = meanwhile, error

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        await self._meanwhile()
        raise self._error

    async def create_intent(self, instruction: CreateIntent, idempotency_key: str) -> IntentReport:
        await self._meanwhile()
        raise self._error


def use_gateway(kit: PaymentsTestKit, gateway: Gateway) -> None:
    """Make the use cases of ``kit`` call ``gateway``."""
    kit.deps = attrs.evolve(kit.deps, gateway=gateway)
    kit.payments = BookingPayments(kit.deps)


class UnansweredTransport(ModelTransport):
    """The transport to the Stripe emulator. While ``dead``, every request times out; ``asked`` lists the requests."""

    TIMEOUT = timedelta(seconds=15)

    def __init__(self, kit: PaymentsTestKit) -> None:
        super().__init__(kit.stripe, kit.clock)
        self._manual_clock = kit.clock
        self.dead = False
        self.asked: list[str] = []
        use_gateway(kit, StripeGateway(self, livemode=False, name="fake"))

    async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> TransportResponse:
        self.asked.append(f"{method} {path}")
        if self.dead:
            self._manual_clock.advance(self.TIMEOUT)
            raise OutcomeAmbiguous("no answer", code="timeout")
        return await super().call(method, path, params, idempotency_key)
