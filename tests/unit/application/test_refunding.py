"""Refunds and their quotes."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from booking_payments.application.dependencies import PaymentConfig
from booking_payments.domain.booking import BookingStatus, EndReason, ItemCount
from booking_payments.domain.errors import (
    InvalidAmount,
    NotFound,
    NotPossibleNow,
    OutcomeUnknown,
    RefusedByRule,
    TryAgainLater,
)
from booking_payments.domain.fees import FeeOnRefund, FeePayer, FeePolicy
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.refunds import QuoteReason, RefundOnCancel, RefundPolicy, RefundReason, RefundTier
from booking_payments.ports.storage import Storage
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit
from tests.payments import paid_booking, payment_of

TIERS = RefundPolicy(
    tiers=(
        RefundTier(hours_before=48, percent=Decimal(100)),
        RefundTier(hours_before=24, percent=Decimal(50)),
    )
)


async def test_a_full_refund_returns_the_full_amount(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, deliver=True)).id

    view = await kit.payments.refund_payment(booking_id, ANN)

    assert (view.refund.status, view.payment.refunded) == (RefundStatus.SUCCEEDED, view.payment.captured)


async def test_a_payment_stays_succeeded_when_it_is_refunded(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, deliver=True)).id

    view = await kit.payments.refund_payment(booking_id, ANN)

    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_partial_refunds_cannot_exceed_the_full_amount(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, deliver=True)).id
    await kit.payments.refund_payment(booking_id, ANN, amount="60.00")

    with pytest.raises(RefusedByRule) as refusal:
        await kit.payments.refund_payment(booking_id, ANN, amount="40.01")

    await kit.payments.refund_payment(booking_id, ANN, amount="40.00")
    payment = await payment_of(kit, booking_id)
    assert (refusal.value.code, payment.refunded) == ("exceeds_refundable", payment.captured)


async def test_after_a_full_refund_no_further_refund_is_possible(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, deliver=True)).id
    await kit.payments.refund_payment(booking_id, ANN)

    with pytest.raises(RefusedByRule) as refusal:
        await kit.payments.refund_payment(booking_id, ANN)

    assert refusal.value.code == "nothing_left"


async def test_a_refund_sends_the_ids_and_not_the_note_to_the_gateway(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, deliver=True)).id
    view = await kit.payments.refund_payment(booking_id, ANN, amount="10.00", note="rain")

    refund = (await kit.deps.gateway.list_refunds(view.payment.intent_id or ""))[0]
    assert (refund.metadata["refund_id"], view.refund.note) == (view.refund.id, "rain")
    assert "rain" not in refund.metadata.values()
    assert refund.metadata["booking_id"] == booking_id


async def test_a_refund_reason_of_the_gateway_is_sent_to_it(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, deliver=True)).id

    view = await kit.payments.refund_payment(booking_id, OPERATOR, reason=RefundReason.DUPLICATE)

    refund = (await kit.deps.gateway.list_refunds(view.payment.intent_id or ""))[0]
    assert refund.reason == "duplicate"


async def test_an_unpaid_booking_cannot_be_refunded(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN)

    with pytest.raises(NotPossibleNow) as refusal:
        await kit.payments.refund_payment(booking.id, ANN)

    assert refusal.value.code == "not_paid"


async def test_a_booking_without_a_payment_has_nothing_to_refund(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    with pytest.raises(NotFound):
        await kit.payments.refund_payment(booking.id, ANN)


async def test_after_the_event_has_started_a_refund_is_refused(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, deliver=True)).id
    kit.clock.advance(timedelta(days=30))

    with pytest.raises(RefusedByRule) as refusal:
        await kit.payments.refund_payment(booking_id, ANN)

    assert refusal.value.code == "event_started"


async def test_a_disputed_payment_cannot_be_refunded(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, "pm_card_createDispute", deliver=True)).id

    with pytest.raises(NotPossibleNow) as refusal:
        await kit.payments.refund_payment(booking_id, ANN)

    assert refusal.value.code == "disputed"


@pytest.mark.parametrize("amount", ["0.00", "-5.00", "1.005", "ten", "NaN", "1e1", ""])
async def test_a_refund_of_an_invalid_amount_is_refused(kit: PaymentsTestKit, amount: str) -> None:
    booking_id = (await paid_booking(kit, deliver=True)).id

    with pytest.raises(InvalidAmount):
        await kit.payments.refund_payment(booking_id, ANN, amount=amount)


async def test_a_pending_refund_reserves_its_amount(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, "pm_card_pendingRefund", deliver=True)).id
    view = await kit.payments.refund_payment(booking_id, ANN, amount="60.00")
    assert view.refund.status is RefundStatus.PENDING

    with pytest.raises(RefusedByRule):
        await kit.payments.refund_payment(booking_id, ANN, amount="60.00")

    payment = await payment_of(kit, booking_id)
    assert (payment.refund_pending.minor, payment.refunded.minor) == (6000, 0)


async def test_a_pending_refund_succeeds_later(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, "pm_card_pendingRefund", deliver=True)).id
    await kit.payments.refund_payment(booking_id, ANN)
    kit.clock.advance(timedelta(seconds=3))

    await kit.deliver_webhooks()

    payment = await payment_of(kit, booking_id)
    assert (payment.refund_pending.minor, payment.refunded.minor) == (0, 10000)


async def test_a_refund_that_the_bank_returns_can_be_made_again(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, "pm_card_refundFail", deliver=True)).id
    await kit.payments.refund_payment(booking_id, ANN)
    kit.clock.advance(timedelta(seconds=3))
    await kit.deliver_webhooks()

    payment = await payment_of(kit, booking_id)
    quote = await kit.payments.quote_refund(booking_id, ANN)
    assert (payment.refunds[0].status, payment.refunded.minor) == (RefundStatus.FAILED, 0)
    assert (quote.allowed, quote.amount) == (True, payment.captured)


async def test_a_refund_made_in_the_dashboard_is_recorded(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, deliver=True)).id
    payment = await payment_of(kit, booking_id)
    kit.stripe.refund_in_dashboard(payment.intent_id or "", 3000)

    await kit.deliver_webhooks()

    assert (await payment_of(kit, booking_id)).refunded.minor == 3000


async def test_an_unknown_refund_stays_reserved_until_it_is_settled(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, deliver=True)).id
    kit.stripe.faults.script("POST /v1/refunds", "timeout_after", times=3)

    with pytest.raises(OutcomeUnknown):
        await kit.payments.refund_payment(booking_id, ANN, amount="60.00")

    assert (await payment_of(kit, booking_id)).refund_pending.minor == 6000


async def test_an_unknown_refund_is_never_made_twice(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, deliver=True)).id
    kit.stripe.faults.script("POST /v1/refunds", "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.refund_payment(booking_id, ANN, amount="60.00")

    await kit.settle()

    payment = await payment_of(kit, booking_id)
    made = await kit.deps.gateway.list_refunds(payment.intent_id or "")
    assert (len(made), payment.refunded.minor, payment.refund_pending.minor) == (1, 6000, 0)


async def test_a_refund_that_never_arrived_is_sent_again_with_its_key(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, deliver=True)).id
    kit.stripe.faults.script("POST /v1/refunds", "timeout_before", times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.refund_payment(booking_id, ANN, amount="60.00")

    await kit.settle()

    keys = {call.key for call in kit.stripe.calls if call.path == "/v1/refunds" and call.method == "POST"}
    assert (len(keys), (await payment_of(kit, booking_id)).refunded.minor) == (1, 6000)


async def test_a_refund_that_could_not_be_sent_fails(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, deliver=True)).id
    kit.stripe.faults.script("POST /v1/refunds", "429_limit", times=3)

    with pytest.raises(TryAgainLater):
        await kit.payments.refund_payment(booking_id, ANN, amount="60.00")

    await kit.settle()
    payment = await payment_of(kit, booking_id)
    assert (payment.refunded.minor, payment.refund_pending.minor, payment.owed.amount.minor) == (0, 0, 0)


async def test_a_second_refund_first_settles_the_unknown_one(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, deliver=True)).id
    kit.stripe.faults.script("POST /v1/refunds", "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.refund_payment(booking_id, ANN, amount="60.00")

    view = await kit.payments.refund_payment(booking_id, ANN, amount="40.00")

    assert view.payment.refunded == view.payment.captured


async def test_a_refused_refund_releases_its_reserved_amount(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, deliver=True)).id
    payment = await payment_of(kit, booking_id)
    kit.stripe.refund_in_dashboard(payment.intent_id or "", 8000)

    with pytest.raises(RefusedByRule) as refusal:
        await kit.payments.refund_payment(booking_id, ANN, amount="50.00")

    payment = await payment_of(kit, booking_id)
    assert (refusal.value.code, payment.refunded.minor, payment.refund_pending.minor) == (
        "exceeds_refundable",
        8000,
        0,
    )


async def test_the_refund_equals_its_quote(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, refund_policy=TIERS, deliver=True)).id
    kit.clock.advance(timedelta(days=29, hours=-6))

    quote = await kit.payments.quote_refund(booking_id, ANN)
    view = await kit.payments.refund_payment(booking_id, ANN)

    assert (quote.amount.minor, view.refund.amount) == (5000, quote.amount)


async def test_a_quote_has_a_deadline(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, refund_policy=TIERS, deliver=True)).id
    booking = await kit.payments.get_booking(booking_id)

    quote = await kit.payments.quote_refund(booking_id, ANN)

    assert quote.refundable_until == booking.event_starts_at - timedelta(hours=48)


async def test_a_quote_moves_nothing(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, deliver=True)).id
    before = await payment_of(kit, booking_id)

    await kit.payments.quote_refund(booking_id, ANN, amount="10.00")

    assert await payment_of(kit, booking_id) == before


async def test_close_to_the_event_the_tiers_allow_no_refund(kit: PaymentsTestKit) -> None:
    booking_id = (await paid_booking(kit, refund_policy=TIERS, deliver=True)).id
    kit.clock.advance(timedelta(days=29, hours=1))

    assert (await kit.payments.quote_refund(booking_id, ANN)).reason is QuoteReason.TOO_LATE


async def test_the_customers_fee_is_refunded_if_the_policy_returns_it(storage: Storage) -> None:
    fees = FeePolicy(payer=FeePayer.CUSTOMER, on_refund=FeeOnRefund.RETURNED)
    kit = PaymentsTestKit(
        storage=storage, config=PaymentConfig(fees=fees, refunds=RefundPolicy(fee=FeeOnRefund.RETURNED))
    )
    booking_id = (await paid_booking(kit, deliver=True)).id

    quote = await kit.payments.quote_refund(booking_id, ANN)

    assert (quote.amount.major(), quote.fee_refunded.major()) == ("103.00", "3.00")


async def test_the_customers_fee_is_kept_if_the_policy_keeps_it(storage: Storage) -> None:
    kit = PaymentsTestKit(storage=storage, config=PaymentConfig(fees=FeePolicy(payer=FeePayer.CUSTOMER)))
    booking_id = (await paid_booking(kit, deliver=True)).id

    quote = await kit.payments.quote_refund(booking_id, ANN)

    assert (quote.amount.major(), quote.fee_refunded.major()) == ("100.00", "0.00")


async def test_what_a_cancellation_kept_cannot_be_taken_by_the_customer_afterwards(kit: PaymentsTestKit) -> None:
    booking = await paid_booking(kit, deliver=True)
    await kit.payments.cancel_booking(booking.id, OPERATOR, refund=RefundOnCancel.NONE)

    with pytest.raises(NotPossibleNow) as refused:
        await kit.payments.refund_payment(booking.id, ANN)

    assert refused.value.code == "booking_canceled"
    assert not (await payment_of(kit, booking)).refunds


@pytest.mark.parametrize("order", [("50.00", "a"), ("a", "50.00"), ("99.99", "a")])
async def test_refunds_of_the_customer_that_give_everything_back_cancel_the_booking_in_any_order(
    kit: PaymentsTestKit, order: tuple[str, str]
) -> None:
    booking = await paid_booking(kit, deliver=True, items={"a": (1, "50.00"), "b": (1, "50.00")})

    for each in order:
        assert (await kit.payments.get_booking(booking.id)).status is BookingStatus.CONFIRMED
        named: dict[str, Any] = {"items": [ItemCount(id="a")]} if each == "a" else {"amount": each}
        await kit.payments.refund_payment(booking.id, ANN, **named)

    after = await kit.payments.get_booking(booking.id)
    assert (await payment_of(kit, booking)).refunded.major() == "100.00"
    assert (after.status, after.end_reason) == (BookingStatus.CANCELED, EndReason.REFUNDED)
