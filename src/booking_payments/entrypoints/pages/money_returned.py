"""What the checkout says about money of a payment that was returned, is on its way back, or is claimed by a bank."""

from collections.abc import Iterator

from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.payment import Dispute, Payment
from booking_payments.presentation.formatting import money


def is_undisturbed(payment: Payment | None) -> bool:
    """True while the merchant has the whole payment: nothing refunded, promised or disputed."""
    return payment is None or not (payment.given_back.amount or payment.owed.amount or payment.disputes)


def has_nothing_left(payment: Payment) -> bool:
    """True when refunds and withdrawals of the bank amount to the whole charge, so that no refund can be requested."""
    return payment.given_back.amount + payment.held_by_disputes >= payment.amount


def sentences_about(payment: Payment, *, closed: bool) -> Iterator[str]:
    """Yield one sentence for each sum that the merchant does not keep, and for each dispute.

    With ``closed`` the booking has ended, so that the sentences also say what happens to money that is not collected
    yet, and that nothing is refunded.
    """
    if payment.status is PaymentStatus.PROCESSING and closed:
        yield "Your bank is still working on the payment. If it goes through, the money is returned to you."
        return
    if payment.status is PaymentStatus.REQUIRES_CAPTURE and closed:
        yield f"Your bank still holds {money(payment.authorized)} for it. The hold is being released; you pay nothing."
        return
    refunded, pending, owed = payment.refunded, payment.refund_pending, payment.owed.amount
    if refunded == payment.amount:
        yield f"The whole payment of {money(refunded)} has been refunded."
    elif refunded:
        yield f"{money(refunded)} has been refunded."
    if pending:
        yield f"A refund of {money(pending)} is on its way; that takes five to ten days."
    if owed:
        yield f"{money(owed)} is owed to you and has not been sent yet."
    yield from map(_about_dispute, payment.disputes)
    if closed and is_undisturbed(payment):
        yield f"The payment of {money(payment.amount)} is not refunded. Please ask where you booked if you expected it."


def _about_dispute(dispute: Dispute) -> str:
    if dispute.is_open and dispute.status.is_inquiry:
        return "Your bank has asked for information about this payment."
    if dispute.is_open:
        return f"You or your bank disputed {money(dispute.amount)} of this payment; your bank has not decided yet."
    if dispute.taken:
        return f"Your bank has taken back {money(dispute.taken)} of this payment."
    return "A dispute about this payment is closed."
