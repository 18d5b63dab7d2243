"""Failed refunds of canceled bookings: they are reported and listed, and can be requested again, once."""

from datetime import timedelta
from decimal import Decimal

import pytest

from booking_payments.application.callers import Caller
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.errors import GatewayRefusedUs, PaymentError, RefundRefused, RefusedByRule
from booking_payments.domain.fees import FeeOnRefund
from booking_payments.domain.lifecycle import RefundStatus
from booking_payments.domain.payment import DeferredRefund, Payment, Refund
from booking_payments.domain.refunds import QuoteReason, RefundPolicy, RefundTier
from booking_payments.ports.gateway import GatewayRefused
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit
from tests.payments import paid_booking, pay, payment_of
from tests.unit.application.failing_gateway import FailingGateway, use_gateway

EMPTY = GatewayRefused("the balance does not cover it", code="balance_insufficient")
HALF_BEFORE_TWO_DAYS = RefundPolicy(tiers=(RefundTier(hours_before=48, percent=Decimal(50)),), fee=FeeOnRefund.RETURNED)
A_MONTH = timedelta(days=31)


async def _paid_half_refundable(kit: PaymentsTestKit, method: str = "pm_card_visa") -> Booking:
    """A paid booking of which half is refundable until two days before its event."""
    return await paid_booking(kit, method, refund_policy=HALF_BEFORE_TWO_DAYS)


def _empty_balance(kit: PaymentsTestKit, times: int = 1) -> None:
    """Make the gateway refuse the next refunds."""
    use_gateway(kit, FailingGateway(kit, create_refund=[EMPTY] * times))


async def _cancel(
    kit: PaymentsTestKit, booking: Booking, refund: RefundOnCancel = RefundOnCancel.POLICY
) -> BookingStatus:
    return (await kit.payments.cancel_booking(booking.id, refund=refund)).status


async def _canceled_in_vain(kit: PaymentsTestKit, refund: RefundOnCancel = RefundOnCancel.POLICY) -> Booking:
    """A canceled booking whose refund was refused, and whose event has started since."""
    booking = await _paid_half_refundable(kit)
    _empty_balance(kit)
    with pytest.raises(RefundRefused):
        await _cancel(kit, booking, refund)
    kit.clock.advance(A_MONTH)
    return booking


async def _left(kit: PaymentsTestKit) -> list[str]:
    return [each.code for each in (await kit.payments.reconcile()).left]


def _amounts(payment: Payment) -> list[tuple[int, int, RefundStatus]]:
    return [(each.amount.minor, each.fee_refunded.minor, each.status) for each in payment.refunds]


# --- the result of the cancellation -----------------------------------------------------------------------------------


async def test_a_cancellation_whose_refund_is_refused_cancels_the_booking_and_raises(
    kit: PaymentsTestKit,
) -> None:
    booking = await _paid_half_refundable(kit)
    _empty_balance(kit)

    with pytest.raises(RefundRefused) as told:
        await _cancel(kit, booking)

    assert (told.value.code, isinstance(told.value, GatewayRefusedUs)) == ("refund_refused", True)
    assert (await kit.payments.get_booking(booking.id)).status is BookingStatus.CANCELED


async def test_a_refused_refund_raises_nothing_when_the_dashboard_has_refunded(kit: PaymentsTestKit) -> None:
    booking = await _paid_half_refundable(kit)
    kit.stripe.refund_in_dashboard((await payment_of(kit, booking)).intent_id or "", 10000)

    assert await _cancel(kit, booking, RefundOnCancel.FULL) is BookingStatus.CANCELED
    assert (await payment_of(kit, booking)).refunded.minor == 10000


async def test_canceling_a_disputed_booking_succeeds_without_an_error(kit: PaymentsTestKit) -> None:
    booking = await _paid_half_refundable(kit)
    kit.stripe.open_dispute((await payment_of(kit, booking)).intent_id or "")

    assert await _cancel(kit, booking, RefundOnCancel.FULL) is BookingStatus.CANCELED


# --- canceling again -------------------------------------------------------------------------------------------


async def test_canceling_again_requests_the_original_refund_again(kit: PaymentsTestKit) -> None:
    booking = await _canceled_in_vain(kit)

    assert await _cancel(kit, booking) is BookingStatus.CANCELED

    payment = await payment_of(kit, booking)
    assert _amounts(payment) == [(5000, 150, RefundStatus.FAILED), (5000, 150, RefundStatus.SUCCEEDED)]


async def test_canceling_again_in_full_refunds_the_full_amount(kit: PaymentsTestKit) -> None:
    booking = await _canceled_in_vain(kit)

    await _cancel(kit, booking, RefundOnCancel.FULL)

    payment = await payment_of(kit, booking)
    assert (payment.refunded, payment.fee_returned) == (payment.captured, payment.breakdown.fee)


