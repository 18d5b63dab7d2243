"""The library calls of a booking app's backend, and the messages that it receives."""

from datetime import timedelta
from decimal import Decimal

import pytest

from booking_payments.domain.refunds import RefundReason
from booking_payments.ports.publisher import Message
from booking_payments.testing.kit import PaymentsTestKit
from tests.payments import payment_of, return_url_of


async def test_a_backend_pays_a_booking_in_one_call(kit: PaymentsTestKit) -> None:
    result = await kit.payments.process_booking_payment(await kit.book(), "pm_card_visa")

    assert (result.success, result.status, result.error) == (True, "succeeded", None)
    assert (result.payment_intent_id or "").startswith("pi_")


async def test_without_a_method_the_front_end_gets_a_client_secret(kit: PaymentsTestKit) -> None:
    result = await kit.payments.process_booking_payment(await kit.book())

    assert (result.success, result.client_secret is not None) == (True, True)


async def test_a_decline_is_returned_as_a_result(kit: PaymentsTestKit) -> None:
    result = await kit.payments.process_booking_payment(await kit.book(), "pm_card_chargeDeclined")

    assert (result.success, result.error, result.error_code) == (False, "Your card was declined.", "card_declined")
    assert result.payment_intent_id is not None


async def test_a_required_authentication_is_returned_as_a_result(kit: PaymentsTestKit) -> None:
    result = await kit.payments.process_booking_payment(await kit.book(), "pm_card_authenticationRequired")

    assert (result.success, result.requires_action) == (True, True)


async def test_a_refusal_by_a_rule_is_returned_as_a_result(kit: PaymentsTestKit) -> None:
    result = await kit.payments.process_booking_payment(await kit.book("0.00"), "pm_card_visa")

    assert (result.success, result.error_code) == (False, "nothing_to_pay")


async def test_an_unknown_outcome_is_returned_as_a_result(kit: PaymentsTestKit) -> None:
    kit.stripe.faults.script("POST /v1/payment_intents", "timeout_after", times=3)

    result = await kit.payments.process_booking_payment(await kit.book(), "pm_card_visa")

    assert (result.success, result.outcome_unknown) == (False, True)


async def test_a_declined_payment_is_retried_with_another_method(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.process_booking_payment(booking, "pm_card_chargeDeclined")

    declined = await kit.payments.retry_booking_payment(booking.id, "pm_card_chargeDeclined")
    paid = await kit.payments.retry_booking_payment(booking.id, "pm_card_visa")

    assert (declined.success, paid.success) == (False, True)


async def test_a_backend_can_set_the_return_url_of_a_retry(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.process_booking_payment(booking, "pm_card_chargeDeclined", return_url="https://shop.example/1")

    same = await kit.payments.retry_booking_payment(booking, "pm_card_authenticationRequired")
    first = await kit.payments.payment_status(booking.id)
    moved = await kit.payments.retry_booking_payment(
        booking, "pm_card_authenticationRequired", return_url="https://shop.example/2"
    )
    other = await kit.payments.retry_booking_payment(
        booking, "pm_card_threeDSecure2Required", return_url="https://shop.example/2"
    )

    second = await kit.payments.payment_status(booking.id)
    assert (same.requires_action, moved.error_code, other.requires_action) == (True, "action_pending", True)
    assert [return_url_of(each) for each in (first, second)] == ["https://shop.example/1", "https://shop.example/2"]


async def test_a_backend_can_refund_in_full_and_in_part(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.process_booking_payment(booking, "pm_card_visa")

    part = await kit.payments.process_booking_refund(booking, Decimal("25.00"), "Partial refund requested")
    rest = await kit.payments.process_booking_refund(booking)

    payment = await payment_of(kit, booking)
    assert (part.success, rest.success, payment.refunded) == (True, True, payment.captured)
    assert payment.refunds[0].note == "Partial refund requested"


@pytest.mark.parametrize("reason", ["x" * 501, "line 1\x00"])
async def test_an_invalid_note_is_refused_and_nothing_is_stored(kit: PaymentsTestKit, reason: str) -> None:
    booking = await kit.book()
    await kit.payments.process_booking_payment(booking, "pm_card_visa")
    before = await kit.payments.journal(booking.id)

    result = await kit.payments.process_booking_refund(booking, Decimal("25.00"), reason)

    assert (result.success, result.error_code) == (False, "invalid_input")
    assert (result.error or "").startswith("note: ")
    assert await kit.payments.journal(booking.id) == before


async def test_a_refund_reason_of_the_gateway_is_not_stored_as_a_note(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.process_booking_payment(booking, "pm_card_visa")
    await kit.payments.process_booking_refund(booking, reason=RefundReason.DUPLICATE)

    refund = (await payment_of(kit, booking)).refunds[0]
    assert (refund.reason, refund.note) == ("duplicate", None)


async def test_an_impossible_refund_is_returned_as_a_result(kit: PaymentsTestKit) -> None:
    result = await kit.payments.process_booking_refund(await kit.book())

    assert (result.success, result.error_code) == (False, "not_found")


async def test_the_booking_app_receives_messages_in_order(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.process_booking_payment(booking, "pm_card_visa")
    await kit.payments.process_booking_refund(booking)

    await kit.payments.work()

    told = [(message.sequence, message.type) for message in kit.publisher.published]
    assert told == [(1, "payment.succeeded"), (2, "booking.confirmed"), (3, "payment.refunded")]


async def test_each_message_is_delivered_once_when_nothing_fails(kit: PaymentsTestKit) -> None:
    await kit.payments.process_booking_payment(await kit.book(), "pm_card_visa")
    await kit.payments.work()
    told = len(kit.publisher.published)

    await kit.payments.work()

    assert len(kit.publisher.published) == told


async def test_a_message_that_was_not_accepted_is_delivered_again_before_the_next_of_its_booking(
    kit: PaymentsTestKit,
) -> None:
    await kit.payments.process_booking_payment(await kit.book(), "pm_card_visa")
    taken: list[Message] = []
    working = kit.publisher.publish

    async def broken(message: Message) -> None:
        taken.append(message)
        raise ConnectionError

    kit.publisher.publish = broken  # type: ignore[method-assign]  # a consumer that is down
    await kit.payments.work()
    kit.publisher.publish = working  # type: ignore[method-assign]
    kit.clock.advance(timedelta(seconds=5))
    await kit.payments.work()

    assert [message.sequence for message in taken] == [1]
    assert [message.sequence for message in kit.publisher.published] == [1, 2]


async def test_the_booking_app_receives_a_message_when_a_booking_expires(kit: PaymentsTestKit) -> None:
    await kit.book(expires_in=timedelta(minutes=1))
    kit.clock.advance(timedelta(minutes=2))

    await kit.payments.work()

    assert [message.type for message in kit.publisher.published] == ["booking.expired"]


async def test_the_booking_app_receives_messages_about_disputes_and_failures(kit: PaymentsTestKit) -> None:
    disputed = await kit.book(reference="R-1")
    await kit.payments.process_booking_payment(disputed, "pm_card_createDispute")
    failed = await kit.book(reference="R-2")
    for _ in range(3):
        await kit.payments.process_booking_payment(failed, "pm_card_chargeDeclined")
    await kit.settle()

    told = {message.type for message in kit.publisher.published}
    assert {"dispute.opened", "payment.failed"} <= told
