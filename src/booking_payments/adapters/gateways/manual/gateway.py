"""Payments that an operator records: cash, a paid invoice, or a voucher or gift card that was redeemed elsewhere.

The operator's record is the payment, so an intent is paid when it is created. Its payment method is the kind and the
reference of the receipt, ``cash:17-204``. A refund is pending until an operator records that the money was paid back.
"""

from attrs import evolve

from booking_payments.adapters.gateways.bank_transfer.events import of_bank_refund
from booking_payments.adapters.gateways.bank_transfer.gateway import BankTransferGateway
from booking_payments.adapters.gateways.bank_transfer.records import (
    BankRefund,
    Transfer,
    fingerprint_of,
    receipt_id,
    receipt_refund_id,
)
from booking_payments.adapters.gateways.bank_transfer.store import Records, TransferStore
from booking_payments.domain.instructions import CaptureMethod, ConfirmIntent, CreateIntent, UpdateIntent
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.receipts import kind_of
from booking_payments.domain.reports import IntentReport, MethodDetails
from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway import GatewayRefused, KeyMisused, ObjectNotFound
from booking_payments.ports.webhooks import GatewayEvent

METHOD_KEY = "recorded_method"
"""Name of the payment method in a receipt's metadata."""


class ManualGateway(BankTransferGateway):
    """The gateway port for recorded payments; real money moves. ``store`` has its own tables."""

    name = "manual"
    _refund_id = staticmethod(receipt_refund_id)

    def __init__(self, store: TransferStore, clock: Clock) -> None:
        super().__init__(store, clock, pay_to="")

    async def create_intent(self, instruction: CreateIntent, idempotency_key: str) -> IntentReport:
        """Store a receipt as paid. Raises ``GatewayRefused`` for a payment that no operator has recorded."""
        method = instruction.payment_method_id
        if not instruction.confirm or method is None or kind_of(method) is None:
            raise GatewayRefused("an operator records these payments: payments record", code="payment_not_recorded")
        if instruction.capture_method is CaptureMethod.MANUAL:
            raise GatewayRefused("a received payment cannot be authorized only", code="capture_method_unsupported")
        now = self.clock.now()
        receipt = Transfer(
            id=receipt_id(idempotency_key),
            amount=instruction.amount,
            status=PaymentStatus.SUCCEEDED,
            fingerprint=fingerprint_of(instruction.amount, method, *instruction.metadata.items()),
            metadata={**instruction.metadata, METHOD_KEY: method},
            created_at=now,
            ended_at=now,
        )

        async def work(records: Records) -> IntentReport:
            there = await records.transfer(receipt.id)
            if there is None:
                await records.add_transfer(receipt)
                return self._intent(receipt)
            if there.fingerprint != receipt.fingerprint:
                raise KeyMisused("the key was used for another request", code="idempotency_error")
            return evolve(self._intent(there), replayed=True)

        return await self.store.transact(work)

    async def update_intent(self, instruction: UpdateIntent, idempotency_key: str) -> IntentReport:
        """Raise ``GatewayRefused``: a receipt is paid and does not change."""
        raise GatewayRefused("a receipt does not change", code="payment_intent_unexpected_state")

    async def confirm_intent(self, instruction: ConfirmIntent, idempotency_key: str) -> IntentReport:
        """Raise ``GatewayRefused``, as ``update_intent`` does."""
        raise GatewayRefused("a receipt does not change", code="payment_intent_unexpected_state")

    async def settle_refund(self, refund_id: str) -> GatewayEvent:
        """Record that a refund was paid back, and return its event.

        Raises ``ObjectNotFound``, and ``GatewayRefused`` for a refund that has failed.
        """

        async def work(records: Records) -> BankRefund:
            bank_refund = await records.bank_refund(refund_id, lock=True)
            if bank_refund is None:
                raise ObjectNotFound("no such refund", code="resource_missing")
            if bank_refund.status is RefundStatus.SUCCEEDED:
                return bank_refund
            if bank_refund.status is not RefundStatus.PENDING:
                raise GatewayRefused(f"the refund has {bank_refund.status.value} already", code="refund_ended")
            given = evolve(bank_refund, status=RefundStatus.SUCCEEDED, ended_at=self.clock.now())
            await records.change_bank_refund(given)
            return given

        return of_bank_refund(await self.store.transact(work))

    def _intent(self, transfer: Transfer) -> IntentReport:
        method = transfer.metadata[METHOD_KEY]
        return evolve(
            super()._intent(transfer),
            payment_method_id=method,
            method=MethodDetails(type=kind_of(method) or method),
        )
