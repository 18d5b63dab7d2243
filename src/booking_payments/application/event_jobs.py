"""Canceling and moving events: a preview, and one job over all bookings of the event.

The job is stored before its first booking is touched. Each booking is canceled or amended by the use case that an
operator would use, which promises a total, so that taking it up again after a crash gives nothing back twice. Its
result is stored afterwards. A process that runs the job holds a lease on it; when it dies another one goes on.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from typing import Any, Final

from attrs import evolve, field, frozen

from booking_payments.application.amending import amend_booking
from booking_payments.application.bookings import cancel_booking
from booking_payments.application.callers import Caller
from booking_payments.application.canceled_events import event_canceled
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.passes import while_answered
from booking_payments.application.progress import Progress, in_silence
from booking_payments.application.views import RefundOnCancel
from booking_payments.domain.amendments import KEEP, BookingChange, require_grace_ahead
from booking_payments.domain.booking import Booking, BookingStatus, require_event_id
from booking_payments.domain.errors import (
    AlreadyUnderWay,
    NotFound,
    NotPossibleNow,
    OutcomeUnknown,
    PaymentError,
    RefundRefused,
    RefusedByRule,
    TryAgainLater,
)
from booking_payments.domain.events import PaymentSucceeded
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money, total
from booking_payments.domain.payment import Payment, payment_of_booking
from booking_payments.domain.retry import MICROSECOND
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
from booking_payments.ports.gateway import GatewayError
from booking_payments.ports.storage import AlreadyExists, CommitLost, StorageConflict
from booking_payments.ports.unit_of_work import UnitOfWork

AT_ONCE: Final = 48
"""How many bookings of a job one turn takes up, so that other jobs have theirs."""

TOGETHER: Final = 16
"""How many bookings are taken up under one lease, which is extended for the next ones."""

REST: Final = timedelta(seconds=5)
"""How long this process leaves a job alone that had nothing to take up."""

AGAIN_AFTER: Final = timedelta(seconds=30)
"""How long a booking waits whose processing failed for a passing reason."""

PAGE: Final = 100
_UNANSWERED: Final = (TryAgainLater.code, OutcomeUnknown.code)
"""Reasons of bookings that wait because the gateway did not answer."""

_NEEDS_MOST: Final = (
    *(BookingOutcome.FAILED, BookingOutcome.DISPUTED, BookingOutcome.OWED),
    *(BookingOutcome.WAITING, BookingOutcome.DONE),
)
_OPEN: Final = (BookingOutcome.OWED, BookingOutcome.DISPUTED, BookingOutcome.FAILED)
"""Outcomes that may change after the job has ended."""


class BalanceUnknown(Enum):
    """Why it is not known whether a gateway's balance suffices.

    - ``other_currency``: the account settles in another one.
    - ``unreadable``: the gateway did not answer, or its key may not read the balance.
    """

    OTHER_CURRENCY = "other_currency"
    UNREADABLE = "unreadable"


@frozen(kw_only=True)
class EventBalance:
    """Whether the balance at a gateway suffices for the refunds of an event in one currency.

    Attributes:
        gateway: name of the gateway, which keeps a balance.
        needed: the amount that would be refunded there.
        available: the balance; None when it is unknown.
        unknown: why the balance is unknown; None when it is known.
    """

    gateway: str
    needed: Money
    available: Money | None = None
    unknown: BalanceUnknown | None = None

    @property
    def missing(self) -> Money | None:
        """The amount that has to be added before the refunds; None when the balance is unknown."""
        if self.available is None:
            return None
        zero = Money.zero(self.needed.currency)
        return max(self.needed - self.available, zero) if self.needed else zero


@frozen(kw_only=True)
class EventPreview:
    """The effect that a job would have now. Sums are by currency. Moving an event moves no money.

    Attributes:
        bookings: number of bookings by status.
        to_refund: the amounts that would be promised to customers in addition to those promised already.
        held: number of bookings whose money is held, which is released.
        unpaid: number of bookings that are not paid.
        processing: number of bookings whose payment the bank is working on: refunded in full when it arrives.
        disputed: ids of the bookings with an open dispute.
        totals: the sums as they are now.
        balances: whether the balances of the gateways suffice, for each gateway that keeps one.
    """

    event_id: str
    bookings: Mapping[str, int]
    to_refund: Sequence[Money]
    held: int
    unpaid: int
    processing: int
    disputed: Sequence[str]
    totals: Sequence[EventTotals]
    balances: Sequence[EventBalance] = ()


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
    deps: Dependencies,
    event_id: str,
    *,
    refund: RefundOnCancel | None,
    event_starts_at: datetime | None = None,
    refund_grace_until: datetime | None = None,
) -> EventPreview:
    """Return what canceling an event, or moving it to ``event_starts_at``, would do now. Changes nothing.

    Raises as ``cancel_event`` and ``reschedule_event``, and ``NotFound`` for an event without bookings and without a
    job: it could be canceled, but its id may have been mistyped.
    """
    require_event_id(event_id)
    canceled = event_starts_at is None
    known = await deps.storage.read(lambda uow: uow.events.latest(event_id))
    mode = refund or (known.refund if known is not None else RefundOnCancel.FULL)
    if event_starts_at is None:
        _require_same_refund(known, refund)
    else:
        _require_movable(deps, known, event_starts_at, refund_grace_until)
    found: list[tuple[Booking, Payment | None]] = []
    async for booking, payments in _each_booking(deps, event_id):
        found.append((booking, payment_of_booking(payments)))
    if not found and (known is None or not canceled):
        raise _no_such_event()
    live = [(booking, payment) for booking, payment in found if booking.status.is_live]
    now = deps.clock.now()
    sums: dict[str, Money] = {}
    needed: dict[tuple[str, Currency], Money] = {}
    for booking, payment in live if canceled else []:
        amount = _would_promise(payment, mode, now)
        if amount is not None and payment is not None:
            currency = booking.amount.currency
            sums[currency.code] = sums.get(currency.code, Money.zero(currency)) + amount
            there = (payment.gateway, currency)
            needed[there] = needed.get(there, Money.zero(currency)) + amount
    settled = live if canceled else []
    statuses = [payment.status if payment is not None else None for _, payment in settled]
    return EventPreview(
        event_id=event_id,
        bookings=_counted([booking.status.value for booking, _ in found]),
        to_refund=[sums[code] for code in sorted(sums)],
        held=statuses.count(PaymentStatus.REQUIRES_CAPTURE),
        unpaid=sum(1 for booking, payment in settled if not booking.free and _is_unpaid(payment)),
        processing=statuses.count(PaymentStatus.PROCESSING),
        disputed=[booking.id for booking, payment in live if payment is not None and payment.has_open_dispute],
        totals=(await deps.storage.read(lambda uow: uow.events.totals([event_id])))[event_id],
        balances=await _balances(deps, needed),
    )


async def _balances(deps: Dependencies, needed: Mapping[tuple[str, Currency], Money]) -> Sequence[EventBalance]:
    """Compare what would be refunded with the balances of the gateways; those without one are left out."""
    found: list[EventBalance] = []
    for gateway in sorted({name for name, _ in needed}):
        sums = [needed[name, currency] for name, currency in needed if name == gateway]
        try:
            balance = await deps.at(gateway).gateway.available_balance()
        except GatewayError:
            found += [EventBalance(gateway=gateway, needed=each, unknown=BalanceUnknown.UNREADABLE) for each in sums]
            continue
        if balance is not None:
            found += [_compared(gateway, each, balance.get(each.currency)) for each in sums]
    return found


def _compared(gateway: str, needed: Money, available: Money | None) -> EventBalance:
    unknown = BalanceUnknown.OTHER_CURRENCY if available is None else None
    return EventBalance(gateway=gateway, needed=needed, available=available, unknown=unknown)


def _is_unpaid(payment: Payment | None) -> bool:
    held = (PaymentStatus.SUCCEEDED, PaymentStatus.REQUIRES_CAPTURE, PaymentStatus.PROCESSING)
    return payment is None or payment.status not in held


def _would_promise(payment: Payment | None, mode: RefundOnCancel, now: datetime) -> Money | None:
    """Return what a cancellation would promise in addition; None where nothing is paid."""
    if payment is None or payment.status is not PaymentStatus.SUCCEEDED:
        return None
    if mode is RefundOnCancel.NONE:
        return Money.zero(payment.amount.currency)
    return payment.refundable.added_on_cancel(now, in_full=mode is RefundOnCancel.FULL)


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
    """Cancel an event: it accepts no new bookings, and a job cancels all its bookings.

    Returns the job, which background work runs. A repeated call returns the same job, which then tries its failed
    bookings again. A running job that moves the event is ended.

    Args:
        refund: how much paid bookings give back; None: everything, or what the known job gives back.
        reason: recorded in the journals; one line.

    Raises ``NotPossibleNow`` (``event_refund_differs``) when the event was canceled with another ``refund``.
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
    begun = await _begin(deps, job, refund)
    deps.open_events.forget(event_id)
    return begun


