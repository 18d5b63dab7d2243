"""Amending bookings: the effect on the payment in each of its states, and what is never charged or refunded."""

from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from attrs import evolve

from booking_payments.application.callers import Caller
from booking_payments.application.dependencies import PaymentConfig
from booking_payments.application.views import NewBooking, PaymentView, RefundOnCancel
from booking_payments.domain.amendments import BookingChange
from booking_payments.domain.booking import Booking, BookingDetails, BookingStatus, Item, ItemCount
from booking_payments.domain.errors import (
    AlreadyUnderWay,
    NotFound,
    NotPossibleNow,
    OutcomeUnknown,
    PaymentError,
    RefusedByRule,
)
from booking_payments.domain.events import OperationIntended, Purpose
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import RefundPolicy, RefundTier
from booking_payments.domain.texts import rfc3339
from booking_payments.ports.gateway import GatewayRefused
from booking_payments.testing.kit import ANN, NOW, OPERATOR, PaymentsTestKit
from tests.payments import VISA, authorize, book_and_pay, pay, pay_in_browser, payment_of, start

UPDATE = "POST /v1/payment_intents/{id}"
CANCEL = "POST /v1/payment_intents/{id}/cancel"
HALF = RefundPolicy(tiers=(RefundTier(hours_before=48, percent=Decimal(50)),))
KEY = "0123456789abcdef"


def usd(text: str) -> Money:
    return Money.parse(text, Currency.USD)


def price(text: str) -> BookingChange:
    return BookingChange(amount=usd(text))


async def amended_to(kit: PaymentsTestKit, booking_id: str, text: str, **options: object) -> Booking:
    return await kit.payments.amend_booking(booking_id, price(text), OPERATOR, **options)  # type: ignore[arg-type]


async def code_of(kit: PaymentsTestKit, booking_id: str, text: str) -> str:
    with pytest.raises(PaymentError) as refused:
        await amended_to(kit, booking_id, text)
    return refused.value.code


# --- unpaid ----------------------------------------------------------------------------------------------------


