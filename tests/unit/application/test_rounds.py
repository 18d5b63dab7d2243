"""Background work goes on whatever breaks in it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import attrs
import pytest

from booking_payments.application.payments import BookingPayments
from booking_payments.application.resolve import claim_operation, resolve_if_due
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.errors import OutcomeUnknown
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.ports.gateway import Silent
from booking_payments.ports.storage import StoredAnswer, Watch
from booking_payments.testing.house import ANN, NOW, House
from tests.unit.application.saboteur import Overtaken, Saboteur

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


# --- who was faster


async def _watched(house: House, payment_id: str) -> Watch:
    return await house.storage.read(lambda uow: uow.payments.watch(payment_id))


async def _overtaken(house: House, payment_id: str, meanwhile: Callable[[], Awaitable[object]]) -> None:
    """Look at a payment, which breaks, and ``meanwhile`` another process is at it."""
    here = attrs.evolve(house.world, gateway=Overtaken(house, meanwhile))
    house.clock.advance(timedelta(minutes=11))
    with pytest.raises(RuntimeError):
        await resolve_if_due(here, payment_id)


async def test_putting_a_payment_off_leaves_the_lease_of_somebody_else_alone(house: House) -> None:
    booking = await house.book()
    payment_id = (await house.payments.start_payment(booking.id, ANN)).payment.id
    seen: list[Watch] = []

    async def power_cut() -> None:
        raise KeyboardInterrupt

    async def customer() -> None:
        house.stripe.faults.script("POST /v1/payment_intents/*/confirm", "slow", times=1)
        house.clock.meanwhile(power_cut)
        with pytest.raises(KeyboardInterrupt):
            await house.payments.confirm_payment(booking.id, ANN, payment_method_id="pm_card_visa")
        seen.append(await _watched(house, payment_id))

    await _overtaken(house, payment_id, customer)

    assert seen[0].holder is not None
    assert [await _watched(house, payment_id)] == seen


async def test_a_payment_that_somebody_else_has_finished_is_not_put_off(house: House) -> None:
    booking = await house.book()
    payment_id = (await house.payments.start_payment(booking.id, ANN)).payment.id

    async def customer() -> None:
        await house.payments.confirm_payment(booking.id, ANN, payment_method_id="pm_card_visa")

    await _overtaken(house, payment_id, customer)

    assert await _watched(house, payment_id) == Watch()


async def test_who_comes_back_after_the_own_lease_leaves_the_lease_of_somebody_else_alone(house: House) -> None:
    booking_id = await _silent(house, "R-1")
    payment_id = (await house.payments.payment_status(booking_id)).payment.id
    seen: list[Watch] = []

    async def another_process() -> None:
        house.clock.advance(timedelta(minutes=2))
        await claim_operation(house.world, payment_id, ANN)
        seen.append(await _watched(house, payment_id))

    silent = Overtaken(house, another_process, Silent("no answer", code="timeout"))
    house.clock.advance(timedelta(minutes=1))

    await resolve_if_due(attrs.evolve(house.world, gateway=silent), payment_id)

    assert seen[0].holder is not None
    assert [await _watched(house, payment_id)] == seen


async def test_an_operation_that_breaks_is_tried_less_and_less_often(house: House) -> None:
    booking_id = await _silent(house, "R-1")
    payment_id = (await house.payments.payment_status(booking_id)).payment.id
    _sabotage(house, retrieve_intent=[BROKEN] * 3)
    pauses = []
    for _ in range(3):
        house.clock.advance(timedelta(hours=1))
        with pytest.raises(ExceptionGroup):
            await house.payments.settle_due()
        pauses.append(((await _watched(house, payment_id)).next_look_at or NOW) - house.clock.now())

    assert pauses == [timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2)]


# --- what is kept for a while


async def test_old_answers_are_forgotten(house: House) -> None:
    answer = StoredAnswer(
        caller="ann", route="POST /x", key="k" * 16, fingerprint="f", created_at=NOW, locked_until=NOW
    )
    await house.storage.transact(lambda uow: uow.answers.put(answer))

    assert await house.payments.forget_answers(NOW) == 0
    assert await house.payments.forget_answers(NOW + timedelta(seconds=1)) == 1