async def reschedule_event(
    deps: Dependencies,
    event_id: str,
    caller: Caller,
    *,
    event_starts_at: datetime,
    refund_grace_until: datetime | None = None,
) -> EventJob:
    """Move an event: a job gives all its live bookings the new date.

    Returns the job. The same event and date again: the same job, which then also moves the bookings that were
    registered with another date since.

    Args:
        refund_grace_until: until then the customers whose date changes may have everything back.

    Raises:
        RefusedByRule: ``event_in_past``, ``grace_in_past``.
        NotFound: the event has no bookings.
        NotPossibleNow: the event is canceled (``event_canceled``), or another job is running (``event_job_running``).
    """
    known = await deps.storage.read(lambda uow: uow.events.latest(event_id))
    _require_movable(deps, known, event_starts_at, refund_grace_until)
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


def _require_movable(
    deps: Dependencies, known: EventJob | None, starts_at: datetime, grace_until: datetime | None
) -> None:
    """Raise for an event that is canceled, or is moved to another date now, and for times that have passed.

    The move that ``known`` makes, the event's newest job, may be requested again at any time.
    """
    if known is not None and known.kind is EventJobKind.CANCEL:
        raise event_canceled()
    if known is not None and (known.event_starts_at, known.refund_grace_until) == (starts_at, grace_until):
        return
    if known is not None and known.state is EventJobState.RUNNING:
        raise _job_running()
    now = deps.clock.now()
    if starts_at <= now:
        raise RefusedByRule("event_starts_at is in the past", code="event_in_past")
    if grace_until is not None:
        require_grace_ahead(grace_until, now)


