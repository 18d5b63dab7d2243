"""Canceling and moving events: previews, resumable jobs, and reports."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import attrs
import pytest

from booking_payments.application import event_jobs
from booking_payments.application.amending import amend_booking
from booking_payments.application.bookings import cancel_booking
from booking_payments.application.callers import Caller
from booking_payments.application.event_jobs import EventBalance, EventReport
from booking_payments.application.payments import BookingPayments
from booking_payments.application.views import PaymentView, RefundOnCancel
from booking_payments.domain.amendments import BookingChange
from booking_payments.domain.booking import Booking, BookingStatus, ItemCount
from booking_payments.domain.errors import NotFound, NotPossibleNow, OutcomeUnknown, PaymentError, RefusedByRule
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import RefundPolicy, RefundTier
from booking_payments.ports.event_jobs import BookingOutcome, EventJob, EventJobState
from booking_payments.ports.gateway import GatewayRefused
from booking_payments.testing.kit import ANN, NOW, OPERATOR, PaymentsTestKit
from tests.nightly import NIGHTLY
from tests.payments import pay, payment_of
from tests.unit.application.failing_gateway import PowerCut

EVENT = "evening-1"
REFUND = "POST /v1/refunds"


def usd(text: str) -> Money:
    return Money.parse(text, Currency.USD)


async def booked(kit: PaymentsTestKit, number: int, card: str | None = "pm_card_visa", **more: Any) -> Booking:
    booking = await kit.book(reference=f"R-{number}", event_id=EVENT, **more)
    if card is not None:
        await pay(kit, booking, card)
    return booking


async def canceled(kit: PaymentsTestKit, **options: Any) -> EventReport:
    job = await kit.payments.cancel_event(EVENT, OPERATOR, **options)
    return await kit.payments.run_event_job(job)


def counted(report: EventReport) -> dict[str, int]:
    return {outcome.value: number for outcome, number in report.counts.items() if number}


async def refunded(kit: PaymentsTestKit, booking: Booking) -> Money:
    return (await payment_of(kit, booking)).refunded


async def test_canceling_an_event_refunds_and_closes_all_bookings(kit: PaymentsTestKit) -> None:
    paid, unpaid = await booked(kit, 1), await booked(kit, 2, None)
    free = await booked(kit, 3, None, amount="0.00")
    other = await kit.book(reference="other", event_id="evening-2")

    report = await canceled(kit, reason="the hall is flooded")

    assert (counted(report), report.total, report.needs_person) == ({"done": 3}, 3, False)
    assert await refunded(kit, paid) == usd("100.00")
    for booking in (paid, unpaid, free):
        assert (await kit.payments.get_booking(booking.id)).status is BookingStatus.CANCELED
    assert (await kit.payments.get_booking(other.id)).status is BookingStatus.PENDING


async def test_canceling_an_event_refunds_the_fee_and_ignores_the_tiers(kit: PaymentsTestKit) -> None:
    paid = await booked(kit, 1, starts_in=timedelta(hours=1))
    kit.clock.advance(timedelta(hours=2))  # even after the start

    await canceled(kit)

    assert await refunded(kit, paid) == usd("100.00")


async def test_a_preview_reports_the_effect_and_changes_nothing(kit: PaymentsTestKit) -> None:
    paid, _ = await booked(kit, 1), await booked(kit, 2, None)
    disputed = await booked(kit, 3, "pm_card_createDispute")
    await booked(kit, 4, "pm_usBankAccount_success")
    await kit.deliver_webhooks()
    await kit.payments.refund_payment(paid.id, OPERATOR, amount="30.00")

    preview = await kit.payments.preview_event(EVENT)

    assert (preview.unpaid, preview.processing, list(preview.disputed)) == (1, 1, [disputed.id])
    assert list(preview.to_refund) == [usd("170.00")]
    assert (await kit.payments.get_booking(paid.id)).status is BookingStatus.CONFIRMED
    assert (await kit.payments.event_report(EVENT)).job is None


async def test_canceling_an_event_releases_authorized_payments(kit: PaymentsTestKit) -> None:
    held = await booked(kit, 1, capture_method=CaptureMethod.MANUAL)

    assert counted(await canceled(kit)) == {"done": 1}
    assert (await payment_of(kit, held)).status is PaymentStatus.CANCELED


async def test_canceling_an_event_refunds_a_processing_payment_once_it_succeeds(kit: PaymentsTestKit) -> None:
    slow = await booked(kit, 1, "pm_usBankAccount_success")

    assert counted(await canceled(kit)) == {"owed": 1}
    await kit.settle()

    payment = await payment_of(kit, slow)
    assert (payment.status, payment.late, payment.refunded) == (PaymentStatus.SUCCEEDED, True, usd("100.00"))
    assert counted(await kit.payments.event_report(EVENT)) == {"done": 1}


async def test_a_disputed_booking_is_reported_as_disputed(kit: PaymentsTestKit) -> None:
    await booked(kit, 1, "pm_card_createDispute")
    await kit.deliver_webhooks()

    assert counted(await canceled(kit)) == {"disputed": 1}


async def test_a_refused_refund_is_reported_and_retried(kit: PaymentsTestKit) -> None:
    poor, rich = await booked(kit, 1), await booked(kit, 2)
    real, left = kit.deps.gateway.create_refund, [1]

    async def once(*given: Any) -> Any:
        if left and left.pop():
            raise GatewayRefused("the balance is too small", code="balance_insufficient")
        return await real(*given)

    kit.deps.gateway.create_refund = once  # type: ignore[method-assign, assignment]
    report = await canceled(kit)
    assert (counted(report), report.needs_person) == ({"failed": 1, "done": 1}, True)
    lines = await kit.payments.event_lines(EVENT)
    failed = [each for each in lines if each.outcome is BookingOutcome.FAILED]
    assert [(each.reason, each.owed) for each in failed] == [("balance_insufficient", usd("100.00"))]

    again = await canceled(kit)

    assert (counted(again), again.needs_person) == ({"done": 2}, False)
    assert (await refunded(kit, poor), await refunded(kit, rich)) == (usd("100.00"), usd("100.00"))


async def test_canceling_an_event_again_returns_the_same_job_and_refunds_nothing_twice(kit: PaymentsTestKit) -> None:
    paid = await booked(kit, 1)
    first = await kit.payments.cancel_event(EVENT, OPERATOR)
    await kit.payments.run_event_job(first)

    second = await kit.payments.cancel_event(EVENT, OPERATOR, refund=RefundOnCancel.FULL)
    await kit.payments.run_event_job(second)

    assert second.id == first.id
    assert await refunded(kit, paid) == usd("100.00")


async def test_canceling_an_event_refunds_nothing_for_a_booking_that_was_canceled_before(kit: PaymentsTestKit) -> None:
    left = await booked(kit, 1)
    await kit.payments.cancel_booking(left.id, OPERATOR, refund=RefundOnCancel.NONE)

    assert counted(await canceled(kit)) == {"done": 1}
    assert await refunded(kit, left) == usd("0.00")


async def test_a_canceled_event_takes_no_new_bookings(kit: PaymentsTestKit) -> None:
    known = await booked(kit, 1, None)
    await kit.payments.cancel_event(EVENT, OPERATOR)

    with pytest.raises(NotPossibleNow) as refused:
        await booked(kit, 2, None)

    assert refused.value.code == "event_canceled"
    assert (await kit.book(reference="R-1", event_id=EVENT)).id == known.id


async def test_a_booking_registered_during_the_job_is_canceled_by_the_next_pass(kit: PaymentsTestKit) -> None:
    await booked(kit, 1, None)
    await canceled(kit)
    late = attrs.evolve(await kit.book(reference="late"), id="bk_late", reference="slipped", event_id=EVENT)
    await kit.storage.transact(lambda uow: uow.bookings.add(late))

    await kit.payments.continue_event_jobs()

    assert (await kit.payments.get_booking("bk_late")).status is BookingStatus.CANCELED


async def test_background_work_runs_the_job(kit: PaymentsTestKit) -> None:
    paid = await booked(kit, 1)
    await kit.payments.cancel_event(EVENT, OPERATOR)

    await kit.settle()

    report = await kit.payments.event_report(EVENT)
    assert (counted(report), report.job and report.job.state) == ({"done": 1}, EventJobState.DONE)
    assert await refunded(kit, paid) == usd("100.00")


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "500_before", "500_after", "429_lock", "503"])
async def test_an_unresponsive_gateway_delays_the_job_and_each_booking_is_refunded_once(
    kit: PaymentsTestKit, fault: str
) -> None:
    bookings = [await booked(kit, number) for number in range(4)]
    kit.stripe.faults.script(REFUND, fault, times=5)

    await kit.payments.cancel_event(EVENT, OPERATOR)
    for _ in range(3):
        await kit.settle()

    assert counted(await kit.payments.event_report(EVENT)) == {"done": 4}
    assert [await refunded(kit, each) for each in bookings] == [usd("100.00")] * 4
    assert sum(each["amount"] for each in _refunds(kit)) == 40000


def _refunds(kit: PaymentsTestKit) -> list[dict[str, Any]]:
    answer = kit.stripe.call("GET", "/v1/refunds", {"limit": 100}, None)
    return list(answer.body["data"])


WRITES = range(1, 40)
"""More than a job of four bookings makes: each at night, one in three by day."""


@pytest.mark.parametrize("dies_at", WRITES if NIGHTLY else WRITES[::3])
async def test_a_job_killed_at_any_write_is_completed_by_another_process(
    kit: PaymentsTestKit, dies_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bookings = [await booked(kit, number) for number in range(3)]
    unpaid = await booked(kit, 9, None)
    await kit.payments.start_payment(unpaid.id, ANN)
    job = await kit.payments.cancel_event(EVENT, OPERATOR)
    real, calls = kit.storage.transact, 0

    async def dies(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == dies_at:
            raise PowerCut
        return await real(*given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(kit.storage, "transact", dies)
        try:
            await kit.payments.run_event_job(job)
        except (PowerCut, BaseExceptionGroup):
            pass
        else:
            assert calls < dies_at

    for _ in range(3):
        await kit.settle()
    assert counted(await kit.payments.event_report(EVENT)) == {"done": 4}
    assert [await refunded(kit, each) for each in bookings] == [usd("100.00")] * 3
    assert sum(each["amount"] for each in _refunds(kit)) == 30000
    assert (await kit.payments.get_booking(unpaid.id)).status is BookingStatus.CANCELED


async def test_a_job_is_run_by_one_process_at_a_time(kit: PaymentsTestKit) -> None:
    await booked(kit, 1)
    job = await kit.payments.cancel_event(EVENT, OPERATOR)
    assert await event_jobs._hold(kit.deps, job, "run_other")

    assert await kit.payments.continue_event_jobs() == 0
    kit.clock.advance(kit.deps.config.lease)
    assert await kit.payments.continue_event_jobs() == 1


# --- moving ----------------------------------------------------------------------------------------------------


async def moved(kit: PaymentsTestKit, **options: Any) -> tuple[EventJob, EventReport]:
    job = await kit.payments.reschedule_event(EVENT, OPERATOR, **options)
    return job, await kit.payments.run_event_job(job)


async def test_moving_an_event_moves_its_open_bookings(kit: PaymentsTestKit) -> None:
    paid, unpaid = await booked(kit, 1), await booked(kit, 2, None)
    gone = await booked(kit, 3, None)
    await kit.payments.cancel_booking(gone.id, OPERATOR)
    later, grace = NOW + timedelta(days=60), NOW + timedelta(days=5)

    job, report = await moved(kit, event_starts_at=later, refund_grace_until=grace)

    assert counted(report) == {"done": 3}
    for booking in (paid, unpaid):
        assert (await kit.payments.get_booking(booking.id)).event_starts_at == later
    assert (await kit.payments.get_booking(gone.id)).event_starts_at != later
    assert (await payment_of(kit, paid)).refund_grace_until == grace
    again, _ = await moved(kit, event_starts_at=later, refund_grace_until=grace)
    assert again.id == job.id


async def test_an_event_can_be_moved_twice_but_not_after_it_was_canceled(kit: PaymentsTestKit) -> None:
    booking = await booked(kit, 1)
    await moved(kit, event_starts_at=NOW + timedelta(days=60))
    await moved(kit, event_starts_at=NOW + timedelta(days=70))
    assert (await kit.payments.get_booking(booking.id)).event_starts_at == NOW + timedelta(days=70)

    await canceled(kit)
    with pytest.raises(NotPossibleNow) as refused:
        await moved(kit, event_starts_at=NOW + timedelta(days=80))
    assert refused.value.code == "event_canceled"


async def test_a_second_date_is_refused_while_a_job_moves_the_event(kit: PaymentsTestKit) -> None:
    await booked(kit, 1)
    await kit.payments.reschedule_event(EVENT, OPERATOR, event_starts_at=NOW + timedelta(days=60))

    with pytest.raises(NotPossibleNow) as refused:
        await kit.payments.reschedule_event(EVENT, OPERATOR, event_starts_at=NOW + timedelta(days=61))
    assert refused.value.code == "event_job_running"


async def test_a_cancellation_does_not_wait_for_a_job_that_moves_the_event(kit: PaymentsTestKit) -> None:
    bookings = [await booked(kit, number) for number in range(3)]
    moving = await kit.payments.reschedule_event(EVENT, OPERATOR, event_starts_at=NOW + timedelta(days=60))
    assert await event_jobs._hold(kit.deps, moving, "run_other")

    report = await canceled(kit)
    late = await event_jobs._result_of(kit.deps, moving, bookings[0].id)
    ended = await kit.payments.run_event_job(moving)

    assert (counted(report), late) == ({"done": 3}, None)
    assert ended.job is not None
    assert (ended.job.kind.value, ended.job.state) == ("cancel", EventJobState.DONE)
    assert [await refunded(kit, each) for each in bookings] == [usd("100.00")] * 3


async def test_a_process_that_comes_late_gives_no_booking_an_older_date(
    kit: PaymentsTestKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking = await booked(kit, 1)
    first = await kit.payments.reschedule_event(EVENT, OPERATOR, event_starts_at=NOW + timedelta(days=60))
    second = NOW + timedelta(days=70)
    waiting = [second]

    async def overtaken(*given: Any, **named: Any) -> Any:
        if waiting:  # this process sleeps while others end its job and run the next one
            new = waiting.pop()
            await kit.payments.run_event_job(first)
            await moved(kit, event_starts_at=new)
        return await amend_booking(*given, **named)

    monkeypatch.setattr(event_jobs, "amend_booking", overtaken)
    result = await event_jobs._result_of(kit.deps, first, booking.id)

    assert result is not None
    assert result.reason == "version_conflict"
    assert (await kit.payments.get_booking(booking.id)).event_starts_at == second


async def test_an_event_cannot_be_moved_into_the_past(kit: PaymentsTestKit) -> None:
    with pytest.raises(RefusedByRule):
        await moved(kit, event_starts_at=NOW)


async def test_the_report_has_sums_for_each_currency(kit: PaymentsTestKit) -> None:
    await booked(kit, 1)
    await booked(kit, 2, None)
    await booked(kit, 3, currency=Currency.JPY, amount="5000")

    totals = {each.captured.currency: each for each in (await kit.payments.event_report(EVENT)).totals}

    assert (totals[Currency.USD].captured, totals[Currency.USD].unpaid) == (usd("100.00"), usd("100.00"))
    assert totals[Currency.JPY].captured.major() == "5000"
    assert totals[Currency.USD].bookings == {"confirmed": 1, "pending": 1}


async def test_an_unknown_event_is_not_found(kit: PaymentsTestKit) -> None:
    for call in (kit.payments.event_report, kit.payments.preview_event, kit.payments.event_lines):
        with pytest.raises(NotFound):
            await call("nothing")
    with pytest.raises(NotFound):
        await moved(kit, event_starts_at=NOW + timedelta(days=60))


async def test_an_event_without_bookings_is_canceled_too_and_takes_none(kit: PaymentsTestKit) -> None:
    report = await canceled(kit)

    assert (report.total, report.job and report.job.state, report.needs_person) == (0, EventJobState.DONE, False)
    with pytest.raises(NotPossibleNow) as refused:
        await booked(kit, 1, None)
    assert refused.value.code == "event_canceled"


# --- what breaks, and who is silent ----------------------------------------------------------------------------


async def test_a_booking_that_breaks_is_reported_and_keeps_no_other_from_its_refund(
    kit: PaymentsTestKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, fine = await booked(kit, 1), await booked(kit, 2)

    async def breaks(deps: Any, booking_id: str, *given: Any, **named: Any) -> Any:
        if booking_id == broken.id:
            raise LookupError("unreadable")
        return await cancel_booking(deps, booking_id, *given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(event_jobs, "cancel_booking", breaks)
        with pytest.raises(ExceptionGroup):
            await canceled(kit)

    report = await kit.payments.event_report(EVENT)
    assert (counted(report), report.needs_person) == ({"failed": 1, "done": 1}, True)
    reasons = {each.booking.id: each.reason for each in await kit.payments.event_lines(EVENT)}
    assert reasons == {broken.id: "internal_error", fine.id: None}
    assert counted(await canceled(kit)) == {"done": 2}
    assert [await refunded(kit, each) for each in (broken, fine)] == [usd("100.00")] * 2


async def test_a_moved_booking_that_broke_stays_reported(kit: PaymentsTestKit, monkeypatch: pytest.MonkeyPatch) -> None:
    await booked(kit, 1)

    async def breaks(*given: Any, **named: Any) -> Any:
        raise LookupError("unreadable")

    with monkeypatch.context() as patched:
        patched.setattr(event_jobs, "amend_booking", breaks)
        with pytest.raises(ExceptionGroup):
            await moved(kit, event_starts_at=NOW + timedelta(days=60))

    assert counted(await kit.payments.event_report(EVENT)) == {"failed": 1}
    _, again = await moved(kit, event_starts_at=NOW + timedelta(days=60))
    assert counted(again) == {"done": 1}


async def test_a_command_returns_while_the_gateway_does_not_respond_and_reports_waiting_bookings(
    kit: PaymentsTestKit,
) -> None:
    paid = [await booked(kit, number) for number in range(60)]
    unpaid = await booked(kit, 99, None)
    await kit.payments.start_payment(unpaid.id, ANN)
    kit.stripe.faults.script("POST /v1/*", "timeout_before", times=100_000)

    report = await canceled(kit)

    assert report.job is not None
    assert (report.job.state, report.needs_person) == (EventJobState.RUNNING, True)
    assert counted(report)["waiting"] == 1
    kit.stripe.faults.clear()
    for _ in range(2):
        await kit.settle()
    assert counted(await kit.payments.event_report(EVENT)) == {"done": 61}
    assert {await refunded(kit, each) for each in paid} == {usd("100.00")}


# --- beside other operations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after"])
async def test_a_refund_whose_outcome_is_unknown_is_not_sent_twice_by_the_event(
    kit: PaymentsTestKit, fault: str
) -> None:
    paid = await booked(kit, 1)
    kit.stripe.faults.script(REFUND, fault, times=3)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.refund_payment(paid.id, OPERATOR, amount="30.00")

    await kit.payments.cancel_event(EVENT, OPERATOR)
    for _ in range(3):
        await kit.settle()

    assert counted(await kit.payments.event_report(EVENT)) == {"done": 1}
    assert sorted(each["amount"] for each in _refunds(kit)) == [3000, 7000]
    assert await refunded(kit, paid) == usd("100.00")


@pytest.mark.parametrize("refund_first", [False, True])
async def test_a_customers_own_refund_at_the_same_time_goes_back_once(kit: PaymentsTestKit, refund_first: bool) -> None:
    bookings = [await booked(kit, number) for number in range(4)]
    job = await kit.payments.cancel_event(EVENT, OPERATOR)
    own = [kit.payments.refund_payment(each.id, ANN) for each in bookings]
    run = kit.payments.run_event_job(job)

    await asyncio.gather(*([*own, run] if refund_first else [run, *own]), return_exceptions=True)
    for _ in range(2):
        await kit.settle()

    assert counted(await kit.payments.event_report(EVENT)) == {"done": 4}
    assert sum(each["amount"] for each in _refunds(kit)) == 40000
    assert [await refunded(kit, each) for each in bookings] == [usd("100.00")] * 4


async def test_canceling_an_event_twice_at_the_same_time_is_one_job(kit: PaymentsTestKit) -> None:
    bookings = [await booked(kit, number) for number in range(4)]
    jobs: list[EventJob] = []

    async def cancel_and_run() -> None:
        job = await kit.payments.cancel_event(EVENT, OPERATOR)
        jobs.append(job)
        await kit.payments.run_event_job(job)

    await asyncio.gather(*[cancel_and_run() for _ in range(3)], kit.payments.continue_event_jobs())

    assert len({each.id for each in jobs}) == 1
    assert counted(await kit.payments.event_report(EVENT)) == {"done": 4}
    assert sum(each["amount"] for each in _refunds(kit)) == 40000
    assert [await refunded(kit, each) for each in bookings] == [usd("100.00")] * 4


@pytest.mark.parametrize("first", ["the seats", "the event"])
@pytest.mark.parametrize("fault", [None, "timeout_before", "timeout_after"])
async def test_seats_given_back_while_the_event_is_canceled_are_refunded_once(
    kit: PaymentsTestKit, first: str, fault: str | None
) -> None:
    seats = {"adult": (2, "30.00"), "child": (1, "40.00")}
    bookings = [await booked(kit, number, items=seats) for number in range(4)]
    one = [ItemCount(id="adult", quantity=1)]
    if fault:
        kit.stripe.faults.script(REFUND, fault, times=5)
    job = await kit.payments.cancel_event(EVENT, OPERATOR)
    refunds = [kit.payments.refund_payment(each.id, OPERATOR, items=one) for each in bookings[:2]]
    cancels = [kit.payments.cancel_booking(each.id, ANN, items=one) for each in bookings[2:]]
    run = kit.payments.run_event_job(job)

    calls = [*refunds, *cancels, run] if first == "the seats" else [run, *refunds, *cancels]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for _ in range(3):
        await kit.settle()

    assert all(isinstance(each, PaymentError) for each in outcomes if isinstance(each, BaseException)), outcomes
    assert counted(await kit.payments.event_report(EVENT)) == {"done": 4}
    assert sum(each["amount"] for each in _refunds(kit)) == 40000
    assert [await refunded(kit, each) for each in bookings] == [usd("100.00")] * 4


async def test_a_job_goes_on_after_the_balance_was_topped_up() -> None:
    kit = PaymentsTestKit(refunds_need_balance=True)
    by_card = [await booked(kit, number) for number in range(2)]
    by_debit = [await booked(kit, number, "pm_usBankAccount_success") for number in (3, 4)]
    await kit.settle()
    balances = kit.stripe._account.balances
    taken = dict(balances)
    balances.clear()

    first = await canceled(kit)
    balances.update(taken)
    again = await canceled(kit)
    await kit.settle()

    assert counted(first) == {"owed": 2, "failed": 2}, "refunds of cards wait for money, other ones fail"
    assert counted(again) == {"owed": 4}, "sent, and on their way"
    report = await kit.payments.event_report(EVENT)
    assert (counted(report), report.needs_person) == ({"done": 4}, False)
    assert [await refunded(kit, each) for each in (*by_card, *by_debit)] == [usd("100.00")] * 4
    assert balances == {"usd": 0}


async def test_payments_and_amendments_at_the_same_time_leave_nothing_kept(kit: PaymentsTestKit) -> None:
    bookings = [await booked(kit, number, None) for number in range(4)]
    paid = await booked(kit, 9)
    job = await kit.payments.cancel_event(EVENT, OPERATOR)
    others = [pay(kit, each) for each in bookings]
    cheaper = BookingChange(amount=usd("60.00"))
    amend = kit.payments.amend_booking(paid.id, cheaper, OPERATOR, refund=RefundOnCancel.FULL)

    await asyncio.gather(*others, kit.payments.run_event_job(job), amend, return_exceptions=True)
    for _ in range(3):
        await kit.settle()

    assert counted(await kit.payments.event_report(EVENT)) == {"done": 5}
    [totals] = (await kit.payments.event_report(EVENT)).totals
    assert (totals.captured - totals.refunded, totals.owed) == (usd("0.00"), usd("0.00"))
    assert totals.bookings == {"canceled": 5}


# --- the same event again, with other arguments --------------------------------------------------------------------


async def test_canceling_an_event_again_with_another_refund_is_refused(
    kit: PaymentsTestKit,
) -> None:
    paid = await booked(kit, 1)
    first = await kit.payments.cancel_event(EVENT, OPERATOR, refund=RefundOnCancel.NONE)
    await kit.payments.run_event_job(first)

    with pytest.raises(NotPossibleNow) as told:
        await kit.payments.cancel_event(EVENT, OPERATOR, refund=RefundOnCancel.FULL)

    assert (told.value.code, "refund none" in told.value.message) == ("event_refund_differs", True)
    for refund in (None, RefundOnCancel.NONE):
        assert (await kit.payments.cancel_event(EVENT, OPERATOR, refund=refund)).id == first.id
    await kit.payments.cancel_booking(paid.id, OPERATOR, refund=RefundOnCancel.FULL)
    assert await refunded(kit, paid) == usd("100.00")


async def test_a_move_gives_its_grace_only_to_bookings_whose_date_changes(kit: PaymentsTestKit) -> None:
    old, date, grace = await booked(kit, 1, None), NOW + timedelta(days=60), NOW + timedelta(days=20)
    job = await kit.payments.reschedule_event(EVENT, OPERATOR, event_starts_at=date, refund_grace_until=grace)
    new = await booked(kit, 2, None, starts_in=timedelta(days=60))
    await kit.payments.run_event_job(job)

    found = [(await kit.payments.get_booking(each.id)).refund_grace_until for each in (old, new)]
    assert found == [grace, None]

    longer = NOW + timedelta(days=30)
    job = await kit.payments.reschedule_event(EVENT, OPERATOR, event_starts_at=date, refund_grace_until=longer)
    await kit.payments.run_event_job(job)

    found = [(await kit.payments.get_booking(each.id)).refund_grace_until for each in (old, new)]
    assert found == [longer, None]


async def test_the_same_move_again_moves_bookings_that_were_registered_with_the_old_date_since(
    kit: PaymentsTestKit,
) -> None:
    await booked(kit, 1, None)
    date = NOW + timedelta(days=60)
    job = await kit.payments.reschedule_event(EVENT, OPERATOR, event_starts_at=date)
    await kit.payments.run_event_job(job)
    late = await booked(kit, 2, None)

    again = await kit.payments.reschedule_event(EVENT, OPERATOR, event_starts_at=date)
    await kit.payments.run_event_job(again)

    assert (again.id, (await kit.payments.get_booking(late.id)).event_starts_at) == (job.id, date)


async def test_a_grace_or_a_date_in_the_past_is_refused_in_the_preview_too(kit: PaymentsTestKit) -> None:
    booking = await booked(kit, 1, None)
    date, past = NOW + timedelta(days=60), NOW - timedelta(days=1)

    for attempt, code in (
        (kit.payments.preview_event(EVENT, event_starts_at=past), "event_in_past"),
        (kit.payments.preview_event(EVENT, event_starts_at=date, refund_grace_until=past), "grace_in_past"),
        (
            kit.payments.reschedule_event(EVENT, OPERATOR, event_starts_at=date, refund_grace_until=past),
            "grace_in_past",
        ),
        (kit.payments.amend_booking(booking.id, BookingChange(refund_grace_until=past), OPERATOR), "grace_in_past"),
    ):
        with pytest.raises(RefusedByRule) as told:
            await attempt
        assert told.value.code == code


async def test_the_job_that_is_stored_last_is_the_newest_whatever_the_clocks_say(kit: PaymentsTestKit) -> None:
    paid = await booked(kit, 1)
    moved = await kit.payments.reschedule_event(EVENT, OPERATOR, event_starts_at=NOW + timedelta(days=60))
    kit.clock.advance(-timedelta(seconds=5))  # the clock of another process

    canceled_by = await kit.payments.cancel_event(EVENT, OPERATOR)
    await kit.settle()

    assert canceled_by.created_at > moved.created_at
    assert (await kit.payments.event_report(EVENT)).job == await kit.storage.read(lambda uow: uow.events.latest(EVENT))
    assert (await kit.payments.get_booking(paid.id)).status is BookingStatus.CANCELED
    assert await refunded(kit, paid) == usd("100.00")


@pytest.mark.parametrize("attempt", ["start", "confirm", "capture"])
async def test_no_booking_of_a_canceled_event_is_charged(kit: PaymentsTestKit, attempt: str) -> None:
    capture = CaptureMethod.MANUAL if attempt == "capture" else CaptureMethod.AUTOMATIC
    booking = await booked(kit, 1, "pm_card_visa" if attempt == "capture" else None, capture_method=capture)
    if attempt == "confirm":
        await kit.payments.start_payment(booking.id, ANN, payment_method_id="pm_card_visa")
    await kit.payments.cancel_event(EVENT, OPERATOR, refund=RefundOnCancel.NONE)

    attempts = {
        "start": lambda: pay(kit, booking, "pm_card_visa"),
        "confirm": lambda: kit.payments.confirm_payment(booking.id, ANN),
        "capture": lambda: kit.payments.capture_payment(booking.id, OPERATOR),
    }

    with pytest.raises(NotPossibleNow) as told:
        await attempts[attempt]()

    assert told.value.code == "event_canceled"
    with pytest.raises(NotFound):  # which other customers are not told
        await kit.payments.start_payment(booking.id, Caller.customer("bob", "test"))


async def test_a_charge_that_is_repeated_after_a_lost_answer_is_returned_although_the_event_was_canceled_since(
    kit: PaymentsTestKit,
) -> None:
    booking, key = await booked(kit, 1, None), "k" * 32

    async def charge() -> PaymentView:
        return await kit.payments.start_payment(
            booking.id, ANN, payment_method_id="pm_card_visa", confirm_immediately=True, idempotency_key=key
        )

    first = await charge()
    await kit.payments.cancel_event(EVENT, OPERATOR)

    assert (await charge()).payment.id == first.payment.id


@pytest.mark.parametrize("refund", [RefundOnCancel.NONE, RefundOnCancel.POLICY])
async def test_what_is_paid_after_the_event_was_canceled_goes_back_in_full(
    kit: PaymentsTestKit, refund: RefundOnCancel
) -> None:
    half = RefundPolicy(tiers=(RefundTier(hours_before=1, percent=Decimal(50)),))
    before, slow = await booked(kit, 1, refund_policy=half), await booked(kit, 2, None, refund_policy=half)
    await pay(kit, slow, "pm_usBankAccount_success")

    job = await kit.payments.cancel_event(EVENT, OPERATOR, refund=refund)
    for _ in range(3):
        kit.clock.advance(timedelta(minutes=2))
        await kit.deliver_webhooks()  # the debit succeeds before the job comes to the booking
    assert (await payment_of(kit, slow)).status is PaymentStatus.SUCCEEDED
    await kit.payments.run_event_job(job)
    await kit.settle()  # refunds of debits take days

    kept = usd("50.00") if refund is RefundOnCancel.POLICY else usd("0.00")
    assert (await refunded(kit, before), await refunded(kit, slow)) == (kept, usd("100.00"))


async def test_a_move_never_shortens_a_promised_grace(kit: PaymentsTestKit) -> None:
    booking, long, short = await booked(kit, 1, None), NOW + timedelta(days=50), NOW + timedelta(days=10)
    await kit.payments.amend_booking(booking.id, BookingChange(refund_grace_until=long), OPERATOR)

    for days, grace in ((60, short), (61, None)):
        date = NOW + timedelta(days=days)
        job = await kit.payments.reschedule_event(EVENT, OPERATOR, event_starts_at=date, refund_grace_until=grace)
        await kit.payments.run_event_job(job)

    found = await kit.payments.get_booking(booking.id)
    assert (found.event_starts_at, found.refund_grace_until) == (NOW + timedelta(days=61), long)


async def test_a_grace_that_is_announced_after_the_move_is_given_to_those_who_were_moved(kit: PaymentsTestKit) -> None:
    moved, date, grace = await booked(kit, 1, None), NOW + timedelta(days=60), NOW + timedelta(days=20)
    kit.clock.advance(timedelta(minutes=1))
    await kit.payments.run_event_job(await kit.payments.reschedule_event(EVENT, OPERATOR, event_starts_at=date))
    new = await booked(kit, 2, None, starts_in=timedelta(days=60) - timedelta(minutes=1))

    job = await kit.payments.reschedule_event(EVENT, OPERATOR, event_starts_at=date, refund_grace_until=grace)
    report = await kit.payments.run_event_job(job)

    found = [await kit.payments.get_booking(each.id) for each in (moved, new)]
    assert [each.event_starts_at for each in found] == [date, date]
    assert [each.refund_grace_until for each in found] == [grace, None]
    assert counted(report) == {"done": 2}


async def test_the_same_move_may_be_requested_again_after_its_grace(kit: PaymentsTestKit) -> None:
    await booked(kit, 1, None)
    move = {"event_starts_at": NOW + timedelta(days=60), "refund_grace_until": NOW + timedelta(days=5)}
    job = await kit.payments.reschedule_event(EVENT, OPERATOR, **move)
    await kit.payments.run_event_job(job)
    kit.clock.advance(timedelta(days=6))
    late = await booked(kit, 2, None)

    again = await kit.payments.reschedule_event(EVENT, OPERATOR, **move)
    report = await kit.payments.run_event_job(again)

    found = await kit.payments.get_booking(late.id)
    assert (again.id, counted(report)) == (job.id, {"done": 2})
    assert (found.event_starts_at, found.refund_grace_until) == (move["event_starts_at"], None)


async def test_refunds_that_an_operator_pays_out_need_a_person(kit: PaymentsTestKit) -> None:
    by_hand = BookingPayments(attrs.evolve(kit.deps, refunds_by_hand=True))
    await booked(kit, 1, "pm_card_pendingRefund")
    job = await by_hand.cancel_event(EVENT, OPERATOR)

    report = await by_hand.run_event_job(job)

    assert (counted(report), report.needs_person) == ({"failed": 1}, True)
    assert [line.reason for line in await by_hand.event_lines(EVENT)] == ["refund_by_operator"]


async def test_a_preview_of_a_move_says_that_no_money_moves(kit: PaymentsTestKit) -> None:
    await booked(kit, 1, capture_method=CaptureMethod.MANUAL)
    await booked(kit, 2, None)
    await booked(kit, 3, "pm_usBankAccount_success")

    preview = await kit.payments.preview_event(EVENT, event_starts_at=NOW + timedelta(days=60))

    assert (preview.held, preview.unpaid, preview.processing, list(preview.to_refund)) == (0, 0, 0, [])
    assert sum(preview.bookings.values()) == 3


async def test_a_preview_refuses_what_the_command_would_refuse(kit: PaymentsTestKit) -> None:
    await booked(kit, 1, None)
    running = await kit.payments.reschedule_event(EVENT, OPERATOR, event_starts_at=NOW + timedelta(days=60))
    other = NOW + timedelta(days=61)

    async def code_of(attempt: Awaitable[object]) -> str:
        with pytest.raises(PaymentError) as told:
            await attempt
        return told.value.code

    assert await code_of(kit.payments.preview_event(EVENT, event_starts_at=other)) == "event_job_running"
    await kit.payments.run_event_job(running)
    await kit.payments.cancel_event(EVENT, OPERATOR, refund=RefundOnCancel.NONE)
    assert await code_of(kit.payments.preview_event(EVENT, event_starts_at=other)) == "event_canceled"
    assert await code_of(kit.payments.preview_event(EVENT, refund=RefundOnCancel.FULL)) == "event_refund_differs"
    assert await code_of(kit.payments.preview_event("a b", refund=None)) == "invalid_input"


async def test_a_preview_without_a_refund_is_that_of_the_known_cancellation(kit: PaymentsTestKit) -> None:
    await booked(kit, 1)
    await kit.payments.cancel_event(EVENT, OPERATOR, refund=RefundOnCancel.NONE)

    assert list((await kit.payments.preview_event(EVENT, refund=None)).to_refund) == [usd("0.00")]


async def test_the_preview_of_an_event_that_was_canceled_without_bookings_is_empty(kit: PaymentsTestKit) -> None:
    await kit.payments.cancel_event(EVENT, OPERATOR)

    assert (await kit.payments.preview_event(EVENT, refund=None)).bookings == {}


def test_nothing_is_missing_for_refunds_of_nothing() -> None:
    balance = EventBalance(gateway="stripe", needed=usd("0.00"), available=Money(-11500, Currency.USD))

    assert balance.missing == usd("0.00")
