"""Refunds: the refundable amount, its deadline, and the reason against a refund."""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from booking_payments.domain.errors import InvalidAmount, InvalidInput, NotPossibleNow, PaymentError, RefusedByRule
from booking_payments.domain.fees import FeeOnRefund, FeePayer, FeePolicy
from booking_payments.domain.money import Currency, Money
from booking_payments.domain.refunds import (
    MAX_TIER_HOURS,
    MAX_TIERS,
    GivenBack,
    QuoteReason,
    Refundable,
    RefundPolicy,
    RefundReason,
    RefundTier,
)
from tests.unit.domain.builders import NOW, STARTS, TICK, usd

HOUR = timedelta(hours=1)


def a_tier(hours: int, percent: str) -> RefundTier:
    return RefundTier(hours_before=hours, percent=Decimal(percent))


STEPS = (a_tier(24, "50"), a_tier(48, "100"))


def back(amount: str, fee: str = "0") -> GivenBack:
    return GivenBack(amount=usd(amount), fee=usd(fee))


def refundable(
    *, payer: FeePayer = FeePayer.ORGANIZER, fee: FeeOnRefund = FeeOnRefund.KEPT, tiers: Any = (), **changes: Any
) -> Refundable:
    """Return a payment of 100.00; refunded and deferred amounts were promised, unless ``promised`` says otherwise."""
    usual: dict[str, Any] = {
        "breakdown": FeePolicy(payer=payer).of_booking(usd("100.00")),
        "given": back("0"),
        "deferred": back("0"),
        "taken": usd("0"),
        "held": changes.get("taken", usd("0")),
        "policy": RefundPolicy(tiers=tiers, fee=fee),
        "event_starts_at": STARTS,
    }
    every = {**usual, **changes}
    return Refundable(**{"promised": every["given"] + every["deferred"], **every})


# --- each reason -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("money", "now", "amount", "reason"),
    [
        (refundable(), NOW, None, QuoteReason.REFUNDABLE),
        (refundable(denied=QuoteReason.NOT_PAID), NOW, None, QuoteReason.NOT_PAID),
        (refundable(denied=QuoteReason.NOT_CAPTURED), NOW, None, QuoteReason.NOT_CAPTURED),
        (refundable(held=usd("100.00")), NOW, None, QuoteReason.DISPUTED),
        (refundable(held=usd("60.00")), NOW, "40.01", QuoteReason.DISPUTED),
        (refundable(held=usd("60.00")), NOW, "100.01", QuoteReason.EXCEEDS_REFUNDABLE),
        (refundable(taken=usd("100.00")), NOW, None, QuoteReason.NOTHING_LEFT),
        (refundable(taken=usd("60.00")), NOW, "40.01", QuoteReason.EXCEEDS_REFUNDABLE),
        (refundable(deferred=back("60.00")), NOW, "40.01", QuoteReason.EXCEEDS_REFUNDABLE),
        (refundable(), STARTS, None, QuoteReason.EVENT_STARTED),
        (refundable(tiers=STEPS), STARTS - HOUR, None, QuoteReason.TOO_LATE),
        (refundable(given=back("100.00")), NOW, None, QuoteReason.NOTHING_LEFT),
        (refundable(given=back("100.00")), NOW, "1.00", QuoteReason.NOTHING_LEFT),
        (refundable(given=back("60.00")), NOW, "40.01", QuoteReason.EXCEEDS_REFUNDABLE),
        (refundable(), NOW, "100.01", QuoteReason.EXCEEDS_REFUNDABLE),
    ],
)
def test_a_quote_has_its_reason(money: Refundable, now: datetime, amount: str | None, reason: QuoteReason) -> None:
    assert money.quote(now, usd(amount) if amount else None).reason is reason


def test_a_refused_quote_has_amount_zero() -> None:
    quote = refundable(denied=QuoteReason.NOT_PAID).quote(NOW, usd("1.00"))

    assert (quote.allowed, quote.amount, quote.fee_refunded, quote.refundable_until) == (
        False,
        usd("0"),
        usd("0"),
        None,
    )


@pytest.mark.parametrize("reason", QuoteReason)
def test_only_five_reasons_allow_a_refund(reason: QuoteReason) -> None:
    assert reason.allows is (
        reason.code in ("refundable", "organizer_canceled", "event_moved", "refund_owed", "overridden")
    )