def _cause(what: str, reason: str | None) -> str:
    return f"{what}: {reason}" if reason else what


async def _begin(deps: Dependencies, job: EventJob, refund: RefundOnCancel | None = None) -> EventJob:
    """Store a job, or take the known one up again. ``refund`` is what its caller asked for; None for no wish."""

    async def work(uow: UnitOfWork) -> EventJob:
        known = await uow.events.latest(job.event_id)
        if known is not None and _is_same(known, job):
            _require_same_refund(known, refund)
            return await _again(uow, known)
        if known is not None and known.kind is EventJobKind.CANCEL:
            raise event_canceled()
        if known is not None and known.state is EventJobState.RUNNING:
            await _give_way(uow, known, job)
        if job.kind is EventJobKind.RESCHEDULE and not await uow.events.total(job.event_id):
            raise _no_such_event()
        # The newest job is the one that was stored last, although clocks differ and a transaction may have waited.
        later = max(job.created_at, known.created_at + MICROSECOND) if known is not None else job.created_at
        added = evolve(job, created_at=later)
        await uow.events.add(added)
        return added

    known = await deps.storage.read(lambda uow: uow.events.latest(job.event_id))
    if known is not None and known.state is EventJobState.DONE and _is_same(known, job):
        await _refresh(deps, known)  # what has failed since is taken up again, too
    try:
        return await deps.storage.transact(work)
    except AlreadyExists:  # another call has stored a job of this event meanwhile
        return await deps.storage.transact(work)


