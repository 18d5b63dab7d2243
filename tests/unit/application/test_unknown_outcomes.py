"""A call without a response has an unknown outcome until it is settled, and never runs twice."""

from datetime import timedelta

import attrs
import pytest

from booking_payments.adapters.gateways.fake.gateway import FakeGateway
from booking_payments.application.dependencies import PaymentConfig
from booking_payments.application.payments import BookingPayments
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.errors import AlreadyUnderWay, CardDeclined, OutcomeUnknown, PaymentError
from booking_payments.domain.instructions import CancelIntent, CreateIntent, CreateRefund, Instruction
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.payment import AttemptOutcome
from booking_payments.domain.reports import IntentReport, RefundReport
from booking_payments.ports.storage import CommitLost, Storage, StorageConflict, StorageDown
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.payments import (
    CREATE,
    charges_of,
    die_while_paying,
    lose_answer,
    paid_booking,
    pay,
    pay_in_browser,
    payment_of,
    start,
)

FAULTS = ["timeout_before", "timeout_after", "reset_before", "reset_after", "409", "429_lock", "500_before", "503"]


@pytest.mark.parametrize("fault", [*FAULTS, "500_after"])
async def test_an_unknown_outcome_keeps_the_booking_held(kit: PaymentsTestKit, fault: str) -> None:
    booking_id = await lose_answer(kit, fault)

    payment = await payment_of(kit, booking_id)
    booking = await kit.payments.get_booking(booking_id)
    assert payment.operation is not None
    assert (payment.operation.unknown, booking.status) == (True, BookingStatus.PENDING)


@pytest.mark.parametrize("fault", [*(each for each in FAULTS if each != "500_before"), "500_after"])
async def test_an_unknown_outcome_is_settled_with_one_charge(kit: PaymentsTestKit, fault: str) -> None:
    booking_id = await lose_answer(kit, fault)

    await kit.settle()

    payment = await payment_of(kit, booking_id)
    assert (payment.status, payment.operation, charges_of(kit, payment)) == (PaymentStatus.SUCCEEDED, None, 1)


async def test_a_stored_500_without_effect_is_settled_when_no_intent_is_found(
    kit: PaymentsTestKit,
) -> None:
    booking_id = await lose_answer(kit, "500_before")
    early = (await payment_of(kit, booking_id)).operation

    await kit.settle()

    assert early is not None
    assert ((await payment_of(kit, booking_id)).operation, kit.stripe.call("GET", "/v1/charges").body["data"]) == (
        None,
        [],
    )
    await kit.payments.start_payment(booking_id, ANN, payment_method_id="pm_card_visa", confirm_immediately=True)
    payment = await payment_of(kit, booking_id)
    assert (payment.status, charges_of(kit, payment)) == (PaymentStatus.SUCCEEDED, 1)


