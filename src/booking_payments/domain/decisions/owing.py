"""What is to go back to a customer: what a refund would give, what a canceled booking owes, and late money."""

from datetime import datetime

import attrs

from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking, BookingStatus
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money, total
from booking_payments.domain.payment import Payment
from booking_payments.domain.refunds import Owed, RefundQuote


def quote(
    payment: Payment, booking: Booking, now: datetime, amount: Money | None, *, in_full: bool = False
) -> RefundQuote:
    """What refunding ``amount`` (None: all that can come back) would give at ``now``.

    ``in_full``: the organizer cancels, and all comes back, fee included. Late money comes back so by itself, and as
    well when somebody has to ask for it again.
    """
    refundable = attrs.evolve(payment.refundable, owed=owed_back(payment, booking))
    return refundable.quote(now, amount, organizer_canceled=in_full or payment.late)


def owed_back(payment: Payment, booking: Booking) -> Owed | None:
    """What a canceled booking was to give back and does not; None when that is nothing.

    Who has given the seat up gets what was said then, or later, however late it turns out that it did not reach them.
    What their bank has taken back by a dispute counts. While a call is in flight or the payment is disputed nobody
    knows yet.
    """
    promised, given = payment.promised, payment.given_back
    if booking.status is not BookingStatus.CANCELED or payment.operation is not None or payment.disputed:
        return None
    taken = total((dispute.withdrawn for dispute in payment.disputes), given.amount.currency)
    if promised is None or promised.amount <= given.amount + taken:
        return None
    amount, zero = promised.amount - given.amount - taken, Money.zero(given.fee.currency)
    return Owed(amount=amount, fee=min(max(promised.fee - given.fee, zero), amount))


def owes_late_refund(payment: Payment) -> bool:
    """True for money that came for a closed booking and that nobody has sent back yet.

    Once a refund was asked for, a person decides about what became of it.
    """
    asked = any(refund.origin is ev.Origin.SERVER for refund in payment.refunds)
    idle = payment.operation is None and not payment.disputed
    return payment.late and payment.status is PaymentStatus.SUCCEEDED and idle and not asked
