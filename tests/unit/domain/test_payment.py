"""Payment: each event folds into the next state, and the state's properties follow from it."""

from collections.abc import Callable
from datetime import timedelta
from typing import get_args

import attrs
import pytest

from booking_payments.domain import decisions as decide
from booking_payments.domain import events as ev
from booking_payments.domain.errors import IllegalTransition
from booking_payments.domain.fees import FeePolicy
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.payment import _FOLDS, AttemptOutcome, evolve, fold
from tests.unit.domain.builders import (
    NOW,
    PRICE,
    STARTS,
    DecidedPayment,
    a_decline,
    a_dispute,
    a_failure,
    a_paid_payment,
    a_payment,
    a_refund,
    a_refunded_payment,
    a_start,
    an_authorized_payment,
    an_intent,
    movements,
    usd,
)

S = PaymentStatus
LATER = NOW + timedelta(hours=1)


def test_a_started_payment_waits_for_a_method_and_holds_nothing() -> None:
    payment = a_payment().payment

    assert payment.status is S.REQUIRES_PAYMENT_METHOD
    assert (payment.amount, payment.captured, payment.authorized) == (PRICE, usd("0"), usd("0"))
    assert (payment.version, payment.created_at, payment.event_starts_at) == (1, NOW, STARTS)


def test_each_event_increases_the_version_and_the_time() -> None:
    builder = a_payment()
    builder.happens(ev.IntentLinked(intent_id="pi_1"), at=LATER)

    assert (builder.payment.version, builder.payment.updated_at, builder.payment.created_at) == (2, LATER, NOW)


def test_a_journal_begins_with_the_start() -> None:
    first = ev.Recorded(sequence=1, at=NOW, actor="a", cause="b", event=ev.MethodRequired())

    with pytest.raises(ValueError, match="begins with PaymentStarted"):
        evolve(None, first)


def test_an_empty_journal_raises() -> None:
    with pytest.raises(ValueError, match="empty"):
        fold([])


def test_every_event_except_the_start_has_a_fold() -> None:
    assert set(_FOLDS) == set(get_args(ev.Event)) - {ev.PaymentStarted}


@pytest.mark.parametrize("builder", [a_payment, a_paid_payment, an_authorized_payment, a_refunded_payment])
def test_the_fold_of_a_journal_is_the_same_step_by_step(builder: Callable[[], DecidedPayment]) -> None:
    journal = builder().journal
    payment = None
    for recorded in journal:
        payment = evolve(payment, recorded)

    assert payment == fold(journal)


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (ev.MethodRequired(), S.REQUIRES_PAYMENT_METHOD),
        (ev.MethodAttached(), S.REQUIRES_CONFIRMATION),
        (ev.ActionRequired(), S.REQUIRES_ACTION),
        (ev.ProcessingStarted(), S.PROCESSING),
        (ev.PaymentAuthorized(amount=PRICE, charge_id="ch_1", attempt=None), S.REQUIRES_CAPTURE),
        (
            ev.PaymentSucceeded(breakdown=FeePolicy().of_booking(PRICE), charge_id="ch_1", attempt=None, late=False),
            S.SUCCEEDED,
        ),
        (ev.PaymentCanceled(), S.CANCELED),
        (ev.PaymentFailed(), S.FAILED),
    ],
)
def test_an_event_of_the_intent_changes_the_status(event: ev.Event, status: PaymentStatus) -> None:
    builder = a_payment()
    builder.happens(event)

    assert builder.payment.status is status


def test_folding_an_illegal_event_raises() -> None:
    builder = a_paid_payment()
    builder.happens(ev.PaymentCanceled())

    with pytest.raises(IllegalTransition):
        _ = builder.payment


@pytest.mark.parametrize(
    "event",
    [
        ev.BookingConfirmed(),
        ev.BookingReleased(status="expired"),
        ev.LatePaymentDecided(booking_status="canceled"),
        ev.ObservationDeferred(),
        ev.PaymentAdopted(intent_id="pi_1", made_for="bk_before"),
        ev.OutcomeLeftUnknown(idempotency_key="another", reason="timeout"),
        ev.OperationSettled(idempotency_key="another"),
    ],
)
def test_some_events_change_nothing_but_the_version(event: ev.Event) -> None:
    builder = a_payment()
    builder.charges()
    before = builder.payment
    builder.happens(event)

    assert attrs.evolve(builder.payment, version=before.version) == before


# --- operations and attempts -------------------------------------------------------------------------------------


def test_an_intended_operation_is_in_flight_with_its_key() -> None:
    builder = a_payment()
    builder.charges(key="key_1")

    assert (builder.operation.idempotency_key, builder.operation.intended_at, builder.operation.unknown) == (
        "key_1",
        NOW,
        False,
    )