REFUSALS = {
    QuoteReason.NOT_PAID: NotPossibleNow,
    QuoteReason.NOT_CAPTURED: NotPossibleNow,
    QuoteReason.DISPUTED: NotPossibleNow,
    QuoteReason.BOOKING_CANCELED: NotPossibleNow,
    QuoteReason.EVENT_STARTED: RefusedByRule,
    QuoteReason.TOO_LATE: RefusedByRule,
    QuoteReason.NOTHING_LEFT: RefusedByRule,
    QuoteReason.ITEMS_FREE: RefusedByRule,
    QuoteReason.REFUNDED_BY_ORGANIZER: RefusedByRule,
    QuoteReason.EXCEEDS_REFUNDABLE: RefusedByRule,
}


def test_every_reason_against_a_refund_has_its_error_in_the_table_above() -> None:
    assert REFUSALS.keys() == {reason for reason in QuoteReason if not reason.allows}


@pytest.mark.parametrize(("reason", "kind"), REFUSALS.items())
def test_each_refusal_raises_an_error_with_its_code(reason: QuoteReason, kind: type[PaymentError]) -> None:
    error = reason.error()

    assert (type(error), error.code, error.message) == (kind, reason.code, reason.message)


# --- amounts -----------------------------------------------------------------------------------------------------


def test_without_an_amount_the_whole_rest_is_refunded() -> None:
    assert refundable(given=back("30.00")).quote(NOW, None).amount == usd("70.00")


def test_a_part_can_be_refunded() -> None:
    assert refundable().quote(NOW, usd("12.34")).amount == usd("12.34")


def test_exactly_the_rest_can_be_refunded() -> None:
    assert refundable(given=back("60.00")).quote(NOW, usd("40.00")).allowed


@pytest.mark.parametrize("amount", ["0.00", "-1.00"])
def test_a_refund_of_zero_or_less_is_refused(amount: str) -> None:
    with pytest.raises(InvalidAmount):
        refundable().quote(NOW, usd(amount))


def test_the_remaining_amount_is_that_of_a_quote_without_an_amount() -> None:
    assert refundable(given=back("1.00")).remaining(NOW) == usd("99.00")


def test_the_remaining_amount_is_zero_if_no_refund_is_possible() -> None:
    assert refundable(held=usd("100.00")).remaining(NOW) == usd("0")


@pytest.mark.parametrize(
    ("given", "deferred", "held", "room", "sendable"),
    [
        ("0", "0", "0", "100.00", "100.00"),
        ("20.00", "30.00", "10.00", "40.00", "70.00"),
        ("20.00", "30.00", "60.00", "0", "20.00"),
        ("50.00", "0", "100.00", "0", "0"),
        ("110.00", "0", "0", "0", "0"),
    ],
)
def test_a_new_refund_leaves_room_for_deferred_ones(
    given: str, deferred: str, held: str, room: str, sendable: str
) -> None:
    money = refundable(given=back(given), deferred=back(deferred), held=usd(held))

    assert (money.room, money.sendable) == (usd(room), usd(sendable))


def test_the_amount_that_disputes_do_not_hold_can_be_refunded() -> None:
    assert refundable(held=usd("20.00")).remaining(NOW) == usd("80.00")
    assert refundable(taken=usd("20.00")).remaining(NOW) == usd("80.00")


# --- time and tiers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "percent"),
    [
        (48 * HOUR + TICK, 100),
        (48 * HOUR, 50),
        (24 * HOUR + TICK, 50),
        (24 * HOUR, 0),
        (TICK, 0),
    ],
)
def test_each_tier_applies_until_the_microsecond_before_its_deadline(before: timedelta, percent: int) -> None:
    share, _ = RefundPolicy(tiers=STEPS).share_at(STARTS - before, STARTS)

    assert share == Fraction(percent, 100)


@pytest.mark.parametrize(("before", "until"), [(72 * HOUR, 48 * HOUR), (30 * HOUR, 24 * HOUR)])
def test_a_quote_is_valid_until_its_tier_ends(before: timedelta, until: timedelta) -> None:
    assert refundable(tiers=STEPS).quote(STARTS - before, None).refundable_until == STARTS - until


@pytest.mark.parametrize(
    ("tiers", "before", "ahead"),
    [
        ((), TICK, [(100, 0 * HOUR)]),
        ((), 0 * HOUR, []),
        (STEPS, 72 * HOUR, [(100, 48 * HOUR), (50, 24 * HOUR)]),
        (STEPS, 48 * HOUR, [(50, 24 * HOUR)]),
        (STEPS, 24 * HOUR, []),
    ],
)
def test_the_remaining_tiers_are_listed_with_their_deadlines(
    tiers: tuple[RefundTier, ...], before: timedelta, ahead: list[tuple[int, timedelta]]
) -> None:
    found = RefundPolicy(tiers=tiers).shares_ahead(STARTS - before, STARTS)

    assert found == tuple((Fraction(percent, 100), STARTS - until) for percent, until in ahead)


