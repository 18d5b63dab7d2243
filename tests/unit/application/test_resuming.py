"""A request whose answer got lost comes again: it gets the answer of its first run, and nothing is done twice."""

from datetime import timedelta

import attrs
import pytest

from booking_payments.application.callers import Caller
from booking_payments.application.payments import BookingPayments
from booking_payments.domain.errors import CardDeclined, OutcomeUnknown
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.ports.gateway import Misconfigured, Unreachable
from booking_payments.testing.house import ANN, OPERATOR, House
from tests.unit.application.saboteur import Saboteur

CREATE = "POST /v1/payment_intents"
FIRST = Caller.customer("ann", "request 7 once_7")
AGAIN = attrs.evolve(FIRST, resumed=True)
OPERATOR_FIRST = attrs.evolve(OPERATOR, cause="request 8 once_8")
OPERATOR_AGAIN = attrs.evolve(OPERATOR_FIRST, resumed=True)


async def _lost(house: House, fault: str, card: str = "pm_card_visa") -> str:
    """A booking whose charge was sent, while the answer got lost."""
    booking = await house.book()
    house.stripe.faults.script(CREATE, fault, times=3)
    with pytest.raises(OutcomeUnknown):
        await house.payments.start_payment(booking.id, FIRST, payment_method_id=card, confirm_immediately=True)
    return booking.id


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "500_after"])
async def test_the_customer_gets_the_payment_that_the_first_run_made(house: House, fault: str) -> None:
    booking_id = await _lost(house, fault)

    view = await house.payments.start_payment(
        booking_id, AGAIN, payment_method_id="pm_card_visa", confirm_immediately=True
    )

    assert view.payment.status is PaymentStatus.SUCCEEDED
    assert house.stripe.successful_charges(view.payment.intent_id or "") == 1


async def test_even_when_the_resolver_was_faster(house: House) -> None:
    booking_id = await _lost(house, "timeout_after")
    await house.settle()

    view = await house.payments.start_payment(
        booking_id, AGAIN, payment_method_id="pm_card_visa", confirm_immediately=True
    )

    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_the_customer_hears_the_decline_of_the_first_run(house: House) -> None:
    booking_id = await _lost(house, "timeout_after", "pm_card_chargeDeclined")
    await house.settle()

    with pytest.raises(CardDeclined):
        await house.payments.start_payment(
            booking_id, AGAIN, payment_method_id="pm_card_chargeDeclined", confirm_immediately=True
        )

    payment = (await house.payments.payment_status(booking_id)).payment
    assert payment.attempts_made == 1


async def test_a_run_that_never_got_anywhere_is_begun_anew(house: House) -> None:
    booking = await house.book()

    view = await house.payments.start_payment(
        booking.id, AGAIN, payment_method_id="pm_card_visa", confirm_immediately=True
    )

    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_a_run_that_the_gateway_never_heard_of_is_begun_anew(house: House) -> None:
    booking_id = await _lost(house, "timeout_before")
    house.clock.advance(timedelta(hours=24))
    await house.settle()

    view = await house.payments.start_payment(
        booking_id, AGAIN, payment_method_id="pm_card_visa", confirm_immediately=True
    )

    assert (view.payment.status, len(await _intents(house))) == (PaymentStatus.SUCCEEDED, 1)


async def _intents(house: House) -> list[object]:
    return list(await house.world.gateway.list_intents(house.clock.now() - timedelta(days=9)))


async def test_a_capture_whose_answer_got_lost_is_answered(house: House) -> None:
    booking = await house.book()
    await house.payments.start_payment(
        booking.id,
        ANN,
        payment_method_id="pm_card_visa",
        confirm_immediately=True,
        capture_method=CaptureMethod.MANUAL,
    )
    house.stripe.faults.script("POST /v1/payment_intents/*/capture", "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await house.payments.capture_payment(booking.id, OPERATOR_FIRST, amount="60.00")
    await house.settle()

    view = await house.payments.capture_payment(booking.id, OPERATOR_AGAIN, amount="60.00")

    assert (view.payment.status, view.payment.captured.minor) == (PaymentStatus.SUCCEEDED, 6000)


async def test_a_refund_whose_answer_got_lost_is_not_made_twice(house: House) -> None:
    booking = await house.book()
    await house.payments.process_booking_payment(booking, "pm_card_visa")
    house.stripe.faults.script("POST /v1/refunds", "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await house.payments.refund_payment(booking.id, FIRST, amount="25.00")
    await house.settle()

    view = await house.payments.refund_payment(booking.id, AGAIN, amount="25.00")

    assert (view.refund.amount.minor, len(view.payment.refunds)) == (2500, 1)


@pytest.mark.parametrize(
    "error", [Unreachable("no connection", code="unreachable"), Misconfigured("a wrong key", code="http_401")]
)
async def test_no_connection_later_does_not_settle_what_was_silent_before(house: House, error: Exception) -> None:
    booking_id = await _lost(house, "timeout_before")
    house.world = attrs.evolve(house.world, gateway=Saboteur(house, create_intent=[error] * 3))
    house.payments = BookingPayments(house.world)
    house.clock.advance(timedelta(minutes=5))

    await house.payments.work()

    operation = (await house.payments.payment_status(booking_id)).payment.operation
    assert operation is not None
    assert operation.unknown
