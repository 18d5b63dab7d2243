"""What goes back of a paid booking that becomes cheaper, beside disputes, settled debts and kept fees."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import pytest

from booking_payments.application.dependencies import PaymentConfig
from booking_payments.domain.amendments import BookingChange
from booking_payments.domain.booking import Booking, BookingStatus, ItemCount
from booking_payments.domain.errors import RefusedByRule
from booking_payments.domain.events import Settlement
from booking_payments.domain.fees import FeePayer, FeePolicy
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Payment
from booking_payments.domain.refunds import RefundOnCancel
from booking_payments.testing.kit import ANN, NOW, OPERATOR, PaymentsTestKit
from tests.payments import paid_booking, pay, payment_of

Reduce = Callable[[PaymentsTestKit, Booking], Awaitable[object]]
STALLS: Final = {"a": (1, "100.00"), "b": (1, "100.00")}
FEE_ON_TOP: Final = PaymentConfig(fees=FeePolicy(payer=FeePayer.CUSTOMER))


def _usd(amount: str) -> Money:
    return Money.parse(amount, Currency.USD)


async def _cancel_a(kit: PaymentsTestKit, booking: Booking) -> object:
    return await kit.payments.cancel_booking(booking.id, OPERATOR, items=[ItemCount(id="a")])


async def _refund_a(kit: PaymentsTestKit, booking: Booking) -> object:
    return await kit.payments.refund_payment(booking.id, OPERATOR, items=[ItemCount(id="a")])


async def _owner_gives_a_up(kit: PaymentsTestKit, booking: Booking) -> object:
    return await kit.payments.refund_payment(booking.id, ANN, items=[ItemCount(id="a")])


async def _by_amount(kit: PaymentsTestKit, booking: Booking) -> object:
    return await kit.payments.refund_payment(booking.id, OPERATOR, amount="100.00")


async def _lower_the_price(kit: PaymentsTestKit, booking: Booking) -> object:
    items = tuple(item for item in booking.items if item.id == "b")
    return await kit.payments.amend_booking(booking.id, BookingChange(items=items), OPERATOR)


REDUCTIONS: Final = (_cancel_a, _refund_a, _owner_gives_a_up, _lower_the_price)


async def _at_the_gateway(kit: PaymentsTestKit, booking: Booking) -> int:
    """The amount of the booking's refunds at the gateway that did not fail, in minor units."""
    intent = (await payment_of(kit, booking)).intent_id
    found = kit.stripe.call("GET", "/v1/refunds", {"payment_intent": intent, "limit": 100}).body["data"]
    return sum(each["amount"] for each in found if each["status"] in ("succeeded", "pending"))


async def _dispute(kit: PaymentsTestKit, booking: Booking, amount: int) -> str:
    opened = kit.stripe.open_dispute((await payment_of(kit, booking)).intent_id or "", amount=amount).body
    await kit.settle()
    return str(opened["id"])


async def _moves(kit: PaymentsTestKit, dispute: str, status: str) -> None:
    assert kit.stripe.move_dispute(dispute, status).ok
    await kit.settle()


# --- disputes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduce", [*REDUCTIONS, _by_amount])
async def test_money_won_back_does_not_go_back_for_a_seat_that_is_kept(kit: PaymentsTestKit, reduce: Reduce) -> None:
    booking = await paid_booking(kit, deliver=True, items=STALLS)
    dispute = await _dispute(kit, booking, 10_000)
    await _moves(kit, dispute, "lost")

    await reduce(kit, booking)
    await _moves(kit, dispute, "won")

    assert await _at_the_gateway(kit, booking) == 10_000
    assert not (await payment_of(kit, booking)).owed.amount


