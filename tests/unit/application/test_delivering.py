"""Messages reach the booking app at least once and in order, and failures for one booking do not delay others."""

from datetime import timedelta
from random import Random

import anyio
import attrs
import pytest

from booking_payments.adapters.memory.steps import gather_limited
from booking_payments.application.dependencies import DeliveryConfig, PaymentConfig
from booking_payments.application.payments import BookingPayments
from booking_payments.domain.retry import RetryPolicy
from booking_payments.ports.publisher import DeliveryFailed, Message
from booking_payments.testing.kit import CHANNEL, PaymentsTestKit
from tests.payments import paid_booking

TWICE = RetryPolicy(max_tries=2, first_delay=timedelta(seconds=10))


class Picky:
    """A publisher that accepts all messages except those of one booking."""

    def __init__(self, refused: str | None = None) -> None:
        self.refused = refused
        self.asked: list[str] = []
        self.taken: list[tuple[str, int]] = []

    async def publish(self, message: Message) -> None:
        self.asked.append(message.booking_id)
        if message.booking_id == self.refused:
            raise DeliveryFailed("the receiver answered 500")
        self.taken.append((message.booking_id, message.sequence))


def _told_by(kit: PaymentsTestKit, publisher: Picky, terms: DeliveryConfig | None = None) -> None:
    deps = attrs.evolve(kit.deps, channels={CHANNEL: publisher}, gather=gather_limited)
    kit.deps = attrs.evolve(deps, config=PaymentConfig(deliveries=terms or DeliveryConfig(retry=TWICE)))
    kit.payments = BookingPayments(kit.deps)


async def _give_up(kit: PaymentsTestKit) -> None:
    for _ in range(2):
        await kit.payments.deliver_messages()
        kit.clock.advance(timedelta(seconds=10))


async def test_failing_messages_of_one_booking_do_not_delay_others(kit: PaymentsTestKit) -> None:
    failing, fine = (await paid_booking(kit, reference="R-1")).id, (await paid_booking(kit, reference="R-2")).id
    _told_by(kit, picky := Picky(failing))

    await kit.payments.deliver_messages()

    assert picky.taken == [(fine, 1), (fine, 2)]
    assert picky.asked.count(failing) == 1


async def test_a_message_is_retried_when_it_is_due_and_not_before(kit: PaymentsTestKit) -> None:
    booking = (await paid_booking(kit)).id
    _told_by(kit, picky := Picky(booking))
    await kit.payments.deliver_messages()

    await kit.payments.deliver_messages()
    early = len(picky.asked)
    kit.clock.advance(timedelta(seconds=10))
    picky.refused = None
    await kit.payments.deliver_messages()

    assert early == 1
    assert picky.taken == [(booking, 1), (booking, 2)]


async def test_a_message_that_is_never_accepted_becomes_a_dead_letter_with_the_reason(kit: PaymentsTestKit) -> None:
    _told_by(kit, Picky((await paid_booking(kit)).id))

    await _give_up(kit)

    (dead,) = await kit.payments.undelivered_messages(dead=True)
    assert (dead.message.sequence, dead.tries, dead.error) == (1, 2, "the receiver answered 500")


async def test_messages_wait_behind_a_dead_letter_until_it_is_replayed(kit: PaymentsTestKit) -> None:
    booking = (await paid_booking(kit)).id
    _told_by(kit, picky := Picky(booking))
    await _give_up(kit)
    picky.refused = None

    waiting = await kit.payments.deliver_messages()
    (dead,) = await kit.payments.undelivered_messages(dead=True)
    await kit.payments.replay_messages([dead.message.id])
    await kit.payments.deliver_messages()

    assert waiting == 0
    assert picky.taken == [(booking, 1), (booking, 2)]


async def test_later_messages_pass_a_dead_letter_if_the_configuration_allows_it(kit: PaymentsTestKit) -> None:
    booking = (await paid_booking(kit)).id
    _told_by(kit, picky := Picky(booking), DeliveryConfig(retry=TWICE, skip_dead=True))
    await _give_up(kit)
    picky.refused = None

    await kit.payments.deliver_messages()

    assert picky.taken == [(booking, 2)]


