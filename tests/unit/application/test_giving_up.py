"""Payments whose intent the gateway refuses to cancel: their bookings still end, and no money is lost."""

from datetime import timedelta

import pytest

from booking_payments.application.views import PaymentView
from booking_payments.domain import events as ev
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.errors import GatewayRefusedUs, OutcomeUnknown
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.payment import Payment
from booking_payments.ports.gateway import GatewayRefused
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.payments import authorize, pay_in_browser, payment_of, start
from tests.unit.application.failing_gateway import FailingGateway, use_gateway

HOLD = timedelta(minutes=5)
ODD = GatewayRefused("this can't be canceled", code="odd")


def _forget(kit: PaymentsTestKit, view: PaymentView) -> None:
    """The gateway no longer has the intent: its test data were deleted, or the API keys belong to another account."""
    kit.stripe._account.table("payment_intent").pop(view.payment.intent_id or "")


def _change_amount(kit: PaymentsTestKit, view: PaymentView) -> None:
    """The intent contradicts the stored payment, so that nothing is recorded from it."""
    kit.stripe._account.get("payment_intent", view.payment.intent_id or "").body["amount"] = 9999


def _refuse_to_cancel(kit: PaymentsTestKit, times: int) -> None:
    use_gateway(kit, FailingGateway(kit, cancel_intent=[ODD] * times))


async def _work(kit: PaymentsTestKit, rounds: int = 1) -> None:
    for _ in range(rounds):
        kit.clock.advance(timedelta(seconds=1))
        await kit.payments.work()


async def _work_for_a_day(kit: PaymentsTestKit) -> None:
    await _work(kit)
    kit.clock.advance(timedelta(days=1))
    await _work(kit)


async def _payment_and_status(kit: PaymentsTestKit, view: PaymentView) -> tuple[Payment, BookingStatus]:
    booking = await kit.payments.get_booking(view.payment.booking_id)
    return (await payment_of(kit, booking)), booking.status


def _drifts(payment: Payment) -> list[str]:
    return [drift.code for drift in payment.drifts]


# --- bookings that expire --------------------------------------------------------------------------------------


async def test_a_booking_whose_intent_is_gone_expires(kit: PaymentsTestKit) -> None:
    view = await start(kit, expires_in=HOLD)
    _forget(kit, view)
    kit.clock.advance(HOLD)

    await _work_for_a_day(kit)

    payment, booking = await _payment_and_status(kit, view)
    assert (payment.status, booking) == (PaymentStatus.CANCELED, BookingStatus.EXPIRED)


async def test_a_booking_that_was_paid_in_time_does_not_expire_during_a_day_of_wrong_keys(kit: PaymentsTestKit) -> None:
    """With API keys of another account the gateway finds no intent."""
    view = await start(kit, expires_in=HOLD)
    pay_in_browser(kit, view)
    intents = kit.stripe._account.table("payment_intent")
    intent = intents[view.payment.intent_id or ""]
    _forget(kit, view)
    kit.clock.advance(HOLD)
    await _work(kit)
    kit.clock.advance(timedelta(hours=20))
    await _work(kit)
    intents[view.payment.intent_id or ""] = intent

    await kit.settle()

    payment, booking = await _payment_and_status(kit, view)
    assert (payment.status, booking, payment.late) == (PaymentStatus.SUCCEEDED, BookingStatus.CONFIRMED, False)


async def test_a_cancellation_that_the_gateway_refuses_for_good_is_not_repeated(kit: PaymentsTestKit) -> None:
    view = await start(kit, expires_in=HOLD)
    _forget(kit, view)
    kit.clock.advance(HOLD)
    await _work_for_a_day(kit)
    kit.stripe.calls.clear()

    await _work(kit, rounds=5)

    assert not kit.stripe.calls


async def test_a_booking_expires_when_its_intent_is_gone_before_the_cancellation_is_resumed(
    kit: PaymentsTestKit,
) -> None:
    view = await start(kit, expires_in=HOLD)
    kit.clock.advance(HOLD)
    kit.stripe.faults.script("POST /v1/payment_intents/*/cancel", "timeout_before", times=3)
    await _work(kit)
    _forget(kit, view)

    await _work_for_a_day(kit)

    payment, booking = await _payment_and_status(kit, view)
    assert (payment.status, booking) == (PaymentStatus.CANCELED, BookingStatus.EXPIRED)