@pytest.mark.parametrize("reduce", [_cancel_a, _lower_the_price])
@pytest.mark.parametrize("first", ["lost", "reduced"])
async def test_whether_a_dispute_was_lost_before_or_after_a_reduction_makes_no_difference(
    kit: PaymentsTestKit, reduce: Reduce, first: str
) -> None:
    booking = await paid_booking(kit, deliver=True, items=STALLS)
    dispute = await _dispute(kit, booking, 20_000)
    if first == "lost":
        await _moves(kit, dispute, "lost")
    await reduce(kit, booking)
    if first == "reduced":
        await _moves(kit, dispute, "lost")
    given_by_the_bank = await _at_the_gateway(kit, booking)

    await _moves(kit, dispute, "won")

    assert (given_by_the_bank, await _at_the_gateway(kit, booking)) == (0, 10_000)


async def test_both_seats_given_up_while_everything_is_lost_go_back_when_it_is_won(kit: PaymentsTestKit) -> None:
    booking = await paid_booking(kit, deliver=True, items=STALLS)
    dispute = await _dispute(kit, booking, 20_000)
    await _moves(kit, dispute, "lost")

    for each in ("a", "b"):
        await kit.payments.cancel_booking(booking.id, OPERATOR, items=[ItemCount(id=each)])
    await _moves(kit, dispute, "won")

    assert await _at_the_gateway(kit, booking) == 20_000


@pytest.mark.parametrize(
    ("price", "goes_back", "waits"),
    [("190.00", "10.00", "0.00"), ("100.00", "100.00", "0.00"), ("20.00", "180.00", "80.00")],
)
async def test_a_preview_names_what_goes_back_beside_a_lost_dispute(
    kit: PaymentsTestKit, price: str, goes_back: str, waits: str
) -> None:
    booking = await paid_booking(kit, "pm_card_visa", deliver=True, amount="200.00")
    await _moves(kit, await _dispute(kit, booking, 10_000), "lost")

    preview = await kit.payments.preview_amendment(booking.id, BookingChange(amount=_usd(price)), OPERATOR)

    assert (preview.refund.amount, preview.waits) == (_usd(goes_back), _usd(waits))


# --- settled debts --------------------------------------------------------------------------------------------------


async def _owing(kit: PaymentsTestKit, booking: Booking, amount: str) -> Payment:
    """The payment after a refund that the customer asked for and their bank sent back."""
    await kit.payments.refund_payment(booking.id, ANN, amount=amount)
    payment = await payment_of(kit, booking)
    kit.stripe.fail_refund(payment.refunds[-1].gateway_refund_id or "")
    await kit.settle()
    return payment


@pytest.mark.parametrize("how", Settlement)
async def test_a_settled_debt_is_not_paid_again_to_the_customer_who_asks(kit: PaymentsTestKit, how: Settlement) -> None:
    booking = await paid_booking(kit, deliver=True)
    payment = await _owing(kit, booking, "100.00")
    await kit.payments.settle_debt(payment.id, OPERATOR, amount="100.00", how=how, note="at the desk")

    with pytest.raises(RefusedByRule) as refused:
        await kit.payments.refund_payment(booking.id, ANN)

    assert (refused.value.code, await _at_the_gateway(kit, booking)) == ("nothing_left", 0)


async def test_nor_by_an_operator_who_overrides_or_cancels_in_full(kit: PaymentsTestKit) -> None:
    booking = await paid_booking(kit, deliver=True)
    payment = await _owing(kit, booking, "60.00")
    await kit.payments.settle_debt(payment.id, OPERATOR, amount="60.00", how=Settlement.PAID_ELSEWHERE, note="cash")

    with pytest.raises(RefusedByRule):
        await kit.payments.refund_payment(booking.id, OPERATOR, amount="40.01", override=True, note="more")
    await kit.payments.cancel_booking(booking.id, OPERATOR, refund=RefundOnCancel.FULL)

    assert await _at_the_gateway(kit, booking) == 4_000


async def test_a_canceled_event_gives_back_what_was_not_settled(kit: PaymentsTestKit) -> None:
    booking = await paid_booking(kit, deliver=True, event_id="hamlet")
    payment = await _owing(kit, booking, "60.00")
    await kit.payments.settle_debt(payment.id, OPERATOR, amount="50.00", how=Settlement.PAID_ELSEWHERE, note="cash")

    previewed = await kit.payments.preview_event("hamlet")
    await kit.payments.run_event_job(await kit.payments.cancel_event("hamlet", OPERATOR))

    assert list(previewed.to_refund) == [_usd("40.00")]  # the other 10.00 are promised already
    assert await _at_the_gateway(kit, booking) == 5_000


