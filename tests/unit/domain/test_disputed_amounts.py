"""Amounts that disputes withdraw, by their transactions, and amounts held for reports that are not understood."""

from decimal import Decimal
from fractions import Fraction

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from booking_payments.domain import decisions as decide
from booking_payments.domain import events as ev
from booking_payments.domain.disputes import DisputeMovement, in_currency_of, withdrawn_by
from booking_payments.domain.lifecycle import DISPUTE, ILLEGAL, DisputeStatus
from booking_payments.domain.money import Currency, Money
from tests.nightly import examples
from tests.unit.domain.builders import NOW, PRICE, DecidedPayment, a_dispute, a_paid_payment, eur, kinds, movements, usd

D = DisputeStatus


# --- withdrawn_by ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amounts", "held", "held_when_won"),
    [
        ([], "0.00", "0.00"),
        (["-100.00"], "100.00", "100.00"),
        (["-100.00", "100.00"], "0.00", "0.00"),
        (["-100.00", "40.00"], "60.00", "0.00"),
        (["-100.00", "40.00", "60.00"], "0.00", "0.00"),
        (["-100.00", "100.00", "-100.00"], "100.00", "100.00"),
        (["-100.00", "100.00", "-100.00", "25.00"], "75.00", "0.00"),
        (["-92.00", "92.00"], "0.00", "0.00"),
        (["-92.00", "91.50"], "0.54", "0.00"),
        (["-92.00", "92.50"], "0.00", "0.00"),
        (["-92.00", "46.00"], "50.00", "0.00"),
        (["-92.00", "91.50", "-93.00", "93.00"], "0.00", "0.00"),
        (["-80.00", "20.00", "-60.00", "30.00"], "50.00", "0.00"),
        (["100.00"], "0.00", "0.00"),
        (["0.00", "-100.00", "0.00"], "100.00", "100.00"),
    ],
)
def test_a_debit_withdraws_the_disputed_amount_and_a_credit_returns_its_share(
    amounts: list[str], held: str, held_when_won: str
) -> None:
    settled = movements(*amounts, currency="eur")

    assert withdrawn_by(settled, PRICE, won=False) == usd(held)
    assert withdrawn_by(settled, PRICE, won=True) == usd(held_when_won)


@pytest.mark.parametrize(
    ("disputed", "debit", "credit", "left"),
    [
        (5, 200, 100, 3),  # 2.5 are returned: rounded to 2, the even one
        (15, 200, 100, 7),  # 7.5 are returned: rounded to 8, the even one
        (25, 200, 100, 13),
        (1, 2, 1, 1),
        (3, 2, 1, 1),
        (100, 3, 1, 67),
        (100, 3, 2, 33),
    ],
)
def test_a_share_is_rounded_half_even(disputed: int, debit: int, credit: int, left: int) -> None:
    settled = (DisputeMovement(amount=-debit, currency="eur"), DisputeMovement(amount=credit, currency="eur"))

    assert withdrawn_by(settled, Money(disputed, Currency.JPY), won=False) == Money(left, Currency.JPY)


MOVED = st.lists(
    st.integers(-(10**6), 10**6).map(lambda minor: DisputeMovement(amount=minor, currency="eur")), max_size=6
)
DISPUTED = st.builds(Money, st.integers(1, 10**6), st.sampled_from([Currency.USD, Currency.JPY, Currency.KWD]))


@given(MOVED, DISPUTED, st.booleans())
@settings(max_examples=examples(200))
def test_the_withdrawn_amount_is_never_negative_nor_above_the_disputed_amount(
    moved: list[DisputeMovement], disputed: Money, won: bool
) -> None:
    held = withdrawn_by(moved, disputed, won=won)

    assert Money.zero(disputed.currency) <= held <= disputed
    if moved and moved[-1].amount < 0:
        assert held == disputed
    if won and moved and moved[-1].amount > 0:
        assert not held


@given(st.integers(1, 10**6), st.lists(st.integers(1, 10**5), max_size=5), DISPUTED)
@settings(max_examples=examples(200))
def test_credits_return_their_shares_of_the_last_debit(debit: int, credits: list[int], disputed: Money) -> None:
    first = DisputeMovement(amount=-debit * 2, currency="eur")
    moved = [first, *(DisputeMovement(amount=amount, currency="eur") for amount in (-debit, *credits))]

    exact = max(disputed.minor * (1 - Fraction(sum(credits), debit)), Fraction(0))
    assert abs(withdrawn_by(moved, disputed, won=False).minor - exact) <= Fraction(len(credits), 2)


# --- another currency --------------------------------------------------------------------------------------------


def test_a_dispute_in_the_currency_of_its_payment_is_booked_as_it_is() -> None:
    assert in_currency_of(usd("30.00"), PRICE, movements("-27.60", currency="eur", rate="0.92")) == usd("30.00")


