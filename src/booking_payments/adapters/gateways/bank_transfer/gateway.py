"""The gateway port over bank transfers.

Ids are derived from the idempotency key, so a repeated key always finds the record that it created. All other changes
lead to one state only, so their repetition has no effect.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NoReturn, TypeVar

from attrs import evolve

from booking_payments.adapters.gateways.bank_transfer.events import of_bank_refund, of_transfer
from booking_payments.adapters.gateways.bank_transfer.records import (
    BankRefund,
    Transfer,
    fingerprint_of,
    refund_id,
    transfer_id,
)
from booking_payments.adapters.gateways.bank_transfer.store import Records, TransferStore, ended_between, made_between
from booking_payments.adapters.gateways.bank_transfer.tables import RecordTables
from booking_payments.domain.instructions import (
    CancelIntent,
    CaptureIntent,
    CaptureMethod,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
    UpdateIntent,
)
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.reports import DisputeReport, IntentReport, RefundReport
from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway import GatewayRefused, KeyMisused, ObjectNotFound
from booking_payments.ports.webhooks import GatewayEvent

R = TypeVar("R", Transfer, BankRefund)

METHOD: Final = "bank_transfer"
"""The only payment method."""

WAITS: Final = PaymentStatus.REQUIRES_ACTION
"""The customer has received the instructions for the transfer."""


class BankTransferGateway:
    """The gateway port; real money moves. ``pay_to`` is the text that names the account, for the customer."""

    name = "bank_transfer"
    livemode = True

    def __init__(self, store: TransferStore, clock: Clock, pay_to: str) -> None:
        self.store = store
        self.clock = clock
        self._pay_to = pay_to

    # --- intents

    async def create_intent(self, instruction: CreateIntent, idempotency_key: str) -> IntentReport:
        """Create a transfer to wait for. Raises ``GatewayRefused`` for other methods, and for a manual capture."""
        if instruction.capture_method is CaptureMethod.MANUAL:
            message = "a bank transfer cannot be authorized only; leave capture_method out"
            raise GatewayRefused(message, code="capture_method_unsupported")
        _require_method(instruction.payment_method_id)
        transfer = Transfer(
            id=transfer_id(idempotency_key),
            amount=instruction.amount,
            status=WAITS if instruction.confirm else PaymentStatus.REQUIRES_PAYMENT_METHOD,
            fingerprint=fingerprint_of(
                instruction.amount, instruction.confirm, instruction.payment_method_id, *instruction.metadata.items()
            ),
            metadata=dict(instruction.metadata),
            created_at=self.clock.now(),
        )

        async def work(records: Records) -> IntentReport:
            there = await records.transfer(transfer.id)
            if there is None:
                await records.add_transfer(transfer)
                return self._intent(transfer)
            return evolve(self._intent(_same(there, transfer.fingerprint)), replayed=True)

        return await self.store.transact(work)

    async def update_intent(self, instruction: UpdateIntent, idempotency_key: str) -> IntentReport:
        """Return the transfer unchanged, since there is only one method.

        Raises ``GatewayRefused`` for another amount: the customer may have been told the first one already.
        """
        _require_method(instruction.payment_method_id)
        if instruction.amount is not None:
            raise GatewayRefused("the amount of a transfer does not change", code="amount_fixed", param="amount")
        transfer = _there(await self.store.read(lambda records: records.transfer(instruction.intent_id)))
        if not transfer.status.is_open:
            _refuse_state(transfer)
        return self._intent(transfer)

    async def confirm_intent(self, instruction: ConfirmIntent, idempotency_key: str) -> IntentReport:
        """Show the customer the instructions for the transfer."""
        _require_method(instruction.payment_method_id)

        async def work(records: Records) -> IntentReport:
            transfer = _there(await records.transfer(instruction.intent_id, lock=True))
            if not transfer.status.is_open:
                _refuse_state(transfer)
            waiting = evolve(transfer, status=WAITS)
            await records.change_transfer(waiting)
            return self._intent(waiting)

        return await self.store.transact(work)

    async def capture_intent(self, instruction: CaptureIntent, idempotency_key: str) -> IntentReport:
        """Raise ``GatewayRefused``: a transfer cannot be held."""
        _refuse_state(_there(await self.store.read(lambda records: records.transfer(instruction.intent_id))))

    async def cancel_intent(self, instruction: CancelIntent, idempotency_key: str) -> IntentReport:
        """Cancel a transfer that has not arrived. Raises ``GatewayRefused`` when it has."""

        async def work(records: Records) -> IntentReport:
            transfer = _there(await records.transfer(instruction.intent_id, lock=True))
            if transfer.status is PaymentStatus.CANCELED:
                return evolve(self._intent(transfer), replayed=True)
            if not transfer.status.is_open:
                _refuse_state(transfer)
            given_up = evolve(transfer, status=PaymentStatus.CANCELED, ended_at=self.clock.now())
            await records.change_transfer(given_up)
            return self._intent(given_up)

        return await self.store.transact(work)

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        """Return the transfer in its present state."""
        return self._intent(_there(await self.store.read(lambda records: records.transfer(intent_id))))

    def amount_step(self, currency: Currency) -> int:
        """Return 1: every amount can be transferred."""
        return 1

    def check_amount(self, amount: Money) -> None:
        """Accept every amount."""

    def check_charge(self, amount: Money) -> None:
        """Accept every amount."""

    # --- refunds

    _refund_id = staticmethod(refund_id)

    async def create_refund(self, instruction: CreateRefund, idempotency_key: str) -> RefundReport:
        """Create a refund for an operator to send. Raises ``GatewayRefused`` above the rest of the transfer."""
        bank_refund = BankRefund(
            id=self._refund_id(idempotency_key),
            transfer_id=instruction.intent_id,
            amount=instruction.amount,
            status=RefundStatus.PENDING,
            fingerprint=fingerprint_of(instruction.intent_id, instruction.amount, *instruction.metadata.items()),
            metadata=dict(instruction.metadata),
            created_at=self.clock.now(),
        )

        async def work(records: Records) -> RefundReport:
            transfer = _there(await records.transfer(instruction.intent_id, lock=True))
            there = await records.bank_refund(bank_refund.id)
            if there is not None:
                return evolve(_refund(_same(there, bank_refund.fingerprint)), replayed=True)
            await _require_enough(records, self.store.tables, transfer, bank_refund.amount)
            await records.add_bank_refund(bank_refund)
            return _refund(bank_refund)

        return await self.store.transact(work)

    async def retrieve_refund(self, refund_id: str) -> RefundReport:
        """Return the refund in its present state."""
        return _refund(_there(await self.store.read(lambda records: records.bank_refund(refund_id))))

    async def list_refunds(self, intent_id: str) -> Sequence[RefundReport]:
        """Return all refunds of a transfer, oldest first."""
        mine = self.store.tables.bank_refunds.c.transfer_id == intent_id
        return [_refund(each) for each in await self.store.read(lambda records: records.bank_refunds(mine))]

    # --- disputes: the customer's bank cannot reverse a transfer

    async def retrieve_dispute(self, dispute_id: str) -> DisputeReport:
        """Raise ``ObjectNotFound``."""
        raise ObjectNotFound("bank transfers have no disputes", code="resource_missing")

    async def list_disputes(self, intent_id: str) -> Sequence[DisputeReport]:
        """Return an empty list."""
        return []

    async def list_disputes_opened(self, since: datetime, until: datetime | None = None) -> Sequence[DisputeReport]:
        """Return an empty list."""
        return []

    async def available_balance(self) -> None:
        """Return None: the merchant's bank account is not known here."""

    # --- lists

    async def list_intents(self, since: datetime, until: datetime | None = None) -> Sequence[IntentReport]:
        """Return the transfers created in that time, oldest first."""
        which = made_between(self.store.tables.transfers, since, until)
        return [self._intent(each) for each in await self.store.read(lambda records: records.transfers(*which))]

    async def list_refunds_made(self, since: datetime, until: datetime | None = None) -> Sequence[RefundReport]:
        """Return the refunds created in that time, oldest first."""
        which = made_between(self.store.tables.bank_refunds, since, until)
        return [_refund(each) for each in await self.store.read(lambda records: records.bank_refunds(*which))]

    async def list_events(self, since: datetime, until: datetime | None = None) -> Sequence[GatewayEvent]:
        """Return the events of transfers and refunds that ended in that time, oldest first."""

        async def work(records: Records) -> list[GatewayEvent]:
            transfers = await records.transfers(*ended_between(self.store.tables.transfers, since, until))
            bank_refunds = await records.bank_refunds(*ended_between(self.store.tables.bank_refunds, since, until))
            return [*map(of_transfer, transfers), *map(of_bank_refund, bank_refunds)]

        return sorted(await self.store.read(work), key=lambda event: (event.created_at or since, event.id))

    # --- reports

    def _intent(self, transfer: Transfer) -> IntentReport:
        there = transfer.status is PaymentStatus.SUCCEEDED
        nothing = Money(0, transfer.amount.currency)
        return IntentReport(
            id=transfer.id,
            status=transfer.status,
            amount=transfer.amount,
            amount_received=transfer.amount if there else nothing,
            amount_capturable=nothing,
            payment_method_id=None if transfer.status is PaymentStatus.REQUIRES_PAYMENT_METHOD else METHOD,
            next_action=self._instructions(transfer) if transfer.status is WAITS else None,
            metadata=transfer.metadata,
            created_at=transfer.created_at,
        )

    def _instructions(self, transfer: Transfer) -> dict[str, object]:
        """Return the instructions for the customer, with Stripe's field names."""
        instructions = {
            "reference": transfer.id,
            "amount": str(transfer.amount),
            "currency": transfer.amount.currency.code,
            "pay_to": self._pay_to,
        }
        kind = "display_bank_transfer_instructions"
        return {"type": kind, kind: instructions}


