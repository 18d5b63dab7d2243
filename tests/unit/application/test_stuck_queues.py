"""Entries stuck at the head of a queue, in any number, do not keep later entries out of the same pass."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import attrs
import pytest

from booking_payments.adapters.gateways.fake.gateway import FakeGateway
from booking_payments.application import bookings, delivering, event_jobs, expiring, reading, resolve
from booking_payments.application.bookings import cancel_booking, expire_bookings
from booking_payments.application.callers import Caller
from booking_payments.application.delivering import deliver_messages
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.passes import through_queue
from booking_payments.application.payments import BookingPayments
from booking_payments.application.recording import Recorder
from booking_payments.application.replaying import UNFINISHED
from booking_payments.application.resolve import resolve_due
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.errors import AlreadyUnderWay, OutcomeUnknown
from booking_payments.domain.payment import Payment
from booking_payments.domain.reports import IntentReport
from booking_payments.ports.event_jobs import EventJob
from booking_payments.ports.gateway import OutcomeAmbiguous
from booking_payments.ports.inbox import InboxFilter
from booking_payments.ports.publisher import DeliveryFailed, Message
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.testing.kit import ANN, CHANNEL, OPERATOR, PaymentsTestKit
from tests.nightly import NIGHTLY
from tests.unit.application.conftest import ONE_PASS

PROCESSING = "payment_intent.processing"
BROKEN = RuntimeError("an unreadable row")


PASSES = (
    (bookings, "EXPIRE_AT_ONCE"),
    (delivering, "DELIVER_AT_ONCE"),
    (event_jobs, "PAGE"),
    (expiring, "ANNOUNCE_AT_ONCE"),
    (resolve, "RESOLVE_AT_ONCE"),
)


@pytest.fixture(autouse=True)
def small_passes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """By day a pass takes a tenth of what it takes in the product, so that a few entries are more than it takes."""
    if not NIGHTLY and "stuck" in request.fixturenames:
        for module, name in PASSES:
            monkeypatch.setattr(module, name, ONE_PASS)
        monkeypatch.setattr(event_jobs, "AT_ONCE", ONE_PASS // 2)


def test_a_pass_takes_a_hundred_entries() -> None:
    assert [getattr(module, name) for module, name in PASSES] == [100] * len(PASSES)
    assert event_jobs.AT_ONCE in range(40, 60)


async def started(kit: PaymentsTestKit, reference: str, expires_in: timedelta) -> tuple[str, str]:
    """A booking whose payment waits for the customer; returns the ids of booking and payment."""
    booking = await kit.book(reference=reference, expires_in=expires_in)
    view = await kit.payments.start_payment(booking.id, ANN)
    return booking.id, view.payment.id


async def test_bookings_with_an_unknown_cancellation_do_not_stop_others_from_expiring(
    kit: PaymentsTestKit, stuck: int
) -> None:
    for number in range(stuck):
        booking_id, _ = await started(kit, f"R-{number}", timedelta(days=1))
        kit.stripe.faults.script("POST /v1/payment_intents/*/cancel", "timeout_before", times=3)
        with pytest.raises(OutcomeUnknown):
            await kit.payments.cancel_booking(booking_id)
    behind, _ = await started(kit, "R-behind", timedelta(days=5))
    kit.clock.advance(timedelta(days=6))

    await expire_bookings(kit.deps)

    assert (await kit.payments.get_booking(behind)).status is BookingStatus.EXPIRED


async def test_holds_that_cannot_be_announced_do_not_stop_others(
    kit: PaymentsTestKit, stuck: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(stuck):
        await kit.book(reference=f"R-{number}", expires_in=timedelta(minutes=5))
    behind = await kit.book(reference="R-behind", expires_in=timedelta(minutes=9))

    def breaking(
        deps: Dependencies, uow: UnitOfWork, booking: Booking, payment: Payment | None, caller: Caller
    ) -> Recorder:
        if booking.id != behind.id:
            raise LookupError("unreadable")
        return Recorder(deps, uow, booking, payment, caller)

    monkeypatch.setattr(expiring, "Recorder", breaking)
    with pytest.raises(ExceptionGroup):
        await expiring.announce_expiring(kit.deps)

    waiting = await kit.storage.read(lambda uow: uow.outbox.undelivered(dead=False, limit=10))
    assert [(each.message.booking_id, each.message.type) for each in waiting] == [(behind.id, "booking.expiring")]


async def test_bookings_waiting_for_the_gateway_are_skipped_for_a_while(kit: PaymentsTestKit) -> None:
    booking_id, _ = await started(kit, "R-1", timedelta(days=1))
    kit.stripe.faults.script("POST /v1/payment_intents/*/cancel", "timeout_before", times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.cancel_booking(booking_id)
    kit.clock.advance(timedelta(days=2))

    taken = [await expire_bookings(kit.deps) for _ in range(3)]
    kit.clock.advance(timedelta(minutes=1))
    taken.append(await expire_bookings(kit.deps))
    await kit.payments.work()
    kit.clock.advance(timedelta(minutes=1))
    await kit.payments.work()

    assert taken == [1, 0, 0, 1]
    assert (await kit.payments.get_booking(booking_id)).status is not BookingStatus.PENDING


async def test_unreadable_payments_do_not_stop_others_from_being_settled(
    kit: PaymentsTestKit, stuck: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreadable = {(await started(kit, f"R-{number}", timedelta(days=9)))[1] for number in range(stuck)}
    kit.clock.advance(timedelta(seconds=1))
    _, behind = await started(kit, "R-behind", timedelta(days=9))
    kit.clock.advance(timedelta(days=1))
    real = reading.load

    async def load(uow: Any, payment_id: str) -> Any:
        if payment_id in unreadable:
            raise BROKEN
        return await real(uow, payment_id)

    monkeypatch.setattr(resolve, "load", load)
    with pytest.raises(ExceptionGroup):
        await resolve_due(kit.deps)

    poll_state = await kit.storage.read(lambda uow: uow.payments.poll_state(behind))
    assert not poll_state.is_due(kit.clock.now())


async def test_bookings_that_cannot_be_canceled_do_not_stop_others_of_the_event(
    kit: PaymentsTestKit, stuck: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the entries at the head raise, the others wait without an end."""
    breaking, waiting = set[str](), set[str]()
    for number in range(stuck):
        its = (await kit.book(reference=f"R-{number}", event_id="evening")).id
        (breaking if number % 2 else waiting).add(its)
    behind = await kit.book(reference="R-behind", event_id="evening")

    async def cancel(deps: Dependencies, booking_id: str, *given: Any, **named: Any) -> Booking:
        if booking_id in breaking:
            raise BROKEN
        if booking_id in waiting:
            raise AlreadyUnderWay
        return await cancel_booking(deps, booking_id, *given, **named)

    monkeypatch.setattr(event_jobs, "cancel_booking", cancel)
    await kit.payments.cancel_event("evening", OPERATOR)
    for _ in range(1 + stuck // event_jobs.AT_ONCE):
        with suppress(ExceptionGroup):
            await kit.payments.continue_event_jobs()
        kit.clock.advance(timedelta(seconds=2))

    assert (await kit.payments.get_booking(behind.id)).status is BookingStatus.CANCELED


async def test_event_jobs_that_do_not_end_do_not_stop_others(
    kit: PaymentsTestKit, stuck: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of the jobs at the head break as a whole, a third have a booking that waits, a third one that breaks."""
    broken_jobs, breaking, waiting = set[str](), set[str](), set[str]()
    for number in range(stuck):
        its = await kit.book(reference=f"R-{number}", event_id=f"evening-{number}")
        job = await kit.payments.cancel_event(f"evening-{number}", OPERATOR)
        (broken_jobs, breaking, waiting)[number % 3].add((job.id, its.id, its.id)[number % 3])
    kit.clock.advance(timedelta(seconds=1))
    behind = await kit.book(reference="R-behind", event_id="behind")
    await kit.payments.cancel_event("behind", OPERATOR)
    real_hold = event_jobs._hold

    async def cancel(deps: Dependencies, booking_id: str, *given: Any, **named: Any) -> Booking:
        if booking_id in breaking:
            raise BROKEN
        if booking_id in waiting:
            raise AlreadyUnderWay
        return await cancel_booking(deps, booking_id, *given, **named)

    async def hold(deps: Dependencies, job: EventJob, holder: str) -> bool:
        held = await real_hold(deps, job, holder)
        if job.id in broken_jobs:
            raise BROKEN
        return held

    monkeypatch.setattr(event_jobs, "cancel_booking", cancel)
    monkeypatch.setattr(event_jobs, "_hold", hold)
    for _ in range(1 + stuck // event_jobs.PAGE):
        with suppress(ExceptionGroup):
            await kit.payments.continue_event_jobs()
        kit.clock.advance(timedelta(seconds=2))

    assert (await kit.payments.get_booking(behind.id)).status is BookingStatus.CANCELED


class Choosy:
    """A publisher that accepts messages of some bookings only."""

    def __init__(self, refused: set[str]) -> None:
        self.refused = refused
        self.taken: list[str] = []

    async def publish(self, message: Message) -> None:
        if message.booking_id in self.refused:
            raise DeliveryFailed("not today")
        self.taken.append(message.booking_id)


async def test_rejected_messages_do_not_stop_others_from_being_delivered(kit: PaymentsTestKit, stuck: int) -> None:
    refused = set()
    for number in range(stuck):
        booking = await kit.book(reference=f"R-{number}")
        await kit.payments.cancel_booking(booking.id)
        refused.add(booking.id)
    choosy = Choosy(refused)
    deps = attrs.evolve(kit.deps, channels={CHANNEL: choosy})
    for _ in range(1 + stuck // delivering.DELIVER_AT_ONCE):
        await deliver_messages(deps)
    kit.clock.advance(timedelta(days=1))
    behind = await kit.book(reference="R-behind")
    await kit.payments.cancel_booking(behind.id)

    await deliver_messages(deps)

    assert choosy.taken == [behind.id]


class SilentAbout(FakeGateway):
    """The fake gateway, which times out when some intents are read."""

    def __init__(self, kit: PaymentsTestKit) -> None:
        super().__init__(kit.stripe, kit.clock)
        self.silent: set[str] = set()

    async def retrieve_intent(self, intent_id: str) -> IntentReport:
        if intent_id in self.silent:
            raise OutcomeAmbiguous("no answer", code="timeout")
        return await super().retrieve_intent(intent_id)


async def test_webhooks_that_keep_failing_do_not_stop_others_from_being_retried(
    kit: PaymentsTestKit, stuck: int
) -> None:
    gateway = SilentAbout(kit)
    kit.deps = attrs.evolve(kit.deps, gateway=gateway)
    kit.payments = BookingPayments(kit.deps)
    intents = []
    for reference in ("R-stuck", "R-behind"):
        booking = await kit.book(reference=reference)
        intents.append((await kit.payments.start_payment(booking.id, ANN)).payment.intent_id or "")
    which = InboxFilter(statuses=UNFINISHED)
    gateway.silent = set(intents)
    for _ in range(stuck):
        await fails(lambda: kit.deliver_event("payment_intent.processing", {"id": intents[0], "status": "processing"}))
    for _ in range(2):
        await kit.payments.replay_webhooks(which=which, caller=Caller.system("replay"))
    await fails(lambda: kit.deliver_event(PROCESSING, {"id": intents[1], "status": "processing"}))
    gateway.silent = {intents[0]}

    tried: Sequence[Any] = []
    for _ in range(2 + stuck // 3):
        tried = await kit.payments.replay_webhooks(which=which, caller=Caller.system("replay"))
        if any(not each.failed for each in tried):
            break
        assert len(tried) <= 3, "a round ends when the gateway falls silent"

    assert any(not each.failed for each in tried)


async def fails(deliver: Callable[[], Awaitable[Any]]) -> None:
    with pytest.raises(Exception, match="will be processed again"):
        await deliver()


async def test_a_pass_is_limited_and_reads_past_stuck_entries() -> None:
    queue = [f"stuck-{number}" for number in range(250)] + [f"fine-{number}" for number in range(150)]
    asked: list[str] = []

    async def read(limit: int) -> list[str]:
        return queue[:limit]

    async def ask(name: str) -> None:
        asked.append(name)
        queue.remove(name)

    def is_stuck(name: str) -> bool:
        return name.startswith("stuck")

    assert await through_queue(read, ask, at_once=100, is_stuck=is_stuck) == 100
    assert asked == [f"fine-{number}" for number in range(100)]
    assert await through_queue(read, ask, at_once=100, is_stuck=is_stuck) == 50
