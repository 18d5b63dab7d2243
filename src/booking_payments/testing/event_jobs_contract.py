"""What every storage adapter has to keep of ``ports.event_jobs``, as tests.

Subclass ``EventJobsContract`` beside ``StorageContract`` and give it the same ``storage`` fixture: an empty storage.
"""

from datetime import timedelta

import attrs
import pytest

from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.fees import FeePolicy
from booking_payments.domain.lifecycle import DisputeStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.ports.event_jobs import BookingOutcome, BookingResult, EventJob, EventJobKind, EventJobState
from booking_payments.ports.storage import AlreadyExists, Storage
from booking_payments.testing.kit import NOW
from booking_payments.testing.payment_builder import USD_100, booking, started_payment
from booking_payments.testing.storage_contract import store, stored

SOON = NOW + timedelta(minutes=1)


def _job(number: int = 1, **changes: object) -> EventJob:
    job = EventJob(
        id=f"evj_{number}",
        event_id="evening",
        kind=EventJobKind.CANCEL,
        actor="operator:olga",
        cause="req_1",
        created_at=NOW + timedelta(seconds=number),
    )
    return attrs.evolve(job, **changes)  # type: ignore[arg-type]


def _booking(number: int, *, event_id: str = "evening", status: BookingStatus = BookingStatus.PENDING) -> Booking:
    return attrs.evolve(booking(number), event_id=event_id, status=status)


def _result(number: int, outcome: BookingOutcome = BookingOutcome.DONE) -> BookingResult:
    return BookingResult(job_id="evj_1", booking_id=f"bk_{number}", outcome=outcome, at=NOW, reason="why")


async def _add(storage: Storage, *jobs: EventJob) -> None:
    for job in jobs:
        await storage.transact(lambda uow, job=job: uow.events.add(job))  # type: ignore[misc]


async def _put(storage: Storage, *results: BookingResult) -> None:
    for result in results:
        await storage.transact(lambda uow, result=result: uow.events.put(result))  # type: ignore[misc]


