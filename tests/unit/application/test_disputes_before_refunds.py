"""Disputes are read before a refund is sent, so that no refund repeats money that the bank has already returned,
even when the dispute's event was lost.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from booking_payments.adapters.gateways.fake.gateway import due_deliveries
from booking_payments.application.views import PaymentView
from booking_payments.domain.errors import TryAgainLater
from booking_payments.ports.gateway import NotSent, OutcomeAmbiguous
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.payments import pay, payment_of
from tests.unit.application.failing_gateway import FailingGateway, use_gateway

Ask = Callable[[PaymentsTestKit, PaymentView], Awaitable[object]]
UNREADABLE = [NotSent("no connection", code="unreachable"), OutcomeAmbiguous("no answer", code="timeout")]


async def _paid(kit: PaymentsTestKit) -> PaymentView:
    return await pay(kit, await kit.book())


async def _paid_late(kit: PaymentsTestKit) -> PaymentView:
    """A captured charge for a closed booking that is not stored yet."""
    view = await pay(kit, await kit.book(), "pm_usBankAccount_success")
    await kit.payments.cancel_booking(view.payment.booking_id)
    kit.clock.advance(timedelta(seconds=3))
    kit.stripe.tick()
    return view


def _lose_events(kit: PaymentsTestKit) -> None:
    for event_id, endpoint, _ in list(due_deliveries(kit.stripe)):
        kit.stripe.delivered(event_id, True, endpoint)


def _prevent(kit: PaymentsTestKit, view: PaymentView, case_type: str = "resolution") -> None:
    """The bank withdraws the money, and no event of it arrives."""
    assert kit.stripe.open_dispute(view.payment.intent_id or "", status="prevented", case_type=case_type).ok
    _lose_events(kit)


async def _wait(kit: PaymentsTestKit, hours: int = 2) -> None:
    for _ in range(hours * 6):
        kit.clock.advance(timedelta(minutes=10))
        await kit.payments.work()


def _sent(kit: PaymentsTestKit) -> int:
    return sum(call.method == "POST" and call.path == "/v1/refunds" for call in kit.stripe.calls)


async def _ask_for_refund(kit: PaymentsTestKit, view: PaymentView) -> object:
    return await kit.payments.refund_payment(view.payment.booking_id, ANN)


async def _cancel(kit: PaymentsTestKit, view: PaymentView) -> object:
    return await kit.payments.cancel_booking(view.payment.booking_id)


@pytest.mark.parametrize("known_by", ["its event", "a read"])
async def test_a_late_payment_returned_by_a_prevented_dispute_is_not_refunded(
    kit: PaymentsTestKit, known_by: str
) -> None:
    view = await _paid_late(kit)
    if known_by == "its event":
        await kit.deliver_webhooks()
    _prevent(kit, view)

    await kit.payments.poll_payment(view.payment.booking_id, ANN)
    await _wait(kit)

    payment = await payment_of(kit, view)
    assert (_sent(kit), payment.withdrawn.minor, payment.owed.amount.minor) == (0, 10000, 0)


@pytest.mark.parametrize("ask", [_ask_for_refund, _cancel])
@pytest.mark.parametrize("after_an_inquiry", [False, True])
async def test_a_refund_is_not_sent_when_an_unreported_prevented_dispute_exists(
    kit: PaymentsTestKit, ask: Ask, after_an_inquiry: bool
) -> None:
    view = await _paid(kit)
    if after_an_inquiry:
        dispute = kit.stripe.open_dispute(view.payment.intent_id or "", status="warning_needs_response").body["id"]
        await kit.deliver_webhooks()
        assert kit.stripe.move_dispute(dispute, "prevented").ok
        _lose_events(kit)
    else:
        _prevent(kit, view)

    await ask(kit, view)
    await _wait(kit)

    payment = await payment_of(kit, view)
    assert (_sent(kit), payment.withdrawn.minor, payment.owed.amount.minor) == (0, 10000, 0)


@pytest.mark.parametrize("ask", [_ask_for_refund, _cancel])
async def test_a_refund_beside_a_dispute_without_withdrawal_is_sent_once_the_dispute_is_stored(
    kit: PaymentsTestKit, ask: Ask
) -> None:
    view = await _paid(kit)
    _prevent(kit, view, "block")

    await ask(kit, view)
    await _wait(kit)

    assert (_sent(kit), (await payment_of(kit, view)).refunded.minor) == (1, 10000)


@pytest.mark.parametrize("error", UNREADABLE)
async def test_a_refund_fails_when_the_disputes_cannot_be_read(kit: PaymentsTestKit, error: Exception) -> None:
    view = await _paid(kit)
    use_gateway(kit, FailingGateway(kit, list_disputes=[error] * 3))

    with pytest.raises(TryAgainLater) as told:
        await _ask_for_refund(kit, view)

    payment = await payment_of(kit, view)
    assert (told.value.outcome_unknown, _sent(kit), payment.owed.amount.minor) == (False, 0, 0)
    await _ask_for_refund(kit, view)
    assert (await payment_of(kit, view)).refunded.minor == 10000


@pytest.mark.parametrize("error", UNREADABLE)
async def test_a_cancellation_refunds_later_when_the_disputes_cannot_be_read(
    kit: PaymentsTestKit, error: Exception
) -> None:
    view = await _paid(kit)
    use_gateway(kit, FailingGateway(kit, list_disputes=[error] * 3))

    await _cancel(kit, view)
    before = _sent(kit)
    await _wait(kit)

    assert (before, _sent(kit), (await payment_of(kit, view)).refunded.minor) == (0, 1, 10000)
