"""Amendments as decisions over values: the table, and what a lower price gives back."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Final

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from booking_payments.domain import decisions
from booking_payments.domain import events as ev
from booking_payments.domain.amendments import BookingChange, amendment_of, refunding_items
from booking_payments.domain.booking import Booking, BookingStatus, Item, ItemCount, without_units
from booking_payments.domain.decisions import AMENDMENTS, AmendmentDenial, PriceChange, Step
from booking_payments.domain.errors import NotPossibleNow, RefusedByRule
from booking_payments.domain.fees import FeeOnRefund, FeePayer, FeePolicy
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.payment import Payment, applied
from booking_payments.domain.payment import evolve as fold_one
from booking_payments.domain.refunds import RefundOnCancel, RefundPolicy, RefundReason, RefundTier
from tests.nightly import examples

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DECISION: Final = Path(__file__).resolve().parents[3] / "docs" / "decisions" / "0025-amendments.md"


def usd(minor: int) -> Money:
    return Money(minor, Currency.USD)


def written_table() -> dict[str, list[str]]:
    """The table in the decision document: the cells of each payment status."""
    lines = [line for line in DECISION.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {row[0]: row[1:] for row in rows}


def test_the_decision_document_has_the_table_of_the_code() -> None:
    columns = (PriceChange.SAME, PriceChange.CHEAPER, PriceChange.FREE, PriceChange.DEARER)
    ours = {}
    for status, row in AMENDMENTS.items():
        cells = [found.value if isinstance(found, Step) else found.code for found in (row[each] for each in columns)]
        ours[status.value if status else "none"] = cells

    assert written_table() == ours


def test_every_status_and_change_has_an_entry() -> None:
    assert set(AMENDMENTS) == {None, *PaymentStatus}
    assert all(set(row) == set(PriceChange) for row in AMENDMENTS.values())


def test_a_dearer_price_never_changes_an_intent_in_place() -> None:
    for row in AMENDMENTS.values():
        assert row[PriceChange.DEARER] not in (Step.UPDATE, Step.CAPTURE_LESS)


# --- what goes back --------------------------------------------------------------------------------------------


def a_booking(*items: Item, amount: int | None = None) -> Booking:
    price = usd(amount if amount is not None else sum(item.amount.minor for item in items))
    return Booking(
        id="bk_1",
        reference="R-1",
        customer_id="ann",
        amount=price,
        event_starts_at=NOW + timedelta(days=30),
        expires_at=NOW + timedelta(days=30),
        created_at=NOW,
        status=BookingStatus.CONFIRMED,
        items=items,
    )


def paid(booking: Booking, fees: FeePolicy, policy: RefundPolicy) -> Payment:
    started = decisions.start(
        evolve(booking, status=BookingStatus.PENDING),
        payment_id="pay_1",
        now=NOW,
        fee_policy=fees,
        refund_policy=policy,
        capture_method=CaptureMethod.AUTOMATIC,
        max_attempts=3,
        gateway="fake",
        amount_step=1,
    )
    payment = fold_one(None, ev.Recorded(sequence=1, at=NOW, actor="a", cause="c", event=started))
    for event in (
        ev.IntentLinked(intent_id="pi_1"),
        ev.PaymentSucceeded(breakdown=payment.breakdown, charge_id="ch_1", attempt=None, late=False),
    ):
        payment = applied(payment, event, NOW)
    return payment


_ids = count(1)
IDS: Final = decisions.NewIds(refund_id=lambda: f"rf_{next(_ids)}", idempotency_key=lambda: f"key-{next(_ids):016d}")


def request() -> decisions.RefundParameters:
    return decisions.RefundParameters(amount=None, reason=RefundReason.REQUESTED_BY_CUSTOMER, note=None, made_at=NOW)


def settled(payment: Payment, events: decisions.Events) -> Payment:
    """The payment after these events, and after the gateway has carried out their refund."""
    for event in events:
        payment = applied(payment, event, NOW)
    operation = payment.operation
    if operation is not None:
        for refund in payment.refunds:
            if refund.idempotency_key == operation.idempotency_key:
                done = ev.RefundMoved(refund_id=refund.id, status=RefundStatus.SUCCEEDED)
                payment = applied(payment, done, NOW)
        payment = applied(payment, ev.OperationSettled(idempotency_key=operation.idempotency_key), NOW)
    return payment


def amend(booking: Booking, payment: Payment, change: BookingChange, refund: RefundOnCancel) -> tuple[Booking, Payment]:
    amendment = amendment_of(booking, change, refund=refund.value, by="t", now=NOW)
    events = decisions.amend_paid(booking, payment, amendment, request(), IDS)
    return amendment.apply_to(booking), settled(payment, events)


FEES: Final = st.builds(
    FeePolicy,
    rate=st.sampled_from([Decimal(0), Decimal("0.03"), Decimal("0.25")]),
    payer=st.sampled_from(FeePayer),
)
POLICIES: Final = st.builds(
    lambda percent, fee: RefundPolicy(tiers=(RefundTier(hours_before=24, percent=Decimal(percent)),), fee=fee),
    st.integers(1, 100),
    st.sampled_from(FeeOnRefund),
)
MODES: Final = st.sampled_from(RefundOnCancel)


@settings(max_examples=examples(300))
@given(
    price=st.integers(1, 10**6),
    shares=st.lists(st.tuples(st.integers(0, 100), MODES), max_size=6),
    fees=FEES,
    policy=POLICIES,
)
def test_lower_prices_never_give_more_back_than_was_paid(
    price: int, shares: list[tuple[int, RefundOnCancel]], fees: FeePolicy, policy: RefundPolicy
) -> None:
    booking = a_booking(amount=price)
    payment = paid(booking, fees, policy)
    for share, mode in shares:
        new = usd(booking.amount.minor * share // 100)
        if new == booking.amount:
            continue
        before, most = payment.refunded, payment.refundable.quote(NOW, None, in_full=mode is RefundOnCancel.FULL)
        booking, payment = amend(booking, payment, BookingChange(amount=new), mode)
        back = payment.refunded - before
        assert back >= usd(0)
        assert back <= (most.amount if most.allowed and mode is not RefundOnCancel.NONE else usd(0))
        assert payment.refunded <= payment.captured
        assert payment.owed.amount == usd(0)
        assert payment.fee_returned <= payment.breakdown.fee
        assert payment.refundable.price_left >= usd(0)


@settings(max_examples=examples(300))
@given(price=st.integers(2, 10**6), new=st.integers(0, 10**6), fees=FEES, policy=POLICIES)
def test_a_lower_price_and_a_refund_of_the_rest_give_what_one_refund_gives_to_the_minor_unit(
    price: int, new: int, fees: FeePolicy, policy: RefundPolicy
) -> None:
    booking = a_booking(amount=price)
    whole = paid(booking, fees, policy)
    at_once = whole.refundable.remaining(NOW)

    _, payment = amend(booking, whole, BookingChange(amount=usd(new % price)), RefundOnCancel.POLICY)

    in_two = payment.refunded + payment.refundable.remaining(NOW)
    assert abs(in_two.minor - at_once.minor) <= 1


@st.composite
def some_items(draw: st.DrawFn) -> tuple[Item, ...]:
    prices = draw(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5000)), min_size=1, max_size=4))
    items = [
        Item(id=f"i{place}", label="x", quantity=quantity, unit_amount=usd(price))
        for place, (quantity, price) in enumerate(prices)
    ]
    return tuple(items) if any(price for _, price in prices) else (evolve(items[0], unit_amount=usd(100)), *items[1:])


@settings(max_examples=examples(200))
@given(items=some_items(), policy=POLICIES, data=st.data())
def test_items_given_up_one_by_one_in_any_order_give_back_at_most_what_they_give_together(
    items: tuple[Item, ...], policy: RefundPolicy, data: st.DataObject
) -> None:
    booking = a_booking(*items)
    payment = paid(booking, FeePolicy(rate=Decimal(0)), policy)
    together = payment.refundable.remaining(NOW)
    units = [item.id for item in items for _ in range(item.quantity)]
    order = data.draw(st.permutations(units))

    for its in order[:-1]:  # the last one cancels the whole booking
        left = without_units(booking.items, [ItemCount(id=its, quantity=1)])
        booking, payment = amend(booking, payment, BookingChange(items=left), RefundOnCancel.POLICY)
        assert booking.amount == usd(sum(item.amount.minor for item in booking.items))
    in_parts = payment.refunded + payment.refundable.remaining(NOW)

    assert together.minor - in_parts.minor + 1 >= 0
    assert together.minor - in_parts.minor <= len(units)


@settings(max_examples=examples(200))
@given(items=some_items(), policy=POLICIES, data=st.data())
def test_the_quote_of_items_is_what_their_refund_gives(
    items: tuple[Item, ...], policy: RefundPolicy, data: st.DataObject
) -> None:
    booking = a_booking(*items)
    payment = paid(booking, FeePolicy(), policy)
    item = data.draw(st.sampled_from(items))
    named = [ItemCount(id=item.id, quantity=data.draw(st.integers(1, item.quantity)))]
    quoted = decisions.quote_items(booking, payment, NOW, named)

    amendment = refunding_items(booking, named, refund="policy", by="t")
    after = settled(payment, decisions.amend_paid(booking, payment, amendment, request(), IDS))

    assert after.refunded == quoted.amount
    assert after.fee_returned == quoted.fee_refunded


def test_a_unit_goes_back_once_by_refund_or_cancel() -> None:
    booking = a_booking(Item(id="adult", label="Adult", quantity=2, unit_amount=usd(5000)))
    payment = paid(booking, FeePolicy(), RefundPolicy())
    one = [ItemCount(id="adult", quantity=1)]

    amendment = refunding_items(booking, one, refund="policy", by="t")
    payment = settled(payment, decisions.amend_paid(booking, payment, amendment, request(), IDS))
    booking = amendment.apply_to(booking)
    assert (payment.refunded, booking.amount, booking.items[0].refunded) == (usd(5000), usd(10000), 1)

    left = without_units(booking.items, one)  # the unit with money left is given up first
    booking, payment = amend(booking, payment, BookingChange(items=left), RefundOnCancel.POLICY)
    assert (payment.refunded, booking.amount) == (usd(10000), usd(5000))

    with pytest.raises(RefusedByRule) as refused:
        refunding_items(booking, one, refund="policy", by="t")
    assert refused.value.code == "item_given_back"


def test_the_tiers_apply_to_each_item_when_it_goes_back() -> None:
    tiers = (RefundTier(hours_before=240, percent=Decimal(100)), RefundTier(hours_before=24, percent=Decimal(50)))
    booking = a_booking(Item(id="adult", label="Adult", quantity=2, unit_amount=usd(5000)))
    payment = paid(booking, FeePolicy(), RefundPolicy(tiers=tiers))
    left = without_units(booking.items, [ItemCount(id="adult", quantity=1)])
    booking, payment = amend(booking, payment, BookingChange(items=left), RefundOnCancel.POLICY)
    assert payment.refunded == usd(5000)

    late = NOW + timedelta(days=25)  # only half of the second seat comes back by then
    assert payment.refundable.remaining(late) == usd(2500)


@pytest.mark.parametrize("denial", AmendmentDenial)
def test_a_denial_is_an_error_of_the_present_state(denial: AmendmentDenial) -> None:
    assert isinstance(denial.error(), NotPossibleNow)
    assert denial.error().code == denial.code
