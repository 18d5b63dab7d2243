"""A full refund before the event cancels the booking; and bookings that only the organizer may refund."""

from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import attrs
import pytest

from booking_payments.adapters.memory.stores import MemoryStorage
from booking_payments.application.dependencies import PaymentConfig
from booking_payments.application.views import NewBooking
from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking, BookingDetails, BookingStatus, EndReason
from booking_payments.domain.errors import OutcomeUnknown, PaymentError, RefusedByRule, TryAgainLater
from booking_payments.domain.fees import FeePayer, FeePolicy
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import DeferredRefund
from booking_payments.domain.refunds import (
    CustomerRefunds,
    QuoteReason,
    RefundOnCancel,
    RefundPolicy,
    RefundTier,
)
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit


async def paid(kit: PaymentsTestKit, *, policy: RefundPolicy | None = None) -> Booking:
    booking = await kit.book(refund_policy=policy)
    await kit.payments.start_payment(booking.id, ANN, payment_method_id="pm_card_visa", confirm_immediately=True)
    await kit.deliver_webhooks()
    return await kit.payments.get_booking(booking.id)


async def status(kit: PaymentsTestKit, booking: Booking) -> BookingStatus:
    return (await kit.payments.get_booking(booking.id)).status


async def owed(kit: PaymentsTestKit, booking: Booking) -> str:
    return (await kit.payments.describe_booking(booking.id)).refund_owed.major()


async def in_dashboard(kit: PaymentsTestKit, booking: Booking, amount: int) -> str:
    intent = (await kit.payments.payment_status(booking.id)).payment.intent_id
    answer = kit.stripe.refund_in_dashboard(intent or "", amount)
    assert answer.ok, answer.body
    await kit.deliver_webhooks()
    return str(answer.body["id"])


async def releases(kit: PaymentsTestKit, booking: Booking) -> list[tuple[str, ev.BookingReleased]]:
    journal = await kit.payments.journal(booking.id)
    return [(each.actor, each.event) for each in journal if isinstance(each.event, ev.BookingReleased)]


async def test_a_full_refund_by_the_owner_cancels_the_booking_and_states_the_reason() -> None:
    kit = PaymentsTestKit()
    booking = await paid(kit)

    await kit.payments.refund_payment(booking.id, ANN)

    ended = await kit.payments.get_booking(booking.id)
    assert (ended.status, ended.end_reason) == (BookingStatus.CANCELED, EndReason.REFUNDED)
    assert ended.to_dict()["reason"] == "refunded"
    assert await releases(kit, booking) == [("customer:ann", ev.BookingReleased(status="canceled", reason="refunded"))]
    await kit.settle()
    said = [each for each in kit.publisher.published if each.type == "booking.canceled"]
    assert [each.data["reason"] for each in said] == ["refunded"]
    assert [each.data["booking_status"] for each in said] == ["canceled"]


async def test_the_partial_refund_that_completes_the_full_amount_cancels_the_booking() -> None:
    kit = PaymentsTestKit()
    booking = await paid(kit)

    await kit.payments.refund_payment(booking.id, ANN, amount="40.00")
    assert await status(kit, booking) is BookingStatus.CONFIRMED
    await in_dashboard(kit, booking, 25_00)
    assert await status(kit, booking) is BookingStatus.CONFIRMED
    await kit.payments.refund_payment(booking.id, ANN)

    assert await status(kit, booking) is BookingStatus.CANCELED


async def test_a_full_refund_in_the_dashboard_cancels_the_booking_with_the_gateway_as_actor() -> None:
    kit = PaymentsTestKit()
    booking = await paid(kit)

    await in_dashboard(kit, booking, 100_00)

    assert await status(kit, booking) is BookingStatus.CANCELED
    [(actor, event)] = await releases(kit, booking)
    assert (actor, event.reason) == ("gateway", "refunded")
    trail = await kit.payments.audit_trail(booking.id)
    assert any("BookingReleased" in str(each.asked.get("events")) for each in trail)


@pytest.mark.parametrize("by", ["the owner", "the dashboard"])
async def test_when_the_full_refund_fails_later_the_booking_stays_canceled_and_the_amount_is_owed(by: str) -> None:
    kit = PaymentsTestKit()
    booking = await paid(kit)
    if by == "the owner":
        view = await kit.payments.refund_payment(booking.id, ANN)
        refund_id = view.refund.gateway_refund_id or ""
    else:
        refund_id = await in_dashboard(kit, booking, 100_00)

    assert kit.stripe.move_refund(refund_id, "failed").ok
    await kit.settle()

    assert await status(kit, booking) is BookingStatus.CANCELED
    assert await owed(kit, booking) == "100.00"
    again = await kit.payments.refund_payment(booking.id, ANN)
    assert again.refund.amount.major() == "100.00"
    assert await owed(kit, booking) == "0.00"