async def test_an_unpaid_booking_gets_another_price_and_version(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    after = await amended_to(kit, booking.id, "120.00")

    assert (after.amount, after.version, booking.version) == (usd("120.00"), 2, 1)
    assert (await pay(kit, after)).payment.captured == usd("120.00")


async def test_an_unpaid_intent_is_updated_to_a_lower_price(kit: PaymentsTestKit) -> None:
    view = await start(kit)

    await amended_to(kit, view.payment.booking_id, "80.00")

    after = await payment_of(kit, view)
    assert (after.id, after.intent_id, after.amount) == (view.payment.id, view.payment.intent_id, usd("80.00"))
    pay_in_browser(kit, view)
    await kit.deliver_webhooks()
    paid = await payment_of(kit, view)
    assert (paid.status, paid.captured, paid.drifts) == (PaymentStatus.SUCCEEDED, usd("80.00"), ())


async def test_a_page_from_before_a_price_increase_cannot_pay_the_old_price(kit: PaymentsTestKit) -> None:
    view = await start(kit)

    await amended_to(kit, view.payment.booking_id, "120.00")

    after = await payment_of(kit, view)
    assert after.intent_id not in (None, view.payment.intent_id)
    assert after.amount == usd("120.00")
    pay_in_browser(kit, view)  # the page was loaded before
    await kit.deliver_webhooks()
    assert (await payment_of(kit, view)).status is PaymentStatus.REQUIRES_PAYMENT_METHOD
    assert kit.stripe.successful_charges(view.payment.intent_id or "") == 0


@pytest.mark.parametrize("new", ["80.00", "120.00"])
@pytest.mark.parametrize("allows", [False, True], ids=["refuses", "allows"])
async def test_an_intent_in_authentication_is_replaced(new: str, allows: bool) -> None:
    kit = PaymentsTestKit(amount_in_action=allows)
    view = await book_and_pay(kit, "pm_card_authenticationRequired")
    assert view.payment.status is PaymentStatus.REQUIRES_ACTION

    await amended_to(kit, view.payment.booking_id, new)

    after = await payment_of(kit, view)
    assert (after.id == view.payment.id, after.amount) == (False, usd(new))
    with pytest.raises(ValueError, match=r".+"):
        kit.authenticate(view, "succeeded")


async def test_an_intent_whose_amount_the_gateway_refuses_to_change_is_replaced(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    gateway = kit.deps.gateway

    async def refuse(*_: object) -> None:
        raise GatewayRefused("never", code="amount_fixed")

    gateway.update_intent = refuse  # type: ignore[assignment,method-assign]

    await amended_to(kit, view.payment.booking_id, "80.00")

    after = await payment_of(kit, view)
    assert (after.intent_id == view.payment.intent_id, after.amount) == (False, usd("80.00"))


async def test_a_booking_that_becomes_free_is_confirmed_and_its_intent_canceled(kit: PaymentsTestKit) -> None:
    view = await start(kit)

    after = await amended_to(kit, view.payment.booking_id, "0.00")

    assert (after.status, after.free) == (BookingStatus.CONFIRMED, True)
    assert (await payment_of(kit, view)).status is PaymentStatus.CANCELED
    pay_in_browser(kit, view)
    assert kit.stripe.successful_charges(view.payment.intent_id or "") == 0


async def test_a_booking_that_was_paid_meanwhile_keeps_its_price(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view)  # and its webhook has not arrived

    assert await code_of(kit, view.payment.booking_id, "80.00") == "already_paid"
    assert (await kit.payments.get_booking(view.payment.booking_id)).amount == usd("100.00")
    assert (await payment_of(kit, view)).captured == usd("100.00")


async def test_a_booking_that_was_paid_meanwhile_cannot_become_dearer(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view)

    assert await code_of(kit, view.payment.booking_id, "120.00") == "already_paid"
    booking = await kit.payments.get_booking(view.payment.booking_id)
    assert (booking.amount, booking.status) == (usd("100.00"), BookingStatus.CONFIRMED)


async def test_while_a_payment_is_processing_the_texts_can_be_amended_and_the_price_cannot(
    kit: PaymentsTestKit,
) -> None:
    payment = (await book_and_pay(kit, "pm_usBankAccount_success")).payment
    assert payment.status is PaymentStatus.PROCESSING

    assert await code_of(kit, payment.booking_id, "80.00") == "payment_in_flight"
    after = await kit.payments.amend_booking(payment.booking_id, BookingChange(title="Matinee"), OPERATOR)
    assert after.details.title == "Matinee"


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "500_before", "500_after"])
@pytest.mark.parametrize(("new", "call"), [("80.00", UPDATE), ("120.00", CANCEL), ("0.00", CANCEL)])
async def test_an_amendment_with_an_unknown_outcome_applies_once_the_outcome_is_known(
    kit: PaymentsTestKit, new: str, call: str, fault: str
) -> None:
    view = await start(kit)
    kit.stripe.faults.script(call, fault, times=3)

    with pytest.raises(OutcomeUnknown):
        await amended_to(kit, view.payment.booking_id, new)
    assert (await kit.payments.get_booking(view.payment.booking_id)).amount == usd("100.00")

    await kit.settle()
    booking = await kit.payments.get_booking(view.payment.booking_id)
    payment = await payment_of(kit, view)
    assert (booking.amount, booking.free, payment.operation) == (
        usd(new),
        payment.status is PaymentStatus.CANCELED,
        None,
    )
    assert booking.free or payment.amount == usd(new)


async def test_an_update_without_effect_is_replaced_when_the_customer_authenticates_meanwhile(
    kit: PaymentsTestKit,
) -> None:
    view = await start(kit)
    kit.stripe.faults.script(UPDATE, "500_before", times=1)
    with pytest.raises(OutcomeUnknown):
        await amended_to(kit, view.payment.booking_id, "80.00")
    pay_in_browser(kit, view, "pm_card_authenticationRequired")

    await kit.settle()

    booking, payment = await kit.payments.get_booking(view.payment.booking_id), await payment_of(kit, view)
    assert (booking.amount, payment.amount, payment.id == view.payment.id) == (usd("80.00"), usd("80.00"), False)


