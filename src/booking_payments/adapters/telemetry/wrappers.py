"""Wrappers that run a function around every call: one class for each port, and a subclass for the facade.

A wrapper has a ``next``, and each method of its port written out, so that mypy reports one that is missing or differs.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Protocol, TypeVar, cast

from attrs import frozen

from booking_payments.domain.instructions import (
    CancelIntent,
    CaptureIntent,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
    UpdateIntent,
)
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.reports import DisputeReport, IntentReport, RefundReport, Unreadable
from booking_payments.ports.gateway import Gateway
from booking_payments.ports.storage import Storage
from booking_payments.ports.unit_of_work import LockScope, TransactionBody
from booking_payments.ports.webhooks import GatewayEvent

T = TypeVar("T")
K = TypeVar("K", bound=type)


@frozen
class PortCall:
    """A call that is about to be made: the method's name and its arguments."""

    method: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}


class Around(Protocol):
    """Awaits the call, and returns its result or raises its error."""

    async def __call__(self, call: PortCall, make: Callable[[], Awaitable[T]], /) -> T: ...


@frozen
class WrappedStorage:
    """A storage that runs each transaction of ``next`` through ``around``."""

    next: Storage
    around: Around

    async def transact(self, work: TransactionBody[T], scope: LockScope | None = None) -> T:
        call = PortCall("transact", (work, scope))
        return await self.around(call, lambda: self.next.transact(work, scope))

    async def read(self, work: TransactionBody[T]) -> T:
        return await self.around(PortCall("read", (work,)), lambda: self.next.read(work))


def subclass_through(kind: K, around: Around) -> K:
    """Return a subclass of ``kind`` whose public coroutine methods run through ``around``.

    For a facade, which has no port.
    """

    def through(name: str, method: Callable[..., Awaitable[Any]]) -> Any:
        @wraps(method)
        async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await around(PortCall(name, args, kwargs), lambda: method(self, *args, **kwargs))

        return call

    methods = {
        name: through(name, method)
        for name, method in vars(kind).items()
        if iscoroutinefunction(method) and not name.startswith("_")
    }
    return cast(K, type(kind.__name__, (kind,), methods))


@frozen
class WrappedGateway:
    """A gateway that runs each call of ``next`` through ``around``.

    Methods that do not call the gateway are passed on.
    """

    next: Gateway
    around: Around

    @property
    def name(self) -> str:
        return self.next.name

    @property
    def livemode(self) -> bool:
        return self.next.livemode

    def amount_step(self, currency: Currency) -> int:
        return self.next.amount_step(currency)

    def check_amount(self, amount: Money) -> None:
        self.next.check_amount(amount)

    def check_charge(self, amount: Money) -> None:
        self.next.check_charge(amount)

    async def create_intent(self, instruction: CreateIntent, idempotency_key: str) -> IntentReport:
        call = PortCall("create_intent", (instruction, idempotency_key))
        return await self.around(call, lambda: self.next.create_intent(instruction, idempotency_key))

    async def update_intent(self, instruction: UpdateIntent, idempotency_key: str) -> IntentReport:
        call = PortCall("update_intent", (instruction, idempotency_key))
        return await self.around(call, lambda: self.next.update_intent(instruction, idempotency_key))

    async def confirm_intent(self, instruction: ConfirmIntent, idempotency_key: str) -> IntentReport:
        call = PortCall("confirm_intent", (instruction, idempotency_key))
        return await self.around(call, lambda: self.next.confirm_intent(instruction, idempotency_key))

    async def capture_intent(self, instruction: CaptureIntent, idempotency_key: str) -> IntentReport:
        call = PortCall("capture_intent", (instruction, idempotency_key))
        return await self.around(call, lambda: self.next.capture_intent(instruction, idempotency_key))

    async def cancel_intent(self, instruction: CancelIntent, idempotency_key: str) -> IntentReport:
        call = PortCall("cancel_intent", (instruction, idempotency_key))
        return await self.around(call, lambda: self.next.cancel_intent(instruction, idempotency_key))

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        call = PortCall("retrieve_intent", (intent_id,))
        return await self.around(call, lambda: self.next.retrieve_intent(intent_id))

    async def create_refund(self, instruction: CreateRefund, idempotency_key: str) -> RefundReport:
        call = PortCall("create_refund", (instruction, idempotency_key))
        return await self.around(call, lambda: self.next.create_refund(instruction, idempotency_key))

    async def retrieve_refund(self, refund_id: str) -> RefundReport:
        call = PortCall("retrieve_refund", (refund_id,))
        return await self.around(call, lambda: self.next.retrieve_refund(refund_id))

    async def list_refunds(self, intent_id: str) -> Sequence[RefundReport]:
        call = PortCall("list_refunds", (intent_id,))
        return await self.around(call, lambda: self.next.list_refunds(intent_id))

    async def retrieve_dispute(self, dispute_id: str) -> DisputeReport:
        call = PortCall("retrieve_dispute", (dispute_id,))
        return await self.around(call, lambda: self.next.retrieve_dispute(dispute_id))

    async def list_disputes(self, intent_id: str) -> Sequence[DisputeReport]:
        call = PortCall("list_disputes", (intent_id,))
        return await self.around(call, lambda: self.next.list_disputes(intent_id))

    async def available_balance(self) -> Mapping[Currency, Money] | None:
        return await self.around(PortCall("available_balance", ()), self.next.available_balance)

    async def list_intents(self, since: datetime, until: datetime | None = None) -> Sequence[IntentReport | Unreadable]:
        call = PortCall("list_intents", (since, until))
        return await self.around(call, lambda: self.next.list_intents(since, until))

    async def list_refunds_made(
        self, since: datetime, until: datetime | None = None
    ) -> Sequence[RefundReport | Unreadable]:
        call = PortCall("list_refunds_made", (since, until))
        return await self.around(call, lambda: self.next.list_refunds_made(since, until))

    async def list_disputes_opened(
        self, since: datetime, until: datetime | None = None
    ) -> Sequence[DisputeReport | Unreadable]:
        call = PortCall("list_disputes_opened", (since, until))
        return await self.around(call, lambda: self.next.list_disputes_opened(since, until))

    async def list_events(self, since: datetime, until: datetime | None = None) -> Sequence[GatewayEvent]:
        call = PortCall("list_events", (since, until))
        return await self.around(call, lambda: self.next.list_events(since, until))
