"""Starting, confirming, retrying, capturing and canceling payments."""

from datetime import timedelta
from typing import Any

import attrs
import pytest
from structlog.testing import capture_logs

from booking_payments.application.payments import BookingPayments
from booking_payments.application.views import PaymentView
from booking_payments.application.world import PaymentConfig
from booking_payments.domain import events as ev
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.errors import (
    AlreadyUnderWay,
    CardDeclined,
    GatewayRefusedUs,
    InvalidAmount,
    InvalidInput,
    NotFound,
    NotPossibleNow,
    PaymentError,
    RefusedByRule,
    TryAgainLater,
)
from booking_payments.domain.instructions import CaptureMethod, Client, MethodChoice
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import AttemptOutcome, fold
from booking_payments.ports.gateway import Unreachable
from booking_payments.ports.storage import Storage
from booking_payments.testing.house import ANN, OPERATOR, House
from tests.payments import VISA, authorize, book_and_pay, pay, pay_in_browser, payment_of, return_url_of, start
from tests.unit.application.saboteur import Saboteur, use_gateway

DECLINED = "pm_card_chargeDeclined"
THREE_D_SECURE = "pm_card_authenticationRequired"


async def _refusal(house: House, booking_id: str, card: str = VISA) -> PaymentError:
    with pytest.raises(PaymentError) as refusal:
        await pay(house, booking_id, card)
    return refusal.value


async def test_a_payment_that_is_started_waits_for_a_payment_method(house: House) -> None:
    view = await start(house)

    assert view.payment.status is PaymentStatus.REQUIRES_PAYMENT_METHOD


async def test_a_started_payment_hands_the_front_end_its_client_secret(house: House) -> None:
    view = await start(house)

    assert view.handover is not None
    assert (view.handover.client_secret or "").startswith(f"{view.payment.intent_id}_secret_")


async def test_starting_again_gives_the_same_payment(house: House) -> None:
    booking = await house.book()
    first = await house.payments.start_payment(booking.id, ANN)
    second = await house.payments.start_payment(booking.id, ANN)

    assert second.payment.id == first.payment.id


async def test_a_card_that_works_pays_the_booking_at_once(house: House) -> None:
    booking = await house.book()

    view = await pay(house, booking)

    booked = await house.payments.get_booking(booking.id)
    assert (view.payment.status, booked.status) == (PaymentStatus.SUCCEEDED, BookingStatus.CONFIRMED)


async def test_paying_at_once_is_one_call_to_the_gateway(house: House) -> None:
    await book_and_pay(house)

    assert [(call.method, call.path) for call in house.stripe.calls] == [("POST", "/v1/payment_intents")]


async def test_every_intent_carries_our_ids(house: House) -> None:
    booking = await house.book()
    view = await pay(house, booking)

    intent = await house.world.gateway.retrieve_intent(view.payment.intent_id or "")
    assert intent.metadata == {
        "booking_id": booking.id,
        "payment_id": view.payment.id,
        "booking_reference": booking.reference,
        "correlation_id": "test",
    }


async def test_charging_at_once_needs_a_payment_method(house: House) -> None:
    booking = await house.book()

    with pytest.raises(RefusedByRule) as refusal:
        await house.payments.start_payment(booking.id, ANN, confirm_immediately=True)

    assert refusal.value.code == "payment_method_required"


async def test_a_paid_booking_is_not_paid_again(house: House) -> None:
    booking = await house.book()
    await pay(house, booking)

    assert (await _refusal(house, booking.id)).code == "already_paid"


async def test_a_started_event_is_not_paid_for(house: House) -> None:
    booking = await house.book(starts_in=timedelta(hours=1))
    house.clock.advance(timedelta(hours=1))

    assert (await _refusal(house, booking.id)).code == "event_started"


async def test_a_hold_that_ran_out_is_not_paid_for(house: House) -> None:
    booking = await house.book(expires_in=timedelta(minutes=10))
    house.clock.advance(timedelta(minutes=10))

    assert (await _refusal(house, booking.id)).code == "booking_expired"