async def test_an_amendment_whose_call_had_no_effect_does_not_keep_an_overdue_booking_from_expiring(
    kit: PaymentsTestKit,
) -> None:
    view = await start(kit)
    kit.stripe.faults.script(CANCEL, "500_before", times=1)
    with pytest.raises(OutcomeUnknown):
        await amended_to(kit, view.payment.booking_id, "120.00")
    booking = await kit.payments.get_booking(view.payment.booking_id)
    kit.clock.advance(booking.expires_at - kit.clock.now() + timedelta(minutes=1))
    kit.stripe.faults.script(CANCEL, "500_before", times=1)  # of a second amendment, or of the expiry

    await kit.settle()

    booking = await kit.payments.get_booking(view.payment.booking_id)
    assert booking.amount == usd("100.00")
    purposes = [
        entry.event.purpose
        for entry in await kit.payments.journal(view.payment.booking_id)
        if isinstance(entry.event, OperationIntended)
    ]
    assert purposes.count(Purpose.AMEND_BOOKING) == 1


async def test_a_hold_that_arrives_before_an_update_without_effect_keeps_its_price(kit: PaymentsTestKit) -> None:
    view = await start(kit, capture_method=CaptureMethod.MANUAL)
    kit.stripe.faults.script(UPDATE, "500_before", times=1)
    with pytest.raises(OutcomeUnknown):
        await amended_to(kit, view.payment.booking_id, "80.00")
    pay_in_browser(kit, view)

    await kit.settle()

    booking, payment = await kit.payments.get_booking(view.payment.booking_id), await payment_of(kit, view)
    assert (booking.amount, payment.status) == (usd("100.00"), PaymentStatus.REQUIRES_CAPTURE)
    assert (payment.amount, payment.operation) == (usd("100.00"), None)


async def test_an_amendment_that_did_not_begin_is_refused_while_another_operation_is_unknown(
    kit: PaymentsTestKit,
) -> None:
    view = await book_and_pay(kit, VISA)
    kit.stripe.faults.script("POST /v1/refunds", "timeout_before", times=99)
    with pytest.raises(OutcomeUnknown):
        await kit.payments.refund_payment(view.payment.booking_id, OPERATOR, amount=usd("10.00"))
    kit.clock.advance(timedelta(minutes=5))

    with pytest.raises(AlreadyUnderWay):
        await kit.payments.amend_booking(view.payment.booking_id, BookingChange(title="Matinee"), OPERATOR)

    assert (await kit.payments.get_booking(view.payment.booking_id)).details.title is None


