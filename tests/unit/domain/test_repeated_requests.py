"""A repeated refund request is not a new one until its caller has received the outcome of the first."""

from datetime import timedelta
from typing import Any

import pytest

from booking_payments.domain import decisions as decide
from booking_payments.domain import events as ev
from booking_payments.domain.lifecycle import DisputeStatus
from booking_payments.domain.money import Money
from tests.unit.domain.builders import NOW, STARTS, TICK, usd
from tests.unit.domain.refund_histories import HALF, ChargeConfig, RefundHistory

DAY = timedelta(hours=24)
TWENTY = usd("20.00")


def asked(end: Any, *, unknown: bool, amount: int | None = 2_000) -> RefundHistory:
    history = RefundHistory()
    history.asks(amount, "in flight")
    history.ends(end, unknown=unknown)
    return history


@pytest.mark.parametrize("end", ["in flight", "pending", "succeeded", "failed", "refused", "never_sent"])
def test_an_equal_request_repeats_one_without_a_received_outcome_in_every_state(end: Any) -> None:
    history = asked(end, unknown=True)
    again = decide.repeated(history.payment, "ann", TWENTY, NOW)

    assert again is not None
    assert again.id == "rf_1"


@pytest.mark.parametrize("end", ["pending", "succeeded", "failed", "refused", "never_sent"])
def test_an_equal_request_after_a_received_outcome_is_new(end: Any) -> None:
    assert decide.repeated(asked(end, unknown=False).payment, "ann", TWENTY, NOW) is None


@pytest.mark.parametrize("end", ["succeeded", "never_sent"])
def test_an_equal_request_after_an_acknowledged_outcome_is_new(end: Any) -> None:
    history = asked(end, unknown=True)
    history.happens(ev.RefundAcknowledged(refund_id="rf_1"))

    assert decide.repeated(history.payment, "ann", TWENTY, NOW) is None


@pytest.mark.parametrize(
    ("by", "amount", "age", "found"),
    [
        ("ann", TWENTY, DAY - TICK, True),
        ("ann", TWENTY, DAY, False),
        ("bob", TWENTY, timedelta(0), False),
        ("ann", usd("20.01"), timedelta(0), False),
        ("ann", None, timedelta(0), False),
    ],
)
def test_only_an_equal_request_of_the_same_caller_within_a_day_is_a_repetition(
    by: str, amount: Money | None, age: timedelta, found: bool
) -> None:
    payment = asked("succeeded", unknown=True).payment

    assert (decide.repeated(payment, by, amount, NOW + age) is not None) is found


@pytest.mark.parametrize("amount", [None, usd("100.00")])
def test_a_request_for_everything_is_repeated_without_and_with_its_amount(amount: Money | None) -> None:
    payment = asked("succeeded", unknown=True, amount=None).payment

    assert decide.repeated(payment, "ann", amount, NOW) is not None


def test_an_acknowledged_deferred_refund_is_not_repeated() -> None:
    history = RefundHistory()
    history.bank(DisputeStatus.WARNING_NEEDS_RESPONSE)
    history.asks(2_000)

    assert [each.amount for each in history.payment.deferred] == [TWENTY]
    assert decide.repeated(history.payment, "ann", TWENTY, NOW) is None


@pytest.mark.parametrize("unknown", [False, True])
def test_a_refund_that_was_never_sent_fails_or_is_deferred_according_to_its_callers_response(unknown: bool) -> None:
    history = asked("never_sent", unknown=unknown)
    waiting = [each.id for each in history.payment.deferred]
    owed = history.payment.owed.amount

    assert (waiting, owed) == ((["rf_1"], TWENTY) if unknown else ([], usd("0")))


@pytest.mark.parametrize(
    ("age", "by", "amount", "first"),
    [
        (DAY - TICK, "ann", TWENTY, True),
        (DAY, "ann", TWENTY, False),
        (TICK, "bob", TWENTY, False),
        (TICK, "ann", usd("30.00"), False),
    ],
)
def test_a_request_that_was_never_sent_keeps_its_time_for_a_day(
    age: timedelta, by: str, amount: Money, first: bool
) -> None:
    history = asked("never_sent", unknown=False)

    assert decide.first_made_at(history.payment, by, amount, NOW + age) == (NOW if first else NOW + age)


def test_the_deadline_of_a_repeated_request_is_that_of_the_first_however_often_it_was_never_sent() -> None:
    history = RefundHistory(ChargeConfig(tiers=(HALF,)))
    first = STARTS - timedelta(hours=1) - TICK
    history.now = first
    history.asks(2_000, "never_sent")
    for hours in (1, 20):
        history.now = first + timedelta(hours=hours)
        made_at = decide.first_made_at(history.payment, "ann", TWENTY, history.now)
        assert made_at == first
        assert history.asks(2_000, "never_sent", made_at=made_at) is None
    history.now = first + DAY

    assert (
        history.asks(2_000, made_at=decide.first_made_at(history.payment, "ann", TWENTY, history.now))
        == "event_started"
    )