class EventJobsContract:
    """What holds for every storage."""

    async def test_a_job_comes_back_as_it_was_stored_and_saved(self, storage: Storage) -> None:
        job = _job(
            kind=EventJobKind.RESCHEDULE, event_starts_at=SOON, refund_grace_until=SOON, reason="snow", holder="run_1"
        )
        await _add(storage, job)
        assert await storage.read(lambda uow: uow.events.latest("evening")) == job

        ended = attrs.evolve(job, state=EventJobState.DONE, finished_at=SOON, holder=None)
        await storage.transact(lambda uow: uow.events.save(ended))
        assert await storage.transact(lambda uow: uow.events.lock(job.id)) == ended

    async def test_only_one_job_of_an_event_runs(self, storage: Storage) -> None:
        await _add(storage, _job(1))
        with pytest.raises(AlreadyExists):
            await _add(storage, _job(2))
        await _add(storage, _job(3, event_id="other"))

    async def test_the_newest_job_of_an_event_is_found(self, storage: Storage) -> None:
        moved = _job(1, kind=EventJobKind.RESCHEDULE, event_starts_at=SOON, state=EventJobState.DONE)
        await _add(storage, moved, _job(2))

        latest = await storage.read(lambda uow: uow.events.latest("evening"))
        assert latest is not None
        assert latest.id == "evj_2"
        assert await storage.read(lambda uow: uow.events.latest("other")) is None

    async def test_an_event_is_canceled_by_a_cancellation_only(self, storage: Storage) -> None:
        await _add(storage, _job(1), _job(2, event_id="moved", kind=EventJobKind.RESCHEDULE, event_starts_at=SOON))

        assert await storage.read(lambda uow: uow.events.is_canceled("evening"))
        assert not await storage.read(lambda uow: uow.events.is_canceled("moved"))

    async def test_the_first_move_to_a_date_is_found(self, storage: Storage) -> None:
        moves = {"kind": EventJobKind.RESCHEDULE, "state": EventJobState.DONE}
        await _add(storage, *(_job(number, event_starts_at=SOON, **moves) for number in (2, 1)))
        await _add(storage, _job(3, event_starts_at=NOW, **moves), _job(4, event_id="other"))

        first = await storage.read(lambda uow: uow.events.first_move("evening", SOON))

        assert first == _job(1).created_at
        assert await storage.read(lambda uow: uow.events.first_move("other", SOON)) is None

    async def test_bookings_without_a_result_come_first_and_then_those_that_wait(self, storage: Storage) -> None:
        await store(storage, *(_booking(number) for number in (1, 2, 3)), _booking(4, event_id="other"))
        await _add(storage, _job())
        await _put(storage, _result(1, BookingOutcome.WAITING), _result(3))

        async def following(limit: int = 10, *, now: bool = False) -> list[str]:
            before = NOW if now else SOON
            return list(await storage.read(lambda uow: uow.events.next_bookings(_job(), before, limit)))

        assert await following() == ["bk_2", "bk_1"]
        assert await following(1) == ["bk_2"]
        assert await following(now=True) == ["bk_2"]

    async def test_those_that_wait_longest_come_first(self, storage: Storage) -> None:
        await store(storage, *(_booking(number) for number in (1, 2, 3)))
        await _add(storage, _job())
        waits = {1: 3, 2: 1, 3: 2}
        for number, second in waits.items():
            at = NOW + timedelta(seconds=second)
            await _put(storage, attrs.evolve(_result(number, BookingOutcome.WAITING), at=at))

        found = await storage.read(lambda uow: uow.events.next_bookings(_job(), SOON, 10))

        assert list(found) == ["bk_2", "bk_3", "bk_1"]

    async def test_running_jobs_take_turns(self, storage: Storage) -> None:
        await _add(storage, *(_job(number, event_id=f"evening-{number}") for number in (1, 2, 3)))

        async def take_up(number: int, second: int) -> None:
            taken_up = _job(number, event_id=f"evening-{number}", taken_up_at=NOW + timedelta(seconds=second))
            await storage.transact(lambda uow: uow.events.save(taken_up))

        await take_up(1, 2)
        await take_up(2, 1)
        found = await storage.read(lambda uow: uow.events.running(10))

        assert [each.id for each in found] == ["evj_3", "evj_2", "evj_1"]

    async def test_a_result_replaces_the_one_before(self, storage: Storage) -> None:
        await store(storage, _booking(1), _booking(2))
        await _add(storage, _job())
        await _put(storage, _result(1, BookingOutcome.WAITING), _result(1), _result(2, BookingOutcome.FAILED))

        counts = await storage.read(lambda uow: uow.events.counts("evj_1"))
        found = await storage.read(lambda uow: uow.events.results("evj_1", [BookingOutcome.DONE], "", 10))
        behind = await storage.read(lambda uow: uow.events.results("evj_1", list(BookingOutcome), "bk_1", 10))
        assert dict(counts) == {BookingOutcome.DONE: 1, BookingOutcome.FAILED: 1}
        assert list(found) == [_result(1)]
        assert list(behind) == [_result(2, BookingOutcome.FAILED)]

    async def test_a_cancellation_that_has_ended_runs_again_for_a_booking_that_slipped_in(
        self, storage: Storage
    ) -> None:
        await store(storage, _booking(1, status=BookingStatus.CANCELED))
        await _add(storage, _job(1, state=EventJobState.DONE))

        async def running() -> list[str]:
            return [each.id for each in await storage.read(lambda uow: uow.events.running(10))]

        assert await running() == []
        await store(storage, _booking(2))
        assert await running() == ["evj_1"]
        await _put(storage, _result(2))
        assert await running() == []

    async def test_bookings_that_are_owed_money_again_are_found(self, storage: Storage) -> None:
        await store(storage, *(_booking(number, status=BookingStatus.CANCELED) for number in (1, 2, 3)))
        await _add(storage, _job())
        await _put(storage, _result(1), _result(2), _result(3, BookingOutcome.FAILED))
        paid = ev.PaymentSucceeded(breakdown=FeePolicy().of_booking(USD_100), charge_id=None, attempt=None, late=False)
        history = started_payment(booking(1)).happen(ev.IntentLinked(intent_id="pi_1"), paid)
        await stored(storage, history)
        history.mark_saved()
        assert await storage.read(lambda uow: uow.events.reopened("evj_1", "", 10)) == []

        pending = ev.RefundFound(
            refund_id="re_1",
            gateway_refund_id="re_1",
            amount=USD_100,
            fee_refunded=Money(0, Currency.USD),
            reason=None,
            status=RefundStatus.PENDING,
        )
        await stored(storage, history.happen(pending))

        found = await storage.read(lambda uow: uow.events.reopened("evj_1", "", 10))
        assert [each.booking_id for each in found] == ["bk_1"]
        assert await storage.read(lambda uow: uow.events.reopened("evj_1", "bk_1", 10)) == []

    async def test_a_refunded_booking_that_is_disputed_is_found(self, storage: Storage) -> None:
        await store(storage, _booking(1, status=BookingStatus.CANCELED))
        await _add(storage, _job())
        await _put(storage, _result(1))
        paid = ev.PaymentSucceeded(breakdown=FeePolicy().of_booking(USD_100), charge_id=None, attempt=None, late=False)
        opened = ev.DisputeOpened(
            dispute_id="dp_1",
            amount=USD_100,
            reason="fraudulent",
            status=DisputeStatus.NEEDS_RESPONSE,
            evidence_due_by=None,
        )
        history = started_payment(booking(1)).happen(ev.IntentLinked(intent_id="pi_1"), paid, opened)
        await stored(storage, history)

        found = await storage.read(lambda uow: uow.events.reopened("evj_1", "", 10))

        assert [each.booking_id for each in found] == ["bk_1"]

    async def test_totals_are_by_currency(self, storage: Storage) -> None:
        await store(storage, _booking(1, status=BookingStatus.CONFIRMED), _booking(2), _booking(3, event_id="other"))
        yen = attrs.evolve(_booking(4), amount=Money(500, Currency.JPY))
        await store(storage, yen)
        paid = ev.PaymentSucceeded(breakdown=FeePolicy().of_booking(USD_100), charge_id=None, attempt=None, late=False)
        await stored(storage, started_payment(booking(1)).happen(ev.IntentLinked(intent_id="pi_1"), paid))

        found = await storage.read(lambda uow: uow.events.totals(["evening", "other", "unknown"]))
        jpy, usd = found["evening"]
        assert [dict(each.bookings) for each in found["other"]] == [{"pending": 1}]
        assert (list(found), found["unknown"]) == (["evening", "other", "unknown"], [])
        assert (jpy.unpaid, jpy.captured) == (Money(500, Currency.JPY), Money(0, Currency.JPY))
        assert (usd.captured, usd.refunded, usd.unpaid) == (USD_100, Money(0, Currency.USD), USD_100)
        assert usd.amount == USD_100 + USD_100
        assert dict(usd.bookings) == {"confirmed": 1, "pending": 1}
        assert await storage.read(lambda uow: uow.events.total("evening")) == 3

    async def test_the_newest_booking_and_job_of_each_event_are_read_together(self, storage: Storage) -> None:
        later = timedelta(seconds=1)
        created = ((1, "a", NOW), (2, "a", NOW + later), (3, "a", NOW), (4, "b", NOW), (5, "b", NOW), (6, "c", NOW))
        await store(storage, *(attrs.evolve(_booking(n, event_id=its), created_at=at) for n, its, at in created))
        for number, (event_id, at) in enumerate((("a", NOW), ("a", NOW - later), ("b", NOW)), start=1):
            await _add(storage, _job(number, event_id=event_id, state=EventJobState.DONE, created_at=at))

        asked = ["b", "a", "unknown"]
        bookings = await storage.read(lambda uow: uow.events.newest_bookings(asked))
        assert {event_id: each.id for event_id, each in bookings.items()} == {"a": "bk_2", "b": "bk_5"}
        jobs = await storage.read(lambda uow: uow.events.newest_jobs(asked))
        assert {event_id: each.id for event_id, each in jobs.items()} == {"a": "evj_1", "b": "evj_3"}
