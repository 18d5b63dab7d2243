"""Starting, confirming, retrying, capturing and canceling payments."""

from datetime import timedelta
from typing import Any

import attrs
import pytest
from structlog.testing import capture_logs

from booking_payments.application.dependencies import PaymentConfig
from booking_payments.application.payments import BookingPayments
from booking_payments.application.views import PaymentView
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
from booking_payments.ports.gateway import NotSent
from booking_payments.ports.storage import Storage
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit
from tests.payments import VISA, authorize, book_and_pay, pay, pay_in_browser, payment_of, return_url_of, start
from tests.unit.application.failing_gateway import FailingGateway, use_gateway

DECLINED = "pm_card_chargeDeclined"
THREE_D_SECURE = "pm_card_authenticationRequired"


async def _refusal(kit: PaymentsTestKit, booking_id: str, card: str = VISA) -> PaymentError:
    with pytest.raises(PaymentError) as refusal:
        await pay(kit, booking_id, card)
    return refusal.value


async def test_a_payment_that_is_started_waits_for_a_payment_method(kit: PaymentsTestKit) -> None:
    view = await start(kit)

    assert view.payment.status is PaymentStatus.REQUIRES_PAYMENT_METHOD


async def test_starting_a_payment_returns_the_client_secret(kit: PaymentsTestKit) -> None:
    view = await start(kit)

    assert view.client_action is not None
    assert (view.client_action.client_secret or "").startswith(f"{view.payment.intent_id}_secret_")


