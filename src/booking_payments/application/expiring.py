"""The message ``booking.expiring``: a hold is about to end, so that the booking app can remind its customer.

Each booking is announced once, by one of the processes that do background work, when
``PaymentConfig.expiring_notice`` or less is left. Bookings that are paid or ended, and those whose payment is being
processed or is authorized, are not announced, since the customer has nothing to do. The stored message is the record
that a booking was announced. The expiry itself is in ``application.bookings.expire_bookings``.
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
    """Store ``booking.expiring`` for up to ``ANNOUNCE_AT_ONCE`` holds that end soon; returns how many were processed.

    Raises:
        ExceptionGroup: At the end, with the errors of single bookings.
    """
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
        # Another process may have announced it, or it may have been paid or ended, before it was locked.
        if booking is None or not await uow.bookings.due_to_warn(now, until, 1, booking_id):
            return
        payment = await current_payment(uow, booking_id)
        recorder = Recorder(deps, uow, booking, payment, Caller.system("expiry"))
        await recorder.add_message(EXPIRING, {"expires_at": booking.expires_at.isoformat()})

    await deps.storage.transact(work)
