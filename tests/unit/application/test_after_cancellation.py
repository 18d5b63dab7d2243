"""A cancellation decides what goes back; its customer cannot take more afterwards."""

from datetime import timedelta
from decimal import Decimal

import pytest

from booking_payments.application.callers import Caller
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain.booking import Booking, BookingDetails, BookingStatus, ItemCount
from booking_payments.domain.errors import NotPossibleNow, PaymentError, RefusedByRule
from booking_payments.domain.payment import Payment
from booking_payments.domain.refunds import CustomerRefunds, QuoteReason, RefundPolicy, RefundTier
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit
from tests.payments import paid_booking, payment_of

HALF = RefundPolicy(tiers=(RefundTier(hours_before=0, percent=Decimal(50)),))


async def canceled(kit: PaymentsTestKit, refund: RefundOnCancel, policy: RefundPolicy | None = None) -> Booking:
    booking = await paid_booking(kit, deliver=True, refund_policy=policy)
    await kit.payments.cancel_booking(booking.id, OPERATOR, refund=refund)
    await kit.settle()
    return booking


async def fail_refund(kit: PaymentsTestKit, booking: Booking) -> Payment:
    payment = await payment_of(kit, booking)
    assert kit.stripe.fail_refund(payment.refunds[-1].gateway_refund_id or "").ok
    await kit.settle()
    return await payment_of(kit, booking)


async def is_refused(kit: PaymentsTestKit, booking: Booking) -> None:
    quote = await kit.payments.quote_refund(booking.id, ANN)
    assert quote.reason is QuoteReason.BOOKING_CANCELED
    with pytest.raises(NotPossibleNow) as refused:
        await kit.payments.refund_payment(booking.id, ANN)
    assert refused.value.code == "booking_canceled"


async def test_what_a_cancellation_by_policy_kept_stays_kept_in_a_later_grace() -> None:
    kit = PaymentsTestKit()
    booking = await paid_booking(kit, deliver=True, refund_policy=HALF, event_id="E")
    grace = kit.clock.now() + timedelta(days=9)
    moved = kit.clock.now() + timedelta(days=60)
    job = await kit.payments.reschedule_event("E", OPERATOR, event_starts_at=moved, refund_grace_until=grace)
    await kit.payments.run_event_job(job)
    await kit.payments.cancel_booking(booking.id, OPERATOR, refund=RefundOnCancel.NONE)

    await is_refused(kit, booking)


async def test_what_the_cancellation_of_an_event_kept_stays_kept() -> None:
    kit = PaymentsTestKit()
    booking = await paid_booking(kit, deliver=True, event_id="E")
    await kit.payments.run_event_job(await kit.payments.cancel_event("E", OPERATOR, refund=RefundOnCancel.NONE))

    await is_refused(kit, booking)


async def test_the_refund_that_a_cancellation_promised_and_that_failed_is_given_to_its_customer_again() -> None:
    kit = PaymentsTestKit()
    booking = await canceled(kit, RefundOnCancel.POLICY, HALF)
    await is_refused(kit, booking)
    await fail_refund(kit, booking)

    with pytest.raises(RefusedByRule) as refused:
        await kit.payments.refund_payment(booking.id, ANN, amount="50.01")
    given = await kit.payments.refund_payment(booking.id, ANN)

    assert refused.value.code == "exceeds_refundable"
    assert given.refund.amount.major() == "50.00"
    await is_refused(kit, booking)


async def test_operators_give_more_than_the_cancellation_by_the_policy_by_an_override_or_by_canceling_in_full() -> None:
    kit = PaymentsTestKit()
    booking = await canceled(kit, RefundOnCancel.NONE, HALF)

    by_policy = await kit.payments.refund_payment_by_id((await payment_of(kit, booking)).id, OPERATOR)
    quote = await kit.payments.quote_refund(booking.id, OPERATOR, override=True)
    await kit.payments.refund_payment(booking.id, OPERATOR, amount="30.00", override=True, note="as agreed")
    await kit.payments.cancel_booking(booking.id, OPERATOR, refund=RefundOnCancel.FULL)
    await kit.settle()

    assert (by_policy.refund.amount.major(), quote.overrides) == ("50.00", ("tier",))
    assert (await payment_of(kit, booking)).refunded.major() == "100.00"


async def test_of_a_canceled_booking_nothing_remains_refundable_in_its_messages() -> None:
    kit = PaymentsTestKit()
    await canceled(kit, RefundOnCancel.NONE)
    await kit.payments.deliver_messages()

    messages = {message.type: message.data for message in kit.publisher.published}

    assert messages["booking.canceled"]["remaining_refundable"] == "0.00"


# --- seats for which nothing goes back -------------------------------------------------------------------------

NOTHING = RefundPolicy(tiers=(RefundTier(hours_before=24 * 300, percent=Decimal(100)),))


