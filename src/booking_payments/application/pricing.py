"""What a booking would be charged now, and whether the gateway can charge it."""

from booking_payments.application.world import World
from booking_payments.domain.booking import Booking
from booking_payments.domain.fees import FeeBreakdown


def price_now(world: World, booking: Booking) -> FeeBreakdown:
    """How the charge for ``booking`` divides under the terms of this moment. A free booking has no fee either."""
    return world.config.fees.of_booking(booking.amount, world.gateway.amount_step(booking.amount.currency))


def require_chargeable(world: World, booking: Booking) -> None:
    """Raise ``RefusedByRule``, with the gateway's code, for a booking whose charge the gateway can't take: too small,
    too large, not expressible. What counts is what the customer is charged, the fee included where they pay it."""
    world.gateway.check_charge(price_now(world, booking).gross)
