"""A request that comes again: what an earlier run of it has begun is gone on with, and never begun a second time.

Both runs have the same cause, under which the journal keeps what the first one intended. So a customer whose answer
got lost, in a crash or on the line, gets the answer of the first run.
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
    """What an earlier run of the same request began: its payment as it is now, the key that it sent, and how it ended,
    if it has. ``refund_id`` is that of the refund that it asked for; one that was deferred was not sent under a key.
    ``replaces``: it only makes room for another payment."""

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
        """Why the card was declined, where it was."""
        key = self.idempotency_key
        return next((each.decline for each in self.payment.attempts if key and each.idempotency_key == key), None)

    @property
    def did_nothing(self) -> bool:
        """Whether the gateway refused it, so that the same may be begun anew."""
        return self.end is not None and self.end.refusal is not None and self.decline is None


async def earlier_run(deps: Dependencies, booking_id: str, caller: Caller) -> Earlier | None:
    """The earlier run of this request, settled first where that is still to be done.

    None where there was none, where it never came to an intention, and where the gateway did nothing of it, so that it
    can be begun anew. Raises what the caller is told, as the earlier run would have: ``CardDeclined``,
    ``OutcomeUnknown``, ``AlreadyUnderWay``.
    """
    earlier = await _look_back(deps, booking_id, caller) if caller.resumed else None
    if earlier is not None and earlier.is_under_way:
        error = await resolve_payment(deps, earlier.payment.id)
        if error is not None:
            raise error
        earlier = await _look_back(deps, booking_id, caller)
    if earlier is not None and earlier.decline is not None:
        raise CardDeclined(earlier.decline)
    return earlier


async def require_turn(deps: Dependencies, uow: UnitOfWork, booking_id: str, caller: Caller) -> None:
    """Whether ``caller`` may begin anything now, asked with the booking locked.

    A run that took longer than its right to the request lasts, or whose right another process has ended, may have been
    taken over, and begins nothing any more; the one that took over begins nothing that the first has begun at the last
    moment. So of the two only one does. Raises ``AlreadyUnderWay``.
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


async def _look_back(deps: Dependencies, booking_id: str, caller: Caller) -> Earlier | None:
    async def look(uow: UnitOfWork) -> Earlier | None:
        caller.require(await uow.bookings.get(booking_id))
        return await _begun(uow, booking_id, caller.cause)

    return await deps.storage.read(look)


async def _begun(uow: UnitOfWork, booking_id: str, cause: str) -> Earlier | None:
    """The first thing under this cause that was not refused: what follows from it has the same cause. Several runs may
    have been refused before."""
    made_room = False
    for payment in await uow.payments.of_booking(booking_id):
        for each in _intended(payment, await uow.payments.journal(payment.id), None if made_room else cause):
            if each.replaces and each.end is not None:
                made_room = each.end.refusal is None  # what it made room for is the next payment, whoever began that
            elif not each.did_nothing:
                return each
    return None


def _intended(payment: Payment, journal: Sequence[ev.Recorded], cause: str | None) -> Iterator[Earlier]:
    """What was begun under this cause (None: under any), in its order."""
    facts = [recorded.event for recorded in journal]
    ends = {fact.idempotency_key: fact for fact in facts if isinstance(fact, ev.OperationSettled)}
    refunds = {fact.idempotency_key: fact.refund_id for fact in facts if isinstance(fact, ev.RefundRequested)}
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
