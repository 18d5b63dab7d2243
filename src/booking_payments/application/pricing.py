"""What a booking would be charged now, and whether the gateway can charge it."""

from booking_payments.application.dependencies import Dependencies
from booking_payments.domain.booking import Booking
from booking_payments.domain.errors import NotPossibleNow, RefusedByRule
from booking_payments.domain.fees import FeeBreakdown
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Payment


def price_now(deps: Dependencies, booking: Booking) -> FeeBreakdown:
    """How the charge for ``booking`` at ``deps.gateway`` divides under the terms of this moment. A free booking has no
    fee either."""
    return deps.config.fees.of_booking(booking.amount, deps.gateway.amount_step(booking.amount.currency))


def price_shown(deps: Dependencies, booking: Booking, payment: Payment | None) -> FeeBreakdown:
    """Return the price that a checkout shows: that of the booking's payment, or that of one that would begin now.

    A canceled payment of a live booking is followed by a new one, so its price no longer counts.
    """
    if payment is None or (payment.status is PaymentStatus.CANCELED and booking.status.is_live):
        return price_now(deps, booking)
    return payment.breakdown


def require_expected(deps: Dependencies, booking: Booking, payment: Payment | None, expected: Money | None) -> None:
    """Raise ``NotPossibleNow`` (``price_changed``) unless a checkout would show the ``expected`` price; None: any.

    It is called with the booking locked, so that no amendment comes between the comparison and the charge.
    """
    if expected is not None and expected != price_shown(deps, booking, payment).gross:
        message = "the price of this booking has changed; look at it again, then pay"
        raise NotPossibleNow(message, code="price_changed")


def require_chargeable(deps: Dependencies, booking: Booking) -> None:
    """Raise ``RefusedByRule``, with the default gateway's code, for a booking whose charge no gateway of this
    installation can take: too small, too large, not expressible. What counts is what the customer is charged, the fee
    included where they pay it."""
    refusals: list[RefusedByRule] = []
    for each in deps.each_gateway():
        try:
            each.gateway.check_charge(price_now(each, booking).gross)
        except RefusedByRule as refused:
            refusals.append(refused)
        else:
            return
    raise refusals[0]
