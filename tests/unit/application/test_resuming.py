"""A request whose answer got lost comes again: it gets the answer of its first run, and nothing is done twice."""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from datetime import timedelta

import attrs
import pytest

from booking_payments.adapters.gateways.fake.gateway import FakeGateway
from booking_payments.application.callers import Caller
from booking_payments.application.payments import BookingPayments
from booking_payments.application.resuming import require_turn
from booking_payments.domain.errors import (
    AlreadyUnderWay,
    CardDeclined,
    GatewayRefusedUs,
    NotFound,
    OutcomeUnknown,
    TryAgainLater,
)
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.reports import IntentReport
from booking_payments.ports.gateway import Misconfigured, Refused, Unreachable
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.testing.house import OPERATOR, House
from tests.payments import CREATE, lose_answer, paid_booking, pay, payment_of
from tests.unit.application.saboteur import Saboteur, use_gateway

FIRST = Caller.customer("ann", "request 7 once_7")
AGAIN = attrs.evolve(FIRST, resumed=True)
OPERATOR_FIRST = attrs.evolve(OPERATOR, cause="request 8 once_8")
OPERATOR_AGAIN = attrs.evolve(OPERATOR_FIRST, resumed=True)


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "500_after"])
async def test_the_customer_gets_the_payment_that_the_first_run_made(house: House, fault: str) -> None:
    booking_id = await lose_answer(house, fault, caller=FIRST)

    view = await pay(house, booking_id, caller=AGAIN)

    assert view.payment.status is PaymentStatus.SUCCEEDED
    assert house.stripe.successful_charges(view.payment.intent_id or "") == 1


async def test_even_when_the_resolver_was_faster(house: House) -> None:
    booking_id = await lose_answer(house, "timeout_after", caller=FIRST)
    await house.settle()

    view = await pay(house, booking_id, caller=AGAIN)

    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_the_customer_hears_the_decline_of_the_first_run(house: House) -> None:
    booking_id = await lose_answer(house, "timeout_after", "pm_card_chargeDeclined", caller=FIRST)
    await house.settle()

    with pytest.raises(CardDeclined):
        await pay(house, booking_id, "pm_card_chargeDeclined", caller=AGAIN)

    payment = await payment_of(house, booking_id)
    assert payment.attempts_made == 1


async def test_a_run_that_never_got_anywhere_is_begun_anew(house: House) -> None:
    booking = await house.book()

    view = await pay(house, booking, caller=AGAIN)

    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_a_run_that_the_gateway_never_heard_of_is_begun_anew(house: House) -> None:
    booking_id = await lose_answer(house, "timeout_before", caller=FIRST)
    house.clock.advance(timedelta(hours=24))
    await house.settle()

    view = await pay(house, booking_id, caller=AGAIN)

    assert (view.payment.status, len(await _intents(house))) == (PaymentStatus.SUCCEEDED, 1)


async def _intents(house: House) -> list[object]:
    return list(await house.world.gateway.list_intents(house.clock.now() - timedelta(days=9)))


