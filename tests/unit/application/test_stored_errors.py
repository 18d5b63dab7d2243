"""A 500 that the gateway has stored under a key: what the call was to make is looked for, the call given up when it is
nowhere, and watched for as long as it may still turn up. The rule stands in ``domain/decisions/lost.py``."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from booking_payments.adapters.gateways.fake.gateway import FakeGateway, ModelTransport
from booking_payments.adapters.gateways.stripe.gateway import Reply
from booking_payments.adapters.gateways.stripe.requests import Params
from booking_payments.application.world import PaymentConfig
from booking_payments.domain import events as ev
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.errors import AlreadyUnderWay, OutcomeUnknown, RefundRefused
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.payment import Payment
from booking_payments.ports.gateway import Silent
from booking_payments.ports.storage import Storage
from booking_payments.testing.house import ANN, OPERATOR, House
from tests.payments import CREATE, VISA, authorize, die_while_paying, lose_answer, paid_booking, pay, payment_of, start
from tests.unit.application.saboteur import use_gateway

LIST = "GET /v1/payment_intents"
REFUND = "POST /v1/refunds"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
UNTIL_THIRD_WALK = timedelta(minutes=11, seconds=50)
"""Walks are counted ten, eleven and twelve minutes after the first sending."""


async def _pass(house: House, span: timedelta, *, step: timedelta = MINUTE, webhooks: bool = False) -> None:
    """Let time pass, with the background work of every minute done."""
    until = house.clock.now() + span
    while house.clock.now() < until:
        house.clock.advance(min(step, until - house.clock.now()))
        house.stripe.tick()
        if webhooks:
            await house.deliver_webhooks()
        await house.payments.work()


async def _until_lost(house: House) -> None:
    """Until the third walk has been counted, with the background work done every ten seconds as it comes near."""
    await _pass(house, 9 * MINUTE, step=9 * MINUTE)
    await _pass(house, 4 * MINUTE, step=timedelta(seconds=10))


async def _lost(house: House, *, appears: timedelta | None = None, **booking: Any) -> str:
    """A booking whose payment was answered with a stored 500; ``appears`` after it Stripe completes the request."""
    registered = await house.book(**booking)
    fault, delay = ("500_before", timedelta()) if appears is None else ("500_later", appears)
    house.stripe.faults.script(CREATE, fault, delay=delay)
    with pytest.raises(OutcomeUnknown):
        await pay(house, registered)
    return registered.id


async def _payments(house: House, booking_id: str) -> Sequence[Payment]:
    return await house.storage.read(lambda uow: uow.payments.of_booking(booking_id))


async def _status(house: House, booking_id: str) -> BookingStatus:
    return (await house.payments.get_booking(booking_id)).status


def _all(house: House, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = house.stripe.call("GET", f"/v1/{kind}", {"limit": 100}).body["data"]
    return found[::-1]


def _kept(house: House) -> int:
    """What is left at the gateway of all that was charged, in minor units."""
    return sum(each["amount_captured"] - each["amount_refunded"] for each in _all(house, "charges") if each["paid"])


def _walks(payment: Payment) -> int:
    return payment.operation.walks if payment.operation else -1


# --- when a call is lost ---------------------------------------------------------------------------------------


async def test_an_intent_that_is_nowhere_blocks_its_booking_for_ten_minutes_and_three_walks(house: House) -> None:
    booking_id = await _lost(house)
    await _pass(house, UNTIL_THIRD_WALK, step=timedelta(seconds=10))
    with pytest.raises(AlreadyUnderWay):
        await house.payments.cancel_booking(booking_id, OPERATOR)
    before = await payment_of(house, booking_id)

    await _pass(house, MINUTE, step=timedelta(seconds=10))

    payment = await payment_of(house, booking_id)
    assert (_walks(before), payment.operation, payment.status) == (2, None, PaymentStatus.CANCELED)
    canceled = await house.payments.cancel_booking(booking_id, OPERATOR)
    assert (canceled.status, _all(house, "payment_intents")) == (BookingStatus.CANCELED, [])


@pytest.mark.parametrize(
    ("begun", "counted"),
    [(timedelta(minutes=10) - timedelta(microseconds=1), 0), (timedelta(minutes=10), 1)],
    ids=["just before ten minutes", "at ten minutes"],
)
async def test_a_walk_counts_from_ten_minutes_after_the_first_sending(
    house: House, begun: timedelta, counted: int
) -> None:
    booking_id = await _lost(house)
    operation = (await payment_of(house, booking_id)).operation
    assert operation is not None
    assert operation.stored_at is not None
    house.clock.advance(operation.stored_at + begun - house.clock.now())

    with pytest.raises(OutcomeUnknown):
        await pay(house, booking_id)

    assert _walks(await payment_of(house, booking_id)) == counted


@pytest.mark.parametrize(("apart", "counted"), [(MINUTE - timedelta(microseconds=1), 1), (MINUTE, 2)])
async def test_two_walks_within_a_minute_count_as_one(house: House, apart: timedelta, counted: int) -> None:
    booking_id = await _lost(house)
    house.clock.advance(timedelta(minutes=11))

    for pause in (timedelta(), apart):
        house.clock.advance(pause)
        with pytest.raises(OutcomeUnknown):
            await pay(house, booking_id)

    assert _walks(await payment_of(house, booking_id)) == counted


async def test_the_customer_may_pay_again_with_a_new_payment_as_soon_as_the_old_one_is_lost(house: House) -> None:
    booking_id = await _lost(house)
    house.clock.advance(timedelta(minutes=10))
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await pay(house, booking_id)
        house.clock.advance(MINUTE)

    view = await pay(house, booking_id)  # its third walk settles the old one, and then it pays

    old, new = await _payments(house, booking_id)
    assert (view.payment.id, new.status, old.status) == (new.id, PaymentStatus.SUCCEEDED, PaymentStatus.CANCELED)
    assert (await _status(house, booking_id), _kept(house)) == (BookingStatus.CONFIRMED, 10_000)


async def test_a_payment_that_was_only_to_be_started_is_lost_likewise(house: House) -> None:
    booking = await house.book()
    house.stripe.faults.script(CREATE, "500_before")
    with pytest.raises(OutcomeUnknown):
        await house.payments.start_payment(booking.id, ANN)

    await _until_lost(house)

    assert (await payment_of(house, booking)).status is PaymentStatus.CANCELED
    assert (await house.payments.start_payment(booking.id, ANN)).handover is not None


async def test_an_overdue_booking_expires_when_its_payment_is_lost_and_not_before(house: House) -> None:
    booking_id = await _lost(house, expires_in=timedelta(minutes=5))
    await _pass(house, UNTIL_THIRD_WALK, step=timedelta(seconds=10))
    before = await _status(house, booking_id)

    await _pass(house, 2 * MINUTE)

    assert (before, await _status(house, booking_id)) == (BookingStatus.PENDING, BookingStatus.EXPIRED)


class HalfAList(ModelTransport):
    """Lists whose second page never comes, for as long as ``broken`` is set."""

    broken = True

    async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> Reply:
        if self.broken and "starting_after" in params:
            raise Silent("no answer", code="timeout")
        return await super().call(method, path, params, idempotency_key)


async def test_a_walk_that_breaks_off_midway_does_not_count(house: House) -> None:
    booking_id = await _lost(house, appears=timedelta(seconds=30))
    for _ in range(101):  # what others make on the same account comes before it in the list
        house.stripe.call("POST", "/v1/payment_intents", {"amount": 2000, "currency": "usd"})
        house.clock.advance(timedelta(seconds=1))
    gateway = FakeGateway(house.stripe, house.clock)
    gateway._transport = line = HalfAList(house.stripe, house.clock)
    use_gateway(house, gateway)

    await _pass(house, 2 * HOUR)
    during = await payment_of(house, booking_id)
    line.broken = False
    await _pass(house, 2 * HOUR)

    assert (during.operation is not None, _walks(during)) == (True, 0)
    assert (await payment_of(house, booking_id)).status is PaymentStatus.SUCCEEDED


async def test_a_page_that_promises_more_and_brings_nothing_is_no_end_of_the_list(house: House) -> None:
    class NoMore(ModelTransport):
        async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> Reply:
            if f"{method} {path}" == LIST:
                return Reply({"object": "list", "data": [], "has_more": True})
            return await super().call(method, path, params, idempotency_key)

    booking_id = await _lost(house)
    gateway = FakeGateway(house.stripe, house.clock)
    gateway._transport = NoMore(house.stripe, house.clock)
    use_gateway(house, gateway)

    await _pass(house, HOUR)

    assert _walks(await payment_of(house, booking_id)) == 0


@pytest.mark.parametrize("behind", [timedelta(minutes=59), timedelta(minutes=7), -HOUR], ids=["59m", "7m", "ahead"])
async def test_an_intent_is_found_whatever_the_gateways_clock_says(storage: Storage, behind: timedelta) -> None:
    house = House(storage=storage, gateway_behind=behind)
    booking_id = await _lost(house, appears=timedelta(minutes=1))

    await _until_lost(house)

    assert (await payment_of(house, booking_id)).status is PaymentStatus.SUCCEEDED


async def test_an_intent_of_another_installation_with_the_same_payment_is_not_ours(storage: Storage) -> None:
    house = House(storage=storage, config=PaymentConfig(installation_id="ours"))
    booking_id = await _lost(house)
    payment = await payment_of(house, booking_id)
    theirs = {"payment_id": payment.id, "installation_id": "theirs"}
    house.stripe.call("POST", "/v1/payment_intents", {"amount": 10_000, "currency": "usd", "metadata": theirs})

    await _until_lost(house)

    assert ((await payment_of(house, booking_id)).status, (await payment_of(house, booking_id)).intent_id) == (
        PaymentStatus.CANCELED,
        None,
    )


async def test_silence_that_is_no_stored_error_is_not_lost(house: House) -> None:
    booking_id = await lose_answer(house, "503")
    house.stripe.faults.script(CREATE, "503", times=999)

    await _pass(house, HOUR)

    operation = (await payment_of(house, booking_id)).operation
    assert operation is not None
    assert operation.walks == 0


async def test_many_lost_intents_share_one_walk(house: House) -> None:
    for number in range(20):
        await _lost(house, reference=f"R-{number}")
    house.clock.advance(timedelta(minutes=11))
    house.stripe.calls.clear()

    await house.payments.settle_due()

    walked = [call for call in house.stripe.calls if f"{call.method} {call.path}" == LIST]
    page = await house.payments.list_payments(limit=50)
    assert (len(walked), {_walks(each) for each in page.items}) == (1, {1})


async def test_what_was_counted_outlives_the_process(house: House) -> None:
    """Another process, which remembers nothing, goes on counting."""
    booking_id = await _lost(house)
    await _pass(house, UNTIL_THIRD_WALK, step=timedelta(seconds=10))
    other = House(storage=house.storage, seed=2)
    other.clock.advance(house.clock.now() - other.clock.now())
    other.stripe = house.stripe
    use_gateway(other, FakeGateway(house.stripe, other.clock))

    other.clock.advance(MINUTE)
    await other.payments.work()

    assert (await payment_of(other, booking_id)).status is PaymentStatus.CANCELED


# --- what turns up later ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("webhooks", [True, False], ids=["webhook", "resolver alone"])
async def test_a_charge_that_appears_an_hour_later_goes_back_when_the_booking_was_canceled(
    house: House, webhooks: bool
) -> None:
    booking_id = await _lost(house, appears=HOUR)
    await _until_lost(house)
    await house.payments.cancel_booking(booking_id, OPERATOR)

    await _pass(house, 3 * HOUR, webhooks=webhooks)

    (payment,) = await _payments(house, booking_id)
    assert (payment.status, payment.late, payment.refunded.minor) == (PaymentStatus.SUCCEEDED, True, 10_000)
    assert (_kept(house), payment.lost, payment.is_final) == (0, (), True)


@pytest.mark.parametrize("webhooks", [True, False], ids=["webhook", "resolver alone"])
async def test_a_charge_that_appears_after_the_customer_has_paid_again_goes_back(house: House, webhooks: bool) -> None:
    booking_id = await _lost(house, appears=HOUR)
    await _until_lost(house)
    await pay(house, booking_id)

    await _pass(house, 3 * HOUR, webhooks=webhooks)

    old, new = await _payments(house, booking_id)
    assert (old.late, old.refunded.minor, new.late, new.refunded.minor) == (True, 10_000, False, 0)
    assert (_kept(house), await _status(house, booking_id)) == (10_000, BookingStatus.CONFIRMED)


async def test_a_charge_that_appears_for_a_booking_that_still_waits_pays_it(house: House) -> None:
    booking_id = await _lost(house, appears=HOUR)

    await _pass(house, 3 * HOUR)

    assert (await _status(house, booking_id), _kept(house)) == (BookingStatus.CONFIRMED, 10_000)


async def test_the_old_charge_appears_at_the_very_moment_at_which_the_customer_pays_again(house: House) -> None:
    booking_id = await _lost(house, appears=HOUR)
    await _until_lost(house)
    house.clock.advance(HOUR - 13 * MINUTE)
    house.stripe.faults.script(CREATE, "slow", times=1)

    async def webhooks() -> None:
        await house.deliver_webhooks()

    house.clock.meanwhile(webhooks)  # while the new charge is on its way
    await pay(house, booking_id)
    await _pass(house, HOUR)

    old, new = await _payments(house, booking_id)
    assert (old.refunded.minor, new.refunded.minor, _kept(house)) == (10_000, 0, 10_000)


@pytest.mark.parametrize(
    ("after", "found"),
    [(timedelta(hours=24) - timedelta(seconds=1), True), (timedelta(hours=26), False)],
    ids=["at the end of the day", "when the key is forgotten"],
)
async def test_a_lost_call_is_watched_until_its_key_is_a_day_old(house: House, after: timedelta, found: bool) -> None:
    booking_id = await _lost(house, appears=after)
    await _until_lost(house)
    await house.payments.cancel_booking(booking_id, OPERATOR)

    await _pass(house, timedelta(hours=28), step=timedelta(minutes=10))

    (payment,) = await _payments(house, booking_id)
    assert (payment.status is PaymentStatus.SUCCEEDED, payment.lost) == (found, ())
    assert _kept(house) == (0 if found else 10_000)


async def test_a_walk_that_fails_does_not_end_the_watch(house: House) -> None:
    booking_id = await _lost(house)
    await _until_lost(house)
    house.stripe.faults.script(LIST, "503", times=9_999)

    await _pass(house, timedelta(hours=26), step=timedelta(minutes=30))
    during = (await payment_of(house, booking_id)).lost
    house.stripe.faults.clear()
    await _pass(house, timedelta(hours=26), step=timedelta(minutes=30))

    assert (len(during), (await payment_of(house, booking_id)).lost) == (1, ())


@pytest.mark.parametrize("card", ["pm_card_authenticationRequired", "pm_card_chargeDeclined"])
async def test_an_intent_that_appears_and_may_still_be_paid_is_canceled(house: House, card: str) -> None:
    booking = await house.book()
    house.stripe.faults.script(CREATE, "500_later", delay=HOUR)
    with pytest.raises(OutcomeUnknown):
        await pay(house, booking, card)
    await _until_lost(house)
    await pay(house, booking)

    await _pass(house, 3 * HOUR)

    old, new = await _payments(house, booking.id)
    statuses = {each["id"]: each["status"] for each in _all(house, "payment_intents")}
    assert statuses == {old.intent_id: "canceled", new.intent_id: "succeeded"}
    assert (old.status, old.lost) == (PaymentStatus.CANCELED, ())


async def test_money_that_appears_held_is_released(house: House) -> None:
    booking = await house.book()
    house.stripe.faults.script(CREATE, "500_later", delay=HOUR)
    with pytest.raises(OutcomeUnknown):
        await pay(house, booking, capture_method=CaptureMethod.MANUAL)
    await _until_lost(house)
    await house.payments.cancel_booking(booking.id, OPERATOR)

    await _pass(house, 3 * HOUR)

    (intent,) = _all(house, "payment_intents")
    assert (intent["status"], (await payment_of(house, booking)).lost) == ("canceled", ())


async def test_a_debit_that_appears_is_waited_for_and_goes_back(house: House) -> None:
    booking = await house.book()
    house.stripe.faults.script(CREATE, "500_later", delay=HOUR)
    with pytest.raises(OutcomeUnknown):
        await pay(house, booking, "pm_usBankAccount_success")
    await _until_lost(house)
    await house.payments.cancel_booking(booking.id, OPERATOR)

    await _pass(house, 6 * HOUR)

    assert ((await payment_of(house, booking)).refunded.minor, _kept(house)) == (10_000, 0)


async def test_reconcile_finds_it_too(house: House) -> None:
    booking_id = await _lost(house, appears=HOUR)
    await _until_lost(house)
    await house.payments.cancel_booking(booking_id, OPERATOR)
    house.clock.advance(HOUR)
    house.stripe.tick()

    result = await house.payments.reconcile()
    await _pass(house, 5 * MINUTE)

    assert ([each.code for each in result.left], _kept(house)) == ([], 0)


async def test_the_journal_says_how_it_went(house: House) -> None:
    booking_id = await _lost(house, appears=HOUR)
    await _until_lost(house)
    await house.payments.cancel_booking(booking_id, OPERATOR)
    await _pass(house, 3 * HOUR)

    facts = [type(each.event) for each in await house.payments.journal(booking_id)]
    story = [ev.OutcomeLeftUnknown, *[ev.CallNotFound] * 3, ev.CallGivenUp, ev.PaymentCanceled, ev.LostCallEnded]
    assert [each for each in facts if each in story] == story


# --- a known intent that was to be changed ---------------------------------------------------------------------


async def test_a_stored_500_on_a_confirmation_blocks_no_longer_either(house: House) -> None:
    view = await start(house)
    booking_id = view.payment.booking_id
    house.stripe.faults.script("POST /v1/payment_intents/{id}/confirm", "500_later", delay=HOUR)
    with pytest.raises(OutcomeUnknown):
        await house.payments.confirm_payment(booking_id, ANN, payment_method_id=VISA)

    await _until_lost(house)
    settled = await payment_of(house, booking_id)
    await house.payments.cancel_booking(booking_id, OPERATOR)
    await _pass(house, 2 * HOUR)

    assert (settled.operation, settled.status.is_open, settled.attempts_left) == (None, True, 3)
    assert (_kept(house), [each["status"] for each in _all(house, "payment_intents")]) == (0, ["canceled"])


async def test_a_stored_500_on_a_capture_may_be_asked_for_again(house: House) -> None:
    view = await authorize(house)
    house.stripe.faults.script("POST /v1/payment_intents/{id}/capture", "500_before")
    with pytest.raises(OutcomeUnknown):
        await house.payments.capture_payment(view.payment.booking_id, OPERATOR)

    await _until_lost(house)
    again = await house.payments.capture_payment(view.payment.booking_id, OPERATOR)

    assert (again.payment.status, _kept(house)) == (PaymentStatus.SUCCEEDED, 10_000)


async def test_a_stored_500_on_a_cancelation_is_asked_for_again_under_a_new_key(house: House) -> None:
    view = await start(house)
    house.stripe.faults.script("POST /v1/payment_intents/{id}/cancel", "500_before")
    with pytest.raises(OutcomeUnknown):
        await house.payments.cancel_booking(view.payment.booking_id, OPERATOR)

    await _until_lost(house)

    assert await _status(house, view.payment.booking_id) is BookingStatus.CANCELED
    assert [each["status"] for each in _all(house, "payment_intents")] == ["canceled"]


# --- refunds ---------------------------------------------------------------------------------------------------


async def _lost_refund(house: House, amount: str | None, *, appears: timedelta | None = None) -> str:
    booking = await paid_booking(house, deliver=True)
    fault, delay = ("500_before", timedelta()) if appears is None else ("500_later", appears)
    house.stripe.faults.script(REFUND, fault, delay=delay)
    with pytest.raises(OutcomeUnknown):
        await house.payments.refund_payment(booking.id, ANN, amount=amount)
    return booking.id


def _keys(house: House) -> set[str | None]:
    return {call.key for call in house.stripe.calls if f"{call.method} {call.path}" == REFUND}


async def test_a_whole_refund_that_is_nowhere_is_sent_again_under_a_new_key(house: House) -> None:
    booking_id = await _lost_refund(house, None)
    await _pass(house, UNTIL_THIRD_WALK, step=timedelta(seconds=10))
    before = (await payment_of(house, booking_id)).operation

    await _pass(house, 2 * MINUTE)

    payment = await payment_of(house, booking_id)
    assert before is not None
    assert ([each.status for each in payment.refunds], payment.refunded.minor) == ([RefundStatus.SUCCEEDED], 10_000)
    assert (len(_keys(house)), _kept(house), len(payment.lost)) == (2, 0, 1)


async def test_the_old_sending_of_a_whole_refund_can_not_pay_out_a_second_time(house: House) -> None:
    booking_id = await _lost_refund(house, None, appears=HOUR)

    await _pass(house, timedelta(hours=26), step=timedelta(minutes=10))

    payment = await payment_of(house, booking_id)
    assert (_kept(house), payment.refunded.minor, len(_all(house, "refunds"))) == (0, 10_000, 1)
    assert (payment.lost, payment.owed.amount.minor) == ((), 0)


async def test_a_refund_of_a_part_is_not_sent_again_while_the_old_sending_could_pay_it_too(house: House) -> None:
    booking_id = await _lost_refund(house, "50.00")
    await _pass(house, timedelta(hours=23), step=timedelta(minutes=10))
    waiting = await payment_of(house, booking_id)

    await _pass(house, timedelta(hours=2), step=timedelta(minutes=10))

    payment = await payment_of(house, booking_id)
    assert (waiting.operation, waiting.refunded.minor, waiting.owed_waiting.minor) == (None, 0, 5_000)
    assert (payment.refunded.minor, len(_keys(house)), _kept(house)) == (5_000, 2, 5_000)


@pytest.mark.parametrize(("amount", "sent"), [("50.00", 0), ("50.01", 5_001)])
async def test_a_refund_is_sent_again_at_once_only_if_both_would_be_more_than_was_captured(
    house: House, amount: str, sent: int
) -> None:
    booking_id = await _lost_refund(house, amount)

    await _pass(house, HOUR)

    assert (await payment_of(house, booking_id)).refunded.minor == sent


@pytest.mark.parametrize("webhooks", [True, False], ids=["webhook", "resolver alone"])
async def test_a_part_that_appears_an_hour_later_is_booked_as_the_refund_that_it_is(
    house: House, webhooks: bool
) -> None:
    booking_id = await _lost_refund(house, "40.00", appears=HOUR)
    asked = (await payment_of(house, booking_id)).refunds[0].id

    await _pass(house, timedelta(hours=26), step=timedelta(minutes=10), webhooks=webhooks)

    payment = await payment_of(house, booking_id)
    booked = [(each.id, each.status, each.amount.minor) for each in payment.refunds]
    assert booked == [(asked, RefundStatus.SUCCEEDED, 4_000)]
    assert (_kept(house), payment.lost, payment.deferred, payment.owed.amount.minor) == (6_000, (), (), 0)


async def test_a_lost_refund_blocks_no_other_within_what_is_left(house: House) -> None:
    booking_id = await _lost_refund(house, "40.00", appears=HOUR)
    await _until_lost(house)

    await house.payments.refund_payment(booking_id, OPERATOR, amount="60.00")
    await _pass(house, timedelta(hours=26), step=timedelta(minutes=10))

    assert ((await payment_of(house, booking_id)).refunded.minor, _kept(house)) == (10_000, 0)


async def test_a_lost_refund_keeps_its_amount_reserved(house: House) -> None:
    booking_id = await _lost_refund(house, "40.00")
    await _until_lost(house)

    quote = await house.payments.quote_refund(booking_id, OPERATOR)

    assert quote.amount.minor == 6_000


async def test_both_sendings_are_booked_when_the_new_one_fails_and_the_old_one_appears(house: House) -> None:
    booking_id = await _lost_refund(house, None, appears=3 * HOUR)
    await _pass(house, HOUR)
    (refund,) = _all(house, "refunds")
    house.stripe.fail_refund(refund["id"])

    await _pass(house, timedelta(hours=26), step=timedelta(minutes=10), webhooks=True)

    payment = await payment_of(house, booking_id)
    booked = sorted((each.status.value, each.amount.minor) for each in payment.refunds)
    assert booked == [("failed", 10_000), ("succeeded", 10_000)]
    assert (_kept(house), payment.refunded.minor, payment.owed.amount.minor) == (0, 10_000, 0)


async def test_the_refund_of_a_canceled_booking_goes_the_same_way(house: House) -> None:
    booking = await paid_booking(house, deliver=True)
    house.stripe.faults.script(REFUND, "500_before")
    with suppress(OutcomeUnknown, RefundRefused):
        await house.payments.cancel_booking(booking.id, OPERATOR)

    await _until_lost(house)
    await _pass(house, MINUTE)

    assert (await _status(house, booking.id), _kept(house)) == (BookingStatus.CANCELED, 0)


async def test_the_ten_minutes_begin_with_the_answer_when_the_process_had_died_before_it_sent_anything(
    house: House,
) -> None:
    booking = await die_while_paying(house)
    house.stripe.faults.clear()
    house.clock.advance(HOUR)
    for each in _all(house, "payment_intents"):  # what the dead process has sent never arrived
        house.stripe._account.remove(house.stripe._account.get("payment_intent", each["id"]))
    house.stripe._account.table("idempotency_key").clear()
    house.stripe.faults.script(CREATE, "500_before")

    await _pass(house, 9 * MINUTE, step=timedelta(seconds=30))

    assert _walks(await payment_of(house, booking)) == 0