async def test_canceling_again_by_policy_refunds_the_amount_promised_by_a_full_cancellation(
    kit: PaymentsTestKit,
) -> None:
    booking = await _canceled_in_vain(kit, RefundOnCancel.FULL)

    await _cancel(kit, booking)

    payment = await payment_of(kit, booking)
    assert (payment.refunded, payment.fee_returned) == (payment.captured, payment.breakdown.fee)


async def test_canceling_again_by_policy_refunds_at_most_the_owed_amount(kit: PaymentsTestKit) -> None:
    booking = await _paid_half_refundable(kit)
    view = await kit.payments.refund_payment(booking.id, OPERATOR, amount="10.00")
    await _cancel(kit, booking, RefundOnCancel.NONE)
    await _comes_back(kit, view.refund)

    await _cancel(kit, booking)

    assert (await payment_of(kit, booking)).refunded.minor == 1000


async def _comes_back(kit: PaymentsTestKit, refund: Refund | DeferredRefund) -> None:
    kit.stripe.move_refund(refund.gateway_refund_id or "", "failed")
    await kit.settle()


@pytest.mark.parametrize(("back", "missing"), [([0], 4000), ([1], 6000), ([0, 1], 10000)])
async def test_refunds_that_fail_late_can_be_refunded_again(
    kit: PaymentsTestKit, back: list[int], missing: int
) -> None:
    booking = await _paid_half_refundable(kit)
    await kit.payments.refund_payment(booking.id, OPERATOR, amount="40.00")
    await _cancel(kit, booking, RefundOnCancel.FULL)
    refunds = (await payment_of(kit, booking)).refunds
    kit.clock.advance(A_MONTH)
    for number in back:
        await _comes_back(kit, refunds[number])
    assert (await payment_of(kit, booking)).refunded.minor == 10000 - missing

    await _cancel(kit, booking)

    assert (await payment_of(kit, booking)).refunded.minor == 10000


async def test_a_cancellation_does_not_repeat_a_refund_that_failed_before_it(
    kit: PaymentsTestKit,
) -> None:
    """The caller got the failure then, and may have paid the customer by other means."""
    booking = await _paid_half_refundable(kit)
    _empty_balance(kit)
    with pytest.raises(GatewayRefusedUs):
        await kit.payments.refund_payment(booking.id, OPERATOR, amount="50.00")
    kit.clock.advance(A_MONTH)

    await _cancel(kit, booking)
    await _cancel(kit, booking)

    assert (await payment_of(kit, booking)).refunded.minor == 0


async def test_canceling_again_without_refund_refunds_nothing(kit: PaymentsTestKit) -> None:
    booking = await _canceled_in_vain(kit)

    await _cancel(kit, booking, RefundOnCancel.NONE)

    assert len((await payment_of(kit, booking)).refunds) == 1


async def test_repeated_cancellations_refund_once(kit: PaymentsTestKit) -> None:
    booking = await _canceled_in_vain(kit)

    for refund in (RefundOnCancel.POLICY, RefundOnCancel.POLICY, RefundOnCancel.FULL):
        await _cancel(kit, booking, refund)

    payment = await payment_of(kit, booking)
    assert (payment.refunded.minor, len(payment.refunds)) == (10000, 3)


async def test_a_pending_refund_is_not_requested_again(kit: PaymentsTestKit) -> None:
    booking = await _canceled_in_vain(kit)
    kit.stripe.faults.script("POST /v1/refunds", "timeout_after", times=3)
    await _cancel(kit, booking)

    await _cancel(kit, booking)
    await kit.settle()

    assert (await payment_of(kit, booking)).refunded.minor == 5000
    assert len(kit.stripe._account.table("refund")) == 1


async def test_a_refund_that_is_refused_again_raises_again_and_can_succeed_later(
    kit: PaymentsTestKit,
) -> None:
    booking = await _paid_half_refundable(kit)
    _empty_balance(kit, times=2)
    for _ in range(2):
        with pytest.raises(RefundRefused):
            await _cancel(kit, booking)

    await _cancel(kit, booking)

    assert [each[0] for each in _amounts(await payment_of(kit, booking))] == [5000, 5000, 5000]
    assert (await payment_of(kit, booking)).refunded.minor == 5000


async def test_refunds_made_meanwhile_reduce_the_owed_amount(kit: PaymentsTestKit) -> None:
    booking = await _canceled_in_vain(kit)
    await kit.payments.refund_payment(booking.id, OPERATOR, amount="20.00")

    await _cancel(kit, booking)

    payment = await payment_of(kit, booking)
    assert _amounts(payment)[1:] == [(2000, 60, RefundStatus.SUCCEEDED), (3000, 90, RefundStatus.SUCCEEDED)]


