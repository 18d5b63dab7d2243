"""Canceling and moving events: a preview, and one job over all bookings of the event.

The job is stored before its first booking is touched. Each booking is canceled or amended by the use case that an
operator would use, which promises a total, so that taking it up again after a crash gives nothing back twice. Its
result is stored afterwards. A process that runs the job holds a lease on it; when it dies another one goes on.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from attrs import evolve, field, frozen

from booking_payments.application.amending import amend_booking
from booking_payments.application.bookings import cancel_booking
from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.progress import Progress, in_silence
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain.amendments import KEEP, BookingChange
from booking_payments.domain.booking import Booking, require_event_id
from booking_payments.domain.errors import (
    AlreadyUnderWay,
    NotFound,
    NotPossibleNow,
    PaymentError,
    RefundRefused,
    RefusedByRule,
    TryAgainLater,
)
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money, total
from booking_payments.domain.payment import Payment, payment_of_booking
from booking_payments.domain.texts import require_reason
from booking_payments.ports.bookings import BookingFilter
from booking_payments.ports.event_jobs import (
    BookingOutcome,
    BookingResult,
    EventJob,
    EventJobKind,
    EventJobState,
    EventTotals,
)
from booking_payments.ports.storage import AlreadyExists, CommitLost, StorageConflict
from booking_payments.ports.unit_of_work import UnitOfWork

AT_ONCE: Final = 50
"""How many bookings of a job one pass processes, so that other background work is not delayed."""

AGAIN_AFTER: Final = timedelta(seconds=30)
"""How long a booking waits whose processing failed for a passing reason."""

PAGE: Final = 100
_OPEN: Final = (BookingOutcome.OWED, BookingOutcome.DISPUTED, BookingOutcome.FAILED)
"""Outcomes that may change after the job has ended."""


@frozen(kw_only=True)
class EventPreview:
    """What a job would do now. Sums are by currency.

    Attributes:
        bookings: number of bookings by status.
        to_refund: the amounts that would be promised to customers in addition to those promised already.
        held: number of bookings whose money is held, which is released.
        unpaid: number of bookings that are not paid.
        processing: number of bookings whose payment the bank is working on: refunded in full when it arrives.
        disputed: ids of the bookings with an open dispute.
        totals: the sums as they are now.
    """

    event_id: str
    bookings: Mapping[str, int]
    to_refund: Sequence[Money]
    held: int
    unpaid: int
    processing: int
    disputed: Sequence[str]
    totals: Sequence[EventTotals]


@frozen(kw_only=True)
class EventReport:
    """An event: its sums, and its job if there is one.

    ``counts`` are the job's bookings by outcome, ``total`` is the number of the event's bookings.
    """

    event_id: str
    totals: Sequence[EventTotals]
    total: int
    job: EventJob | None = None
    counts: Mapping[BookingOutcome, int] = field(factory=dict)

    @property
    def needs_person(self) -> bool:
        """True while a person has to act: a booking failed, or the job has not ended."""
        unfinished = self.job is not None and self.job.state is not EventJobState.DONE
        return unfinished or bool(self.counts.get(BookingOutcome.FAILED))


@frozen(kw_only=True)
class EventLine:
    """One booking in the report of a job. ``owed`` is what the customer is still owed."""

    booking: Booking
    outcome: BookingOutcome
    reason: str | None
    refunded: Money
    owed: Money


# --- beginning -------------------------------------------------------------------------------------------------


async def preview_event(
    deps: Dependencies, event_id: str, *, refund: RefundOnCancel | None, event_starts_at: datetime | None = None
) -> EventPreview:
    """Return what canceling an event, or moving it to ``event_starts_at``, would do now. Changes nothing.

    Raises ``NotFound`` for an event without bookings.
    """
    mode = refund or RefundOnCancel.FULL
    canceled = event_starts_at is None
    found: list[tuple[Booking, Payment | None]] = []
    async for booking, payment in _each_booking(deps, event_id):
        found.append((booking, payment))
    if not found:
        raise _no_such_event()
    live = [(booking, payment) for booking, payment in found if booking.status.is_live]
    now = deps.clock.now()
    sums: dict[str, Money] = {}
    for booking, payment in live if canceled else []:
        amount = _would_promise(payment, mode, now)
        if amount is not None:
            code = booking.amount.currency.code
            sums[code] = sums[code] + amount if code in sums else amount
    statuses = [payment.status if payment is not None else None for _, payment in live]
    return EventPreview(
        event_id=event_id,
        bookings=_counted([booking.status.value for booking, _ in found]),
        to_refund=[sums[code] for code in sorted(sums)],
        held=statuses.count(PaymentStatus.REQUIRES_CAPTURE),
        unpaid=sum(1 for booking, payment in live if not booking.free and _is_unpaid(payment)),
        processing=statuses.count(PaymentStatus.PROCESSING),
        disputed=[booking.id for booking, payment in live if payment is not None and payment.has_open_dispute],
        totals=await deps.storage.read(lambda uow: uow.events.totals(event_id)),
    )


def _is_unpaid(payment: Payment | None) -> bool:
    held = (PaymentStatus.SUCCEEDED, PaymentStatus.REQUIRES_CAPTURE, PaymentStatus.PROCESSING)
    return payment is None or payment.status not in held


def _would_promise(payment: Payment | None, mode: RefundOnCancel, now: datetime) -> Money | None:
    """Return what a cancellation would promise in addition; None where nothing is paid."""
    if payment is None or payment.status is not PaymentStatus.SUCCEEDED:
        return None
    zero = Money.zero(payment.amount.currency)
    if mode is RefundOnCancel.NONE:
        return zero
    ceiling = payment.refundable.promised_on_cancel(now, in_full=mode is RefundOnCancel.FULL)
    given = max(payment.promised.amount, payment.refundable.back)
    return max(ceiling - given, zero).rounded_down(payment.amount_step)


def _counted(names: Sequence[str]) -> Mapping[str, int]:
    return {name: names.count(name) for name in sorted(set(names))}


async def cancel_event(
    deps: Dependencies,
    event_id: str,
    caller: Caller,
    *,
    refund: RefundOnCancel | None = None,
    reason: str | None = None,
) -> EventJob:
    """Cancel an event: no new bookings are taken for it, and a job cancels all that it has.

    Returns the job, which background work carries out. The same event again: the same job; bookings that failed are
    taken up again.

    Args:
        refund: what paid bookings give back; None: everything.
        reason: recorded in the journals; one line.

    Raises ``NotPossibleNow`` (``event_job_running``) while a job that moves the event is running.
    """
    require_reason(reason)
    job = EventJob(
        id=deps.ids.new("evj"),
        event_id=require_event_id(event_id),
        kind=EventJobKind.CANCEL,
        actor=caller.actor,
        cause=_cause(f"event {event_id} canceled", reason),
        created_at=deps.clock.now(),
        refund=refund or RefundOnCancel.FULL,
        reason=reason,
    )
    return await _begin(deps, job)


async def reschedule_event(
    deps: Dependencies,
    event_id: str,
    caller: Caller,
    *,
    event_starts_at: datetime,
    refund_grace_until: datetime | None = None,
) -> EventJob:
    """Move an event: a job gives all its live bookings the new date.

    Returns the job. The same event and date again: the same job.

    Args:
        refund_grace_until: until then customers may have everything back.

    Raises:
        RefusedByRule: ``event_in_past``.
        NotPossibleNow: the event is canceled (``event_canceled``), or another job is running (``event_job_running``).
    """
    if event_starts_at <= deps.clock.now():
        raise RefusedByRule("event_starts_at lies in the past", code="event_in_past")
    job = EventJob(
        id=deps.ids.new("evj"),
        event_id=require_event_id(event_id),
        kind=EventJobKind.RESCHEDULE,
        actor=caller.actor,
        cause=_cause(f"event {event_id} moved", None),
        created_at=deps.clock.now(),
        event_starts_at=event_starts_at,
        refund_grace_until=refund_grace_until,
    )
    return await _begin(deps, job)


def _cause(what: str, reason: str | None) -> str:
    return f"{what}: {reason}" if reason else what


async def _begin(deps: Dependencies, job: EventJob) -> EventJob:
    async def work(uow: UnitOfWork) -> EventJob:
        known = await uow.events.latest(job.event_id)
        if known is not None and _is_same(known, job):
            return await _again(uow, known)
        if known is not None and known.kind is EventJobKind.CANCEL:
            raise event_canceled()
        if known is not None and known.state is EventJobState.RUNNING:
            message = "another job of this event is running; wait for its end"
            raise NotPossibleNow(message, code="event_job_running")
        await uow.events.add(job)
        return job

    try:
        return await deps.storage.transact(work)
    except AlreadyExists:  # another call has stored a job of this event meanwhile
        return await deps.storage.transact(work)


def _is_same(known: EventJob, job: EventJob) -> bool:
    if known.kind is not job.kind:
        return False
    asked = (known.event_starts_at, known.refund_grace_until) == (job.event_starts_at, job.refund_grace_until)
    return known.kind is EventJobKind.CANCEL or asked


async def _again(uow: UnitOfWork, known: EventJob) -> EventJob:
    """Have the bookings of a known job that failed taken up again."""
    failed = (BookingOutcome.FAILED,)
    after, found = "", 0
    while results := await uow.events.results(known.id, failed, after, PAGE):
        for result in results:
            await uow.events.put(evolve(result, outcome=BookingOutcome.WAITING, at=known.created_at))
        after, found = results[-1].booking_id, found + len(results)
    if not found or known.state is EventJobState.RUNNING:
        return known
    running = evolve(known, state=EventJobState.RUNNING, finished_at=None)
    await uow.events.save(running)
    return running


def event_canceled() -> NotPossibleNow:
    """Return the error for a booking of a canceled event."""
    return NotPossibleNow("this event is canceled", code="event_canceled")


def _no_such_event() -> NotFound:
    return NotFound("there is no event with this id")


# --- running ---------------------------------------------------------------------------------------------------


async def continue_event_jobs(deps: Dependencies) -> int:
    """Take up a part of each running job; returns how many bookings were taken up."""
    jobs = await deps.storage.read(lambda uow: uow.events.running(PAGE))
    taken = 0
    for job in jobs:
        taken += await _pass(deps, job, deps.ids.new("run"))
    return taken


async def run_event_job(deps: Dependencies, job: EventJob, progress: Progress = in_silence) -> EventReport:
    """Carry a job out to its end, as far as the gateway answers; returns the report.

    Returns while bookings wait for more than a lease: background work, or the same command again, takes them up.
    """
    holder = deps.ids.new("run")
    until = deps.clock.now() + deps.config.lease + AGAIN_AFTER
    while True:
        taken = await _pass(deps, job, holder)
        report = await event_report(deps, job.event_id)
        done = sum(number for outcome, number in report.counts.items() if outcome is not BookingOutcome.WAITING)
        progress("bookings", done, report.total)
        if report.job is None or report.job.state is EventJobState.DONE:
            return report
        if taken:
            until = deps.clock.now() + deps.config.lease + AGAIN_AFTER
        elif deps.clock.now() >= until:
            return report
        else:
            await deps.clock.sleep(timedelta(seconds=1))


async def _pass(deps: Dependencies, job: EventJob, holder: str) -> int:
    """Take up the next bookings of a job, unless another process is at it."""
    if not await _hold(deps, job.id, holder):
        return 0
    before = deps.clock.now() - AGAIN_AFTER
    ids = await deps.storage.read(lambda uow: uow.events.next_bookings(job, before, AT_ONCE))
    await deps.gather([partial(_take_up, deps, job, booking_id) for booking_id in ids])
    await _let_go(deps, job, holder)
    return len(ids)


async def _hold(deps: Dependencies, job_id: str, holder: str) -> bool:
    """Take the lease on a job; False while another process has it."""

    async def work(uow: UnitOfWork) -> bool:
        job, now = await uow.events.lock(job_id), deps.clock.now()
        if job is None or (job.lease_until is not None and job.lease_until > now and job.holder != holder):
            return False
        until = now + deps.config.lease
        await uow.events.save(evolve(job, state=EventJobState.RUNNING, lease_until=until, holder=holder))
        return True

    return await deps.storage.transact(work)


async def _let_go(deps: Dependencies, job: EventJob, holder: str) -> None:
    """Give the lease up, and end the job when no booking is left."""

    async def work(uow: UnitOfWork) -> None:
        known, now = await uow.events.lock(job.id), deps.clock.now()
        if known is None or known.holder != holder:
            return
        waiting = (await uow.events.counts(job.id)).get(BookingOutcome.WAITING, 0)
        left = await uow.events.next_bookings(known, now, 1)
        done = not waiting and not left
        state = EventJobState.DONE if done else EventJobState.RUNNING
        ended = (known.finished_at or now) if done else None
        await uow.events.save(evolve(known, state=state, finished_at=ended, lease_until=None, holder=None))

    await deps.storage.transact(work)


async def _take_up(deps: Dependencies, job: EventJob, booking_id: str) -> None:
    """Cancel or amend one booking, and store how it stands then."""
    try:
        await _carry_out(deps, job, booking_id)
    except RefundRefused:
        result = await _judged(deps, job, booking_id)
    except (TryAgainLater, AlreadyUnderWay, StorageConflict, CommitLost) as error:
        code = error.code if isinstance(error, PaymentError) else "storage"
        result = _result(deps, job, booking_id, BookingOutcome.WAITING, code)
    except PaymentError as error:
        result = await _judged(deps, job, booking_id, failed=error.code)
    else:
        result = await _judged(deps, job, booking_id)
    await deps.storage.transact(lambda uow: uow.events.put(result))


def _result(
    deps: Dependencies, job: EventJob, booking_id: str, outcome: BookingOutcome, reason: str | None
) -> BookingResult:
    return BookingResult(job_id=job.id, booking_id=booking_id, outcome=outcome, at=deps.clock.now(), reason=reason)


async def _carry_out(deps: Dependencies, job: EventJob, booking_id: str) -> None:
    caller = Caller(actor=job.actor, cause=job.cause, by_itself=True)
    booking, payment = await _read(deps, booking_id)
    if booking.status.is_live and job.kind is EventJobKind.CANCEL:
        await cancel_booking(deps, booking_id, caller, reason=None, refund=job.refund)
    elif booking.status.is_live and job.event_starts_at is not None:
        change = BookingChange(
            event_starts_at=job.event_starts_at,
            refund_grace_until=job.refund_grace_until if job.refund_grace_until is not None else KEEP,
        )
        await amend_booking(deps, booking_id, caller, change)
    elif payment is not None and payment.owed.amount > payment.owed_waiting and job.kind is EventJobKind.CANCEL:
        # It was canceled before: with POLICY, canceling it again only requests the failed refund again.
        await cancel_booking(deps, booking_id, caller, reason=None, refund=RefundOnCancel.POLICY)


async def _judged(deps: Dependencies, job: EventJob, booking_id: str, failed: str | None = None) -> BookingResult:
    booking, payment = await _read(deps, booking_id)
    if failed is not None and (booking.status.is_live or job.kind is EventJobKind.CANCEL):
        return _result(deps, job, booking_id, BookingOutcome.FAILED, failed)
    outcome, reason = outcome_of(job, booking, payment)
    return _result(deps, job, booking_id, outcome, reason)


def outcome_of(job: EventJob, booking: Booking, payment: Payment | None) -> tuple[BookingOutcome, str | None]:
    """Return how a booking stands after its job has taken it up, and a reason where there is one."""
    if job.kind is EventJobKind.CANCEL and booking.status.is_live:
        return BookingOutcome.WAITING, "not_canceled"
    if payment is None:
        return BookingOutcome.DONE, None
    if payment.status is PaymentStatus.PROCESSING and job.kind is EventJobKind.CANCEL:
        return BookingOutcome.OWED, "processing"
    if payment.owed.amount and payment.has_open_dispute:
        return BookingOutcome.DISPUTED, payment.dispute.status.value if payment.dispute else None
    if payment.owed.amount > payment.owed_waiting:
        failed = [refund for refund in payment.refunds if refund.status.is_lost]
        return BookingOutcome.FAILED, (failed[-1].failure_reason if failed else None) or "refund_failed"
    if payment.owed.amount or payment.refund_pending:
        return BookingOutcome.OWED, payment.deferred[-1].why.value if payment.deferred else "refund_pending"
    return BookingOutcome.DONE, None


async def _read(deps: Dependencies, booking_id: str) -> tuple[Booking, Payment | None]:
    async def work(uow: UnitOfWork) -> tuple[Booking, Payment | None]:
        booking = await uow.bookings.get(booking_id)
        if booking is None:
            raise NotFound()
        return booking, payment_of_booking(await uow.payments.of_booking(booking_id))

    return await deps.storage.read(work)


async def _each_booking(deps: Dependencies, event_id: str) -> Any:
    cursor: str | None = None
    while True:
        page = await deps.storage.read(partial(_page, BookingFilter(event_id=event_id), cursor))
        for booking in page.items:
            yield await _read(deps, booking.id)
        cursor = page.next_cursor
        if cursor is None:
            return


async def _page(which: BookingFilter, cursor: str | None, uow: UnitOfWork) -> Any:
    return await uow.bookings.page(which, cursor, PAGE)


# --- reporting -------------------------------------------------------------------------------------------------


async def event_report(deps: Dependencies, event_id: str) -> EventReport:
    """Return the sums of an event, and how its newest job stands; refunds that ended since are taken into account.

    Raises ``NotFound`` for an event without bookings and without a job.
    """
    job = await deps.storage.read(lambda uow: uow.events.latest(event_id))
    if job is not None and job.state is EventJobState.DONE:
        await _refresh(deps, job)

    async def work(uow: UnitOfWork) -> EventReport:
        newest = await uow.events.latest(event_id)
        return EventReport(
            event_id=event_id,
            totals=await uow.events.totals(event_id),
            total=await uow.events.total(event_id),
            job=newest,
            counts=await uow.events.counts(newest.id) if newest is not None else {},
        )

    report = await deps.storage.read(work)
    if report.job is None and not report.total:
        raise _no_such_event()
    return report


async def _refresh(deps: Dependencies, job: EventJob) -> None:
    """Bring the results up to date that may have changed since they were stored."""
    async for result in _results(deps, job, _OPEN):
        booking, payment = await _read(deps, result.booking_id)
        outcome, reason = outcome_of(job, booking, payment)
        refused = result.outcome is BookingOutcome.FAILED and outcome is BookingOutcome.WAITING
        if not refused and (outcome, reason) != (result.outcome, result.reason):
            changed = evolve(result, outcome=outcome, reason=reason)
            await deps.storage.transact(partial(_put, changed))


async def _put(result: BookingResult, uow: UnitOfWork) -> None:
    await uow.events.put(result)


async def _results(deps: Dependencies, job: EventJob, outcomes: Sequence[BookingOutcome]) -> Any:
    after = ""
    while True:
        read: Callable[[UnitOfWork], Any] = partial(_results_page, job.id, outcomes, after)
        found = await deps.storage.read(read)
        for result in found:
            yield result
        if not found:
            return
        after = found[-1].booking_id


async def _results_page(
    job_id: str, outcomes: Sequence[BookingOutcome], after: str, uow: UnitOfWork
) -> Sequence[BookingResult]:
    return await uow.events.results(job_id, outcomes, after, PAGE)


async def event_lines(deps: Dependencies, event_id: str) -> Sequence[EventLine]:
    """Return one line for each booking that the newest job has taken up, by booking id. Raises ``NotFound``."""
    report = await event_report(deps, event_id)
    if report.job is None:
        raise NotFound("no job of this event")
    lines = []
    async for result in _results(deps, report.job, list(BookingOutcome)):
        booking, payment = await _read(deps, result.booking_id)
        zero = Money.zero(booking.amount.currency)
        lines.append(
            EventLine(
                booking=booking,
                outcome=result.outcome,
                reason=result.reason,
                refunded=payment.refunded if payment is not None else zero,
                owed=total([payment.owed.amount], booking.amount.currency) if payment is not None else zero,
            )
        )
    return lines
