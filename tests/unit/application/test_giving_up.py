"""Payments whose intent the gateway refuses to cancel: they come to an end all the same, and no money is lost by it."""

from datetime import timedelta

import pytest

from booking_payments.application.views import PaymentView
from booking_payments.domain import events as ev
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.errors import GatewayRefusedUs, OutcomeUnknown
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.payment import Payment
from booking_payments.ports.gateway import Refused
from booking_payments.testing.house import ANN, House
from tests.payments import authorize, pay_in_browser, payment_of, start
from tests.unit.application.saboteur import Saboteur, use_gateway

HOLD = timedelta(minutes=5)
ODD = Refused("this can't be canceled", code="odd")


def _forget(house: House, view: PaymentView) -> None:
    """The gateway no longer knows the intent: its test data were deleted, or our keys are of another account."""
    house.stripe._account.table("payment_intent").pop(view.payment.intent_id or "")


def _change_amount(house: House, view: PaymentView) -> None:
    """The intent is no longer what we asked for, so that our books believe nothing of it."""
    house.stripe._account.get("payment_intent", view.payment.intent_id or "").body["amount"] = 9999


def _refuse_to_cancel(house: House, times: int) -> None:
    use_gateway(house, Saboteur(house, cancel_intent=[ODD] * times))


async def _work(house: House, rounds: int = 1) -> None:
    for _ in range(rounds):
        house.clock.advance(timedelta(seconds=1))
        await house.payments.work()


async def _work_for_a_day(house: House) -> None:
    await _work(house)
    house.clock.advance(timedelta(days=1))
    await _work(house)


async def _payment_and_status(house: House, view: PaymentView) -> tuple[Payment, BookingStatus]:
    booking = await house.payments.get_booking(view.payment.booking_id)
    return (await payment_of(house, booking)), booking.status


def _drifts(payment: Payment) -> list[str]:
    return [drift.code for drift in payment.drifts]


# --- bookings that expire --------------------------------------------------------------------------------------


async def test_a_booking_expires_though_the_gateway_no_longer_knows_its_intent(house: House) -> None:
    view = await start(house, expires_in=HOLD)
    _forget(house, view)
    house.clock.advance(HOLD)

    await _work_for_a_day(house)

    payment, booking = await _payment_and_status(house, view)
    assert (payment.status, booking) == (PaymentStatus.CANCELED, BookingStatus.EXPIRED)


async def test_a_booking_that_was_paid_in_time_outlives_a_day_of_wrong_keys(house: House) -> None:
    """With keys of another account no intent is there."""
    view = await start(house, expires_in=HOLD)
    pay_in_browser(house, view)
    intents = house.stripe._account.table("payment_intent")
    intent = intents[view.payment.intent_id or ""]
    _forget(house, view)
    house.clock.advance(HOLD)
    await _work(house)
    house.clock.advance(timedelta(hours=20))
    await _work(house)
    intents[view.payment.intent_id or ""] = intent

    await house.settle()

    payment, booking = await _payment_and_status(house, view)
    assert (payment.status, booking, payment.late) == (PaymentStatus.SUCCEEDED, BookingStatus.CONFIRMED, False)


async def test_what_can_not_be_canceled_is_not_asked_for_again(house: House) -> None:
    view = await start(house, expires_in=HOLD)
    _forget(house, view)
    house.clock.advance(HOLD)
    await _work_for_a_day(house)
    house.stripe.calls.clear()

    await _work(house, rounds=5)

    assert not house.stripe.calls


async def test_it_expires_also_when_the_intent_was_gone_before_the_canceling_was_resumed(house: House) -> None:
    view = await start(house, expires_in=HOLD)
    house.clock.advance(HOLD)
    house.stripe.faults.script("POST /v1/payment_intents/*/cancel", "timeout_before", times=3)
    await _work(house)
    _forget(house, view)

    await _work_for_a_day(house)

    payment, booking = await _payment_and_status(house, view)
    assert (payment.status, booking) == (PaymentStatus.CANCELED, BookingStatus.EXPIRED)


