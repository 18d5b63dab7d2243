"""A verdict belongs to the attempt with its payment method, whether server or client made that attempt."""

from typing import Any

import pytest
from attrs import evolve

from booking_payments.domain import decisions as decide
from booking_payments.domain import events as ev
from booking_payments.domain.instructions import Replacement
from booking_payments.domain.lifecycle import PaymentStatus as S
from booking_payments.domain.payment import is_template
from tests.unit.domain.builders import NOW, DecidedPayment, a_decline, a_failure, a_payment, a_start, an_intent, kinds


def waiting(method: str = "pm_1A", seen: str = "pm_1A") -> DecidedPayment:
    """Return a payment whose method waits for its authentication."""
    builder = a_payment()
    builder.charges(method=method)
    builder.sees(an_intent(S.REQUIRES_ACTION, payment_method_id=seen))
    builder.settles()
    return builder


def read(builder: DecidedPayment, status: S, method: str | None = None, **changes: Any) -> decide.Events:
    """Observe a report that was read while a call may be in flight."""
    report = an_intent(status, payment_method_id=method, **changes)
    return builder.happens(*decide.observe_intent(builder.payment, report, builder.booking, read=True))


def declined(builder: DecidedPayment, method: str, charge: str | None = "ch_no") -> decide.Events:
    return read(builder, S.REQUIRES_PAYMENT_METHOD, failure=a_failure(charge=charge, method=method))


def attempts(builder: DecidedPayment) -> list[tuple[int, str, str | None, str | None, str]]:
    return [
        (each.number, each.origin.value, each.payment_method_id, each.method_seen, each.outcome.value)
        for each in builder.payment.attempts
    ]


def test_a_decline_of_another_method_is_a_client_attempt() -> None:
    builder = waiting()
    events = declined(builder, "pm_1B")

    assert kinds(events) == ["AttemptDropped", "AttemptStarted", "AttemptRefused"]
    assert attempts(builder) == [
        (1, "server", "pm_1A", "pm_1A", "dropped"),
        (2, "client", "pm_1B", "pm_1B", "refused"),
    ]
    assert (builder.payment.attempts_made, builder.payment.status) == (1, S.REQUIRES_PAYMENT_METHOD)


def test_a_dropped_attempt_does_not_forbid_its_card() -> None:
    builder = waiting()
    declined(builder, "pm_1B")

    assert kinds(builder.charges(key="key_2", method="pm_1A")) == ["AttemptStarted", "OperationIntended"]


@pytest.mark.parametrize("charge", ["ch_no", None], ids=["charged", "not authenticated"])
def test_a_decline_of_the_waiting_method_ends_its_attempt(charge: str | None) -> None:
    builder = waiting()

    assert kinds(declined(builder, "pm_1A", charge)) == ["AttemptRefused"]
    assert declined(builder, "pm_1A", charge) == ()


def test_the_first_response_reports_the_method_of_a_test_id() -> None:
    builder = waiting("pm_card_visa", "pm_1A")
    declined(builder, "pm_1B")

    assert [attempt[3:] for attempt in attempts(builder)] == [("pm_1A", "dropped"), ("pm_1B", "refused")]


@pytest.mark.parametrize(("method", "number"), [("pm_1A", 1), ("pm_1B", 2)])
@pytest.mark.parametrize("status", [S.SUCCEEDED, S.PROCESSING])
def test_a_success_belongs_to_the_attempt_with_its_method(status: S, method: str, number: int) -> None:
    builder = waiting()
    events = read(builder, status, method)

    (told,) = [each for each in events if isinstance(each, ev.PaymentSucceeded | ev.ProcessingStarted)]
    assert (told.attempt, told.payment_method_id) == (number, method)
    assert builder.payment.attempts[number - 1].method_seen == method


def test_another_waiting_method_replaces_the_first_once() -> None:
    builder = waiting()

    assert kinds(read(builder, S.REQUIRES_ACTION, "pm_1B")) == ["AttemptDropped", "AttemptStarted", "ActionRequired"]
    assert read(builder, S.REQUIRES_ACTION, "pm_1B") == ()


def test_attaching_a_method_drops_the_running_attempt() -> None:
    assert kinds(read(waiting(), S.REQUIRES_CONFIRMATION, "pm_1B")) == ["AttemptDropped", "MethodAttached"]


def test_an_attempt_in_the_browser_does_not_settle_a_call_in_flight() -> None:
    builder = waiting()
    builder.charges(key="key_2", method="pm_1C")
    report = an_intent(S.REQUIRES_PAYMENT_METHOD, payment_method_id=None, failure=a_failure(method="pm_1B"))

    assert not decide.is_conclusive(builder.payment, builder.operation, report)
    declined(builder, "pm_1B")
    assert [attempt[-1] for attempt in attempts(builder)] == ["dropped", "open", "refused"]