async def test_starting_again_returns_the_same_payment(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    first = await kit.payments.start_payment(booking.id, ANN)
    second = await kit.payments.start_payment(booking.id, ANN)

    assert second.payment.id == first.payment.id


async def test_a_card_that_works_pays_the_booking_at_once(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    view = await pay(kit, booking)

    booked = await kit.payments.get_booking(booking.id)
    assert (view.payment.status, booked.status) == (PaymentStatus.SUCCEEDED, BookingStatus.CONFIRMED)


async def test_paying_at_once_is_one_call_to_the_gateway(kit: PaymentsTestKit) -> None:
    await book_and_pay(kit)

    assert [(call.method, call.path) for call in kit.stripe.calls] == [("POST", "/v1/payment_intents")]


async def test_every_intent_has_the_booking_and_payment_ids_in_its_metadata(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    view = await pay(kit, booking)

    intent = await kit.deps.gateway.retrieve_intent(view.payment.intent_id or "")
    assert intent.metadata == {
        "booking_id": booking.id,
        "payment_id": view.payment.id,
        "booking_reference": booking.reference,
        "correlation_id": "test",
    }


async def test_charging_at_once_needs_a_payment_method(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    with pytest.raises(RefusedByRule) as refusal:
        await kit.payments.start_payment(booking.id, ANN, confirm_immediately=True)

    assert refusal.value.code == "payment_method_required"


async def test_a_paid_booking_is_not_paid_again(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await pay(kit, booking)

    assert (await _refusal(kit, booking.id)).code == "already_paid"


async def test_a_booking_cannot_be_paid_after_its_event_started(kit: PaymentsTestKit) -> None:
    booking = await kit.book(starts_in=timedelta(hours=1))
    kit.clock.advance(timedelta(hours=1))

    assert (await _refusal(kit, booking.id)).code == "event_started"


async def test_a_booking_cannot_be_paid_after_its_hold_ended(kit: PaymentsTestKit) -> None:
    booking = await kit.book(expires_in=timedelta(minutes=10))
    kit.clock.advance(timedelta(minutes=10))

    assert (await _refusal(kit, booking.id)).code == "booking_expired"


async def test_a_canceled_booking_cannot_be_paid(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.cancel_booking(booking.id)

    assert (await _refusal(kit, booking.id)).code == "booking_canceled"


async def test_a_free_booking_has_nothing_to_pay(kit: PaymentsTestKit) -> None:
    assert (await _refusal(kit, (await kit.book("0.00")).id)).code == "nothing_to_pay"


@pytest.mark.parametrize(
    ("amount", "code"), [("0.49", "amount_too_small"), ("1000000.00", "amount_too_large")], ids=["small", "large"]
)
async def test_an_amount_outside_the_gateways_limits_is_refused_and_nothing_is_stored(
    kit: PaymentsTestKit, amount: str, code: str
) -> None:
    booking = attrs.evolve(await kit.book(), id="bk_odd", reference="R-odd", amount=Money.parse(amount, Currency.USD))
    await kit.storage.transact(lambda uow: uow.bookings.add(booking))

    assert (await _refusal(kit, booking.id)).code == code
    with pytest.raises(NotFound):
        await kit.payments.payment_status(booking.id)


async def test_the_configuration_may_allow_larger_amounts(storage: Storage) -> None:
    kit = PaymentsTestKit(storage=storage, amount_digits=9)
    booking = await kit.book("1000000", currency=Currency.UGX)

    paid = await kit.payments.process_booking_payment(booking, "pm_card_visa")

    assert (paid.success, (await payment_of(kit, booking)).captured) == (True, booking.amount)
    with pytest.raises(RefusedByRule) as refusal:
        await kit.book("10000000", currency=Currency.UGX, reference="R-2")
    assert refusal.value.code == "amount_too_large"


async def test_an_unknown_payment_method_is_refused_and_uses_up_no_attempt(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    refusal = await _refusal(kit, booking.id, "pm_nobody")

    payment = await payment_of(kit, booking)
    assert (refusal.code, payment.attempts_left, payment.operation) == ("payment_method_unknown", 3, None)


async def test_after_an_unknown_payment_method_the_payment_can_continue(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await _refusal(kit, booking.id, "pm_nobody")

    assert (await pay(kit, booking)).payment.status is PaymentStatus.SUCCEEDED


async def test_a_decline_has_a_message_for_the_customer(kit: PaymentsTestKit) -> None:
    refusal = await _refusal(kit, (await kit.book()).id, "pm_card_chargeDeclinedInsufficientFunds")

    assert isinstance(refusal, CardDeclined)
    assert (refusal.code, refusal.decline.decline_code) == ("card_declined", "insufficient_funds")


async def test_a_decline_keeps_the_intent_for_the_next_attempt(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await _refusal(kit, booking.id, DECLINED)
    declined = await payment_of(kit, booking)

    view = await kit.payments.retry_payment(booking.id, ANN, payment_method_id=VISA)

    assert view.payment.intent_id == declined.intent_id is not None
    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_each_attempt_has_a_new_idempotency_key(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await _refusal(kit, booking.id, DECLINED)
    view = await kit.payments.retry_payment(booking.id, ANN, payment_method_id=VISA)

    keys = [attempt.idempotency_key for attempt in view.payment.attempts]
    assert len(set(keys)) == 2


async def test_a_decline_uses_up_an_attempt(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await _refusal(kit, booking.id, DECLINED)

    payment = await payment_of(kit, booking)
    assert (payment.attempts_made, payment.attempts_left) == (1, 2)


async def test_the_last_decline_fails_the_payment_and_cancels_the_intent(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    for _ in range(3):
        await _refusal(kit, booking.id, DECLINED)

    payment = await payment_of(kit, booking)
    intent = await kit.deps.gateway.retrieve_intent(payment.intent_id or "")
    assert (payment.status, intent.status) == (PaymentStatus.FAILED, PaymentStatus.CANCELED)


async def test_a_failed_payment_cannot_be_retried(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    for _ in range(3):
        await _refusal(kit, booking.id, DECLINED)

    refusal = await _refusal(kit, booking.id)
    assert (type(refusal), refusal.code) == (RefusedByRule, "attempts_exhausted")


async def test_a_burnt_card_is_not_charged_again(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    first = await _refusal(kit, booking.id, "pm_card_visa_chargeDeclinedStolenCard")
    calls = len(kit.stripe.calls)

    second = await _refusal(kit, booking.id, "pm_card_visa_chargeDeclinedStolenCard")

    assert (second.message, second.code, len(kit.stripe.calls)) == (first.message, first.code, calls)


async def test_after_a_burnt_card_another_card_can_be_charged(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await _refusal(kit, booking.id, "pm_card_visa_chargeDeclinedStolenCard")

    view = await kit.payments.retry_payment(booking.id, ANN, payment_method_id=VISA)

    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_a_payment_that_needs_3d_secure_is_not_an_error(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, THREE_D_SECURE)

    assert view.payment.status is PaymentStatus.REQUIRES_ACTION
    assert view.client_action is not None
    assert view.client_action.next_action is not None


async def test_a_passed_authentication_pays_the_booking(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    view = await pay(kit, booking, THREE_D_SECURE)
    kit.authenticate(view, "succeeded")

    await kit.deliver_webhooks()

    assert (await kit.payments.get_booking(booking.id)).status is BookingStatus.CONFIRMED


async def test_a_failed_authentication_uses_up_an_attempt(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    kit.authenticate(await pay(kit, booking, THREE_D_SECURE), "failed")

    await kit.deliver_webhooks()

    payment = await payment_of(kit, booking)
    assert (payment.status, payment.attempts_made) == (PaymentStatus.REQUIRES_PAYMENT_METHOD, 1)


async def test_confirming_without_a_method_during_authentication_only_reads(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    view = await pay(kit, booking, THREE_D_SECURE)
    kit.authenticate(view, "succeeded")

    confirmed = await kit.payments.confirm_payment(booking.id, ANN)

    assert (confirmed.payment.status, confirmed.payment.attempts_made) == (PaymentStatus.SUCCEEDED, 1)


async def test_reading_a_failed_last_attempt_ends_the_payment(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    for _ in range(2):
        await _refusal(kit, booking.id, DECLINED)
    view = await kit.payments.retry_payment(booking.id, ANN, payment_method_id=THREE_D_SECURE)
    kit.authenticate(view, "failed")

    seen = await kit.payments.confirm_payment(booking.id, ANN)

    assert seen.payment.status is PaymentStatus.FAILED


async def test_confirming_while_the_gateway_is_unreachable_returns_the_stored_state(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await pay(kit, booking, THREE_D_SECURE)
    kit.stripe.faults.script("GET /v1/*", "503", times=3)

    seen = await kit.payments.confirm_payment(booking.id, ANN)

    assert seen.payment.status is PaymentStatus.REQUIRES_ACTION


async def test_a_customer_stuck_in_authentication_may_choose_another_card(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await pay(kit, booking, THREE_D_SECURE)

    view = await kit.payments.confirm_payment(booking.id, ANN, payment_method_id=VISA)

    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_confirming_needs_a_payment_method_when_the_intent_has_none(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN)

    with pytest.raises(RefusedByRule) as refusal:
        await kit.payments.confirm_payment(booking.id, ANN)

    assert refusal.value.code == "payment_method_required"


async def test_an_attached_method_is_confirmed_without_naming_it_again(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    started = await kit.payments.start_payment(booking.id, ANN, payment_method_id=VISA)
    assert started.payment.status is PaymentStatus.REQUIRES_CONFIRMATION

    confirmed = await kit.payments.confirm_payment(booking.id, ANN)

    assert confirmed.payment.status is PaymentStatus.SUCCEEDED


async def test_starting_an_open_payment_with_confirmation_confirms_it(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    started = await kit.payments.start_payment(booking.id, ANN)

    confirmed = await pay(kit, booking)

    assert (confirmed.payment.id, confirmed.payment.status) == (started.payment.id, PaymentStatus.SUCCEEDED)


# --- the return URL


BACK = "https://shop.example/back"


async def test_the_return_url_of_the_start_is_used_for_the_confirmation(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN, return_url=BACK)

    view = await kit.payments.confirm_payment(booking.id, ANN, payment_method_id=THREE_D_SECURE)

    assert return_url_of(view) == BACK


async def test_the_return_url_of_the_start_is_used_when_the_intent_is_created_again(
    kit: PaymentsTestKit,
) -> None:
    booking = await kit.book()
    use_gateway(kit, FailingGateway(kit, create_intent=[NotSent("away", code="connect")] * 3))
    with pytest.raises(TryAgainLater):
        await kit.payments.start_payment(booking.id, ANN, return_url=BACK)

    view = await kit.payments.start_payment(booking.id, ANN)

    assert view.payment.return_url == BACK


async def test_the_return_url_of_the_start_is_used_for_a_retry(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    with pytest.raises(CardDeclined):
        await pay(kit, booking, DECLINED, return_url=BACK)

    view = await kit.payments.retry_payment(booking.id, ANN, payment_method_id=THREE_D_SECURE)

    assert return_url_of(view) == BACK


async def test_the_return_url_of_the_start_is_used_when_starting_again(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN, return_url=BACK)

    assert return_url_of(await pay(kit, booking, THREE_D_SECURE)) == BACK


async def test_a_confirmation_may_have_another_return_url(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN, return_url=BACK)
    other = "https://shop.example/other"

    view = await kit.payments.confirm_payment(booking.id, ANN, payment_method_id=THREE_D_SECURE, return_url=other)

    assert return_url_of(view) == other


async def test_the_return_url_of_the_payment_has_precedence_over_the_setting(storage: Storage) -> None:
    kit = PaymentsTestKit(storage=storage, config=PaymentConfig(return_url="https://shop.example/always"))
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN, return_url=BACK)

    assert return_url_of(await pay(kit, booking, THREE_D_SECURE)) == BACK


async def test_a_payment_without_a_return_url_uses_the_setting(
    kit: PaymentsTestKit,
) -> None:
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN)
    later = BookingPayments(attrs.evolve(kit.deps, config=PaymentConfig(return_url=BACK)))

    view = await later.confirm_payment(booking.id, ANN, payment_method_id=THREE_D_SECURE)

    assert return_url_of(view) == BACK


# --- the client that handles the customer's action


def kind_of_action(view: PaymentView) -> object:
    """``use_stripe_sdk`` for a window on the front end's page, ``redirect_to_url`` for the bank's own page."""
    action: Any = view.client_action.next_action if view.client_action else None
    return action["type"]


async def test_with_stripe_js_the_action_runs_on_the_page_and_otherwise_redirects(
    kit: PaymentsTestKit,
) -> None:
    with_client = await pay(kit, await kit.book(), THREE_D_SECURE, return_url=BACK, client=Client.STRIPE_JS)
    without = await pay(kit, await kit.book(reference="other"), THREE_D_SECURE, return_url=BACK)

    assert (kind_of_action(with_client), kind_of_action(without)) == ("use_stripe_sdk", "redirect_to_url")


async def test_the_client_is_kept_for_a_later_confirmation(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN, return_url=BACK, client=Client.STRIPE_JS)

    view = await kit.payments.confirm_payment(booking.id, ANN, payment_method_id=THREE_D_SECURE)

    assert kind_of_action(view) == "use_stripe_sdk"


async def test_the_client_is_kept_for_a_retry_after_a_decline(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    with pytest.raises(CardDeclined):
        await pay(kit, booking, DECLINED, return_url=BACK, client=Client.STRIPE_JS)

    view = await kit.payments.retry_payment(booking.id, ANN, payment_method_id=THREE_D_SECURE)

    assert kind_of_action(view) == "use_stripe_sdk"


async def test_a_client_named_for_an_open_payment_is_used_from_then_on(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN, return_url=BACK)
    named = await kit.payments.start_payment(booking.id, ANN, client=Client.STRIPE_JS)

    view = await kit.payments.confirm_payment(booking.id, ANN, payment_method_id=THREE_D_SECURE)

    assert named.payment.client is Client.STRIPE_JS
    assert kind_of_action(view) == "use_stripe_sdk"


async def test_naming_the_same_client_again_changes_nothing(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    first = await kit.payments.start_payment(booking.id, ANN, client=Client.STRIPE_JS)
    second = await kit.payments.start_payment(booking.id, ANN, client=Client.STRIPE_JS)

    assert second.payment.version == first.payment.version


async def test_confirming_before_a_payment_was_started_is_refused(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    with pytest.raises(NotFound):
        await kit.payments.confirm_payment(booking.id, ANN, payment_method_id=VISA)


async def test_an_asynchronous_method_processes_and_then_succeeds(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    view = await pay(kit, booking, "pm_usBankAccount_success")
    assert view.payment.status is PaymentStatus.PROCESSING

    kit.clock.advance(timedelta(seconds=3))
    await kit.deliver_webhooks()

    assert (await kit.payments.get_booking(booking.id)).status is BookingStatus.CONFIRMED


async def test_a_processing_payment_cannot_be_canceled_or_confirmed(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await pay(kit, booking, "pm_usBankAccount_success")

    with pytest.raises(NotPossibleNow) as refusal:
        await kit.payments.cancel_payment(booking.id, ANN)

    assert (refusal.value.code, (await _refusal(kit, booking.id)).code) == ("payment_processing",) * 2


async def test_manual_capture_authorizes_first(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    view = await pay(kit, booking, capture_method=CaptureMethod.MANUAL)

    assert (view.payment.status, view.payment.captured) == (PaymentStatus.REQUIRES_CAPTURE, Money(0, Currency.USD))


async def test_capturing_collects_the_authorized_amount(kit: PaymentsTestKit) -> None:
    booking_id = (await authorize(kit)).payment.booking_id

    view = await kit.payments.capture_payment(booking_id, OPERATOR)

    assert (view.payment.status, view.payment.captured) == (PaymentStatus.SUCCEEDED, Money(10000, Currency.USD))


async def test_fee_and_net_follow_a_partial_capture(kit: PaymentsTestKit) -> None:
    booking_id = (await authorize(kit)).payment.booking_id

    view = await kit.payments.capture_payment(booking_id, OPERATOR, amount="60.00")

    breakdown = view.payment.breakdown
    assert (breakdown.gross.minor, breakdown.fee.minor, breakdown.net.minor) == (6000, 180, 5820)


@pytest.mark.parametrize("amount", ["100.01", "100000.00"])
async def test_a_capture_above_the_authorized_amount_is_refused(kit: PaymentsTestKit, amount: str) -> None:
    booking_id = (await authorize(kit)).payment.booking_id

    with pytest.raises(RefusedByRule) as refusal:
        await kit.payments.capture_payment(booking_id, OPERATOR, amount=amount)

    assert refusal.value.code == "amount_exceeds_authorized"


@pytest.mark.parametrize("amount", ["0.00", "-1.00", "1e2", "1.001"])
async def test_a_capture_of_an_invalid_amount_is_refused(kit: PaymentsTestKit, amount: str) -> None:
    booking_id = (await authorize(kit)).payment.booking_id

    with pytest.raises(InvalidAmount):
        await kit.payments.capture_payment(booking_id, OPERATOR, amount=amount)


async def test_capturing_twice_is_refused(kit: PaymentsTestKit) -> None:
    booking_id = (await authorize(kit)).payment.booking_id
    await kit.payments.capture_payment(booking_id, OPERATOR)

    with pytest.raises(NotPossibleNow) as refusal:
        await kit.payments.capture_payment(booking_id, OPERATOR)

    assert refusal.value.code == "already_paid"


async def test_canceling_a_payment_leaves_the_booking_pending(kit: PaymentsTestKit) -> None:
    booking_id = (await authorize(kit)).payment.booking_id

    view = await kit.payments.cancel_payment(booking_id, ANN)

    booked = await kit.payments.get_booking(booking_id)
    assert (view.payment.status, booked.status) == (PaymentStatus.CANCELED, BookingStatus.PENDING)


async def test_after_a_canceled_payment_a_new_one_can_start(kit: PaymentsTestKit) -> None:
    booking_id = (await authorize(kit)).payment.booking_id
    canceled = await kit.payments.cancel_payment(booking_id, ANN)

    view = await pay(kit, booking_id)

    assert view.payment.id != canceled.payment.id
    assert view.payment.status is PaymentStatus.SUCCEEDED


async def test_a_payment_that_never_reached_the_gateway_is_canceled_without_a_call(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await _refusal(kit, booking.id, "pm_nobody")
    calls = len(kit.stripe.calls)

    view = await kit.payments.cancel_payment(booking.id, ANN)

    assert (view.payment.status, len(kit.stripe.calls)) == (PaymentStatus.CANCELED, calls)


async def test_a_cancellation_records_that_the_customer_has_paid(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    view = await kit.payments.start_payment(booking.id, ANN)
    pay_in_browser(kit, view)

    with pytest.raises(NotPossibleNow) as refusal:
        await kit.payments.cancel_payment(booking.id, ANN)

    payment = await payment_of(kit, booking)
    assert (refusal.value.code, payment.status) == ("payment_state_changed", PaymentStatus.SUCCEEDED)


async def test_while_an_operation_runs_no_other_starts(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    kit.stripe.faults.script("POST /v1/payment_intents", "slow", times=1)
    seen: list[str] = []

    async def impatient() -> None:
        with pytest.raises(AlreadyUnderWay):
            await pay(kit, booking)
        seen.append("refused")

    kit.clock.meanwhile(impatient)
    await pay(kit, booking)

    assert seen == ["refused"]


async def test_an_unreachable_gateway_leaves_the_payment_without_an_operation(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    kit.stripe.faults.script("POST /v1/payment_intents", "429_limit", times=3)

    with pytest.raises(TryAgainLater) as refusal:
        await pay(kit, booking)

    payment = await payment_of(kit, booking)
    assert (refusal.value.outcome_unknown, payment.operation, payment.attempts_made) == (False, None, 0)


async def test_a_transient_fault_is_retried_with_the_same_key(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    kit.stripe.faults.script("POST /v1/payment_intents", "timeout_after", times=1)

    view = await pay(kit, booking)

    posts = [call.key for call in kit.stripe.calls if call.method == "POST"]
    assert (view.payment.status, len(posts), len(set(posts))) == (PaymentStatus.SUCCEEDED, 2, 1)


async def test_a_malformed_request_to_the_gateway_is_reported_as_a_fault_of_the_service(kit: PaymentsTestKit) -> None:
    booking = await kit.book(reference="R" * 501)  # one character more than the gateway's metadata accepts

    with pytest.raises(GatewayRefusedUs):
        await pay(kit, booking)

    assert (await payment_of(kit, booking)).attempts[-1].outcome is AttemptOutcome.DROPPED


async def test_the_journal_contains_every_step_of_the_payment(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await _refusal(kit, booking.id, DECLINED)
    view = await kit.payments.retry_payment(booking.id, ANN, payment_method_id=VISA)

    journal = await kit.payments.journal(booking.id, ANN)

    assert fold(journal) == view.payment
    assert isinstance(journal[0].event, ev.PaymentStarted)


async def test_the_journal_has_the_actor_and_the_cause(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await pay(kit, booking)

    first = (await kit.payments.journal(booking.id))[0]

    assert (first.actor, first.cause) == ("customer:ann", "test")


async def test_payments_are_listed_newest_first_page_by_page(kit: PaymentsTestKit) -> None:
    for number in range(3):
        await book_and_pay(kit, reference=f"R-{number}")
        kit.clock.advance(timedelta(seconds=1))

    first = await kit.payments.list_payments(limit=2)
    rest = await kit.payments.list_payments(limit=2, cursor=first.next_cursor)

    listed = [payment.booking_reference for payment in (*first.items, *rest.items)]
    assert (listed, rest.next_cursor) == (["R-2", "R-1", "R-0"], None)


async def _charged(kit: PaymentsTestKit, currency: Currency = Currency.USD) -> dict[str, Any]:
    """The payment method types of an intent paid by card, as the gateway stores them."""
    booking = await kit.book(currency=currency)
    view = await kit.payments.start_payment(booking.id, ANN, payment_method_id="pm_card_visa", confirm_immediately=True)
    return kit.stripe.call("GET", f"/v1/payment_intents/{view.payment.intent_id}").body


async def test_the_configuration_may_restrict_the_types_of_payment_methods() -> None:
    intent = await _charged(PaymentsTestKit(config=PaymentConfig(methods=MethodChoice(allowed=("card",)))))

    assert (intent["payment_method_types"], intent["automatic_payment_methods"]) == (["card"], None)


async def test_the_configuration_may_exclude_types_of_payment_methods() -> None:
    intent = await _charged(PaymentsTestKit(config=PaymentConfig(methods=MethodChoice(excluded=("us_bank_account",)))))

    assert intent["payment_method_types"] == ["card"]


async def test_an_intent_that_no_method_can_pay_is_canceled() -> None:
    """Stripe silently drops types that do not fit: this account accepts no US bank debits in euros."""
    kit = PaymentsTestKit(config=PaymentConfig(methods=MethodChoice(allowed=("us_bank_account",))))
    booking = await kit.book(currency=Currency.EUR)

    with pytest.raises(GatewayRefusedUs) as refused, capture_logs() as lines:
        await kit.payments.start_payment(booking.id, ANN)

    intents = kit.stripe.call("GET", "/v1/payment_intents").body["data"]
    assert refused.value.code == "no_payment_method_left"
    assert [intent["status"] for intent in intents] == ["canceled"]
    assert "gateway.no_method_left" in [line["event"] for line in lines if line["log_level"] == "error"]
    assert (await kit.payments.payment_status(booking.id)).payment.status is PaymentStatus.CANCELED


async def test_a_method_that_is_not_allowed_is_refused_at_once() -> None:
    kit = PaymentsTestKit(config=PaymentConfig(methods=MethodChoice(allowed=("us_bank_account",))))

    with pytest.raises(RefusedByRule) as refused:
        await _charged(kit)

    assert refused.value.code == "payment_method_incompatible"


async def test_a_dropped_payment_method_type_is_logged() -> None:
    kit = PaymentsTestKit(config=PaymentConfig(methods=MethodChoice(allowed=("card", "us_bank_account"))))

    with capture_logs() as lines:
        await kit.payments.start_payment((await kit.book(currency=Currency.EUR)).id, ANN)

    [line] = [line for line in lines if line["event"] == "gateway.methods_dropped"]
    assert (line["dropped"], line["left"]) == (["us_bank_account"], ("card",))


def test_allowed_and_excluded_types_cannot_be_combined() -> None:
    with pytest.raises(InvalidInput):
        MethodChoice(allowed=("card",), configuration="pmc_1")