def test_a_tier_of_zero_percent_is_not_listed() -> None:
    policy = RefundPolicy(tiers=(RefundTier(hours_before=48, percent=Decimal(0)),))

    assert policy.shares_ahead(STARTS - 72 * HOUR, STARTS) == ()


def test_without_tiers_everything_can_be_refunded_until_the_event_starts() -> None:
    quote = refundable().quote(STARTS - TICK, None)

    assert (quote.amount, quote.refundable_until) == (usd("100.00"), STARTS)


def test_the_share_applies_to_the_charge_and_includes_earlier_refunds() -> None:
    quote = refundable(tiers=STEPS, given=back("20.00")).quote(STARTS - 30 * HOUR, None)

    assert quote.amount == usd("30.00")


def test_nothing_is_left_after_a_refund_above_the_present_share() -> None:
    quote = refundable(tiers=STEPS, given=back("80.00")).quote(STARTS - 30 * HOUR, None)

    assert quote.reason is QuoteReason.NOTHING_LEFT


def test_tiers_are_kept_widest_first() -> None:
    assert [tier.hours_before for tier in RefundPolicy(tiers=STEPS).tiers] == [48, 24]


@pytest.mark.parametrize(
    ("hours", "percent"), [(-1, "50"), (MAX_TIER_HOURS + 1, "50"), (1, "-1"), (1, "100.1"), (1, "NaN")]
)
def test_an_invalid_tier_is_refused(hours: int, percent: str) -> None:
    with pytest.raises(InvalidInput):
        a_tier(hours, percent)


@pytest.mark.parametrize(("hours", "percent"), [(0, "0"), (MAX_TIER_HOURS, "100")])
def test_a_tier_accepts_its_limits(hours: int, percent: str) -> None:
    assert a_tier(hours, percent).hours_before == hours


def test_two_tiers_at_the_same_hour_are_refused() -> None:
    with pytest.raises(InvalidInput):
        RefundPolicy(tiers=(a_tier(24, "50"), a_tier(24, "60")))


def test_a_policy_has_a_limited_number_of_tiers() -> None:
    tiers = [a_tier(hours, "50") for hours in range(MAX_TIERS + 1)]

    assert len(RefundPolicy(tiers=tiers[:-1]).tiers) == MAX_TIERS
    with pytest.raises(InvalidInput):
        RefundPolicy(tiers=tiers)


# --- gateways that do not take every amount ---------------------------------------------------------------------

STEP = st.integers(1, 1000)
PRICE_IN_STEPS = st.integers(1, 10**6)
TENTHS = st.integers(0, 10)
PERCENT = st.decimals(0, 100, places=3)


def kwd(fils: int) -> Money:
    return Money(fils, Currency.KWD)


