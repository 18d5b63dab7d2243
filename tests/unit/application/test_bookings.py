"""Registering, canceling and expiring bookings."""

from datetime import timedelta

import anyio
import pytest

from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import PaymentConfig
from booking_payments.application.views import NewBooking, RefundOnCancel
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.errors import (
    AlreadyUnderWay,
    InvalidInput,
    NotFound,
    NotPossibleNow,
    OutcomeUnknown,
    RefusedByRule,
)
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.ports.storage import Storage
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit
from tests.payments import die_while_paying, lose_answer, paid_booking, pay, pay_in_browser, payment_of


async def _status(kit: PaymentsTestKit, booking_id: str) -> BookingStatus:
    return (await kit.payments.get_booking(booking_id)).status


async def test_a_new_booking_waits_for_its_payment(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    assert booking.status is BookingStatus.PENDING


async def test_a_booking_may_be_paid_until_its_event_starts_by_default(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    assert booking.expires_at == booking.event_starts_at


async def test_a_repeated_registration_with_the_same_content_returns_the_booking(kit: PaymentsTestKit) -> None:
    first = await kit.book()

    assert (await kit.book()).id == first.id


async def test_a_registration_of_a_known_reference_with_other_content_is_refused(kit: PaymentsTestKit) -> None:
    await kit.book("100.00")

    with pytest.raises(NotPossibleNow) as refusal:
        await kit.book("99.00")

    assert refusal.value.code == "reference_taken"


async def test_a_hold_beyond_the_start_of_the_event_is_refused(kit: PaymentsTestKit) -> None:
    with pytest.raises(RefusedByRule) as refusal:
        await kit.book(starts_in=timedelta(hours=1), expires_in=timedelta(hours=2))

    assert refusal.value.code == "expires_after_event"


async def test_a_booking_of_another_customer_is_not_found(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    with pytest.raises(NotFound):
        await kit.payments.get_booking(booking.id, Caller.customer("bob", "test"))


async def test_canceling_an_unpaid_booking_closes_it(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    assert (await kit.payments.cancel_booking(booking.id)).status is BookingStatus.CANCELED


@pytest.mark.parametrize("reason", ["x" * 501, "the hall\x00", "two\nlines"])
async def test_a_cancellation_with_an_invalid_reason_is_refused(kit: PaymentsTestKit, reason: str) -> None:
    booking_id = (await paid_booking(kit)).id

    with pytest.raises(InvalidInput, match=r"^reason: "):
        await kit.payments.cancel_booking(booking_id, reason=reason)

    assert await _status(kit, booking_id) is BookingStatus.CONFIRMED


async def test_an_empty_cancellation_reason_is_stored_as_none(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit)).id
    await kit.payments.cancel_booking(booking_id, OPERATOR, reason="")

    assert {each.cause for each in await kit.payments.journal(booking_id)} == {"test"}


async def test_canceling_a_booking_cancels_its_open_intent_first(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    view = await kit.payments.start_payment(booking.id, ANN)

    await kit.payments.cancel_booking(booking.id)

    intent = await kit.deps.gateway.retrieve_intent(view.payment.intent_id or "")
    assert intent.status is PaymentStatus.CANCELED


async def test_canceling_twice_changes_nothing(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit)).id
    await kit.payments.cancel_booking(booking_id)
    await kit.payments.cancel_booking(booking_id)

    payment = await payment_of(kit, booking_id)
    assert len(payment.refunds) == 1


async def test_canceling_a_paid_booking_refunds_by_its_policy(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit)).id

    await kit.payments.cancel_booking(booking_id)

    payment = await payment_of(kit, booking_id)
    assert payment.refunded == Money(10000, Currency.USD)


async def test_canceling_without_refund_refunds_nothing(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit)).id

    await kit.payments.cancel_booking(booking_id, refund=RefundOnCancel.NONE)

    payment = await payment_of(kit, booking_id)
    assert (payment.refunds, await _status(kit, booking_id)) == ((), BookingStatus.CANCELED)


async def test_a_full_refund_is_possible_even_after_the_event_started(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit)).id
    kit.clock.advance(timedelta(days=31))

    await kit.payments.cancel_booking(booking_id, refund=RefundOnCancel.FULL)

    payment = await payment_of(kit, booking_id)
    assert payment.refunded == payment.captured