async def test_a_canceled_booking_is_not_paid_for(house: House) -> None:
    booking = await house.book()
    await house.payments.cancel_booking(booking.id)

    assert (await _refusal(house, booking.id)).code == "booking_canceled"


async def test_a_free_booking_has_nothing_to_pay(house: House) -> None:
    assert (await _refusal(house, (await house.book("0.00")).id)).code == "nothing_to_pay"


@pytest.mark.parametrize(
    ("amount", "code"), [("0.49", "amount_too_small"), ("1000000.00", "amount_too_large")], ids=["small", "large"]
)
async def test_an_amount_that_the_gateway_takes_no_more_is_refused_before_anything_is_written(
    house: House, amount: str, code: str
) -> None:
    booking = attrs.evolve(await house.book(), id="bk_odd", reference="R-odd", amount=Money.parse(amount, Currency.USD))
    await house.storage.transact(lambda uow: uow.bookings.add(booking))

    assert (await _refusal(house, booking.id)).code == code
    with pytest.raises(NotFound):
        await house.payments.payment_status(booking.id)


async def test_a_house_may_take_larger_amounts(storage: Storage) -> None:
    house = House(storage=storage, amount_digits=9)
    booking = await house.book("1000000", currency=Currency.UGX)

    paid = await house.payments.process_booking_payment(booking, "pm_card_visa")

    assert (paid.success, (await payment_of(house, booking)).captured) == (True, booking.amount)
    with pytest.raises(RefusedByRule) as refusal:
        await house.book("10000000", currency=Currency.UGX, reference="R-2")
    assert refusal.value.code == "amount_too_large"


async def test_an_unknown_payment_method_is_refused_and_uses_up_no_attempt(house: House) -> None:
    booking = await house.book()

    refusal = await _refusal(house, booking.id, "pm_nobody")

    payment = await payment_of(house, booking)
    assert (refusal.code, payment.attempts_left, payment.operation) == ("payment_method_unknown", 3, None)


async def test_a_payment_goes_on_after_an_unknown_payment_method(house: House) -> None:
    booking = await house.book()
    await _refusal(house, booking.id, "pm_nobody")

    assert (await pay(house, booking)).payment.status is PaymentStatus.SUCCEEDED


async def test_a_decline_tells_the_customer_why(house: House) -> None:
    refusal = await _refusal(house, (await house.book()).id, "pm_card_chargeDeclinedInsufficientFunds")

    assert isinstance(refusal, CardDeclined)
    assert (refusal.code, refusal.decline.decline_code) == ("card_declined", "insufficient_funds")


async def test_a_decline_keeps_the_intent_for_the_next_attempt(house: House) -> None:
    booking = await house.book()
    await _refusal(house, booking.id, DECLINED)
    declined = await payment_of(house, booking)

    view = await house.payments.retry_payment(booking.id, ANN, payment_method_id=VISA)

    assert view.payment.intent_id == declined.intent_id is not None
    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_each_attempt_has_a_key_of_its_own(house: House) -> None:
    booking = await house.book()
    await _refusal(house, booking.id, DECLINED)
    view = await house.payments.retry_payment(booking.id, ANN, payment_method_id=VISA)

    keys = [attempt.idempotency_key for attempt in view.payment.attempts]
    assert len(set(keys)) == 2


async def test_a_decline_uses_up_an_attempt(house: House) -> None:
    booking = await house.book()
    await _refusal(house, booking.id, DECLINED)

    payment = await payment_of(house, booking)
    assert (payment.attempts_made, payment.attempts_left) == (1, 2)


async def test_the_last_decline_fails_the_payment_and_cancels_the_intent(house: House) -> None:
    booking = await house.book()
    for _ in range(3):
        await _refusal(house, booking.id, DECLINED)

    payment = await payment_of(house, booking)
    intent = await house.world.gateway.retrieve_intent(payment.intent_id or "")
    assert (payment.status, intent.status) == (PaymentStatus.FAILED, PaymentStatus.CANCELED)