async def test_a_discarded_dead_letter_is_not_delivered_and_the_next_messages_are(kit: PaymentsTestKit) -> None:
    booking = (await paid_booking(kit)).id
    _told_by(kit, picky := Picky(booking))
    await _give_up(kit)
    picky.refused = None
    (dead,) = await kit.payments.undelivered_messages(dead=True)

    dropped = await kit.payments.drop_messages([dead.message.id])
    await kit.payments.deliver_messages()

    assert (dropped, picky.taken) == (1, [(booking, 2)])


async def test_only_dead_letters_can_be_discarded_or_replayed(kit: PaymentsTestKit) -> None:
    await paid_booking(kit)
    (first, *_) = await kit.payments.undelivered_messages()

    found = (
        await kit.payments.drop_messages([first.message.id]),
        await kit.payments.replay_messages([first.message.id, "msg_unknown"]),
    )

    assert found == (0, 0)


async def test_no_delivery_starts_after_half_of_the_claim(kit: PaymentsTestKit) -> None:
    await paid_booking(kit, reference="R-1")
    _told_by(kit, slow := Picky(), DeliveryConfig(lease=timedelta(minutes=1)))
    take = slow.publish

    async def slowly(message: Message) -> None:
        kit.clock.advance(timedelta(seconds=31))
        await take(message)

    slow.publish = slowly  # type: ignore[method-assign]  # a receiver that takes its time
    await kit.payments.deliver_messages()
    begun = len(slow.taken)
    kit.clock.advance(timedelta(minutes=1))
    await kit.payments.deliver_messages()

    assert begun == 1
    assert [sequence for _, sequence in slow.taken] == [1, 2]


async def test_messages_of_several_bookings_are_delivered_concurrently(kit: PaymentsTestKit) -> None:
    first, second = (await paid_booking(kit, reference="R-1")).id, (await paid_booking(kit, reference="R-2")).id
    _told_by(kit, both := Picky())
    met: set[str] = set()
    together = anyio.Event()

    async def meet(message: Message) -> None:
        met.add(message.booking_id)
        if met == {first, second}:
            together.set()
        with anyio.fail_after(5):
            await together.wait()

    both.publish = meet  # type: ignore[method-assign]  # waits for the other one
    delivered = await kit.payments.deliver_messages()

    assert delivered == 4


@pytest.mark.parametrize("error", [RuntimeError("secret"), ConnectionError("secret")])
async def test_only_the_class_name_of_a_consumers_exception_is_stored(kit: PaymentsTestKit, error: Exception) -> None:
    await paid_booking(kit)
    _told_by(kit, broken := Picky())

    async def fail(message: Message) -> None:
        raise error

    broken.publish = fail  # type: ignore[method-assign]  # a bug in the booking app
    await kit.payments.deliver_messages()

    (first, *_) = await kit.payments.undelivered_messages()
    assert first.error == type(error).__name__


class BrokenDie(Random):
    """No delay can be drawn with it."""

    def randint(self, a: int, b: int) -> int:
        raise ZeroDivisionError


async def test_an_error_for_one_booking_does_not_lose_the_recorded_deliveries_of_others(kit: PaymentsTestKit) -> None:
    failing, fine = (await paid_booking(kit, reference="R-1")).id, (await paid_booking(kit, reference="R-2")).id
    _told_by(kit, picky := Picky(failing))
    kit.payments = BookingPayments(attrs.evolve(kit.deps, random=BrokenDie()))

    with pytest.raises(ExceptionGroup) as broken:
        await kit.payments.deliver_messages()

    waiting = await kit.payments.undelivered_messages()
    assert [type(each) for each in broken.value.exceptions] == [ZeroDivisionError]
    assert picky.taken == [(fine, 1), (fine, 2)]
    assert {each.message.booking_id for each in waiting} == {failing}
