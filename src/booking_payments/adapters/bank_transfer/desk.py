"""The operator's side: what came in on the account, and what was sent back.

Each word of the operator's is one transaction in the gateway's books, then taken in like any event of a gateway, and
leaves its record in the audit trail. Where the second step is cut short the next catching up does it, and so does the
operator who says it again.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from attrs import evolve

from booking_payments.adapters.bank_transfer.events import of_payback, of_transfer
from booking_payments.adapters.bank_transfer.gateway import WAITS, BankTransferGateway
from booking_payments.adapters.bank_transfer.records import Payback, Transfer, reference
from booking_payments.adapters.bank_transfer.store import Records
from booking_payments.application.auditing import audited
from booking_payments.application.callers import Caller
from booking_payments.application.webhooks import take_in
from booking_payments.application.world import World
from booking_payments.domain.errors import NotFound, NotPossibleNow, RefusedByRule
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Money

T = TypeVar("T")

LONGEST: Final = 200
"""Characters of a reason."""

_BEFORE: Final = {
    RefundStatus.SUCCEEDED: (RefundStatus.PENDING,),
    RefundStatus.FAILED: (RefundStatus.PENDING, RefundStatus.SUCCEEDED),
}
"""What a refund was before it ended so: money that was sent may come back, and what failed is over."""


class TransferDesk:
    """Says what happened on the house's account. ``gateway`` is the one that ``world`` works with."""

    def __init__(self, gateway: BankTransferGateway, world: World) -> None:
        self._gateway = gateway
        self._world = world

    async def awaited(self) -> Sequence[Transfer]:
        """Transfers that customers were asked for, oldest first."""
        which = self._gateway.store.tables.transfers.c.status == WAITS.value
        return await self._gateway.store.read(lambda records: records.transfers(which))

    async def to_send(self) -> Sequence[Payback]:
        """Refunds that nobody has sent yet, oldest first."""
        which = self._gateway.store.tables.paybacks.c.status == RefundStatus.PENDING.value
        return await self._gateway.store.read(lambda records: records.paybacks(which))

    async def received(self, given: str, amount: Money, caller: Caller) -> Transfer:
        """The money named by a reference is on the account.

        Raises ``NotFound`` for a reference that is none, ``RefusedByRule`` for another amount than was asked for, and
        ``NotPossibleNow`` when nobody waits for it: it was given up, or came before.
        """

        async def work() -> Transfer:
            transfer, is_news = await self._gateway.store.transact(lambda records: self._arrive(records, given, amount))
            if not is_news:
                await self._require_unbooked(transfer)
            await take_in(self._world, of_transfer(transfer))
            return transfer

        asked = {"reference": reference(given), "amount": amount}
        return await self._audited("receive_transfer", caller, work, asked, lambda transfer: _booking(transfer))

    async def sent(self, refund_id: str, caller: Caller) -> Payback:
        """A refund has left the account. Raises ``NotFound``, and ``NotPossibleNow`` when it is not to be sent."""
        return await self._end_refund("send_refund", refund_id, RefundStatus.SUCCEEDED, None, caller)

    async def failed(self, refund_id: str, reason: str, caller: Caller) -> Payback:
        """A refund can't be sent, or came back after it was. Raises ``NotFound``."""
        return await self._end_refund("fail_refund", refund_id, RefundStatus.FAILED, reason[:LONGEST], caller)

    # --- in the gateway's books

    async def _arrive(self, records: Records, given: str, amount: Money) -> tuple[Transfer, bool]:
        """The transfer, with its money; whether that is news."""
        transfer = await records.transfer(reference(given), lock=True)
        if transfer is None:
            raise NotFound("no transfer has this reference; look at: booking-payments transfers list")
        if transfer.amount != amount:
            told = f"{transfer.amount} was asked for, not {amount}; settle the difference with the customer first"
            raise RefusedByRule(told, code="amount_differs")
        if transfer.status is PaymentStatus.CANCELED:
            told = "this transfer was given up, since nobody paid in time; send the money back"
            raise NotPossibleNow(told, code="transfer_given_up")
        if transfer.status is PaymentStatus.SUCCEEDED:
            return transfer, False
        here = evolve(transfer, status=PaymentStatus.SUCCEEDED, ended_at=self._gateway.clock.now())
        await records.change_transfer(here)
        return here, True

    async def _require_unbooked(self, transfer: Transfer) -> None:
        """Said before: fine while it is not in the payment's books yet. After that it may be a second transfer."""
        payment_id = transfer.metadata.get("payment_id", "")
        payment = await self._world.storage.read(lambda uow: uow.payments.get(payment_id))
        if payment is None or not payment.status.is_open:
            told = f"this transfer was received on {transfer.ended_at:%Y-%m-%d}; if money came twice, send one back"
            raise NotPossibleNow(told, code="already_received")

    async def _end_refund(
        self, operation: str, refund_id: str, status: RefundStatus, failure: str | None, caller: Caller
    ) -> Payback:
        async def end(records: Records) -> Payback:
            payback = await records.payback(refund_id, lock=True)
            if payback is None:
                raise NotFound("no refund has this id; look at: booking-payments transfers list")
            if payback.status is status:
                return payback
            if payback.status not in _BEFORE[status]:
                raise NotPossibleNow(f"this refund has {payback.status.value} already", code="refund_ended")
            ended = evolve(payback, status=status, failure=failure, ended_at=self._gateway.clock.now())
            await records.change_payback(ended)
            return ended

        async def work() -> Payback:
            payback = await self._gateway.store.transact(end)
            await take_in(self._world, of_payback(payback))
            return payback

        return await self._audited(operation, caller, work, {"refund": refund_id}, lambda payback: _booking(payback))

    async def _audited(
        self,
        operation: str,
        caller: Caller,
        work: Callable[[], Awaitable[T]],
        asked: dict[str, object],
        subject: Callable[[T], str],
    ) -> T:
        return await audited(self._world, operation, caller, work(), asked=asked, subject=subject)


def _booking(record: Transfer | Payback) -> str:
    return record.metadata.get("booking_id", "")
