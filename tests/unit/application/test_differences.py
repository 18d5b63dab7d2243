"""Comparing a payment with the gateway: each difference has a code, and equal states have none."""

from collections.abc import Sequence
from datetime import timedelta

import attrs
import pytest

from booking_payments.application.differences import (
    Difference,
    Differences,
    all_differences,
    of_dispute,
    of_intent,
    of_refund,
    refund_owed,
    refund_waiting,
)
from booking_payments.domain import events as ev
from booking_payments.domain.declines import Decline
from booking_payments.domain.disputes import DisputeMovement
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Dispute, Payment, Refund
from booking_payments.domain.refunds import GivenBack
from booking_payments.domain.reports import DisputeReport, Failure, IntentReport, RefundReport
from booking_payments.testing.kit import NOW
from booking_payments.testing.payment_builder import booking, started_payment

USD = Currency.USD
WHOLE, PART, NOTHING = Money(10000, USD), Money(3000, USD), Money(0, USD)


def payment(status: PaymentStatus = PaymentStatus.SUCCEEDED, **changes: object) -> Payment:
    made = started_payment(booking()).payment
    captured = WHOLE if status is PaymentStatus.SUCCEEDED else NOTHING
    made = attrs.evolve(made, status=status, captured=captured, intent_id="pi_1")
    return attrs.evolve(made, **changes)  # type: ignore[arg-type]


def intent(status: PaymentStatus | None = PaymentStatus.SUCCEEDED, **changes: object) -> IntentReport:
    received = WHOLE if status is PaymentStatus.SUCCEEDED else NOTHING
    report = IntentReport(id="pi_1", status=status, amount=WHOLE, amount_received=received, amount_capturable=NOTHING)
    return attrs.evolve(report, **changes)  # type: ignore[arg-type]


REFUND = Refund(
    id="rf_1",
    origin=ev.Origin.SERVER,
    amount=PART,
    fee_refunded=NOTHING,
    status=RefundStatus.SUCCEEDED,
    reason=None,
    note=None,
    idempotency_key="key",
    created_at=NOW,
    updated_at=NOW,
    gateway_refund_id="re_1",
)
REFUND_REPORT = RefundReport(
    id="re_1", intent_id="pi_1", charge_id="ch_1", amount=PART, status=RefundStatus.SUCCEEDED, reason=None
)
DISPUTE = Dispute(
    id="du_1",
    status=DisputeStatus.NEEDS_RESPONSE,
    reason="fraudulent",
    amount=WHOLE,
    withdrawn=WHOLE,
    evidence_due_by=NOW + timedelta(days=7),
    opened_at=NOW,
)
DISPUTE_REPORT = DisputeReport(
    id="du_1",
    intent_id="pi_1",
    charge_id="ch_1",
    amount=WHOLE,
    status=DisputeStatus.NEEDS_RESPONSE,
    reason="fraudulent",
    movements=(DisputeMovement(amount=-WHOLE.minor, currency="usd"),),
    evidence_due_by=NOW + timedelta(days=7),
)
FAILURE = Failure(decline=Decline(code="card_declined", message="No."), charge_id="ch_1", payment_method_id=None)


def codes(differences: Differences) -> Sequence[str]:
    found: list[Difference] = list(differences)
    return [each.code for each in found]


@pytest.mark.parametrize("status", [each for each in PaymentStatus if each is not PaymentStatus.FAILED])
def test_the_same_status_on_both_sides_agrees(status: PaymentStatus) -> None:
    assert codes(of_intent(payment(status), intent(status))) == []


def test_a_payment_whose_attempts_are_used_up_is_a_canceled_intent() -> None:
    assert codes(of_intent(payment(PaymentStatus.FAILED), intent(PaymentStatus.CANCELED))) == []


@pytest.mark.parametrize("theirs", [PaymentStatus.PROCESSING, PaymentStatus.CANCELED, None])
def test_another_status_differs(theirs: PaymentStatus | None) -> None:
    assert codes(of_intent(payment(), intent(theirs))) == ["status_differs"]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (payment(), intent(amount_received=Money(9999, USD))),
        (payment(PaymentStatus.PROCESSING), intent(PaymentStatus.PROCESSING, amount=PART)),
        (
            payment(PaymentStatus.REQUIRES_CAPTURE, authorized=WHOLE),
            intent(PaymentStatus.REQUIRES_CAPTURE, amount_capturable=PART),
        ),
        (payment(PaymentStatus.CANCELED), intent(PaymentStatus.CANCELED, amount_received=PART)),
    ],
)
def test_another_amount_differs(ours: Payment, theirs: IntentReport) -> None:
    assert codes(of_intent(ours, theirs)) == ["amount_differs"]


def test_an_amount_that_was_partly_captured_agrees() -> None:
    assert codes(of_intent(payment(captured=PART), intent(amount_received=PART))) == []


