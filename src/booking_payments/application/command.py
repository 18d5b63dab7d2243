"""The steps that all commands share. Pay, capture, cancel, refund and expire differ only in what they decide.

1. One transaction locks the booking, decides, and records the events with the gateway call that they intend.
2. With no transaction open, the gateway is called.
3. Another transaction records the outcome, and what follows from it.

``begin`` performs step 1. If an operation that an earlier command left is in flight, ``begin`` settles it first: it
resumes the operation if its lease has expired, and raises otherwise. ``run`` performs all steps; a repetition of a
request (see ``resuming``) returns the result of the first run. Steps 2 and 3 are in ``operations.carry_out``.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from attrs import evolve, frozen

from booking_payments.application.callers import Caller
from booking_payments.application.canceled_events import check_event, unchecked_event
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.operations import Claimed, carry_out, claim
from booking_payments.application.reading import Target, payment_view
from booking_payments.application.recording import Recorder
from booking_payments.application.resolve import resolve_payment
from booking_payments.application.resuming import earlier_run, require_turn
from booking_payments.application.views import PaymentView
from booking_payments.domain.booking import Booking
from booking_payments.domain.errors import AlreadyUnderWay, NotFound
from booking_payments.domain.payment import Payment
from booking_payments.ports.unit_of_work import LockScope, UnitOfWork

T = TypeVar("T")


def _always(recorder: Recorder) -> bool:
    return True


@frozen(kw_only=True)
class BookingCommand(Generic[T]):
    """One command: its target, its caller and its decision.

    Attributes:
        target: the payment, or the booking with its current payment.
        caller: recorded as the actor. A booking of another customer does not exist for a customer.
        decide: adds events to the recorder; may return a value for its caller. It runs with the booking locked, and
            again after a conflict with another transaction, so it must have no other effects.
        needs_payment: raise ``NotFound`` when no payment was started.
        waits: whether ``decide`` needs the operation in flight to be settled first; called only if there is one.
        charges: customers pay by it, so it is refused for a pending booking whose event is canceled.
        repeatable: running the command twice has the same effect as once, so a repeated request just runs again.
    """

    target: Target
    caller: Caller
    decide: Callable[[Recorder], T]
    needs_payment: bool = True
    waits: Callable[[Recorder], bool] = _always
    charges: bool = False
    repeatable: bool = False


@frozen(kw_only=True)
class Begun(Generic[T]):
    """A command after its first step.

    Attributes:
        decided: the value that ``decide`` returned.
        booking: as recorded.
        payment: as recorded; None while the booking has none.
        claimed: the gateway call to make, under a lease; None when no call is needed.
    """

    decided: T
    booking: Booking
    payment: Payment | None
    claimed: Claimed | None


@frozen
class InFlight:
    """Nothing was decided, because an operation of this payment is in flight."""

    payment_id: str


@frozen
class UncheckedEvent:
    """Nothing was decided, because it has to be read first whether this event is canceled.

    It is read outside, since a transaction that reads it could not be shared with other bookings.
    """

    event_id: str


@frozen(kw_only=True)
class Completed(Generic[T]):
    """The result of ``run``.

    Attributes:
        view: the payment.
        decided: the value that ``decide`` returned; None when an earlier run of the same request has decided.
    """

    view: PaymentView
    decided: T | None


async def run(deps: Dependencies, command: BookingCommand[T]) -> Completed[T]:
    """Perform all steps of ``command``.

    Raises:
        NotFound: there is no such booking for this caller, or no payment and the command needs one.
        AlreadyUnderWay: another operation of the payment is in flight.
        PaymentError: the errors of ``decide``, and those of ``to_payment_error`` for the gateway's answer.
        OutcomeUnknown: the gateway did not answer; the resolver determines the outcome later.
    """
    booking_id = await booking_of(deps, command.target)
    if await earlier_run(deps, booking_id, command.caller) is not None:
        return Completed(view=await payment_view(deps, command.target, command.caller), decided=None)
    begun = await begin(deps, command)
    ended = await carry_out(deps, begun.claimed, command.caller) if begun.claimed is not None else None
    if ended is not None and ended.error is not None:
        raise ended.error
    view = ended.view if ended is not None else None
    return Completed(
        view=view or await payment_view(deps, command.target, command.caller),
        decided=begun.decided,
    )


async def begin(deps: Dependencies, command: BookingCommand[T]) -> Begun[T]:
    """Perform the first step of ``command``; an operation in flight is settled before.

    Raises:
        NotFound: as ``run``.
        AlreadyUnderWay: the operation in flight belongs to another process, or a new one began meanwhile.
        OutcomeUnknown, TryAgainLater: the outcome of the operation in flight can't be determined now.
        NotPossibleNow: the command charges, and the event is canceled (``event_canceled``).
        PaymentError: the errors of ``decide``.
    """
    begun = await attempt(deps, command)
    if isinstance(begun, InFlight):
        error = await resolve_payment(deps, begun.payment_id)
        if error is not None:
            raise error
        begun = await attempt(deps, command)
    if isinstance(begun, InFlight):
        raise AlreadyUnderWay()
    return begun


async def attempt(deps: Dependencies, command: BookingCommand[T]) -> Begun[T] | InFlight:
    """Perform the first step of ``command``, unless it has to wait for an operation in flight. Raises as ``begin``."""
    begun = await _first_step(deps, command)
    if isinstance(begun, UncheckedEvent):
        await check_event(deps, begun.event_id)
        begun = await _first_step(deps, evolve(command, charges=False))
    assert not isinstance(begun, UncheckedEvent)  # noqa: S101 - it was checked
    return begun


async def _first_step(deps: Dependencies, command: BookingCommand[T]) -> Begun[T] | InFlight | UncheckedEvent:
    """Lock, decide and record in one transaction."""
    booking_id = await booking_of(deps, command.target)
    holder = deps.ids.new("run")

    async def work(uow: UnitOfWork) -> Begun[T] | InFlight | UncheckedEvent:
        booking = command.caller.require(await uow.bookings.lock(booking_id))
        payment = await command.target.find_payment(uow, booking_id)
        if payment is None and command.needs_payment:
            raise NotFound()
        recorder = Recorder(deps, uow, booking, payment, command.caller)
        if payment is not None and payment.operation is not None and command.waits(recorder):
            return InFlight(payment.id)
        if not command.repeatable:
            await require_turn(deps, uow, booking_id, command.caller)
        unchecked = unchecked_event(deps, booking) if command.charges else None
        if unchecked is not None:
            return UncheckedEvent(unchecked)
        decided = command.decide(recorder)
        await recorder.save(holder=holder)
        return Begun(
            decided=decided,
            booking=recorder.booking,
            payment=recorder.payment_or_none,
            claimed=_claimed(recorder, payment, holder),
        )

    return await deps.storage.transact(work, LockScope(booking_id=booking_id))


def _claimed(recorder: Recorder, before: Payment | None, holder: str) -> Claimed | None:
    """Return the operation that the command intended; None without one, and for an operation in flight before."""
    payment = recorder.payment_or_none
    if payment is None or payment.operation is None or (before is not None and before.operation is not None):
        return None
    return claim(recorder, payment.operation, holder)


async def booking_of(deps: Dependencies, target: Target) -> str:
    """Return the id of the target's booking. Raises ``NotFound`` for an unknown payment."""
    if target.booking_id is not None:
        return target.booking_id
    return await deps.storage.read(target.booking_of)