async def test_a_hundred_intents_that_are_gone_keep_no_other_booking_from_expiring(house: House) -> None:
    for number in range(100):
        _forget(house, await start(house, expires_in=HOLD, reference=f"R-{number}"))
    house.clock.advance(timedelta(seconds=1))
    unpaid = await house.book(reference="unpaid", expires_in=HOLD)
    house.clock.advance(HOLD)

    await _work(house)

    assert (await house.payments.get_booking(unpaid.id)).status is BookingStatus.EXPIRED


async def test_a_booking_expires_though_our_books_do_not_believe_what_its_intent_says(house: House) -> None:
    view = await start(house, expires_in=HOLD)
    _change_amount(house, view)
    pay_in_browser(house, view)
    house.clock.advance(HOLD)

    await _work(house)

    payment, booking = await _payment_and_status(house, view)
    assert (booking, payment.captured.minor) == (BookingStatus.EXPIRED, 0)
    assert _drifts(payment) == ["amount_differs", "cancel_refused"]


async def test_a_booking_expires_though_its_canceled_intent_is_not_believed(house: House) -> None:
    view = await start(house, expires_in=HOLD)
    _change_amount(house, view)
    house.clock.advance(HOLD)

    await _work(house, rounds=2)

    assert (await _payment_and_status(house, view))[1] is BookingStatus.EXPIRED


async def test_a_refusal_that_the_intent_does_not_explain_is_asked_about_once_more(house: House) -> None:
    view = await start(house, expires_in=HOLD)
    _refuse_to_cancel(house, times=1)
    house.clock.advance(HOLD)

    await _work(house)
    before = (await _payment_and_status(house, view))[1]
    await _work(house)

    intent = await house.world.gateway.retrieve_intent(view.payment.intent_id or "")
    assert (before, (await _payment_and_status(house, view))[1]) == (BookingStatus.PENDING, BookingStatus.EXPIRED)
    assert intent.status is PaymentStatus.CANCELED


async def test_a_booking_expires_when_the_gateway_refuses_for_no_reason_again(house: House) -> None:
    view = await start(house, expires_in=HOLD)
    _refuse_to_cancel(house, times=100)
    house.clock.advance(HOLD)

    await _work(house, rounds=2)

    payment, booking = await _payment_and_status(house, view)
    assert (booking, _drifts(payment)) == (BookingStatus.EXPIRED, ["cancel_refused"])


async def test_a_booking_does_not_expire_while_nobody_can_tell_why_the_cancel_was_refused(house: House) -> None:
    view = await start(house, expires_in=HOLD)
    pay_in_browser(house, view)
    house.stripe.faults.script("GET /v1/payment_intents/{id}", "503", times=3)
    house.clock.advance(HOLD)

    await _work(house)
    before = await _payment_and_status(house, view)
    await house.settle()

    assert (before[0].operation is not None, before[1]) == (True, BookingStatus.PENDING)
    assert (await _payment_and_status(house, view))[1] is BookingStatus.CONFIRMED


async def test_a_booking_whose_money_came_to_be_held_in_between_does_not_expire(house: House) -> None:
    booking = await house.book(expires_in=HOLD)
    view = await house.payments.start_payment(booking.id, ANN, capture_method=CaptureMethod.MANUAL)
    _refuse_to_cancel(house, times=2)
    house.clock.advance(HOLD)
    await _work(house)
    pay_in_browser(house, view)

    await _work(house, rounds=3)

    payment, status = await _payment_and_status(house, view)
    assert (payment.status, status) == (PaymentStatus.REQUIRES_CAPTURE, BookingStatus.PENDING)


async def test_an_intent_that_is_paid_after_all_is_sent_back_once(house: House) -> None:
    view = await start(house, expires_in=HOLD)
    intents = house.stripe._account.table("payment_intent")
    intent = intents[view.payment.intent_id or ""]
    _forget(house, view)
    house.clock.advance(HOLD)
    await _work_for_a_day(house)
    intents[view.payment.intent_id or ""] = intent
    pay_in_browser(house, view)

    await house.settle()

    payment, booking = await _payment_and_status(house, view)
    assert (booking, payment.late) == (BookingStatus.EXPIRED, True)
    assert (payment.captured.minor, payment.refunded, len(payment.refunds)) == (10000, payment.captured, 1)