async def test_a_refund_that_the_bank_returned_can_be_requested_again(kit: PaymentsTestKit) -> None:
    booking = await _paid_half_refundable(kit, "pm_card_refundFail")
    await _cancel(kit, booking)
    kit.clock.advance(A_MONTH)
    await kit.settle()
    before = (await payment_of(kit, booking)).refunds[0].status

    await _cancel(kit, booking)

    assert (before, len((await payment_of(kit, booking)).refunds)) == (RefundStatus.FAILED, 2)


async def test_a_refund_made_before_and_returned_after_the_cancellation_can_be_requested_again(
    kit: PaymentsTestKit,
) -> None:
    booking = await _paid_half_refundable(kit)
    refunded = await kit.payments.refund_payment(booking.id, ANN)
    await _cancel(kit, booking)
    kit.clock.advance(A_MONTH)
    kit.stripe.move_refund(refunded.refund.gateway_refund_id or "", "failed")
    await kit.settle()

    await _cancel(kit, booking)

    payment = await payment_of(kit, booking)
    assert (payment.refunded.minor, len(payment.refunds)) == (5000, 2)


# --- operators and customers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [OPERATOR, ANN], ids=["operator", "customer"])
async def test_the_owed_amount_can_be_refunded_after_the_event_started(kit: PaymentsTestKit, caller: Caller) -> None:
    booking = await _canceled_in_vain(kit)
    quote = await kit.payments.quote_refund(booking.id, caller)

    view = await kit.payments.refund_payment(booking.id, caller)

    assert (quote.reason, quote.amount, quote.fee_refunded.minor) == (QuoteReason.REFUND_OWED, view.refund.amount, 150)
    assert (await payment_of(kit, booking)).refunded.minor == 5000


async def test_a_refund_above_the_owed_amount_is_refused_after_the_event_started(kit: PaymentsTestKit) -> None:
    booking = await _canceled_in_vain(kit)

    with pytest.raises(RefusedByRule) as refusal:
        await kit.payments.refund_payment(booking.id, OPERATOR, amount="50.01")

    assert refusal.value.code == "exceeds_refundable"


async def test_a_failed_refund_of_a_kept_booking_is_not_owed(kit: PaymentsTestKit) -> None:
    booking = await _paid_half_refundable(kit)
    _empty_balance(kit)
    with pytest.raises(PaymentError):
        await kit.payments.refund_payment(booking.id, ANN)
    kit.clock.advance(A_MONTH)

    assert (await kit.payments.quote_refund(booking.id)).reason is QuoteReason.EVENT_STARTED
    assert await _left(kit) == []


async def _late_money_came_back(kit: PaymentsTestKit) -> Booking:
    """A late payment whose refund the bank returned."""
    booking = await kit.book()
    await pay(kit, booking, "pm_usBankAccount_success")
    await kit.payments.cancel_booking(booking.id)
    await kit.settle()
    kit.stripe.move_refund((await payment_of(kit, booking)).refunds[0].gateway_refund_id or "", "failed")
    await kit.settle()
    return booking


async def test_a_late_payment_whose_refund_failed_can_be_refunded_after_the_event_started(kit: PaymentsTestKit) -> None:
    booking = await _late_money_came_back(kit)
    kit.clock.advance(A_MONTH)

    await kit.payments.refund_payment(booking.id, OPERATOR)
    await kit.settle()

    payment = await payment_of(kit, booking)
    assert (payment.refunded, payment.fee_returned) == (payment.captured, payment.breakdown.fee)


# --- reconciling -----------------------------------------------------------------------------------------------


async def test_the_owed_amount_of_a_canceled_booking_is_reported_for_a_person(kit: PaymentsTestKit) -> None:
    booking = await _paid_half_refundable(kit)
    _empty_balance(kit)
    with pytest.raises(RefundRefused):
        await _cancel(kit, booking)

    left = (await kit.payments.reconcile()).left

    assert [(each.code, each.booking_id) for each in left] == [("refund_owed", booking.id)]
    assert "50.00" in left[0].text


async def test_an_owed_amount_that_was_refunded_is_not_reported_any_more(kit: PaymentsTestKit) -> None:
    booking = await _paid_half_refundable(kit)
    _empty_balance(kit)
    with pytest.raises(RefundRefused):
        await _cancel(kit, booking)
    await _cancel(kit, booking)

    assert await _left(kit) == []


async def test_a_late_payment_whose_refund_failed_is_reported_once(kit: PaymentsTestKit) -> None:
    await _late_money_came_back(kit)

    assert await _left(kit) == ["refund_owed"]
