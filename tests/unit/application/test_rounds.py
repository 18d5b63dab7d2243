"""Background work goes on whatever breaks in it."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import attrs
import pytest

from booking_payments.application.passes import while_answered
from booking_payments.application.resolve import claim_operation, resolve_if_due
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.ports.gateway import OutcomeAmbiguous
from booking_payments.ports.idempotency import StoredAnswer
from booking_payments.ports.payments import PollState
from booking_payments.ports.publisher import Message
from booking_payments.testing.kit import ANN, CHANNEL, NOW, PaymentsTestKit
from tests.payments import lose_answer, pay_in_browser, payment_of, start
from tests.unit.application.failing_gateway import FailingGateway, Overtaken, UnansweredTransport, use_gateway

BROKEN = RuntimeError("a bug of ours")


async def test_a_payment_that_breaks_holds_up_no_other(kit: PaymentsTestKit) -> None:
    first = await lose_answer(kit, "timeout_after", reference="R-1")
    second = await lose_answer(kit, "timeout_after", reference="R-2")
    overdue = await kit.book(reference="R-3", expires_in=timedelta(minutes=1))
    use_gateway(kit, FailingGateway(kit, retrieve_intent=[BROKEN]))
    kit.clock.advance(timedelta(minutes=2))

    with pytest.raises(ExceptionGroup) as broken:
        await kit.payments.work()

    assert broken.value.subgroup(RuntimeError) is not None
    states = {(await payment_of(kit, each)).status for each in (first, second)}
    assert PaymentStatus.SUCCEEDED in states
    assert (await kit.payments.get_booking(overdue.id)).status is BookingStatus.EXPIRED


async def test_a_payment_that_broke_is_looked_at_again_later(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    view = await kit.payments.start_payment(booking.id, ANN)
    pay_in_browser(kit, view)
    use_gateway(kit, FailingGateway(kit, retrieve_intent=[BROKEN]))
    kit.clock.advance(timedelta(minutes=11))
    with pytest.raises(ExceptionGroup):
        await kit.payments.work()

    at_once = await kit.payments.work()
    kit.clock.advance(timedelta(hours=1))
    later = await kit.payments.work()

    assert (at_once, later > 0) == (0, True)
    assert (await payment_of(kit, booking)).status is PaymentStatus.SUCCEEDED


# --- while the gateway does not answer


class JournalEntry:
    """Takes messages, and notes which came at what time."""

    def __init__(self, kit: PaymentsTestKit) -> None:
        self.clock = kit.clock
        self.at: dict[str, datetime] = {}
        kit.deps = attrs.evolve(kit.deps, channels={CHANNEL: self})

    async def publish(self, message: Message) -> None:
        self.at[message.type] = self.clock.now()


async def test_messages_that_wait_do_not_wait_for_a_gateway_that_does_not_answer(kit: PaymentsTestKit) -> None:
    for number in range(5):
        await lose_answer(kit, "timeout_after", reference=f"R-{number}")
    paid = await kit.book(reference="paid")
    await kit.payments.process_booking_payment(paid, "pm_card_visa")
    told, line = JournalEntry(kit), UnansweredTransport(kit)
    line.dead = True
    kit.clock.advance(timedelta(seconds=10))
    begun = kit.clock.now()

    await kit.payments.work()

    assert told.at["booking.confirmed"] == begun


async def test_a_round_ends_when_the_gateway_is_silent_again_and_again(kit: PaymentsTestKit) -> None:
    for number in range(10):
        await lose_answer(kit, "timeout_after", reference=f"R-{number}")
    line = UnansweredTransport(kit)
    line.dead = True
    kit.clock.advance(timedelta(minutes=1))

    taken = [await kit.payments.settle_due() for _ in range(4)]

    assert taken == [3, 3, 3, 3]
    assert len(line.asked) == 4 * 3 * 3


async def test_what_a_round_left_is_settled_when_the_gateway_answers_again(kit: PaymentsTestKit) -> None:
    for number in range(10):
        await lose_answer(kit, "timeout_after", reference=f"R-{number}")
    line = UnansweredTransport(kit)
    line.dead = True
    kit.clock.advance(timedelta(seconds=10))
    await kit.payments.settle_due()
    line.dead = False

    at_once = await kit.payments.settle_due()
    kit.clock.advance(timedelta(seconds=30))

    assert at_once + await kit.payments.settle_due() == 10
    assert {each.status for each in (await kit.payments.list_payments()).items} == {PaymentStatus.SUCCEEDED}


async def test_payments_that_merely_wait_end_a_round_too(kit: PaymentsTestKit) -> None:
    for number in range(5):
        await start(kit, reference=f"R-{number}")
    UnansweredTransport(kit).dead = True
    kit.clock.advance(timedelta(hours=1))

    assert await kit.payments.settle_due() == 3


async def test_one_answer_in_between_keeps_a_round_going() -> None:
    answers = [False, False, True, False, None, False, None, False, True]

    async def ask(place: int) -> bool | None:
        return answers[place]

    assert await while_answered(range(len(answers)), ask) == 8


async def test_expiry_ends_a_round_when_the_gateway_is_silent_and_closes_first_what_needs_none(
    kit: PaymentsTestKit,
) -> None:
    paying = [await kit.book(reference=f"R-{number}", expires_in=timedelta(minutes=1)) for number in range(5)]
    for booking in paying:
        await kit.payments.start_payment(booking.id, ANN)
    free = await kit.book(reference="free", expires_in=timedelta(minutes=2))
    UnansweredTransport(kit).dead = True
    kit.clock.advance(timedelta(minutes=3))

    looked_at = await kit.payments.expire_bookings()

    assert looked_at == 4
    assert (await kit.payments.get_booking(free.id)).status is BookingStatus.EXPIRED
    assert {(await kit.payments.get_booking(each.id)).status for each in paying} == {BookingStatus.PENDING}


async def test_what_expiry_left_is_closed_when_the_gateway_answers_again(kit: PaymentsTestKit) -> None:
    paying = [await kit.book(reference=f"R-{number}", expires_in=timedelta(minutes=1)) for number in range(5)]
    for booking in paying:
        await kit.payments.start_payment(booking.id, ANN)
    line = UnansweredTransport(kit)
    line.dead = True
    kit.clock.advance(timedelta(minutes=3))
    await kit.payments.expire_bookings()
    line.dead = False

    await kit.settle()

    assert {(await kit.payments.get_booking(each.id)).status for each in paying} == {BookingStatus.EXPIRED}


# --- who was faster


async def _watched(kit: PaymentsTestKit, payment_id: str) -> PollState:
    return await kit.storage.read(lambda uow: uow.payments.poll_state(payment_id))


async def _overtaken(kit: PaymentsTestKit, payment_id: str, meanwhile: Callable[[], Awaitable[object]]) -> None:
    """Look at a payment, which breaks, and ``meanwhile`` another process is at it."""
    here = attrs.evolve(kit.deps, gateway=Overtaken(kit, meanwhile))
    kit.clock.advance(timedelta(minutes=11))
    with pytest.raises(RuntimeError):
        await resolve_if_due(here, payment_id)


async def test_putting_a_payment_off_leaves_the_lease_of_somebody_else_alone(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    payment_id = (await kit.payments.start_payment(booking.id, ANN)).payment.id
    seen: list[PollState] = []

    async def power_cut() -> None:
        raise KeyboardInterrupt

    async def customer() -> None:
        kit.stripe.faults.script("POST /v1/payment_intents/*/confirm", "slow", times=1)
        kit.clock.meanwhile(power_cut)
        with pytest.raises(KeyboardInterrupt):
            await kit.payments.confirm_payment(booking.id, ANN, payment_method_id="pm_card_visa")
        seen.append(await _watched(kit, payment_id))

    await _overtaken(kit, payment_id, customer)

    assert seen[0].holder is not None
    assert [await _watched(kit, payment_id)] == seen


async def test_a_payment_that_somebody_else_has_finished_is_not_put_off(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    payment_id = (await kit.payments.start_payment(booking.id, ANN)).payment.id

    async def customer() -> None:
        await kit.payments.confirm_payment(booking.id, ANN, payment_method_id="pm_card_visa")

    await _overtaken(kit, payment_id, customer)

    assert await _watched(kit, payment_id) == PollState()


async def test_who_comes_back_after_the_own_lease_leaves_the_lease_of_somebody_else_alone(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after", reference="R-1")
    payment_id = (await payment_of(kit, booking_id)).id
    seen: list[PollState] = []

    async def another_process() -> None:
        kit.clock.advance(timedelta(minutes=2))
        await claim_operation(kit.deps, payment_id, ANN)
        seen.append(await _watched(kit, payment_id))

    silent = Overtaken(kit, another_process, OutcomeAmbiguous("no answer", code="timeout"))
    kit.clock.advance(timedelta(minutes=1))

    await resolve_if_due(attrs.evolve(kit.deps, gateway=silent), payment_id)

    assert seen[0].holder is not None
    assert [await _watched(kit, payment_id)] == seen


async def test_an_operation_that_breaks_is_tried_less_and_less_often(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after", reference="R-1")
    payment_id = (await payment_of(kit, booking_id)).id
    use_gateway(kit, FailingGateway(kit, retrieve_intent=[BROKEN] * 3))
    pauses = []
    for _ in range(3):
        kit.clock.advance(timedelta(hours=1))
        with pytest.raises(ExceptionGroup):
            await kit.payments.settle_due()
        pauses.append(((await _watched(kit, payment_id)).next_check_at or NOW) - kit.clock.now())

    assert pauses == [timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2)]


# --- what is kept for a while


async def test_old_answers_are_forgotten(kit: PaymentsTestKit) -> None:
    answer = StoredAnswer(
        caller="ann", route="POST /x", key="k" * 16, fingerprint="f", created_at=NOW, locked_until=NOW
    )
    await kit.storage.transact(lambda uow: uow.answers.put(answer))

    assert await kit.payments.forget_answers(NOW) == 0
    assert await kit.payments.forget_answers(NOW + timedelta(seconds=1)) == 1