def in_steps(step: int, price: int, tenths: int, percent: Decimal, **changes: Any) -> Refundable:
    """Return a charge of ``price`` steps, of which ``tenths`` are refunded, rounded down to whole steps."""
    breakdown = FeePolicy(payer=changes.pop("payer", FeePayer.ORGANIZER)).of_booking(kwd(price * step))
    gross = breakdown.gross.rounded_down(step)
    return refundable(
        breakdown=evolve(breakdown, gross=gross, fee=min(breakdown.fee, gross)),
        given=GivenBack(amount=kwd(price * tenths // 10 * step), fee=kwd(0)),
        deferred=GivenBack.zero(kwd(0)),
        taken=kwd(0),
        tiers=(RefundTier(hours_before=1, percent=percent),),
        amount_step=step,
        **changes,
    )


@given(
    STEP,
    PRICE_IN_STEPS,
    TENTHS,
    PERCENT,
    st.sampled_from(FeePayer),
    st.sampled_from(FeeOnRefund),
    st.none() | PRICE_IN_STEPS,
)
def test_a_quote_is_a_multiple_of_the_gateways_step_and_never_above_the_rest(
    step: int, price: int, gone: int, percent: Decimal, payer: FeePayer, fee: FeeOnRefund, owed: int | None
) -> None:
    money = in_steps(step, price, gone, percent, payer=payer, fee=fee)
    if owed is not None:
        money = evolve(money, promised=money.given + GivenBack(amount=kwd(owed * step), fee=kwd(0)))
    left = money.breakdown.gross - money.given.amount

    for canceled in (False, True):
        quote = money.quote(NOW, None, in_full=canceled)

        assert quote.amount.minor % step == 0
        assert kwd(0) <= quote.amount <= left
        assert quote.allowed is bool(quote.amount)


@given(STEP, PRICE_IN_STEPS, TENTHS, PERCENT)
def test_a_quote_is_less_than_a_step_below_the_share_of_the_tier(
    step: int, price: int, gone: int, percent: Decimal
) -> None:
    money = in_steps(step, price, gone, percent)
    exact = evolve(money, amount_step=1)

    lost = exact.remaining(NOW) - money.remaining(NOW)

    assert kwd(0) <= lost < kwd(step)


@given(STEP, PRICE_IN_STEPS, TENTHS)
def test_when_the_organizer_cancels_no_rest_is_left_by_rounding(step: int, price: int, gone: int) -> None:
    money = in_steps(step, price, gone, Decimal(50))

    assert money.given.amount + money.quote(NOW, None, in_full=True).amount == money.breakdown.gross


# --- the fee -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payer", "fee", "amount", "fee_refunded"),
    [
        (FeePayer.ORGANIZER, FeeOnRefund.KEPT, "100.00", "0.00"),
        (FeePayer.ORGANIZER, FeeOnRefund.RETURNED, "100.00", "3.00"),
        (FeePayer.CUSTOMER, FeeOnRefund.KEPT, "100.00", "0.00"),
        (FeePayer.CUSTOMER, FeeOnRefund.RETURNED, "103.00", "3.00"),
    ],
)
def test_the_fee_is_kept_or_returned(payer: FeePayer, fee: FeeOnRefund, amount: str, fee_refunded: str) -> None:
    quote = refundable(payer=payer, fee=fee).quote(NOW, None)

    assert (quote.amount, quote.fee_refunded) == (usd(amount), usd(fee_refunded))


def test_a_partial_refund_returns_its_part_of_the_fee() -> None:
    assert refundable(fee=FeeOnRefund.RETURNED).quote(NOW, usd("50.00")).fee_refunded == usd("1.50")


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=8), st.integers(1, 20000))
def test_many_partial_refunds_return_the_fee_to_the_cent(parts: list[int], price: int) -> None:
    breakdown = FeePolicy(rate=Decimal("0.0333")).of_booking(Money(price, Currency.USD))
    given = back("0")
    for part in (*parts, None):
        money = refundable(breakdown=breakdown, given=given, fee=FeeOnRefund.RETURNED)
        quote = money.quote(NOW, None if part is None else Money(part, Currency.USD))
        given = given + GivenBack(amount=quote.amount, fee=quote.fee_refunded)

    assert (given.amount, given.fee) == (breakdown.gross, breakdown.fee)


# --- the organizer cancels ---------------------------------------------------------------------------------------


def test_after_a_canceled_event_no_fee_is_kept_from_earlier_refunds() -> None:
    money = refundable(payer=FeePayer.CUSTOMER, given=back("50.00"))

    quote = money.quote(NOW, None, in_full=True)

    assert (quote.amount, quote.fee_refunded) == (usd("53.00"), usd("3.00"))


def test_the_returned_fee_never_exceeds_the_refunded_amount() -> None:
    money = refundable(payer=FeePayer.CUSTOMER, given=back("102.00"))

    quote = money.quote(NOW, None, in_full=True)

    assert (quote.amount, quote.fee_refunded) == (usd("1.00"), usd("1.00"))


def test_a_returned_fee_is_not_returned_twice() -> None:
    money = refundable(fee=FeeOnRefund.RETURNED, given=back("50.00", "1.50"))

    quote = money.quote(NOW, None, in_full=True)

    assert (quote.amount, quote.fee_refunded) == (usd("50.00"), usd("1.50"))


@pytest.mark.parametrize("payer", FeePayer)
def test_when_the_organizer_cancels_everything_is_refunded_with_the_fee(payer: FeePayer) -> None:
    money = refundable(payer=payer, tiers=STEPS)
    quote = money.quote(STARTS - HOUR, None, in_full=True)

    assert (quote.reason, quote.amount) == (QuoteReason.ORGANIZER_CANCELED, money.breakdown.gross)
    assert quote.fee_refunded == usd("3.00")


