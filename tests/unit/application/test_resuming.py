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
from booking_payments.ports.gateway import GatewayRefused, Misconfigured, NotSent
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.testing.kit import OPERATOR, PaymentsTestKit
from tests.payments import CREATE, lose_answer, paid_booking, pay, payment_of
from tests.unit.application.failing_gateway import FailingGateway, use_gateway

FIRST = Caller.customer("ann", "request 7 once_7")
AGAIN = attrs.evolve(FIRST, resumed=True)
OPERATOR_FIRST = attrs.evolve(OPERATOR, cause="request 8 once_8")
OPERATOR_AGAIN = attrs.evolve(OPERATOR_FIRST, resumed=True)


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "500_after"])
async def test_the_customer_gets_the_payment_that_the_first_run_made(kit: PaymentsTestKit, fault: str) -> None:
    booking_id = await lose_answer(kit, fault, caller=FIRST)

    view = await pay(kit, booking_id, caller=AGAIN)

    assert view.payment.status is PaymentStatus.SUCCEEDED
    assert kit.stripe.successful_charges(view.payment.intent_id or "") == 1


async def test_even_when_the_resolver_was_faster(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after", caller=FIRST)
    await kit.settle()

    view = await pay(kit, booking_id, caller=AGAIN)

    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_the_customer_hears_the_decline_of_the_first_run(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after", "pm_card_chargeDeclined", caller=FIRST)
    await kit.settle()

    with pytest.raises(CardDeclined):
        await pay(kit, booking_id, "pm_card_chargeDeclined", caller=AGAIN)

    payment = await payment_of(kit, booking_id)
    assert payment.attempts_made == 1


async def test_a_run_that_never_got_anywhere_is_begun_anew(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    view = await pay(kit, booking, caller=AGAIN)

    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_a_run_that_the_gateway_never_heard_of_is_begun_anew(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_before", caller=FIRST)
    kit.clock.advance(timedelta(hours=24))
    await kit.settle()

    view = await pay(kit, booking_id, caller=AGAIN)

    assert (view.payment.status, len(await _intents(kit))) == (PaymentStatus.SUCCEEDED, 1)


async def _intents(kit: PaymentsTestKit) -> list[object]:
    return list(await kit.deps.gateway.list_intents(kit.clock.now() - timedelta(days=9)))


async def test_a_capture_whose_answer_got_lost_is_answered(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await pay(kit, booking, capture_method=CaptureMethod.MANUAL)
    kit.stripe.faults.script("POST /v1/payment_intents/*/capture", "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.capture_payment(booking.id, OPERATOR_FIRST, amount="60.00")
    await kit.settle()

    view = await kit.payments.capture_payment(booking.id, OPERATOR_AGAIN, amount="60.00")

    assert (view.payment.status, view.payment.captured.minor) == (PaymentStatus.SUCCEEDED, 6000)


async def test_a_refund_whose_answer_got_lost_is_not_made_twice(kit: PaymentsTestKit) -> None:
    booking = await paid_booking(kit)
    kit.stripe.faults.script("POST /v1/refunds", "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.refund_payment(booking.id, FIRST, amount="25.00")
    await kit.settle()

    view = await kit.payments.refund_payment(booking.id, AGAIN, amount="25.00")

    assert (view.refund.amount.minor, len(view.payment.refunds)) == (2500, 1)


@pytest.mark.parametrize(
    "error", [NotSent("no connection", code="unreachable"), Misconfigured("a wrong key", code="http_401")]
)
async def test_no_connection_later_does_not_settle_what_was_silent_before(
    kit: PaymentsTestKit, error: Exception
) -> None:
    booking_id = await lose_answer(kit, "timeout_before", caller=FIRST)
    use_gateway(kit, FailingGateway(kit, create_intent=[error] * 3))
    kit.clock.advance(timedelta(minutes=5))

    await kit.payments.work()

    operation = (await payment_of(kit, booking_id)).operation
    assert operation is not None
    assert operation.unknown


async def _refund_fails(kit: PaymentsTestKit, error: Exception) -> str:
    """A paid booking, and a first run whose refund the gateway has refused."""
    booking = await paid_booking(kit)
    refusing = BookingPayments(attrs.evolve(kit.deps, gateway=FailingGateway(kit, create_refund=[error])))
    with pytest.raises(GatewayRefusedUs):
        await refusing.refund_payment(booking.id, FIRST, amount="25.00")
    return booking.id


async def test_a_run_after_a_refused_one_is_not_forgotten_either(kit: PaymentsTestKit) -> None:
    booking_id = await _refund_fails(kit, GatewayRefused("no balance", code="balance_insufficient"))
    kit.stripe.faults.script("POST /v1/refunds", "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.refund_payment(booking_id, AGAIN, amount="25.00")
    await kit.settle()

    third = await kit.payments.refund_payment(booking_id, AGAIN, amount="25.00")

    assert (third.payment.refunded.minor, third.refund.status.value) == (2500, "succeeded")


@pytest.mark.parametrize(
    ("card", "told"), [("pm_card_visa", None), ("pm_card_chargeDeclinedInsufficientFunds", CardDeclined)]
)
async def test_nor_is_a_charge_after_a_refused_one(
    kit: PaymentsTestKit, card: str, told: type[Exception] | None
) -> None:
    booking = await kit.book()
    for fault, caller, error in (("429_limit", FIRST, TryAgainLater), ("timeout_after", AGAIN, OutcomeUnknown)):
        kit.stripe.faults.script(CREATE, fault, times=3)
        with pytest.raises(error):
            await pay(kit, booking, card, caller=caller)
    await kit.settle()

    with pytest.raises(told) if told else nullcontext():
        await pay(kit, booking, card, caller=AGAIN)

    payment = await payment_of(kit, booking)
    assert payment.attempts_made == 1


# --- whose turn it is


async def test_a_run_whose_time_is_over_begins_nothing(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    late = attrs.evolve(FIRST, until=kit.clock.now())

    with pytest.raises(AlreadyUnderWay):
        await pay(kit, booking, caller=late)

    with pytest.raises(NotFound):
        await kit.payments.payment_status(booking.id)


async def test_until_then_it_may(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    await pay(kit, booking, caller=attrs.evolve(FIRST, until=kit.clock.now() + timedelta(microseconds=1)))

    assert (await payment_of(kit, booking)).status is PaymentStatus.SUCCEEDED


async def test_money_goes_back_once_when_a_run_is_taken_over_while_it_settles_something_else(
    kit: PaymentsTestKit,
) -> None:
    booking = await paid_booking(kit)
    kit.stripe.faults.script("POST /v1/refunds", "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.refund_payment(booking.id, OPERATOR_FIRST, amount="10.00")
    lease = timedelta(seconds=60)
    slow = Standstill(kit, lease, lambda: kit.payments.refund_payment(booking.id, AGAIN, amount="25.00"))
    first = BookingPayments(attrs.evolve(kit.deps, gateway=slow))

    with pytest.raises(AlreadyUnderWay):
        await first.refund_payment(booking.id, attrs.evolve(FIRST, until=kit.clock.now() + lease), amount="25.00")
    await kit.settle()

    assert (await payment_of(kit, booking)).refunded.minor == 3500


class Standstill(FakeGateway):
    """Whoever reads an intent for the first time stands still for so long, and meanwhile something else is done."""

    def __init__(self, kit: PaymentsTestKit, time: timedelta, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(kit.stripe, kit.clock)
        self._kit, self._time, self._meanwhile = kit, time, [meanwhile]

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        if self._meanwhile:
            self._kit.clock.advance(self._time)
            await self._meanwhile.pop()()
        return await super().retrieve_intent(intent_id)


async def test_what_the_first_run_began_at_the_last_moment_is_not_begun_again(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await pay(kit, booking, caller=FIRST)

    async def begin(uow: UnitOfWork) -> None:
        await require_turn(kit.deps, uow, booking.id, AGAIN)

    with pytest.raises(AlreadyUnderWay):
        await kit.storage.transact(begin)
