"""A repeated refund of single items over an SQL database, which keeps the request and its units with the refund."""

from datetime import timedelta

import pytest

from booking_payments.domain.booking import ItemCount
from booking_payments.domain.errors import OutcomeUnknown
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.payments import pay
from tests.unit.application.failing_gateway import PowerCut

ONE = (ItemCount(id="adult", quantity=1),)


@pytest.mark.parametrize("died", [False, True], ids=["unknown", "crashed"])
async def test_a_repeated_refund_of_an_item_gives_no_second_unit_back(kit: PaymentsTestKit, died: bool) -> None:
    booking = await kit.book(items={"adult": (3, "25.00")})
    await pay(kit, booking)

    async def die() -> None:
        raise PowerCut

    if died:
        kit.stripe.faults.script("POST /v1/refunds", "slow", times=1)
        kit.clock.meanwhile(die)
    else:
        kit.stripe.faults.script("POST /v1/refunds", "timeout_after", times=3)
    with pytest.raises((OutcomeUnknown, PowerCut)):
        await kit.payments.refund_payment(booking.id, ANN, items=ONE)
    kit.clock.advance(timedelta(minutes=5))

    again = await kit.payments.refund_payment(booking.id, ANN, items=ONE)

    left = (await kit.payments.get_booking(booking.id)).items
    assert (again.replayed, again.refund.amount.major(), left[0].quantity) == (True, "25.00", 2)