@pytest.mark.parametrize(("now", "until"), [(NOW, STARTS), (STARTS + HOUR, STARTS + HOUR)])
def test_a_canceled_event_is_refunded_at_any_time(now: datetime, until: datetime) -> None:
    quote = refundable().quote(now, None, in_full=True)

    assert (quote.allowed, quote.refundable_until) == (True, until)


@pytest.mark.parametrize(
    ("money", "reason"),
    [
        (refundable(denied=QuoteReason.NOT_PAID), QuoteReason.NOT_PAID),
        (refundable(held=usd("100.00")), QuoteReason.DISPUTED),
        (refundable(taken=usd("100.00")), QuoteReason.NOTHING_LEFT),
        (refundable(given=back("100.00")), QuoteReason.NOTHING_LEFT),
    ],
)
def test_a_cancellation_by_the_organizer_does_not_exceed_the_rest(money: Refundable, reason: QuoteReason) -> None:
    assert money.quote(NOW, None, in_full=True).reason is reason


# --- what was promised and failed ---------------------------------------------------------------------------------


def failed(amount: str, fee: str = "0", **changes: Any) -> Refundable:
    """Return a payment with a failed refund: so much was promised in addition to the refunded amount."""
    given = changes.pop("given", back("0"))
    return refundable(given=given, promised=given + back(amount, fee), **changes)


def half(**changes: Any) -> Refundable:
    return failed("50.00", "1.50", **changes)


@pytest.mark.parametrize(("now", "until"), [(STARTS - HOUR, STARTS), (STARTS + HOUR, STARTS + HOUR)])
def test_an_owed_amount_is_refundable_outside_the_tiers_and_after_the_start(now: datetime, until: datetime) -> None:
    quote = half(tiers=STEPS).quote(now, None)

    assert (quote.reason, quote.amount, quote.fee_refunded) == (QuoteReason.REFUND_OWED, usd("50.00"), usd("1.50"))
    assert quote.refundable_until == until


def test_an_owed_amount_is_quoted_in_addition_to_earlier_refunds() -> None:
    assert half(given=back("30.00")).quote(STARTS, None).amount == usd("50.00")


def test_the_owed_amount_never_exceeds_the_rest() -> None:
    assert half(given=back("60.00")).quote(STARTS, None).amount == usd("40.00")


def test_an_amount_withdrawn_by_the_bank_is_not_owed() -> None:
    assert half(taken=usd("30.00")).quote(STARTS, None).amount == usd("20.00")


def test_a_policy_that_allows_as_much_as_is_owed_refunds_it_as_owed_with_its_fee() -> None:
    quote = half(tiers=STEPS).quote(STARTS - 30 * HOUR, None)

    assert (quote.reason, quote.amount, quote.fee_refunded) == (QuoteReason.REFUND_OWED, usd("50.00"), usd("1.50"))


def test_a_policy_that_allows_more_than_is_owed_applies_with_the_promised_fee() -> None:
    quote = failed("49.99", "1.50", tiers=STEPS).quote(STARTS - 30 * HOUR, None)

    assert (quote.reason, quote.amount, quote.fee_refunded) == (QuoteReason.REFUNDABLE, usd("50.00"), usd("1.50"))


def test_a_part_of_the_owed_amount_returns_its_part_of_the_fee() -> None:
    assert half().quote(STARTS, usd("20.00")).fee_refunded == usd("0.60")


def test_an_owed_amount_does_not_return_a_fee_twice() -> None:
    assert half(given=back("0", "2.00")).quote(STARTS, None).fee_refunded == usd("1.00")


@pytest.mark.parametrize(
    ("money", "reason"),
    [
        (half(denied=QuoteReason.NOT_PAID), QuoteReason.NOT_PAID),
        (half(held=usd("100.00")), QuoteReason.DISPUTED),
        (half(given=back("100.00")), QuoteReason.NOTHING_LEFT),
    ],
)
def test_an_owed_amount_above_the_rest_is_not_refunded(money: Refundable, reason: QuoteReason) -> None:
    assert money.quote(STARTS, None).reason is reason


# --- reasons given by people -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", RefundReason)
def test_the_gateways_reasons_are_read_as_they_are(reason: RefundReason) -> None:
    assert RefundReason.read(reason.value) == (reason, None)


def test_any_other_reason_is_a_note() -> None:
    assert RefundReason.read("it rained") == (RefundReason.REQUESTED_BY_CUSTOMER, "it rained")