def test_a_settled_operation_is_no_longer_in_flight() -> None:
    builder = a_payment()
    builder.charges()
    builder.settles()

    assert builder.payment.operation is None


def test_an_unknown_outcome_marks_the_operation_and_its_attempt() -> None:
    builder = a_payment()
    builder.charges(key="key_1")
    builder.happens(ev.OutcomeLeftUnknown(idempotency_key="key_1", reason="timeout"))

    assert builder.operation.unknown
    assert builder.payment.attempts[0].outcome is AttemptOutcome.UNKNOWN


def test_an_unknown_outcome_of_another_kind_of_call_does_not_change_the_attempt() -> None:
    builder = a_paid_payment()
    builder.refunds()
    builder.happens(ev.OutcomeLeftUnknown(idempotency_key="key_rf_1", reason="timeout"))

    assert builder.operation.unknown
    assert builder.payment.attempts[0].outcome is AttemptOutcome.DONE


def test_settling_an_unknown_charge_opens_its_attempt_again() -> None:
    builder = a_payment()
    builder.charges(key="key_1")
    builder.happens(ev.OutcomeLeftUnknown(idempotency_key="key_1", reason="timeout"))
    builder.settles()

    assert builder.payment.attempts[0].outcome is AttemptOutcome.OPEN


@pytest.mark.parametrize(
    ("outcome", "verdict", "running"),
    [
        (AttemptOutcome.OPEN, False, True),
        (AttemptOutcome.UNKNOWN, False, True),
        (AttemptOutcome.DONE, True, False),
        (AttemptOutcome.REFUSED, True, False),
        (AttemptOutcome.DROPPED, False, False),
    ],
)
def test_an_attempt_runs_until_it_ends(outcome: AttemptOutcome, verdict: bool, running: bool) -> None:
    builder = a_payment()
    builder.charges()
    attempt = attrs.evolve(builder.payment.attempts[0], outcome=outcome)

    assert (attempt.has_verdict, attempt.is_running) == (verdict, running)


def test_a_refused_attempt_has_its_decline() -> None:
    builder = a_payment()
    builder.is_declined(decline=a_decline(decline_code="do_not_honor"))
    attempt = builder.payment.attempts[0]

    assert (attempt.outcome, attempt.charge_id, attempt.method_seen) == (AttemptOutcome.REFUSED, "ch_no_1", "pm_1")
    assert builder.payment.last_decline == a_decline(decline_code="do_not_honor")


def test_a_later_attempt_hides_the_last_decline() -> None:
    builder = a_payment()
    builder.is_declined()
    builder.charges(key="key_2")

    assert builder.payment.last_decline is None


def test_a_method_that_was_attached_since_hides_the_last_decline() -> None:
    builder = a_payment()
    builder.is_declined()
    builder.happens(ev.MethodAttached())

    assert builder.payment.last_decline is None


@pytest.mark.parametrize("held", [False, True])
def test_a_success_of_the_attempt_before_hides_the_last_decline(held: bool) -> None:
    builder = a_payment()
    builder.charges()
    in_browser = an_intent(
        PaymentStatus.REQUIRES_PAYMENT_METHOD, failure=a_failure("ch_browser", method="pm_of_the_browser")
    )
    builder.happens(*decide.observe_intent(builder.payment, in_browser, builder.booking, read=True))
    status = PaymentStatus.REQUIRES_CAPTURE if held else PaymentStatus.SUCCEEDED
    builder.sees(an_intent(status, payment_method_id="pm_1"))

    assert [attempt.outcome for attempt in builder.payment.attempts] == [AttemptOutcome.DONE, AttemptOutcome.REFUSED]
    assert builder.payment.last_decline is None


def test_without_attempts_there_is_neither_a_decline_nor_a_running_attempt() -> None:
    payment = a_payment().payment

    assert (payment.last_decline, payment.running_attempt) == (None, None)


def test_a_dropped_attempt_does_not_run_any_more() -> None:
    builder = a_payment()
    builder.charges()
    builder.happens(ev.AttemptDropped(number=1))

    assert builder.payment.running_attempt is None


def test_attempts_left_are_never_negative() -> None:
    builder = a_payment(max_attempts=1)
    builder.is_declined()
    builder.happens(
        ev.AttemptStarted(number=2, origin=ev.Origin.CLIENT, idempotency_key=None, payment_method_id=None),
        ev.AttemptRefused(number=2, decline=a_decline(), charge_id="ch_x", payment_method_id=None),
    )

    assert (builder.payment.attempts_made, builder.payment.attempts_left) == (2, 0)