async def _give_way(uow: UnitOfWork, running: EventJob, job: EventJob) -> None:
    """End the running job that moves the event, because it is canceled. Its process finds that out by itself.

    Raises ``NotPossibleNow`` (``event_job_running``) for another date.
    """
    if job.kind is not EventJobKind.CANCEL:
        raise _job_running()
    locked = await uow.events.lock(running.id) or running
    ended = evolve(locked, state=EventJobState.DONE, finished_at=job.created_at, lease_until=None, holder=None)
    await uow.events.save(ended)


def _is_same(known: EventJob, job: EventJob) -> bool:
    if known.kind is not job.kind:
        return False
    asked = (known.event_starts_at, known.refund_grace_until) == (job.event_starts_at, job.refund_grace_until)
    return known.kind is EventJobKind.CANCEL or asked


def _job_running() -> NotPossibleNow:
    return NotPossibleNow("another job of this event is running; wait for its end", code="event_job_running")


def _require_same_refund(known: EventJob | None, refund: RefundOnCancel | None) -> None:
    """Raise ``NotPossibleNow`` (``event_refund_differs``) if the event was canceled with another ``refund``.

    None as ``refund``: what the known job gives back.
    """
    if known is None or known.kind is not EventJobKind.CANCEL or refund in (None, known.refund):
        return
    message = (
        f"this event was canceled with refund {known.refund.value}, which stays: leave refund out to go on with it; "
        "to give more back, cancel each of its bookings again with refund full"
    )
    raise NotPossibleNow(message, code="event_refund_differs")


async def _again(uow: UnitOfWork, known: EventJob) -> EventJob:
    """Have the bookings of a known job taken up again that failed, and those that were registered since it ended."""
    failed = (BookingOutcome.FAILED,)
    after, found = "", 0
    while results := await uow.events.results(known.id, failed, after, PAGE):
        for result in results:
            await uow.events.put(evolve(result, outcome=BookingOutcome.WAITING, at=known.created_at))
        after, found = results[-1].booking_id, found + len(results)
    found = found or len(await uow.events.next_bookings(known, known.created_at, 1))
    if not found or known.state is EventJobState.RUNNING:
        return known
    running = evolve(known, state=EventJobState.RUNNING, finished_at=None)
    await uow.events.save(running)
    return running


def _no_such_event() -> NotFound:
    return NotFound("there is no event with this id")


# --- running ---------------------------------------------------------------------------------------------------


async def continue_event_jobs(deps: Dependencies) -> int:
    """Give each running job a turn, until the gateway falls silent; returns how many bookings were taken up.

    Raises an ``ExceptionGroup`` in the end of what broke.
    """
    jobs = await deps.storage.read(lambda uow: uow.events.running(PAGE))
    turns = [
        _JobTurn(deps, job, deps.ids.new("run")) for job in jobs if not deps.postponed.holds(job.id, deps.clock.now())
    ]
    await while_answered(turns, _with_turn)
    return sum(turn.taken for turn in turns)


async def _with_turn(turn: "_JobTurn") -> bool | None:
    await turn.run()
    turn.raise_broken()
    return None if not turn.taken else not turn.silent


