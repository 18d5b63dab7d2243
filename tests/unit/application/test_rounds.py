"""Background work goes on whatever breaks in it."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import attrs
import pytest

from booking_payments.application.resolve import claim_operation, resolve_if_due
from booking_payments.application.rounds import while_answered
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.ports.gateway import Silent
from booking_payments.ports.idempotency import StoredAnswer
from booking_payments.ports.payments import Watch
from booking_payments.ports.publisher import Message
from booking_payments.testing.house import ANN, CHANNEL, NOW, House
from tests.payments import lose_answer, pay_in_browser, payment_of, start
from tests.unit.application.saboteur import Overtaken, Saboteur, SilentLine, use_gateway

BROKEN = RuntimeError("a bug of ours")


async def test_a_payment_that_breaks_holds_up_no_other(house: House) -> None:
    first = await lose_answer(house, "timeout_after", reference="R-1")
    second = await lose_answer(house, "timeout_after", reference="R-2")
    overdue = await house.book(reference="R-3", expires_in=timedelta(minutes=1))
    use_gateway(house, Saboteur(house, retrieve_intent=[BROKEN]))
    house.clock.advance(timedelta(minutes=2))

    with pytest.raises(ExceptionGroup) as broken:
        await house.payments.work()

    assert broken.value.subgroup(RuntimeError) is not None
    states = {(await payment_of(house, each)).status for each in (first, second)}
    assert PaymentStatus.SUCCEEDED in states
    assert (await house.payments.get_booking(overdue.id)).status is BookingStatus.EXPIRED


async def test_a_payment_that_broke_is_looked_at_again_later(house: House) -> None:
    booking = await house.book()
    view = await house.payments.start_payment(booking.id, ANN)
    pay_in_browser(house, view)
    use_gateway(house, Saboteur(house, retrieve_intent=[BROKEN]))
    house.clock.advance(timedelta(minutes=11))
    with pytest.raises(ExceptionGroup):
        await house.payments.work()

    at_once = await house.payments.work()
    house.clock.advance(timedelta(hours=1))
    later = await house.payments.work()

    assert (at_once, later > 0) == (0, True)
    assert (await payment_of(house, booking)).status is PaymentStatus.SUCCEEDED


# --- while the gateway does not answer


class Told:
    """Takes messages, and notes which came at what time."""

    def __init__(self, house: House) -> None:
        self.clock = house.clock
        self.at: dict[str, datetime] = {}
        house.world = attrs.evolve(house.world, channels={CHANNEL: self})

    async def publish(self, message: Message) -> None:
        self.at[message.type] = self.clock.now()


async def test_messages_that_wait_do_not_wait_for_a_gateway_that_does_not_answer(house: House) -> None:
    for number in range(5):
        await lose_answer(house, "timeout_after", reference=f"R-{number}")
    paid = await house.book(reference="paid")
    await house.payments.process_booking_payment(paid, "pm_card_visa")
    told, line = Told(house), SilentLine(house)
    line.dead = True
    house.clock.advance(timedelta(seconds=10))
    begun = house.clock.now()

    await house.payments.work()

    assert told.at["booking.confirmed"] == begun


async def test_a_round_ends_when_the_gateway_is_silent_again_and_again(house: House) -> None:
    for number in range(10):
        await lose_answer(house, "timeout_after", reference=f"R-{number}")
    line = SilentLine(house)
    line.dead = True
    house.clock.advance(timedelta(minutes=1))

    taken = [await house.payments.settle_due() for _ in range(4)]

    assert taken == [3, 3, 3, 3]
    assert len(line.asked) == 4 * 3 * 3


async def test_what_a_round_left_is_settled_when_the_gateway_answers_again(house: House) -> None:
    for number in range(10):
        await lose_answer(house, "timeout_after", reference=f"R-{number}")
    line = SilentLine(house)
    line.dead = True
    house.clock.advance(timedelta(seconds=10))
    await house.payments.settle_due()
    line.dead = False

    at_once = await house.payments.settle_due()
    house.clock.advance(timedelta(seconds=30))

    assert at_once + await house.payments.settle_due() == 10
    assert {each.status for each in (await house.payments.list_payments()).items} == {PaymentStatus.SUCCEEDED}


async def test_payments_that_merely_wait_end_a_round_too(house: House) -> None:
    for number in range(5):
        await start(house, reference=f"R-{number}")
    SilentLine(house).dead = True
    house.clock.advance(timedelta(hours=1))

    assert await house.payments.settle_due() == 3


async def test_one_answer_in_between_keeps_a_round_going() -> None:
    answers = [False, False, True, False, None, False, None, False, True]

    async def ask(place: int) -> bool | None:
        return answers[place]

    assert await while_answered(range(len(answers)), ask) == 8


async def test_expiry_ends_a_round_when_the_gateway_is_silent_and_closes_first_what_needs_none(house: House) -> None:
    paying = [await house.book(reference=f"R-{number}", expires_in=timedelta(minutes=1)) for number in range(5)]
    for booking in paying:
        await house.payments.start_payment(booking.id, ANN)
    free = await house.book(reference="free", expires_in=timedelta(minutes=2))
    SilentLine(house).dead = True
    house.clock.advance(timedelta(minutes=3))

    looked_at = await house.payments.expire_bookings()

    assert looked_at == 4
    assert (await house.payments.get_booking(free.id)).status is BookingStatus.EXPIRED
    assert {(await house.payments.get_booking(each.id)).status for each in paying} == {BookingStatus.PENDING}


async def test_what_expiry_left_is_closed_when_the_gateway_answers_again(house: House) -> None:
    paying = [await house.book(reference=f"R-{number}", expires_in=timedelta(minutes=1)) for number in range(5)]
    for booking in paying:
        await house.payments.start_payment(booking.id, ANN)
    line = SilentLine(house)
    line.dead = True
    house.clock.advance(timedelta(minutes=3))
    await house.payments.expire_bookings()
    line.dead = False

    await house.settle()

    assert {(await house.payments.get_booking(each.id)).status for each in paying} == {BookingStatus.EXPIRED}


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
    booking_id = await lose_answer(house, "timeout_after", reference="R-1")
    payment_id = (await payment_of(house, booking_id)).id
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
    booking_id = await lose_answer(house, "timeout_after", reference="R-1")
    payment_id = (await payment_of(house, booking_id)).id
    use_gateway(house, Saboteur(house, retrieve_intent=[BROKEN] * 3))
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
