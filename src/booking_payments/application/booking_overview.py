"""Everything stored about one booking, for an operator who is about to change it."""

from attrs import frozen

from booking_payments.application.auditing import newest_audit
from booking_payments.domain.booking import Booking, money_left
from booking_payments.domain.errors import NotFound
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money, total
from booking_payments.domain.payment import Payment, payment_of_booking
from booking_payments.ports.audit import AuditRecord
from booking_payments.ports.storage import Storage
from booking_payments.ports.unit_of_work import UnitOfWork


@frozen(kw_only=True)
class BookingOverview:
    """A booking with its payments.

    Attributes:
        payments: newest first.
        audit: the newest commands about it.
        audit_cut: whether there are older ones.
    """

    booking: Booking
    payments: tuple[Payment, ...]
    audit: tuple[AuditRecord, ...]
    audit_cut: bool

    @property
    def payment(self) -> Payment | None:
        """The payment that the booking relies on; None while it has none."""
        return payment_of_booking(self.payments[::-1])

    @property
    def is_paid(self) -> bool:
        return self.payment is not None and self.payment.status is PaymentStatus.SUCCEEDED

    @property
    def owed(self) -> Money:
        """The refunds owed to the customer, of all payments."""
        return total((payment.owed.amount for payment in self.payments), self.booking.amount.currency)

    @property
    def money_left(self) -> Money:
        """The part of the price that was not refunded by refunds of single items."""
        return money_left(self.booking.amount, self.booking.items)


async def booking_overview(storage: Storage, booking_id: str) -> BookingOverview:
    """Return the overview of a booking, from one consistent snapshot. Raises ``NotFound``."""

    async def work(uow: UnitOfWork) -> BookingOverview:
        booking = await uow.bookings.get(booking_id)
        if booking is None:
            raise NotFound()
        audit, audit_cut = await newest_audit(uow, booking_id)
        return BookingOverview(
            booking=booking,
            payments=tuple(reversed(await uow.payments.of_booking(booking_id))),
            audit=audit,
            audit_cut=audit_cut,
        )

    return await storage.read(work)