async def run_event_job(deps: Dependencies, job: EventJob, progress: Progress = in_silence) -> EventReport:
    """Carry a job out to its end, as far as the gateway answers; returns the report.

    Returns when nothing has moved for more than a lease: background work, or the same command again, goes on.

    Raises an ``ExceptionGroup`` in the end of what broke; the report has it as ``failed`` (``internal_error``).
    """
    holder, broken = deps.ids.new("run"), list[Exception]()
    until = deps.clock.now() + deps.config.lease + AGAIN_AFTER
    while True:
        turn = _JobTurn(deps, job, holder)
        await turn.run()
        broken += turn.broken
        newest, done, bookings = await deps.storage.read(partial(_progress_of, job))
        progress("bookings", done, bookings)
        if turn.settled:
            until = deps.clock.now() + deps.config.lease + AGAIN_AFTER
        if newest is None or not _runs(newest, job) or deps.clock.now() >= until:
            break
        if not turn.settled:
            await deps.clock.sleep(timedelta(seconds=1))
    if broken:
        raise ExceptionGroup(f"{len(broken)} errors in this job", broken)
    return await event_report(deps, job.event_id)


async def _progress_of(job: EventJob, uow: UnitOfWork) -> tuple[EventJob | None, int, int]:
    """Return the newest job of the event, how many bookings of ``job`` do not wait, and how many the event has.

    A report has the sums too, which would be added up over all bookings at each turn.
    """
    counts = await uow.events.counts(job.id)
    done = sum(number for outcome, number in counts.items() if outcome is not BookingOutcome.WAITING)
    return await uow.events.latest(job.event_id), done, await uow.events.total(job.event_id)


def _runs(newest: EventJob, job: EventJob) -> bool:
    """True while the job is the newest of its event and has not ended."""
    return newest.id == job.id and newest.state is EventJobState.RUNNING


class _JobTurn:
    """One turn of a job: it processes ``AT_ONCE`` of its bookings, fewer when the gateway stops responding.

    Attributes:
        taken: number of processed bookings.
        settled: number of those that do not wait any more.
        silent: the gateway did not respond for any of the latest bookings.
        broken: unexpected errors; an error in one booking does not stop the turn.
    """

    def __init__(self, deps: Dependencies, job: EventJob, holder: str) -> None:
        self._deps, self._job, self._holder = deps, job, holder
        self._stuck = set[str]()
        self.taken = self.settled = 0
        self.silent = False
        self._unanswered = 0
        self.broken: list[Exception] = []

    async def run(self) -> None:
        """Take the bookings up, unless another process is at it, and end the job when none is left."""
        deps, held, due = self._deps, False, list[str]()
        while self.taken < AT_ONCE and not self.silent and await _hold(deps, self._job, self._holder):
            held = True
            due = due or await self._next()
            if not due:
                break
            ids, due = due[:TOGETHER], due[TOGETHER:]
            before, self._unanswered = self.settled, 0
            await deps.gather([partial(self._take_up, booking_id) for booking_id in ids])
            self.taken += len(ids)
            self.silent = bool(self._unanswered) and self.settled == before
        if held:
            await _let_go(deps, self._job, self._holder)
        if not self.taken:
            deps.postponed.put(self._job.id, deps.clock.now() + REST)

    def raise_broken(self) -> None:
        """Raise an ``ExceptionGroup`` of what broke."""
        if self.broken:
            raise ExceptionGroup(f"{len(self.broken)} bookings of {self._job.id} failed", self.broken)

    async def _next(self) -> list[str]:
        """Return the bookings for the rest of this turn, past those whose result could not be stored.

        The question looks at all bookings of the event, so it is not asked for each lease.
        """
        before, limit = self._deps.clock.now() - AGAIN_AFTER, len(self._stuck) + AT_ONCE
        ids = await self._deps.storage.read(lambda uow: uow.events.next_bookings(self._job, before, limit))
        return [its for its in ids if its not in self._stuck][: AT_ONCE - self.taken]

    async def _take_up(self, booking_id: str) -> None:
        """Cancel or amend one booking, and store how it stands then."""
        try:
            result = await _result_of(self._deps, self._job, booking_id)
        except Exception as error:
            self.broken.append(error)
            result = _result(self._deps, self._job, booking_id, BookingOutcome.FAILED, "internal_error")
        if result is None:
            return
        if result.outcome is not BookingOutcome.WAITING:
            self.settled += 1
        elif result.reason in _UNANSWERED:
            self._unanswered += 1
        try:
            await self._deps.storage.transact(partial(_put, result))
        except Exception as error:
            self.broken.append(error)
            self._stuck.add(booking_id)


