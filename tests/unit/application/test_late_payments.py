"""Late payments: money for a booking that was closed meanwhile."""

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
from booking_payments.ports.gateway import GatewayRefused
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.payments import pay, pay_in_browser, payment_of
from tests.unit.application.failing_gateway import FailingGateway, use_gateway

RELEASE = ev.Purpose.RELEASE_HOLD


async def _closed_while_processing(kit: PaymentsTestKit) -> PaymentView:
    booking = await kit.book()
    view = await pay(kit, booking, "pm_usBankAccount_success")
    await kit.payments.cancel_booking(booking.id)
    kit.clock.advance(timedelta(seconds=3))
    return view


async def test_a_late_payment_is_recorded(kit: PaymentsTestKit) -> None:
    view = await _closed_while_processing(kit)

    await kit.deliver_webhooks()

    payment = await payment_of(kit, view)
    assert (payment.status, payment.late) == (PaymentStatus.SUCCEEDED, True)


async def test_a_late_payment_is_refunded_automatically(kit: PaymentsTestKit) -> None:
    view = await _closed_while_processing(kit)

    await kit.settle()

    payment = await payment_of(kit, view)
    assert (payment.refunded, len(payment.refunds)) == (payment.captured, 1)


async def test_a_late_payment_does_not_reopen_the_booking(kit: PaymentsTestKit) -> None:
    view = await _closed_while_processing(kit)

    await kit.settle()

    booking = await kit.payments.get_booking(view.payment.booking_id)
    assert booking.status is BookingStatus.CANCELED


async def test_the_journal_contains_the_decision_about_a_late_payment(kit: PaymentsTestKit) -> None:
    view = await _closed_while_processing(kit)
    await kit.settle()

    events = [recorded.event for recorded in await kit.payments.journal(view.payment.booking_id)]
    assert ev.LatePaymentDecided(booking_status="canceled") in events


async def test_a_success_after_the_payment_failed_confirms_a_booking_that_is_still_pending(
    kit: PaymentsTestKit,
) -> None:
    booking = await kit.book()
    view = await kit.payments.start_payment(booking.id, ANN)
    kit.stripe.faults.script("POST /v1/payment_intents/{id}/cancel", "timeout_before", times=3)
    for _ in range(3):
        pay_in_browser(kit, view, "pm_card_chargeDeclined")
        await kit.deliver_webhooks()
    await kit.payments.work()
    pay_in_browser(kit, view)

    await kit.settle()

    status = (await kit.payments.get_booking(booking.id)).status
    assert ((await payment_of(kit, view)).status, status) == (PaymentStatus.SUCCEEDED, BookingStatus.CONFIRMED)


async def test_a_second_success_for_the_same_booking_is_refunded(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    first = await kit.payments.start_payment(booking.id, ANN)
    pay_in_browser(kit, first)
    event = kit.stripe.events[-1]
    forged = {**event["data"]["object"], "status": "canceled", "amount_received": 0, "latest_charge": None}
    await kit.deliver_event("payment_intent.canceled", forged)
    await pay(kit, booking)

    await kit.deliver_webhooks()
    await kit.settle()

    payments = await kit.storage.read(lambda uow: uow.payments.of_booking(booking.id))
    kept = [payment.captured.minor - payment.refunded.minor for payment in payments]
    assert sorted(kept) == [0, 10000]


# --- late authorizations --------------------------------------------------------------------------


async def _hold_arrives_late(kit: PaymentsTestKit) -> PaymentView:
    """A call that authorizes an amount is delayed, its booking expires, and then the call reaches the gateway."""
    booking = await kit.book(expires_in=timedelta(minutes=1))
    sent: list[Any] = []
    call = kit.stripe.call

    def remember(method: str, path: str, *rest: Any) -> Any:
        sent.extend([(method, path, *rest)] if method == "POST" else [])
        return call(method, path, *rest)

    with patch.object(kit.stripe, "call", remember):
        kit.stripe.faults.script("POST /v1/payment_intents", "timeout_before", times=3)
        with pytest.raises(OutcomeUnknown):
            await pay(kit, booking, capture_method=CaptureMethod.MANUAL)
    kit.clock.advance(timedelta(minutes=2))
    await kit.payments.work()
    await kit.payments.work()
    call(*sent[0])
    return await kit.payments.payment_status(booking.id)


async def _intent(kit: PaymentsTestKit, view: PaymentView) -> IntentReport:
    return await kit.deps.gateway.retrieve_intent((await payment_of(kit, view)).intent_id or "")


async def test_an_authorization_after_the_booking_expired_is_released(kit: PaymentsTestKit) -> None:
    view = await _hold_arrives_late(kit)

    await kit.settle()

    intent, payment = await _intent(kit, view), await payment_of(kit, view)
    assert (intent.status, intent.amount_capturable.minor) == (PaymentStatus.CANCELED, 0)
    assert (payment.status, payment.operation) == (PaymentStatus.CANCELED, None)
    assert (await kit.payments.reconcile()).left == ()


async def test_a_stale_authorization_is_released_by_reconciliation(kit: PaymentsTestKit) -> None:
    view = await _hold_arrives_late(kit)

    await kit.payments.reconcile()
    await kit.payments.work()

    assert (await _intent(kit, view)).status is PaymentStatus.CANCELED


async def test_a_stale_authorization_that_the_gateway_refuses_to_release_is_tried_once_and_reported(
    kit: PaymentsTestKit,
) -> None:
    view = await _hold_arrives_late(kit)
    refusals: Sequence[Exception] = [GatewayRefused("this can't be canceled", code="odd")] * 100
    use_gateway(kit, FailingGateway(kit, cancel_intent=refusals))
    await kit.settle()

    left = (await kit.payments.reconcile()).left

    events = [recorded.event for recorded in await kit.payments.journal(view.payment.booking_id)]
    asked = [each for each in events if isinstance(each, ev.OperationIntended) and each.purpose is RELEASE]
    drifts = [drift.code for drift in (await payment_of(kit, view)).drifts]
    assert ([each.code for each in left], len(asked), drifts) == (["status_differs"], 1, ["release_refused"])


async def test_a_stale_authorization_that_was_captured_meanwhile_is_refunded(kit: PaymentsTestKit) -> None:
    view = await _hold_arrives_late(kit)
    await kit.deliver_webhooks()
    intent_id = (await payment_of(kit, view)).intent_id
    kit.stripe.call("POST", f"/v1/payment_intents/{intent_id}/capture")

    await kit.settle()

    payment = await payment_of(kit, view)
    assert (payment.late, payment.refunded) == (True, payment.amount)
