"""Previews of changes report the effect of a command and store nothing; a command does only what was quoted."""

from datetime import timedelta

import pytest

from booking_payments.application.previews import ChangePreview, Effect
from booking_payments.application.quoted import Quoted
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain.amendments import BookingChange
from booking_payments.domain.booking import Booking, BookingStatus, ItemCount
from booking_payments.domain.errors import NotPossibleNow, RefusedByRule
from booking_payments.domain.money import Currency
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit
from tests.payments import VISA, authorize, book_and_pay, pay, start
from tests.unit.application.test_amending import HALF, price, usd

SEATS = {"adult": (2, "30.00"), "child": (1, "10.00")}


async def cancel_preview(kit: PaymentsTestKit, booking_id: str, **options: object) -> ChangePreview:
    return await kit.payments.preview_cancellation(booking_id, OPERATOR, **options)  # type: ignore[arg-type]


async def refunded(kit: PaymentsTestKit, booking_id: str) -> str:
    payment = (await kit.payments.payment_status(booking_id)).payment
    return (payment.refunded + payment.refund_pending).major()


@pytest.mark.parametrize("mode", list(RefundOnCancel))
async def test_the_preview_of_an_amendment_has_its_refund(kit: PaymentsTestKit, mode: RefundOnCancel) -> None:
    booking = (await book_and_pay(kit, refund_policy=HALF)).payment.booking_id

    preview = await kit.payments.preview_amendment(booking, price("60.00"), OPERATOR, refund=mode)
    before = await refunded(kit, booking)
    await kit.payments.amend_booking(booking, price("60.00"), OPERATOR, refund=mode)

    assert before == "0.00"
    assert (preview.effect, preview.changed, preview.after.amount) == (Effect.REFUND, ("amount",), usd("60.00"))
    assert preview.refund.amount.major() == await refunded(kit, booking)
    assert preview.kept == usd("100.00") - preview.refund.amount


@pytest.mark.parametrize("mode", list(RefundOnCancel))
async def test_the_preview_of_a_cancellation_has_its_refund_and_fee(kit: PaymentsTestKit, mode: RefundOnCancel) -> None:
    booking = (await book_and_pay(kit, refund_policy=HALF)).payment.booking_id

    preview = await cancel_preview(kit, booking, refund=mode)
    await kit.payments.cancel_booking(booking, OPERATOR, refund=mode)

    payment = (await kit.payments.payment_status(booking)).payment
    assert preview.refund == payment.given_back
    assert preview.fee_kept == payment.breakdown.fee - payment.given_back.fee
    assert preview.after.status is BookingStatus.CANCELED


async def test_the_preview_of_single_seats_has_the_remainder(kit: PaymentsTestKit) -> None:
    booking = await kit.book(None, items=SEATS)
    await pay(kit, booking)

    preview = await cancel_preview(kit, booking.id, items=[ItemCount(id="adult", quantity=1)])

    assert (preview.refund.amount, preview.kept, preview.after.amount) == (usd("30.00"), usd("40.00"), usd("40.00"))
    assert [(item.id, item.quantity) for item in preview.after.items] == [("adult", 1), ("child", 1)]
    assert (await kit.payments.get_booking(booking.id)).items == booking.items


async def test_the_preview_of_all_seats_is_a_cancellation(kit: PaymentsTestKit) -> None:
    booking = await kit.book(None, items=SEATS)
    await pay(kit, booking)

    preview = await cancel_preview(kit, booking.id, items=[ItemCount(id="adult"), ItemCount(id="child")])

    assert (preview.after.status, preview.refund.amount) == (BookingStatus.CANCELED, usd("70.00"))


async def test_a_preview_has_the_effect_on_an_unpaid_payment(kit: PaymentsTestKit) -> None:
    fresh = await kit.book(reference="R-2")
    begun = (await start(kit)).payment.booking_id

    effects = [
        (await cancel_preview(kit, fresh.id)).effect,
        (await cancel_preview(kit, begun)).effect,
        (await kit.payments.preview_amendment(begun, price("80.00"), OPERATOR)).effect,
        (await kit.payments.preview_amendment(begun, price("120.00"), OPERATOR)).effect,
        (await kit.payments.preview_amendment(begun, price("0.00"), OPERATOR)).effect,
        (await kit.payments.preview_amendment(begun, BookingChange(title="Hall B"), OPERATOR)).effect,
    ]

    assert effects == [
        Effect.NONE,
        Effect.PAYMENT_CANCELED,
        Effect.PRICE_CHANGED,
        Effect.PAYMENT_REPLACED,
        Effect.PAYMENT_CANCELED,
        Effect.NONE,
    ]
    assert (await kit.payments.payment_status(begun)).payment.operation is None