async def _hold(deps: Dependencies, job: EventJob, holder: str) -> bool:
    """Take the lease on a job, or extend it; False while another process has it, and once the job has ended."""

    async def work(uow: UnitOfWork) -> bool:
        known, now = await uow.events.lock(job.id), deps.clock.now()
        if known is None or (known.lease_until is not None and known.lease_until > now and known.holder != holder):
            return False
        if known.state is EventJobState.DONE and not await _is_behind(uow, known, now):
            return False
        until = now + deps.config.lease
        await uow.events.save(
            evolve(known, state=EventJobState.RUNNING, lease_until=until, holder=holder, taken_up_at=now)
        )
        return True

    return await deps.storage.transact(work)


async def _is_behind(uow: UnitOfWork, job: EventJob, now: datetime) -> bool:
    """True for a cancellation whose event has bookings that its job has not seen: it goes on."""
    return job.kind is EventJobKind.CANCEL and bool(await uow.events.next_bookings(job, now, 1))


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


async def _result_of(deps: Dependencies, job: EventJob, booking_id: str) -> BookingResult | None:
    """Cancel or amend one booking, and return how it stands then; None when another job has taken over."""
    try:
        if not await _carry_out(deps, job, booking_id):
            return None
    except RefundRefused:
        return await _judged(deps, job, booking_id)
    except (TryAgainLater, AlreadyUnderWay, StorageConflict, CommitLost) as error:
        code = error.code if isinstance(error, PaymentError) else "storage"
        return _result(deps, job, booking_id, BookingOutcome.WAITING, code)
    except PaymentError as error:
        if error.code == "version_conflict":  # the booking was changed since it was read
            return _result(deps, job, booking_id, BookingOutcome.WAITING, error.code)
        return await _judged(deps, job, booking_id, failed=error.code)
    return await _judged(deps, job, booking_id)


def _result(
    deps: Dependencies, job: EventJob, booking_id: str, outcome: BookingOutcome, reason: str | None
) -> BookingResult:
    return BookingResult(job_id=job.id, booking_id=booking_id, outcome=outcome, at=deps.clock.now(), reason=reason)


async def _carry_out(deps: Dependencies, job: EventJob, booking_id: str) -> bool:
    """Cancel or amend one booking. Returns False, with nothing done, when the job has ended or another one runs.

    A process whose lease has lapsed may come here late. Its booking is read before the job: if a newer job has given
    the booking another date since, the versions differ; if it did so before, the job is seen to have ended.
    """
    caller = Caller(actor=job.actor, cause=job.cause, by_itself=True)
    booking, payments = await _read(deps, booking_id)
    newest = await deps.storage.read(lambda uow: uow.events.latest(job.event_id))
    if newest is None or newest.id != job.id or newest.state is not EventJobState.RUNNING:
        return False
    if booking.status.is_live and job.kind is EventJobKind.CANCEL:
        refund = job.refund if await _was_paid(deps, job, payments) else RefundOnCancel.FULL
        await cancel_booking(deps, booking_id, caller, reason=None, refund=refund)
    elif booking.status.is_live and job.event_starts_at is not None:
        grace = await _longer_grace(deps, job, booking)
        change = BookingChange(event_starts_at=job.event_starts_at, refund_grace_until=KEEP if grace is None else grace)
        await amend_booking(deps, booking_id, caller, change, expected_version=booking.version)
    elif booking.status is BookingStatus.CANCELED and job.kind is EventJobKind.CANCEL and _has_failed(payments):
        # It was canceled before: with POLICY, canceling it again only requests the failed refund again.
        await cancel_booking(deps, booking_id, caller, reason=None, refund=RefundOnCancel.POLICY)
    return True


