"""Bank transfers keep the contract of the gateway port, and payments, refunds and recovery work with them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel
import pytest
from attrs import evolve
from sqlalchemy import select, text

from booking_payments.adapters.gateways.bank_transfer import (
    BANK_TABLES,
    METHOD,
    BankTransferEvents,
    BankTransferGateway,
    BankTransferOperations,
    TransferStore,
)
from booking_payments.adapters.gateways.bank_transfer.records import reference
from booking_payments.adapters.gateways.bank_transfer.store import Records
from booking_payments.adapters.memory.clock import ManualClock
from booking_payments.adapters.memory.ids import RandomIds
from booking_payments.adapters.sql.migrations import migrate
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.adapters.sql.tables import outbox
from booking_payments.application.callers import Caller
from booking_payments.application.payments import BookingPayments
from booking_payments.application.views import NewBooking
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.errors import NotFound, NotPossibleNow, RefusedByRule
from booking_payments.domain.instructions import CancelIntent, CancellationReason, ConfirmIntent, CreateIntent
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.reports import IntentReport
from booking_payments.ports.audit import AuditOutcome
from booking_payments.ports.gateway import GatewayRefused
from booking_payments.runtime.composition import build
from booking_payments.runtime.services import Services
from booking_payments.runtime.settings import load_settings
from booking_payments.testing.gateway_contract import GatewayContract, by_card, creation, refund_of
from booking_payments.testing.kit import PaymentsTestKit
from tests.integration.postgres import PostgresServer

OLGA = Caller.operator_of("olga", "test")
GROSS = Money(10000, Currency.USD)
"""What a customer pays for the booking here."""


@pytest.fixture
def url(database_url: str) -> str:
    """An empty, migrated database."""
    return database_url


class TransferGatewayHarness:
    """The gateway, a customer who sends money, and an operator who has looked at the account."""

    def __init__(self, gateway: BankTransferGateway) -> None:
        self.gateway = gateway
        self.webhooks = BankTransferEvents()
        self._kit = PaymentsTestKit()
        self._ids = RandomIds()

    @property
    def operations(self) -> BankTransferOperations:
        return BankTransferOperations(self.gateway, self._kit.deps)

    def new_key(self) -> str:
        return self._ids.idempotency_key()

    async def pay(self, instruction: CreateIntent) -> IntentReport:
        asked = await self.gateway.create_intent(by_card(instruction, METHOD), self.new_key())
        await self.operations.received(asked.id, asked.amount, OLGA)
        return await self.gateway.retrieve_intent(asked.id)

    async def end_refund(self, refund_id: str) -> None:
        await self.operations.sent(refund_id, OLGA)


class TestBankTransfers(GatewayContract):
    """The contract, with the operator as the one who ends things."""

    @pytest.fixture
    async def harness(self, url: str) -> AsyncIterator[TransferGatewayHarness]:
        store = TransferStore.open(url, BANK_TABLES)
        clock = ManualClock(datetime(2026, 3, 1, tzinfo=UTC))
        yield TransferGatewayHarness(BankTransferGateway(store, clock, "Example Cinemas, DE02 1203 0000 0000 2020 51"))
        await store.close()

    async def test_the_customer_gets_the_bank_details(self, harness: TransferGatewayHarness) -> None:
        asked = await harness.gateway.create_intent(creation(METHOD), harness.new_key())

        assert asked.status is PaymentStatus.REQUIRES_ACTION
        assert asked.next_action == {
            "type": "display_bank_transfer_instructions",
            "display_bank_transfer_instructions": {
                "reference": asked.id,
                "amount": "100.00 usd",
                "currency": "usd",
                "pay_to": "Example Cinemas, DE02 1203 0000 0000 2020 51",
            },
        }

    async def test_money_is_never_held(self, harness: TransferGatewayHarness) -> None:
        with pytest.raises(GatewayRefused, match="cannot be authorized only"):
            await harness.gateway.create_intent(creation(METHOD, manual=True), harness.new_key())

    async def test_an_abandoned_transfer_is_not_requested_again(self, harness: TransferGatewayHarness) -> None:
        paid = await harness.pay(creation())
        instruction = ConfirmIntent(intent_id=paid.id, payment_method_id=METHOD, return_url=None)

        with pytest.raises(GatewayRefused, match="succeeded"):
            await harness.gateway.confirm_intent(instruction, harness.new_key())

    async def test_two_calls_under_one_key_at_once_have_one_effect(self, harness: TransferGatewayHarness) -> None:
        key, made = harness.new_key(), list[IntentReport]()

        async def call() -> None:
            made.append(await harness.gateway.create_intent(creation(METHOD), key))

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(call)

        assert len({each.id for each in made}) == 1
        assert [each.replayed for each in made].count(False) == 1

    async def test_two_concurrent_refunds_never_exceed_the_received_amount(
        self, harness: TransferGatewayHarness
    ) -> None:
        paid, taken = await harness.pay(creation()), list[str]()

        async def call(number: int) -> None:
            instruction = refund_of(paid, 6000, f"rf_{number}")
            with suppress(GatewayRefused):
                taken.append((await harness.gateway.create_refund(instruction, harness.new_key())).id)

        async with anyio.create_task_group() as tasks:  # so that each has its connection, and none is late
            for _ in range(6):
                tasks.start_soon(harness.gateway.retrieve_intent, paid.id)
        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(call, number)

        assert len(taken) == 1


@pytest.mark.parametrize(
    "typed", ["bt_0a1b2c3d4e5f6g", "BT-0A1B 2C3D 4E5F 6G", "  bt oaib2c3d4e5f6g ", "0a1b2c3d4e5f6g"]
)
def test_a_reference_is_found_as_people_and_banks_write_it(typed: str) -> None:
    assert reference(typed) == "bt_0a1b2c3d4e5f6g"


# --- payments with bank transfers -----------------------------------------------------------------------------


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Services]:
    env = {
        "DATABASE_URL": url,
        "PAYMENT_GATEWAY": "bank_transfer",
        "BANK_TRANSFER_PAY_TO": "Example Cinemas, DE02 1203 0000 0000 2020 51",
        "JWT_SECRET": "x" * 32,
    }
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(build(load_settings(env, None)))


@pytest.fixture
async def services(url: str) -> AsyncIterator[Services]:
    async with _opened(url) as opened:
        yield opened


async def _asked(payments: BookingPayments, expires_in: timedelta | None = None) -> tuple[str, str]:
    """Create a booking whose customer has seen the bank details; returns its id and the reference."""
    now = datetime.now(UTC)
    new = NewBooking(
        reference="R-1",
        customer_id="ann",
        amount=Money(10000, Currency.USD),
        event_starts_at=now + timedelta(days=30),
        expires_at=now + expires_in if expires_in else None,
    )
    booking = (await payments.register_booking(new)).booking
    view = await payments.start_payment(booking.id, payment_method_id=METHOD, confirm_immediately=True)
    assert view.payment.status is PaymentStatus.REQUIRES_ACTION
    return booking.id, str(view.payment.intent_id)


def _operations(services: Services) -> BankTransferOperations:
    operations: BankTransferOperations = services.bank_transfer_operations["bank_transfer"]
    return operations


async def test_a_booking_is_paid_when_the_operator_records_the_transfer(services: Services) -> None:
    booking_id, given = await _asked(services.payments)

    await _operations(services).received(given, GROSS, OLGA)

    assert (await services.payments.get_booking(booking_id)).status is BookingStatus.CONFIRMED
    assert (await services.payments.check_ledger()).agrees


async def test_the_operators_commands_are_in_the_audit_trail(services: Services) -> None:
    booking_id, given = await _asked(services.payments)

    await _operations(services).received(given, GROSS, OLGA)

    record = next(
        each for each in await services.payments.audit_trail(booking_id) if each.operation == "receive_transfer"
    )
    assert (record.actor, record.outcome) == ("operator:olga", AuditOutcome.DONE)
    assert record.asked == {"reference": given, "amount": "100.00 usd"}


async def test_another_amount_is_not_taken(services: Services) -> None:
    booking_id, given = await _asked(services.payments)

    with pytest.raises(RefusedByRule, match=r"100\.00 usd was requested, not 99\.00 usd"):
        await _operations(services).received(given, Money(9900, Currency.USD), OLGA)

    assert (await services.payments.payment_status(booking_id)).payment.status is PaymentStatus.REQUIRES_ACTION


async def test_a_second_transfer_under_the_same_reference_is_noticed(services: Services) -> None:
    _, given = await _asked(services.payments)
    await _operations(services).received(given, GROSS, OLGA)

    with pytest.raises(NotPossibleNow, match="if it was paid twice, send one payment back"):
        await _operations(services).received(given, GROSS, OLGA)


async def test_an_unknown_reference_is_reported(services: Services) -> None:
    with pytest.raises(NotFound, match="no transfer has this reference"):
        await _operations(services).received("bt_nobody", GROSS, OLGA)


async def test_a_transfer_that_is_being_booked_is_not_canceled(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as url:
        migrate(url)
        async with _opened(url) as services:
            _, transfer_id = await _asked(services.payments)
            gateway = _operations(services).gateway
            read, done = anyio.Event(), anyio.Event()
            told: list[str] = []

            async def arrives(records: Records) -> None:
                transfer = await records.transfer(transfer_id, lock=True)
                assert transfer is not None
                read.set()
                await done.wait()
                now = datetime.now(UTC)
                await records.change_transfer(evolve(transfer, status=PaymentStatus.SUCCEEDED, ended_at=now))

            async def canceled() -> None:
                try:
                    await gateway.cancel_intent(
                        CancelIntent(intent_id=transfer_id, reason=CancellationReason.ABANDONED), "key"
                    )
                except GatewayRefused as refused:
                    told.append(refused.code)
                else:
                    told.append("canceled")

            async def waiting(records: Records) -> bool:
                found = await records._connection.execute(text(WAITING_FOR_A_LOCK))
                return bool(found.scalar_one())

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(gateway.store.transact, arrives)
                await read.wait()
                tasks.start_soon(canceled)
                while not told and not await gateway.store.read(waiting):
                    await anyio.lowlevel.checkpoint()
                done.set()

            assert told != ["canceled"]
            assert (await gateway.retrieve_intent(transfer_id)).status is PaymentStatus.SUCCEEDED


WAITING_FOR_A_LOCK = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def test_a_transfer_for_a_canceled_booking_has_to_be_sent_back(services: Services) -> None:
    booking_id, given = await _asked(services.payments)
    await services.payments.cancel_booking(booking_id)

    with pytest.raises(NotPossibleNow, match="send the money back"):
        await _operations(services).received(given, GROSS, OLGA)

    assert [each.id for each in await _operations(services).awaited()] == []


async def test_a_transfer_recorded_before_a_crash_is_applied_by_catching_up(services: Services) -> None:
    booking_id, given = await _asked(services.payments)
    gateway = _operations(services).gateway
    alone = BankTransferOperations(gateway, PaymentsTestKit().deps)  # the payments never hear of it
    await alone.received(given, GROSS, OLGA)
    assert (await services.payments.payment_status(booking_id)).payment.status is PaymentStatus.REQUIRES_ACTION

    await services.payments.catch_up()

    assert (await services.payments.payment_status(booking_id)).payment.status is PaymentStatus.SUCCEEDED


async def test_a_transfer_recorded_before_a_crash_may_be_recorded_again(services: Services) -> None:
    booking_id, given = await _asked(services.payments)
    gateway = _operations(services).gateway
    await BankTransferOperations(gateway, PaymentsTestKit().deps).received(given, GROSS, OLGA)

    await _operations(services).received(given, GROSS, OLGA)

    assert (await services.payments.payment_status(booking_id)).payment.status is PaymentStatus.SUCCEEDED


async def test_a_refund_is_pending_until_it_was_sent(services: Services) -> None:
    booking_id, given = await _asked(services.payments)
    await _operations(services).received(given, GROSS, OLGA)
    await services.payments.refund_payment(booking_id, amount="25.00")
    refund = (await services.payments.payment_status(booking_id)).payment.refunds[0]
    assert refund.status is RefundStatus.PENDING
    to_send = await _operations(services).to_send()

    await _operations(services).sent(to_send[0].id, OLGA)

    payment = (await services.payments.payment_status(booking_id)).payment
    assert (payment.refunds[0].status, payment.refunded) == (RefundStatus.SUCCEEDED, Money(2500, Currency.USD))
    assert await _operations(services).to_send() == []
    assert (await services.payments.check_ledger()).agrees


async def test_a_refund_that_is_said_to_be_sent_twice_was_sent_once(services: Services) -> None:
    booking_id, given = await _asked(services.payments)
    await _operations(services).received(given, GROSS, OLGA)
    await services.payments.refund_payment(booking_id, amount="25.00")
    refund_id = (await _operations(services).to_send())[0].id

    first = await _operations(services).sent(refund_id, OLGA)
    again = await _operations(services).sent(refund_id, OLGA)

    assert again == first
    assert (await services.payments.payment_status(booking_id)).payment.refunded == Money(2500, Currency.USD)


async def test_a_returned_refund_can_be_made_again(services: Services) -> None:
    booking_id, given = await _asked(services.payments)
    await _operations(services).received(given, GROSS, OLGA)
    await services.payments.refund_payment(booking_id, amount="25.00")
    await _operations(services).failed((await _operations(services).to_send())[0].id, "account closed", OLGA)

    await services.payments.refund_payment(booking_id, amount="100.00")

    refunds = (await services.payments.payment_status(booking_id)).payment.refunds
    assert [each.status for each in refunds] == [RefundStatus.FAILED, RefundStatus.PENDING]
    with pytest.raises(NotPossibleNow, match="has failed already"):
        await _operations(services).sent(refunds[0].gateway_refund_id or "", OLGA)


async def _sent_back(services: Services, amount: str) -> tuple[str, str]:
    """A booking of which so much was sent back: its id, and the refund's."""
    booking_id, given = await _asked(services.payments)
    await _operations(services).received(given, GROSS, OLGA)
    await services.payments.refund_payment(booking_id, amount=amount)
    refund_id = (await _operations(services).to_send())[0].id
    await _operations(services).sent(refund_id, OLGA)
    return booking_id, refund_id


