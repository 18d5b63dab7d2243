"""Repeated requests: a repetition continues the operation of the first run, and never starts a second one.

Both runs have the same cause, which the journal stores with each event. A client that lost the response, because of a
crash or a broken connection, so receives the response of the first run.
"""

from collections.abc import Iterator, Sequence

from attrs import frozen

from booking_payments.application.callers import Caller, KeyMark
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.resolve import resolve_payment
from booking_payments.domain import events as ev
from booking_payments.domain.declines import Decline
from booking_payments.domain.errors import AlreadyUnderWay, CardDeclined
from booking_payments.domain.payment import Payment
from booking_payments.ports.unit_of_work import UnitOfWork


@frozen
class Earlier:
    """The operation that an earlier run of the same request began.

    Attributes:
        payment: its payment, as it is now.
        idempotency_key: the key of its gateway call; None for a deferred refund or a settled debt.
        end: how the call ended; None while it is in flight.
        refund_id: the refund that the request created; None without one.
        replaces: the operation only cancels a payment so that another one can start.
    """

    payment: Payment
    idempotency_key: str | None
    end: ev.OperationSettled | None
    refund_id: str | None = None
    replaces: bool = False

    @property
    def is_under_way(self) -> bool:
        operation = self.payment.operation
        return operation is not None and operation.idempotency_key == self.idempotency_key

    @property
    def decline(self) -> Decline | None:
        """The decline of its charge; None without one."""
        key = self.idempotency_key
        return next((each.decline for each in self.payment.attempts if key and each.idempotency_key == key), None)

    @property
    def did_nothing(self) -> bool:
        """True when the gateway refused it, so that the request may run again.

        A refund whose refusal its caller did not receive keeps its promise, so it did something.
        """
        if self.refund_id is not None and self.end is not None and not self.end.answered:
            return False
        return self.end is not None and self.end.refusal is not None and self.decline is None


async def earlier_run(deps: Dependencies, booking_id: str, caller: Caller) -> Earlier | None:
    """Return the operation of an earlier run of this request, settled first if it is in flight.

    None when there was no earlier run, when it had not begun an operation, and when the gateway refused the operation;
    the request then runs again.

    Raises:
        CardDeclined: the earlier run's charge was declined.
        OutcomeUnknown, AlreadyUnderWay: the earlier run's operation cannot be settled yet.
    """
    earlier = await _find_earlier(deps, booking_id, caller) if caller.resumed else None
    if earlier is not None and earlier.is_under_way:
        error = await resolve_payment(deps, earlier.payment.id)
        if error is not None:
            raise error
        earlier = await _find_earlier(deps, booking_id, caller)
    if earlier is not None and earlier.decline is not None:
        raise CardDeclined(earlier.decline)
    return earlier


async def require_turn(deps: Dependencies, uow: UnitOfWork, booking_id: str, caller: Caller) -> None:
    """Raise ``AlreadyUnderWay`` unless ``caller`` may begin an operation now. The booking has to be locked.

    A run whose right to the request has expired, or was ended by another process, may have been taken over, so it
    begins nothing. The run that took over begins nothing either if the first one has just begun an operation. So
    exactly one of them does.
    """
    if caller.until is not None and deps.clock.now() >= caller.until:
        raise AlreadyUnderWay()
    if caller.mark is not None and not await _still_ours(uow, caller, caller.mark):
        raise AlreadyUnderWay()
    if caller.resumed and await _begun(uow, booking_id, caller.cause) is not None:
        raise AlreadyUnderWay()


async def _still_ours(uow: UnitOfWork, caller: Caller, mark: KeyMark) -> bool:
    """Whether this run still owns its mark.

    The mark stays locked until the transaction ends. So another run can claim it only after the operation that is begun
    here is in the journal.
    """
    stored = await uow.answers.get(mark.caller, mark.route, mark.key)
    return stored is not None and stored.status is None and stored.locked_until == caller.until


async def _find_earlier(deps: Dependencies, booking_id: str, caller: Caller) -> Earlier | None:
    async def look(uow: UnitOfWork) -> Earlier | None:
        caller.require(await uow.bookings.get(booking_id))
        return await _begun(uow, booking_id, caller.cause)

    return await deps.storage.read(look)


async def _begun(uow: UnitOfWork, booking_id: str, cause: str) -> Earlier | None:
    """Return the first operation with this cause that was not refused; None without one.

    Operations that follow from it have the same cause. Several earlier runs may have been refused.
    """
    made_room = False
    for payment in await uow.payments.of_booking(booking_id):
        for each in _intended(payment, await uow.payments.journal(payment.id), None if made_room else cause):
            if each.replaces and each.end is not None:
                made_room = each.end.refusal is None  # the next payment replaces it, with any cause
            elif not each.did_nothing:
                return each
    return None


def _intended(payment: Payment, journal: Sequence[ev.Recorded], cause: str | None) -> Iterator[Earlier]:
    """Yield the operations with this cause (None: with any cause) in their order."""
    events = [recorded.event for recorded in journal]
    ends = {event.idempotency_key: event for event in events if isinstance(event, ev.OperationSettled)}
    refunds = {event.idempotency_key: event.refund_id for event in events if isinstance(event, ev.RefundRequested)}
    for recorded in journal:
        if cause is not None and recorded.cause != cause:
            continue
        if isinstance(recorded.event, ev.OperationIntended):
            key, replaces = recorded.event.idempotency_key, recorded.event.replacement is not None
            yield Earlier(payment, key, ends.get(key), refunds.get(key), replaces)
        elif isinstance(recorded.event, ev.RefundDeferred):
            yield Earlier(payment, None, None, recorded.event.refund_id)
        elif isinstance(recorded.event, ev.DebtSettled):
            yield Earlier(payment, None, None)