async def test_late_money_that_was_settled_is_not_sent_back_as_well(kit: PaymentsTestKit) -> None:
    booking = await kit.book(expires_in=timedelta(hours=1))
    await pay(kit, booking, "pm_usBankAccount_success")
    await kit.payments.cancel_booking(booking.id, OPERATOR)
    await kit.settle()
    payment = await payment_of(kit, booking)
    kit.stripe.fail_refund(payment.refunds[-1].gateway_refund_id or "")
    await kit.settle()

    await kit.payments.settle_debt(payment.id, OPERATOR, amount="100.00", how=Settlement.PAID_ELSEWHERE, note="cash")
    await kit.settle()

    assert (payment.late, await _at_the_gateway(kit, booking)) == (True, 0)


# --- a fee on top that is kept --------------------------------------------------------------------------------------


async def _in_full_by_price(kit: PaymentsTestKit, booking: Booking) -> None:
    await kit.payments.amend_booking(booking.id, BookingChange(amount=_usd("0.00")), OPERATOR)


async def _in_full_by_seats(kit: PaymentsTestKit, booking: Booking) -> None:
    for _ in range(2):
        one = [ItemCount(id="a", quantity=1)]
        await kit.payments.cancel_booking(booking.id, OPERATOR, items=one, refund=RefundOnCancel.FULL)


async def _in_full_by_override(kit: PaymentsTestKit, booking: Booking) -> None:
    every = [ItemCount(id="a")]
    await kit.payments.refund_payment(booking.id, OPERATOR, items=every, override=True, note="goodwill")


async def _in_grace_by_seats(kit: PaymentsTestKit, booking: Booking) -> None:
    later = BookingChange(event_starts_at=NOW + timedelta(days=60), refund_grace_until=NOW + timedelta(days=5))
    await kit.payments.amend_booking(booking.id, later, OPERATOR)
    for _ in range(2):
        await kit.payments.refund_payment(booking.id, ANN, items=[ItemCount(id="a", quantity=1)])


@pytest.mark.parametrize(
    ("in_full", "by_items"),
    [(_in_full_by_price, False), (_in_full_by_seats, True), (_in_full_by_override, True), (_in_grace_by_seats, True)],
)
async def test_everything_back_is_the_charge_with_the_fee(in_full: Reduce, by_items: bool) -> None:
    kit = PaymentsTestKit(config=FEE_ON_TOP)
    booking = await paid_booking(kit, deliver=True, items={"a": (2, "50.00")} if by_items else None)

    await in_full(kit, booking)

    payment = await payment_of(kit, booking)
    assert (await _at_the_gateway(kit, booking), payment.fee_returned.minor) == (10_300, 300)


async def test_by_policy_the_kept_fee_stays_with_each_seat() -> None:
    kit = PaymentsTestKit(config=FEE_ON_TOP)
    booking = await paid_booking(kit, deliver=True, items={"a": (2, "50.00")})

    for _ in range(2):
        await kit.payments.cancel_booking(booking.id, OPERATOR, items=[ItemCount(id="a", quantity=1)])

    assert await _at_the_gateway(kit, booking) == 10_000
    assert (await kit.payments.get_booking(booking.id)).status is BookingStatus.CANCELED


async def test_the_price_stays_refundable_when_more_than_it_was_captured_of_a_hold() -> None:
    kit = PaymentsTestKit(config=FEE_ON_TOP)
    booking = await kit.book(capture_method=CaptureMethod.MANUAL)
    await pay(kit, booking)
    await kit.payments.amend_booking(booking.id, BookingChange(amount=_usd("60.00")), OPERATOR)
    intent = (await payment_of(kit, booking)).intent_id
    assert kit.stripe.call("POST", f"/v1/payment_intents/{intent}/capture", {}).ok
    await kit.settle()

    quoted = await kit.payments.quote_refund(booking.id, ANN)

    assert quoted.amount == _usd("60.00")
