"""Events and values are equal after a round trip through JSON text."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from booking_payments.adapters.sql.codec import (
    EVENTS,
    INSTRUCTIONS,
    event_from_json,
    event_name,
    event_to_json,
    from_json,
    to_json,
)
from booking_payments.domain import events as ev
from booking_payments.domain.booking import Item
from booking_payments.domain.errors import InvalidAmount
from booking_payments.domain.fees import FeeBreakdown, FeePayer, FeePolicy
from booking_payments.domain.instructions import CancelIntent, CancellationReason, Instruction, MethodChoice
from booking_payments.domain.lifecycle import DisputeStatus
from booking_payments.domain.money import MAX_DIGITS, Currency, Money
from booking_payments.domain.refunds import RefundPolicy, RefundTier

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MOMENTS = st.datetimes(timezones=st.just(UTC))
MINORS = st.integers(-(10**MAX_DIGITS) + 1, 10**MAX_DIGITS - 1)
MONIES = st.builds(Money, MINORS, st.sampled_from(Currency))


@st.composite
def breakdowns(draw: st.DrawFn) -> FeeBreakdown:
    """All breakdowns that a fee policy can return."""
    amount = Money(draw(st.integers(0, 10**9)), draw(st.sampled_from(Currency)))
    rate = draw(st.sampled_from([Decimal("0"), Decimal("0.029")]))
    return FeePolicy(rate=rate, payer=draw(st.sampled_from(FeePayer))).of_booking(amount)


@st.composite
def refund_policies(draw: st.DrawFn) -> RefundPolicy:
    """Up to three tiers with different hours."""
    hours = draw(st.lists(st.integers(0, 1000), max_size=3, unique=True))
    percents = st.decimals(0, 100, places=3)
    return RefundPolicy(tiers=tuple(RefundTier(hours_before=each, percent=draw(percents)) for each in hours))


ITEMS = st.builds(
    Item,
    id=TEXTS,
    label=TEXTS,
    quantity=st.integers(1, 10),
    unit_amount=st.builds(Money, st.integers(0, 10**9), st.sampled_from(Currency)),
)

METHODS = st.lists(TEXTS, max_size=2).map(tuple)

st.register_type_strategy(Item, ITEMS)
# Allowed and excluded methods are alternatives.
st.register_type_strategy(
    MethodChoice, st.one_of(st.builds(MethodChoice, allowed=METHODS), st.builds(MethodChoice, excluded=METHODS))
)
# A caller may give metadata as any mapping; JSON has a form for dictionaries only.
st.register_type_strategy(Mapping, st.dictionaries(TEXTS, TEXTS, max_size=3).map(MappingProxyType))
st.register_type_strategy(str, TEXTS)
st.register_type_strategy(datetime, MOMENTS)
st.register_type_strategy(Money, MONIES)
st.register_type_strategy(FeeBreakdown, breakdowns())
st.register_type_strategy(FeePolicy, st.builds(FeePolicy, rate=st.decimals(0, "0.5", places=4)))
st.register_type_strategy(RefundPolicy, refund_policies())
st.register_type_strategy(
    MethodChoice,
    st.builds(MethodChoice, allowed=st.just(()))
    | st.builds(MethodChoice, excluded=st.just(()), configuration=st.none()),
)
EVENT: SearchStrategy[ev.Event] = st.one_of([st.from_type(kind) for kind in EVENTS.values()])


@settings(max_examples=100)
@given(MONIES)
def test_any_amount_is_stored_and_read_unchanged(money: Money) -> None:
    assert from_json(to_json(money, Money), Money) == money


@settings(max_examples=100)
@given(EVENT)
def test_any_event_is_stored_and_read_unchanged(event: ev.Event) -> None:
    assert event_from_json(event_name(event), event_to_json(event)) == event


def test_an_instruction_is_written_with_the_name_of_its_class() -> None:
    cancel = CancelIntent(intent_id="pi_1", reason=CancellationReason.ABANDONED)
    event = ev.OperationIntended(idempotency_key="key-1", purpose=ev.Purpose.EXPIRE_BOOKING, instruction=cancel)

    assert json.loads(event_to_json(event))["instruction"] == {
        "kind": "cancel_intent",
        "intent_id": "pi_1",
        "reason": "abandoned",
    }


def test_every_class_of_instruction_has_a_unique_name() -> None:
    assert set(INSTRUCTIONS.values()) == set(get_args(Instruction))


def test_an_unknown_kind_of_instruction_is_not_read() -> None:
    text = '{"idempotency_key": "key-1", "purpose": "pay", "instruction": {"kind": "unknown"}}'

    with pytest.raises(KeyError, match="unknown"):
        event_from_json("operation_intended", text)


def test_every_kind_of_event_has_a_unique_name() -> None:
    kinds = set(ev.Event.__args__)

    assert set(EVENTS.values()) == kinds
    assert all(name == name.lower() and name.isidentifier() for name in EVENTS)


def test_money_is_written_in_minor_units_with_its_currency() -> None:
    assert json.loads(to_json(Money(10000, Currency.USD), Money)) == {"minor": 10000, "currency": "usd"}


def test_an_impossible_stored_amount_is_not_read() -> None:
    with pytest.raises(InvalidAmount):
        from_json('{"minor": 10000000000000, "currency": "usd"}', Money)


def test_a_time_with_an_offset_is_read_as_the_same_instant() -> None:
    noon = datetime.fromisoformat("2026-03-01T12:00:00+02:00")
    local = ev.DisputeMoved(dispute_id="du_1", status=DisputeStatus.WON, evidence_due_by=noon)

    assert event_from_json("dispute_moved", event_to_json(local)) == local


def test_names_stay_as_the_journal_has_them() -> None:
    old = "payment_started operation_intended payment_succeeded refund_moved dispute_funds_moved drift_found"

    assert set(old.split()) <= set(EVENTS)
