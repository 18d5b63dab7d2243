"""Money that comes for a booking which was closed meanwhile."""

from datetime import timedelta

from booking_payments.application.views import PaymentView
from booking_payments.domain import events as ev
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.payment import Payment
from booking_payments.testing.house import ANN, House


async def _closed_while_processing(house: House) -> PaymentView:
    booking = await house.book()
    view = await house.payments.start_payment(
        booking.id, ANN, payment_method_id="pm_usBankAccount_success", confirm_immediately=True
    )
    await house.payments.cancel_booking(booking.id)
    house.clock.advance(timedelta(seconds=3))
    return view


async def _now(house: House, view: PaymentView) -> Payment:
    return (await house.payments.payment_status(view.payment.booking_id)).payment


async def test_late_money_is_booked(house: House) -> None:
    view = await _closed_while_processing(house)

    await house.deliver_webhooks()

    payment = await _now(house, view)
    assert (payment.status, payment.late) == (PaymentStatus.SUCCEEDED, True)


async def test_late_money_is_sent_back_by_itself(house: House) -> None:
    view = await _closed_while_processing(house)

    await house.settle()

    payment = await _now(house, view)
    assert (payment.refunded, len(payment.refunds)) == (payment.captured, 1)


async def test_late_money_does_not_open_the_booking_again(house: House) -> None:
    view = await _closed_while_processing(house)

    await house.settle()

    booking = await house.payments.get_booking(view.payment.booking_id)
    assert booking.status is BookingStatus.CANCELED


async def test_the_journal_tells_of_the_decision(house: House) -> None:
    view = await _closed_while_processing(house)
    await house.settle()

    facts = [recorded.fact for recorded in await house.payments.journal(view.payment.booking_id)]
    assert ev.LatePaymentDecided(booking_status="canceled") in facts


async def test_a_success_after_the_payment_failed_still_confirms_a_booking_that_waits(house: House) -> None:
    booking = await house.book()
    view = await house.payments.start_payment(booking.id, ANN)
    assert view.handover is not None
    house.stripe.faults.script("POST /v1/payment_intents/{id}/cancel", "timeout_before", times=3)
    for _ in range(3):
        house.stripe.confirm_as_customer(
            view.payment.intent_id or "", view.handover.client_secret or "", "pm_card_chargeDeclined"
        )
        await house.deliver_webhooks()
    await house.payments.work()
    house.stripe.confirm_as_customer(view.payment.intent_id or "", view.handover.client_secret or "", "pm_card_visa")

    await house.settle()

    status = (await house.payments.get_booking(booking.id)).status
    assert ((await _now(house, view)).status, status) == (PaymentStatus.SUCCEEDED, BookingStatus.CONFIRMED)


async def test_a_second_success_for_the_same_booking_is_sent_back(house: House) -> None:
    booking = await house.book()
    first = await house.payments.start_payment(booking.id, ANN)
    assert first.handover is not None
    house.stripe.confirm_as_customer(first.payment.intent_id or "", first.handover.client_secret or "", "pm_card_visa")
    event = house.stripe.events[-1]
    forged = {**event["data"]["object"], "status": "canceled", "amount_received": 0, "latest_charge": None}
    await house.deliver_event("payment_intent.canceled", forged)
    await house.payments.start_payment(booking.id, ANN, payment_method_id="pm_card_visa", confirm_immediately=True)

    await house.deliver_webhooks()
    await house.settle()

    payments = await house.storage.read(lambda uow: uow.payments.of_booking(booking.id))
    kept = [payment.captured.minor - payment.refunded.minor for payment in payments]
    assert sorted(kept) == [0, 10000]
