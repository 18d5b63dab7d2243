"""Copies with other values, and values that a copy keeps."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest
from attrs import field, frozen

from booking_payments.domain import events as ev
from booking_payments.domain.changing import changed
from booking_payments.domain.payment import evolve
from tests.unit.domain.builders import a_payment

AT = datetime(2026, 6, 1, tzinfo=UTC)


@frozen
class _Named:
    _secret: str
    doubled: int = field(init=False, default=2)
    number: int = 1


@frozen
class _Alone:
    value: str


def test_a_changed_copy_is_the_one_that_attrs_makes() -> None:
    assert changed(_Named("a", number=3), number=4) == attrs.evolve(_Named("a", number=3), number=4)
    assert changed(_Named("a"), secret="b") == _Named("b")
    assert changed(_Alone("a"), value="b") == _Alone("b")


def test_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises(TypeError, match="another"):
        changed(_Alone("a"), another="b")


def test_an_event_that_changes_nothing_keeps_what_decides_about_refunds() -> None:
    before = a_payment().payment
    refundable = before.refundable

    after = evolve(before, _recorded(before.version + 1, ev.BookingConfirmed()))

    assert after.refundable is refundable
    assert attrs.evolve(after).refundable == refundable  # as it is computed anew


def test_an_event_that_changes_the_payment_has_it_computed_anew() -> None:
    before = a_payment().payment
    assert before.refundable.denied is not None

    succeeded = ev.PaymentSucceeded(breakdown=before.breakdown, charge_id="ch_1", attempt=1, late=False)
    after = evolve(before, _recorded(before.version + 1, succeeded))

    assert after.refundable.denied is None
    assert after.refundable == attrs.evolve(after).refundable


def test_nothing_is_computed_for_a_payment_of_which_nobody_asked() -> None:
    before = a_payment().payment
    after = evolve(before, _recorded(before.version + 1, ev.BookingConfirmed()))
    assert after.refundable == before.refundable


def _recorded(sequence: int, event: ev.Event) -> ev.Recorded:
    return ev.Recorded(sequence=sequence, at=AT + timedelta(hours=1), actor="gateway", cause="evt_1", event=event)
