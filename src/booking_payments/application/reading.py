"""Reading bookings and payments for commands and queries."""

from collections.abc import Sequence

from attrs import frozen

from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import Dependencies
from booking_payments.application.views import PaymentView
from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking
from booking_payments.domain.errors import NotFound
from booking_payments.domain.payment import Payment, payment_of_booking
from booking_payments.ports.unit_of_work import UnitOfWork


async def current_payment(uow: UnitOfWork, booking_id: str) -> Payment | None:
    """Return the payment that holds the booking, or else its newest; None while no payment was started."""
    return payment_of_booking(await uow.payments.of_booking(booking_id))


async def load(uow: UnitOfWork, payment_id: str) -> tuple[Booking, Payment]:
    """Lock the payment's booking, and return both. Raises ``NotFound`` for an unknown payment."""
    seen = await uow.payments.get(payment_id)
    booking = await uow.bookings.lock(seen.booking_id) if seen else None
    payment = await uow.payments.get(payment_id) if booking else None  # as it is under the lock
    if booking is None or payment is None:
        raise NotFound()
    return booking, payment


@frozen(kw_only=True)
class Target:
    """The object of a command or query. Exactly one of the two ids is set.

    Attributes:
        booking_id: a booking, and its current payment.
        payment_id: one payment; a newer payment of the same booking may hold the booking.
    """

    booking_id: str | None = None
    payment_id: str | None = None

    async def booking_of(self, uow: UnitOfWork) -> str:
        """Return the id of the booking. Raises ``NotFound`` for an unknown payment."""
        if self.booking_id is not None:
            return self.booking_id
        payment = await uow.payments.get(self.payment_id or "")
        if payment is None:
            raise NotFound()
        return payment.booking_id

    async def find_payment(self, uow: UnitOfWork, booking_id: str) -> Payment | None:
        """Return the payment; None when it does not exist. ``booking_id`` is the result of ``booking_of``."""
        if self.payment_id is not None:
            return await uow.payments.get(self.payment_id)
        return await current_payment(uow, booking_id)

    async def payment_of(self, uow: UnitOfWork, booking_id: str) -> Payment:
        """Return the payment, as ``find_payment``. Raises ``NotFound`` when it does not exist."""
        payment = await self.find_payment(uow, booking_id)
        if payment is None:
            raise NotFound()
        return payment


async def payment_view(deps: Dependencies, target: Target, caller: Caller) -> PaymentView:
    """Return the payment as stored, with its front-end data.

    Raises ``NotFound`` where no payment was started, or its booking does not exist for this caller.
    """

    async def work(uow: UnitOfWork) -> PaymentView:
        booking_id = await target.booking_of(uow)
        caller.require(await uow.bookings.get(booking_id))
        payment = await target.payment_of(uow, booking_id)
        return PaymentView(payment=payment, client_action=await uow.payments.client_action(payment.id))

    return await deps.storage.read(work)


async def payment_status(deps: Dependencies, booking_id: str, caller: Caller) -> PaymentView:
    """Return the booking's current payment as stored. Raises ``NotFound`` as ``payment_view``."""
    return await payment_view(deps, Target(booking_id=booking_id), caller)


async def journal(deps: Dependencies, booking_id: str, caller: Caller) -> Sequence[ev.Recorded]:
    """Return all events of the booking's current payment, oldest first. Raises ``NotFound`` as ``payment_view``."""
    view = await payment_status(deps, booking_id, caller)
    return await deps.storage.read(lambda uow: uow.payments.journal(view.payment.id))