async def test_a_refund_that_was_sent_may_come_back(services: Services) -> None:
    booking_id, refund_id = await _sent_back(services, "25.00")

    await _operations(services).failed(refund_id, "account closed", OLGA)

    payment = (await services.payments.payment_status(booking_id)).payment
    assert (payment.refunds[0].status, payment.refunds[0].failure_reason) == (RefundStatus.FAILED, "account closed")
    assert payment.refunded == Money(0, Currency.USD)
    assert (await services.payments.check_ledger()).agrees


async def test_the_booking_app_gets_a_message_about_a_returned_refund(services: Services) -> None:
    _, refund_id = await _sent_back(services, "25.00")

    await _operations(services).failed(refund_id, "account closed", OLGA)

    assert isinstance(services.storage, SqlStorage)
    async with services.storage.engine.connect() as connection:
        told = (await connection.execute(select(outbox.c.type).order_by(outbox.c.sequence))).scalars().all()
    assert told[-2:] == ["payment.refunded", "payment.refund_failed"]


async def test_a_returned_refund_can_be_made_again_in_full(services: Services) -> None:
    booking_id, refund_id = await _sent_back(services, "100.00")
    await _operations(services).failed(refund_id, "account closed", OLGA)

    await services.payments.refund_payment(booking_id)
    await _operations(services).sent((await _operations(services).to_send())[0].id, OLGA)

    payment = (await services.payments.payment_status(booking_id)).payment
    assert [each.status for each in payment.refunds] == [RefundStatus.FAILED, RefundStatus.SUCCEEDED]
    assert payment.refunded == GROSS