async def test_a_failed_payment_is_not_tried_again(house: House) -> None:
    booking = await house.book()
    for _ in range(3):
        await _refusal(house, booking.id, DECLINED)

    refusal = await _refusal(house, booking.id)
    assert (type(refusal), refusal.code) == (RefusedByRule, "attempts_exhausted")


async def test_a_card_that_the_bank_forbids_is_not_charged_again(house: House) -> None:
    booking = await house.book()
    first = await _refusal(house, booking.id, "pm_card_visa_chargeDeclinedStolenCard")
    calls = len(house.stripe.calls)

    second = await _refusal(house, booking.id, "pm_card_visa_chargeDeclinedStolenCard")

    assert (second.message, second.code, len(house.stripe.calls)) == (first.message, first.code, calls)


async def test_a_forbidden_card_still_allows_another_one(house: House) -> None:
    booking = await house.book()
    await _refusal(house, booking.id, "pm_card_visa_chargeDeclinedStolenCard")

    view = await house.payments.retry_payment(booking.id, ANN, payment_method_id=VISA)

    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_three_d_secure_is_no_error(house: House) -> None:
    view = await book_and_pay(house, THREE_D_SECURE)

    assert view.payment.status is PaymentStatus.REQUIRES_ACTION
    assert view.handover is not None
    assert view.handover.next_action is not None


async def test_a_passed_authentication_pays_the_booking(house: House) -> None:
    booking = await house.book()
    view = await pay(house, booking, THREE_D_SECURE)
    house.authenticate(view, "succeeded")

    await house.deliver_webhooks()

    assert (await house.payments.get_booking(booking.id)).status is BookingStatus.CONFIRMED


async def test_a_failed_authentication_uses_up_an_attempt(house: House) -> None:
    booking = await house.book()
    house.authenticate(await pay(house, booking, THREE_D_SECURE), "failed")

    await house.deliver_webhooks()

    payment = await payment_of(house, booking)
    assert (payment.status, payment.attempts_made) == (PaymentStatus.REQUIRES_PAYMENT_METHOD, 1)


async def test_confirming_without_a_method_while_the_customer_acts_only_looks(house: House) -> None:
    booking = await house.book()
    view = await pay(house, booking, THREE_D_SECURE)
    house.authenticate(view, "succeeded")

    confirmed = await house.payments.confirm_payment(booking.id, ANN)

    assert (confirmed.payment.status, confirmed.payment.attempts_made) == (PaymentStatus.SUCCEEDED, 1)


async def test_looking_at_a_last_attempt_that_failed_ends_the_payment(house: House) -> None:
    booking = await house.book()
    for _ in range(2):
        await _refusal(house, booking.id, DECLINED)
    view = await house.payments.retry_payment(booking.id, ANN, payment_method_id=THREE_D_SECURE)
    house.authenticate(view, "failed")

    seen = await house.payments.confirm_payment(booking.id, ANN)

    assert seen.payment.status is PaymentStatus.FAILED


async def test_confirming_while_the_gateway_is_out_of_reach_shows_what_we_know(house: House) -> None:
    booking = await house.book()
    await pay(house, booking, THREE_D_SECURE)
    house.stripe.faults.script("GET /v1/*", "503", times=3)

    seen = await house.payments.confirm_payment(booking.id, ANN)

    assert seen.payment.status is PaymentStatus.REQUIRES_ACTION


async def test_a_customer_stuck_in_authentication_may_choose_another_card(house: House) -> None:
    booking = await house.book()
    await pay(house, booking, THREE_D_SECURE)

    view = await house.payments.confirm_payment(booking.id, ANN, payment_method_id=VISA)

    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_confirming_needs_a_payment_method_when_the_intent_has_none(house: House) -> None:
    booking = await house.book()
    await house.payments.start_payment(booking.id, ANN)

    with pytest.raises(RefusedByRule) as refusal:
        await house.payments.confirm_payment(booking.id, ANN)

    assert refusal.value.code == "payment_method_required"