async def _was_paid(deps: Dependencies, job: EventJob, payments: Sequence[Payment]) -> bool:
    """Return whether a booking was paid before its event was canceled; what is paid later goes back in full."""
    payment = payment_of_booking(payments)
    if payment is None or payment.status is not PaymentStatus.SUCCEEDED:
        return False
    if job.refund is RefundOnCancel.FULL:
        return True
    journal = await deps.storage.read(lambda uow: uow.payments.journal(payment.id))
    return any(isinstance(each.event, PaymentSucceeded) and each.at <= job.created_at for each in journal)


async def _longer_grace(deps: Dependencies, job: EventJob, booking: Booking) -> datetime | None:
    """Return until when a move lets the customer have everything back; None leaves the booking's own end.

    A customer who booked the new date needs no grace. One whose booking was moved before may get it, or a longer one; a
    promised end is not brought forward.
    """
    grace, promised = job.refund_grace_until, booking.refund_grace_until
    if grace is None or grace <= deps.clock.now() or (promised is not None and promised >= grace):
        return None
    if booking.event_starts_at != job.event_starts_at or promised is not None:
        return grace
    starts_at = booking.event_starts_at
    first = await deps.storage.read(lambda uow: uow.events.first_move(job.event_id, starts_at))
    return grace if first is not None and booking.created_at < first else None


def _has_failed(payments: Sequence[Payment]) -> bool:
    current = payment_of_booking(payments)
    return current is not None and current.owed.amount > current.owed_waiting


async def _judged(deps: Dependencies, job: EventJob, booking_id: str, failed: str | None = None) -> BookingResult:
    booking, payments = await _read(deps, booking_id)
    if failed is not None and (booking.status.is_live or job.kind is EventJobKind.CANCEL):
        return _result(deps, job, booking_id, BookingOutcome.FAILED, failed)
    outcome, reason = outcome_of(deps, job, booking, payments)
    return _result(deps, job, booking_id, outcome, reason)


def outcome_of(
    deps: Dependencies, job: EventJob, booking: Booking, payments: Sequence[Payment]
) -> tuple[BookingOutcome, str | None]:
    """Return how a booking stands after its job has taken it up, and a reason where there is one.

    Of several payments of a booking the one counts that needs most: a person before the bank, the bank before the
    system.
    """
    if job.kind is EventJobKind.RESCHEDULE:
        moved = not booking.status.is_live or booking.event_starts_at == job.event_starts_at
        return (BookingOutcome.DONE, None) if moved else (BookingOutcome.WAITING, "not_moved")
    if booking.status.is_live:
        return BookingOutcome.WAITING, "not_canceled"
    found = [_standing(payment, by_hand=deps.of(payment).refunds_by_hand) for payment in payments]
    return min(found, key=lambda each: _NEEDS_MOST.index(each[0]), default=(BookingOutcome.DONE, None))


def _standing(payment: Payment, *, by_hand: bool) -> tuple[BookingOutcome, str | None]:
    """Return how a payment of a canceled booking stands. ``by_hand``: an operator pays out its refunds."""
    if payment.status is PaymentStatus.PROCESSING:
        return BookingOutcome.OWED, "processing"
    if payment.has_open_dispute:  # with nothing owed it was refunded before: that has to be said to the bank
        return BookingOutcome.DISPUTED, payment.dispute.status.value if payment.dispute else None
    if payment.owed.amount > payment.owed_waiting:
        failed = [refund for refund in payment.refunds if refund.status.is_lost]
        return BookingOutcome.FAILED, (failed[-1].failure_reason if failed else None) or "refund_failed"
    if payment.refund_pending and by_hand:
        return BookingOutcome.FAILED, "refund_by_operator"
    if payment.owed.amount or payment.refund_pending:
        return BookingOutcome.OWED, payment.deferred[-1].why.value if payment.deferred else "refund_pending"
    return BookingOutcome.DONE, None


