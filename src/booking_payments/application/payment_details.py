"""Everything stored about one payment, for operators: in the console and on the command line."""

from datetime import datetime

from attrs import frozen

from booking_payments.application.auditing import newest_audit
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
    """Everything stored about a payment, at the time ``at``.

    Attributes:
        at: the time.
        payment: the payment.
        booking: its booking.
        journal: its events, oldest first.
        postings: its postings in the ledger.
        others: the other payments of the booking.
        audit: the newest audit records of the booking.
        audit_cut: whether there are older ones.
        quote: the quote for a refund of everything that the rules allow.
        overriding: the quote for an operator who overrides the refund rules.
    """

    at: datetime

    payment: Payment
    booking: Booking
    journal: tuple[Recorded, ...]
    postings: tuple[Posting, ...]
    others: tuple[Payment, ...]
    audit: tuple[AuditRecord, ...]
    audit_cut: bool
    quote: RefundQuote
    overriding: RefundQuote

    @property
    def current(self) -> bool:
        """Whether this is the payment that holds its booking, or the newest if none does."""
        return self.payment.holds_booking or not any(
            each.holds_booking or each.created_at > self.payment.created_at for each in self.others
        )

    @property
    def most_refundable(self) -> RefundQuote:
        """The quote within the rules if they allow a refund, otherwise the one that overrides them."""
        return self.quote if self.quote.allowed else self.overriding


async def payment_details(storage: Storage, payment_id: str, now: datetime) -> PaymentDetails:
    """Return the details of a payment at the time ``now``. Raises ``NotFound`` when it does not exist."""

    async def work(uow: UnitOfWork) -> PaymentDetails:
        payment = await uow.payments.get(payment_id)
        booking = await uow.bookings.get(payment.booking_id) if payment else None
        if payment is None or booking is None:
            raise NotFound()
        audit, audit_cut = await newest_audit(uow, booking.id)
        return PaymentDetails(
            at=now,
            payment=payment,
            booking=booking,
            journal=tuple(await uow.payments.journal(payment_id)),
            postings=tuple(await uow.payments.postings(payment_id)),
            others=tuple(each for each in await uow.payments.of_booking(booking.id) if each.id != payment_id),
            audit=audit,
            audit_cut=audit_cut,
            quote=decisions.quote(payment, now, None, by_operator=True),
            overriding=decisions.quote(payment, now, None, override=True),
        )

    return await storage.read(work)


async def find_by_any_id(storage: Storage, text: str) -> Payment | None:
    """Return the payment with this id: its own, its booking's, a refund's, or one of the gateway's; None when
    no payment has it."""

    async def work(uow: UnitOfWork) -> Payment | None:
        found = await uow.payments.get(text) or await uow.payments.by_gateway_id(text)
        return found or next(iter(reversed(await uow.payments.of_booking(text))), None)

    return await storage.read(work)
