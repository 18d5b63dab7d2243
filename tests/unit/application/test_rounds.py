"""Background work continues when parts of it fail."""

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

BROKEN = RuntimeError("a programming error")


async def test_an_error_in_one_payment_does_not_stop_others(kit: PaymentsTestKit) -> None:
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


async def test_a_payment_with_an_error_is_checked_again_later(kit: PaymentsTestKit) -> None:
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


class TimedPublisher:
    """A publisher that accepts messages and records their time."""

    def __init__(self, kit: PaymentsTestKit) -> None:
        self.clock = kit.clock
        self.at: dict[str, datetime] = {}
        kit.deps = attrs.evolve(kit.deps, channels={CHANNEL: self})

    async def publish(self, message: Message) -> None:
        self.at[message.type] = self.clock.now()


async def test_message_delivery_does_not_wait_for_an_unresponsive_gateway(kit: PaymentsTestKit) -> None:
    for number in range(5):
        await lose_answer(kit, "timeout_after", reference=f"R-{number}")
    paid = await kit.book(reference="paid")
    await kit.payments.process_booking_payment(paid, "pm_card_visa")
    told, line = TimedPublisher(kit), UnansweredTransport(kit)
    line.dead = True
    kit.clock.advance(timedelta(seconds=10))
    begun = kit.clock.now()

    await kit.payments.work()

    assert told.at["booking.confirmed"] == begun


async def test_a_pass_ends_after_repeated_gateway_timeouts(kit: PaymentsTestKit) -> None:
    for number in range(10):
        await lose_answer(kit, "timeout_after", reference=f"R-{number}")
    line = UnansweredTransport(kit)
    line.dead = True
    kit.clock.advance(timedelta(minutes=1))

    taken = [await kit.payments.settle_due() for _ in range(4)]

    assert taken == [3, 3, 3, 3]
    assert len(line.asked) == 4 * 3 * 3


async def test_payments_left_by_a_pass_are_settled_when_the_gateway_responds_again(kit: PaymentsTestKit) -> None:
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


async def test_timeouts_of_payments_without_an_operation_end_a_pass_too(kit: PaymentsTestKit) -> None:
    for number in range(5):
        await start(kit, reference=f"R-{number}")
    UnansweredTransport(kit).dead = True
    kit.clock.advance(timedelta(hours=1))

    assert await kit.payments.settle_due() == 3


async def test_a_response_between_timeouts_continues_the_pass() -> None:
    answers = [False, False, True, False, None, False, None, False, True]

    async def ask(place: int) -> bool | None:
        return answers[place]

    assert await while_answered(range(len(answers)), ask) == 8


async def test_expiry_closes_bookings_without_an_intent_first_and_ends_after_gateway_timeouts(
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


async def test_bookings_left_by_expiry_are_closed_when_the_gateway_responds_again(kit: PaymentsTestKit) -> None:
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


# --- races with another process


async def _poll_state_of(kit: PaymentsTestKit, payment_id: str) -> PollState:
    return await kit.storage.read(lambda uow: uow.payments.poll_state(payment_id))


async def _overtaken(kit: PaymentsTestKit, payment_id: str, meanwhile: Callable[[], Awaitable[object]]) -> None:
    """Check a payment, which raises, while ``meanwhile`` another process works on it."""
    here = attrs.evolve(kit.deps, gateway=Overtaken(kit, meanwhile))
    kit.clock.advance(timedelta(minutes=11))
    with pytest.raises(RuntimeError):
        await resolve_if_due(here, payment_id)


async def test_rescheduling_a_payment_keeps_the_lease_of_another_process(kit: PaymentsTestKit) -> None:
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
        seen.append(await _poll_state_of(kit, payment_id))

    await _overtaken(kit, payment_id, customer)

    assert seen[0].holder is not None
    assert [await _poll_state_of(kit, payment_id)] == seen


async def test_a_payment_completed_by_another_process_is_not_rescheduled(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    payment_id = (await kit.payments.start_payment(booking.id, ANN)).payment.id

    async def customer() -> None:
        await kit.payments.confirm_payment(booking.id, ANN, payment_method_id="pm_card_visa")

    await _overtaken(kit, payment_id, customer)

    assert await _poll_state_of(kit, payment_id) == PollState()


async def test_a_process_that_outlived_its_lease_keeps_the_lease_of_another(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after", reference="R-1")
    payment_id = (await payment_of(kit, booking_id)).id
    seen: list[PollState] = []

    async def another_process() -> None:
        kit.clock.advance(timedelta(minutes=2))
        await claim_operation(kit.deps, payment_id, ANN)
        seen.append(await _poll_state_of(kit, payment_id))

    silent = Overtaken(kit, another_process, OutcomeAmbiguous("no answer", code="timeout"))
    kit.clock.advance(timedelta(minutes=1))

    await resolve_if_due(attrs.evolve(kit.deps, gateway=silent), payment_id)

    assert seen[0].holder is not None
    assert [await _poll_state_of(kit, payment_id)] == seen


async def test_an_operation_with_errors_is_retried_with_growing_delays(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after", reference="R-1")
    payment_id = (await payment_of(kit, booking_id)).id
    use_gateway(kit, FailingGateway(kit, retrieve_intent=[BROKEN] * 3))
    pauses = []
    for _ in range(3):
        kit.clock.advance(timedelta(hours=1))
        with pytest.raises(ExceptionGroup):
            await kit.payments.settle_due()
        pauses.append(((await _poll_state_of(kit, payment_id)).next_check_at or NOW) - kit.clock.now())

    assert pauses == [timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2)]


# --- retention


async def test_expired_stored_responses_are_deleted(kit: PaymentsTestKit) -> None:
    answer = StoredAnswer(
        caller="ann", route="POST /x", key="k" * 16, fingerprint="f", created_at=NOW, locked_until=NOW
    )
    await kit.storage.transact(lambda uow: uow.answers.put(answer))

    assert await kit.payments.forget_answers(NOW) == 0
    assert await kit.payments.forget_answers(NOW + timedelta(seconds=1)) == 1