async def test_an_attached_method_is_confirmed_without_naming_it_again(house: House) -> None:
    booking = await house.book()
    started = await house.payments.start_payment(booking.id, ANN, payment_method_id=VISA)
    assert started.payment.status is PaymentStatus.REQUIRES_CONFIRMATION

    confirmed = await house.payments.confirm_payment(booking.id, ANN)

    assert confirmed.payment.status is PaymentStatus.SUCCEEDED


async def test_starting_an_open_payment_with_confirmation_confirms_it(house: House) -> None:
    booking = await house.book()
    started = await house.payments.start_payment(booking.id, ANN)

    confirmed = await pay(house, booking)

    assert (confirmed.payment.id, confirmed.payment.status) == (started.payment.id, PaymentStatus.SUCCEEDED)


# --- where methods that redirect come back to


BACK = "https://shop.example/back"


async def test_a_payment_comes_back_to_where_it_was_to_when_it_was_started(house: House) -> None:
    booking = await house.book()
    await house.payments.start_payment(booking.id, ANN, return_url=BACK)

    view = await house.payments.confirm_payment(booking.id, ANN, payment_method_id=THREE_D_SECURE)

    assert return_url_of(view) == BACK


async def test_the_return_url_of_the_start_holds_also_when_the_intent_has_to_be_made_again(house: House) -> None:
    booking = await house.book()
    use_gateway(house, Saboteur(house, create_intent=[Unreachable("away", code="connect")] * 3))
    with pytest.raises(TryAgainLater):
        await house.payments.start_payment(booking.id, ANN, return_url=BACK)

    view = await house.payments.start_payment(booking.id, ANN)

    assert view.payment.return_url == BACK


async def test_after_a_decline_nobody_has_to_say_again_where_to_come_back_to(house: House) -> None:
    booking = await house.book()
    with pytest.raises(CardDeclined):
        await pay(house, booking, DECLINED, return_url=BACK)

    view = await house.payments.retry_payment(booking.id, ANN, payment_method_id=THREE_D_SECURE)

    assert return_url_of(view) == BACK


async def test_starting_again_with_confirmation_comes_back_to_the_same_place(house: House) -> None:
    booking = await house.book()
    await house.payments.start_payment(booking.id, ANN, return_url=BACK)

    assert return_url_of(await pay(house, booking, THREE_D_SECURE)) == BACK


async def test_a_confirmation_may_name_another_place_to_come_back_to(house: House) -> None:
    booking = await house.book()
    await house.payments.start_payment(booking.id, ANN, return_url=BACK)
    other = "https://shop.example/other"

    view = await house.payments.confirm_payment(booking.id, ANN, payment_method_id=THREE_D_SECURE, return_url=other)

    assert return_url_of(view) == other


async def test_the_place_of_the_payment_goes_before_that_of_the_settings(storage: Storage) -> None:
    house = House(storage=storage, config=PaymentConfig(return_url="https://shop.example/always"))
    booking = await house.book()
    await house.payments.start_payment(booking.id, ANN, return_url=BACK)

    assert return_url_of(await pay(house, booking, THREE_D_SECURE)) == BACK


async def test_a_payment_that_was_started_without_a_place_comes_back_to_that_of_the_settings(house: House) -> None:
    booking = await house.book()
    await house.payments.start_payment(booking.id, ANN)
    later = BookingPayments(attrs.evolve(house.world, config=PaymentConfig(return_url=BACK)))

    view = await later.confirm_payment(booking.id, ANN, payment_method_id=THREE_D_SECURE)

    assert return_url_of(view) == BACK


# --- what carries out the customer's action


def kind_of_action(view: PaymentView) -> object:
    """``use_stripe_sdk`` for a window on the front end's page, ``redirect_to_url`` for the bank's own page."""
    action: Any = view.handover.next_action if view.handover else None
    return action["type"]


async def test_with_stripe_js_the_customer_stays_on_the_page_and_otherwise_goes_to_the_bank(house: House) -> None:
    with_client = await pay(house, await house.book(), THREE_D_SECURE, return_url=BACK, client=Client.STRIPE_JS)
    without = await pay(house, await house.book(reference="other"), THREE_D_SECURE, return_url=BACK)

    assert (kind_of_action(with_client), kind_of_action(without)) == ("use_stripe_sdk", "redirect_to_url")