@pytest.mark.parametrize("full_refund_cancels", [True, False])
async def test_after_a_full_cancellation_later_failures_of_any_refund_are_owed(
    full_refund_cancels: bool,
) -> None:
    kit = PaymentsTestKit(config=PaymentConfig(full_refund_cancels=full_refund_cancels))
    booking = await paid(kit)
    own = await kit.payments.refund_payment(booking.id, OPERATOR, amount="50.00")
    in_the_dashboard = await in_dashboard(kit, booking, 50_00)

    for _ in range(2):
        await kit.payments.cancel_booking(booking.id, OPERATOR, refund=RefundOnCancel.FULL)
    amounts = [await owed(kit, booking)]
    for refund_id in (own.refund.gateway_refund_id or "", in_the_dashboard):
        assert kit.stripe.move_refund(refund_id, "failed").ok
        await kit.settle()
        amounts.append(await owed(kit, booking))

    told = [each.type for each in kit.publisher.published].count("booking.canceled")
    assert (amounts, told) == (["0.00", "50.00", "100.00"], 1)
    await kit.payments.cancel_booking(booking.id, OPERATOR, refund=RefundOnCancel.FULL)
    await kit.settle()
    assert await owed(kit, booking) == "0.00"


async def test_a_full_refund_by_an_operator_does_not_cancel_the_booking() -> None:
    kit = PaymentsTestKit()
    booking = await paid(kit)

    await kit.payments.refund_payment(booking.id, OPERATOR, amount="60.00")
    await kit.payments.refund_payment(booking.id, OPERATOR, note="goodwill", override=True)
    await kit.settle()

    assert await status(kit, booking) is BookingStatus.CONFIRMED


async def test_a_partial_refund_by_the_owner_completed_by_an_operator_does_not_cancel_the_booking() -> None:
    kit = PaymentsTestKit()
    booking = await paid(kit)

    await kit.payments.refund_payment(booking.id, ANN, amount="40.00")
    await kit.payments.refund_payment(booking.id, OPERATOR)
    await kit.settle()

    assert await status(kit, booking) is BookingStatus.CONFIRMED


async def test_a_full_refund_by_the_booking_app_does_not_cancel_the_booking() -> None:
    kit = PaymentsTestKit()
    booking = await paid(kit)

    await kit.payments.process_booking_refund(booking)

    assert await status(kit, booking) is BookingStatus.CONFIRMED


async def test_a_full_refund_in_the_dashboard_after_the_start_cancels_nothing() -> None:
    kit = PaymentsTestKit()
    booking = await paid(kit)
    kit.clock.advance(timedelta(days=31))

    await in_dashboard(kit, booking, 100_00)
    await kit.settle()

    assert await status(kit, booking) is BookingStatus.CONFIRMED


async def test_with_the_setting_off_a_full_refund_does_not_cancel_the_booking() -> None:
    kit = PaymentsTestKit(config=PaymentConfig(full_refund_cancels=False))
    booking = await paid(kit)

    await kit.payments.refund_payment(booking.id, ANN)
    await kit.settle()

    assert await status(kit, booking) is BookingStatus.CONFIRMED


async def test_with_the_setting_off_a_full_refund_in_the_dashboard_leaves_the_booking_confirmed() -> None:
    kit = PaymentsTestKit(config=PaymentConfig(full_refund_cancels=False))
    booking = await paid(kit)

    await in_dashboard(kit, booking, 100_00)

    assert await status(kit, booking) is BookingStatus.CONFIRMED


async def test_the_maximum_of_a_tier_is_not_a_full_refund() -> None:
    kit = PaymentsTestKit()
    half = RefundPolicy(tiers=(RefundTier(hours_before=0, percent=Decimal(50)),))
    booking = await paid(kit, policy=half)

    await kit.payments.refund_payment(booking.id, ANN)

    assert await status(kit, booking) is BookingStatus.CONFIRMED


async def test_a_kept_fee_does_not_count_toward_a_full_refund() -> None:
    kit = PaymentsTestKit(config=PaymentConfig(fees=FeePolicy(rate=Decimal("0.03"), payer=FeePayer.CUSTOMER)))
    booking = await paid(kit)

    view = await kit.payments.refund_payment(booking.id, ANN)

    assert view.refund.amount < view.payment.captured
    assert await status(kit, booking) is BookingStatus.CANCELED


async def test_a_deferred_part_counts_toward_a_full_refund_because_it_is_promised() -> None:
    kit = PaymentsTestKit()
    booking = await paid(kit)
    intent = (await kit.payments.payment_status(booking.id)).payment.intent_id or ""
    assert kit.stripe.open_dispute(intent, inquiry=True).ok
    await kit.deliver_webhooks()

    first = await kit.payments.refund_payment(booking.id, ANN, amount="40.00")
    assert isinstance(first.refund, DeferredRefund)
    assert await status(kit, booking) is BookingStatus.CONFIRMED
    await kit.payments.refund_payment(booking.id, ANN)

    assert await status(kit, booking) is BookingStatus.CANCELED


