"""The gateway ``manual``: operators record money that was received or given back by hand, over the whole service."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from booking_payments import BookingPayments, Money, NewBooking, open_payments
from booking_payments.application.callers import Caller
from booking_payments.domain.errors import InvalidInput, NotPossibleNow, RefusedByRule
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency
from booking_payments.domain.payment import Refund
from booking_payments.domain.receipts import ReceiptKind
from booking_payments.domain.refunds import RefundOnCancel
from booking_payments.ports.audit import AuditOutcome

OLGA = Caller.operator_of("olga", "test")
ANN = Caller.customer("ann", "test")
VISA = "pm_card_visa"


@pytest.fixture
async def payments(database_url: str) -> AsyncIterator[BookingPayments]:
    env = {"DATABASE_URL": database_url, "PAYMENT_GATEWAYS": "fake,manual"}
    async with open_payments(env, env_file=None, background=False) as opened:
        yield opened


async def booked(payments: BookingPayments, reference: str = "R-1") -> str:
    new = NewBooking(
        reference=reference,
        customer_id="ann",
        amount=Money.parse("100.00", Currency.USD),
        event_starts_at=datetime.now(UTC) + timedelta(days=30),
    )
    return (await payments.register_booking(new)).booking.id


async def test_a_payment_in_cash_is_booked_as_any_other(payments: BookingPayments) -> None:
    booking = await booked(payments)

    view = await payments.record_payment(booking, OLGA, amount="100.00", kind=ReceiptKind.CASH, reference="17-204")

    payment = view.payment
    assert (payment.gateway, payment.status) == ("manual", PaymentStatus.SUCCEEDED)
    assert (payment.method.type if payment.method else None, payment.attempts[-1].payment_method_id) == (
        "cash",
        "cash:17-204",
    )
    assert (await payments.get_booking(booking)).status.value == "confirmed"
    assert (await payments.check_ledger()).agrees
    assert (await payments.reconcile()).left == ()


async def test_the_actor_who_recorded_the_receipt_is_in_the_audit_trail(payments: BookingPayments) -> None:
    booking = await booked(payments)
    await payments.record_payment(booking, OLGA, amount="100.00", kind=ReceiptKind.CASH, reference="17-204")

    record = (await payments.audit_trail())[0]

    assert (record.operation, record.actor, record.outcome) == ("record_payment", "operator:olga", AuditOutcome.DONE)


async def test_an_open_card_payment_is_canceled_first(payments: BookingPayments) -> None:
    booking = await booked(payments)
    card = await payments.start_payment(booking, ANN, payment_method_id=VISA)

    view = await payments.record_payment(booking, OLGA, amount="100.00", kind=ReceiptKind.INVOICE, reference="RE-7")

    assert (card.payment.gateway, view.payment.gateway) == ("fake", "manual")
    assert view.payment.status is PaymentStatus.SUCCEEDED
    found = await payments.list_payments()
    assert {(each.gateway, each.status.value) for each in found.items} == {
        ("fake", "canceled"),
        ("manual", "succeeded"),
    }


async def test_money_is_not_recorded_twice(payments: BookingPayments) -> None:
    booking = await booked(payments)
    await payments.record_payment(booking, OLGA, amount="100.00", kind=ReceiptKind.CASH, reference="1")

    with pytest.raises(NotPossibleNow):
        await payments.record_payment(booking, OLGA, amount="100.00", kind=ReceiptKind.CASH, reference="2")


async def test_another_amount_than_the_price_is_refused(payments: BookingPayments) -> None:
    booking = await booked(payments)
    card = await payments.start_payment(booking, ANN)

    with pytest.raises(RefusedByRule) as refused:
        await payments.record_payment(booking, OLGA, amount="90.00", kind=ReceiptKind.CASH, reference="1")

    assert refused.value.code == "amount_differs"
    kept = (await payments.payment_status(booking, ANN)).payment
    assert (kept.id, kept.status.is_open) == (card.payment.id, True)


async def test_a_reference_is_needed(payments: BookingPayments) -> None:
    with pytest.raises(InvalidInput):
        await payments.record_payment(
            await booked(payments), OLGA, amount="100.00", kind=ReceiptKind.CASH, reference="  "
        )


async def test_customers_record_nothing(payments: BookingPayments) -> None:
    booking = await booked(payments)

    with pytest.raises(RefusedByRule) as refused:
        await payments.record_payment(booking, ANN, amount="100.00", kind=ReceiptKind.CASH, reference="1")

    assert refused.value.code == "operators_only"


@pytest.mark.parametrize("caller", [ANN, OLGA])
async def test_a_customer_cannot_pay_with_it_without_a_receipt(payments: BookingPayments, caller: Caller) -> None:
    booking = await booked(payments)

    with pytest.raises(RefusedByRule) as refused:
        await payments.start_payment(
            booking, caller, payment_method_id="cash:1", confirm_immediately=True, gateway="manual"
        )

    assert refused.value.code == "gateway_for_operators"
    assert (await payments.list_payments()).items == ()


async def test_a_refund_that_an_operator_records_is_settled_at_once(payments: BookingPayments) -> None:
    booking = await booked(payments)
    await payments.record_payment(booking, OLGA, amount="100.00", kind=ReceiptKind.VOUCHER, reference="V-1")

    view = await payments.refund_payment(booking, OLGA, amount="40.00")

    assert isinstance(view.refund, Refund)
    assert (view.refund.status, view.payment.refunded.major()) == (RefundStatus.SUCCEEDED, "40.00")
    assert (await payments.reconcile()).left == ()


async def test_a_refund_that_was_not_paid_out_yet_is_pending(payments: BookingPayments) -> None:
    booking = await booked(payments)
    await payments.record_payment(booking, OLGA, amount="100.00", kind=ReceiptKind.GIFT_CARD, reference="G-1")

    await payments.cancel_booking(booking, OLGA, refund=RefundOnCancel.FULL)

    payment = (await payments.payment_status(booking, OLGA)).payment
    assert [refund.status for refund in payment.refunds] == [RefundStatus.PENDING]


async def test_without_the_gateway_nothing_is_recorded(tmp_path: Path) -> None:
    env = {"DATABASE_URL": f"sqlite:///{tmp_path}/books.db"}
    async with open_payments(env, env_file=None, migrate=True, background=False) as payments:
        with pytest.raises(RefusedByRule, match="add manual to PAYMENT_GATEWAYS"):
            await payments.record_payment(
                await booked(payments), OLGA, amount="100.00", kind=ReceiptKind.CASH, reference="1"
            )
