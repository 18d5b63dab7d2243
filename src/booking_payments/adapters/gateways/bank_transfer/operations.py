"""The operator's actions: recording money that arrived on the account, and money that was sent back.

Each action is one transaction in the gateway's tables; its event is then processed like that of any gateway, and
recorded in the audit trail. If the second step is interrupted, the next catch-up completes it, or a repetition of the
action.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from attrs import evolve

from booking_payments.adapters.gateways.bank_transfer.events import of_bank_refund, of_transfer
from booking_payments.adapters.gateways.bank_transfer.gateway import WAITS, BankTransferGateway
from booking_payments.adapters.gateways.bank_transfer.records import BankRefund, Transfer, reference
from booking_payments.adapters.gateways.bank_transfer.store import Records
from booking_payments.application.auditing import audited
from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.webhooks import take_in
from booking_payments.domain import metadata_keys
from booking_payments.domain.errors import NotFound, NotPossibleNow, RefusedByRule
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Money

T = TypeVar("T")

LONGEST: Final = 200
"""Largest length of a reason, in characters."""

_BEFORE: Final = {
    RefundStatus.SUCCEEDED: (RefundStatus.PENDING,),
    RefundStatus.FAILED: (RefundStatus.PENDING, RefundStatus.SUCCEEDED),
}
"""The states from which a refund may enter each final state: sent money may come back, a failed refund is final."""


class BankTransferOperations:
    """The operator's actions on the account. ``gateway`` is the one that ``deps`` uses."""

    def __init__(self, gateway: BankTransferGateway, deps: Dependencies) -> None:
        self.gateway = gateway
        self._deps = deps

    async def awaited(self) -> Sequence[Transfer]:
        """Return the transfers that customers were asked to make, oldest first."""
        which = self.gateway.store.tables.transfers.c.status == WAITS.value
        return await self.gateway.store.read(lambda records: records.transfers(which))

    async def to_send(self) -> Sequence[BankRefund]:
        """Return the refunds that have not been sent yet, oldest first."""
        which = self.gateway.store.tables.bank_refunds.c.status == RefundStatus.PENDING.value
        return await self.gateway.store.read(lambda records: records.bank_refunds(which))

    async def knows(self, given: str) -> bool:
        """Whether ``given`` is the reference of a transfer, or the id of a refund, of this gateway."""

        async def found(records: Records) -> bool:
            transfer = await records.transfer(reference(given))
            return transfer is not None or await records.bank_refund(given) is not None

        return await self.gateway.store.read(found)

    async def received(self, given: str, amount: Money, caller: Caller) -> Transfer:
        """Record that the money of the transfer with this reference has arrived.

        Args:
            given: the reference on the account statement; its case, spaces and look-alike letters do not matter.
            amount: the amount that arrived.

        Raises:
            NotFound: no transfer has this reference.
            RefusedByRule: the amount differs from the requested one.
            NotPossibleNow: the transfer was canceled, or recorded before.
        """

        async def work() -> Transfer:
            transfer, changed = await self.gateway.store.transact(lambda records: self._arrive(records, given, amount))
            if not changed:
                await self._require_unbooked(transfer)
            await take_in(self._deps, of_transfer(transfer))
            return transfer

        asked = {"reference": reference(given), "amount": amount}
        return await self._audited("receive_transfer", caller, work, asked, lambda transfer: _booking(transfer))

    async def sent(self, refund_id: str, caller: Caller) -> BankRefund:
        """Record that a refund was sent. Raises ``NotFound``, and ``NotPossibleNow`` if it has failed."""
        return await self._end_refund("send_refund", refund_id, RefundStatus.SUCCEEDED, None, caller)

    async def failed(self, refund_id: str, reason: str, caller: Caller) -> BankRefund:
        """Record that a refund cannot be sent, or was returned. Raises ``NotFound``."""
        return await self._end_refund("fail_refund", refund_id, RefundStatus.FAILED, reason[:LONGEST], caller)

    # --- in the gateway's tables

    async def _arrive(self, records: Records, given: str, amount: Money) -> tuple[Transfer, bool]:
        """Return the transfer as succeeded, and whether this changed it."""
        transfer = await records.transfer(reference(given), lock=True)
        if transfer is None:
            raise NotFound("no transfer has this reference; see: booking-payments transfers list")
        if transfer.amount != amount:
            message = f"{transfer.amount} was requested, not {amount}; settle the difference with the customer first"
            raise RefusedByRule(message, code="amount_differs")
        if transfer.status is PaymentStatus.CANCELED:
            message = "this transfer was canceled because it was not paid in time; send the money back"
            raise NotPossibleNow(message, code="transfer_given_up")
        if transfer.status is PaymentStatus.SUCCEEDED:
            return transfer, False
        here = evolve(transfer, status=PaymentStatus.SUCCEEDED, ended_at=self.gateway.clock.now())
        await records.change_transfer(here)
        return here, True

    async def _require_unbooked(self, transfer: Transfer) -> None:
        """Raise unless the payment of a transfer that was recorded before is still open.

        If it is not, the money may be that of a second transfer.
        """
        payment_id = transfer.metadata.get(metadata_keys.PAYMENT_ID, "")
        payment = await self._deps.storage.read(lambda uow: uow.payments.get(payment_id))
        if payment is None or not payment.status.is_open:
            received = f"this transfer was received on {transfer.ended_at:%Y-%m-%d}"
            message = f"{received}; if it was paid twice, send one payment back"
            raise NotPossibleNow(message, code="already_received")

    async def _end_refund(
        self, operation: str, refund_id: str, status: RefundStatus, failure: str | None, caller: Caller
    ) -> BankRefund:
        async def end(records: Records) -> BankRefund:
            bank_refund = await records.bank_refund(refund_id, lock=True)
            if bank_refund is None:
                raise NotFound("no refund has this id; see: booking-payments transfers list")
            if bank_refund.status is status:
                return bank_refund
            if bank_refund.status not in _BEFORE[status]:
                raise NotPossibleNow(f"this refund has {bank_refund.status.value} already", code="refund_ended")
            ended = evolve(bank_refund, status=status, failure=failure, ended_at=self.gateway.clock.now())
            await records.change_bank_refund(ended)
            return ended

        async def work() -> BankRefund:
            bank_refund = await self.gateway.store.transact(end)
            await take_in(self._deps, of_bank_refund(bank_refund))
            return bank_refund

        return await self._audited(
            operation, caller, work, {"refund": refund_id}, lambda bank_refund: _booking(bank_refund)
        )

    async def _audited(
        self,
        operation: str,
        caller: Caller,
        work: Callable[[], Awaitable[T]],
        asked: dict[str, object],
        subject: Callable[[T], str],
    ) -> T:
        return await audited(self._deps, operation, caller, work(), asked=asked, subject=subject)


def _booking(record: Transfer | BankRefund) -> str:
    return record.metadata.get(metadata_keys.BOOKING_ID, "")
