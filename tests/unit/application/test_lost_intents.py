"""Creating an intent when the response is lost.

The call is sent again with the same key, which settles it at once. All intents are listed only when the call may not
be sent again, or when its response does not show the outcome.
"""

from collections.abc import Sequence
from datetime import timedelta

import attrs
import pytest

from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.declines import Decline
from booking_payments.domain.errors import OutcomeUnknown
from booking_payments.domain.instructions import CreateIntent
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.payment import AttemptOutcome
from booking_payments.domain.reports import Failure
from booking_payments.ports.gateway import Declined, GatewayRefused, KeyMisused
from booking_payments.testing.kit import PaymentsTestKit
from tests.payments import CREATE, charges_of, lose_answer, pay, payment_of
from tests.unit.application.failing_gateway import FailingGateway, UnansweredTransport, use_gateway

LIST = "GET /v1/payment_intents"
MANY = 110
"""More intents than one page of the gateway's list has."""


def _answers(kit: PaymentsTestKit, *errors: Exception) -> None:
    """Make the gateway answer with these faults when an intent is created."""
    use_gateway(kit, FailingGateway(kit, create_intent=list(errors)))


def _asked(kit: PaymentsTestKit) -> Sequence[str]:
    return [f"{call.method} {call.path}" for call in kit.stripe.calls]


async def _settled(kit: PaymentsTestKit, after: timedelta = timedelta(seconds=10)) -> None:
    kit.stripe.calls.clear()
    kit.clock.advance(after)
    while await kit.payments.settle_due():
        pass


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after"])
async def test_a_lost_response_is_settled_by_sending_the_same_key(kit: PaymentsTestKit, fault: str) -> None:
    booking_id = await lose_answer(kit, fault)

    await _settled(kit)

    payment = await payment_of(kit, booking_id)
    assert (payment.status, charges_of(kit, payment)) == (PaymentStatus.SUCCEEDED, 1)
    assert (_asked(kit)[0], LIST in _asked(kit)) == (CREATE, False)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("expires_in", [None, timedelta(minutes=1)], ids=["payable", "overdue"])
async def test_the_number_of_calls_per_recovered_payment_does_not_grow_with_their_number(
    kit: PaymentsTestKit, expires_in: timedelta | None
) -> None:
    for number in range(MANY):
        await lose_answer(kit, "timeout_after", reference=f"R-{number}", expires_in=expires_in)

    await _settled(kit, timedelta(minutes=2))

    page = await kit.payments.list_payments(limit=MANY)
    assert {payment.status for payment in page.items} == {PaymentStatus.SUCCEEDED}
    assert len(_asked(kit)) <= 4 * MANY + 4