async def test_a_preview_has_the_effect_on_an_authorization(kit: PaymentsTestKit) -> None:
    booking = (await authorize(kit)).payment.booking_id

    assert (await cancel_preview(kit, booking)).effect is Effect.HOLD_RELEASED
    cheaper = await kit.payments.preview_amendment(booking, price("80.00"), OPERATOR)
    assert (cheaper.effect, cheaper.captured) == (Effect.HOLD_REDUCED, usd("0.00"))


async def test_a_preview_has_the_amount_that_waits_for_a_dispute(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit)
    assert kit.stripe.open_dispute(view.payment.intent_id or "").ok
    await kit.deliver_webhooks()

    preview = await cancel_preview(kit, view.payment.booking_id, refund=RefundOnCancel.FULL)

    assert (preview.refund.amount, preview.waits) == (usd("100.00"), usd("100.00"))
    assert preview.deferred_by is not None
    assert preview.deferred_by.value == "dispute"


async def test_the_preview_of_an_impossible_change_raises(kit: PaymentsTestKit) -> None:
    booking = (await book_and_pay(kit)).payment.booking_id

    with pytest.raises(NotPossibleNow) as dearer:
        await kit.payments.preview_amendment(booking, price("120.00"), OPERATOR)
    with pytest.raises(NotPossibleNow) as stale:
        await kit.payments.preview_amendment(booking, price("80.00"), OPERATOR, expected_version=1)
    with pytest.raises(RefusedByRule) as customer:
        await kit.payments.preview_amendment(booking, price("80.00"), ANN)

    assert (dearer.value.code, stale.value.code) == ("balance_needed", "version_conflict")
    assert customer.value.code == "amend_not_allowed"


# --- only what was quoted --------------------------------------------------------------------------------------


async def late(kit: PaymentsTestKit) -> Booking:
    """A paid booking of which half was refundable when it was quoted, and nothing is any more."""
    booking = await kit.book(refund_policy=HALF, starts_in=timedelta(hours=49))
    await kit.payments.process_booking_payment(booking.id, VISA)
    assert (await cancel_preview(kit, booking.id)).refund.amount == usd("50.00")
    kit.clock.advance(timedelta(hours=2))
    return await kit.payments.get_booking(booking.id)


async def test_a_cancellation_whose_refund_differs_from_its_quote_is_refused(kit: PaymentsTestKit) -> None:
    booking = await late(kit)

    with pytest.raises(NotPossibleNow) as refused:
        await kit.payments.cancel_booking(booking.id, OPERATOR, expected=Quoted(refund=usd("50.00")))

    assert refused.value.code == "quote_changed"
    assert "0.00 usd would go back now, not 50.00 usd" in refused.value.message
    assert await kit.payments.get_booking(booking.id) == booking


async def test_an_amendment_whose_refund_differs_from_its_quote_is_refused(kit: PaymentsTestKit) -> None:
    booking = await late(kit)

    with pytest.raises(NotPossibleNow) as refused:
        await kit.payments.amend_booking(booking.id, price("60.00"), OPERATOR, expected_refund=usd("20.00"))

    assert refused.value.code == "quote_changed"
    assert await kit.payments.get_booking(booking.id) == booking


@pytest.mark.parametrize("items", [(), (ItemCount(id="adult", quantity=1),)])
async def test_a_booking_that_was_changed_meanwhile_is_not_canceled(
    kit: PaymentsTestKit, items: tuple[ItemCount, ...]
) -> None:
    booking = await kit.book(None, items=SEATS)
    await kit.payments.amend_booking(booking.id, BookingChange(title="Hall B"), OPERATOR)

    with pytest.raises(NotPossibleNow) as refused:
        await kit.payments.cancel_booking(booking.id, OPERATOR, items=items, expected=Quoted(version=booking.version))

    assert refused.value.code == "version_conflict"
    assert (await kit.payments.get_booking(booking.id)).items == booking.items


async def test_a_booking_that_was_paid_meanwhile_is_not_canceled_by_an_older_quote(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    quoted = await cancel_preview(kit, booking.id)
    await kit.payments.process_booking_payment(booking.id, VISA)

    with pytest.raises(NotPossibleNow) as refused:
        await kit.payments.cancel_booking(
            booking.id, OPERATOR, expected=Quoted(version=quoted.before.version, refund=quoted.refund.amount)
        )

    assert refused.value.code == "version_conflict"
    assert await refunded(kit, booking.id) == "0.00"


async def test_yen_are_previewed_in_yen(kit: PaymentsTestKit) -> None:
    booking = await kit.book("4500", currency=Currency.JPY, refund_policy=HALF)
    await kit.payments.process_booking_payment(booking.id, VISA)

    assert (await cancel_preview(kit, booking.id)).refund.amount.major() == "2250"
