"""What the checkout says about money of a payment that was returned, is on its way back, or is claimed by a bank."""

from collections.abc import Iterator

from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.payment import Dispute, Payment
from booking_payments.entrypoints.pages.language import Language


def is_undisturbed(payment: Payment | None) -> bool:
    """True while the merchant has the whole payment: nothing refunded, promised or disputed."""
    return payment is None or not (payment.given_back.amount or payment.owed.amount or payment.disputes)


def has_nothing_left(payment: Payment) -> bool:
    """True when refunds and withdrawals of the bank amount to the whole charge, so that no refund can be requested."""
    return payment.given_back.amount + payment.held_by_disputes >= payment.amount


def sentences_about(payment: Payment, language: Language, *, closed: bool) -> Iterator[str]:
    """Yield one sentence for each sum that the merchant does not keep, and for each dispute.

    With ``closed`` the booking has ended, so that the sentences also say what happens to money that is not collected
    yet, and that nothing is refunded.
    """
    gettext, money = language.gettext, language.money
    if payment.status is PaymentStatus.PROCESSING and closed:
        yield gettext("Your bank is still working on the payment. If it goes through, the money is returned to you.")
        return
    if payment.status is PaymentStatus.REQUIRES_CAPTURE and closed:
        held = money(payment.authorized)
        yield gettext(
            "Your bank still holds %(amount)s for it. The hold is being released; you pay nothing.", amount=held
        )
        return
    refunded, pending, owed = payment.refunded, payment.refund_pending, payment.owed.amount
    if refunded == payment.amount:
        yield gettext("The whole payment of %(amount)s has been refunded.", amount=money(refunded))
    elif refunded:
        yield gettext("%(amount)s has been refunded.", amount=money(refunded))
    if pending:
        yield gettext("A refund of %(amount)s is on its way; that takes five to ten days.", amount=money(pending))
    if owed:
        yield gettext("%(amount)s is owed to you and has not been sent yet.", amount=money(owed))
    for dispute in payment.disputes:
        yield _about_dispute(dispute, language)
    if closed and is_undisturbed(payment):
        kept = money(payment.amount)
        yield gettext(
            "The payment of %(amount)s is not refunded. Please ask where you booked if you expected it.", amount=kept
        )


def _about_dispute(dispute: Dispute, language: Language) -> str:
    gettext = language.gettext
    if dispute.is_open and dispute.status.is_inquiry:
        return gettext("Your bank has asked for information about this payment.")
    if dispute.is_open:
        claimed = language.money(dispute.amount)
        return gettext(
            "You or your bank disputed %(amount)s of this payment; your bank has not decided yet.", amount=claimed
        )
    if dispute.taken:
        return gettext("Your bank has taken back %(amount)s of this payment.", amount=language.money(dispute.taken))
    return gettext("A dispute about this payment is closed.")