async def test_a_deferred_refund_of_everything_cancels_the_booking_when_it_is_promised() -> None:
    kit = PaymentsTestKit()
    booking = await paid(kit)
    intent = (await kit.payments.payment_status(booking.id)).payment.intent_id or ""
    assert kit.stripe.open_dispute(intent, inquiry=True, refundable=False).ok
    await kit.deliver_webhooks()

    view = await kit.payments.refund_payment(booking.id, ANN)

    assert isinstance(view.refund, DeferredRefund)
    assert await status(kit, booking) is BookingStatus.CANCELED
    assert await owed(kit, booking) == "100.00"


async def test_a_full_refund_deferred_by_an_unreported_dispute_cancels_the_booking() -> None:
    kit = PaymentsTestKit()
    booking = await paid(kit)
    intent = (await kit.payments.payment_status(booking.id)).payment.intent_id or ""
    assert kit.stripe.open_dispute(intent).ok  # our books do not know of it yet

    with suppress(PaymentError):
        await kit.payments.refund_payment(booking.id, ANN)
    await kit.settle()

    assert await status(kit, booking) is BookingStatus.CANCELED
    assert await owed(kit, booking) == "100.00"


async def test_a_refund_that_fails_at_once_does_not_cancel_the_booking() -> None:
    kit = PaymentsTestKit()
    booking = await paid(kit)
    kit.stripe.faults.script("POST /v1/refunds", "429_limit", times=9)

    with pytest.raises(TryAgainLater):
        await kit.payments.refund_payment(booking.id, ANN)
    kit.stripe.faults.clear()

    assert await status(kit, booking) is BookingStatus.CONFIRMED
    assert await owed(kit, booking) == "0.00"


async def test_a_full_refund_with_an_unknown_outcome_cancels_the_booking_because_it_is_promised() -> None:
    kit = PaymentsTestKit()
    booking = await paid(kit)
    kit.stripe.faults.script("POST /v1/refunds", "timeout_after", times=9)

    with pytest.raises(OutcomeUnknown):
        await kit.payments.refund_payment(booking.id, ANN)
    assert await status(kit, booking) is BookingStatus.CANCELED
    kit.stripe.faults.clear()
    await kit.settle()

    assert await owed(kit, booking) == "0.00"
    assert len(await releases(kit, booking)) == 1


async def test_canceling_the_booking_after_its_full_refund_changes_nothing() -> None:
    kit = PaymentsTestKit()
    booking = await paid(kit)
    await kit.payments.refund_payment(booking.id, ANN)

    await kit.payments.cancel_booking(booking.id, OPERATOR, refund=RefundOnCancel.FULL)
    await kit.settle()

    payment = (await kit.payments.payment_status(booking.id)).payment
    assert payment.refunded == payment.captured
    assert len(await releases(kit, booking)) == 1


# --- customer_refunds ------------------------------------------------------------------------------------------


async def organizer_only(kit: PaymentsTestKit, choice: CustomerRefunds | None) -> Booking:
    new = NewBooking(
        reference="R-9",
        customer_id="ann",
        amount=Money.parse("100.00", Currency.USD),
        event_starts_at=kit.clock.now() + timedelta(days=9),
        details=BookingDetails(customer_refunds=choice),
    )
    booking = (await kit.payments.register_booking(new)).booking
    await kit.payments.start_payment(booking.id, ANN, payment_method_id="pm_card_visa", confirm_immediately=True)
    await kit.deliver_webhooks()
    return booking


@pytest.mark.parametrize(
    ("default", "choice", "allowed"),
    [
        (CustomerRefunds.POLICY, CustomerRefunds.NONE, False),
        (CustomerRefunds.NONE, None, False),
        (CustomerRefunds.NONE, CustomerRefunds.POLICY, True),
        (CustomerRefunds.POLICY, None, True),
    ],
)
async def test_the_booking_or_else_the_setting_decides_whether_its_owner_may_refund(
    default: CustomerRefunds, choice: CustomerRefunds | None, allowed: bool
) -> None:
    kit = PaymentsTestKit(config=PaymentConfig(customer_refunds=default), storage=MemoryStorage())
    booking = await organizer_only(kit, choice)

    quote = await kit.payments.quote_refund(booking.id, ANN)

    assert quote.allowed is allowed
    assert (await kit.payments.quote_refund(booking.id, OPERATOR)).allowed
    if allowed:
        return
    assert quote.reason is QuoteReason.REFUNDED_BY_ORGANIZER
    assert not quote.amount
    with pytest.raises(RefusedByRule) as refused:
        await kit.payments.refund_payment(booking.id, ANN)
    assert refused.value.code == "refunded_by_organizer"
    assert await status(kit, booking) is BookingStatus.CONFIRMED
    assert attrs.evolve(booking).details.customer_refunds is choice
    given = await kit.payments.refund_payment(booking.id, OPERATOR)
    assert given.refund.amount.major() == "100.00"