def test_another_currency_differs() -> None:
    euros = Money(10000, Currency.of("eur"))

    assert codes(of_intent(payment(), intent(amount=euros, amount_received=euros))) == ["currency_differs"]


def test_a_failed_charge_that_is_not_stored_differs() -> None:
    status = PaymentStatus.REQUIRES_PAYMENT_METHOD

    assert codes(of_intent(payment(status), intent(status, failure=FAILURE))) == ["attempt_unknown"]


def test_a_failed_charge_that_is_stored_agrees() -> None:
    builder = started_payment(booking())
    builder.happen(
        ev.AttemptStarted(number=1, origin=ev.Origin.CLIENT, idempotency_key=None, payment_method_id=None),
        ev.AttemptRefused(number=1, decline=FAILURE.decline, charge_id="ch_1", payment_method_id=None),
    )
    status = PaymentStatus.REQUIRES_PAYMENT_METHOD

    assert codes(of_intent(builder.payment, intent(status, failure=FAILURE))) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (REFUND, REFUND_REPORT, []),
        (None, REFUND_REPORT, ["refund_unknown"]),
        (REFUND, attrs.evolve(REFUND_REPORT, amount=WHOLE), ["refund_differs"]),
        (
            attrs.evolve(REFUND, gateway_refund_id=None),
            attrs.evolve(REFUND_REPORT, metadata={"refund_id": "rf_1"}),
            ["refund_differs"],
        ),
        (REFUND, attrs.evolve(REFUND_REPORT, status=RefundStatus.FAILED), ["refund_status_differs"]),
        (REFUND, attrs.evolve(REFUND_REPORT, status=None), ["refund_status_differs"]),
    ],
)
def test_refunds_are_compared(ours: Refund | None, theirs: RefundReport, expected: list[str]) -> None:
    refunds = (ours,) if ours else ()

    assert codes(of_refund(payment(refunds=refunds), theirs)) == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (DISPUTE, DISPUTE_REPORT, []),
        (None, DISPUTE_REPORT, ["dispute_unknown"]),
        (DISPUTE, attrs.evolve(DISPUTE_REPORT, status=DisputeStatus.WON), ["dispute_status_differs"]),
        (DISPUTE, attrs.evolve(DISPUTE_REPORT, status=DisputeStatus.UNKNOWN), ["dispute_status_differs"]),
        (DISPUTE, attrs.evolve(DISPUTE_REPORT, movements=()), ["dispute_amount_differs"]),
        (DISPUTE, attrs.evolve(DISPUTE_REPORT, amount=PART), ["dispute_amount_differs"]),
        (DISPUTE, attrs.evolve(DISPUTE_REPORT, evidence_due_by=NOW + timedelta(days=8)), ["dispute_deadline_differs"]),
        (DISPUTE, attrs.evolve(DISPUTE_REPORT, evidence_due_by=None), []),
    ],
)
def test_disputes_are_compared(ours: Dispute | None, theirs: DisputeReport, expected: list[str]) -> None:
    disputes = (ours,) if ours else ()

    assert codes(of_dispute(payment(disputes=disputes), theirs)) == expected


def test_equal_states_have_no_difference() -> None:
    ours = payment(refunds=(REFUND,), disputes=(DISPUTE,))

    assert codes(all_differences(ours, intent(), [REFUND_REPORT], [DISPUTE_REPORT])) == []


def test_refunds_and_disputes_missing_at_the_gateway_differ() -> None:
    ours = payment(refunds=(REFUND,), disputes=(DISPUTE,))

    assert codes(all_differences(ours, intent(), [], [])) == ["refund_not_at_gateway", "dispute_not_at_gateway"]


def test_a_failed_refund_may_be_missing_at_the_gateway() -> None:
    never_sent = attrs.evolve(REFUND, status=RefundStatus.FAILED, gateway_refund_id=None)

    assert codes(all_differences(payment(refunds=(never_sent,)), intent(), [], [])) == []


LOST = attrs.evolve(REFUND, status=RefundStatus.FAILED)
PROMISED = GivenBack(amount=LOST.amount, fee=LOST.fee_refunded)


def test_an_owed_amount_is_listed() -> None:
    owes = payment(refunds=(LOST,), promised=PROMISED)

    (found,) = refund_owed(owes)

    assert (found.code, found.gateway_id) == ("refund_owed", "pi_1")
    assert "30.00 usd" in found.text
    assert codes(refund_waiting(owes)) == []


def test_an_owed_amount_blocked_by_an_open_dispute_is_listed_as_waiting() -> None:
    waits = payment(refunds=(LOST,), promised=PROMISED, disputes=(DISPUTE,))

    assert (codes(refund_owed(waits)), codes(refund_waiting(waits))) == ([], ["waiting"])


def test_a_failed_refund_without_a_promise_is_not_owed() -> None:
    assert codes(refund_owed(payment(refunds=(LOST,)))) == []
