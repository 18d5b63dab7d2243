"""New values that the gateway may introduce are stored and never interpreted.

Genuine events of a payment are delivered again with new ids, each with one unknown value: a type, status, reason or
code. The stored state must stay equal to the gateway's.
"""

import json
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

import pytest

from booking_payments.domain.errors import CardDeclined
from booking_payments.ports.inbox import InboxStatus
from booking_payments.testing.kit import ANN, OPERATOR, PaymentsTestKit
from tests.nightly import NIGHTLY
from tests.payments import pay

VALUES = 10_000 if NIGHTLY else 250
WORDS = ("status", "reason", "code", "decline_code", "failure_reason", "cancellation_reason", "advice_code", "type")
Json = dict[str, Any]


async def decline_success_refund_and_dispute(kit: PaymentsTestKit) -> None:
    """A decline, a success, a refund, and a dispute on another booking."""
    booking = await kit.book()
    with pytest.raises(CardDeclined):
        await pay(kit, booking, "pm_card_visa_chargeDeclined")
    await kit.payments.confirm_payment(booking.id, ANN, payment_method_id="pm_card_visa")
    await kit.payments.refund_payment(booking.id, OPERATOR, amount="1.00")
    disputed = await kit.book(reference="R-2")
    await pay(kit, disputed, "pm_card_createDispute")
    await kit.settle()


def unheard_of(chance: Random) -> str:
    """A value outside the known vocabulary: similar to Stripe's, strange, or hostile."""
    plain = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz_.", k=chance.randint(1, 40)))
    return chance.choice(
        [f"{plain}_of_tomorrow", plain.upper() + "!", "\u2603" * 3, "' OR 1=1 --", " ", "0", "x" * 300]
    )


def places(subject: object) -> Iterator[Json]:
    """Return every object inside ``subject`` that has one of the fields."""
    if isinstance(subject, dict):
        if any(isinstance(subject.get(word), str) for word in WORDS):
            yield subject
        for value in subject.values():
            yield from places(value)
    elif isinstance(subject, list):
        for value in subject:
            yield from places(value)


def spoilt(genuine: Json, number: int, chance: Random) -> Json:
    """Return a copy of ``genuine`` with one new value."""
    event = {**deepcopy(genuine), "id": f"evt_unheard_{number}"}
    if chance.random() < 0.2:
        return {**event, "type": unheard_of(chance)[:255].strip() or "x"}
    place = chance.choice(list(places(event["data"]["object"])))
    word = chance.choice([word for word in WORDS if isinstance(place.get(word), str)])
    place[word] = unheard_of(chance)
    return event


async def test_unknown_values_change_nothing_and_raise_no_error() -> None:
    kit, chance = PaymentsTestKit(), Random(17)
    await decline_success_refund_and_dispute(kit)
    genuine = [event for event in kit.stripe.events if list(places(event["data"]["object"]))]
    before = {payment.id: payment for payment in (await kit.payments.list_payments()).items}

    outcomes = Counter[str]()
    for number in range(VALUES):
        body = json.dumps(spoilt(chance.choice(genuine), number, chance)).encode()
        outcomes[(await kit.deliver(body)).outcome] += 1

    after = {payment.id: payment for payment in (await kit.payments.list_payments()).items}
    assert {id_: (p.status, p.captured, p.refunded, p.refund_pending) for id_, p in after.items()} == {
        id_: (p.status, p.captured, p.refunded, p.refund_pending) for id_, p in before.items()
    }
    assert [p.dispute.status if p.dispute else None for p in after.values()] == [
        p.dispute.status if p.dispute else None for p in before.values()
    ]
    rows = await kit.payments.list_webhooks(limit=10 * VALUES)
    stored = [row for row in rows if row.event_id.startswith("evt_unheard_")]
    assert len(stored) == VALUES
    assert {row.status for row in stored} <= {InboxStatus.PROCESSED, InboxStatus.IGNORED}
    assert all(row.reason for row in stored if row.status is InboxStatus.IGNORED)
    assert outcomes["ignored"] > VALUES // 10
    assert outcomes["processed"] > VALUES // 10
    assert (await kit.payments.check_ledger()).faults == ()
