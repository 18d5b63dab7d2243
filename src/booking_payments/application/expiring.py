"""Telling the booking app that a hold is about to end, so that it can remind its customer.

Each booking is announced once, by one of the processes that do background work, when
``PaymentConfig.expiring_notice`` or less is left. Bookings that are paid, ended, or whose payment is being processed or
is authorized, are not announced: nobody has to do anything about them. The message is its own record: a booking that
has one is not announced again.
"""

from collections.abc import Sequence
from typing import Final

from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.passes import through_queue
from booking_payments.application.reading import current_payment
from booking_payments.application.recording import Recorder
from booking_payments.ports.unit_of_work import UnitOfWork

EXPIRING: Final = "booking.expiring"
ANNOUNCE_AT_ONCE: Final = 100


async def announce_expiring(deps: Dependencies) -> int:
    """Write ``booking.expiring`` for the holds that end soon, ``ANNOUNCE_AT_ONCE`` of them beside those that break;
    returns how many were found. Raises an ``ExceptionGroup`` in the end of what broke."""
    now, notice = deps.clock.now(), deps.config.expiring_notice
    if not notice:
        return 0

    async def ending(limit: int) -> Sequence[str]:
        return await deps.storage.read(lambda uow: uow.bookings.due_to_warn(now, now + notice, limit))

    async def announce(booking_id: str) -> None:
        await _announce(deps, booking_id)

    return await through_queue(ending, announce, at_once=ANNOUNCE_AT_ONCE)


async def _announce(deps: Dependencies, booking_id: str) -> None:
    now = deps.clock.now()
    until = now + deps.config.expiring_notice

    async def work(uow: UnitOfWork) -> None:
        booking = await uow.bookings.lock(booking_id)
        # Somebody else may have announced, paid or ended it before it was locked.
        if booking is None or not await uow.bookings.due_to_warn(now, until, 1, booking_id):
            return
        payment = await current_payment(uow, booking_id)
        recorder = Recorder(deps, uow, booking, payment, Caller.system("expiry"))
        await recorder.tell(EXPIRING, {"expires_at": booking.expires_at.isoformat()})

    await deps.storage.transact(work)