@pytest.mark.parametrize(
    ("disputed", "rate", "booked"),
    [
        (eur("92.00"), "0.92", "100.00"),
        (eur("46.00"), "0.92", "50.00"),
        (eur("120.00"), "0.92", "100.00"),
        (eur("92.00"), None, "100.00"),
        (eur("10.00"), None, "100.00"),
        (Money(1500, Currency.JPY), "150", "10.00"),
        (Money(3000, Currency.KWD), "0.3", "10.00"),
    ],
)
def test_a_dispute_in_another_currency_is_booked_by_its_share_of_the_payment(
    disputed: Money, rate: str | None, booked: str
) -> None:
    moved = movements("-92.00", currency=disputed.currency.code, rate=rate)

    assert in_currency_of(disputed, PRICE, moved) == usd(booked)


@given(st.integers(1, 10**7), st.decimals(Decimal("0.001"), Decimal(1000), places=4), st.sampled_from([*Currency]))
@settings(max_examples=examples(200))
def test_no_currency_makes_a_dispute_larger_than_its_payment(minor: int, rate: Decimal, currency: Currency) -> None:
    moved = (DisputeMovement(amount=-minor, currency="eur", exchange_rate=rate),)

    assert usd("0") <= in_currency_of(Money(minor, currency), PRICE, moved) <= max(PRICE, Money(minor, Currency.USD))


# --- in the books ------------------------------------------------------------------------------------------------


def settled_in_eur(status: DisputeStatus, *amounts: str) -> DecidedPayment:
    """Return a dispute over the whole of a usd payment, with these transactions in eur."""
    builder = a_paid_payment()
    for last in range(1, len(amounts)):
        moved = movements(*amounts[:last], currency="eur", rate="0.92")
        builder.sees_dispute(a_dispute(D.NEEDS_RESPONSE, movements=moved))
    builder.sees_dispute(a_dispute(status, movements=movements(*amounts, currency="eur", rate="0.92")))
    return builder


def test_a_dispute_that_is_won_at_another_rate_holds_nothing() -> None:
    builder = settled_in_eur(D.WON, "-92.00", "91.50")

    assert (builder.payment.withdrawn, builder.payment.held_by_disputes) == (usd("0"), usd("0"))
    assert (builder.payment.has_open_dispute, builder.payment.refundable.remaining(NOW)) == (False, PRICE)


@pytest.mark.parametrize("status", [D.LOST, D.PREVENTED])
def test_the_unreturned_share_of_a_lost_dispute_stays_withdrawn(status: DisputeStatus) -> None:
    builder = settled_in_eur(status, "-92.00", "23.00")

    assert (builder.payment.withdrawn, builder.payment.taken_by_disputes) == (usd("75.00"), usd("75.00"))
    assert builder.payment.refundable.remaining(NOW) == usd("25.00")


def test_a_lost_dispute_that_is_won_on_appeal_returns_its_amount() -> None:
    builder = a_paid_payment()
    builder.sees_dispute(a_dispute(D.LOST, "100.00"))
    lost = builder.payment.refundable.remaining(NOW)
    events = builder.sees_dispute(a_dispute(D.WON, movements=movements("-100.00", "100.00")))

    assert kinds(events) == ["DisputeMoved", "DisputeFundsMoved"]
    assert (lost, builder.payment.refundable.remaining(NOW), builder.payment.drifts) == (usd("0"), PRICE, ())


@pytest.mark.parametrize("status", [D.APPEAL_NEEDS_RESPONSE, D.APPEAL_UNDER_REVIEW])
@pytest.mark.parametrize("first", [True, False])
def test_an_appeal_is_open_and_has_its_own_deadline(status: DisputeStatus, first: bool) -> None:
    builder = a_paid_payment()
    if not first:
        builder.sees_dispute(a_dispute(D.LOST, "100.00"))
    builder.sees_dispute(a_dispute(status, "100.00", evidence_due_by=NOW))
    dispute = builder.payment.disputes[0]

    assert (dispute.status, dispute.is_open, dispute.evidence_due_by, dispute.withdrawn) == (status, True, NOW, PRICE)
    assert (dispute.taken, builder.payment.refundable.remaining(NOW), builder.payment.drifts) == (
        usd("0"),
        usd("0"),
        (),
    )


def test_withdrawals_are_recorded_independent_of_the_status() -> None:
    builder = a_paid_payment()
    builder.sees_dispute(a_dispute(D.NEEDS_RESPONSE, "100.00"))
    builder.sees_dispute(a_dispute(D.UNKNOWN, movements=movements("-100.00", "100.00"), status_text="invented"))

    assert (builder.payment.withdrawn, builder.payment.held_by_disputes) == (usd("0"), PRICE)


# --- what is not understood ---------------------------------------------------------------------------------------

