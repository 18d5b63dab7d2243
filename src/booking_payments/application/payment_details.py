"""All that is kept of one payment, for a person who looks into it: in the console and on the command line."""

from datetime import datetime

from attrs import frozen

from booking_payments.domain import decisions
from booking_payments.domain.booking import Booking
from booking_payments.domain.errors import NotFound
from booking_payments.domain.events import Recorded
from booking_payments.domain.ledger import Posting
from booking_payments.domain.payment import Payment
from booking_payments.domain.refunds import RefundQuote
from booking_payments.ports.audit import AuditRecord
from booking_payments.ports.storage import Storage
from booking_payments.ports.unit_of_work import UnitOfWork


@frozen(kw_only=True)
class PaymentDetails:
    """All that is kept of a payment, as of ``at``.

    ``quote`` is of all that can come back; ``overriding`` the same for an operator who passes over the refund rules.
    ``current``: it is the payment that its booking counts on.
    """

    at: datetime

    payment: Payment
    booking: Booking
    journal: tuple[Recorded, ...]
    postings: tuple[Posting, ...]
    others: tuple[Payment, ...]
    audit: tuple[AuditRecord, ...]
    quote: RefundQuote
    overriding: RefundQuote

    @property
    def current(self) -> bool:
        return self.payment.holds_booking or not any(
            each.holds_booking or each.created_at > self.payment.created_at for each in self.others
        )

    @property
    def most_refundable(self) -> RefundQuote:
        """What an operator can give back, by the rules where they allow anything, else past them."""
        return self.quote if self.quote.allowed else self.overriding


async def payment_details(storage: Storage, payment_id: str, now: datetime) -> PaymentDetails:
    """The details of a payment as of ``now``. Raises ``NotFound``."""

    async def work(uow: UnitOfWork) -> PaymentDetails:
        payment = await uow.payments.get(payment_id)
        booking = await uow.bookings.get(payment.booking_id) if payment else None
        if payment is None or booking is None:
            raise NotFound()
        return PaymentDetails(
            at=now,
            payment=payment,
            booking=booking,
            journal=tuple(await uow.payments.journal(payment_id)),
            postings=tuple(await uow.payments.postings(payment_id)),
            others=tuple(each for each in await uow.payments.of_booking(booking.id) if each.id != payment_id),
            audit=tuple(await uow.audit.latest(20, booking.id)),
            quote=decisions.quote(payment, now, None),
            overriding=decisions.quote(payment, now, None, override=True),
        )

    return await storage.read(work)


async def find_by_any_id(storage: Storage, text: str) -> Payment | None:
    """The payment with this id: ours, its booking's, or any of the gateway's. None when there is none."""

    async def work(uow: UnitOfWork) -> Payment | None:
        found = await uow.payments.get(text) or await uow.payments.by_gateway_id(text)
        return found or next(iter(reversed(await uow.payments.of_booking(text))), None)

    return await storage.read(work)