async def test_the_client_holds_for_a_later_confirmation(house: House) -> None:
    booking = await house.book()
    await house.payments.start_payment(booking.id, ANN, return_url=BACK, client=Client.STRIPE_JS)

    view = await house.payments.confirm_payment(booking.id, ANN, payment_method_id=THREE_D_SECURE)

    assert kind_of_action(view) == "use_stripe_sdk"


async def test_the_client_holds_for_a_retry_after_a_decline(house: House) -> None:
    booking = await house.book()
    with pytest.raises(CardDeclined):
        await pay(house, booking, DECLINED, return_url=BACK, client=Client.STRIPE_JS)

    view = await house.payments.retry_payment(booking.id, ANN, payment_method_id=THREE_D_SECURE)

    assert kind_of_action(view) == "use_stripe_sdk"


async def test_a_client_that_is_named_when_the_payment_is_open_already_holds_from_then_on(house: House) -> None:
    booking = await house.book()
    await house.payments.start_payment(booking.id, ANN, return_url=BACK)
    named = await house.payments.start_payment(booking.id, ANN, client=Client.STRIPE_JS)

    view = await house.payments.confirm_payment(booking.id, ANN, payment_method_id=THREE_D_SECURE)

    assert named.payment.client is Client.STRIPE_JS
    assert kind_of_action(view) == "use_stripe_sdk"


async def test_the_same_client_again_is_no_news(house: House) -> None:
    booking = await house.book()
    first = await house.payments.start_payment(booking.id, ANN, client=Client.STRIPE_JS)
    second = await house.payments.start_payment(booking.id, ANN, client=Client.STRIPE_JS)

    assert second.payment.version == first.payment.version


async def test_there_is_nothing_to_confirm_before_a_payment_was_started(house: House) -> None:
    booking = await house.book()

    with pytest.raises(NotFound):
        await house.payments.confirm_payment(booking.id, ANN, payment_method_id=VISA)


async def test_an_asynchronous_method_processes_and_then_succeeds(house: House) -> None:
    booking = await house.book()
    view = await pay(house, booking, "pm_usBankAccount_success")
    assert view.payment.status is PaymentStatus.PROCESSING

    house.clock.advance(timedelta(seconds=3))
    await house.deliver_webhooks()

    assert (await house.payments.get_booking(booking.id)).status is BookingStatus.CONFIRMED


async def test_a_processing_payment_can_not_be_canceled_or_confirmed(house: House) -> None:
    booking = await house.book()
    await pay(house, booking, "pm_usBankAccount_success")

    with pytest.raises(NotPossibleNow) as refusal:
        await house.payments.cancel_payment(booking.id, ANN)

    assert (refusal.value.code, (await _refusal(house, booking.id)).code) == ("payment_processing",) * 2


async def test_manual_capture_holds_the_money_first(house: House) -> None:
    booking = await house.book()

    view = await pay(house, booking, capture_method=CaptureMethod.MANUAL)

    assert (view.payment.status, view.payment.captured) == (PaymentStatus.REQUIRES_CAPTURE, Money(0, Currency.USD))


async def test_capturing_collects_what_is_held(house: House) -> None:
    booking_id = (await authorize(house)).payment.booking_id

    view = await house.payments.capture_payment(booking_id, OPERATOR)

    assert (view.payment.status, view.payment.captured) == (PaymentStatus.SUCCEEDED, Money(10000, Currency.USD))


async def test_fee_and_net_follow_a_partial_capture(house: House) -> None:
    booking_id = (await authorize(house)).payment.booking_id

    view = await house.payments.capture_payment(booking_id, OPERATOR, amount="60.00")

    breakdown = view.payment.breakdown
    assert (breakdown.gross.minor, breakdown.fee.minor, breakdown.net.minor) == (6000, 180, 5820)


@pytest.mark.parametrize("amount", ["100.01", "100000.00"])
async def test_no_more_than_what_is_held_is_captured(house: House, amount: str) -> None:
    booking_id = (await authorize(house)).payment.booking_id

    with pytest.raises(RefusedByRule) as refusal:
        await house.payments.capture_payment(booking_id, OPERATOR, amount=amount)

    assert refusal.value.code == "amount_exceeds_authorized"


