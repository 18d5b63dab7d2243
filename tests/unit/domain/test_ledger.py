"""The ledger: every posting sums to zero, and balances are the same whether kept or rebuilt."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from attrs import evolve as attrs_evolve
from hypothesis import example, given
from hypothesis import strategies as st

from booking_payments.domain import events as ev
from booking_payments.domain import ledger
from booking_payments.domain.errors import CurrencyMismatch, NotPossibleNow, OurFault, RefusedByRule
from booking_payments.domain.fees import FeeOnRefund, FeePolicy
from booking_payments.domain.ledger import (
    Account,
    Line,
    Posting,
    PostingKind,
    balances,
    postings,
    postings_of,
)
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.money import MAX_DIGITS, Currency, Money, total
from booking_payments.domain.payment import evolve
from booking_payments.domain.refunds import RefundPolicy
from tests.unit.domain.builders import (
    NOW,
    DecidedPayment,
    a_dispute,
    a_paid_payment,
    a_payment,
    a_refund,
    a_refunded_payment,
    an_authorized_payment,
    an_intent,
    eur,
    usd,
)


def _now(event: ev.Event) -> ev.Recorded:
    return ev.Recorded(sequence=99, at=NOW, actor="test", cause="test", event=event)


def _kinds(builder: DecidedPayment) -> list[str]:
    return [posting.kind.value for posting in postings_of(builder.journal)]


def _holds(builder: DecidedPayment) -> dict[str, str]:
    sums = balances(postings_of(builder.journal))
    return {account.value: money.major() for (account, _), money in sums.items() if money}


def _returning() -> DecidedPayment:
    """A paid payment whose policy gives the fee back."""
    return a_paid_payment(refund_policy=RefundPolicy(fee=FeeOnRefund.RETURNED))


def _refunded_with_fee(status: RefundStatus = RefundStatus.SUCCEEDED) -> DecidedPayment:
    builder = _returning()
    builder.refunds()
    builder.sees_refund(a_refund(status, metadata={"refund_id": "rf_1"}))
    builder.settles()
    return builder


def _disputed(*steps: tuple[DisputeStatus, str]) -> DecidedPayment:
    builder = a_paid_payment()
    for status, withdrawn in steps:
        builder.sees_dispute(a_dispute(status, withdrawn))
    return builder


def _given_back() -> DecidedPayment:
    builder = _refunded_with_fee()
    builder.sees_refund(a_refund(RefundStatus.FAILED, metadata={"refund_id": "rf_1"}))
    return builder


def _lost() -> DecidedPayment:
    return _disputed((DisputeStatus.NEEDS_RESPONSE, "100.00"), (DisputeStatus.LOST, "100.00"))


def _won() -> DecidedPayment:
    return _disputed((DisputeStatus.NEEDS_RESPONSE, "100.00"), (DisputeStatus.WON, "0.00"))


CHARGED = {"gateway": "100.00", "organizer": "-97.00", "fees": "-3.00"}
HISTORIES: list[tuple[Callable[[], DecidedPayment], list[str], dict[str, str]]] = [
    (a_payment, [], {}),
    (an_authorized_payment, [], {}),
    (a_paid_payment, ["charge", "processing_fee"], CHARGED),
    (a_refunded_payment, ["charge", "processing_fee", "refund"], {"organizer": "3.00", "fees": "-3.00"}),
    (_refunded_with_fee, ["charge", "processing_fee", "refund", "refund_fee"], {}),
    (
        _given_back,
        ["charge", "processing_fee", "refund", "refund_fee", "refund_given_back", "refund_fee_given_back"],
        CHARGED,
    ),
    (
        _lost,
        ["charge", "processing_fee", "dispute_withdrawn"],
        {"organizer": "-97.00", "fees": "-3.00", "disputes": "100.00"},
    ),
    (_won, ["charge", "processing_fee", "dispute_withdrawn", "dispute_reinstated"], CHARGED),
]


@pytest.mark.parametrize(("builder", "kinds", "held"), HISTORIES)
def test_each_history_of_a_payment_has_its_postings(
    builder: Callable[[], DecidedPayment], kinds: list[str], held: dict[str, str]
) -> None:
    assert _kinds(builder()) == kinds


@pytest.mark.parametrize(("builder", "kinds", "held"), HISTORIES)
def test_each_history_of_a_payment_has_its_balances(
    builder: Callable[[], DecidedPayment], kinds: list[str], held: dict[str, str]
) -> None:
    assert _holds(builder()) == held


def test_without_a_fee_the_charge_is_the_only_posting() -> None:
    builder = a_paid_payment(fee_policy=FeePolicy(rate=Decimal(0)))

    assert _kinds(builder) == ["charge"]


@pytest.mark.parametrize(
    "status", [RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION, RefundStatus.FAILED, RefundStatus.CANCELED]
)
def test_only_a_refund_that_succeeded_moves_money(status: RefundStatus) -> None:
    assert _kinds(a_refunded_payment(status)) == ["charge", "processing_fee"]


def test_a_refund_made_in_the_dashboard_is_posted() -> None:
    builder = a_paid_payment()
    builder.sees_refund(a_refund(RefundStatus.SUCCEEDED, "10.00"))

    assert _kinds(builder)[2:] == ["refund"]


def test_a_refund_found_pending_is_posted_when_it_succeeds() -> None:
    builder = a_paid_payment()
    builder.sees_refund(a_refund(RefundStatus.PENDING, "10.00"))
    before = _kinds(builder)
    builder.sees_refund(a_refund(RefundStatus.SUCCEEDED, "10.00"))

    assert (before[2:], _kinds(builder)[2:]) == ([], ["refund"])


def test_only_the_change_of_what_a_dispute_holds_is_posted() -> None:
    builder = _disputed((DisputeStatus.NEEDS_RESPONSE, "40.00"), (DisputeStatus.NEEDS_RESPONSE, "100.00"))

    assert [str(p.lines[0].amount) for p in postings_of(builder.journal)][2:] == ["40.00 usd", "60.00 usd"]


def test_funds_of_an_unknown_dispute_are_posted_in_full() -> None:
    event = ev.DisputeFundsMoved(dispute_id="du_9", withdrawn=usd("5.00"))

    assert [p.kind for p in postings(a_paid_payment().payment, _now(event))] == [PostingKind.DISPUTE_WITHDRAWN]


def test_unchanged_funds_of_a_dispute_are_not_posted() -> None:
    builder = _disputed((DisputeStatus.NEEDS_RESPONSE, "40.00"))
    event = ev.DisputeFundsMoved(dispute_id="du_1", withdrawn=usd("40.00"))

    assert postings(builder.payment, _now(event)) == ()


def test_a_change_of_an_unknown_refund_is_not_posted() -> None:
    event = ev.RefundMoved(refund_id="rf_9", status=RefundStatus.SUCCEEDED)

    assert postings(a_paid_payment().payment, _now(event)) == ()


def test_a_posting_names_its_payment_refund_or_dispute() -> None:
    assert [posting.subject for posting in postings_of(_lost().journal)] == ["pay_1", "pay_1", "du_1"]


def test_a_posting_that_does_not_balance_raises() -> None:
    with pytest.raises(OurFault, match="does not balance"):
        Posting(
            kind=PostingKind.CHARGE,
            at=NOW,
            subject="pay_1",
            lines=(
                Line(account=Account.GATEWAY, amount=usd("1.00")),
                Line(account=Account.ORGANIZER, amount=usd("-0.99")),
            ),
        )


def test_a_posting_in_two_currencies_raises() -> None:
    with pytest.raises(CurrencyMismatch):
        Posting(
            kind=PostingKind.CHARGE,
            at=NOW,
            subject="pay_1",
            lines=(
                Line(account=Account.GATEWAY, amount=usd("1.00")),
                Line(account=Account.ORGANIZER, amount=eur("-1.00")),
            ),
        )


# --- random lives ------------------------------------------------------------------------------------------------

CENTS = st.integers(1, 12_000).map(lambda minor: f"{minor // 100}.{minor % 100:02d}")
REFUNDS = st.tuples(st.just("refund"), st.sampled_from(RefundStatus), CENTS)
FOUND = st.tuples(st.just("found"), st.sampled_from(RefundStatus), CENTS)
DISPUTES = st.tuples(st.just("dispute"), st.sampled_from(DisputeStatus), CENTS)


def _live(builder: DecidedPayment, steps: list[tuple[str, RefundStatus | DisputeStatus, str]]) -> None:
    """Let each step happen that the rules allow."""
    for number, (_, status, amount) in enumerate(steps):
        if isinstance(status, DisputeStatus):
            builder.sees_dispute(a_dispute(status, amount))
        elif steps[number][0] == "found":
            builder.sees_refund(a_refund(status, amount, id=f"re_{number % 2}"))
        else:
            _refund(builder, status, amount, f"rf_{number}")


def _refund(builder: DecidedPayment, status: RefundStatus, amount: str, name: str) -> None:
    try:
        builder.refunds(amount, refund_id=name, key=f"key_{name}")
    except (RefusedByRule, NotPossibleNow):
        return
    given = builder.payment.given_back.amount
    assert given <= builder.payment.captured, f"{name} of {amount} makes it {given}"
    builder.sees_refund(a_refund(status, amount, id=f"re_{name}", metadata={"refund_id": name}))
    if builder.payment.operation is not None:  # a deferred refund has no call to settle
        builder.settles()


@given(st.lists(REFUNDS | FOUND | DISPUTES, max_size=8))
def test_every_history_balances_and_its_ledger_can_be_rebuilt(
    steps: list[tuple[str, RefundStatus | DisputeStatus, str]],
) -> None:
    builder = _returning()
    _live(builder, steps)
    kept: list[Posting] = []
    payment = None
    for recorded in builder.journal:
        kept += postings(payment, recorded) if payment else ()
        payment = evolve(payment, recorded)

    assert tuple(kept) == postings_of(builder.journal)
    assert {posting.at for posting in kept} <= {recorded.at for recorded in builder.journal}
    assert sum(money.minor for money in balances(kept).values()) == 0
    assert all(sum(line.amount.minor for line in posting.lines) == 0 for posting in kept)


@given(st.lists(REFUNDS | FOUND | DISPUTES, max_size=8))
@example([("found", status, "10.00") for status in (RefundStatus.SUCCEEDED, RefundStatus.PENDING, RefundStatus.FAILED)])
@example([("dispute", status, "10.00") for status in (DisputeStatus.NEEDS_RESPONSE, DisputeStatus.WON)])
def test_gross_less_refunds_and_withdrawals_is_the_balance_at_the_gateway(
    steps: list[tuple[str, RefundStatus | DisputeStatus, str]],
) -> None:
    builder = _returning()
    _live(builder, steps)
    kept = postings_of(builder.journal)
    gross, refunded, withdrawn = (
        total((each.amount for each in kept if each.kind in kinds), Currency.USD)
        for kinds in (ledger.CHARGED, ledger.REFUNDED, ledger.WITHDRAWN)
    )

    assert gross - refunded - withdrawn == balances(kept)[Account.GATEWAY, Currency.USD]
    assert {each.kind for each in kept if _touches_the_gateway(each)} <= ledger.MONEY_KINDS
    assert not any(each.kind in ledger.MONEY_KINDS for each in kept if not _touches_the_gateway(each))


def _touches_the_gateway(posting: Posting) -> bool:
    return any(line.account is Account.GATEWAY for line in posting.lines)


def test_a_posting_has_the_time_of_its_journal_entry() -> None:
    builder = _refunded_with_fee()
    builder.sees_dispute(a_dispute(DisputeStatus.NEEDS_RESPONSE, "40.00"))
    moved = [r.at for r in builder.journal if isinstance(r.event, ev.PaymentSucceeded | ev.RefundMoved)]
    withdrawn = [r.at for r in builder.journal if isinstance(r.event, ev.DisputeFundsMoved)]

    charge, fee, *others = postings_of(builder.journal)
    assert {charge.at, fee.at} == {moved[0]}
    assert [each.at for each in others if each.kind is PostingKind.DISPUTE_WITHDRAWN] == withdrawn
    assert {each.at for each in others if each.kind in ledger.REFUNDED} <= set(moved[1:])


def test_balances_have_no_digit_limit() -> None:
    charge = postings_of(a_paid_payment().journal)[0]
    largest = Money(10**MAX_DIGITS - 1, Currency.USD)
    lines = (Line(account=Account.GATEWAY, amount=largest), Line(account=Account.ORGANIZER, amount=-largest))
    many = [attrs_evolve(charge, lines=lines)] * 11

    assert balances(many)[Account.GATEWAY, Currency.USD].minor == 11 * largest.minor


@given(st.lists(REFUNDS | FOUND, max_size=8))
def test_own_refunds_never_exceed_the_captured_amount_and_the_ledger_shows_those_of_the_dashboard(
    steps: list[tuple[str, RefundStatus | DisputeStatus, str]],
) -> None:
    builder = _returning()
    _live(builder, steps)
    payment = builder.payment
    gateway = balances(postings_of(builder.journal))[Account.GATEWAY, Currency.USD]

    assert gateway == payment.captured - payment.refunded
    beyond = gateway < usd("0")
    assert not beyond or any(refund.origin is ev.Origin.GATEWAY for refund in payment.refunds)


def test_a_late_payment_is_posted_like_any_other() -> None:
    builder = a_payment()
    builder.sees(an_intent(PaymentStatus.SUCCEEDED), alone=False)

    assert _holds(builder) == CHARGED