async def _read(deps: Dependencies, booking_id: str) -> tuple[Booking, Sequence[Payment]]:
    """Return a booking and all its payments."""

    async def work(uow: UnitOfWork) -> tuple[Booking, Sequence[Payment]]:
        booking = await uow.bookings.get(booking_id)
        if booking is None:
            raise NotFound()
        return booking, await uow.payments.of_booking(booking_id)

    return await deps.storage.read(work)


async def _each_booking(deps: Dependencies, event_id: str) -> Any:
    cursor: str | None = None
    while True:
        page, payments = await deps.storage.read(partial(_page, BookingFilter(event_id=event_id), cursor))
        for booking in page.items:
            yield booking, payments.get(booking.id, ())
        cursor = page.next_cursor
        if cursor is None:
            return


async def _page(which: BookingFilter, cursor: str | None, uow: UnitOfWork) -> Any:
    page = await uow.bookings.page(which, cursor, PAGE)
    return page, await uow.payment_reader.of_bookings([booking.id for booking in page.items])


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
            totals=(await uow.events.totals([event_id]))[event_id],
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
    async for found in _results(deps, job, _OPEN):
        await _refresh_one(deps, job, found)
    after = ""
    while page := await deps.storage.read(partial(_reopened, job.id, after)):
        for found in page:
            await _refresh_one(deps, job, found)
        after = page[-1].booking.id


async def _reopened(job_id: str, after: str, uow: UnitOfWork) -> Sequence["_Found"]:
    return await _with_payments(uow, await uow.events.reopened(job_id, after, PAGE))


async def _refresh_one(deps: Dependencies, job: EventJob, found: "_Found") -> None:
    result, (outcome, reason) = found.result, outcome_of(deps, job, found.booking, found.payments)
    refused = result.outcome is BookingOutcome.FAILED and outcome is BookingOutcome.WAITING
    if not refused and (outcome, reason) != (result.outcome, result.reason):
        await deps.storage.transact(partial(_put, evolve(result, outcome=outcome, reason=reason)))


async def _put(result: BookingResult, uow: UnitOfWork) -> None:
    await uow.events.put(result)


@frozen
class _Found:
    """A stored result with its booking and all payments of the booking."""

    result: BookingResult
    booking: Booking
    payments: Sequence[Payment]


async def _results(deps: Dependencies, job: EventJob, outcomes: Sequence[BookingOutcome]) -> AsyncIterator["_Found"]:
    after = ""
    while page := await deps.storage.read(partial(_results_page, job.id, outcomes, after)):
        for found in page:
            yield found
        after = page[-1].booking.id


async def _results_page(
    job_id: str, outcomes: Sequence[BookingOutcome], after: str, uow: UnitOfWork
) -> Sequence[_Found]:
    return await _with_payments(uow, await uow.events.results(job_id, outcomes, after, PAGE))


async def _with_payments(uow: UnitOfWork, results: Sequence[BookingResult]) -> Sequence[_Found]:
    """Read the bookings and payments of all ``results`` together."""
    ids = [result.booking_id for result in results]
    bookings, payments = await uow.bookings.many(ids), await uow.payment_reader.of_bookings(ids)
    return [_Found(each, bookings[each.booking_id], payments.get(each.booking_id, ())) for each in results]


async def event_lines(deps: Dependencies, event_id: str) -> AsyncIterator[EventLine]:
    """Yield a line for each booking that the newest job has processed, by booking id, read page by page.

    The results are as stored; ``event_report`` brings them up to date. Raises ``NotFound`` for an event without a job.
    """
    job = await deps.storage.read(lambda uow: uow.events.latest(event_id))
    if job is None:
        raise NotFound("no job of this event")
    async for found in _results(deps, job, list(BookingOutcome)):
        currency = found.booking.amount.currency
        yield EventLine(
            booking=found.booking,
            outcome=found.result.outcome,
            reason=found.result.reason,
            refunded=total((payment.refunded for payment in found.payments), currency),
            owed=total((payment.owed.amount for payment in found.payments), currency),
        )