async def test_the_journal_and_reconciling_tell_of_what_was_given_up(house: House) -> None:
    view = await start(house, expires_in=HOLD)
    _forget(house, view)
    house.clock.advance(HOLD)
    await _work_for_a_day(house)

    facts = [recorded.event for recorded in await house.payments.journal(view.payment.booking_id)]
    left = (await house.payments.reconcile()).left

    detail = f"{view.payment.intent_id}: resource_missing (expire_booking)"
    assert ev.DriftFound(code="cancel_refused", detail=detail) in facts
    assert [(each.code, each.gateway_id) for each in left] == [("not_at_gateway", view.payment.intent_id)]


# --- attempts that are used up ---------------------------------------------------------------------------------


async def _use_up_attempts(house: House, view: PaymentView) -> None:
    for _ in range(3):
        pay_in_browser(house, view, "pm_card_chargeDeclined")
        await house.deliver_webhooks()
    await _work(house)


async def test_a_payment_without_attempts_fails_though_the_gateway_refuses_to_cancel_it(house: House) -> None:
    view = await start(house, expires_in=HOLD)
    _refuse_to_cancel(house, times=100)
    await _use_up_attempts(house, view)

    payment, booking = await _payment_and_status(house, view)
    purposes = [
        each.event.purpose
        for each in await house.payments.journal(view.payment.booking_id)
        if isinstance(each.event, ev.OperationIntended)
    ]
    assert (payment.status, booking) == (PaymentStatus.FAILED, BookingStatus.EXPIRED)
    assert purposes.count(ev.Purpose.END_ATTEMPTS) == 2


async def test_money_that_comes_after_the_attempts_were_used_up_goes_back(house: House) -> None:
    view = await start(house, expires_in=HOLD)
    _refuse_to_cancel(house, times=100)
    await _use_up_attempts(house, view)
    pay_in_browser(house, view)

    await house.deliver_webhooks()

    payment, booking = await _payment_and_status(house, view)
    assert (payment.status, payment.late, booking) == (PaymentStatus.SUCCEEDED, True, BookingStatus.EXPIRED)
    assert payment.refunded + payment.refund_pending == payment.captured


# --- bookings that are canceled --------------------------------------------------------------------------------


async def test_a_booking_is_canceled_though_the_gateway_no_longer_knows_its_intent(house: House) -> None:
    view = await start(house, expires_in=HOLD)
    _forget(house, view)

    booking = await house.payments.cancel_booking(view.payment.booking_id)

    payment = (await _payment_and_status(house, view))[0]
    assert (booking.status, payment.status) == (BookingStatus.CANCELED, PaymentStatus.CANCELED)


async def test_a_booking_with_held_money_is_canceled_though_its_intent_is_gone(house: House) -> None:
    view = await authorize(house, expires_in=HOLD)
    _forget(house, view)

    booking = await house.payments.cancel_booking(view.payment.booking_id)

    payment = (await _payment_and_status(house, view))[0]
    assert (booking.status, payment.status, payment.authorized.minor) == (
        BookingStatus.CANCELED,
        PaymentStatus.CANCELED,
        0,
    )


async def test_a_booking_is_canceled_though_our_books_do_not_believe_what_its_intent_says(house: House) -> None:
    view = await start(house, expires_in=HOLD)
    _change_amount(house, view)

    booking = await house.payments.cancel_booking(view.payment.booking_id)

    assert booking.status is BookingStatus.CANCELED


async def test_a_booking_is_not_canceled_while_nobody_can_tell_why_the_gateway_refused(house: House) -> None:
    view = await start(house, expires_in=HOLD)
    pay_in_browser(house, view)
    house.stripe.faults.script("GET /v1/payment_intents/{id}", "503", times=3)

    with pytest.raises(OutcomeUnknown):
        await house.payments.cancel_booking(view.payment.booking_id)

    assert (await _payment_and_status(house, view))[1] is BookingStatus.PENDING


async def test_a_payment_alone_is_not_given_up_since_its_booking_could_be_paid_twice_then(house: House) -> None:
    view = await start(house, expires_in=HOLD)
    _forget(house, view)

    with pytest.raises(GatewayRefusedUs):
        await house.payments.cancel_payment(view.payment.booking_id)

    assert (await _payment_and_status(house, view))[0].status.is_open