async def test_canceling_by_policy_after_the_event_started_refunds_nothing(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit)).id
    kit.clock.advance(timedelta(days=31))

    await kit.payments.cancel_booking(booking_id)

    payment = await payment_of(kit, booking_id)
    assert (payment.refunds, await _status(kit, booking_id)) == ((), BookingStatus.CANCELED)


async def test_a_cancellation_with_an_unknown_outcome_leaves_the_booking_unchanged(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN)
    kit.stripe.faults.script("POST /v1/payment_intents/{id}/cancel", "timeout_after", times=3)

    with pytest.raises(OutcomeUnknown):
        await kit.payments.cancel_booking(booking.id)

    assert await _status(kit, booking.id) is BookingStatus.PENDING


async def test_a_cancellation_with_an_unknown_outcome_is_completed_later(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN)
    kit.stripe.faults.script("POST /v1/payment_intents/{id}/cancel", "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.cancel_booking(booking.id)

    await kit.settle()

    assert await _status(kit, booking.id) is BookingStatus.CANCELED


async def test_canceling_refunds_when_the_payment_succeeded_in_between(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    view = await kit.payments.start_payment(booking.id, ANN)
    pay_in_browser(kit, view)

    await kit.payments.cancel_booking(booking.id)

    payment = await payment_of(kit, booking)
    assert (await _status(kit, booking.id), payment.refunded) == (BookingStatus.CANCELED, payment.captured)


async def test_a_refund_that_the_gateway_could_not_receive_is_sent_later(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit)).id
    kit.stripe.faults.script("POST /v1/refunds", "429_limit", times=3)
    await kit.payments.cancel_booking(booking_id)

    await kit.settle()

    payment = await payment_of(kit, booking_id)
    assert [refund.status for refund in payment.refunds] == [RefundStatus.SUCCEEDED]


async def test_a_booking_expires_when_its_hold_ends(kit: PaymentsTestKit) -> None:
    booking = await kit.book(expires_in=timedelta(minutes=10))
    kit.clock.advance(timedelta(minutes=10))

    await kit.payments.work()

    assert await _status(kit, booking.id) is BookingStatus.EXPIRED


async def test_a_booking_does_not_expire_before_its_hold_ends(kit: PaymentsTestKit) -> None:
    booking = await kit.book(expires_in=timedelta(minutes=10))
    kit.clock.advance(timedelta(minutes=9))

    await kit.payments.work()

    assert await _status(kit, booking.id) is BookingStatus.PENDING


async def test_an_expiring_booking_cancels_its_intent_at_the_gateway(kit: PaymentsTestKit) -> None:
    booking = await kit.book(expires_in=timedelta(minutes=10))
    view = await kit.payments.start_payment(booking.id, ANN)
    kit.clock.advance(timedelta(minutes=11))

    await kit.payments.work()

    intent = await kit.deps.gateway.retrieve_intent(view.payment.intent_id or "")
    assert (intent.status, await _status(kit, booking.id)) == (PaymentStatus.CANCELED, BookingStatus.EXPIRED)


async def test_an_expiring_booking_whose_payment_webhook_was_lost_is_confirmed(kit: PaymentsTestKit) -> None:
    booking = await kit.book(expires_in=timedelta(minutes=10))
    view = await kit.payments.start_payment(booking.id, ANN)
    pay_in_browser(kit, view)
    kit.clock.advance(timedelta(minutes=11))

    await kit.payments.work()

    assert await _status(kit, booking.id) is BookingStatus.CONFIRMED


async def test_a_booking_with_an_authorized_payment_does_not_expire(kit: PaymentsTestKit) -> None:
    booking = await kit.book(expires_in=timedelta(minutes=10))
    await pay(kit, booking, capture_method=CaptureMethod.MANUAL)
    kit.clock.advance(timedelta(minutes=11))

    await kit.payments.work()

    assert await _status(kit, booking.id) is BookingStatus.PENDING


async def test_an_expired_booking_cannot_be_canceled(kit: PaymentsTestKit) -> None:
    booking = await kit.book(expires_in=timedelta(minutes=10))
    kit.clock.advance(timedelta(minutes=11))
    await kit.payments.work()

    with pytest.raises(NotPossibleNow) as refusal:
        await kit.payments.cancel_booking(booking.id, OPERATOR)

    assert refusal.value.code == "booking_expired"


async def test_concurrent_registrations_of_one_booking_create_it_once(kit: PaymentsTestKit) -> None:
    ids: list[str] = []

    async def register() -> None:
        ids.append((await kit.book()).id)

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(register)

    assert (len(ids), len(set(ids))) == (5, 1)


async def test_a_negative_amount_is_refused(kit: PaymentsTestKit) -> None:
    new = NewBooking(
        reference="R-1",
        customer_id="ann",
        amount=Money(-1, Currency.USD),
        event_starts_at=kit.clock.now() + timedelta(days=1),
    )

    with pytest.raises(RefusedByRule) as refusal:
        await kit.payments.register_booking(new)

    assert refusal.value.code == "negative_amount"


async def test_a_booking_is_neither_canceled_nor_expired_while_a_call_is_in_flight(kit: PaymentsTestKit) -> None:
    booking = await kit.book(expires_in=timedelta(seconds=2))
    kit.stripe.faults.script("POST /v1/payment_intents", "slow")
    refused: list[str] = []

    async def meanwhile() -> None:
        with pytest.raises(AlreadyUnderWay):
            await kit.payments.cancel_booking(booking.id)
        await kit.payments.work()
        refused.append((await _status(kit, booking.id)).value)

    kit.clock.meanwhile(meanwhile)
    await pay(kit, booking)

    assert (refused, await _status(kit, booking.id)) == (["pending"], BookingStatus.CONFIRMED)


async def test_a_cancellation_settles_the_operation_of_a_dead_process(kit: PaymentsTestKit) -> None:
    booking = await die_while_paying(kit)
    kit.clock.advance(kit.deps.config.lease)

    await kit.payments.cancel_booking(booking.id, refund=RefundOnCancel.FULL)

    payment = await payment_of(kit, booking)
    assert (await _status(kit, booking.id), payment.operation) == (BookingStatus.CANCELED, None)
    assert (payment.captured, payment.owed.amount.minor) == (payment.refunded, 0)


async def test_a_cancellation_after_a_call_with_an_unknown_outcome_changes_nothing(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after")
    kit.stripe.faults.script("GET /v1/payment_intents", "timeout_before", times=99)
    kit.stripe.faults.script("POST /v1/payment_intents", "timeout_before", times=99)

    with pytest.raises(AlreadyUnderWay):
        await kit.payments.cancel_booking(booking_id)

    assert await _status(kit, booking_id) is BookingStatus.PENDING


async def test_the_number_of_unpaid_bookings_of_a_customer_is_limited(storage: Storage) -> None:
    kit = PaymentsTestKit(storage=storage, config=PaymentConfig(max_unpaid_bookings=2))
    first, _ = await kit.book(reference="R-1"), await kit.book(reference="R-2")

    with pytest.raises(RefusedByRule) as refused:
        await kit.book(reference="R-3")
    again = await kit.book(reference="R-2")
    await kit.payments.process_booking_payment(first, "pm_card_visa")
    third = await kit.book(reference="R-3")

    assert (refused.value.code, again.reference, third.reference) == ("too_many_unpaid_bookings", "R-2", "R-3")
