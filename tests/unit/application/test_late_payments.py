"""Money that comes for a booking which was closed meanwhile."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest

from booking_payments.application.views import PaymentView
from booking_payments.domain import events as ev
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.errors import OutcomeUnknown
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.reports import IntentReport
from booking_payments.ports.gateway import Refused
from booking_payments.testing.house import ANN, House
from tests.payments import pay, pay_in_browser, payment_of
from tests.unit.application.saboteur import Saboteur, use_gateway

RELEASE = ev.Purpose.RELEASE_HOLD


async def _closed_while_processing(house: House) -> PaymentView:
    booking = await house.book()
    view = await pay(house, booking, "pm_usBankAccount_success")
    await house.payments.cancel_booking(booking.id)
    house.clock.advance(timedelta(seconds=3))
    return view


async def test_late_money_is_booked(house: House) -> None:
    view = await _closed_while_processing(house)

    await house.deliver_webhooks()

    payment = await payment_of(house, view)
    assert (payment.status, payment.late) == (PaymentStatus.SUCCEEDED, True)


async def test_late_money_is_sent_back_by_itself(house: House) -> None:
    view = await _closed_while_processing(house)

    await house.settle()

    payment = await payment_of(house, view)
    assert (payment.refunded, len(payment.refunds)) == (payment.captured, 1)


async def test_late_money_does_not_open_the_booking_again(house: House) -> None:
    view = await _closed_while_processing(house)

    await house.settle()

    booking = await house.payments.get_booking(view.payment.booking_id)
    assert booking.status is BookingStatus.CANCELED


async def test_the_journal_tells_of_the_decision(house: House) -> None:
    view = await _closed_while_processing(house)
    await house.settle()

    facts = [recorded.event for recorded in await house.payments.journal(view.payment.booking_id)]
    assert ev.LatePaymentDecided(booking_status="canceled") in facts


async def test_a_success_after_the_payment_failed_still_confirms_a_booking_that_waits(house: House) -> None:
    booking = await house.book()
    view = await house.payments.start_payment(booking.id, ANN)
    house.stripe.faults.script("POST /v1/payment_intents/{id}/cancel", "timeout_before", times=3)
    for _ in range(3):
        pay_in_browser(house, view, "pm_card_chargeDeclined")
        await house.deliver_webhooks()
    await house.payments.work()
    pay_in_browser(house, view)

    await house.settle()

    status = (await house.payments.get_booking(booking.id)).status
    assert ((await payment_of(house, view)).status, status) == (PaymentStatus.SUCCEEDED, BookingStatus.CONFIRMED)


async def test_a_second_success_for_the_same_booking_is_sent_back(house: House) -> None:
    booking = await house.book()
    first = await house.payments.start_payment(booking.id, ANN)
    pay_in_browser(house, first)
    event = house.stripe.events[-1]
    forged = {**event["data"]["object"], "status": "canceled", "amount_received": 0, "latest_charge": None}
    await house.deliver_event("payment_intent.canceled", forged)
    await pay(house, booking)

    await house.deliver_webhooks()
    await house.settle()

    payments = await house.storage.read(lambda uow: uow.payments.of_booking(booking.id))
    kept = [payment.captured.minor - payment.refunded.minor for payment in payments]
    assert sorted(kept) == [0, 10000]


# --- money that comes to be held late --------------------------------------------------------------------------


async def _hold_arrives_late(house: House) -> PaymentView:
    """A call that would hold money is lost on the way, its booking expires, and then the call arrives after all."""
    booking = await house.book(expires_in=timedelta(minutes=1))
    sent: list[Any] = []
    call = house.stripe.call

    def remember(method: str, path: str, *rest: Any) -> Any:
        sent.extend([(method, path, *rest)] if method == "POST" else [])
        return call(method, path, *rest)

    with patch.object(house.stripe, "call", remember):
        house.stripe.faults.script("POST /v1/payment_intents", "timeout_before", times=3)
        with pytest.raises(OutcomeUnknown):
            await pay(house, booking, capture_method=CaptureMethod.MANUAL)
    house.clock.advance(timedelta(minutes=2))
    await house.payments.work()
    await house.payments.work()
    call(*sent[0])
    return await house.payments.payment_status(booking.id)


async def _intent(house: House, view: PaymentView) -> IntentReport:
    return await house.world.gateway.retrieve_intent((await payment_of(house, view)).intent_id or "")


async def test_money_that_comes_to_be_held_after_the_booking_expired_is_released(house: House) -> None:
    view = await _hold_arrives_late(house)

    await house.settle()

    intent, payment = await _intent(house, view), await payment_of(house, view)
    assert (intent.status, intent.amount_capturable.minor) == (PaymentStatus.CANCELED, 0)
    assert (payment.status, payment.operation) == (PaymentStatus.CANCELED, None)
    assert (await house.payments.reconcile()).left == ()


async def test_what_is_held_in_vain_is_found_by_reconciling(house: House) -> None:
    view = await _hold_arrives_late(house)

    await house.payments.reconcile()
    await house.payments.work()

    assert (await _intent(house, view)).status is PaymentStatus.CANCELED


async def test_a_hold_that_the_gateway_refuses_to_release_is_asked_for_once_and_left(house: House) -> None:
    view = await _hold_arrives_late(house)
    refusals: Sequence[Exception] = [Refused("this can't be canceled", code="odd")] * 100
    use_gateway(house, Saboteur(house, cancel_intent=refusals))
    await house.settle()

    left = (await house.payments.reconcile()).left

    facts = [recorded.event for recorded in await house.payments.journal(view.payment.booking_id)]
    asked = [each for each in facts if isinstance(each, ev.OperationIntended) and each.purpose is RELEASE]
    drifts = [drift.code for drift in (await payment_of(house, view)).drifts]
    assert ([each.code for each in left], len(asked), drifts) == (["status_differs"], 1, ["release_refused"])


async def test_held_money_that_is_captured_in_between_is_sent_back(house: House) -> None:
    view = await _hold_arrives_late(house)
    await house.deliver_webhooks()
    intent_id = (await payment_of(house, view)).intent_id
    house.stripe.call("POST", f"/v1/payment_intents/{intent_id}/capture")

    await house.settle()

    payment = await payment_of(house, view)
    assert (payment.late, payment.refunded) == (True, payment.amount)