async def test_the_owner_of_a_paid_booking_gives_up_a_free_seat_and_not_one_that_gives_money_back() -> None:
    kit = PaymentsTestKit()
    booking = await paid_booking(kit, deliver=True, items={"adult": (1, "50.00"), "baby": (1, "0.00")})

    with pytest.raises(NotPossibleNow) as refused:
        await kit.payments.cancel_booking(booking.id, ANN, items=[ItemCount(id="adult")])
    left = await kit.payments.cancel_booking(booking.id, ANN, items=[ItemCount(id="baby")])

    assert refused.value.code == "already_paid"
    assert [item.id for item in left.items] == ["adult"]
    assert not (await payment_of(kit, booking)).refunds


async def test_the_owner_gives_up_a_paid_booking_only_where_nothing_goes_back_and_before_the_event() -> None:
    kit = PaymentsTestKit()
    gives = await paid_booking(kit, deliver=True, reference="gives")
    over = await paid_booking(kit, deliver=True, reference="over", refund_policy=NOTHING, starts_in=timedelta(days=1))
    keeps = await paid_booking(kit, deliver=True, reference="keeps", refund_policy=NOTHING, starts_in=timedelta(days=9))
    kit.clock.advance(timedelta(days=2))

    for booking, code in ((gives, "already_paid"), (over, "event_started")):
        with pytest.raises(PaymentError) as refused:
            await kit.payments.cancel_booking(booking.id, ANN)
        assert refused.value.code == code

    assert (await kit.payments.cancel_booking(keeps.id, ANN)).status is BookingStatus.CANCELED
    assert not (await payment_of(kit, keeps)).refunds


@pytest.mark.parametrize("items", [[], [ItemCount(id="adult", quantity=1)]], ids=["whole", "items"])
@pytest.mark.parametrize("obstacle", ["event_started", "refunded_by_organizer", "disputed"])
async def test_an_owner_who_cancels_is_told_why_a_refund_is_refused_as_well(
    obstacle: str, items: list[ItemCount]
) -> None:
    kit = PaymentsTestKit()
    none = BookingDetails(customer_refunds=CustomerRefunds.NONE)
    details = none if obstacle == "refunded_by_organizer" else BookingDetails()
    card = "pm_card_createDispute" if obstacle == "disputed" else "pm_card_visa"
    booking = await paid_booking(kit, card, deliver=True, items={"adult": (2, "50.00")}, details=details)
    if obstacle == "event_started":
        kit.clock.advance(timedelta(days=31))

    with pytest.raises(PaymentError) as refund:
        await kit.payments.refund_payment(booking.id, ANN, items=items)
    with pytest.raises(PaymentError) as refused:
        await kit.payments.cancel_booking(booking.id, ANN, items=items)

    assert (refused.value.code, type(refused.value)) == (obstacle, type(refund.value))
    assert refund.value.code == obstacle


@pytest.mark.parametrize("caller", [ANN, OPERATOR], ids=["customer", "operator"])
@pytest.mark.parametrize("refunds", CustomerRefunds)
async def test_the_refund_of_a_free_seat_points_to_its_cancellation(caller: Caller, refunds: CustomerRefunds) -> None:
    kit = PaymentsTestKit()
    details = BookingDetails(customer_refunds=refunds)
    booking = await paid_booking(kit, deliver=True, items={"adult": (1, "50.00"), "baby": (1, "0.00")}, details=details)
    baby = [ItemCount(id="baby")]

    quote = await kit.payments.quote_refund(booking.id, caller, items=baby)
    with pytest.raises(RefusedByRule) as refused:
        await kit.payments.refund_payment(booking.id, caller, items=baby)
    left = await kit.payments.cancel_booking(booking.id, caller, items=baby)

    assert (quote.reason, refused.value.code) == (QuoteReason.ITEMS_FREE, "items_free")
    assert [item.id for item in left.items] == ["adult"]


async def test_the_quote_of_an_owners_last_item_is_what_its_refund_gives() -> None:
    kit = PaymentsTestKit()
    booking = await paid_booking(kit, deliver=True, items={"seat": (1, "1.03")}, refund_policy=HALF)

    quote = await kit.payments.quote_refund(booking.id, ANN, items=[ItemCount(id="seat")])
    given = await kit.payments.refund_payment(booking.id, ANN, items=[ItemCount(id="seat")])

    assert quote.amount == given.refund.amount


async def test_the_quote_of_an_item_contains_an_earlier_refund_that_failed() -> None:
    kit = PaymentsTestKit()
    booking = await paid_booking(kit, deliver=True, items={"seat": (4, "25.00")})
    await kit.payments.refund_payment(booking.id, ANN, amount="50.00")
    await fail_refund(kit, booking)

    quote = await kit.payments.quote_refund(booking.id, ANN, items=[ItemCount(id="seat", quantity=1)])
    given = await kit.payments.refund_payment(booking.id, ANN, items=[ItemCount(id="seat", quantity=1)])

    assert (quote.amount.major(), given.refund.amount.major()) == ("75.00", "75.00")
    assert len((await kit.payments.payment_status(booking.id)).payment.refunds) == 2
