"""A refund of single items is one request: repeated, it gives no second unit back, and refused, it gives none up."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from booking_payments.adapters.unit_of_work import gateway_ids
from booking_payments.application.callers import Caller
from booking_payments.application.views import RefundView
from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking, BookingStatus, EndReason, ItemCount
from booking_payments.domain.errors import GatewayRefusedUs, OutcomeUnknown, RefusedByRule, TryAgainLater
from booking_payments.domain.lifecycle import RefundStatus
from booking_payments.domain.money import Money
from booking_payments.domain.refunds import RefundOnCancel, RefundPolicy, RefundTier
from booking_payments.ports.gateway import GatewayRefused, NotSent
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit
from tests.payments import pay
from tests.unit.application.failing_gateway import FailingGateway, PowerCut, use_gateway

KEY = "0123456789abcdef"
REFUND = "POST /v1/refunds"
ONE = (ItemCount(id="adult", quantity=1),)
SEATS = {"adult": (3, "25.00")}
CALLERS = pytest.mark.parametrize("caller", [ANN, OPERATOR], ids=["customer", "operator"])


def failing(kit: PaymentsTestKit, error: BaseException) -> FailingGateway:
    """Have the gateway answer refunds with ``error``; returns it."""
    gateway = FailingGateway(kit, create_refund=[error] * 9)
    use_gateway(kit, gateway)
    return gateway


async def paid(kit: PaymentsTestKit, **booking: Any) -> Booking:
    booking = {"items": SEATS, **booking}
    registered = await kit.book(**booking)
    await pay(kit, registered)
    await kit.deliver_webhooks()
    return await kit.payments.get_booking(registered.id)


async def refund(
    kit: PaymentsTestKit, booking: Booking, caller: Caller, items: Sequence[ItemCount] = ONE, **more: Any
) -> RefundView:
    return await kit.payments.refund_payment(booking.id, caller, items=items, **more)


async def left(kit: PaymentsTestKit, booking: Booking) -> int:
    """The number of units whose money has not gone back."""
    items = (await kit.payments.get_booking(booking.id)).items
    return sum(item.quantity - item.refunded for item in items)


async def sent(kit: PaymentsTestKit, booking: Booking) -> list[int]:
    """The amounts of the refunds that the gateway has."""
    intent = (await kit.payments.payment_status(booking.id)).payment.intent_id
    found = kit.stripe.call("GET", "/v1/refunds", {"payment_intent": intent, "limit": 100}).body["data"]
    return [each["amount"] for each in found]


async def owed(kit: PaymentsTestKit, booking: Booking) -> Money:
    return (await kit.payments.payment_status(booking.id)).payment.owed.amount


async def die() -> None:
    raise PowerCut


@CALLERS
@pytest.mark.parametrize("settled", [False, True], ids=["unknown", "settled meanwhile"])
async def test_a_repeated_refund_of_items_whose_outcome_was_unknown_is_the_first_one(
    kit: PaymentsTestKit, caller: Caller, settled: bool
) -> None:
    booking = await paid(kit)
    kit.stripe.faults.script(REFUND, "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await refund(kit, booking, caller)
    assert await left(kit, booking) == 2, "the money may have gone back, so the unit is given back"
    kit.clock.advance(timedelta(minutes=5))
    if settled:
        await kit.settle()

    again = await refund(kit, booking, caller, idempotency_key=KEY)

    assert (again.replayed, again.refund.amount.major(), await left(kit, booking)) == (True, "25.00", 2)
    assert await sent(kit, booking) == [2500]
    assert not (await refund(kit, booking, caller)).replayed, (
        "its outcome was received, so the next one is a new request"
    )
    assert await left(kit, booking) == 1


async def test_the_repetition_of_the_last_unit_finds_its_refund_although_the_booking_is_canceled(
    kit: PaymentsTestKit,
) -> None:
    booking = await paid(kit, items={"adult": (1, "25.00")})
    kit.stripe.faults.script(REFUND, "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await refund(kit, booking, ANN)
    kit.clock.advance(timedelta(minutes=5))

    again = await refund(kit, booking, ANN)

    assert (again.replayed, again.refund.amount.major()) == (True, "25.00")
    assert (await kit.payments.get_booking(booking.id)).status is BookingStatus.CANCELED


@pytest.mark.parametrize("key", [None, KEY], ids=["another request", "the same key"])
async def test_after_a_crash_the_repeated_refund_of_items_is_the_first_one(
    kit: PaymentsTestKit, key: str | None
) -> None:
    booking = await paid(kit)
    kit.stripe.faults.script(REFUND, "slow", times=1)
    kit.clock.meanwhile(die)
    with pytest.raises(PowerCut):
        await refund(kit, booking, OPERATOR, idempotency_key=KEY)
    kit.clock.advance(timedelta(minutes=3))

    again = await refund(kit, booking, OPERATOR, idempotency_key=key)

    assert (again.replayed, await left(kit, booking), await sent(kit, booking)) == (True, 2, [2500])


@CALLERS
@pytest.mark.parametrize("units", [1, 3], ids=["one unit", "all"])
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (NotSent("down", code="connection_refused"), TryAgainLater),
        (GatewayRefused("no", code="balance_insufficient"), GatewayRefusedUs),
    ],
    ids=["not sent", "refused"],
)
async def test_a_refund_of_items_that_did_not_go_out_gives_no_unit_up_and_can_be_tried_again(
    kit: PaymentsTestKit, caller: Caller, units: int, error: BaseException, told: type[Exception]
) -> None:
    gateway = failing(kit, error)
    booking = await paid(kit)
    items = (ItemCount(id="adult", quantity=units),)
    with pytest.raises(told):
        await refund(kit, booking, caller, items, idempotency_key=KEY)
    assert await kit.payments.get_booking(booking.id) == booking
    assert (await left(kit, booking), (await owed(kit, booking)).minor) == (3, 0)
    gateway.failures.clear()

    done = await refund(kit, booking, caller, items, idempotency_key=KEY)
    await kit.settle()

    assert (done.replayed, done.refund.amount.minor) == (False, 2500 * units)
    assert (await left(kit, booking) % 3, await sent(kit, booking)) == ((3 - units) % 3, [2500 * units])
    assert not (await kit.payments.check_ledger()).faults


async def test_the_deadline_of_a_refund_of_items_that_never_went_out_is_that_of_its_first_request(
    kit: PaymentsTestKit,
) -> None:
    gateway = failing(kit, NotSent("down", code="connection_refused"))
    booking = await paid(kit, starts_in=timedelta(hours=1))
    with pytest.raises(TryAgainLater):
        await refund(kit, booking, ANN)
    gateway.failures.clear()
    kit.clock.advance(timedelta(hours=2))

    assert (await refund(kit, booking, ANN)).refund.amount.major() == "25.00"
    with pytest.raises(RefusedByRule):
        await refund(kit, booking, ANN)


async def test_requests_of_other_items_other_callers_and_amounts_are_other_requests(kit: PaymentsTestKit) -> None:
    booking = await paid(kit, items={"adult": (2, "25.00"), "child": (2, "10.00")})
    kit.stripe.faults.script(REFUND, "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await refund(kit, booking, OPERATOR)
    kit.clock.advance(timedelta(minutes=5))

    others = [
        await refund(kit, booking, OPERATOR, (ItemCount(id="child", quantity=1),)),
        await refund(kit, booking, Caller.operator_of("otto", "t")),
        await kit.payments.refund_payment(booking.id, OPERATOR),
    ]

    assert [(each.replayed, each.refund.amount.minor) for each in others] == [
        (False, 1000),
        (False, 2500),
        (False, 1000),
    ]


async def test_a_refund_of_items_that_a_dispute_defers_gives_the_units_back_at_once(kit: PaymentsTestKit) -> None:
    booking = await paid(kit)
    intent = (await kit.payments.payment_status(booking.id)).payment.intent_id or ""
    dispute = kit.stripe.open_dispute(intent, amount=2500).body
    await kit.settle()

    deferred = await refund(kit, booking, ANN)
    assert (deferred.refund.status, await left(kit, booking)) == (RefundStatus.PENDING, 2)
    kit.stripe.move_dispute(dispute["id"], "won")
    await kit.settle()

    assert await sent(kit, booking) == [2500]


async def test_a_booking_that_is_canceled_while_a_seat_is_refunded_stays_canceled(kit: PaymentsTestKit) -> None:
    booking = await paid(kit)
    kit.stripe.faults.script(REFUND, "slow", times=1)

    async def cancel() -> None:
        await kit.payments.cancel_booking(booking.id, OPERATOR, refund=RefundOnCancel.FULL)

    kit.clock.meanwhile(cancel)
    await refund(kit, booking, ANN)
    await kit.settle()

    after = await kit.payments.get_booking(booking.id)
    assert (after.status, [item.quantity for item in after.items]) == (BookingStatus.CANCELED, [3])
    assert sorted(await sent(kit, booking)) == [2500, 5000]


async def test_the_booking_changes_in_the_transaction_that_records_the_refund_as_accepted(kit: PaymentsTestKit) -> None:
    booking = await paid(kit)
    await refund(kit, booking, ANN)

    kinds = [type(each.event) for each in await kit.payments.journal(booking.id)]
    order = (ev.RefundRequested, ev.OperationIntended, ev.RefundLinked, ev.BookingAmended)
    assert [kind for kind in kinds[-12:] if kind in order][-4:] == list(order)
    payment = (await kit.payments.payment_status(booking.id)).payment
    assert [each.change for each in payment.refunds] == [None]


# --- the booking after a customer's refund of items ----------------------------------------------------------------

FAMILY = {"adult": (2, "30.00"), "child": (1, "10.00"), "baby": (1, "0.00")}


async def reasons(kit: PaymentsTestKit) -> list[object]:
    """The reasons of the messages that a booking was canceled."""
    await kit.settle()
    return [each.data["reason"] for each in kit.publisher.published if each.type == "booking.canceled"]


@pytest.mark.parametrize("goodwill", [{"items": [ItemCount(id="child")]}, {"amount": "10.00"}], ids=["item", "amount"])
async def test_a_customers_refund_of_items_cancels_no_seat_that_was_not_named(
    kit: PaymentsTestKit, goodwill: dict[str, Any]
) -> None:
    booking = await paid(kit, items=FAMILY)
    await kit.payments.refund_payment(booking.id, OPERATOR, **goodwill)

    await refund(kit, booking, ANN, [ItemCount(id="adult")])

    after = await kit.payments.get_booking(booking.id)
    assert (after.status, [item.id for item in after.items]) == (BookingStatus.CONFIRMED, ["child", "baby"])
    assert sum(await sent(kit, booking)) == 7000


async def test_a_free_seat_that_was_not_named_stays_booked(kit: PaymentsTestKit) -> None:
    booking = await paid(kit, items=FAMILY)

    await refund(kit, booking, ANN, [ItemCount(id="adult"), ItemCount(id="child")])

    after = await kit.payments.get_booking(booking.id)
    assert (after.status, [item.id for item in after.items]) == (BookingStatus.CONFIRMED, ["baby"])
    given_up = await kit.payments.cancel_booking(booking.id, ANN, items=[ItemCount(id="baby")])
    assert given_up.status is BookingStatus.CANCELED


@pytest.mark.parametrize("steps", [[3], [1, 2], [1, 1, 1]], ids=["at once", "in two steps", "one after the other"])
async def test_a_booking_whose_items_are_all_refunded_is_canceled_as_refunded(
    kit: PaymentsTestKit, steps: list[int]
) -> None:
    booking = await paid(kit)

    for quantity in steps:
        await refund(kit, booking, ANN, [ItemCount(id="adult", quantity=quantity)])

    after = await kit.payments.get_booking(booking.id)
    assert (after.status, after.end_reason) == (BookingStatus.CANCELED, EndReason.REFUNDED)
    assert await reasons(kit) == ["refunded"]


async def test_a_booking_whose_last_item_is_refunded_in_part_is_canceled_without_that_reason(
    kit: PaymentsTestKit,
) -> None:
    half = RefundPolicy(tiers=(RefundTier(hours_before=1, percent=Decimal(50)),))
    booking = await paid(kit, refund_policy=half)

    await refund(kit, booking, ANN, [ItemCount(id="adult")])

    after = await kit.payments.get_booking(booking.id)
    assert (after.status, after.end_reason) == (BookingStatus.CANCELED, None)


async def test_a_refund_that_is_deferred_and_sent_again_keeps_its_place_among_the_ids_of_its_payment(
    kit: PaymentsTestKit,
) -> None:
    booking = await paid(kit)
    failing(kit, NotSent("down", code="connection_refused"))

    await kit.payments.cancel_booking(booking.id, OPERATOR, refund=RefundOnCancel.FULL)

    payment = (await kit.payments.payment_status(booking.id)).payment
    assert [each.id for each in payment.deferred] == [each for each in gateway_ids(payment) if each.startswith("rf_")]
