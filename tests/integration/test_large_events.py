"""An event is canceled at a gateway that declines, times out, answers late and has too little balance.

By day in memory; in nightly runs over the databases too. ``EVENT_BOOKINGS`` sets the number of bookings.
``python -m bench.cancel_event`` has 5,000, and prints figures.
"""

import os

import pytest
from bench.cancel_event import EventRun, measured

from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.ports.storage import Storage
from booking_payments.testing.kit import PaymentsTestKit
from tests.unit.application.test_event_job_disputes import assert_disputed_and_refunded_once, event_with_a_dispute

NIGHTLY = os.environ.get("SIMULATION") == "nightly"
BOOKINGS = int(os.environ.get("EVENT_BOOKINGS", "300" if NIGHTLY else "60"))
MAX_PER_S = 20


async def is_right(storage: Storage | None) -> None:
    figures = await measured(EventRun.over(storage, seed=BOOKINGS, max_per_s=MAX_PER_S), BOOKINGS)

    assert figures["differences"] == []
    assert figures["at_last"] == figures["expected"]
    assert figures["at_first"] != figures["expected"], "nothing failed: the run proves little"


async def test_every_booking_is_right_to_the_cent() -> None:
    await is_right(None)


@pytest.mark.skipif(not NIGHTLY, reason="nightly: takes minutes")
async def test_every_booking_is_right_to_the_cent_in_a_database(storage: SqlStorage) -> None:
    await is_right(storage)


async def test_a_dispute_that_opens_during_the_job_is_reported_from_a_database_too(storage: SqlStorage) -> None:
    kit = PaymentsTestKit(storage=storage)

    booking_id = await event_with_a_dispute(kit, "after the answer")

    await assert_disputed_and_refunded_once(kit, booking_id, sent=True)


async def test_the_gateway_is_called_no_faster_than_its_limit() -> None:
    run = EventRun.over(None, seed=1, max_per_s=2)
    await run.book(30)
    run.line.calls.clear()
    begun = run.kit.clock.now()

    await run.kit.payments.run_event_job(await run.kit.payments.cancel_event("evening"))

    seconds = (run.kit.clock.now() - begun).total_seconds()
    assert run.line.calls.total() <= (seconds + 1) * 2  # the calls of one second may come in a burst
    assert seconds > 10