async def test_an_unknown_outcome_uses_up_no_attempt(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_before")

    payment = await payment_of(kit, booking_id)
    assert (payment.attempts_left, payment.attempts[-1].outcome) == (3, AttemptOutcome.UNKNOWN)


async def test_a_repeated_request_continues_with_the_same_key(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after")

    with pytest.raises(PaymentError) as refusal:
        await pay(kit, booking_id)

    payment = await payment_of(kit, booking_id)
    keys = {call.key for call in kit.stripe.calls if call.method == "POST"}
    assert (refusal.value.code, len(keys), charges_of(kit, payment)) == ("already_paid", 1, 1)


async def test_a_webhook_settles_an_unknown_outcome(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after")

    await kit.deliver_webhooks()

    booking = await kit.payments.get_booking(booking_id)
    assert booking.status is BookingStatus.CONFIRMED


async def test_a_charge_is_not_sent_again_once_the_booking_cannot_be_paid(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_before", expires_in=timedelta(minutes=1))
    kit.clock.advance(timedelta(minutes=2))

    await kit.settle()

    posts = [call for call in kit.stripe.calls if call.method == "POST"]
    status = (await kit.payments.get_booking(booking_id)).status
    assert (len(posts), status) == (3, BookingStatus.EXPIRED)


async def test_a_key_is_not_sent_again_after_23_hours(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_before")
    kit.clock.advance(timedelta(hours=23))

    await kit.settle()

    payment = await payment_of(kit, booking_id)
    posts = [call for call in kit.stripe.calls if call.method == "POST"]
    assert (len(posts), payment.operation, payment.attempts_left) == (3, None, 3)


async def test_the_outcome_stays_unknown_while_reads_fail(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after")
    kit.stripe.faults.script("GET /v1/*", "503", times=50)
    kit.clock.advance(timedelta(hours=2))

    await kit.payments.work()

    operation = (await payment_of(kit, booking_id)).operation
    assert operation is not None
    assert operation.unknown


async def test_an_operation_belongs_to_its_process_until_the_lease_expires(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    kit.stripe.faults.script(CREATE, "slow", times=1)
    calls: list[int] = []

    async def resolver() -> None:
        await kit.payments.work()
        calls.append(len(kit.stripe.calls))

    kit.clock.meanwhile(resolver)
    await pay(kit, booking)

    assert calls == [1]


async def test_an_operation_of_a_dead_process_is_taken_over(kit: PaymentsTestKit) -> None:
    booking = await die_while_paying(kit)

    await kit.settle()

    payment = await payment_of(kit, booking)
    assert (payment.status, charges_of(kit, payment)) == (PaymentStatus.SUCCEEDED, 1)


async def test_a_repeated_request_is_refused_until_the_lease_has_expired(kit: PaymentsTestKit) -> None:
    booking = await die_while_paying(kit)

    with pytest.raises(AlreadyUnderWay):
        await kit.payments.start_payment(booking.id, ANN)


async def test_a_browser_payment_with_a_lost_webhook_is_found_by_polling(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    view = await kit.payments.start_payment(booking.id, ANN)
    pay_in_browser(kit, view)
    kit.clock.advance(timedelta(hours=1))

    await kit.payments.work()

    assert (await kit.payments.get_booking(booking.id)).status is BookingStatus.CONFIRMED


async def test_a_misused_key_is_looked_up_and_not_replaced(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after")
    key = next(call.key for call in kit.stripe.calls)
    answer = kit.stripe.call("POST", "/v1/payment_intents", {"amount": 1, "currency": "usd"}, key)
    assert answer.body["error"]["type"] == "idempotency_error"

    await kit.settle()

    payment = await payment_of(kit, booking_id)
    assert (payment.status, charges_of(kit, payment)) == (PaymentStatus.SUCCEEDED, 1)


async def test_an_intent_is_found_when_the_gateways_clock_is_slow(storage: Storage) -> None:
    kit = PaymentsTestKit(storage=storage, gateway_behind=timedelta(minutes=10))
    booking_id = await lose_answer(kit, "timeout_after")
    kit.clock.advance(timedelta(hours=23, minutes=30))  # too late to send the key again: the intent can only be read

    await kit.payments.work()

    payment = await payment_of(kit, booking_id)
    assert (payment.status, charges_of(kit, payment)) == (PaymentStatus.SUCCEEDED, 1)


async def test_an_authentication_after_a_stored_500_can_continue(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "500_after", "pm_card_authenticationRequired", times=1)
    kit.clock.advance(timedelta(seconds=10))

    await kit.payments.work()

    payment = await payment_of(kit, booking_id)
    assert (payment.status, payment.operation) == (PaymentStatus.REQUIRES_ACTION, None)


async def test_an_outcome_that_only_the_keys_expiry_can_settle_is_settled_within_a_day(kit: PaymentsTestKit) -> None:
    await lose_answer(kit, "timeout_before")
    kit.stripe.faults.script("POST /v1/payment_intents", "500_before", times=99)
    for _ in range(24):
        kit.clock.advance(timedelta(hours=1))
        await kit.payments.work()

    page = await kit.payments.list_payments()
    assert [payment.operation for payment in page.items] == [None]


async def test_an_overdue_booking_does_not_shorten_the_polling_interval_of_an_unknown_outcome(
    kit: PaymentsTestKit,
) -> None:
    await lose_answer(kit, "timeout_before", expires_in=timedelta(minutes=1))
    kit.clock.advance(timedelta(minutes=2))
    kit.stripe.faults.script("GET /v1/payment_intents", "timeout_before", times=999)
    await kit.payments.work()
    asked = len(kit.stripe.calls)

    for _ in range(10):
        await kit.payments.work()

    assert len(kit.stripe.calls) == asked


# --- a database that fails after the gateway was called


class Unwritable(FakeGateway):
    """A gateway that creates or cancels the intent, and then makes the next transaction raise ``error``."""

    def __init__(self, kit: PaymentsTestKit, error: Exception, *, after: type[Instruction] = CreateIntent) -> None:
        super().__init__(kit.stripe, kit.clock)
        self._kit, self._error, self._after = kit, error, after

    async def create_intent(self, instruction: CreateIntent, idempotency_key: str) -> IntentReport:
        report = await super().create_intent(instruction, idempotency_key)
        self._break_after(instruction)
        return report

    async def cancel_intent(self, instruction: CancelIntent, idempotency_key: str) -> IntentReport:
        report = await super().cancel_intent(instruction, idempotency_key)
        self._break_after(instruction)
        return report

    def _break_after(self, instruction: Instruction) -> None:
        if not isinstance(instruction, self._after):
            return
        transact = self._kit.storage.transact

        async def fail(*_: object) -> None:
            self._kit.storage.transact = transact  # type: ignore[method-assign]
            raise self._error

        self._kit.storage.transact = fail  # type: ignore[method-assign,assignment]


@pytest.mark.parametrize("error", [StorageConflict("busy"), StorageDown("gone"), CommitLost("gone meanwhile")])
async def test_a_charge_that_could_not_be_stored_is_an_unknown_outcome(kit: PaymentsTestKit, error: Exception) -> None:
    booking = await kit.book()
    payments = BookingPayments(attrs.evolve(kit.deps, gateway=Unwritable(kit, error)))

    with pytest.raises(OutcomeUnknown):
        await payments.start_payment(booking.id, ANN, payment_method_id="pm_card_visa", confirm_immediately=True)
    await kit.settle()

    payment = await payment_of(kit, booking)
    assert (payment.status, charges_of(kit, payment)) == (PaymentStatus.SUCCEEDED, 1)


@pytest.mark.parametrize("error", [StorageConflict("busy"), CommitLost("gone meanwhile")])
async def test_a_recorded_outcome_is_returned_although_a_later_write_fails(error: Exception) -> None:
    kit = PaymentsTestKit(config=PaymentConfig(max_attempts=1))
    booking = await kit.book()
    view = await kit.payments.start_payment(booking.id, ANN)
    payments = BookingPayments(attrs.evolve(kit.deps, gateway=Unwritable(kit, error, after=CancelIntent)))

    with pytest.raises(CardDeclined):
        await payments.confirm_payment(booking.id, ANN, payment_method_id="pm_card_chargeDeclined")
    await kit.settle()

    assert (await payment_of(kit, view)).status is PaymentStatus.FAILED


class UnreadableStorageGateway(FakeGateway):
    """A gateway that makes the refund and then makes all reads of the database fail."""

    def __init__(self, kit: PaymentsTestKit) -> None:
        super().__init__(kit.stripe, kit.clock)
        self._kit = kit

    async def create_refund(self, instruction: CreateRefund, idempotency_key: str) -> RefundReport:
        report = await super().create_refund(instruction, idempotency_key)

        async def fail(*_: object) -> None:
            raise StorageConflict("busy")

        self._kit.storage.read = fail  # type: ignore[method-assign,assignment]
        return report


async def test_a_recorded_refund_is_returned_when_the_database_fails_afterwards(
    kit: PaymentsTestKit,
) -> None:
    booking = await paid_booking(kit)
    payments = BookingPayments(attrs.evolve(kit.deps, gateway=UnreadableStorageGateway(kit)))

    view = await payments.refund_payment(booking.id, ANN, amount="20.00")

    assert (view.refund.status, view.payment.refunded.minor) == (RefundStatus.SUCCEEDED, 2000)


@pytest.mark.parametrize("fault", ["500_before", "timeout_before"])
async def test_a_cancellation_with_an_unknown_outcome_closes_the_booking_once_settled(
    kit: PaymentsTestKit, fault: str
) -> None:
    view = await start(kit)
    kit.stripe.faults.script("POST /v1/payment_intents/*/cancel", fault, times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.cancel_booking(view.payment.booking_id)

    for _ in range(26):
        kit.clock.advance(timedelta(hours=1))
        await kit.payments.work()

    assert (await kit.payments.get_booking(view.payment.booking_id)).status is BookingStatus.CANCELED
    assert (await payment_of(kit, view)).status is PaymentStatus.CANCELED


async def test_a_cancellation_with_an_unknown_outcome_refunds_a_payment_made_meanwhile(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    kit.stripe.faults.script("POST /v1/payment_intents/*/cancel", "timeout_before", times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.cancel_booking(view.payment.booking_id, refund=RefundOnCancel.FULL)
    pay_in_browser(kit, view)

    await kit.settle()

    payment = await payment_of(kit, view)
    assert (await kit.payments.get_booking(payment.booking_id)).status is BookingStatus.CANCELED
    assert (payment.captured, payment.refunded) == (payment.captured, payment.captured)