async def test_a_customer_who_pays_while_the_update_is_unknown_pays_the_new_price(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    kit.stripe.faults.script(UPDATE, "timeout_after", times=3)
    with pytest.raises(OutcomeUnknown):
        await amended_to(kit, view.payment.booking_id, "80.00")

    pay_in_browser(kit, view)
    await kit.settle()

    booking, payment = await kit.payments.get_booking(view.payment.booking_id), await payment_of(kit, view)
    assert (booking.amount, booking.status) == (usd("80.00"), BookingStatus.CONFIRMED)
    assert (payment.captured, payment.drifts) == (usd("80.00"), ())


async def test_a_customer_who_pays_before_an_unknown_update_keeps_the_old_price(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    kit.stripe.faults.script(UPDATE, "timeout_before", times=3)
    with pytest.raises(OutcomeUnknown):
        await amended_to(kit, view.payment.booking_id, "80.00")

    pay_in_browser(kit, view)
    await kit.settle()

    booking, payment = await kit.payments.get_booking(view.payment.booking_id), await payment_of(kit, view)
    assert (booking.amount, booking.status) == (usd("100.00"), BookingStatus.CONFIRMED)
    assert (payment.captured, payment.drifts, payment.operation) == (usd("100.00"), (), None)


async def test_a_price_that_no_gateway_charges_is_refused_without_a_gateway_call(kit: PaymentsTestKit) -> None:
    view = await start(kit)

    assert await code_of(kit, view.payment.booking_id, "0.10") == "amount_too_small"
    assert (await payment_of(kit, view)).amount == usd("100.00")


# --- held ------------------------------------------------------------------------------------------------------


async def test_after_a_price_reduction_less_is_captured_of_an_authorization(kit: PaymentsTestKit) -> None:
    view = await authorize(kit)

    await amended_to(kit, view.payment.booking_id, "80.00")
    captured = await kit.payments.capture_payment(view.payment.booking_id, OPERATOR)

    assert (captured.payment.captured, captured.payment.drifts) == (usd("80.00"), ())
    assert captured.payment.intent_id == view.payment.intent_id


async def test_a_capture_above_the_new_price_is_refused(kit: PaymentsTestKit) -> None:
    view = await authorize(kit)
    await amended_to(kit, view.payment.booking_id, "80.00")

    with pytest.raises(RefusedByRule) as refused:
        await kit.payments.capture_payment(view.payment.booking_id, OPERATOR, amount="100.00")

    assert refused.value.code == "amount_exceeds_price"


async def test_a_dashboard_capture_above_the_new_price_is_refunded_down_to_it(kit: PaymentsTestKit) -> None:
    view = await authorize(kit)
    await amended_to(kit, view.payment.booking_id, "80.00")

    kit.stripe.call("POST", f"/v1/payment_intents/{view.payment.intent_id}/capture", {}, None)
    await kit.settle()

    payment = await payment_of(kit, view)
    assert (payment.captured, payment.refunded, payment.owed.amount) == (usd("100.00"), usd("20.00"), usd("0.00"))


async def test_the_price_of_an_authorized_booking_cannot_be_raised(kit: PaymentsTestKit) -> None:
    view = await authorize(kit)

    assert await code_of(kit, view.payment.booking_id, "120.00") == "balance_needed"


# --- paid ------------------------------------------------------------------------------------------------------


async def test_a_price_reduction_of_a_paid_booking_refunds_the_difference(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit)

    after = await amended_to(kit, view.payment.booking_id, "70.00")

    payment = await payment_of(kit, view)
    assert (after.amount, after.status) == (usd("70.00"), BookingStatus.CONFIRMED)
    assert (payment.refunded, payment.refundable.remaining(NOW)) == (usd("30.00"), usd("70.00"))


@pytest.mark.parametrize(
    ("refund", "back", "left"), [(None, "15.00", "35.00"), ("full", "30.00", "35.00"), ("none", "0.00", "35.00")]
)
async def test_the_refund_argument_decides_how_much_of_the_difference_is_refunded(
    kit: PaymentsTestKit, refund: str | None, back: str, left: str
) -> None:
    view = await book_and_pay(kit, refund_policy=HALF)

    chosen = RefundOnCancel(refund) if refund else None
    await amended_to(kit, view.payment.booking_id, "70.00", refund=chosen)

    payment = await payment_of(kit, view)
    assert (payment.refunded, payment.refundable.remaining(NOW)) == (usd(back), usd(left))


@pytest.mark.parametrize(
    ("refund", "back"), [(None, "100.00"), ("policy", "50.00"), ("full", "100.00"), ("none", "0.00")]
)
async def test_a_paid_booking_whose_price_becomes_zero_is_refunded_in_full_by_default(
    kit: PaymentsTestKit, refund: str | None, back: str
) -> None:
    view = await book_and_pay(kit, refund_policy=HALF)

    chosen = RefundOnCancel(refund) if refund else None
    after = await amended_to(kit, view.payment.booking_id, "0.00", refund=chosen)

    payment = await payment_of(kit, view)
    assert (after.status, after.free, payment.refunded) == (BookingStatus.CONFIRMED, True, usd(back))


async def test_the_price_of_a_paid_booking_cannot_be_raised(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit)

    assert await code_of(kit, view.payment.booking_id, "100.01") == "balance_needed"
    assert await code_of(kit, (await kit.book("0.00", reference="free")).id, "5.00") == "balance_needed"


async def test_the_price_of_a_booking_that_became_free_before_it_was_paid_cannot_be_raised(
    kit: PaymentsTestKit,
) -> None:
    view = await start(kit)
    await amended_to(kit, view.payment.booking_id, "0.00")

    assert await code_of(kit, view.payment.booking_id, "36.10") == "balance_needed"
    assert (await kit.payments.get_booking(view.payment.booking_id)).free


async def test_earlier_refunds_reduce_the_refund_of_an_amendment(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, refund_policy=HALF)
    await kit.payments.refund_payment(view.payment.booking_id, OPERATOR, amount="45.00")

    await amended_to(kit, view.payment.booking_id, "80.00")

    payment = await payment_of(kit, view)
    assert (payment.refunded, payment.refundable.remaining(NOW)) == (usd("50.00"), usd("0.00"))


async def test_a_refund_blocked_by_a_dispute_is_owed(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, "pm_card_createDispute", deliver=True)

    after = await amended_to(kit, view.payment.booking_id, "70.00")

    payment = await payment_of(kit, view)
    assert (after.amount, payment.refunded, payment.owed.amount) == (usd("70.00"), usd("0.00"), usd("30.00"))


# --- date, texts, versions -------------------------------------------------------------------------------------


async def test_a_new_date_moves_the_deadline_and_the_tiers(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, refund_policy=HALF)
    later, soon = NOW + timedelta(days=60), NOW + timedelta(hours=24)

    moved = await kit.payments.amend_booking(view.payment.booking_id, BookingChange(event_starts_at=later), OPERATOR)
    assert (moved.event_starts_at, moved.expires_at) == (later, later)
    assert (await payment_of(kit, view)).refundable.remaining(NOW) == usd("50.00")

    await kit.payments.amend_booking(view.payment.booking_id, BookingChange(event_starts_at=soon), OPERATOR)
    assert (await payment_of(kit, view)).refundable.remaining(NOW) == usd("0.00")


async def test_an_explicit_deadline_is_kept_but_ends_at_the_start_of_the_event(kit: PaymentsTestKit) -> None:
    booking = await kit.book(expires_in=timedelta(days=2))
    later, soon = NOW + timedelta(days=60), NOW + timedelta(hours=24)

    moved = await kit.payments.amend_booking(booking.id, BookingChange(event_starts_at=later), OPERATOR)
    assert moved.expires_at == booking.expires_at
    moved = await kit.payments.amend_booking(booking.id, BookingChange(event_starts_at=soon), OPERATOR)
    assert moved.expires_at == soon


async def test_customers_get_a_full_refund_during_the_grace_period(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, refund_policy=HALF)
    grace = NOW + timedelta(days=3)
    change = BookingChange(event_starts_at=NOW + timedelta(hours=5), refund_grace_until=grace)
    await kit.payments.amend_booking(view.payment.booking_id, change, OPERATOR)

    quoted = await kit.payments.quote_refund(view.payment.booking_id, ANN)
    assert (quoted.amount, quoted.refundable_until, quoted.reason.code) == (usd("100.00"), grace, "event_moved")
    refund = await kit.payments.refund_payment(view.payment.booking_id, ANN)
    assert refund.refund.amount == usd("100.00")


async def test_after_the_grace_period_the_refund_tiers_apply(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, refund_policy=HALF)
    change = BookingChange(refund_grace_until=NOW + timedelta(days=3))
    await kit.payments.amend_booking(view.payment.booking_id, change, OPERATOR)

    kit.clock.advance(timedelta(days=3))

    assert (await kit.payments.quote_refund(view.payment.booking_id, ANN)).amount == usd("50.00")


async def test_an_amendment_of_an_outdated_version_is_refused(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await amended_to(kit, booking.id, "90.00", expected_version=1)

    with pytest.raises(NotPossibleNow) as refused:
        await amended_to(kit, booking.id, "80.00", expected_version=1)

    assert refused.value.code == "version_conflict"
    assert (await kit.payments.get_booking(booking.id)).amount == usd("90.00")


async def test_a_repeated_amendment_with_the_same_key_has_no_second_effect(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    first = await amended_to(kit, booking.id, "90.00", expected_version=1, idempotency_key=KEY)
    again = await amended_to(kit, booking.id, "90.00", expected_version=1, idempotency_key=KEY)

    assert (first.version, again.version) == (2, 2)


async def test_an_amendment_without_changes_keeps_the_version(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    assert (await amended_to(kit, booking.id, "100.00")).version == 1


async def test_an_amended_booking_is_still_found_by_its_first_registration(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await amended_to(kit, booking.id, "90.00")

    assert (await kit.book()).id == booking.id
    assert (await kit.book("90.00")).id == booking.id
    with pytest.raises(NotPossibleNow):
        await kit.book("95.00")


async def test_a_closed_booking_cannot_be_amended_and_its_reference_can_be_used_again(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.cancel_booking(booking.id, OPERATOR)

    assert await code_of(kit, booking.id, "80.00") == "booking_canceled"
    assert (await kit.book("95.00")).id != booking.id


async def test_customers_may_not_amend(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    with pytest.raises(RefusedByRule):
        await kit.payments.amend_booking(booking.id, price("1.00"), ANN)
    with pytest.raises(NotFound):
        await kit.payments.amend_booking("bk_unknown", price("1.00"), OPERATOR)


async def test_the_booking_app_receives_a_message(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit)
    await amended_to(kit, view.payment.booking_id, "70.00")
    await kit.payments.amend_booking((await kit.book(reference="R-2")).id, BookingChange(title="New"), OPERATOR)

    await kit.settle()
    told = [each for each in kit.publisher.published if each.type == "booking.amended"]
    assert [each.data["changed"] for each in told] == [["amount"], ["title"]]
    assert (told[0].data["booking_amount_before"], told[0].data["booking_amount"]) == ("100.00", "70.00")
    assert told[0].data["given_back"] == "30.00"


async def test_the_message_has_the_new_times_and_items_and_the_event(kit: PaymentsTestKit) -> None:
    booking = await kit.book(items={"adult": (2, "30.00")}, event_id="evening-1")
    starts = booking.event_starts_at + timedelta(days=7)
    change = BookingChange(
        items=[attrs.evolve(booking.items[0], quantity=1)],
        event_starts_at=starts,
        expires_at=starts - timedelta(days=1),
        refund_grace_until=starts - timedelta(days=2),
    )
    await kit.payments.amend_booking(booking.id, change, OPERATOR)
    await kit.payments.start_payment(booking.id, ANN)
    await kit.payments.amend_booking(booking.id, BookingChange(refund_grace_until=None), OPERATOR)

    await kit.settle()
    unpaid, open_ = (each.data for each in kit.publisher.published if each.type == "booking.amended")
    assert (unpaid["event_id"], open_["event_id"]) == ("evening-1", "evening-1")
    assert [unpaid[name] for name in ("event_starts_at", "expires_at", "refund_grace_until")] == [
        rfc3339(starts - timedelta(days=days)) for days in (0, 1, 2)
    ]
    assert unpaid["items"] == [
        {"id": "adult", "label": "adult", "quantity": 1, "unit_amount": "30.00", "refunded_quantity": 0}
    ]
    assert (open_["changed"], open_["refund_grace_until"]) == (["refund_grace_until"], None)


async def test_after_a_price_change_a_manual_booking_is_still_only_authorized(kit: PaymentsTestKit) -> None:
    view = await kit.payments.start_payment((await kit.book(capture_method=CaptureMethod.MANUAL)).id, ANN)
    await amended_to(kit, view.payment.booking_id, "120.00")

    held = await kit.payments.confirm_payment(view.payment.booking_id, ANN, payment_method_id=VISA)
    assert (held.payment.status, held.payment.authorized) == (PaymentStatus.REQUIRES_CAPTURE, usd("120.00"))


async def test_the_price_is_the_sum_of_the_items(kit: PaymentsTestKit) -> None:
    booking = await kit.book(items={"adult": (2, "30.00"), "child": (1, "10.00")})
    assert booking.amount == usd("70.00")
    assert await code_of(kit, booking.id, "60.00") == "items_do_not_add_up"

    items = [attrs.evolve(booking.items[0], quantity=1)]
    after = await kit.payments.amend_booking(booking.id, BookingChange(items=items), Caller.service("app", "t"))
    assert (after.amount, [each.id for each in after.items]) == (usd("30.00"), ["adult"])


async def test_an_item_with_a_negative_price_is_refused() -> None:
    with pytest.raises(RefusedByRule):
        Item(id="a", label="a", quantity=1, unit_amount=-usd("1.00"))


@pytest.mark.parametrize("sends", [False, True])
async def test_booking_metadata_is_sent_to_the_gateway_only_if_the_setting_allows_it(sends: bool) -> None:
    kit = PaymentsTestKit(config=PaymentConfig(booking_metadata=sends))
    new = NewBooking(
        reference="R-1",
        customer_id="ann",
        amount=usd("10.00"),
        event_starts_at=NOW + timedelta(days=1),
        metadata={"table": "7"},
    )
    booking = (await kit.payments.register_booking(new)).booking

    view = await pay(kit, booking)

    intent = await kit.deps.gateway.retrieve_intent(view.payment.intent_id or "")
    assert intent.metadata.get("table") == ("7" if sends else None)
    assert intent.metadata["booking_id"] == booking.id


async def test_metadata_is_any_mapping_and_is_copied(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    given = {"table": "7"}
    change = BookingChange(amount=usd("80.00"), metadata=MappingProxyType(given))

    after = await kit.payments.amend_booking(view.payment.booking_id, change, OPERATOR)
    given["table"] = "8"

    assert (type(after.metadata), dict(after.metadata)) == (dict, {"table": "7"})


# --- the price that a customer was shown -----------------------------------------------------------------------


async def test_a_price_that_was_not_shown_is_not_charged(kit: PaymentsTestKit) -> None:
    booking = await kit.book()

    with pytest.raises(NotPossibleNow) as refused:
        await pay(kit, booking, expected_price=usd("99.99"))
    paid = await pay(kit, booking, expected_price=usd("100.00"))

    assert (refused.value.code, paid.payment.captured) == ("price_changed", usd("100.00"))


@pytest.mark.parametrize("text", ["80.00", "120.00"])
@pytest.mark.parametrize("started", [False, True])
async def test_an_amendment_at_the_last_moment_keeps_another_price_from_being_charged(
    kit: PaymentsTestKit, monkeypatch: pytest.MonkeyPatch, text: str, started: bool
) -> None:
    booking = await kit.book()
    if started:
        await kit.payments.start_payment(booking.id, ANN)
    real, waiting = kit.storage.transact, [text]

    async def after_an_amendment(*given: Any, **named: Any) -> Any:
        if waiting:
            await amended_to(kit, booking.id, waiting.pop())
        return await real(*given, **named)

    monkeypatch.setattr(kit.storage, "transact", after_an_amendment)
    with pytest.raises(NotPossibleNow) as refused:
        await pay(kit, booking, expected_price=usd("100.00"))

    assert refused.value.code == "price_changed"
    assert (await pay(kit, booking, expected_price=usd(text))).payment.captured == usd(text)


async def test_after_a_canceled_payment_the_price_shown_is_that_of_the_next_one(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    await kit.payments.cancel_payment(view.payment.booking_id, ANN)
    await amended_to(kit, view.payment.booking_id, "80.00")

    assert (await kit.payments.checkout(view.payment.booking_id, ANN)).price.gross == usd("80.00")
    assert (await pay(kit, view.payment.booking_id, expected_price=usd("80.00"))).payment.captured == usd("80.00")


async def test_a_repeated_request_gives_no_item_back_again_although_another_amendment_followed_it(
    kit: PaymentsTestKit,
) -> None:
    booking = await kit.book(items={"adult": (2, "25.00"), "child": (4, "12.50")})
    first, second = evolve(OPERATOR, cause="request 1"), evolve(OPERATOR, cause="request 2")
    children, adults = [ItemCount(id="child", quantity=2)], [ItemCount(id="adult", quantity=1)]
    await kit.payments.cancel_booking(booking.id, first, items=children)
    await kit.payments.cancel_booking(booking.id, second, items=adults)

    after = await kit.payments.cancel_booking(booking.id, evolve(first, resumed=True), items=children)

    assert [(item.id, item.quantity) for item in after.items] == [("adult", 1), ("child", 2)]


# --- texts at the gateway --------------------------------------------------------------------------------------


async def texts_at_stripe(kit: PaymentsTestKit, view: PaymentView) -> tuple[str, str | None]:
    payment = await payment_of(kit, view)
    intent = kit.stripe.call("GET", f"/v1/payment_intents/{payment.intent_id}").body
    return intent["description"], intent["receipt_email"]


MAILS = PaymentConfig(receipt_emails=True)
OLD = BookingDetails(title="Hamlet", customer_email="ann@old.example")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (BookingChange(title="Macbeth"), ("Macbeth, R-1", "ann@old.example")),
        (BookingChange(title=None), ("R-1", "ann@old.example")),
        (BookingChange(customer_email="ann@new.example"), ("Hamlet, R-1", "ann@new.example")),
        (BookingChange(customer_email=None), ("Hamlet, R-1", None)),
        (BookingChange(title="Macbeth", amount=usd("80.00")), ("Macbeth, R-1", "ann@old.example")),
        (BookingChange(title="Macbeth", amount=usd("120.00")), ("Macbeth, R-1", "ann@old.example")),
        (BookingChange(locale="de"), ("Hamlet, R-1", "ann@old.example")),
    ],
)
async def test_the_gateway_has_the_texts_of_the_booking_as_it_is_now(
    change: BookingChange, expected: tuple[str, str | None]
) -> None:
    kit = PaymentsTestKit(config=MAILS)
    view = await start(kit, details=OLD)

    await kit.payments.amend_booking(view.payment.booking_id, change, OPERATOR)

    assert await texts_at_stripe(kit, view) == expected


async def test_an_address_that_the_gateway_never_got_is_not_sent_to_it(kit: PaymentsTestKit) -> None:
    view = await start(kit, details=OLD)
    change = BookingChange(customer_email="ann@new.example", title="Macbeth")

    await kit.payments.amend_booking(view.payment.booking_id, change, OPERATOR)

    assert await texts_at_stripe(kit, view) == ("Macbeth, R-1", None)


@pytest.mark.parametrize("fault", ["500_before", "timeout_before", "timeout_after", "429_limit"])
async def test_texts_that_the_gateway_did_not_get_stop_no_amendment_and_are_sent_with_the_next(fault: str) -> None:
    kit = PaymentsTestKit(config=MAILS)
    view = await start(kit, details=OLD)
    kit.stripe.faults.script(UPDATE, fault, times=1)

    after = await kit.payments.amend_booking(view.payment.booking_id, BookingChange(title="Macbeth"), OPERATOR)
    await kit.payments.amend_booking(view.payment.booking_id, BookingChange(locale="de"), OPERATOR)

    assert after.details.title == "Macbeth"
    assert (await texts_at_stripe(kit, view))[0] == "Macbeth, R-1"
    assert (await payment_of(kit, view)).operation is None


async def test_texts_of_a_paid_booking_are_not_sent(kit: PaymentsTestKit) -> None:
    view = await pay(kit, await kit.book(details=OLD))

    await kit.payments.amend_booking(view.payment.booking_id, BookingChange(title="Macbeth"), OPERATOR)

    assert (await texts_at_stripe(kit, view))[0] == "Hamlet, R-1"