IMPOSSIBLE = [(state, event) for state in D for event in D if DISPUTE[state][event] is ILLEGAL]


@pytest.mark.parametrize(("state", "event"), IMPOSSIBLE, ids=[f"{a.value}-{b.value}" for a, b in IMPOSSIBLE])
@pytest.mark.parametrize("withdrawn", ["0.00", "40.00"])
def test_an_impossible_change_of_status_is_recorded_and_holds_the_disputed_amount_with_one_drift(
    state: DisputeStatus, event: DisputeStatus, withdrawn: str
) -> None:
    builder = a_paid_payment()
    builder.sees_dispute(a_dispute(state, withdrawn, amount=usd("40.00"), evidence_due_by=NOW))
    report = a_dispute(event, withdrawn, amount=usd("40.00"))
    events = builder.sees_dispute(report)
    dispute = builder.payment.disputes[0]

    assert [each.code for each in events if isinstance(each, ev.DriftFound)] == ["illegal_transition"]
    assert builder.sees_dispute(report) == ()
    assert len(builder.payment.drifts) == 1
    assert (dispute.status, dispute.held, dispute.evidence_due_by) == (event, usd("40.00"), NOW)
    assert (builder.payment.refundable.blocked, builder.payment.refundable.room) == (True, usd("60.00"))
    assert builder.payment.refundable.quote(NOW, usd("60.01")).reason.code in ("disputed", "exceeds_refundable")


@pytest.mark.parametrize("before", [None, *(status for status in D if status is not D.UNKNOWN)])
@pytest.mark.parametrize("withdrawn", ["0.00", "40.00"])
def test_an_unknown_status_holds_the_disputed_amount_with_one_drift_and_keeps_the_newest_deadline(
    before: DisputeStatus | None, withdrawn: str
) -> None:
    builder = a_paid_payment()
    if before is not None:
        builder.sees_dispute(a_dispute(before, withdrawn, amount=usd("40.00"), evidence_due_by=NOW))
    report = a_dispute(D.UNKNOWN, withdrawn, amount=usd("40.00"), status_text="invented")
    events = builder.sees_dispute(report)
    dispute = builder.payment.disputes[0]

    assert [each.code for each in events if isinstance(each, ev.DriftFound)] == ["unknown_dispute_status"]
    assert "invented" in builder.payment.drifts[0].detail
    assert (builder.sees_dispute(report), len(builder.payment.drifts)) == ((), 1)
    assert (dispute.held, dispute.is_open, builder.payment.refundable.room) == (usd("40.00"), True, usd("60.00"))
    assert dispute.evidence_due_by == (NOW if before else None)


@given(st.sampled_from(IMPOSSIBLE), st.sampled_from(D))
def test_a_possible_change_of_status_clears_the_contradiction_of_an_impossible_one(
    impossible: tuple[DisputeStatus, DisputeStatus], last: DisputeStatus
) -> None:
    builder = a_paid_payment()
    for status in (*impossible, last):
        builder.sees_dispute(a_dispute(status))
    dispute = builder.payment.disputes[0]

    still = last is impossible[1] or DISPUTE[impossible[1]][last] is ILLEGAL
    assert dispute.contradictory is still
    assert dispute.held == (PRICE if still or last.is_open_chargeback else usd("0"))


def test_the_held_amounts_of_several_disputes_add_up_without_double_counting() -> None:
    builder = a_paid_payment()
    builder.sees_dispute(a_dispute(D.LOST, "20.00", id="du_1", amount=usd("20.00")))
    builder.sees_dispute(a_dispute(D.NEEDS_RESPONSE, "30.00", id="du_2", amount=usd("30.00")))
    builder.sees_dispute(a_dispute(D.WARNING_NEEDS_RESPONSE, id="du_3", amount=usd("50.00")))

    assert (builder.payment.held_by_disputes, builder.payment.taken_by_disputes) == (usd("50.00"), usd("20.00"))
    assert builder.payment.refundable.room == usd("50.00")


def test_a_dispute_first_seen_in_its_final_status_has_the_same_result_as_a_followed_one() -> None:
    for end, moved in ((D.WON, ("-100.00", "100.00")), (D.LOST, ("-100.00",)), (D.PREVENTED, ())):
        followed, late = a_paid_payment(), a_paid_payment()
        report = a_dispute(end, movements=movements(*moved))
        followed.sees_dispute(a_dispute(D.NEEDS_RESPONSE, movements=movements(*moved[:1])))
        followed.sees_dispute(evolve(report, status=D.UNDER_REVIEW, movements=movements(*moved[:1])))
        followed.sees_dispute(report)
        late.sees_dispute(report)

        assert [(d.status, d.withdrawn, d.held) for d in followed.payment.disputes] == [
            (d.status, d.withdrawn, d.held) for d in late.payment.disputes
        ]
        assert decide.is_stale_dispute(late.payment, report)
