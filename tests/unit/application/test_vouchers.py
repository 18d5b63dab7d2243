"""Vouchers and holds, with Stripe's interface behind the adapter: no hold is prolonged, and no voucher outlives one."""

from datetime import timedelta
from typing import Any

import pytest

from booking_payments.application.dependencies import PaymentConfig
from booking_payments.domain.amendments import BookingChange
from booking_payments.domain.errors import RefusedByRule
from booking_payments.domain.instructions import MethodChoice
from booking_payments.domain.money import Currency
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit

MXN = Currency.of("mxn")
DAY = timedelta(days=1)


def shop(*allowed: str) -> PaymentsTestKit:
    return PaymentsTestKit(config=PaymentConfig(methods=MethodChoice(allowed=allowed)))


def intents(kit: PaymentsTestKit) -> list[dict[str, Any]]:
    """All intents, newest first."""
    found: list[dict[str, Any]] = kit.stripe.call("GET", "/v1/payment_intents").body["data"]
    return found


def confirm_by_oxxo(kit: PaymentsTestKit, intent: dict[str, Any]) -> Any:
    """The customer chooses the voucher in the browser."""
    billing = {"name": "Jenny", "email": "jenny@example.com"}
    data = {"type": "oxxo", "billing_details": billing}
    params = {"client_secret": intent["client_secret"], "payment_method_data": data}
    return kit.stripe.browser_call("POST", f"/v1/payment_intents/{intent['id']}/confirm", params)


async def test_a_voucher_is_offered_where_it_ends_before_the_hold() -> None:
    kit = shop("card", "oxxo")
    booking = await kit.book(currency=MXN, expires_in=5 * DAY)
    await kit.payments.start_payment(booking.id, ANN)
    shown = confirm_by_oxxo(kit, intents(kit)[0]).body

    assert shown["status"] == "requires_action"
    ends = shown["next_action"]["oxxo_display_details"]["expires_after"]
    assert kit.clock.now().timestamp() + 3 * 86400 < ends <= booking.expires_at.timestamp()


async def test_a_voucher_that_would_outlive_the_hold_is_not_offered_and_refused() -> None:
    kit = shop("card", "oxxo")
    booking = await kit.book(currency=MXN, expires_in=3 * DAY)
    await kit.payments.start_payment(booking.id, ANN)
    [intent] = intents(kit)

    assert intent["payment_method_types"] == ["card"]
    assert confirm_by_oxxo(kit, intent).body["error"]["code"] == "payment_intent_incompatible_payment_method"


async def test_an_intent_whose_vouchers_outlive_the_rest_of_the_hold_is_replaced() -> None:
    kit = shop("card", "oxxo")
    booking = await kit.book(currency=MXN, expires_in=5 * DAY)
    first = await kit.payments.start_payment(booking.id, ANN, return_url="https://shop.example/back")
    same = await kit.payments.start_payment(booking.id, ANN)
    kit.clock.advance(2 * DAY)
    other = await kit.payments.start_payment(booking.id, ANN)

    assert same.payment.id == first.payment.id
    assert other.payment.id != first.payment.id
    assert other.payment.return_url == "https://shop.example/back"
    assert [(each["status"], each["payment_method_types"]) for each in intents(kit)] == [
        ("requires_payment_method", ["card"]),
        ("canceled", ["card", "oxxo"]),
    ]


async def test_a_confirmation_of_such_an_intent_charges_one_without_vouchers() -> None:
    kit = shop("card", "oxxo")
    booking = await kit.book(currency=MXN, expires_in=5 * DAY)
    await kit.payments.start_payment(booking.id, ANN)
    kit.clock.advance(2 * DAY)
    paid = await kit.payments.confirm_payment(booking.id, ANN, payment_method_id="pm_card_visa")

    assert paid.payment.status.value == "succeeded"
    assert [each["status"] for each in intents(kit)] == ["succeeded", "canceled"]


async def test_a_booking_that_allows_only_vouchers_needs_a_hold_that_is_long_enough() -> None:
    kit = shop("oxxo")

    with pytest.raises(RefusedByRule) as refused:
        await kit.book(currency=MXN, expires_in=3 * DAY)

    assert refused.value.code == "no_payment_method_left"


@pytest.mark.parametrize("change", ["expires_at", "event_starts_at"])
async def test_an_amendment_to_a_hold_that_is_too_short_for_the_only_vouchers_is_refused(change: str) -> None:
    kit = shop("oxxo")
    booking = await kit.book(currency=MXN, expires_in=10 * DAY)
    soon: dict[str, Any] = {change: kit.clock.now() + 3 * DAY}
    later: dict[str, Any] = {change: kit.clock.now() + 4 * DAY}

    with pytest.raises(RefusedByRule) as refused:
        await kit.payments.amend_booking(booking.id, BookingChange(**soon), OPERATOR)

    assert refused.value.code == "no_payment_method_left"
    assert (await kit.payments.get_booking(booking.id)).version == 1
    assert (await kit.payments.amend_booking(booking.id, BookingChange(**later), OPERATOR)).version == 2


async def test_a_move_of_the_event_is_not_stopped_by_a_booking_that_allows_only_vouchers() -> None:
    kit = shop("oxxo")
    booking = await kit.book(currency=MXN, event_id="evening", expires_in=10 * DAY)
    soon = kit.clock.now() + 3 * DAY

    job = await kit.payments.reschedule_event("evening", OPERATOR, event_starts_at=soon)
    await kit.payments.run_event_job(job)

    assert (await kit.payments.get_booking(booking.id)).event_starts_at == soon


async def test_where_only_vouchers_are_left_an_old_intent_stays_and_nothing_is_begun() -> None:
    kit = shop("oxxo")
    booking = await kit.book(currency=MXN, expires_in=5 * DAY)
    await kit.payments.start_payment(booking.id, ANN)
    kit.clock.advance(2 * DAY)

    with pytest.raises(RefusedByRule) as refused:
        await kit.payments.start_payment(booking.id, ANN)

    assert refused.value.code == "no_payment_method_left"
    assert [each["status"] for each in intents(kit)] == ["requires_payment_method"]


async def test_a_voucher_that_is_shown_is_kept_while_the_customer_comes_back() -> None:
    kit = shop("card", "oxxo")
    booking = await kit.book(currency=MXN, expires_in=5 * DAY)
    await kit.payments.start_payment(booking.id, ANN)
    assert confirm_by_oxxo(kit, intents(kit)[0]).ok
    kit.clock.advance(2 * DAY)
    await kit.payments.poll_payment(booking.id, ANN)
    again = await kit.payments.start_payment(booking.id, ANN)

    assert again.payment.status.value == "requires_action"
    assert len(intents(kit)) == 1
    assert (await kit.payments.get_booking(booking.id)).expires_at == booking.expires_at