# --- money -------------------------------------------------------------------------------------------------------


def test_held_money_is_authorized_and_not_captured() -> None:
    payment = an_authorized_payment().payment

    assert (payment.authorized, payment.captured) == (PRICE, usd("0"))


def test_collected_money_is_captured_and_no_longer_held() -> None:
    builder = an_authorized_payment()
    builder.sees(an_intent(S.SUCCEEDED, amount_received=usd("40.00")))

    assert (builder.payment.captured, builder.payment.authorized, builder.payment.amount) == (
        usd("40"),
        usd("0"),
        usd("40"),
    )


def test_a_cancellation_zeroes_the_authorized_amount() -> None:
    builder = an_authorized_payment()
    builder.sees(an_intent(S.CANCELED))

    assert (builder.payment.status, builder.payment.authorized) == (S.CANCELED, usd("0"))


@pytest.mark.parametrize(
    ("status", "refunded", "pending"),
    [
        (RefundStatus.PENDING, "0", "30.00"),
        (RefundStatus.REQUIRES_ACTION, "0", "30.00"),
        (RefundStatus.SUCCEEDED, "30.00", "0"),
        (RefundStatus.FAILED, "0", "0"),
        (RefundStatus.CANCELED, "0", "0"),
    ],
)
def test_a_refund_counts_by_its_status(status: RefundStatus, refunded: str, pending: str) -> None:
    payment = a_refunded_payment(status, "30.00").payment

    assert (payment.refunded, payment.refund_pending) == (usd(refunded), usd(pending))
    assert payment.refundable.given.amount == usd(refunded) + usd(pending)


def test_a_fully_refunded_payment_stays_succeeded() -> None:
    assert a_refunded_payment().payment.status is S.SUCCEEDED


@pytest.mark.parametrize("name", ["rf_1", "re_1"])
def test_a_refund_is_found_by_our_id_and_by_the_gateways(name: str) -> None:
    refund = a_refunded_payment().payment.refund(name)

    assert refund is not None
    assert (refund.id, refund.gateway_refund_id, refund.origin) == ("rf_1", "re_1", ev.Origin.SERVER)


def test_an_unknown_refund_is_not_found() -> None:
    assert a_refunded_payment().payment.refund("rf_2") is None


def test_changing_one_refund_does_not_change_the_other() -> None:
    builder = a_refunded_payment(amount="10.00")
    builder.refunds("20.00", refund_id="rf_2", key="key_rf_2")
    builder.sees_refund(a_refund(RefundStatus.FAILED, "20.00", id="re_2", metadata={"refund_id": "rf_2"}))

    assert [refund.status for refund in builder.payment.refunds] == [RefundStatus.SUCCEEDED, RefundStatus.FAILED]


# --- disputes ----------------------------------------------------------------------------------------------------


D = DisputeStatus
CHARGEBACKS = [D.NEEDS_RESPONSE, D.UNDER_REVIEW, D.APPEAL_NEEDS_RESPONSE, D.APPEAL_UNDER_REVIEW, D.UNKNOWN]
OPEN = [D.WARNING_NEEDS_RESPONSE, D.WARNING_UNDER_REVIEW, *CHARGEBACKS]
SETTLED = [D.WARNING_CLOSED, D.WON, D.LOST, D.PREVENTED]


@pytest.mark.parametrize(
    ("statuses", "withdrawn", "holds"),
    [
        ([*OPEN[:2], *SETTLED], "0.00", "0.00"),
        (CHARGEBACKS, "0.00", "60.00"),
        (CHARGEBACKS, "60.00", "60.00"),
        (CHARGEBACKS, "20.00", "60.00"),
        ([*OPEN[:2], *SETTLED], "60.00", "60.00"),
        ([*OPEN[:2], D.WARNING_CLOSED, D.LOST, D.PREVENTED], "20.00", "20.00"),
        ([D.WON], "20.00", "0.00"),
    ],
)
def test_a_dispute_holds_the_larger_of_its_withdrawn_amount_and_its_open_claim(
    statuses: list[DisputeStatus], withdrawn: str, holds: str
) -> None:
    for status in statuses:
        builder = a_paid_payment()
        builder.sees_dispute(a_dispute(status, withdrawn, amount=usd("60.00")))

        assert (status, builder.payment.held_by_disputes) == (status, usd(holds))
        assert builder.payment.refundable.room == PRICE - usd(holds)
        assert builder.payment.status is S.SUCCEEDED


