"""A request that comes again: what an earlier run of it has begun is gone on with, and never begun a second time.

Both runs have the same cause, under which the journal keeps what the first one intended. So a customer whose answer
got lost, in a crash or on the line, gets the answer of the first run.
"""

from collections.abc import Sequence

from attrs import frozen

from booking_payments.application.callers import Caller
from booking_payments.application.resolve import resolve_payment
from booking_payments.application.world import World
from booking_payments.domain import events as ev
from booking_payments.domain.errors import CardDeclined
from booking_payments.domain.payment import Payment
from booking_payments.ports.storage import UnitOfWork


@frozen
class Earlier:
    """An earlier run of the same request: its payment as it is now, the key that it sent, and how it ended, if it
    has."""

    payment: Payment
    idempotency_key: str
    end: ev.OperationSettled | None

    @property
    def is_under_way(self) -> bool:
        operation = self.payment.operation
        return operation is not None and operation.idempotency_key == self.idempotency_key


async def earlier_run(world: World, booking_id: str, caller: Caller) -> Earlier | None:
    """The earlier run of this request, settled first where that is still to be done.

    None where there was none, where it never came to an intention, and where the gateway did nothing of it, so that it
    can be begun anew. Raises what the caller is told, as the earlier run would have: ``CardDeclined``,
    ``OutcomeUnknown``, ``AlreadyUnderWay``.
    """
    earlier = await _look_back(world, booking_id, caller) if caller.resumed else None
    if earlier is not None and earlier.is_under_way:
        error = await resolve_payment(world, earlier.payment.id)
        if error is not None:
            raise error
        earlier = await _look_back(world, booking_id, caller)
    return _told(earlier) if earlier is not None else None


def _told(earlier: Earlier) -> Earlier | None:
    for attempt in earlier.payment.attempts:
        if attempt.idempotency_key == earlier.idempotency_key and attempt.decline is not None:
            raise CardDeclined(attempt.decline)
    refused = earlier.end is not None and earlier.end.refusal is not None
    return None if refused else earlier


async def _look_back(world: World, booking_id: str, caller: Caller) -> Earlier | None:
    async def look(uow: UnitOfWork) -> Earlier | None:
        caller.require(await uow.bookings.get(booking_id))
        for payment in await uow.payments.of_booking(booking_id):
            found = _in_journal(payment, await uow.payments.journal(payment.id), caller.cause)
            if found is not None:
                return found
        return None

    return await world.storage.read(look)


def _in_journal(payment: Payment, journal: Sequence[ev.Recorded], cause: str) -> Earlier | None:
    """The first thing that was intended under this cause: what followed from it has the same one."""
    facts = [recorded.fact for recorded in journal if recorded.cause == cause]
    intended = next((fact for fact in facts if isinstance(fact, ev.OperationIntended)), None)
    if intended is None:
        return None
    ends = [recorded.fact for recorded in journal if isinstance(recorded.fact, ev.OperationSettled)]
    key = intended.idempotency_key
    return Earlier(payment, key, next((end for end in ends if end.idempotency_key == key), None))