def _refund(bank_refund: BankRefund) -> RefundReport:
    return RefundReport(
        id=bank_refund.id,
        intent_id=bank_refund.transfer_id,
        charge_id=None,
        amount=bank_refund.amount,
        status=bank_refund.status,
        failure_reason=bank_refund.failure,
        metadata=bank_refund.metadata,
        created_at=bank_refund.created_at,
    )


def _require_method(method_id: str | None) -> None:
    if method_id not in (None, METHOD):
        raise GatewayRefused(
            f"the only payment method is {METHOD}", code="payment_method_unknown", param="payment_method"
        )


async def _require_enough(records: Records, tables: RecordTables, transfer: Transfer, amount: Money) -> None:
    if transfer.status is not PaymentStatus.SUCCEEDED:
        _refuse_state(transfer)
    earlier = await records.bank_refunds(tables.bank_refunds.c.transfer_id == transfer.id)
    given = sum(each.amount.minor for each in earlier if not each.status.is_lost)
    if given >= transfer.amount.minor:
        raise GatewayRefused("the transfer has been refunded in full", code="charge_already_refunded")
    if amount.currency is not transfer.amount.currency or given + amount.minor > transfer.amount.minor:
        raise GatewayRefused("the refund exceeds the rest of the payment", code="refund_exceeds_charge", param="amount")


def _refuse_state(transfer: Transfer) -> NoReturn:
    raise GatewayRefused(f"the transfer is {transfer.status.value}", code="payment_intent_unexpected_state")


def _there(found: R | None) -> R:
    if found is None:
        raise ObjectNotFound("no such transfer or refund", code="resource_missing")
    return found


def _same(there: R, fingerprint: str) -> R:
    if there.fingerprint != fingerprint:
        raise KeyMisused("the key was used for another request", code="idempotency_error")
    return there