@pytest.mark.parametrize("refundable", [None, True, False])
@pytest.mark.parametrize("status", DisputeStatus)
def test_whether_a_dispute_blocks_refunds_follows_the_gateway_or_else_the_status(
    status: DisputeStatus, refundable: bool | None
) -> None:
    builder = a_paid_payment()
    builder.sees_dispute(a_dispute(status, charge_refundable=refundable))

    blocked = status in CHARGEBACKS if refundable is None else not refundable
    assert builder.payment.refundable.blocked is blocked
    assert builder.payment.refundable.inquiry is (status in OPEN[:2])
    assert builder.payment.has_open_dispute is (status in OPEN)


def test_one_blocking_dispute_of_several_blocks_refunds() -> None:
    builder = a_paid_payment()
    for number, refundable in enumerate([True, False, True]):
        builder.sees_dispute(a_dispute(D.WON, id=f"du_{number}", charge_refundable=refundable))

    assert builder.payment.refundable.blocked


@pytest.mark.parametrize(("withdrawn", "is_open"), [("0.00", False), ("100.00", True), ("0.01", True)])
def test_a_won_dispute_is_open_until_its_amount_is_returned(withdrawn: str, is_open: bool) -> None:
    builder = a_paid_payment()
    back = movements("-100.00", *([] if withdrawn == "100.00" else ["99.99"]))
    builder.sees_dispute(a_dispute(D.UNDER_REVIEW, movements=back))
    builder.happens(
        ev.DisputeMoved(dispute_id="du_1", status=D.WON, evidence_due_by=None),
        ev.DisputeFundsMoved(dispute_id="du_1", withdrawn=usd(withdrawn)),
    )

    assert builder.payment.has_open_dispute is is_open


@pytest.mark.parametrize("status", SETTLED)
def test_only_a_lost_or_prevented_dispute_has_withdrawn_money_for_good(status: DisputeStatus) -> None:
    builder = a_paid_payment()
    builder.sees_dispute(a_dispute(status, "60.00", amount=usd("60.00")))

    taken = usd("60.00") if status in (D.LOST, D.PREVENTED) else usd("0")
    assert (builder.payment.withdrawn, builder.payment.taken_by_disputes) == (usd("60.00"), taken)


def test_an_open_dispute_is_shown_before_a_newer_settled_one() -> None:
    builder = a_paid_payment()
    builder.sees_dispute(a_dispute(DisputeStatus.NEEDS_RESPONSE, id="du_open"))
    later = a_dispute(DisputeStatus.WON, id="du_won")
    builder.happens(
        ev.DisputeOpened(dispute_id=later.id, status=DisputeStatus.WON, reason="x", amount=PRICE, evidence_due_by=None),
        at=LATER,
    )

    assert builder.payment.dispute == builder.payment.dispute_by_id("du_open")


def test_of_settled_disputes_the_newest_is_shown() -> None:
    builder = a_paid_payment()
    for day, name in enumerate(["du_1", "du_2"]):
        opened = ev.DisputeOpened(
            dispute_id=name, status=DisputeStatus.WON, reason="x", amount=PRICE, evidence_due_by=None
        )
        builder.happens(opened, at=NOW + timedelta(days=day))

    assert builder.payment.dispute == builder.payment.dispute_by_id("du_2")


def test_without_a_dispute_none_is_shown() -> None:
    assert (a_paid_payment().payment.dispute, a_paid_payment().payment.dispute_by_id("du_1")) == (None, None)


# --- holding the booking -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [None, ev.ProcessingStarted()])
def test_an_open_payment_holds_its_booking(event: ev.Event | None) -> None:
    builder = a_payment()
    builder.happens(*([event] if event else []))

    assert builder.payment.holds_booking


@pytest.mark.parametrize("event", [ev.PaymentCanceled(), ev.PaymentFailed()])
def test_a_canceled_or_failed_payment_does_not_hold_its_booking(event: ev.Event) -> None:
    builder = a_payment()
    builder.happens(event)

    assert not builder.payment.holds_booking


def test_a_payment_in_time_holds_its_booking() -> None:
    assert a_paid_payment().payment.holds_booking


def test_a_late_payment_does_not_hold_its_booking() -> None:
    builder = a_payment()
    builder.sees(an_intent(S.SUCCEEDED), alone=False)

    assert (builder.payment.late, builder.payment.holds_booking) == (True, False)


def test_drifts_are_kept() -> None:
    builder = a_payment()
    drift = ev.DriftFound(code="amount_differs", detail="why")
    builder.happens(drift)

    assert builder.payment.drifts == (drift,)


def test_a_started_payment_keeps_its_configuration() -> None:
    start = a_start(max_attempts=7)

    assert (start.booking_amount, start.breakdown.fee, start.max_attempts) == (PRICE, usd("3.00"), 7)
