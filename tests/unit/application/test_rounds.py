"""Background work goes on whatever breaks in it."""

from datetime import timedelta

import attrs
import pytest

from booking_payments.application.payments import BookingPayments
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.errors import OutcomeUnknown
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.ports.storage import StoredAnswer
from booking_payments.testing.house import ANN, NOW, House
from tests.unit.application.saboteur import Saboteur

BROKEN = RuntimeError("a bug of ours")


async def _silent(house: House, reference: str) -> str:
    booking = await house.book(reference=reference)
    house.stripe.faults.script("POST /v1/payment_intents", "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await house.payments.start_payment(booking.id, ANN, payment_method_id="pm_card_visa", confirm_immediately=True)
    return booking.id


def _sabotage(house: House, **failures: list[Exception]) -> None:
    house.world = attrs.evolve(house.world, gateway=Saboteur(house, **failures))
    house.payments = BookingPayments(house.world)


async def test_a_payment_that_breaks_holds_up_no_other(house: House) -> None:
    first, second = await _silent(house, "R-1"), await _silent(house, "R-2")
    overdue = await house.book(reference="R-3", expires_in=timedelta(minutes=1))
    _sabotage(house, retrieve_intent=[BROKEN])
    house.clock.advance(timedelta(minutes=2))

    with pytest.raises(ExceptionGroup) as broken:
        await house.payments.work()

    assert broken.value.subgroup(RuntimeError) is not None
    states = {(await house.payments.payment_status(each)).payment.status for each in (first, second)}
    assert PaymentStatus.SUCCEEDED in states
    assert (await house.payments.get_booking(overdue.id)).status is BookingStatus.EXPIRED


async def test_a_payment_that_broke_is_looked_at_again_later(house: House) -> None:
    booking = await house.book()
    view = await house.payments.start_payment(booking.id, ANN)
    assert view.handover is not None
    house.stripe.confirm_as_customer(view.payment.intent_id or "", view.handover.client_secret or "", "pm_card_visa")
    _sabotage(house, retrieve_intent=[BROKEN])
    house.clock.advance(timedelta(minutes=11))
    with pytest.raises(ExceptionGroup):
        await house.payments.work()

    at_once = await house.payments.work()
    house.clock.advance(timedelta(hours=1))
    later = await house.payments.work()

    assert (at_once, later > 0) == (0, True)
    assert (await house.payments.payment_status(booking.id)).payment.status is PaymentStatus.SUCCEEDED


async def test_old_answers_are_forgotten(house: House) -> None:
    answer = StoredAnswer(
        caller="ann", route="POST /x", key="k" * 16, fingerprint="f", created_at=NOW, locked_until=NOW
    )
    await house.storage.transact(lambda uow: uow.answers.put(answer))

    assert await house.payments.forget_answers(NOW) == 0
    assert await house.payments.forget_answers(NOW + timedelta(seconds=1)) == 1
