"""No refund goes out beside money that a dispute gave back before our books heard of it: disputes are read first."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from booking_payments.adapters.gateways.fake.gateway import due_deliveries
from booking_payments.application.views import PaymentView
from booking_payments.domain.errors import TryAgainLater
from booking_payments.ports.gateway import Silent, Unreachable
from booking_payments.testing.house import ANN, House
from tests.payments import pay, payment_of
from tests.unit.application.saboteur import Saboteur, use_gateway

Ask = Callable[[House, PaymentView], Awaitable[object]]
UNREADABLE = [Unreachable("no connection", code="unreachable"), Silent("no answer", code="timeout")]


async def _paid(house: House) -> PaymentView:
    return await pay(house, await house.book())


async def _paid_late(house: House) -> PaymentView:
    """Money that the gateway has and our books have not, for a booking that is closed."""
    view = await pay(house, await house.book(), "pm_usBankAccount_success")
    await house.payments.cancel_booking(view.payment.booking_id)
    house.clock.advance(timedelta(seconds=3))
    house.stripe.tick()
    return view


def _lose_events(house: House) -> None:
    for event_id, endpoint, _ in list(due_deliveries(house.stripe)):
        house.stripe.delivered(event_id, True, endpoint)


def _prevent(house: House, view: PaymentView, case_type: str = "resolution") -> None:
    """The bank takes the money back, and no event of it arrives."""
    assert house.stripe.open_dispute(view.payment.intent_id or "", status="prevented", case_type=case_type).ok
    _lose_events(house)


async def _wait(house: House, hours: int = 2) -> None:
    for _ in range(hours * 6):
        house.clock.advance(timedelta(minutes=10))
        await house.payments.work()


def _sent(house: House) -> int:
    return sum(call.method == "POST" and call.path == "/v1/refunds" for call in house.stripe.calls)


async def _ask_for_refund(house: House, view: PaymentView) -> object:
    return await house.payments.refund_payment(view.payment.booking_id, ANN)


async def _cancel(house: House, view: PaymentView) -> object:
    return await house.payments.cancel_booking(view.payment.booking_id)


@pytest.mark.parametrize("known_by", ["its event", "a read"])
async def test_late_money_that_a_prevented_dispute_took_is_not_sent_back_as_well(house: House, known_by: str) -> None:
    view = await _paid_late(house)
    if known_by == "its event":
        await house.deliver_webhooks()
    _prevent(house, view)

    await house.payments.look_at_payment(view.payment.booking_id, ANN)
    await _wait(house)

    payment = await payment_of(house, view)
    assert (_sent(house), payment.withdrawn.minor, payment.owed.amount.minor) == (0, 10000, 0)


@pytest.mark.parametrize("ask", [_ask_for_refund, _cancel])
@pytest.mark.parametrize("after_an_inquiry", [False, True])
async def test_a_refund_beside_a_prevented_dispute_that_nobody_told_of_is_not_sent(
    house: House, ask: Ask, after_an_inquiry: bool
) -> None:
    view = await _paid(house)
    if after_an_inquiry:
        dispute = house.stripe.open_dispute(view.payment.intent_id or "", status="warning_needs_response").body["id"]
        await house.deliver_webhooks()
        assert house.stripe.move_dispute(dispute, "prevented").ok
        _lose_events(house)
    else:
        _prevent(house, view)

    await ask(house, view)
    await _wait(house)

    payment = await payment_of(house, view)
    assert (_sent(house), payment.withdrawn.minor, payment.owed.amount.minor) == (0, 10000, 0)


@pytest.mark.parametrize("ask", [_ask_for_refund, _cancel])
async def test_a_refund_beside_a_dispute_that_took_nothing_is_sent_when_the_books_know_it(
    house: House, ask: Ask
) -> None:
    view = await _paid(house)
    _prevent(house, view, "block")

    await ask(house, view)
    await _wait(house)

    assert (_sent(house), (await payment_of(house, view)).refunded.minor) == (1, 10000)


@pytest.mark.parametrize("error", UNREADABLE)
async def test_a_requested_refund_whose_disputes_can_not_be_read_was_not_made(house: House, error: Exception) -> None:
    view = await _paid(house)
    use_gateway(house, Saboteur(house, list_disputes=[error] * 3))

    with pytest.raises(TryAgainLater) as told:
        await _ask_for_refund(house, view)

    payment = await payment_of(house, view)
    assert (told.value.outcome_unknown, _sent(house), payment.owed.amount.minor) == (False, 0, 0)
    await _ask_for_refund(house, view)
    assert (await payment_of(house, view)).refunded.minor == 10000


@pytest.mark.parametrize("error", UNREADABLE)
async def test_a_cancellation_whose_disputes_can_not_be_read_gives_back_later(house: House, error: Exception) -> None:
    view = await _paid(house)
    use_gateway(house, Saboteur(house, list_disputes=[error] * 3))

    await _cancel(house, view)
    before = _sent(house)
    await _wait(house)

    assert (before, _sent(house), (await payment_of(house, view)).refunded.minor) == (0, 1, 10000)