async def test_a_capture_whose_answer_got_lost_is_answered(house: House) -> None:
    booking = await house.book()
    await pay(house, booking, capture_method=CaptureMethod.MANUAL)
    house.stripe.faults.script("POST /v1/payment_intents/*/capture", "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await house.payments.capture_payment(booking.id, OPERATOR_FIRST, amount="60.00")
    await house.settle()

    view = await house.payments.capture_payment(booking.id, OPERATOR_AGAIN, amount="60.00")

    assert (view.payment.status, view.payment.captured.minor) == (PaymentStatus.SUCCEEDED, 6000)


async def test_a_refund_whose_answer_got_lost_is_not_made_twice(house: House) -> None:
    booking = await paid_booking(house)
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
    booking_id = await lose_answer(house, "timeout_before", caller=FIRST)
    use_gateway(house, Saboteur(house, create_intent=[error] * 3))
    house.clock.advance(timedelta(minutes=5))

    await house.payments.work()

    operation = (await payment_of(house, booking_id)).operation
    assert operation is not None
    assert operation.unknown


async def _refund_fails(house: House, error: Exception) -> str:
    """A paid booking, and a first run whose refund the gateway has refused."""
    booking = await paid_booking(house)
    refusing = BookingPayments(attrs.evolve(house.world, gateway=Saboteur(house, create_refund=[error])))
    with pytest.raises(GatewayRefusedUs):
        await refusing.refund_payment(booking.id, FIRST, amount="25.00")
    return booking.id


async def test_a_run_after_a_refused_one_is_not_forgotten_either(house: House) -> None:
    booking_id = await _refund_fails(house, Refused("no balance", code="balance_insufficient"))
    house.stripe.faults.script("POST /v1/refunds", "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await house.payments.refund_payment(booking_id, AGAIN, amount="25.00")
    await house.settle()

    third = await house.payments.refund_payment(booking_id, AGAIN, amount="25.00")

    assert (third.payment.refunded.minor, third.refund.status.value) == (2500, "succeeded")


@pytest.mark.parametrize(
    ("card", "told"), [("pm_card_visa", None), ("pm_card_chargeDeclinedInsufficientFunds", CardDeclined)]
)
async def test_nor_is_a_charge_after_a_refused_one(house: House, card: str, told: type[Exception] | None) -> None:
    booking = await house.book()
    for fault, caller, error in (("429_limit", FIRST, TryAgainLater), ("timeout_after", AGAIN, OutcomeUnknown)):
        house.stripe.faults.script(CREATE, fault, times=3)
        with pytest.raises(error):
            await pay(house, booking, card, caller=caller)
    await house.settle()

    with pytest.raises(told) if told else nullcontext():
        await pay(house, booking, card, caller=AGAIN)

    payment = await payment_of(house, booking)
    assert payment.attempts_made == 1


# --- whose turn it is


async def test_a_run_whose_time_is_over_begins_nothing(house: House) -> None:
    booking = await house.book()
    late = attrs.evolve(FIRST, until=house.clock.now())

    with pytest.raises(AlreadyUnderWay):
        await pay(house, booking, caller=late)

    with pytest.raises(NotFound):
        await house.payments.payment_status(booking.id)


async def test_until_then_it_may(house: House) -> None:
    booking = await house.book()

    await pay(house, booking, caller=attrs.evolve(FIRST, until=house.clock.now() + timedelta(microseconds=1)))

    assert (await payment_of(house, booking)).status is PaymentStatus.SUCCEEDED


async def test_money_goes_back_once_when_a_run_is_taken_over_while_it_settles_something_else(house: House) -> None:
    booking = await paid_booking(house)
    house.stripe.faults.script("POST /v1/refunds", "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await house.payments.refund_payment(booking.id, OPERATOR_FIRST, amount="10.00")
    lease = timedelta(seconds=60)
    slow = Standstill(house, lease, lambda: house.payments.refund_payment(booking.id, AGAIN, amount="25.00"))
    first = BookingPayments(attrs.evolve(house.world, gateway=slow))

    with pytest.raises(AlreadyUnderWay):
        await first.refund_payment(booking.id, attrs.evolve(FIRST, until=house.clock.now() + lease), amount="25.00")
    await house.settle()

    assert (await payment_of(house, booking)).refunded.minor == 3500


class Standstill(FakeGateway):
    """Whoever reads an intent for the first time stands still for so long, and meanwhile something else is done."""

    def __init__(self, house: House, time: timedelta, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(house.stripe, house.clock)
        self._house, self._time, self._meanwhile = house, time, [meanwhile]

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        if self._meanwhile:
            self._house.clock.advance(self._time)
            await self._meanwhile.pop()()
        return await super().retrieve_intent(intent_id)


async def test_what_the_first_run_began_at_the_last_moment_is_not_begun_again(house: House) -> None:
    booking = await house.book()
    await pay(house, booking, caller=FIRST)

    async def begin(uow: UnitOfWork) -> None:
        await require_turn(house.world, uow, booking.id, AGAIN)

    with pytest.raises(AlreadyUnderWay):
        await house.storage.transact(begin)
