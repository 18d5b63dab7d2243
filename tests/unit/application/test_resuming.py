"""A request is repeated after its response was lost: it gets the result of its first run, and nothing runs twice."""

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
async def test_a_repeated_request_returns_the_payment_of_the_first_run(kit: PaymentsTestKit, fault: str) -> None:
    booking_id = await lose_answer(kit, fault, caller=FIRST)

    view = await pay(kit, booking_id, caller=AGAIN)

    assert view.payment.status is PaymentStatus.SUCCEEDED
    assert kit.stripe.successful_charges(view.payment.intent_id or "") == 1


async def test_a_repeated_request_returns_the_payment_that_the_resolver_settled(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after", caller=FIRST)
    await kit.settle()

    view = await pay(kit, booking_id, caller=AGAIN)

    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_a_repeated_request_raises_the_decline_of_the_first_run(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after", "pm_card_chargeDeclined", caller=FIRST)
    await kit.settle()

    with pytest.raises(CardDeclined):
        await pay(kit, booking_id, "pm_card_chargeDeclined", caller=AGAIN)

    payment = await payment_of(kit, booking_id)
    assert payment.attempts_made == 1


async def test_a_run_without_effect_is_started_again(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    view = await pay(kit, booking, caller=AGAIN)

    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_a_run_that_never_reached_the_gateway_is_started_again(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_before", caller=FIRST)
    kit.clock.advance(timedelta(hours=24))
    await kit.settle()

    view = await pay(kit, booking_id, caller=AGAIN)

    assert (view.payment.status, len(await _intents(kit))) == (PaymentStatus.SUCCEEDED, 1)


async def _intents(kit: PaymentsTestKit) -> list[object]:
    return list(await kit.deps.gateway.list_intents(kit.clock.now() - timedelta(days=9)))


async def test_a_repeated_capture_returns_the_result_of_the_first_run(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await pay(kit, booking, capture_method=CaptureMethod.MANUAL)
    kit.stripe.faults.script("POST /v1/payment_intents/*/capture", "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.capture_payment(booking.id, OPERATOR_FIRST, amount="60.00")
    await kit.settle()

    view = await kit.payments.capture_payment(booking.id, OPERATOR_AGAIN, amount="60.00")

    assert (view.payment.status, view.payment.captured.minor) == (PaymentStatus.SUCCEEDED, 6000)


async def test_a_refund_whose_response_was_lost_is_not_made_twice(kit: PaymentsTestKit) -> None:
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
async def test_a_connection_error_on_a_later_try_does_not_settle_an_unknown_outcome(
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
    """A paid booking whose first refund the gateway has refused."""
    booking = await paid_booking(kit)
    refusing = BookingPayments(attrs.evolve(kit.deps, gateway=FailingGateway(kit, create_refund=[error])))
    with pytest.raises(GatewayRefusedUs):
        await refusing.refund_payment(booking.id, FIRST, amount="25.00")
    return booking.id


async def test_the_lost_refund_of_a_second_run_is_returned_to_a_third(kit: PaymentsTestKit) -> None:
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
async def test_the_lost_charge_of_a_second_run_is_returned_to_a_third(
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


# --- runs whose time is over


async def test_a_run_whose_lease_has_expired_starts_no_operation(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    late = attrs.evolve(FIRST, until=kit.clock.now())

    with pytest.raises(AlreadyUnderWay):
        await pay(kit, booking, caller=late)

    with pytest.raises(NotFound):
        await kit.payments.payment_status(booking.id)


async def test_a_run_whose_lease_has_not_expired_may_start_an_operation(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    await pay(kit, booking, caller=attrs.evolve(FIRST, until=kit.clock.now() + timedelta(microseconds=1)))

    assert (await payment_of(kit, booking)).status is PaymentStatus.SUCCEEDED


async def test_a_refund_is_made_once_when_a_run_is_taken_over_while_it_settles_another_operation(
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
    """The first read of an intent is suspended for a time, and meanwhile ``meanwhile`` runs."""

    def __init__(self, kit: PaymentsTestKit, time: timedelta, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(kit.stripe, kit.clock)
        self._kit, self._time, self._meanwhile = kit, time, [meanwhile]

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        if self._meanwhile:
            self._kit.clock.advance(self._time)
            await self._meanwhile.pop()()
        return await super().retrieve_intent(intent_id)


async def test_an_operation_started_just_before_the_lease_expired_is_not_started_again(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await pay(kit, booking, caller=FIRST)

    async def begin(uow: UnitOfWork) -> None:
        await require_turn(kit.deps, uow, booking.id, AGAIN)

    with pytest.raises(AlreadyUnderWay):
        await kit.storage.transact(begin)