@pytest.mark.parametrize("amount", ["0.00", "-1.00", "1e2", "1.001"])
async def test_what_is_no_amount_is_not_captured(house: House, amount: str) -> None:
    booking_id = (await authorize(house)).payment.booking_id

    with pytest.raises(InvalidAmount):
        await house.payments.capture_payment(booking_id, OPERATOR, amount=amount)


async def test_capturing_twice_is_refused(house: House) -> None:
    booking_id = (await authorize(house)).payment.booking_id
    await house.payments.capture_payment(booking_id, OPERATOR)

    with pytest.raises(NotPossibleNow) as refusal:
        await house.payments.capture_payment(booking_id, OPERATOR)

    assert refusal.value.code == "already_paid"


async def test_canceling_a_payment_leaves_the_booking_pending(house: House) -> None:
    booking_id = (await authorize(house)).payment.booking_id

    view = await house.payments.cancel_payment(booking_id, ANN)

    booked = await house.payments.get_booking(booking_id)
    assert (view.payment.status, booked.status) == (PaymentStatus.CANCELED, BookingStatus.PENDING)


async def test_a_canceled_payment_makes_room_for_a_new_one(house: House) -> None:
    booking_id = (await authorize(house)).payment.booking_id
    canceled = await house.payments.cancel_payment(booking_id, ANN)

    view = await pay(house, booking_id)

    assert view.payment.id != canceled.payment.id
    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_a_payment_that_never_reached_the_gateway_is_canceled_without_a_call(house: House) -> None:
    booking = await house.book()
    await _refusal(house, booking.id, "pm_nobody")
    calls = len(house.stripe.calls)

    view = await house.payments.cancel_payment(booking.id, ANN)

    assert (view.payment.status, len(house.stripe.calls)) == (PaymentStatus.CANCELED, calls)


async def test_canceling_finds_out_that_the_customer_has_paid(house: House) -> None:
    booking = await house.book()
    view = await house.payments.start_payment(booking.id, ANN)
    pay_in_browser(house, view)

    with pytest.raises(NotPossibleNow) as refusal:
        await house.payments.cancel_payment(booking.id, ANN)

    payment = await payment_of(house, booking)
    assert (refusal.value.code, payment.status) == ("payment_state_changed", PaymentStatus.SUCCEEDED)


async def test_while_an_operation_runs_nothing_else_is_begun(house: House) -> None:
    booking = await house.book()
    house.stripe.faults.script("POST /v1/payment_intents", "slow", times=1)
    seen: list[str] = []

    async def impatient() -> None:
        with pytest.raises(AlreadyUnderWay):
            await pay(house, booking)
        seen.append("refused")

    house.clock.meanwhile(impatient)
    await pay(house, booking)

    assert seen == ["refused"]


async def test_a_gateway_out_of_reach_leaves_nothing_behind_but_the_payment(house: House) -> None:
    booking = await house.book()
    house.stripe.faults.script("POST /v1/payment_intents", "429_limit", times=3)

    with pytest.raises(TryAgainLater) as refusal:
        await pay(house, booking)

    payment = await payment_of(house, booking)
    assert (refusal.value.outcome_unknown, payment.operation, payment.attempts_made) == (False, None, 0)


async def test_a_passing_fault_is_tried_again_with_the_same_key(house: House) -> None:
    booking = await house.book()
    house.stripe.faults.script("POST /v1/payment_intents", "timeout_after", times=1)

    view = await pay(house, booking)

    posts = [call.key for call in house.stripe.calls if call.method == "POST"]
    assert (view.payment.status, len(posts), len(set(posts))) == (PaymentStatus.SUCCEEDED, 2, 1)


async def test_a_malformed_request_to_the_gateway_is_reported_as_a_fault_of_the_service(house: House) -> None:
    booking = await house.book(reference="R" * 501)  # one letter more than the gateway's metadata takes

    with pytest.raises(GatewayRefusedUs):
        await pay(house, booking)

    assert (await payment_of(house, booking)).attempts[-1].outcome is AttemptOutcome.DROPPED