async def test_a_hundred_missing_intents_do_not_stop_other_bookings_from_expiring(kit: PaymentsTestKit) -> None:
    for number in range(100):
        _forget(kit, await start(kit, expires_in=HOLD, reference=f"R-{number}"))
    kit.clock.advance(timedelta(seconds=1))
    unpaid = await kit.book(reference="unpaid", expires_in=HOLD)
    kit.clock.advance(HOLD)

    await _work(kit)

    assert (await kit.payments.get_booking(unpaid.id)).status is BookingStatus.EXPIRED


async def test_a_booking_whose_intent_contradicts_the_payment_expires(kit: PaymentsTestKit) -> None:
    view = await start(kit, expires_in=HOLD)
    _change_amount(kit, view)
    pay_in_browser(kit, view)
    kit.clock.advance(HOLD)

    await _work(kit)

    payment, booking = await _payment_and_status(kit, view)
    assert (booking, payment.captured.minor) == (BookingStatus.EXPIRED, 0)
    assert _drifts(payment) == ["amount_differs", "cancel_refused"]


async def test_a_booking_whose_canceled_intent_contradicts_the_payment_expires(kit: PaymentsTestKit) -> None:
    view = await start(kit, expires_in=HOLD)
    _change_amount(kit, view)
    kit.clock.advance(HOLD)

    await _work(kit, rounds=2)

    assert (await _payment_and_status(kit, view))[1] is BookingStatus.EXPIRED


async def test_a_refused_cancellation_that_the_intent_does_not_explain_is_retried_once(kit: PaymentsTestKit) -> None:
    view = await start(kit, expires_in=HOLD)
    _refuse_to_cancel(kit, times=1)
    kit.clock.advance(HOLD)

    await _work(kit)
    before = (await _payment_and_status(kit, view))[1]
    await _work(kit)

    intent = await kit.deps.gateway.retrieve_intent(view.payment.intent_id or "")
    assert (before, (await _payment_and_status(kit, view))[1]) == (BookingStatus.PENDING, BookingStatus.EXPIRED)
    assert intent.status is PaymentStatus.CANCELED


async def test_a_booking_expires_after_the_second_unexplained_refusal(kit: PaymentsTestKit) -> None:
    view = await start(kit, expires_in=HOLD)
    _refuse_to_cancel(kit, times=100)
    kit.clock.advance(HOLD)

    await _work(kit, rounds=2)

    payment, booking = await _payment_and_status(kit, view)
    assert (booking, _drifts(payment)) == (BookingStatus.EXPIRED, ["cancel_refused"])


async def test_a_booking_does_not_expire_while_the_refused_intent_cannot_be_read(kit: PaymentsTestKit) -> None:
    view = await start(kit, expires_in=HOLD)
    pay_in_browser(kit, view)
    kit.stripe.faults.script("GET /v1/payment_intents/{id}", "503", times=3)
    kit.clock.advance(HOLD)

    await _work(kit)
    before = await _payment_and_status(kit, view)
    await kit.settle()

    assert (before[0].operation is not None, before[1]) == (True, BookingStatus.PENDING)
    assert (await _payment_and_status(kit, view))[1] is BookingStatus.CONFIRMED


async def test_a_booking_that_was_authorized_meanwhile_does_not_expire(kit: PaymentsTestKit) -> None:
    booking = await kit.book(expires_in=HOLD)
    view = await kit.payments.start_payment(booking.id, ANN, capture_method=CaptureMethod.MANUAL)
    _refuse_to_cancel(kit, times=2)
    kit.clock.advance(HOLD)
    await _work(kit)
    pay_in_browser(kit, view)

    await _work(kit, rounds=3)

    payment, status = await _payment_and_status(kit, view)
    assert (payment.status, status) == (PaymentStatus.REQUIRES_CAPTURE, BookingStatus.PENDING)


async def test_a_payment_of_an_abandoned_intent_is_refunded_once(kit: PaymentsTestKit) -> None:
    view = await start(kit, expires_in=HOLD)
    intents = kit.stripe._account.table("payment_intent")
    intent = intents[view.payment.intent_id or ""]
    _forget(kit, view)
    kit.clock.advance(HOLD)
    await _work_for_a_day(kit)
    intents[view.payment.intent_id or ""] = intent
    pay_in_browser(kit, view)

    await kit.settle()

    payment, booking = await _payment_and_status(kit, view)
    assert (booking, payment.late) == (BookingStatus.EXPIRED, True)
    assert (payment.captured.minor, payment.refunded, len(payment.refunds)) == (10000, payment.captured, 1)


