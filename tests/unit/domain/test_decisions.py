"""Decisions: the intended calls, the events that follow from reports, and the closing of payments."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking_payments.domain import decisions as decide
from booking_payments.domain import events as ev
from booking_payments.domain.booking import BookingStatus, EndReason
from booking_payments.domain.errors import (
    AlreadyUnderWay,
    CardDeclined,
    InvalidAmount,
    NotPossibleNow,
    PaymentError,
    RefusedByRule,
)
from booking_payments.domain.fees import FeeOnRefund, FeePayer, FeePolicy
from booking_payments.domain.instructions import (
    CancelIntent,
    CancellationReason,
    CaptureIntent,
    CaptureMethod,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
    Instruction,
)
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.money import Money
from booking_payments.domain.payment import AttemptOutcome, Operation
from booking_payments.domain.refunds import Deferral, GivenBack, QuoteReason, RefundPolicy, RefundReason
from booking_payments.domain.reports import IntentReport, MethodDetails, RefundReport
from booking_payments.domain.retry import KEY_LIFETIME
from tests.unit.domain.builders import (
    NOW,
    PRICE,
    STARTS,
    TICK,
    DecidedPayment,
    a_booking,
    a_decline,
    a_dispute,
    a_failure,
    a_paid_payment,
    a_payment,
    a_refund,
    a_refunded_payment,
    a_request,
    a_start,
    an_authorized_payment,
    an_intent,
    eur,
    kinds,
    new_ids,
    usd,
)

S = PaymentStatus
CREATE = CreateIntent(
    amount=PRICE, capture_method=CaptureMethod.AUTOMATIC, payment_method_id=None, confirm=False, return_url=None
)
CREATE_AND_CHARGE = attrs.evolve(CREATE, confirm=True)
CONFIRM = ConfirmIntent(intent_id="pi_1", payment_method_id=None, return_url=None)
CAPTURE = CaptureIntent(intent_id="pi_1", amount=PRICE)
CANCEL = CancelIntent(intent_id="pi_1", reason=CancellationReason.ABANDONED)
REFUND = CreateRefund(intent_id="pi_1", refund_id="rf_1", amount=PRICE, reason=RefundReason.REQUESTED_BY_CUSTOMER)
INSTRUCTIONS = [CREATE, CREATE_AND_CHARGE, CONFIRM, CAPTURE, CANCEL, REFUND]
NAMES = ["create", "create and charge", "confirm", "capture", "cancel", "refund"]


def an_operation(instruction: Instruction, purpose: ev.Purpose = ev.Purpose.PAY) -> Operation:
    return Operation(idempotency_key="key_1", purpose=purpose, instruction=instruction, intended_at=NOW)


def linked(**terms: Any) -> DecidedPayment:
    """Return a payment whose intent exists at the gateway without a charge."""
    builder = a_payment(**terms)
    builder.sees(an_intent(S.REQUIRES_PAYMENT_METHOD))
    return builder


def intended(events: decide.Events) -> ev.OperationIntended:
    last = events[-1]
    assert isinstance(last, ev.OperationIntended)
    return last


def drift_codes(events: decide.Events) -> list[str]:
    return [event.code for event in events if isinstance(event, ev.DriftFound)]


# --- starting ----------------------------------------------------------------------------------------------------


def test_a_payment_starts_with_the_values_of_its_booking() -> None:
    start = a_start()

    assert (start.booking_id, start.booking_reference, start.customer_id) == ("bk_1", "ref-1", "ann")
    assert (start.booking_amount, start.breakdown.gross, start.event_starts_at) == (
        PRICE,
        PRICE,
        a_booking().event_starts_at,
    )


def test_the_bookings_refund_policy_takes_precedence_over_the_default() -> None:
    own = RefundPolicy(tiers=())

    assert a_start(a_booking(refund_policy=own)).refund_policy is own


def test_without_a_refund_policy_of_the_booking_the_default_applies() -> None:
    kit = RefundPolicy(tiers=())

    assert a_start(refund_policy=kit).refund_policy is kit


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"status": BookingStatus.CONFIRMED}, "already_paid"), ({"expires_at": NOW}, "booking_expired")],
)
def test_no_payment_starts_for_a_booking_that_is_not_payable(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(NotPossibleNow) as refused:
        a_start(a_booking(**changes))

    assert refused.value.code == code


# --- creating and confirming -------------------------------------------------------------------------------------


def create(builder: DecidedPayment, *, confirm: bool = False, method: str | None = None) -> decide.Events:
    return decide.intend_create(
        builder.payment, idempotency_key="key_1", payment_method_id=method, confirm=confirm, return_url="https://shop"
    )


def confirm(builder: DecidedPayment, method: str | None = "pm_1") -> decide.Events:
    return decide.intend_confirm(builder.payment, idempotency_key="key_2", payment_method_id=method, return_url=None)


def test_creating_an_intent_is_not_an_attempt() -> None:
    assert kinds(create(a_payment())) == ["OperationIntended"]


def test_creating_and_charging_in_one_call_is_a_server_attempt() -> None:
    events = create(a_payment(), confirm=True, method="pm_1")
    attempt = ev.AttemptStarted(number=1, origin=ev.Origin.SERVER, idempotency_key="key_1", payment_method_id="pm_1")

    assert (events[0], kinds(events)) == (attempt, ["AttemptStarted", "OperationIntended"])


def test_the_instruction_has_the_gross_amount_and_the_ids_of_payment_and_booking() -> None:
    builder = a_payment(fee_policy=FeePolicy(payer=FeePayer.CUSTOMER), capture_method=CaptureMethod.MANUAL)

    assert intended(create(builder, confirm=True, method="pm_1")).instruction == CreateIntent(
        amount=usd("103.00"),
        capture_method=CaptureMethod.MANUAL,
        payment_method_id="pm_1",
        confirm=True,
        return_url="https://shop",
        metadata={"booking_id": "bk_1", "payment_id": "pay_1", "booking_reference": "ref-1"},
    )


def test_a_confirmation_is_a_server_attempt_on_the_linked_intent() -> None:
    events = confirm(linked())

    assert kinds(events) == ["AttemptStarted", "OperationIntended"]
    assert intended(events).instruction == ConfirmIntent(intent_id="pi_1", payment_method_id="pm_1", return_url=None)


def test_a_payment_without_an_intent_cannot_be_confirmed() -> None:
    with pytest.raises(NotPossibleNow) as refused:
        confirm(a_payment())

    assert refused.value.code == "no_intent"


def in_flight() -> DecidedPayment:
    builder = linked()
    builder.happens(*create(a_payment()))
    return builder


def held_in_flight() -> DecidedPayment:
    builder = an_authorized_payment()
    builder.happens(*decide.intend_capture(builder.payment, idempotency_key="key_c", amount=None))
    return builder


def paid_in_flight() -> DecidedPayment:
    builder = a_paid_payment()
    builder.refunds("10.00")
    return builder


@pytest.mark.parametrize(
    ("builder", "ask"),
    [
        (in_flight, create),
        (in_flight, lambda builder: create(builder, confirm=True)),
        (in_flight, confirm),
        (in_flight, lambda builder: cancel(builder)),
        (held_in_flight, lambda builder: capture(builder)),
        (paid_in_flight, lambda builder: builder.refunds("10.00")),
    ],
)
def test_a_second_command_is_refused_while_a_call_is_in_flight(
    builder: Callable[[], DecidedPayment], ask: Callable[[DecidedPayment], object]
) -> None:
    busy = builder()

    with pytest.raises(AlreadyUnderWay):
        ask(busy)


@pytest.mark.parametrize("ask", [confirm, lambda builder: create(builder, confirm=True)])
def test_a_paid_payment_is_not_charged_again(ask: Callable[[DecidedPayment], object]) -> None:
    builder = a_paid_payment()

    with pytest.raises(NotPossibleNow) as refused:
        ask(builder)

    assert refused.value.code == "already_paid"


@pytest.mark.parametrize("ask", [confirm, lambda builder: create(builder, confirm=True)])
def test_no_charge_is_allowed_without_an_attempt_left(ask: Callable[[DecidedPayment], object]) -> None:
    builder = a_payment(max_attempts=1)
    builder.is_declined()

    with pytest.raises(RefusedByRule) as refused:
        ask(builder)

    assert refused.value.code == "attempts_exhausted"


# --- burnt cards -------------------------------------------------------------------------------------------------


def burnt(decline_code: str = "stolen_card", seen: str = "pm_1") -> DecidedPayment:
    builder = a_payment()
    builder.charges(method="pm_1")
    failure = a_failure(method=seen, decline=a_decline(decline_code=decline_code))
    builder.sees(an_intent(S.REQUIRES_PAYMENT_METHOD, failure=failure))
    builder.settles()
    return builder


@pytest.mark.parametrize("method", ["pm_1", "pm_copy"])
def test_a_card_that_must_not_be_charged_again_repeats_its_decline_by_either_id(method: str) -> None:
    builder = burnt(seen="pm_copy")

    with pytest.raises(CardDeclined) as refused:
        confirm(builder, method)

    assert refused.value.decline == builder.payment.attempts[0].decline


@pytest.mark.parametrize(("decline_code", "method"), [("stolen_card", "pm_2"), ("insufficient_funds", "pm_1")])
def test_another_card_or_a_card_with_another_decline_may_be_charged(decline_code: str, method: str) -> None:
    assert kinds(confirm(burnt(decline_code), method)) == ["AttemptStarted", "OperationIntended"]


def test_a_charge_without_a_method_id_is_not_refused_for_earlier_declines() -> None:
    builder = a_payment()
    builder.charges(method=None)
    builder.sees(
        an_intent(
            S.REQUIRES_PAYMENT_METHOD, failure=a_failure(method=None, decline=a_decline(decline_code="stolen_card"))
        )
    )
    builder.settles()

    assert kinds(confirm(builder, None)) == ["AttemptStarted", "OperationIntended"]


# --- capturing ---------------------------------------------------------------------------------------------------


def capture(builder: DecidedPayment, amount: Money | None = None) -> decide.Events:
    return decide.intend_capture(builder.payment, idempotency_key="key_c", amount=amount)


@pytest.mark.parametrize(("amount", "asked"), [(None, PRICE), (usd("40.00"), usd("40.00")), (PRICE, PRICE)])
def test_held_money_is_captured_in_full_or_in_part(amount: Money | None, asked: Money) -> None:
    event = intended(capture(an_authorized_payment(), amount))

    assert (event.purpose, event.instruction) == (ev.Purpose.CAPTURE, CaptureIntent(intent_id="pi_1", amount=asked))


@pytest.mark.parametrize("amount", ["0.00", "-1.00"])
def test_a_capture_of_zero_is_refused(amount: str) -> None:
    with pytest.raises(InvalidAmount):
        capture(an_authorized_payment(), usd(amount))


def test_a_capture_above_the_held_amount_is_refused() -> None:
    with pytest.raises(RefusedByRule) as refused:
        capture(an_authorized_payment(), usd("100.01"))

    assert refused.value.code == "amount_exceeds_authorized"


def test_a_capture_without_held_money_is_refused() -> None:
    with pytest.raises(NotPossibleNow) as refused:
        capture(a_payment())

    assert refused.value.code == "not_authorized"


# --- canceling ---------------------------------------------------------------------------------------------------


def cancel(builder: DecidedPayment, purpose: ev.Purpose = ev.Purpose.CANCEL_PAYMENT) -> decide.Events:
    return decide.intend_cancel(builder.payment, idempotency_key="key_x", purpose=purpose)


@pytest.mark.parametrize(
    ("purpose", "reason"),
    [
        (ev.Purpose.CANCEL_PAYMENT, CancellationReason.REQUESTED_BY_CUSTOMER),
        (ev.Purpose.CANCEL_BOOKING, CancellationReason.REQUESTED_BY_CUSTOMER),
        (ev.Purpose.EXPIRE_BOOKING, CancellationReason.ABANDONED),
        (ev.Purpose.END_ATTEMPTS, CancellationReason.ABANDONED),
    ],
)
def test_a_cancellation_sends_its_reason_to_the_gateway(purpose: ev.Purpose, reason: CancellationReason) -> None:
    event = intended(cancel(linked(), purpose))

    assert (event.purpose, event.instruction) == (purpose, CancelIntent(intent_id="pi_1", reason=reason))


@pytest.mark.parametrize(
    ("purpose", "event"),
    [(ev.Purpose.CANCEL_PAYMENT, ev.PaymentCanceled()), (ev.Purpose.END_ATTEMPTS, ev.PaymentFailed())],
)
def test_without_an_intent_a_cancellation_needs_no_call(purpose: ev.Purpose, event: ev.Event) -> None:
    assert cancel(a_payment(), purpose) == (event,)


def test_a_processing_payment_cannot_be_canceled() -> None:
    builder = a_payment()
    builder.sees(an_intent(S.PROCESSING))

    with pytest.raises(NotPossibleNow) as refused:
        cancel(builder)

    assert refused.value.code == "payment_processing"


def test_a_payment_without_attempts_left_has_to_be_closed() -> None:
    builder = a_payment(max_attempts=1)
    builder.is_declined()

    assert decide.attempts_exhausted(builder.payment)


def test_a_payment_with_an_attempt_left_stays_open() -> None:
    builder = a_payment(max_attempts=2)
    builder.is_declined()

    assert not decide.attempts_exhausted(builder.payment)


def test_a_payment_with_a_call_in_flight_is_not_closed_yet() -> None:
    builder = a_payment(max_attempts=1)
    builder.is_declined()
    builder.happens(*cancel(builder))

    assert not decide.attempts_exhausted(builder.payment)


@pytest.mark.parametrize("builder", [an_authorized_payment, a_paid_payment])
def test_a_payment_that_succeeded_with_its_last_attempt_is_not_closed(builder: Callable[..., DecidedPayment]) -> None:
    assert not decide.attempts_exhausted(builder(max_attempts=1).payment)


# --- refunding ---------------------------------------------------------------------------------------------------


def test_a_refund_is_reserved_before_its_call() -> None:
    builder = a_paid_payment()
    events = builder.refunds("40.00")

    assert kinds(events) == ["RefundRequested", "OperationIntended"]
    assert (builder.payment.refund_pending, builder.payment.refundable.remaining(NOW)) == (usd("40.00"), usd("60.00"))


@pytest.mark.parametrize(("correlation", "extra"), [(None, {}), ("req_1", {"correlation_id": "req_1"})])
def test_a_refund_has_ids_in_its_metadata_and_no_note(correlation: str | None, extra: dict[str, str]) -> None:
    builder = a_paid_payment()
    events = builder.refunds("40.00", reason=RefundReason.DUPLICATE, note="it rained", correlation_id=correlation)
    ours = {"booking_id": "bk_1", "payment_id": "pay_1", "booking_reference": "ref-1", "refund_id": "rf_1"}

    assert intended(events).instruction == CreateRefund(
        intent_id="pi_1",
        refund_id="rf_1",
        amount=usd("40.00"),
        reason=RefundReason.DUPLICATE,
        metadata={**ours, **extra},
    )
    assert builder.payment.refunds[0].note == "it rained"


@pytest.mark.parametrize(
    ("builder", "kind", "code"),
    [
        (a_payment, NotPossibleNow, "not_paid"),
        (an_authorized_payment, NotPossibleNow, "not_captured"),
        (a_refunded_payment, RefusedByRule, "nothing_left"),
    ],
)
def test_an_invalid_refund_is_refused(
    builder: Callable[[], DecidedPayment], kind: type[PaymentError], code: str
) -> None:
    asked = builder()

    with pytest.raises(kind) as refused:
        asked.refunds()

    assert refused.value.code == code


# --- sending and settling ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instruction", "charging"),
    list(zip(INSTRUCTIONS, [False, True, True, False, False, False], strict=True)),
    ids=NAMES,
)
def test_only_a_confirmation_and_a_confirmed_creation_charge_the_customer(
    instruction: Instruction, charging: bool
) -> None:
    assert decide.charges(instruction) is charging


@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=NAMES)
def test_a_fresh_key_may_be_sent_while_the_booking_is_payable(instruction: Instruction) -> None:
    assert decide.may_send(an_operation(instruction), a_booking(), NOW)


@pytest.mark.parametrize(("age", "sent"), [(KEY_LIFETIME - TICK, True), (KEY_LIFETIME, False)])
def test_an_old_key_is_not_sent_again(age: timedelta, sent: bool) -> None:
    assert decide.may_send(an_operation(REFUND), a_booking(), NOW + age) is sent


@pytest.mark.parametrize(
    ("instruction", "sent"), list(zip(INSTRUCTIONS, [True, False, False, True, True, True], strict=True)), ids=NAMES
)
def test_a_charge_for_a_closed_booking_is_not_sent(instruction: Instruction, sent: bool) -> None:
    canceled = a_booking(status=BookingStatus.CANCELED)

    assert decide.may_send(an_operation(instruction), canceled, NOW) is sent


def test_a_successful_call_is_settled_and_drops_nothing() -> None:
    builder = a_payment()
    builder.charges()

    assert builder.settles() == (ev.OperationSettled(idempotency_key="key_1"),)


def test_a_refused_charge_drops_its_attempt() -> None:
    builder = a_payment()
    builder.charges()
    events = builder.settles(refusal="parameter_invalid")

    assert events == (
        ev.OperationSettled(idempotency_key="key_1", refusal="parameter_invalid"),
        ev.AttemptDropped(number=1),
    )


def test_a_refused_charge_keeps_an_attempt_that_has_its_verdict() -> None:
    builder = a_payment()
    builder.charges()
    builder.sees(an_intent(S.REQUIRES_PAYMENT_METHOD, failure=a_failure()))

    assert kinds(builder.settles(refusal="card_declined")) == ["OperationSettled"]


def test_a_refused_refund_fails_and_releases_its_amount() -> None:
    builder = a_paid_payment()
    builder.refunds("40.00")
    events = builder.settles(refusal="no")

    promised = GivenBack(amount=usd("40.00"), fee=usd("0"))
    assert events[1:] == (
        ev.RefundMoved(refund_id="rf_1", status=RefundStatus.FAILED, failure_reason="no"),
        ev.PromiseWithdrawn(refund_id="rf_1", promised=promised),
    )
    assert builder.payment.refundable.remaining(NOW) == PRICE
    assert (builder.payment.promised, builder.payment.owed) == (GivenBack.zero(PRICE), GivenBack.zero(PRICE))


@pytest.mark.parametrize("refusal", ["charge_disputed", "refund_disputed_payment"])
def test_a_refund_that_is_refused_because_of_a_dispute_is_deferred(refusal: str) -> None:
    builder = a_paid_payment()
    builder.refunds("40.00", note="it rained")
    events = builder.settles(refusal=refusal)

    assert events[1:] == (
        ev.RefundDeferred(
            refund_id="rf_1",
            amount=usd("40.00"),
            fee_refunded=usd("0"),
            reason=RefundReason.REQUESTED_BY_CUSTOMER,
            note="it rained",
            why=Deferral.DISPUTE,
            requested_amount=usd("40.00"),
        ),
    )
    assert (builder.payment.refunds, builder.payment.owed.amount) == ((), usd("40.00"))
    assert builder.payment.refundable.remaining(NOW) == usd("60.00")


def test_a_refused_refund_does_not_change_earlier_refunds() -> None:
    builder = a_refunded_payment(amount="10.00")
    builder.refunds("20.00", refund_id="rf_2", key="key_rf_2")
    builder.settles(refusal="no")

    assert [refund.status for refund in builder.payment.refunds] == [RefundStatus.SUCCEEDED, RefundStatus.FAILED]


@pytest.mark.parametrize("builder", [a_payment, in_flight])
def test_an_operation_that_is_not_in_flight_is_not_settled(builder: Callable[[], DecidedPayment]) -> None:
    other = attrs.evolve(an_operation(CREATE), idempotency_key="key_other")

    assert decide.settle(builder().payment, other) == ()


# --- reports of an intent -----------------------------------------------------------------------------------------


def test_the_first_report_links_the_intent() -> None:
    assert a_payment().sees(an_intent(S.REQUIRES_PAYMENT_METHOD)) == (ev.IntentLinked(intent_id="pi_1"),)


@pytest.mark.parametrize(
    ("status", "names"),
    [
        (S.REQUIRES_PAYMENT_METHOD, []),
        (S.REQUIRES_CONFIRMATION, ["MethodAttached"]),
        (S.REQUIRES_ACTION, ["AttemptStarted", "ActionRequired"]),
        (S.PROCESSING, ["AttemptStarted", "ProcessingStarted"]),
        (S.REQUIRES_CAPTURE, ["AttemptStarted", "PaymentAuthorized"]),
        (S.SUCCEEDED, ["AttemptStarted", "PaymentSucceeded", "BookingConfirmed"]),
        (S.CANCELED, ["PaymentCanceled"]),
    ],
)
def test_each_reported_status_returns_its_events(status: PaymentStatus, names: list[str]) -> None:
    assert kinds(linked(capture_method=CaptureMethod.MANUAL).sees(an_intent(status))) == names


@pytest.mark.parametrize("status", [status for status in S if status is not S.FAILED])
def test_a_repeated_report_is_recorded_once(status: PaymentStatus) -> None:
    builder = a_payment()
    builder.sees(an_intent(status))

    assert builder.sees(an_intent(status)) == ()


def test_a_failed_authentication_requires_a_payment_method_again() -> None:
    builder = a_payment()
    builder.sees(an_intent(S.REQUIRES_ACTION))

    assert kinds(builder.sees(an_intent(S.REQUIRES_PAYMENT_METHOD))) == ["MethodRequired"]


def test_a_server_attempt_is_not_counted_again_as_a_client_attempt() -> None:
    builder = a_payment()
    builder.charges()
    builder.sees(an_intent(S.REQUIRES_ACTION))
    builder.sees(an_intent(S.SUCCEEDED))

    assert [(a.number, a.origin, a.outcome) for a in builder.payment.attempts] == [
        (1, ev.Origin.SERVER, AttemptOutcome.DONE)
    ]


def test_an_attempt_in_the_browser_is_a_client_attempt() -> None:
    builder = linked()
    builder.sees(an_intent(S.SUCCEEDED))
    attempt = builder.payment.attempts[0]

    assert (attempt.origin, attempt.idempotency_key, attempt.payment_method_id) == (ev.Origin.CLIENT, None, "pm_1")


def test_a_captured_hold_belongs_to_the_authorized_attempt() -> None:
    builder = an_authorized_payment()
    builder.sees(an_intent(S.SUCCEEDED))

    assert len(builder.payment.attempts) == 1


def test_a_success_with_another_charge_is_another_attempt() -> None:
    builder = an_authorized_payment()
    builder.sees(an_intent(S.SUCCEEDED, charge_id="ch_2"))

    assert [attempt.charge_id for attempt in builder.payment.attempts] == ["ch_1", "ch_2"]


@pytest.mark.parametrize(("capturable", "held"), [(PRICE, PRICE), (usd("60.00"), usd("60.00")), (usd("0"), PRICE)])
def test_the_authorized_amount_is_the_capturable_amount(capturable: Money, held: Money) -> None:
    builder = linked(capture_method=CaptureMethod.MANUAL)
    builder.sees(an_intent(S.REQUIRES_CAPTURE, amount_capturable=capturable))

    assert builder.payment.authorized == held


def test_a_success_in_time_confirms_the_booking() -> None:
    builder = linked()
    events = builder.sees(an_intent(S.SUCCEEDED))

    assert decide.booking_after(builder.booking, events) is BookingStatus.CONFIRMED


def test_a_partial_capture_computes_the_fee_of_the_captured_part() -> None:
    builder = an_authorized_payment()
    builder.sees(an_intent(S.SUCCEEDED, amount_received=usd("40.00")))

    assert (builder.payment.breakdown.gross, builder.payment.breakdown.fee) == (usd("40.00"), usd("1.20"))


def test_a_repeated_report_of_a_partial_capture_is_recorded_once() -> None:
    builder = an_authorized_payment()
    report = an_intent(S.SUCCEEDED, amount_received=usd("40.00"))
    builder.sees(report)

    assert builder.sees(report) == ()


# --- late money --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [BookingStatus.CANCELED, BookingStatus.EXPIRED, BookingStatus.CONFIRMED])
def test_a_success_for_a_closed_booking_is_recorded_as_late(status: BookingStatus) -> None:
    builder = linked()
    builder.booking = a_booking(status=status)
    events = builder.sees(an_intent(S.SUCCEEDED))

    assert kinds(events) == ["AttemptStarted", "PaymentSucceeded", "LatePaymentDecided"]
    assert events[-1] == ev.LatePaymentDecided(booking_status=status.value)
    assert (builder.payment.late, builder.payment.captured) == (True, PRICE)


def test_a_success_of_a_second_payment_is_late_while_another_holds_the_booking() -> None:
    builder = linked()
    events = builder.sees(an_intent(S.SUCCEEDED), alone=False)

    assert kinds(events)[-1] == "LatePaymentDecided"
    assert builder.payment.late


@pytest.mark.parametrize("end", [ev.PaymentCanceled(), ev.PaymentFailed()])
def test_a_success_is_recorded_even_for_a_closed_payment(end: ev.Event) -> None:
    builder = linked()
    builder.happens(end)
    builder.sees(an_intent(S.SUCCEEDED))

    assert (builder.payment.status, builder.payment.captured) == (S.SUCCEEDED, PRICE)


def a_late_payment() -> DecidedPayment:
    builder = linked()
    builder.sees(an_intent(S.SUCCEEDED), alone=False)
    return builder


def test_a_late_payment_owes_its_refund() -> None:
    assert decide.owes_late_refund(a_late_payment().payment)


@pytest.mark.parametrize("builder", [a_payment, a_paid_payment])
def test_a_payment_in_time_owes_no_refund(builder: Callable[[], DecidedPayment]) -> None:
    assert not decide.owes_late_refund(builder().payment)


def returns_late_money(builder: DecidedPayment) -> decide.Events:
    request = a_request(by=None)
    return builder.happens(*decide.promise_late_money(builder.payment, request, new_ids()))


def test_a_late_payment_is_refunded_once() -> None:
    builder = a_late_payment()
    events = returns_late_money(builder)
    asked = decide.owes_late_refund(builder.payment)
    builder.settles(refusal="no")

    assert kinds(events) == ["RefundRequested", "OperationIntended"]
    assert (asked, decide.owes_late_refund(builder.payment)) == (False, False)
    assert builder.payment.owed == GivenBack(amount=PRICE, fee=usd("3.00"))


def test_a_late_payment_is_not_refunded_while_a_call_is_in_flight() -> None:
    builder = a_late_payment()
    builder.happens(ev.OperationIntended(idempotency_key="key_9", purpose=ev.Purpose.PAY, instruction=CREATE))

    assert not decide.owes_late_refund(builder.payment)


def test_a_disputed_late_payment_promises_its_refund_and_defers_it() -> None:
    builder = a_late_payment()
    builder.sees_dispute(a_dispute(DisputeStatus.NEEDS_RESPONSE))

    assert kinds(returns_late_money(builder)) == ["RefundDeferred"]
    assert (builder.payment.owed.amount, builder.payment.owed_waiting) == (PRICE, PRICE)
    assert not decide.owes_late_refund(builder.payment)


def test_a_partial_refund_in_the_dashboard_leaves_the_rest_owed() -> None:
    builder = a_late_payment()
    builder.sees_refund(a_refund(RefundStatus.SUCCEEDED, "10.00"))

    assert decide.owes_late_refund(builder.payment)
    returns_late_money(builder)
    assert builder.payment.refunds[-1].amount == usd("90.00")


def test_a_late_payment_that_was_refunded_in_the_dashboard_or_disputed_is_not_refunded_again() -> None:
    refunded, taken = a_late_payment(), a_late_payment()
    refunded.sees_refund(a_refund(RefundStatus.SUCCEEDED))
    taken.sees_dispute(a_dispute(DisputeStatus.PREVENTED, "100.00"))

    assert not decide.owes_late_refund(refunded.payment)
    assert returns_late_money(refunded) == ()
    assert kinds(returns_late_money(taken)) == ["RefundDeferred"]
    assert (taken.payment.owed.amount, taken.payment.owed_waiting) == (usd("0.00"), usd("0.00"))


def test_a_late_payment_that_is_won_back_in_a_dispute_is_refunded() -> None:
    builder = a_late_payment()
    builder.sees_dispute(a_dispute(DisputeStatus.LOST, "100.00"))
    returns_late_money(builder)

    builder.sees_dispute(a_dispute(DisputeStatus.WON))

    sent = decide.send_deferred(builder.payment, new_ids(), None)
    assert (builder.payment.owed.amount, kinds(sent)) == (PRICE, ["RefundRequested", "OperationIntended"])


def test_a_closed_payment_with_held_money_has_a_stale_authorization() -> None:
    builder = a_canceled_payment()

    assert decide.has_stale_authorization(builder.payment, an_intent(S.REQUIRES_CAPTURE))


@pytest.mark.parametrize("status", [each for each in S if each is not S.REQUIRES_CAPTURE])
def test_a_closed_payment_without_held_money_has_no_stale_authorization(status: S) -> None:
    assert not decide.has_stale_authorization(a_canceled_payment().payment, an_intent(status))


def test_only_a_known_intent_of_this_payment_needs_its_hold_released() -> None:
    payment = a_canceled_payment().payment
    other = an_intent(S.REQUIRES_CAPTURE, id="pi_2")

    assert not decide.has_stale_authorization(payment, None)
    assert not decide.has_stale_authorization(payment, other)


@pytest.mark.parametrize("builder", [linked, an_authorized_payment, a_paid_payment])
def test_the_hold_of_an_open_payment_needs_no_release(builder: Callable[[], DecidedPayment]) -> None:
    assert not decide.has_stale_authorization(builder().payment, an_intent(S.REQUIRES_CAPTURE))


def test_the_hold_of_a_closed_payment_is_released_once() -> None:
    builder = a_canceled_payment()
    events = builder.happens(*decide.intend_release(builder.payment, idempotency_key="key_9"))

    instruction = CancelIntent(intent_id="pi_1", reason=CancellationReason.ABANDONED)
    assert intended(events) == ev.OperationIntended(
        idempotency_key="key_9", purpose=ev.Purpose.RELEASE_HOLD, instruction=instruction
    )
    assert not decide.has_stale_authorization(builder.payment, an_intent(S.REQUIRES_CAPTURE))
    with pytest.raises(AlreadyUnderWay):
        decide.intend_release(builder.payment, idempotency_key="key_10")


# --- what a canceled booking owes --------------------------------------------------------------------------------

NOTHING = GivenBack.zero(PRICE)


def reports(builder: DecidedPayment, status: RefundStatus = RefundStatus.SUCCEEDED) -> None:
    """End the refund in flight with this status; its caller receives the response."""
    refund = builder.payment.refunds[-1]
    number, named = len(builder.payment.refunds), {"refund_id": refund.id}
    builder.sees_refund(a_refund(status, refund.amount.major(), id=f"re_{number}", metadata=named))
    builder.settles()


def asks(builder: DecidedPayment, amount: str, end: str | None = None) -> None:
    """Request a refund: it succeeds (None), is refused (``no``), or fails after its response."""
    number = len(builder.payment.refunds) + 1
    builder.refunds(amount, refund_id=f"rf_{number}", key=f"key_rf_{number}")
    if end == "no":
        builder.settles(end)
    else:
        reports(builder, RefundStatus.FAILED if end == "fails" else RefundStatus.SUCCEEDED)


def cancels(
    builder: DecidedPayment, *, in_full: bool = False, at: datetime = NOW, end: str | None = None
) -> decide.Events:
    """Cancel the booking, by the policy or in full; the refund ends as in ``asks``."""
    again = any(isinstance(recorded.event, ev.BookingReleased) for recorded in builder.journal)
    number = len(builder.payment.refunds) + 1
    ids = decide.NewIds(refund_id=lambda: f"rf_{number}", idempotency_key=lambda: f"key_rf_{number}")
    if not again:
        builder.happens(ev.BookingReleased(status="canceled"))
    request = a_request(by=None, made_at=at)
    events = builder.happens(*decide.promise_on_cancel(builder.payment, request, ids, in_full=in_full, again=again))
    if builder.payment.operation is not None:
        if end == "no":
            builder.settles(end)
        else:
            reports(builder, RefundStatus.FAILED if end == "fails" else RefundStatus.SUCCEEDED)
    return events


def comes_back(builder: DecidedPayment, number: int) -> None:
    """Let the bank return a refund that had succeeded."""
    refund = builder.payment.refunds[number - 1]
    named = {"refund_id": refund.id}
    builder.sees_refund(a_refund(RefundStatus.FAILED, str(refund.amount.major()), id=f"re_{number}", metadata=named))


@pytest.mark.parametrize(
    ("end", "after", "owed"),
    [
        (None, [], "0"),
        ("no", [], "100.00"),
        ("fails", [], "100.00"),
        ("no", [("50.00", "no"), ("50.00", "no")], "100.00"),
        ("no", [("50.00", "no"), ("50.00", None)], "50.00"),
        ("no", [("50.00", None), ("50.00", None)], "0"),
        ("no", [("50.00", "fails"), ("20.00", None)], "80.00"),
        ("fails", [("100.00", "fails"), ("20.00", None), ("30.00", "no")], "80.00"),
    ],
)
def test_a_canceled_booking_owes_the_promised_amount_less_its_refunds(
    end: str | None, after: list[tuple[str, str | None]], owed: str
) -> None:
    builder = a_paid_payment()
    cancels(builder, end=end)
    for amount, how in after:
        asks(builder, amount, how)

    assert builder.payment.owed.amount == usd(owed)


@pytest.mark.parametrize(
    ("before", "back", "owed"),
    [
        (["40.00"], [1], "40.00"),
        (["40.00"], [2], "60.00"),
        (["40.00"], [1, 2], "100.00"),
        (["40.00", "60.00"], [1, 2], "100.00"),
        ([], [1], "100.00"),
    ],
)
def test_a_canceled_booking_owes_every_refund_that_failed(before: list[str], back: list[int], owed: str) -> None:
    builder = a_paid_payment()
    for amount in before:
        asks(builder, amount)
    cancels(builder)
    for number in back:
        comes_back(builder, number)

    assert builder.payment.owed.amount == usd(owed)


@pytest.mark.parametrize(("payer", "fee"), [(FeePayer.CUSTOMER, "0.50"), (FeePayer.ORGANIZER, "1.50")])
def test_the_owed_part_of_a_customer_paid_fee_never_exceeds_the_owed_amount(payer: FeePayer, fee: str) -> None:
    terms = FeePolicy(payer=payer), RefundPolicy(fee=FeeOnRefund.RETURNED)
    builder = a_payment(fee_policy=terms[0], refund_policy=terms[1])
    builder.charges()
    builder.sees(an_intent(S.SUCCEEDED, builder.payment.amount))
    builder.settles()
    asks(builder, "50.00", "fails")
    builder.sees_refund(a_refund(RefundStatus.SUCCEEDED, "49.50", id="re_9"))

    assert builder.payment.owed == GivenBack(amount=usd("0.50"), fee=usd(fee))


@pytest.mark.parametrize(("end", "owed"), [("no", "0"), ("fails", "40.00")])
def test_a_promise_is_withdrawn_only_when_its_caller_received_the_refusal(end: str, owed: str) -> None:
    builder = a_paid_payment()
    asks(builder, "40.00", end)

    assert builder.payment.owed.amount == usd(owed)


def test_an_amount_withdrawn_by_a_dispute_is_not_owed_again() -> None:
    builder = a_paid_payment()
    cancels(builder, end="no")
    builder.sees_dispute(a_dispute(DisputeStatus.PREVENTED, "30.00", amount=usd("30.00")))

    assert builder.payment.owed == GivenBack(amount=usd("70.00"), fee=usd("0"))


def test_a_returned_refund_is_owed_for_open_and_canceled_bookings() -> None:
    builder = a_refunded_payment()
    builder.sees_refund(a_refund(RefundStatus.FAILED, metadata={"refund_id": "rf_1"}))

    assert builder.payment.owed == GivenBack(amount=PRICE, fee=usd("0"))


def test_an_owed_amount_keeps_its_share_of_the_fee() -> None:
    builder = a_paid_payment(refund_policy=RefundPolicy(fee=FeeOnRefund.RETURNED))
    cancels(builder, end="no")
    asks(builder, "20.00")

    assert builder.payment.owed == GivenBack(amount=usd("80.00"), fee=usd("2.40"))


@pytest.mark.parametrize("builder", [a_payment, an_authorized_payment, a_paid_payment])
def test_nothing_is_owed_without_a_promise(builder: Callable[[], DecidedPayment]) -> None:
    assert builder().payment.owed == NOTHING


@pytest.mark.parametrize("builder", [a_payment, an_authorized_payment])
@pytest.mark.parametrize("in_full", [False, True])
def test_a_cancellation_of_an_unpaid_booking_promises_nothing(
    builder: Callable[[], DecidedPayment], in_full: bool
) -> None:
    assert cancels(builder(), in_full=in_full) == ()


def test_a_pending_refund_is_not_owed() -> None:
    builder = a_paid_payment()
    cancels(builder, end="no")
    builder.refunds("20.00", refund_id="rf_2", key="key_rf_2")

    assert (builder.payment.owed.amount, builder.payment.refund_pending) == (usd("80.00"), usd("20.00"))


def test_an_amount_held_by_a_dispute_stays_owed_and_counts_as_waiting() -> None:
    builder = a_paid_payment()
    cancels(builder, end="no")
    builder.sees_dispute(a_dispute(DisputeStatus.NEEDS_RESPONSE))

    assert (builder.payment.owed.amount, builder.payment.owed_waiting) == (PRICE, PRICE)


def test_a_dashboard_refund_counts_unless_it_failed() -> None:
    builder = a_paid_payment()
    builder.sees_refund(a_refund(RefundStatus.FAILED, "90.00", id="re_8"))
    alone = builder.payment.owed
    asks(builder, "50.00", "fails")
    builder.sees_refund(a_refund(RefundStatus.SUCCEEDED, "20.00", id="re_9"))

    assert (alone, builder.payment.owed) == (NOTHING, GivenBack(amount=usd("30.00"), fee=usd("0")))


@given(st.lists(st.tuples(st.integers(1, 12000), st.sampled_from(["goes", "refused", "dashboard"])), max_size=8))
def test_the_owed_and_the_refunded_amount_never_exceed_the_captured_amount(
    wishes: list[tuple[int, str]],
) -> None:
    builder = a_paid_payment()
    cancels(builder, end="no")
    for number, (minor, how) in enumerate(wishes):
        left = builder.payment.captured - builder.payment.refunded
        amount = str(min(Money(minor, PRICE.currency), left).major())
        if not left:
            break
        if how == "dashboard":
            builder.sees_refund(a_refund(RefundStatus.SUCCEEDED, amount, id=f"re_x{number}"))
        else:
            asks(builder, amount, "no" if how == "refused" else None)
        quote = decide.quote(builder.payment, STARTS, None)
        assert builder.payment.refunded + quote.amount <= builder.payment.captured
        assert builder.payment.refunded + builder.payment.owed.amount == builder.payment.captured


def test_a_late_payment_is_quoted_in_full_after_the_event_started() -> None:
    quote = decide.quote(a_late_payment().payment, STARTS, None)

    assert (quote.amount, quote.fee_refunded) == (PRICE, usd("3.00"))


# --- counting attempts -------------------------------------------------------------------------------------------


def refused(**changes: Any) -> IntentReport:
    return an_intent(S.REQUIRES_PAYMENT_METHOD, failure=a_failure(**changes))


def test_a_decline_ends_the_running_attempt() -> None:
    builder = a_payment()
    builder.charges()
    events = builder.sees(refused())

    assert kinds(events) == ["IntentLinked", "AttemptRefused"]
    assert (builder.payment.attempts_made, builder.payment.status) == (1, S.REQUIRES_PAYMENT_METHOD)


def test_a_decline_in_the_browser_counts_as_an_attempt() -> None:
    builder = linked()
    events = builder.sees(refused())

    assert kinds(events) == ["AttemptStarted", "AttemptRefused"]
    assert (builder.payment.attempts[0].origin, builder.payment.attempts_made) == (ev.Origin.CLIENT, 1)


@pytest.mark.parametrize("charge", ["ch_1", None])
def test_the_same_decline_is_counted_once(charge: str | None) -> None:
    builder = linked()
    builder.sees(refused(charge=charge))

    assert (builder.sees(refused(charge=charge)), builder.payment.attempts_made) == ((), 1)


@pytest.mark.parametrize("charge", ["ch_1", None])
def test_a_decline_in_a_response_and_in_a_webhook_is_counted_once(charge: str | None) -> None:
    builder = linked()
    builder.charges()
    builder.sees(refused(charge=charge))
    twin = decide.observe_verdict(builder.payment, a_failure(charge=charge))

    assert twin == ()


def test_a_decline_in_a_response_is_recorded() -> None:
    builder = linked()
    builder.charges()

    assert kinds(decide.observe_verdict(builder.payment, a_failure())) == ["AttemptRefused"]


@pytest.mark.parametrize(("charge", "method"), [("ch_2", "pm_1"), (None, "pm_2")])
def test_another_decline_counts_again(charge: str | None, method: str) -> None:
    builder = linked()
    builder.sees(refused(charge="ch_1" if charge else None))
    builder.sees(refused(charge=charge, method=method))

    assert builder.payment.attempts_made == 2


def test_an_unknown_outcome_does_not_count_as_an_attempt() -> None:
    builder = linked()
    builder.charges(key="key_1")
    builder.happens(ev.OutcomeLeftUnknown(idempotency_key="key_1", reason="timeout"))

    assert (builder.payment.attempts_made, builder.payment.attempts_left) == (0, 3)


def test_a_dropped_attempt_does_not_count() -> None:
    builder = linked()
    builder.charges()
    builder.settles(refusal="parameter_invalid")

    assert (builder.payment.attempts_made, builder.payment.attempts_left) == (0, 3)


def test_canceled_with_attempts_left_is_canceled() -> None:
    builder = linked(max_attempts=2)
    builder.sees(refused())
    builder.sees(an_intent(S.CANCELED))

    assert builder.payment.status is S.CANCELED


def test_canceled_without_attempts_left_is_failed() -> None:
    builder = linked(max_attempts=1)
    builder.sees(refused())
    builder.sees(an_intent(S.CANCELED))

    assert builder.payment.status is S.FAILED


def test_a_canceled_hold_of_the_last_attempt_counts_as_canceled() -> None:
    builder = an_authorized_payment(max_attempts=1)
    builder.sees(an_intent(S.CANCELED))

    assert (builder.payment.status, builder.payment.authorized) == (S.CANCELED, usd("0"))


# --- drift -------------------------------------------------------------------------------------------------------

DRIFTS: list[tuple[Callable[[], DecidedPayment], IntentReport, str]] = [
    (linked, an_intent(S.SUCCEEDED, usd("99.99")), "amount_differs"),
    (linked, an_intent(S.REQUIRES_ACTION, usd("99.99")), "amount_differs"),
    (linked, an_intent(S.SUCCEEDED, eur("100.00")), "currency_differs"),
    (linked, an_intent(S.SUCCEEDED, id="pi_2"), "other_intent"),
    (linked, an_intent(None), "unknown_status"),
    (linked, an_intent(S.SUCCEEDED, amount_received=usd("40.00")), "amount_differs"),
    (linked, an_intent(S.SUCCEEDED, amount_received=usd("100.01")), "amount_differs"),
    (an_authorized_payment, an_intent(S.SUCCEEDED, amount_received=usd("0")), "amount_differs"),
    (an_authorized_payment, an_intent(S.SUCCEEDED, amount_received=usd("100.01")), "amount_differs"),
    (a_paid_payment, an_intent(S.SUCCEEDED, amount_received=usd("99.00")), "amount_differs"),
    (a_paid_payment, an_intent(S.CANCELED), "illegal_transition"),
]


@pytest.mark.parametrize(("builder", "report", "code"), DRIFTS)
def test_an_impossible_report_is_recorded_as_drift(
    builder: Callable[[], DecidedPayment], report: IntentReport, code: str
) -> None:
    assert drift_codes(builder().sees(report)) == [code]


@pytest.mark.parametrize(("builder", "report", "code"), DRIFTS)
def test_drift_is_recorded_once(builder: Callable[[], DecidedPayment], report: IntentReport, code: str) -> None:
    drifted = builder()
    drifted.sees(report)

    assert drifted.sees(report) == ()


@pytest.mark.parametrize(("builder", "report", "code"), DRIFTS)
def test_drift_changes_nothing_else(builder: Callable[[], DecidedPayment], report: IntentReport, code: str) -> None:
    drifted = builder()
    before = drifted.payment
    drifted.sees(report)
    after = drifted.payment

    assert attrs.evolve(after, drifts=before.drifts, version=before.version) == before


def test_the_first_report_links_its_intent_only_if_it_matches() -> None:
    assert kinds(a_payment().sees(an_intent(S.SUCCEEDED, usd("1.00")))) == ["DriftFound"]


# --- old reports -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("builder", "report", "old"),
    [
        (linked, an_intent(S.REQUIRES_PAYMENT_METHOD), True),
        (linked, an_intent(S.REQUIRES_CONFIRMATION), True),
        (linked, an_intent(S.REQUIRES_ACTION), False),
        (linked, refused(), False),
        (linked, an_intent(S.REQUIRES_PAYMENT_METHOD, id="pi_2"), False),
        (linked, an_intent(S.REQUIRES_PAYMENT_METHOD, usd("1.00")), False),
        (a_payment, an_intent(S.REQUIRES_PAYMENT_METHOD), False),
        (a_paid_payment, an_intent(S.SUCCEEDED), True),
        (a_paid_payment, an_intent(S.CANCELED), False),
    ],
)
def test_a_snapshot_of_an_intent_without_changes_is_old(
    builder: Callable[[], DecidedPayment], report: IntentReport, old: bool
) -> None:
    assert decide.is_stale_intent(builder().payment, report) is old


@pytest.mark.parametrize(
    ("report", "old"),
    [
        (a_refund(RefundStatus.SUCCEEDED), True),
        (a_refund(RefundStatus.FAILED), False),
        (a_refund(RefundStatus.SUCCEEDED, "1.00"), False),
        (a_refund(RefundStatus.SUCCEEDED, id="re_2"), False),
    ],
)
def test_a_snapshot_of_a_refund_without_changes_is_old(report: RefundReport, old: bool) -> None:
    assert decide.is_stale_refund(a_refunded_payment().payment, report) is old


@pytest.mark.parametrize(
    ("status", "withdrawn", "name", "old"),
    [
        (DisputeStatus.NEEDS_RESPONSE, "100.00", "du_1", True),
        (DisputeStatus.UNDER_REVIEW, "100.00", "du_1", False),
        (DisputeStatus.NEEDS_RESPONSE, "0.00", "du_1", False),
        (DisputeStatus.NEEDS_RESPONSE, "100.00", "du_2", False),
    ],
)
def test_a_snapshot_of_a_dispute_without_changes_is_old(
    status: DisputeStatus, withdrawn: str, name: str, old: bool
) -> None:
    builder = a_paid_payment()
    builder.sees_dispute(a_dispute(DisputeStatus.NEEDS_RESPONSE, "100.00"))

    assert decide.is_stale_dispute(builder.payment, a_dispute(status, withdrawn, id=name)) is old


@pytest.mark.parametrize("changes", [{"evidence_due_by": NOW}, {"charge_refundable": False}, {"amount": usd("60.00")}])
def test_a_changed_deadline_or_amount_of_a_dispute_is_new(changes: dict[str, Any]) -> None:
    builder = a_paid_payment()
    known = a_dispute(DisputeStatus.NEEDS_RESPONSE, "100.00", evidence_due_by=NOW + timedelta(days=7))
    builder.sees_dispute(known)

    assert decide.is_stale_dispute(builder.payment, known)
    assert not decide.is_stale_dispute(builder.payment, attrs.evolve(known, **changes))


def test_a_dispute_without_a_deadline_keeps_its_last_one() -> None:
    builder = a_paid_payment()
    known = a_dispute(DisputeStatus.NEEDS_RESPONSE, "100.00", evidence_due_by=NOW)
    builder.sees_dispute(known)

    assert decide.is_stale_dispute(builder.payment, attrs.evolve(known, evidence_due_by=None))


# --- reports of refunds -------------------------------------------------------------------------------------------


def ours(status: RefundStatus | None, amount: str = "100.00", **changes: Any) -> RefundReport:
    return a_refund(status, amount, metadata={"refund_id": "rf_1"}, **changes)


def test_the_response_links_the_refund_and_changes_its_status() -> None:
    builder = a_paid_payment()
    builder.refunds()

    assert kinds(builder.sees_refund(ours(RefundStatus.SUCCEEDED))) == ["RefundLinked", "RefundMoved"]


def test_a_refund_that_is_still_pending_is_only_linked() -> None:
    builder = a_paid_payment()
    builder.refunds()

    assert builder.sees_refund(ours(RefundStatus.PENDING)) == (
        ev.RefundLinked(refund_id="rf_1", gateway_refund_id="re_1"),
    )


def test_a_repeated_report_of_a_refund_is_recorded_once() -> None:
    assert a_refunded_payment().sees_refund(ours(RefundStatus.SUCCEEDED)) == ()


def test_a_linked_refund_is_recognized_without_metadata() -> None:
    builder = a_refunded_payment()

    assert kinds(builder.sees_refund(a_refund(RefundStatus.FAILED))) == ["RefundMoved"]


def test_a_refund_that_the_bank_returns_may_be_requested_again() -> None:
    builder = a_refunded_payment()
    builder.sees_refund(ours(RefundStatus.FAILED, failure_reason="expired_or_canceled_card"))

    assert builder.payment.refunds[0].failure_reason == "expired_or_canceled_card"
    assert builder.payment.refundable.remaining(NOW) == PRICE


@pytest.mark.parametrize(
    ("status", "made"), [(status, status) for status in RefundStatus], ids=[status.value for status in RefundStatus]
)
def test_a_dashboard_refund_is_recorded_in_any_status(status: RefundStatus, made: RefundStatus) -> None:
    builder = a_paid_payment()
    events = builder.sees_refund(a_refund(status, "10.00", reason="duplicate"))
    refund = builder.payment.refunds[0]

    assert kinds(events) == ["RefundFound"]
    assert (refund.status, refund.origin, refund.amount, refund.reason) == (
        made,
        ev.Origin.GATEWAY,
        usd("10.00"),
        "duplicate",
    )


def test_a_dashboard_refund_with_an_unknown_id_in_its_metadata_is_found_by_the_gateways_id() -> None:
    builder = a_paid_payment()
    builder.sees_refund(a_refund(RefundStatus.PENDING, "10.00"))
    events = builder.sees_refund(a_refund(RefundStatus.SUCCEEDED, "10.00", metadata={"refund_id": "rf_other"}))

    assert kinds(events) == ["RefundMoved"]


def test_dashboard_refunds_may_add_up_to_the_captured_amount() -> None:
    builder = a_refunded_payment(amount="60.00")

    assert kinds(builder.sees_refund(a_refund(RefundStatus.SUCCEEDED, "40.00", id="re_2"))) == ["RefundFound"]


def test_a_failed_dashboard_refund_is_recorded_even_without_anything_left_to_refund() -> None:
    builder = a_refunded_payment()

    assert kinds(builder.sees_refund(a_refund(RefundStatus.FAILED, id="re_2"))) == ["RefundFound"]


REFUND_DRIFTS: list[tuple[Callable[[], DecidedPayment], RefundReport, str]] = [
    (a_paid_payment, a_refund(None), "unknown_refund_status"),
    (a_paid_payment, attrs.evolve(a_refund(RefundStatus.SUCCEEDED), amount=eur("1.00")), "currency_differs"),
    (a_refunded_payment, ours(RefundStatus.SUCCEEDED, "99.00"), "refund_differs"),
    (a_refunded_payment, ours(RefundStatus.SUCCEEDED, id="re_2"), "refund_differs"),
    (lambda: a_refunded_payment(RefundStatus.FAILED), ours(RefundStatus.SUCCEEDED), "illegal_transition"),
]


@pytest.mark.parametrize(("builder", "report", "code"), REFUND_DRIFTS)
def test_an_impossible_refund_is_recorded_as_drift_once(
    builder: Callable[[], DecidedPayment], report: RefundReport, code: str
) -> None:
    drifted = builder()
    before = drifted.payment
    found = drift_codes(drifted.sees_refund(report))

    assert (found, drifted.sees_refund(report)) == ([code], ())
    assert drifted.payment.refunds == before.refunds


@pytest.mark.parametrize(
    ("builder", "report", "paid_out"),
    [
        (a_paid_payment, a_refund(RefundStatus.SUCCEEDED, "100.01"), "100.01"),
        (lambda: a_refunded_payment(amount="60.00"), a_refund(RefundStatus.PENDING, "40.01", id="re_2"), "100.01"),
        (
            lambda: a_refunded_payment(RefundStatus.PENDING, "60.00"),
            a_refund(RefundStatus.SUCCEEDED, "40.01", id="re_2"),
            "100.01",
        ),
    ],
)
def test_dashboard_refunds_above_the_captured_amount_are_recorded_with_one_alert(
    builder: Callable[[], DecidedPayment], report: RefundReport, paid_out: str
) -> None:
    overpaid = builder()
    events = overpaid.sees_refund(report)
    alerts = overpaid.happens(*decide.paid_out_beyond(overpaid.payment))

    assert kinds(events) == ["RefundFound"]
    assert overpaid.payment.given_back.amount == usd(paid_out)
    assert drift_codes(alerts) == ["paid_out_beyond_captured"]
    assert decide.paid_out_beyond(overpaid.payment) == ()
    assert overpaid.payment.refundable.quote(NOW, None).reason is QuoteReason.NOTHING_LEFT


def test_refunds_of_exactly_the_captured_amount_raise_no_alert() -> None:
    builder = a_refunded_payment(amount="60.00")
    builder.sees_dispute(a_dispute(DisputeStatus.LOST, "40.00", amount=usd("40.00")))

    assert decide.paid_out_beyond(builder.payment) == ()


def test_a_refund_without_a_response_does_not_count_as_paid_out() -> None:
    builder = a_paid_payment()
    builder.sees_refund(a_refund(RefundStatus.SUCCEEDED, "60.00"))
    requested = ev.RefundRequested(
        refund_id="rf_1",
        amount=usd("60.00"),
        fee_refunded=usd("0.00"),
        reason=RefundReason.REQUESTED_BY_CUSTOMER,
        note=None,
        idempotency_key="key_1",
    )
    builder.happens(requested)

    assert builder.payment.given_back.amount == usd("120.00")
    assert decide.paid_out_beyond(builder.payment) == ()


def a_partly_captured_payment() -> DecidedPayment:
    """20.00 was held and 15.00 of it captured."""
    builder = a_payment(a_booking(amount=usd("20.00")), capture_method=CaptureMethod.MANUAL)
    builder.charges()
    builder.sees(an_intent(S.REQUIRES_CAPTURE, usd("20.00")))
    builder.settles()
    builder.sees(an_intent(S.SUCCEEDED, usd("20.00"), amount_received=usd("15.00")))
    return builder


def test_a_release_of_held_money_that_is_listed_as_a_refund_is_not_booked() -> None:
    builder = a_partly_captured_payment()
    report = a_refund(RefundStatus.SUCCEEDED, "5.00")

    assert kinds(builder.sees_refund(report)) == ["AuthorizationReleased"]
    assert builder.sees_refund(report) == ()
    assert (builder.payment.refunded, builder.payment.refundable.remaining(NOW)) == (usd("0"), usd("15.00"))


@pytest.mark.parametrize(
    "report",
    [a_refund(RefundStatus.SUCCEEDED, "5.01"), a_refund(RefundStatus.SUCCEEDED, "5.00", metadata={"refund_id": "x"})],
)
def test_a_refund_above_the_uncaptured_amount_or_with_metadata_is_not_a_release(report: RefundReport) -> None:
    builder = a_partly_captured_payment()

    assert kinds(builder.sees_refund(report)) == ["RefundFound"]


def test_releases_add_up_to_at_most_the_uncaptured_amount() -> None:
    builder = a_partly_captured_payment()
    events = [builder.sees_refund(a_refund(RefundStatus.SUCCEEDED, "3.00", id=f"re_{number}")) for number in range(2)]

    assert [kinds(each) for each in events] == [["AuthorizationReleased"], ["RefundFound"]]


# --- reports of disputes ------------------------------------------------------------------------------------------


def test_an_opened_dispute_withdraws_its_amount() -> None:
    builder = a_paid_payment()
    events = builder.sees_dispute(a_dispute(DisputeStatus.NEEDS_RESPONSE, "100.00", evidence_due_by=NOW))
    dispute = builder.payment.dispute

    assert kinds(events) == ["DisputeOpened", "DisputeFundsMoved"]
    assert dispute is not None
    assert (dispute.status, dispute.withdrawn, dispute.amount) == (DisputeStatus.NEEDS_RESPONSE, PRICE, PRICE)
    assert (dispute.evidence_due_by, dispute.reason) == (NOW, "fraudulent")


def test_an_inquiry_withdraws_nothing() -> None:
    assert kinds(a_paid_payment().sees_dispute(a_dispute(DisputeStatus.WARNING_NEEDS_RESPONSE))) == ["DisputeOpened"]


def test_a_dispute_may_be_reported_before_the_success() -> None:
    assert kinds(linked().sees_dispute(a_dispute(DisputeStatus.NEEDS_RESPONSE)))[0] == "DisputeOpened"


def a_disputed_payment(withdrawn: str = "100.00") -> DecidedPayment:
    builder = a_paid_payment()
    builder.sees_dispute(a_dispute(DisputeStatus.NEEDS_RESPONSE, withdrawn))
    return builder


@pytest.mark.parametrize(
    ("report", "names"),
    [
        (a_dispute(DisputeStatus.NEEDS_RESPONSE, "100.00"), []),
        (a_dispute(DisputeStatus.UNDER_REVIEW, "100.00"), ["DisputeMoved"]),
        (a_dispute(DisputeStatus.WON, "0.00"), ["DisputeMoved", "DisputeFundsMoved"]),
        (a_dispute(DisputeStatus.LOST, "100.00"), ["DisputeMoved"]),
        (a_dispute(DisputeStatus.NEEDS_RESPONSE, "0.00"), ["DisputeFundsMoved"]),
    ],
)
def test_a_dispute_that_is_won_returns_its_amount(report: Any, names: list[str]) -> None:
    builder = a_disputed_payment()
    events = builder.sees_dispute(report)
    dispute = builder.payment.dispute_by_id("du_1")

    assert kinds(events) == names
    assert dispute is not None
    assert (dispute.status, dispute.withdrawn) == (report.status, decide.withdrawn_amount(builder.payment, report))


@pytest.mark.parametrize("due_by", [NOW, NOW + timedelta(days=9), None])
@pytest.mark.parametrize("first", [NOW + timedelta(days=7), None])
@pytest.mark.parametrize("amount", [PRICE, usd("60.00")])
def test_the_deadline_or_amount_of_a_dispute_changes_without_its_status(
    first: datetime | None, due_by: datetime | None, amount: Money
) -> None:
    builder = a_paid_payment()
    builder.sees_dispute(a_dispute(DisputeStatus.NEEDS_RESPONSE, "100.00", evidence_due_by=first))
    report = a_dispute(DisputeStatus.NEEDS_RESPONSE, "100.00", evidence_due_by=due_by, amount=amount)

    events = builder.sees_dispute(report)
    dispute = builder.payment.dispute

    newest = due_by or first
    money = ["DisputeFundsMoved"] if amount != PRICE else []
    terms = ["DisputeChanged"] if (newest, amount) != (first, PRICE) else []
    assert (kinds(events), builder.sees_dispute(report)) == ([*terms, *money], ())
    assert dispute is not None
    assert (dispute.evidence_due_by, dispute.amount, dispute.status) == (newest, amount, DisputeStatus.NEEDS_RESPONSE)


def test_a_change_of_status_also_changes_deadline_and_amount() -> None:
    builder = a_disputed_payment()
    report = a_dispute(DisputeStatus.UNDER_REVIEW, "100.00", evidence_due_by=NOW)

    events = (
        kinds(builder.sees_dispute(report)),
        kinds(builder.sees_dispute(attrs.evolve(report, status=DisputeStatus.WON))),
    )
    lost = a_disputed_payment()
    lost_less = lost.sees_dispute(a_dispute(DisputeStatus.LOST, "60.00", amount=usd("60.00")))

    assert events == (["DisputeMoved"], ["DisputeMoved"])
    assert kinds(lost_less) == ["DisputeMoved", "DisputeChanged", "DisputeFundsMoved"]
    assert (lost.payment.withdrawn, lost.payment.taken_by_disputes) == (usd("60.00"), usd("60.00"))


def test_a_dispute_that_returns_to_an_earlier_status_of_its_stage_is_recorded_as_read() -> None:
    builder = a_disputed_payment()
    builder.sees_dispute(a_dispute(DisputeStatus.UNDER_REVIEW, "100.00", evidence_due_by=NOW))
    due_by = NOW + timedelta(days=1)

    events = builder.sees_dispute(a_dispute(DisputeStatus.NEEDS_RESPONSE, "100.00", evidence_due_by=due_by))
    assert kinds(events) == ["DisputeMoved"]
    assert builder.payment.disputes[0].evidence_due_by == due_by
    assert builder.payment.drifts == ()


@pytest.mark.parametrize(
    ("report", "codes"),
    [
        (a_dispute(DisputeStatus.UNKNOWN, "100.00"), ["unknown_dispute_status"]),
        (a_dispute(DisputeStatus.NEEDS_RESPONSE, amount=eur("100.00")), ["currency_differs"]),
        (a_dispute(DisputeStatus.WARNING_CLOSED, "100.00"), ["illegal_transition"]),
    ],
)
def test_an_unknown_or_impossible_dispute_status_is_recorded_and_holds_its_amount_with_one_drift(
    report: Any, codes: list[str]
) -> None:
    builder = a_disputed_payment()
    found = drift_codes(builder.sees_dispute(report))
    dispute = builder.payment.disputes[0]

    assert (found, builder.sees_dispute(report), len(builder.payment.disputes)) == (codes, (), 1)
    assert (dispute.status, dispute.held) == (report.status, PRICE)


# --- what follows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instruction", "conclusive"),
    [
        (CREATE_AND_CHARGE, {S.REQUIRES_ACTION, S.PROCESSING, S.REQUIRES_CAPTURE, S.SUCCEEDED, S.CANCELED}),
        (CONFIRM, {S.REQUIRES_ACTION, S.PROCESSING, S.REQUIRES_CAPTURE, S.SUCCEEDED, S.CANCELED}),
        (CREATE, {None, *S} - {S.FAILED}),
        (CAPTURE, {S.SUCCEEDED, S.CANCELED}),
        (CANCEL, {S.SUCCEEDED, S.CANCELED}),
    ],
    ids=["create and charge", "confirm", "create", "capture", "cancel"],
)
def test_a_fresh_read_settles_an_unknown_outcome_in_these_states(
    instruction: Instruction, conclusive: set[PaymentStatus | None]
) -> None:
    payment, operation = linked().payment, an_operation(instruction)
    settles = {
        status
        for status in (None, *S)
        if status is not S.FAILED and decide.is_conclusive(payment, operation, an_intent(status))
    }

    assert settles == conclusive


def test_an_intent_that_waited_for_authentication_before_the_call_does_not_settle_it() -> None:
    builder = linked()
    builder.sees(an_intent(S.REQUIRES_ACTION))

    assert not decide.is_conclusive(builder.payment, an_operation(CONFIRM), an_intent(S.REQUIRES_ACTION))


@pytest.mark.parametrize(("charge", "conclusive"), [("ch_9", True), ("ch_1", False), (None, False)])
def test_only_a_new_failed_charge_settles_an_unknown_charge(charge: str | None, conclusive: bool) -> None:
    builder = linked()
    builder.sees(refused(charge="ch_1"))
    builder.charges(key="key_2")

    assert decide.is_conclusive(builder.payment, an_operation(CONFIRM), refused(charge=charge)) is conclusive


def a_canceled_payment() -> DecidedPayment:
    builder = linked()
    builder.sees(an_intent(S.CANCELED))
    return builder


@pytest.mark.parametrize(
    ("purpose", "events"),
    [
        (ev.Purpose.CANCEL_BOOKING, (ev.BookingReleased(status="canceled"),)),
        (ev.Purpose.EXPIRE_BOOKING, (ev.BookingReleased(status="expired"),)),
        (ev.Purpose.CANCEL_PAYMENT, ()),
        (ev.Purpose.END_ATTEMPTS, ()),
    ],
)
def test_a_booking_is_closed_when_its_payment_was_canceled_for_that(purpose: ev.Purpose, events: decide.Events) -> None:
    builder = a_canceled_payment()

    assert decide.release_after(an_operation(CANCEL, purpose), builder.payment, builder.booking) == events


def test_a_booking_is_not_closed_while_its_payment_was_not_canceled() -> None:
    builder = a_paid_payment()

    assert decide.release_after(an_operation(CANCEL, ev.Purpose.CANCEL_BOOKING), builder.payment, builder.booking) == ()


def test_a_closed_booking_is_not_closed_again() -> None:
    expired = a_booking(status=BookingStatus.EXPIRED)
    operation = an_operation(CANCEL, ev.Purpose.CANCEL_BOOKING)

    assert decide.release_after(operation, a_canceled_payment().payment, expired) == ()


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ((), BookingStatus.PENDING),
        ((ev.MethodRequired(),), BookingStatus.PENDING),
        ((ev.BookingConfirmed(),), BookingStatus.CONFIRMED),
        ((ev.BookingReleased(status="canceled"),), BookingStatus.CANCELED),
        ((ev.BookingReleased(status="expired"), ev.MethodRequired()), BookingStatus.EXPIRED),
    ],
)
def test_a_bookings_status_follows_the_events_of_its_payment(events: decide.Events, status: BookingStatus) -> None:
    assert decide.booking_after(a_booking(), events) is status


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ((), None),
        ((ev.BookingReleased(status="canceled"),), None),
        ((ev.BookingReleased(status="canceled", reason="refunded"), ev.MethodRequired()), EndReason.REFUNDED),
        ((ev.BookingReleased(status="expired", reason="attempts_exhausted"),), EndReason.ATTEMPTS_EXHAUSTED),
    ],
)
def test_so_does_the_reason_of_its_end(events: decide.Events, reason: EndReason | None) -> None:
    assert decide.end_reason_after(a_booking(), events) is reason


EXPIRES = ev.Purpose.EXPIRE_BOOKING


def not_canceled(purpose: ev.Purpose) -> ev.DriftFound:
    return ev.DriftFound(code="cancel_refused", detail=f"pi_1: odd ({purpose.value})")


def gives_up(builder: DecidedPayment, purpose: ev.Purpose, report: IntentReport | None) -> decide.Events:
    return decide.abandon(builder.payment, an_operation(CANCEL, purpose), "odd", report)


@pytest.mark.parametrize("purpose", [EXPIRES, ev.Purpose.END_ATTEMPTS, ev.Purpose.CANCEL_BOOKING])
def test_a_payment_whose_intent_is_deleted_is_closed(purpose: ev.Purpose) -> None:
    assert gives_up(linked(), purpose, None) == (not_canceled(purpose), ev.PaymentCanceled())


@pytest.mark.parametrize("purpose", [ev.Purpose.PAY, ev.Purpose.CAPTURE, ev.Purpose.REFUND, ev.Purpose.CANCEL_PAYMENT])
def test_only_closing_a_booking_or_the_last_attempt_abandons_a_payment(purpose: ev.Purpose) -> None:
    assert gives_up(linked(), purpose, None) == ()


def test_an_abandoned_payment_without_attempts_left_has_failed() -> None:
    builder = linked(max_attempts=1)
    builder.is_declined()

    assert gives_up(builder, ev.Purpose.END_ATTEMPTS, None) == (
        not_canceled(ev.Purpose.END_ATTEMPTS),
        ev.PaymentFailed(),
    )


def test_a_payment_whose_intent_contradicts_it_is_closed() -> None:
    report = an_intent(S.REQUIRES_PAYMENT_METHOD, usd("99.00"))

    assert gives_up(linked(), EXPIRES, report) == (not_canceled(EXPIRES), ev.PaymentCanceled())


def test_the_first_unexplained_refusal_is_drift_and_the_second_closes_the_payment() -> None:
    builder, report = linked(), an_intent(S.REQUIRES_PAYMENT_METHOD)

    first = builder.happens(*gives_up(builder, EXPIRES, report))

    assert (first, gives_up(builder, EXPIRES, report)) == ((not_canceled(EXPIRES),), (ev.PaymentCanceled(),))


def test_a_refusal_of_another_cancellation_does_not_count_as_the_first() -> None:
    builder, report = linked(), an_intent(S.REQUIRES_PAYMENT_METHOD)
    builder.happens(*gives_up(builder, ev.Purpose.CANCEL_BOOKING, report))

    assert gives_up(builder, EXPIRES, report) == (not_canceled(EXPIRES),)


@pytest.mark.parametrize(("purpose", "given_up"), [(EXPIRES, False), (ev.Purpose.CANCEL_BOOKING, True)])
def test_held_money_is_abandoned_only_when_its_booking_is_canceled(purpose: ev.Purpose, given_up: bool) -> None:
    assert bool(gives_up(an_authorized_payment(), purpose, None)) is given_up


@pytest.mark.parametrize("status", [S.PROCESSING, S.SUCCEEDED, S.CANCELED])
@pytest.mark.parametrize("purpose", [EXPIRES, ev.Purpose.CANCEL_BOOKING])
def test_a_payment_whose_intent_explains_the_refusal_is_not_abandoned(status: S, purpose: ev.Purpose) -> None:
    builder, report = linked(), an_intent(status)
    builder.sees(report)

    assert gives_up(builder, purpose, report) == ()


def test_a_payment_is_not_abandoned_while_a_call_is_in_flight() -> None:
    builder = linked()
    builder.charges()

    assert gives_up(builder, EXPIRES, None) == ()


def test_a_hold_that_the_gateway_refuses_to_release_is_recorded_as_drift_once() -> None:
    builder, report = a_canceled_payment(), an_intent(S.REQUIRES_CAPTURE)
    noted = builder.happens(*gives_up(builder, ev.Purpose.RELEASE_HOLD, report))

    assert noted == (ev.DriftFound(code="release_refused", detail="pi_1: odd (release_hold)"),)
    assert not decide.has_stale_authorization(builder.payment, report)


@pytest.mark.parametrize("report", [None, an_intent(S.CANCELED)])
def test_a_hold_that_ended_meanwhile_is_not_recorded_as_drift(report: IntentReport | None) -> None:
    assert gives_up(a_canceled_payment(), ev.Purpose.RELEASE_HOLD, report) == ()


def test_another_link_to_the_receipt_of_the_same_charge_is_no_event() -> None:
    card = MethodDetails(type="card", brand="visa", last4="4242")
    builder = linked()
    builder.sees(an_intent(PaymentStatus.SUCCEEDED, method=card, receipt_url="https://pay.example/receipts/1?at=1"))
    again = builder.sees(
        an_intent(PaymentStatus.SUCCEEDED, method=card, receipt_url="https://pay.example/receipts/1?at=2")
    )

    assert (again, builder.payment.receipt_url) == ((), "https://pay.example/receipts/1?at=1")
