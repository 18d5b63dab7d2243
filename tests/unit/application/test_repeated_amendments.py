"""Repeated and interleaved amendments: a cancellation of single items is carried out once, and each caller is told
whether the own amendment was made, whatever else happened to the booking."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from booking_payments.application.callers import Caller
from booking_payments.application.operations import carry_out
from booking_payments.domain.amendments import BookingChange
from booking_payments.domain.booking import Booking, BookingStatus, ItemCount
from booking_payments.domain.errors import OutcomeUnknown
from booking_payments.domain.money import Currency, Money
from booking_payments.ports.gateway import GatewayRefused
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit
from tests.payments import pay
from tests.unit.application.failing_gateway import FailingGateway, PowerCut, use_gateway

KEY = "0123456789abcdef"
REFUND = "POST /v1/refunds"
UPDATE = "POST /v1/payment_intents/{id}"
ONE = (ItemCount(id="adult", quantity=1),)
SEATS = {"adult": (3, "25.00")}


def usd(text: str) -> Money:
    return Money.parse(text, Currency.USD)


async def booked(kit: PaymentsTestKit, *, paid: bool, **booking: Any) -> Booking:
    registered = await kit.book(**{"items": SEATS, **booking})
    if paid:
        await pay(kit, registered)
        await kit.deliver_webhooks()
    else:
        await kit.payments.start_payment(registered.id, ANN)
    return registered


async def cancel(kit: PaymentsTestKit, booking: Booking, caller: Caller = OPERATOR, **more: Any) -> Booking:
    return await kit.payments.cancel_booking(booking.id, caller, items=ONE, **more)


def left(booking: Booking) -> int:
    return sum(item.quantity for item in booking.items)


@pytest.mark.parametrize("caller", [ANN, OPERATOR], ids=["customer", "operator"])
@pytest.mark.parametrize("settled", [False, True], ids=["unknown", "settled meanwhile"])
async def test_units_whose_cancellation_was_unknown_are_given_up_once(
    kit: PaymentsTestKit, caller: Caller, settled: bool
) -> None:
    booking = await booked(kit, paid=False)
    kit.stripe.faults.script(UPDATE, "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await cancel(kit, booking, caller)
    kit.clock.advance(timedelta(minutes=5))
    if settled:
        await kit.settle()

    assert left(await cancel(kit, booking, caller, idempotency_key=KEY)) == 2
    assert left(await cancel(kit, booking, caller)) == 1, "its outcome was received, so the next one is a new request"


async def test_the_repetition_for_the_last_unit_but_one_does_not_cancel_the_booking(kit: PaymentsTestKit) -> None:
    booking = await booked(kit, paid=False, items={"adult": (2, "25.00")})
    kit.stripe.faults.script(UPDATE, "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await cancel(kit, booking)
    kit.clock.advance(timedelta(minutes=5))

    again = await cancel(kit, booking)

    assert (again.status, left(again)) == (BookingStatus.PENDING, 1)


@pytest.mark.parametrize("key", [None, KEY], ids=["another request", "the same key"])
@pytest.mark.parametrize("paid", [False, True], ids=["unpaid", "paid"])
async def test_after_a_crash_a_repeated_cancellation_gives_no_second_unit_up(
    kit: PaymentsTestKit, paid: bool, key: str | None
) -> None:
    booking = await booked(kit, paid=paid)

    async def die() -> None:
        raise PowerCut

    kit.stripe.faults.script(REFUND if paid else UPDATE, "slow", times=1)
    kit.clock.meanwhile(die)
    with pytest.raises(PowerCut):
        await cancel(kit, booking, idempotency_key=KEY)
    kit.clock.advance(timedelta(minutes=3))

    again = await cancel(kit, booking, idempotency_key=key)
    await kit.settle()

    assert left(again) == 2
    assert left(await kit.payments.get_booking(booking.id)) == 2


async def test_a_refused_refund_of_canceled_units_is_answered_as_owed(kit: PaymentsTestKit) -> None:
    refused = GatewayRefused("no", code="balance_insufficient")
    gateway = FailingGateway(kit, create_refund=[refused] * 9)
    use_gateway(kit, gateway)
    booking = await booked(kit, paid=True)

    assert left(await cancel(kit, booking, idempotency_key=KEY)) == 2
    assert (await kit.payments.describe_booking(booking.id)).refund_owed == usd("25.00")
    assert left(await cancel(kit, booking, idempotency_key=KEY)) == 2
    assert left(await cancel(kit, booking)) == 1, "an answered request may be made again"


async def test_other_units_another_refund_and_another_caller_are_other_requests(kit: PaymentsTestKit) -> None:
    booking = await booked(kit, paid=False, items={"adult": (4, "25.00")})
    kit.stripe.faults.script(UPDATE, "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await cancel(kit, booking)
    kit.clock.advance(timedelta(minutes=5))

    assert left(await cancel(kit, booking, Caller.operator_of("otto", "t"))) == 2
    assert left(await cancel(kit, booking)) == 2, "this one repeats the first"


async def test_an_unanswered_request_is_forgotten_after_a_day(kit: PaymentsTestKit) -> None:
    booking = await booked(kit, paid=False)
    kit.stripe.faults.script(UPDATE, "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await cancel(kit, booking)
    kit.clock.advance(timedelta(minutes=5))
    await kit.settle()
    kit.clock.advance(timedelta(days=1))

    assert left(await cancel(kit, booking)) == 1


# --- what the caller of an amendment is told -----------------------------------------------------------------------


def between(monkeypatch: pytest.MonkeyPatch, step: Callable[[], Awaitable[object]]) -> None:
    """Run ``step`` once, between the end of an amendment's call and the caller's read of the booking."""
    waiting = [step]

    async def and_then(*args: Any) -> Any:
        ended = await carry_out(*args)
        if waiting:
            await waiting.pop()()
        return ended

    monkeypatch.setattr("booking_payments.application.amending.carry_out", and_then)


@pytest.mark.parametrize("paid", [False, True], ids=["unpaid", "paid"])
async def test_an_amendment_that_was_made_is_not_denied_because_another_one_followed(
    kit: PaymentsTestKit, monkeypatch: pytest.MonkeyPatch, paid: bool
) -> None:
    booking = await booked(kit, paid=paid, items=None)

    async def another() -> None:
        await kit.payments.amend_booking(booking.id, BookingChange(title="New"), Caller.service("app", "t"))

    between(monkeypatch, another)
    after = await kit.payments.amend_booking(booking.id, BookingChange(amount=usd("80.00")), OPERATOR)

    assert (after.amount, after.details.title) == (usd("80.00"), "New")


async def test_an_amendment_is_not_denied_because_the_booking_was_canceled_after_it(
    kit: PaymentsTestKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking = await booked(kit, paid=True)

    async def canceled() -> None:
        await kit.payments.cancel_booking(booking.id, OPERATOR)

    between(monkeypatch, canceled)
    after = await cancel(kit, booking)

    assert (after.status, left(after)) == (BookingStatus.CANCELED, 2)


@pytest.mark.parametrize("paid", [False, True], ids=["unpaid", "paid"])
async def test_an_amendment_with_a_key_that_was_cut_off_is_finished_by_its_repetition(
    kit: PaymentsTestKit, paid: bool
) -> None:
    booking = await booked(kit, paid=paid, items=None)

    async def die() -> None:
        raise PowerCut

    kit.stripe.faults.script(REFUND if paid else UPDATE, "slow", times=1)
    kit.clock.meanwhile(die)
    change = BookingChange(amount=usd("80.00"))
    with pytest.raises(PowerCut):
        await kit.payments.amend_booking(booking.id, change, OPERATOR, idempotency_key=KEY)
    kit.clock.advance(timedelta(minutes=3))

    after = await kit.payments.amend_booking(booking.id, change, OPERATOR, idempotency_key=KEY)

    assert after.amount == usd("80.00")