async def test_the_journal_and_reconciliation_report_an_abandoned_intent(kit: PaymentsTestKit) -> None:
    view = await start(kit, expires_in=HOLD)
    _forget(kit, view)
    kit.clock.advance(HOLD)
    await _work_for_a_day(kit)

    events = [recorded.event for recorded in await kit.payments.journal(view.payment.booking_id)]
    left = (await kit.payments.reconcile()).left

    detail = f"{view.payment.intent_id}: resource_missing (expire_booking)"
    assert ev.DriftFound(code="cancel_refused", detail=detail) in events
    assert [(each.code, each.gateway_id) for each in left] == [("not_at_gateway", view.payment.intent_id)]


# --- attempts that are used up ---------------------------------------------------------------------------------


async def _use_up_attempts(kit: PaymentsTestKit, view: PaymentView) -> None:
    for _ in range(3):
        pay_in_browser(kit, view, "pm_card_chargeDeclined")
        await kit.deliver_webhooks()
    await _work(kit)


async def test_a_payment_without_attempts_left_fails_even_if_the_gateway_refuses_to_cancel_it(
    kit: PaymentsTestKit,
) -> None:
    view = await start(kit, expires_in=HOLD)
    _refuse_to_cancel(kit, times=100)
    await _use_up_attempts(kit, view)

    payment, booking = await _payment_and_status(kit, view)
    purposes = [
        each.event.purpose
        for each in await kit.payments.journal(view.payment.booking_id)
        if isinstance(each.event, ev.OperationIntended)
    ]
    assert (payment.status, booking) == (PaymentStatus.FAILED, BookingStatus.EXPIRED)
    assert purposes.count(ev.Purpose.END_ATTEMPTS) == 2


async def test_a_charge_after_the_last_attempt_is_refunded(kit: PaymentsTestKit) -> None:
    view = await start(kit, expires_in=HOLD)
    _refuse_to_cancel(kit, times=100)
    await _use_up_attempts(kit, view)
    pay_in_browser(kit, view)

    await kit.deliver_webhooks()

    payment, booking = await _payment_and_status(kit, view)
    assert (payment.status, payment.late, booking) == (PaymentStatus.SUCCEEDED, True, BookingStatus.EXPIRED)
    assert payment.refunded + payment.refund_pending == payment.captured


# --- bookings that are canceled --------------------------------------------------------------------------------


async def test_a_booking_whose_intent_is_gone_can_be_canceled(kit: PaymentsTestKit) -> None:
    view = await start(kit, expires_in=HOLD)
    _forget(kit, view)

    booking = await kit.payments.cancel_booking(view.payment.booking_id)

    payment = (await _payment_and_status(kit, view))[0]
    assert (booking.status, payment.status) == (BookingStatus.CANCELED, PaymentStatus.CANCELED)


async def test_an_authorized_booking_whose_intent_is_gone_can_be_canceled(kit: PaymentsTestKit) -> None:
    view = await authorize(kit, expires_in=HOLD)
    _forget(kit, view)

    booking = await kit.payments.cancel_booking(view.payment.booking_id)

    payment = (await _payment_and_status(kit, view))[0]
    assert (booking.status, payment.status, payment.authorized.minor) == (
        BookingStatus.CANCELED,
        PaymentStatus.CANCELED,
        0,
    )


async def test_a_booking_whose_intent_contradicts_the_payment_can_be_canceled(kit: PaymentsTestKit) -> None:
    view = await start(kit, expires_in=HOLD)
    _change_amount(kit, view)

    booking = await kit.payments.cancel_booking(view.payment.booking_id)

    assert booking.status is BookingStatus.CANCELED


async def test_a_booking_is_not_canceled_while_the_refused_intent_cannot_be_read(kit: PaymentsTestKit) -> None:
    view = await start(kit, expires_in=HOLD)
    pay_in_browser(kit, view)
    kit.stripe.faults.script("GET /v1/payment_intents/{id}", "503", times=3)

    with pytest.raises(OutcomeUnknown):
        await kit.payments.cancel_booking(view.payment.booking_id)

    assert (await _payment_and_status(kit, view))[1] is BookingStatus.PENDING


async def test_canceling_only_the_payment_fails_because_its_booking_could_be_paid_twice(kit: PaymentsTestKit) -> None:
    view = await start(kit, expires_in=HOLD)
    _forget(kit, view)

    with pytest.raises(GatewayRefusedUs):
        await kit.payments.cancel_payment(view.payment.booking_id)

    assert (await _payment_and_status(kit, view))[0].status.is_open