def test_an_overtaken_response_still_identifies_its_method() -> None:
    builder = waiting()
    builder.charges(key="key_2", method="pm_card_visa")
    report = an_intent(S.REQUIRES_ACTION, payment_method_id="pm_1B")
    builder.happens(*decide.observe_intent(builder.payment, report, builder.booking, read=True, answered_with="pm_1C"))

    assert [attempt[-1] for attempt in attempts(builder)] == ["dropped", "dropped", "open"]


@pytest.mark.parametrize(
    ("method", "template"),
    [("pm_card_visa", True), ("pm_usBankAccount_success", True), ("pm_1NXaT2", False), ("card_1NXaT2", False)],
)
def test_test_ids_are_distinguished_from_ids_of_methods(method: str, template: bool) -> None:
    assert is_template(method) is template


# --- what a repeated start asks for


@pytest.mark.parametrize("status", [S.REQUIRES_PAYMENT_METHOD, S.REQUIRES_CONFIRMATION, S.REQUIRES_ACTION])
def test_a_refusal_because_of_the_state_leads_to_a_replacement(status: S) -> None:
    builder = waiting()
    builder.charges(key="key_2", method="pm_1B")
    operation = builder.operation
    builder.settles("payment_intent_unexpected_state")
    read(builder, status, None if status is S.REQUIRES_PAYMENT_METHOD else "pm_1B")

    replacement = decide.replacement_after(builder.payment, operation, "payment_intent_unexpected_state")

    assert replacement is not None
    assert (replacement.payment_method_id, replacement.confirm) == ("pm_1B", True)


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        ("payment_method_unknown", S.REQUIRES_ACTION),
        ("payment_intent_unexpected_state", S.SUCCEEDED),
        ("payment_intent_unexpected_state", S.PROCESSING),
        ("payment_intent_unexpected_state", S.CANCELED),
    ],
)
def test_no_other_refusal_and_no_other_state_leads_to_a_replacement(refusal: str, status: S) -> None:
    builder = waiting()
    builder.charges(key="key_2", method="pm_1B")
    operation = builder.operation
    builder.settles(refusal)
    read(builder, status, "pm_1A")

    assert decide.replacement_after(builder.payment, operation, refusal) is None


def test_without_an_attempt_left_there_is_no_replacement() -> None:
    builder = a_payment(max_attempts=2)
    builder.is_declined()
    builder.charges(key="key_2", method="pm_1B")
    operation = builder.operation
    declined(builder, "pm_1B", "ch_2")
    builder.settles("payment_intent_unexpected_state")

    assert decide.replacement_after(builder.payment, operation, "payment_intent_unexpected_state") is None


@pytest.mark.parametrize(("method", "begins"), [("pm_1", False), ("pm_2", True), (None, True)])
def test_a_replacement_is_not_started_with_a_method_that_was_forbidden_meanwhile(
    method: str | None, begins: bool
) -> None:
    builder = a_payment()
    builder.is_declined(decline=a_decline(decline_code="lost_card"))
    replacement = Replacement(payment_method_id=method, confirm=method is not None, return_url=None)
    another = evolve(replacement, payment_method_id="pm_2")
    builder.happens(*decide.intend_replacement(builder.payment, idempotency_key="key_r", replacement=another))
    operation = evolve(builder.operation, replacement=replacement)
    builder.happens(ev.PaymentCanceled())
    builder.settles()

    assert decide.starts_replacement(operation, builder.payment, builder.booking, NOW) is begins


def test_the_next_payment_knows_the_forbidden_methods_of_all_earlier_ones() -> None:
    builder = a_payment()
    builder.is_declined(decline=a_decline(decline_code="stolen_card"))
    second = DecidedPayment()
    second.happens(a_start(before=builder.payment))
    third = a_start(before=second.payment)

    assert [(each.payment_method_id, each.decline.decline_code) for each in third.burnt] == [("pm_1", "stolen_card")]


@pytest.mark.parametrize(("refused", "left"), [(0, 3), (1, 2), (2, 1), (3, 1)])
def test_declines_count_for_the_next_payment_of_the_booking(refused: int, left: int) -> None:
    builder = a_payment()
    for number in range(1, refused + 1):
        builder.is_declined(number, method=f"pm_{number}")

    assert decide.attempts_left_of_booking(builder.payment, 3) == left
    assert decide.attempts_left_of_booking(None, 3) == 3