async def test_a_refund_made_meanwhile_is_recorded(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after")
    (intent,) = await kit.deps.gateway.list_intents(kit.clock.now() - timedelta(hours=1))
    kit.stripe.refund_in_dashboard(intent.id, 2_500)

    await _settled(kit)

    assert (await payment_of(kit, booking_id)).refunded.minor == 2_500


async def test_after_a_replayed_decline_the_current_state_of_the_intent_is_read(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after", card="pm_card_chargeDeclined")
    (intent,) = await kit.deps.gateway.list_intents(kit.clock.now() - timedelta(hours=1))
    kit.stripe.call("POST", f"/v1/payment_intents/{intent.id}/cancel", {})

    await _settled(kit)

    assert (await payment_of(kit, booking_id)).status is PaymentStatus.CANCELED


async def test_a_replayed_decline_uses_up_one_attempt(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after", card="pm_card_chargeDeclined")

    await _settled(kit)

    payment = await payment_of(kit, booking_id)
    declined = [attempt.outcome for attempt in payment.attempts]
    assert (declined, payment.attempts_left, payment.operation) == ([AttemptOutcome.REFUSED], 2, None)


async def test_a_replayed_decline_without_a_charge_is_recorded_too(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_before")
    operation = (await payment_of(kit, booking_id)).operation
    assert operation is not None
    assert isinstance(operation.instruction, CreateIntent)
    left = await kit.deps.gateway.create_intent(attrs.evolve(operation.instruction, confirm=False), "another key")
    decline = Decline(code="card_declined", message="No.")
    _answers(kit, Declined(Failure(decline=decline, charge_id=None, payment_method_id=None), left))

    await _settled(kit)

    payment = await payment_of(kit, booking_id)
    assert [attempt.outcome for attempt in payment.attempts] == [AttemptOutcome.REFUSED]
    assert (payment.operation, payment.intent_id) == (None, left.id)


async def test_a_replayed_500_is_settled_at_once(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "500_after", times=1)

    await _settled(kit)

    payment = await payment_of(kit, booking_id)
    assert (payment.status, charges_of(kit, payment)) == (PaymentStatus.SUCCEEDED, 1)


async def test_after_a_misused_key_the_intent_of_the_first_call_is_looked_up(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after")
    _answers(kit, KeyMisused("other parameters", code="idempotency_error"))

    await _settled(kit)

    assert (await payment_of(kit, booking_id)).status is PaymentStatus.SUCCEEDED


async def test_a_misused_key_alone_does_not_settle_the_operation(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_before")
    _answers(kit, KeyMisused("other parameters", code="idempotency_error"))

    kit.clock.advance(timedelta(seconds=10))
    await kit.payments.settle_due()

    operation = (await payment_of(kit, booking_id)).operation
    assert operation is not None
    assert operation.unknown


async def test_a_refused_repetition_does_not_hide_the_charge_of_the_first_call(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after")
    _answers(kit, GatewayRefused("no such payment method", code="payment_method_unknown"))

    await _settled(kit)

    payment = await payment_of(kit, booking_id)
    assert (payment.status, [each.outcome for each in payment.attempts]) == (
        PaymentStatus.SUCCEEDED,
        [AttemptOutcome.DONE],
    )


async def test_a_refused_call_whose_intent_does_not_exist_fails(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_before")
    _answers(kit, GatewayRefused("no such payment method", code="payment_method_unknown"))

    await _settled(kit)

    payment = await payment_of(kit, booking_id)
    assert (payment.operation, payment.attempts_left, payment.status) == (
        None,
        3,
        PaymentStatus.REQUIRES_PAYMENT_METHOD,
    )


async def test_an_unresponsive_gateway_is_not_asked_for_a_list(kit: PaymentsTestKit) -> None:
    line = UnansweredTransport(kit)
    await lose_answer(kit, "timeout_after")
    line.dead = True
    line.asked.clear()
    kit.clock.advance(timedelta(seconds=10))

    await kit.payments.settle_due()

    assert set(line.asked) == {CREATE}


async def test_an_intent_reported_by_a_webhook_is_read_and_not_created_again(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after")
    await kit.deliver_webhooks()

    await _settled(kit)

    assert CREATE not in _asked(kit)
    assert (await kit.payments.get_booking(booking_id)).status is BookingStatus.CONFIRMED


async def test_an_overdue_charge_is_looked_up_and_never_sent_again(kit: PaymentsTestKit) -> None:
    made = await lose_answer(kit, "timeout_after", reference="R-1", expires_in=timedelta(minutes=1))
    lost = await lose_answer(kit, "timeout_before", reference="R-2", expires_in=timedelta(minutes=1))

    await _settled(kit, timedelta(minutes=2))

    statuses = [(await payment_of(kit, each)).status for each in (made, lost)]
    assert statuses == [PaymentStatus.SUCCEEDED, PaymentStatus.REQUIRES_PAYMENT_METHOD]
    assert (CREATE in _asked(kit), _asked(kit).count(LIST)) == (False, 1)


async def test_a_list_read_before_the_last_try_settles_nothing(kit: PaymentsTestKit) -> None:
    """A client continues the second payment after the pass has listed all intents for the first."""
    first = await lose_answer(kit, "timeout_before", reference="R-1", expires_in=timedelta(minutes=1))
    second = await lose_answer(kit, "timeout_before", reference="R-2", expires_in=timedelta(minutes=3))
    kit.clock.advance(timedelta(minutes=2))
    kit.stripe.faults.script(LIST, "slow", times=1, delay=timedelta(seconds=1))

    async def client() -> None:
        kit.stripe.faults.script(CREATE, "timeout_after", times=3)
        kit.stripe.faults.script(LIST, "503", times=3)
        with pytest.raises(OutcomeUnknown):
            await pay(kit, second)
        kit.clock.advance(timedelta(minutes=1))

    kit.clock.meanwhile(client)
    await kit.payments.settle_due()

    assert (await payment_of(kit, first)).operation is None
    assert (await payment_of(kit, second)).status is PaymentStatus.SUCCEEDED


async def test_an_unreadable_foreign_intent_does_not_keep_a_lost_intent_unknown(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_before", expires_in=timedelta(minutes=1))
    theirs = kit.stripe.call("POST", "/v1/payment_intents", {"amount": 2000, "currency": "usd"}).body["id"]
    kit.stripe._account.get("payment_intent", theirs).body["currency"] = "xxx"

    await _settled(kit, timedelta(days=2))
    await kit.payments.work()

    assert (await payment_of(kit, booking_id)).operation is None
    assert (await kit.payments.get_booking(booking_id)).status is BookingStatus.EXPIRED


async def test_a_lost_intent_that_cannot_be_read_stays_unknown(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "timeout_after", expires_in=timedelta(minutes=1))
    (intent,) = await kit.deps.gateway.list_intents(kit.clock.now() - timedelta(hours=1))
    kit.stripe._account.get("payment_intent", intent.id).body["currency"] = "xxx"

    await _settled(kit, timedelta(days=2))

    operation = (await payment_of(kit, booking_id)).operation
    assert operation is not None
    assert operation.unknown