async def test_a_refund_that_came_back_stays_so(services: Services) -> None:
    _, refund_id = await _sent_back(services, "25.00")
    first = await _operations(services).failed(refund_id, "account closed", OLGA)

    again = await _operations(services).failed(refund_id, "wrong name", OLGA)

    assert again == first
    with pytest.raises(NotPossibleNow, match="has failed already"):
        await _operations(services).sent(refund_id, OLGA)


async def test_a_refund_that_came_back_is_booked_by_catching_up_after_a_crash(services: Services) -> None:
    booking_id, refund_id = await _sent_back(services, "25.00")
    gateway = _operations(services).gateway
    alone = BankTransferOperations(gateway, PaymentsTestKit().deps)  # the payments never hear of it
    await alone.failed(refund_id, "account closed", OLGA)

    report = await services.payments.reconcile()

    payment = (await services.payments.payment_status(booking_id)).payment
    assert payment.refunds[0].status is RefundStatus.FAILED
    assert [each.code for each in report.left] == ["refund_owed"]


async def test_nothing_is_left_to_reconcile(services: Services) -> None:
    booking_id, given = await _asked(services.payments)
    await _operations(services).received(given, GROSS, OLGA)
    await services.payments.refund_payment(booking_id, amount="25.00")
    await _operations(services).sent((await _operations(services).to_send())[0].id, OLGA)

    report = await services.payments.reconcile()

    assert (report.payments, report.intents, report.refunds) == (1, 1, 1)
    assert (report.healed, report.left) == ((), ())