async def test_the_journal_tells_the_whole_payment(house: House) -> None:
    booking = await house.book()
    await _refusal(house, booking.id, DECLINED)
    view = await house.payments.retry_payment(booking.id, ANN, payment_method_id=VISA)

    journal = await house.payments.journal(booking.id, ANN)

    assert fold(journal) == view.payment
    assert isinstance(journal[0].event, ev.PaymentStarted)


async def test_the_journal_says_who_did_it_and_why(house: House) -> None:
    booking = await house.book()
    await pay(house, booking)

    first = (await house.payments.journal(booking.id))[0]

    assert (first.actor, first.cause) == ("customer:ann", "test")


async def test_payments_are_listed_newest_first_page_by_page(house: House) -> None:
    for number in range(3):
        await book_and_pay(house, reference=f"R-{number}")
        house.clock.advance(timedelta(seconds=1))

    first = await house.payments.list_payments(limit=2)
    rest = await house.payments.list_payments(limit=2, cursor=first.next_cursor)

    listed = [payment.booking_reference for payment in (*first.items, *rest.items)]
    assert (listed, rest.next_cursor) == (["R-2", "R-1", "R-0"], None)


async def _charged(house: House, currency: Currency = Currency.USD) -> dict[str, Any]:
    """What the gateway has of a payment by card."""
    booking = await house.book(currency=currency)
    view = await house.payments.start_payment(
        booking.id, ANN, payment_method_id="pm_card_visa", confirm_immediately=True
    )
    return house.stripe.call("GET", f"/v1/payment_intents/{view.payment.intent_id}").body


async def test_the_house_may_name_the_kinds_of_methods_that_it_takes() -> None:
    intent = await _charged(House(config=PaymentConfig(methods=MethodChoice(allowed=("card",)))))

    assert (intent["payment_method_types"], intent["automatic_payment_methods"]) == (["card"], None)


async def test_or_those_that_it_does_not_take() -> None:
    intent = await _charged(House(config=PaymentConfig(methods=MethodChoice(excluded=("us_bank_account",)))))

    assert intent["payment_method_types"] == ["card"]


async def test_an_intent_that_no_method_can_pay_is_canceled() -> None:
    """Stripe drops what does not fit without a word: this account takes no American debits in euros."""
    house = House(config=PaymentConfig(methods=MethodChoice(allowed=("us_bank_account",))))
    booking = await house.book(currency=Currency.EUR)

    with pytest.raises(GatewayRefusedUs) as refused, capture_logs() as lines:
        await house.payments.start_payment(booking.id, ANN)

    intents = house.stripe.call("GET", "/v1/payment_intents").body["data"]
    assert refused.value.code == "no_payment_method_left"
    assert [intent["status"] for intent in intents] == ["canceled"]
    assert "gateway.no_method_left" in [line["event"] for line in lines if line["log_level"] == "error"]
    assert (await house.payments.payment_status(booking.id)).payment.status is PaymentStatus.CANCELED


async def test_a_method_that_is_not_allowed_is_refused_at_once() -> None:
    house = House(config=PaymentConfig(methods=MethodChoice(allowed=("us_bank_account",))))

    with pytest.raises(RefusedByRule) as refused:
        await _charged(house)

    assert refused.value.code == "payment_method_incompatible"


async def test_a_method_that_is_dropped_is_a_line_of_the_log() -> None:
    house = House(config=PaymentConfig(methods=MethodChoice(allowed=("card", "us_bank_account"))))

    with capture_logs() as lines:
        await house.payments.start_payment((await house.book(currency=Currency.EUR)).id, ANN)

    [line] = [line for line in lines if line["event"] == "gateway.methods_dropped"]
    assert (line["dropped"], line["left"]) == (["us_bank_account"], ("card",))


def test_allowed_methods_go_with_no_others() -> None:
    with pytest.raises(InvalidInput):
        MethodChoice(allowed=("card",), configuration="pmc_1")
