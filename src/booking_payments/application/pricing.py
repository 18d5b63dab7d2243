"""What a booking would be charged now, and whether the gateway can charge it."""

from booking_payments.application.dependencies import Dependencies
from booking_payments.domain.booking import Booking
from booking_payments.domain.errors import RefusedByRule
from booking_payments.domain.fees import FeeBreakdown


def price_now(deps: Dependencies, booking: Booking) -> FeeBreakdown:
    """How the charge for ``booking`` at ``deps.gateway`` divides under the terms of this moment. A free booking has no
    fee either."""
    return deps.config.fees.of_booking(booking.amount, deps.gateway.amount_step(booking.amount.currency))


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
