"""Lost calls: the gateway has stored a 500 under a key.

The object that the call would have made is searched for. If it cannot be found, the call is abandoned, and watched
for as long as the object may still appear. The rule is in ``domain/decisions/lost.py``.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from booking_payments.adapters.gateways.fake.gateway import FakeGateway, ModelTransport
from booking_payments.adapters.gateways.stripe.gateway import TransportResponse
from booking_payments.adapters.gateways.stripe.requests import Params
from booking_payments.application.dependencies import PaymentConfig
from booking_payments.domain import events as ev
from booking_payments.domain.amendments import BookingChange
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.errors import AlreadyUnderWay, OutcomeUnknown, RefundRefused
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Payment
from booking_payments.ports.gateway import OutcomeAmbiguous
from booking_payments.ports.storage import Storage
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit
from tests.payments import CREATE, VISA, authorize, die_while_paying, lose_answer, paid_booking, pay, payment_of, start
from tests.unit.application.failing_gateway import use_gateway

LIST = "GET /v1/payment_intents"
REFUND = "POST /v1/refunds"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
UNTIL_THIRD_WALK = timedelta(minutes=11, seconds=50)
"""Advance the clock so that searches count: ten, eleven and twelve minutes after the first try."""


async def _pass(
    kit: PaymentsTestKit, span: timedelta, *, step: timedelta | None = None, webhooks: bool = False
) -> None:
    """Advance the clock, and run the background work every minute, in spans of more than an hour every five."""
    step = step or (MINUTE if span <= HOUR else 5 * MINUTE)
    until = kit.clock.now() + span
    while kit.clock.now() < until:
        kit.clock.advance(min(step, until - kit.clock.now()))
        kit.stripe.tick()
        if webhooks:
            await kit.deliver_webhooks()
        await kit.payments.work()


async def _until_lost(kit: PaymentsTestKit) -> None:
    """Advance until the third search has counted, and run the background work every ten seconds close to that time."""
    await _pass(kit, 9 * MINUTE, step=9 * MINUTE)
    await _pass(kit, 4 * MINUTE, step=timedelta(seconds=10))


async def _lost(kit: PaymentsTestKit, *, appears: timedelta | None = None, **booking: Any) -> str:
    """A booking whose payment got a stored 500; ``appears`` is the time after which Stripe completes the request."""
    registered = await kit.book(**booking)
    fault, delay = ("500_before", timedelta()) if appears is None else ("500_later", appears)
    kit.stripe.faults.script(CREATE, fault, delay=delay)
    with pytest.raises(OutcomeUnknown):
        await pay(kit, registered)
    return registered.id


async def _payments(kit: PaymentsTestKit, booking_id: str) -> Sequence[Payment]:
    return await kit.storage.read(lambda uow: uow.payments.of_booking(booking_id))


async def _status(kit: PaymentsTestKit, booking_id: str) -> BookingStatus:
    return (await kit.payments.get_booking(booking_id)).status


def _all(kit: PaymentsTestKit, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kit.stripe.call("GET", f"/v1/{kind}", {"limit": 100}).body["data"]
    return found[::-1]


def _kept(kit: PaymentsTestKit) -> int:
    """Return the balance at the gateway of all charges, in minor units."""
    return sum(each["amount_captured"] - each["amount_refunded"] for each in _all(kit, "charges") if each["paid"])


def _walks(payment: Payment) -> int:
    return payment.operation.walks if payment.operation else -1


# --- when a call is lost ---------------------------------------------------------------------------------------


async def test_a_missing_intent_blocks_its_booking_for_ten_minutes_and_three_searches(
    kit: PaymentsTestKit,
) -> None:
    booking_id = await _lost(kit)
    await _pass(kit, UNTIL_THIRD_WALK, step=timedelta(seconds=10))
    with pytest.raises(AlreadyUnderWay):
        await kit.payments.cancel_booking(booking_id, OPERATOR)
    before = await payment_of(kit, booking_id)

    await _pass(kit, MINUTE, step=timedelta(seconds=10))

    payment = await payment_of(kit, booking_id)
    assert (_walks(before), payment.operation, payment.status) == (2, None, PaymentStatus.CANCELED)
    canceled = await kit.payments.cancel_booking(booking_id, OPERATOR)
    assert (canceled.status, _all(kit, "payment_intents")) == (BookingStatus.CANCELED, [])


@pytest.mark.parametrize(
    ("begun", "counted"),
    [(timedelta(minutes=10) - timedelta(microseconds=1), 0), (timedelta(minutes=10), 1)],
    ids=["just before ten minutes", "at ten minutes"],
)
async def test_a_search_counts_from_ten_minutes_after_the_first_try(
    kit: PaymentsTestKit, begun: timedelta, counted: int
) -> None:
    booking_id = await _lost(kit)
    operation = (await payment_of(kit, booking_id)).operation
    assert operation is not None
    assert operation.stored_at is not None
    kit.clock.advance(operation.stored_at + begun - kit.clock.now())

    with pytest.raises(OutcomeUnknown):
        await pay(kit, booking_id)

    assert _walks(await payment_of(kit, booking_id)) == counted


@pytest.mark.parametrize(("apart", "counted"), [(MINUTE - timedelta(microseconds=1), 1), (MINUTE, 2)])
async def test_two_searches_within_a_minute_count_as_one(kit: PaymentsTestKit, apart: timedelta, counted: int) -> None:
    booking_id = await _lost(kit)
    kit.clock.advance(timedelta(minutes=11))

    for pause in (timedelta(), apart):
        kit.clock.advance(pause)
        with pytest.raises(OutcomeUnknown):
            await pay(kit, booking_id)

    assert _walks(await payment_of(kit, booking_id)) == counted


async def test_the_customer_may_pay_again_with_a_new_payment_as_soon_as_the_old_one_is_lost(
    kit: PaymentsTestKit,
) -> None:
    booking_id = await _lost(kit)
    kit.clock.advance(timedelta(minutes=10))
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await pay(kit, booking_id)
        kit.clock.advance(MINUTE)

    view = await pay(kit, booking_id)  # its third search settles the old payment, then the new one is paid

    old, new = await _payments(kit, booking_id)
    assert (view.payment.id, new.status, old.status) == (new.id, PaymentStatus.SUCCEEDED, PaymentStatus.CANCELED)
    assert (await _status(kit, booking_id), _kept(kit)) == (BookingStatus.CONFIRMED, 10_000)


async def test_a_payment_started_without_confirmation_is_lost_by_the_same_rule(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    kit.stripe.faults.script(CREATE, "500_before")
    with pytest.raises(OutcomeUnknown):
        await kit.payments.start_payment(booking.id, ANN)

    await _until_lost(kit)

    assert (await payment_of(kit, booking)).status is PaymentStatus.CANCELED
    assert (await kit.payments.start_payment(booking.id, ANN)).client_action is not None


async def test_an_overdue_booking_expires_when_its_payment_is_lost_and_not_before(kit: PaymentsTestKit) -> None:
    booking_id = await _lost(kit, expires_in=timedelta(minutes=5))
    await _pass(kit, UNTIL_THIRD_WALK, step=timedelta(seconds=10))
    before = await _status(kit, booking_id)

    await _pass(kit, 2 * MINUTE)

    assert (before, await _status(kit, booking_id)) == (BookingStatus.PENDING, BookingStatus.EXPIRED)


class HalfAList(ModelTransport):
    """A gateway whose second list page fails while ``broken`` is set."""

    broken = True

    async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> TransportResponse:
        if self.broken and "starting_after" in params:
            raise OutcomeAmbiguous("no answer", code="timeout")
        return await super().call(method, path, params, idempotency_key)


async def test_an_interrupted_search_does_not_count(kit: PaymentsTestKit) -> None:
    booking_id = await _lost(kit, appears=timedelta(seconds=30))
    for _ in range(101):  # foreign intents on the same account come before it in the list
        kit.stripe.call("POST", "/v1/payment_intents", {"amount": 2000, "currency": "usd"})
        kit.clock.advance(timedelta(seconds=1))
    gateway = FakeGateway(kit.stripe, kit.clock)
    gateway._transport = line = HalfAList(kit.stripe, kit.clock)
    use_gateway(kit, gateway)

    await _pass(kit, 2 * HOUR)
    during = await payment_of(kit, booking_id)
    line.broken = False
    await _pass(kit, 2 * HOUR)

    assert (during.operation is not None, _walks(during)) == (True, 0)
    assert (await payment_of(kit, booking_id)).status is PaymentStatus.SUCCEEDED


async def test_an_empty_page_with_has_more_is_not_the_end_of_the_list(kit: PaymentsTestKit) -> None:
    class NoMore(ModelTransport):
        async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> TransportResponse:
            if f"{method} {path}" == LIST:
                return TransportResponse({"object": "list", "data": [], "has_more": True})
            return await super().call(method, path, params, idempotency_key)

    booking_id = await _lost(kit)
    gateway = FakeGateway(kit.stripe, kit.clock)
    gateway._transport = NoMore(kit.stripe, kit.clock)
    use_gateway(kit, gateway)

    await _pass(kit, HOUR)

    assert _walks(await payment_of(kit, booking_id)) == 0


@pytest.mark.parametrize("behind", [timedelta(minutes=59), timedelta(minutes=7), -HOUR], ids=["59m", "7m", "ahead"])
async def test_an_intent_is_found_despite_a_deviating_gateway_clock(storage: Storage, behind: timedelta) -> None:
    kit = PaymentsTestKit(storage=storage, gateway_behind=behind)
    booking_id = await _lost(kit, appears=timedelta(minutes=1))

    await _until_lost(kit)

    assert (await payment_of(kit, booking_id)).status is PaymentStatus.SUCCEEDED


async def test_an_intent_of_another_installation_with_the_same_payment_id_is_foreign(storage: Storage) -> None:
    kit = PaymentsTestKit(storage=storage, config=PaymentConfig(installation_id="ours"))
    booking_id = await _lost(kit)
    payment = await payment_of(kit, booking_id)
    theirs = {"payment_id": payment.id, "installation_id": "theirs"}
    kit.stripe.call("POST", "/v1/payment_intents", {"amount": 10_000, "currency": "usd", "metadata": theirs})

    await _until_lost(kit)

    assert ((await payment_of(kit, booking_id)).status, (await payment_of(kit, booking_id)).intent_id) == (
        PaymentStatus.CANCELED,
        None,
    )


async def test_a_timeout_is_not_a_lost_call(kit: PaymentsTestKit) -> None:
    booking_id = await lose_answer(kit, "503")
    kit.stripe.faults.script(CREATE, "503", times=999)

    await _pass(kit, HOUR)

    operation = (await payment_of(kit, booking_id)).operation
    assert operation is not None
    assert operation.walks == 0


async def test_one_search_serves_many_lost_intents(kit: PaymentsTestKit) -> None:
    for number in range(20):
        await _lost(kit, reference=f"R-{number}")
    kit.clock.advance(timedelta(minutes=11))
    kit.stripe.calls.clear()

    await kit.payments.settle_due()

    walked = [call for call in kit.stripe.calls if f"{call.method} {call.path}" == LIST]
    page = await kit.payments.list_payments(limit=50)
    assert (len(walked), {_walks(each) for each in page.items}) == (1, {1})


async def test_counted_searches_survive_a_restart(kit: PaymentsTestKit) -> None:
    """Another process continues counting from the database."""
    booking_id = await _lost(kit)
    await _pass(kit, UNTIL_THIRD_WALK, step=timedelta(seconds=10))
    other = PaymentsTestKit(storage=kit.storage, seed=2)
    other.clock.advance(kit.clock.now() - other.clock.now())
    other.stripe = kit.stripe
    use_gateway(other, FakeGateway(kit.stripe, other.clock))

    other.clock.advance(MINUTE)
    await other.payments.work()

    assert (await payment_of(other, booking_id)).status is PaymentStatus.CANCELED


# --- objects that appear later ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("webhooks", [True, False], ids=["webhook", "resolver alone"])
async def test_a_charge_that_appears_after_the_booking_was_canceled_is_refunded(
    kit: PaymentsTestKit, webhooks: bool
) -> None:
    booking_id = await _lost(kit, appears=HOUR)
    await _until_lost(kit)
    await kit.payments.cancel_booking(booking_id, OPERATOR)

    await _pass(kit, 3 * HOUR, webhooks=webhooks)

    (payment,) = await _payments(kit, booking_id)
    assert (payment.status, payment.late, payment.refunded.minor) == (PaymentStatus.SUCCEEDED, True, 10_000)
    assert (_kept(kit), payment.lost, payment.is_final) == (0, (), True)


@pytest.mark.parametrize("webhooks", [True, False], ids=["webhook", "resolver alone"])
async def test_a_charge_that_appears_after_a_second_payment_is_refunded(kit: PaymentsTestKit, webhooks: bool) -> None:
    booking_id = await _lost(kit, appears=HOUR)
    await _until_lost(kit)
    await pay(kit, booking_id)

    await _pass(kit, 3 * HOUR, webhooks=webhooks)

    old, new = await _payments(kit, booking_id)
    assert (old.late, old.refunded.minor, new.late, new.refunded.minor) == (True, 10_000, False, 0)
    assert (_kept(kit), await _status(kit, booking_id)) == (10_000, BookingStatus.CONFIRMED)


async def test_a_charge_that_appears_for_a_pending_booking_pays_it(kit: PaymentsTestKit) -> None:
    booking_id = await _lost(kit, appears=HOUR)

    await _pass(kit, 3 * HOUR)

    assert (await _status(kit, booking_id), _kept(kit)) == (BookingStatus.CONFIRMED, 10_000)


async def test_a_charge_that_appears_during_a_second_payment_is_refunded(kit: PaymentsTestKit) -> None:
    booking_id = await _lost(kit, appears=HOUR)
    await _until_lost(kit)
    kit.clock.advance(HOUR - 13 * MINUTE)
    kit.stripe.faults.script(CREATE, "slow", times=1)

    async def webhooks() -> None:
        await kit.deliver_webhooks()

    kit.clock.meanwhile(webhooks)  # while the new charge is on its way
    await pay(kit, booking_id)
    await _pass(kit, HOUR)

    old, new = await _payments(kit, booking_id)
    assert (old.refunded.minor, new.refunded.minor, _kept(kit)) == (10_000, 0, 10_000)


@pytest.mark.parametrize(
    ("after", "found"),
    [(timedelta(hours=24) - timedelta(seconds=1), True), (timedelta(hours=26), False)],
    ids=["at the end of the day", "when the key is forgotten"],
)
async def test_a_lost_call_is_watched_until_its_key_is_a_day_old(
    kit: PaymentsTestKit, after: timedelta, found: bool
) -> None:
    booking_id = await _lost(kit, appears=after)
    await _until_lost(kit)
    await kit.payments.cancel_booking(booking_id, OPERATOR)

    await _pass(kit, timedelta(hours=28), step=timedelta(minutes=30))

    (payment,) = await _payments(kit, booking_id)
    assert (payment.status is PaymentStatus.SUCCEEDED, payment.lost) == (found, ())
    assert _kept(kit) == (0 if found else 10_000)


async def test_a_failed_search_does_not_end_the_watch(kit: PaymentsTestKit) -> None:
    booking_id = await _lost(kit)
    await _until_lost(kit)
    kit.stripe.faults.script(LIST, "503", times=9_999)

    await _pass(kit, timedelta(hours=26), step=timedelta(minutes=30))
    during = (await payment_of(kit, booking_id)).lost
    kit.stripe.faults.clear()
    await _pass(kit, timedelta(hours=26), step=timedelta(minutes=30))

    assert (len(during), (await payment_of(kit, booking_id)).lost) == (1, ())


@pytest.mark.parametrize("card", ["pm_card_authenticationRequired", "pm_card_chargeDeclined"])
async def test_an_unpaid_intent_that_appears_is_canceled(kit: PaymentsTestKit, card: str) -> None:
    booking = await kit.book()
    kit.stripe.faults.script(CREATE, "500_later", delay=HOUR)
    with pytest.raises(OutcomeUnknown):
        await pay(kit, booking, card)
    await _until_lost(kit)
    await pay(kit, booking)

    await _pass(kit, 3 * HOUR)

    old, new = await _payments(kit, booking.id)
    statuses = {each["id"]: each["status"] for each in _all(kit, "payment_intents")}
    assert statuses == {old.intent_id: "canceled", new.intent_id: "succeeded"}
    assert (old.status, old.lost) == (PaymentStatus.CANCELED, ())


async def test_an_authorization_that_appears_is_released(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    kit.stripe.faults.script(CREATE, "500_later", delay=HOUR)
    with pytest.raises(OutcomeUnknown):
        await pay(kit, booking, capture_method=CaptureMethod.MANUAL)
    await _until_lost(kit)
    await kit.payments.cancel_booking(booking.id, OPERATOR)

    await _pass(kit, 3 * HOUR)

    (intent,) = _all(kit, "payment_intents")
    assert (intent["status"], (await payment_of(kit, booking)).lost) == ("canceled", ())


async def test_a_processing_debit_that_appears_is_refunded_once_it_succeeds(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    kit.stripe.faults.script(CREATE, "500_later", delay=HOUR)
    with pytest.raises(OutcomeUnknown):
        await pay(kit, booking, "pm_usBankAccount_success")
    await _until_lost(kit)
    await kit.payments.cancel_booking(booking.id, OPERATOR)

    await _pass(kit, 6 * HOUR)

    assert ((await payment_of(kit, booking)).refunded.minor, _kept(kit)) == (10_000, 0)


async def test_reconciliation_finds_a_lost_charge_too(kit: PaymentsTestKit) -> None:
    booking_id = await _lost(kit, appears=HOUR)
    await _until_lost(kit)
    await kit.payments.cancel_booking(booking_id, OPERATOR)
    kit.clock.advance(HOUR)
    kit.stripe.tick()

    result = await kit.payments.reconcile()
    await _pass(kit, 5 * MINUTE)

    assert ([each.code for each in result.left], _kept(kit)) == ([], 0)


async def test_the_journal_contains_the_steps_of_a_lost_call(kit: PaymentsTestKit) -> None:
    booking_id = await _lost(kit, appears=HOUR)
    await _until_lost(kit)
    await kit.payments.cancel_booking(booking_id, OPERATOR)
    await _pass(kit, 3 * HOUR)

    events = [type(each.event) for each in await kit.payments.journal(booking_id)]
    story = [ev.OutcomeLeftUnknown, *[ev.CallNotFound] * 3, ev.CallGivenUp, ev.PaymentCanceled, ev.LostCallEnded]
    assert [each for each in events if each in story] == story


# --- changes of a known intent ---------------------------------------------------------------------


async def test_a_confirmation_with_a_stored_500_is_lost_after_the_same_time(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    booking_id = view.payment.booking_id
    kit.stripe.faults.script("POST /v1/payment_intents/{id}/confirm", "500_later", delay=HOUR)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.confirm_payment(booking_id, ANN, payment_method_id=VISA)

    await _until_lost(kit)
    settled = await payment_of(kit, booking_id)
    await kit.payments.cancel_booking(booking_id, OPERATOR)
    await _pass(kit, 2 * HOUR)

    assert (settled.operation, settled.status.is_open, settled.attempts_left) == (None, True, 3)
    assert (_kept(kit), [each["status"] for each in _all(kit, "payment_intents")]) == (0, ["canceled"])


async def test_a_capture_with_a_stored_500_can_be_requested_again(kit: PaymentsTestKit) -> None:
    view = await authorize(kit)
    kit.stripe.faults.script("POST /v1/payment_intents/{id}/capture", "500_before")
    with pytest.raises(OutcomeUnknown):
        await kit.payments.capture_payment(view.payment.booking_id, OPERATOR)

    await _until_lost(kit)
    again = await kit.payments.capture_payment(view.payment.booking_id, OPERATOR)

    assert (again.payment.status, _kept(kit)) == (PaymentStatus.SUCCEEDED, 10_000)


async def test_a_cancellation_with_a_stored_500_is_sent_again_with_a_new_key(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    kit.stripe.faults.script("POST /v1/payment_intents/{id}/cancel", "500_before")
    with pytest.raises(OutcomeUnknown):
        await kit.payments.cancel_booking(view.payment.booking_id, OPERATOR)

    await _until_lost(kit)

    assert await _status(kit, view.payment.booking_id) is BookingStatus.CANCELED
    assert [each["status"] for each in _all(kit, "payment_intents")] == ["canceled"]


# --- refunds ---------------------------------------------------------------------------------------------------


async def _lost_refund(kit: PaymentsTestKit, amount: str | None, *, appears: timedelta | None = None) -> str:
    booking = await paid_booking(kit, deliver=True)
    fault, delay = ("500_before", timedelta()) if appears is None else ("500_later", appears)
    kit.stripe.faults.script(REFUND, fault, delay=delay)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.refund_payment(booking.id, ANN, amount=amount)
    return booking.id


def _keys(kit: PaymentsTestKit) -> set[str | None]:
    return {call.key for call in kit.stripe.calls if f"{call.method} {call.path}" == REFUND}


async def test_a_missing_full_refund_is_sent_again_with_a_new_key(kit: PaymentsTestKit) -> None:
    booking_id = await _lost_refund(kit, None)
    await _pass(kit, UNTIL_THIRD_WALK, step=timedelta(seconds=10))
    before = (await payment_of(kit, booking_id)).operation

    await _pass(kit, 2 * MINUTE)

    payment = await payment_of(kit, booking_id)
    assert before is not None
    assert ([each.status for each in payment.refunds], payment.refunded.minor) == ([RefundStatus.SUCCEEDED], 10_000)
    assert (len(_keys(kit)), _kept(kit), len(payment.lost)) == (2, 0, 1)


async def test_the_first_call_of_a_full_refund_cannot_pay_out_a_second_time(kit: PaymentsTestKit) -> None:
    booking_id = await _lost_refund(kit, None, appears=HOUR)

    await _pass(kit, timedelta(hours=26), step=timedelta(minutes=30))

    payment = await payment_of(kit, booking_id)
    assert (_kept(kit), payment.refunded.minor, len(_all(kit, "refunds"))) == (0, 10_000, 1)
    assert (payment.lost, payment.owed.amount.minor) == ((), 0)


async def test_a_partial_refund_is_not_sent_again_while_the_first_call_could_still_pay_it(
    kit: PaymentsTestKit,
) -> None:
    booking_id = await _lost_refund(kit, "50.00")
    await _pass(kit, timedelta(hours=23), step=timedelta(minutes=30))
    waiting = await payment_of(kit, booking_id)

    await _pass(kit, timedelta(hours=2), step=timedelta(minutes=30))

    payment = await payment_of(kit, booking_id)
    assert (waiting.operation, waiting.refunded.minor, waiting.owed_waiting.minor) == (None, 0, 5_000)
    assert (payment.refunded.minor, len(_keys(kit)), _kept(kit)) == (5_000, 2, 5_000)


@pytest.mark.parametrize(("amount", "sent"), [("50.00", 0), ("50.01", 5_001)])
async def test_a_refund_is_sent_again_at_once_only_if_both_together_exceed_the_captured_amount(
    kit: PaymentsTestKit, amount: str, sent: int
) -> None:
    booking_id = await _lost_refund(kit, amount)

    await _pass(kit, HOUR)

    assert (await payment_of(kit, booking_id)).refunded.minor == sent


@pytest.mark.parametrize("webhooks", [True, False], ids=["webhook", "resolver alone"])
async def test_a_partial_refund_that_appears_later_is_recorded_as_that_refund(
    kit: PaymentsTestKit, webhooks: bool
) -> None:
    booking_id = await _lost_refund(kit, "40.00", appears=HOUR)
    asked = (await payment_of(kit, booking_id)).refunds[0].id

    await _pass(kit, timedelta(hours=26), step=timedelta(minutes=30), webhooks=webhooks)

    payment = await payment_of(kit, booking_id)
    booked = [(each.id, each.status, each.amount.minor) for each in payment.refunds]
    assert booked == [(asked, RefundStatus.SUCCEEDED, 4_000)]
    assert (_kept(kit), payment.lost, payment.deferred, payment.owed.amount.minor) == (6_000, (), (), 0)


async def test_a_lost_refund_does_not_block_another_within_the_refundable_amount(kit: PaymentsTestKit) -> None:
    booking_id = await _lost_refund(kit, "40.00", appears=HOUR)
    await _until_lost(kit)

    await kit.payments.refund_payment(booking_id, OPERATOR, amount="60.00")
    await _pass(kit, timedelta(hours=26), step=timedelta(minutes=30))

    assert ((await payment_of(kit, booking_id)).refunded.minor, _kept(kit)) == (10_000, 0)


async def test_a_lost_refund_keeps_its_amount_reserved(kit: PaymentsTestKit) -> None:
    booking_id = await _lost_refund(kit, "40.00")
    await _until_lost(kit)

    quote = await kit.payments.quote_refund(booking_id, OPERATOR)

    assert quote.amount.minor == 6_000


async def test_both_refunds_are_recorded_when_the_second_fails_and_the_first_appears(kit: PaymentsTestKit) -> None:
    booking_id = await _lost_refund(kit, None, appears=3 * HOUR)
    await _pass(kit, HOUR)
    (refund,) = _all(kit, "refunds")
    kit.stripe.fail_refund(refund["id"])

    await _pass(kit, timedelta(hours=26), step=timedelta(minutes=30), webhooks=True)

    payment = await payment_of(kit, booking_id)
    booked = sorted((each.status.value, each.amount.minor) for each in payment.refunds)
    assert booked == [("failed", 10_000), ("succeeded", 10_000)]
    assert (_kept(kit), payment.refunded.minor, payment.owed.amount.minor) == (0, 10_000, 0)


async def test_a_lost_refund_of_a_canceled_booking_follows_the_same_rule(kit: PaymentsTestKit) -> None:
    booking = await paid_booking(kit, deliver=True)
    kit.stripe.faults.script(REFUND, "500_before")
    with suppress(OutcomeUnknown, RefundRefused):
        await kit.payments.cancel_booking(booking.id, OPERATOR)

    await _until_lost(kit)
    await _pass(kit, MINUTE)

    assert (await _status(kit, booking.id), _kept(kit)) == (BookingStatus.CANCELED, 0)


async def test_the_ten_minutes_begin_with_the_first_response_when_the_first_process_died_before_its_call(
    kit: PaymentsTestKit,
) -> None:
    booking = await die_while_paying(kit)
    kit.stripe.faults.clear()
    kit.clock.advance(HOUR)
    for each in _all(kit, "payment_intents"):  # the call of the dead process never arrived
        kit.stripe._account.remove(kit.stripe._account.get("payment_intent", each["id"]))
    kit.stripe._account.table("idempotency_key").clear()
    kit.stripe.faults.script(CREATE, "500_before")

    await _pass(kit, 9 * MINUTE, step=timedelta(seconds=30))

    assert _walks(await payment_of(kit, booking)) == 0


@pytest.mark.parametrize("price", ["120.00", "80.00"])
async def test_money_at_an_old_price_goes_back_and_the_booking_is_paid_at_its_present_one(
    kit: PaymentsTestKit, price: str
) -> None:
    booking_id = await _lost(kit, appears=HOUR)
    await _until_lost(kit)
    await kit.payments.amend_booking(booking_id, BookingChange(amount=Money.parse(price, Currency.USD)), OPERATOR)
    await _pass(kit, 2 * HOUR, step=15 * MINUTE, webhooks=True)

    (late,) = await _payments(kit, booking_id)
    waits = await _status(kit, booking_id)
    paid = await pay(kit, booking_id)

    assert (late.late, late.refunded.major(), waits) == (True, "100.00", BookingStatus.PENDING)
    assert (paid.payment.captured.major(), await _status(kit, booking_id)) == (price, BookingStatus.CONFIRMED)
    assert _kept(kit) == paid.payment.captured.minor
