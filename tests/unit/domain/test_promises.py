"""Promised amounts are owed until refunded, deferred refunds are sent once, and no refund exceeds the limit."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from booking_payments.domain import decisions as decide
from booking_payments.domain import events as ev
from booking_payments.domain.lifecycle import DisputeStatus, RefundStatus
from booking_payments.domain.refunds import Deferral, GivenBack
from tests.unit.domain.lives import NOW, PRICE, a_dispute, a_request, kinds, movements, usd
from tests.unit.domain.stories import ANYTHING, ENDS, HALF, TERMS, Story, Terms, tell

D = DisputeStatus
WON = a_dispute(D.WON, movements=movements("-100.00", "100.00"))


# --- anything may happen -------------------------------------------------------------------------------------------


@given(TERMS, ANYTHING)
@settings(max_examples=150)
def test_own_refunds_stay_within_the_limit_and_the_ledger_agrees_in_every_history(terms: Terms, steps: Any) -> None:
    story = Story(terms)
    tell(story, steps)

    assert story.payment.operation is None


@given(TERMS, ANYTHING, ANYTHING)
@settings(max_examples=150)
def test_a_late_payment_is_refunded_once_within_the_limit(terms: Terms, before: Any, after: Any) -> None:
    story = Story(terms, late=True)
    tell(story, [step for step in before if step[0] != "ask"])
    if decide.owes_late_refund(story.payment):
        story.happens(*decide.promise_late_money(story.payment, a_request(by=None), story.ids))
        story.ends("succeeded")
        story.sends()
        assert not decide.owes_late_refund(story.payment)
    tell(story, after)


@given(TERMS, ANYTHING, st.booleans(), ANYTHING)
@settings(max_examples=150)
def test_after_a_full_cancellation_everything_went_back_or_is_owed(
    terms: Terms, before: Any, started: bool, after: Any
) -> None:
    story = Story(terms)
    tell(story, [step for step in before if step[0] != "settle"])
    if started:
        story.starts()
    story.cancels(in_full=True)
    tell(story, [step for step in after if step[0] != "settle"])

    payment = story.payment
    gone = payment.given_back.amount + payment.taken_by_disputes
    less_than_a_step = story.money(terms.step)
    assert gone + payment.owed.amount + less_than_a_step > payment.captured


def test_a_full_cancellation_owes_a_refund_that_fails_after_refunds_in_the_dashboard() -> None:
    story = Story()
    story.asks(5_000)
    story.gives_back_elsewhere(5_000)
    story.cancels(in_full=True)
    story.fails_late(0)

    assert (story.payment.refunded, story.payment.owed.amount) == (usd("50.00"), usd("50.00"))


@pytest.mark.parametrize("again", [False, True], ids=["at once", "after one by policy"])
def test_a_cancellation_in_full_promises_refunds_of_the_dashboard_once_and_sends_nothing(again: bool) -> None:
    story = Story(Terms(tiers=(HALF,)))
    story.asks()
    if again:
        story.cancels(in_full=False)
    story.gives_back_elsewhere(5_000)
    facts = story.cancels(in_full=True)
    repeated = story.cancels(in_full=True)
    story.fails_late(1)

    assert (kinds(facts), repeated) == (["PromiseRaised"], ())
    assert (len(story.sent), story.payment.owed.amount) == (1, usd("50.00"))


def test_a_cancellation_by_policy_promises_of_a_dashboard_refund_what_the_policy_gives() -> None:
    story = Story(Terms(tiers=(HALF,)))
    story.gives_back_elsewhere(8_000)
    story.cancels(in_full=False)
    promised = story.payment.promised.amount
    story.fails_late()

    assert (promised, story.payment.owed.amount, story.sent) == (usd("50.00"), usd("50.00"), [])


def test_a_full_cancellation_after_a_request_beside_a_dispute_owes_the_amount_that_is_won_back() -> None:
    story = Story()
    story.bank(D.LOST, 3_000, (-100,))
    story.asks(7_000)
    story.gives_back_elsewhere(3_000)
    story.cancels(in_full=True)
    story.bank(D.WON, 3_000, (-100, 100))
    story.fails_late()

    assert (story.payment.refunded, story.payment.owed.amount) == (usd("30.00"), usd("70.00"))


@given(TERMS, ANYTHING, st.booleans(), ANYTHING)
@settings(max_examples=150)
def test_everything_is_owed_when_all_refunds_fail_after_a_full_cancellation(
    terms: Terms, before: Any, policy_first: bool, between: Any
) -> None:
    story = Story(terms)
    tell(story, [step for step in before if step[0] != "settle"])
    if policy_first:
        story.cancels(in_full=False)
    tell(story, [step for step in between if step[0] != "settle"])
    story.cancels(in_full=True)
    for refund in [each for each in story.payment.refunds if not each.status.is_lost and each.gateway_refund_id]:
        story.reports(refund.id, RefundStatus.FAILED)

    payment = story.payment
    gone = payment.given_back.amount + max(payment.taken_by_disputes, payment.beside)
    assert gone + payment.owed.amount + story.money(terms.step) > payment.captured


@given(TERMS, ANYTHING, ANYTHING)
@example(Terms(price=2), [("ask", 1, "never_sent", False, True)], [])
@settings(max_examples=150)
def test_deferred_refunds_are_sent_without_open_disputes_and_lost_calls(terms: Terms, before: Any, after: Any) -> None:
    story = Story(terms)
    tell(story, before)
    story.cancels(in_full=True)
    tell(story, after)
    for dispute in story.payment.disputes:
        over = dispute.amount.minor
        story.bank(D.UNKNOWN, over, (-100,), name=dispute.id)
        story.bank(D.WON, over, (-100, 100), name=dispute.id, refundable=True)
    story.stops_watching()
    story.sends()

    less_than_a_step = story.money(terms.step)  # a credit of a share may leave less than the gateway's step
    assert story.payment.refundable.deferred.amount < less_than_a_step
    assert story.payment.owed_waiting < less_than_a_step


@given(TERMS, ANYTHING, st.sampled_from(ENDS), st.booleans())
@settings(max_examples=150)
def test_a_booking_canceled_while_its_refund_is_in_flight_owes_everything_for_each_outcome(
    terms: Terms, before: Any, end: Any, unknown: bool
) -> None:
    story = Story(terms)
    tell(story, [step for step in before if step[0] not in ("settle", "bank")])
    story.asks(end="in flight", override=True)
    story.cancels(in_full=True)
    story.ends(end, unknown=unknown)
    story.sends()

    payment = story.payment
    assert payment.given_back.amount + payment.owed.amount + story.money(terms.step) > payment.captured


# --- a cancellation promises ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_full", [True, False], ids=["full", "policy"])
@pytest.mark.parametrize("status", [D.NEEDS_RESPONSE, D.UNDER_REVIEW, D.UNKNOWN])
def test_an_amount_held_by_a_chargeback_is_promised_and_sent_once_after_it_is_won(
    in_full: bool, status: DisputeStatus
) -> None:
    story = Story()
    story.bank(status, moved=(-100,))
    facts = story.cancels(in_full=in_full)
    waiting = story.payment.owed_waiting
    story.starts()
    story.bank(D.WON, moved=(-100,))
    before_it_is_back = list(story.sent)
    story.bank(D.WON, moved=(-100, 100))
    story.bank(D.WON, moved=(-100, 100))

    assert (kinds(facts), waiting) == (["RefundDeferred"], PRICE)
    assert before_it_is_back == []
    assert (len(story.sent), story.payment.refunded, story.payment.owed.amount) == (1, PRICE, usd("0"))


@pytest.mark.parametrize(
    ("share", "moved", "refunded"), [(100, (-100,), None), (30, (-100,), "70.00"), (30, (-100, 50), "85.00")]
)
@pytest.mark.parametrize("status", [D.LOST, D.PREVENTED])
def test_after_a_lost_dispute_only_the_rest_of_a_deferred_refund_is_sent(
    share: int, moved: Any, refunded: str | None, status: DisputeStatus
) -> None:
    story = Story()
    story.bank(D.NEEDS_RESPONSE, share * 100, (-100,))
    story.cancels(in_full=True)
    story.bank(status, share * 100, moved)

    assert len(story.sent) == (0 if refunded is None else 1)
    assert story.payment.refunded == (usd(refunded) if refunded else usd("0"))
    assert (story.payment.owed.amount, story.payment.refundable.deferred.amount) == (usd("0"), usd("0"))


def test_a_lost_dispute_over_a_part_leaves_the_rest_refundable() -> None:
    story = Story()
    story.bank(D.LOST, 2_000, (-100,))
    quote = decide.quote(story.payment, NOW, None)

    assert (quote.amount, quote.deferred_by) == (usd("80.00"), None)
    assert story.asks() is None
    assert story.payment.refunded == usd("80.00")


def test_an_amount_of_a_prevented_dispute_is_neither_quoted_nor_refunded_as_late() -> None:
    story = Story(late=True)
    story.bank(D.PREVENTED, moved=(-100,))

    assert decide.quote(story.payment, NOW, None).reason.code == "nothing_left"
    story.happens(*decide.promise_late_money(story.payment, a_request(by=None), story.ids))
    story.sends()
    assert (story.sent, story.payment.owed.amount) == ([], usd("0"))


@pytest.mark.parametrize("in_full", [True, False], ids=["full", "policy"])
def test_an_amount_withdrawn_before_the_cancellation_is_refunded_when_it_is_won_back(in_full: bool) -> None:
    story = Story()
    story.bank(D.LOST, moved=(-100,))
    facts = story.cancels(in_full=in_full)
    owed_before = story.payment.owed.amount
    story.bank(D.WON, moved=(-100, 100))

    assert (kinds(facts), owed_before) == (["RefundDeferred"], usd("0"))
    assert (story.payment.refunded, story.payment.owed.amount, len(story.sent)) == (PRICE, usd("0"), 1)


def test_a_cancellation_after_a_lost_dispute_sends_the_rest_and_promises_the_whole_with_its_fee_at_once() -> None:
    story = Story()
    story.bank(D.LOST, 3_000, (-100,))
    facts = story.cancels(in_full=True)

    assert kinds(facts) == ["RefundRequested", "OperationIntended", "RefundDeferred"]
    assert story.payment.promised == GivenBack(amount=PRICE, fee=usd("3.00"))
    assert (story.payment.refunded, story.payment.fee_returned) == (usd("70.00"), usd("2.10"))
    assert story.payment.owed == GivenBack.zero(PRICE)


@pytest.mark.parametrize("end", ["refused", "failed", "never_sent"])
@pytest.mark.parametrize("in_full", [True, False], ids=["full", "policy"])
def test_a_refund_in_flight_that_fails_stays_owed_when_the_booking_was_canceled_meanwhile(
    end: Any, in_full: bool
) -> None:
    story = Story()
    story.asks(8_000, "in flight")
    facts = story.cancels(in_full=in_full)
    story.ends(end)
    story.sends()

    assert kinds(facts) == ["PromiseConfirmed", "RefundDeferred"]
    assert story.payment.given_back.amount + story.payment.owed.amount == PRICE


def test_a_cancellation_without_a_refund_does_not_confirm_a_refund_in_flight() -> None:
    story = Story()
    story.asks(8_000, "in flight")
    story.happens(ev.BookingReleased(status="canceled"))
    story.ends("refused")

    assert story.payment.owed.amount == usd("0")


# --- a failed refund -----------------------------------------------------------------------------------------------


def half_that_bounced() -> Story:
    """Return a payment with a refund of 50.00, under a tier of 50 %, that the bank returned a week later."""
    story = Story(Terms(tiers=(HALF,)))
    story.asks()
    story.starts()
    story.fails_late()
    return story


def test_a_refund_returned_after_the_event_started_is_owed_and_not_repeated() -> None:
    story = half_that_bounced()
    story.sends()

    assert (story.payment.owed.amount, story.payment.owed_waiting, len(story.sent)) == (usd("50.00"), usd("0"), 1)


def test_an_operator_may_request_a_returned_refund_again_for_the_same_amount() -> None:
    story = half_that_bounced()

    assert story.asks(5_001) == "exceeds_refundable"
    assert story.asks() is None
    assert (story.payment.refunded, story.asks()) == (usd("50.00"), "event_started")


@pytest.mark.parametrize(("in_full", "refunded"), [(False, "50.00"), (True, "100.00")])
def test_a_cancellation_after_a_returned_refund_gives_the_promised_amount_or_everything(
    in_full: bool, refunded: str
) -> None:
    story = half_that_bounced()
    story.cancels(in_full=in_full)

    assert (story.payment.refunded, story.payment.owed.amount) == (usd(refunded), usd("0"))


def test_an_amount_paid_elsewhere_is_not_owed_and_its_deferred_refund_is_dropped() -> None:
    story = Story()
    story.bank(D.NEEDS_RESPONSE, moved=(-100,))
    story.cancels(in_full=True)
    story.settles_debt(4_000)
    owed = story.payment.owed.amount
    story.settles_debt(10_000)
    story.bank(D.WON, moved=(-100, 100))

    assert (owed, story.payment.owed.amount, story.sent) == (usd("60.00"), usd("0"), [])


def test_a_part_paid_elsewhere_is_not_sent_when_the_obstacle_is_gone() -> None:
    story = Story()
    story.bank(D.NEEDS_RESPONSE, moved=(-100,))
    story.cancels(in_full=True)
    story.settles_debt(4_000)
    story.bank(D.WON, moved=(-100, 100))

    assert (story.payment.refunded, story.payment.owed.amount) == (usd("60.00"), usd("0"))


def test_a_deferred_refund_is_reduced_by_refunds_in_the_dashboard() -> None:
    story = Story()
    story.bank(D.WARNING_NEEDS_RESPONSE, refundable=False)
    story.cancels(in_full=True)
    story.gives_back_elsewhere(4_000)
    story.bank(D.WARNING_CLOSED)

    assert (story.payment.refunded, [str(each.amount) for each in story.payment.refunds]) == (
        PRICE,
        ["40.00 usd", "60.00 usd"],
    )


def test_a_partial_refund_with_a_watched_call_is_sent_again_after_the_watch() -> None:
    story = Story()
    story.asks(4_000, "in flight")
    story.ends("never_sent", unknown=True)
    story.cancels(in_full=True)
    story.sends()
    meanwhile = (len(story.sent), story.payment.refunded, story.payment.owed_waiting)
    story.stops_watching()
    story.sends()

    assert meanwhile == (2, usd("60.00"), usd("40.00"))
    assert (len(story.sent), story.payment.refunded, story.payment.owed.amount) == (3, PRICE, usd("0"))


@pytest.mark.parametrize("end", ["never_sent", "charge_disputed"])
def test_a_deferred_refund_keeps_its_id_and_is_sent_again_only_if_it_was_never_sent(end: Any) -> None:
    story = Story()
    story.bank(D.NEEDS_RESPONSE, moved=(-100,))
    story.cancels(in_full=True)
    story.happens(*decide.observe_dispute(story.payment, WON))
    story.happens(*decide.send_deferred(story.payment, story.ids, None))
    story.ends(end)
    waiting = [each.id for each in story.payment.deferred]
    story.sends()

    assert waiting == [story.sent[0]]
    assert story.sent == [story.sent[0]] * 2
    assert [(each.id, each.status) for each in story.payment.refunds] == [(story.sent[0], RefundStatus.SUCCEEDED)]


def test_a_refused_deferred_refund_is_owed_and_not_sent_again() -> None:
    story = Story()
    story.bank(D.NEEDS_RESPONSE, moved=(-100,))
    story.cancels(in_full=True)
    story.happens(*decide.observe_dispute(story.payment, WON))
    story.happens(*decide.send_deferred(story.payment, story.ids, None))
    story.ends("refused")
    story.sends()

    assert (len(story.sent), story.payment.deferred) == (1, ())
    assert (story.payment.owed.amount, story.payment.owed_waiting) == (PRICE, usd("0"))


# --- inquiries -----------------------------------------------------------------------------------------------------

INQUIRIES = [D.WARNING_NEEDS_RESPONSE, D.WARNING_UNDER_REVIEW]


@pytest.mark.parametrize("status", INQUIRIES)
@pytest.mark.parametrize("refundable", [None, True])
def test_during_an_inquiry_a_refund_of_everything_left_is_sent(status: DisputeStatus, refundable: bool | None) -> None:
    story = Story()
    story.asks(2_500)
    story.bank(status, refundable=refundable)

    assert decide.quote(story.payment, NOW, None).deferred_by is None
    assert story.asks() is None
    assert (story.payment.refunded, story.payment.deferred) == (PRICE, ())


@pytest.mark.parametrize("status", INQUIRIES)
def test_during_an_inquiry_a_partial_refund_is_deferred(status: DisputeStatus) -> None:
    story = Story()
    story.bank(status)

    assert decide.quote(story.payment, NOW, usd("40.00")).deferred_by is Deferral.INQUIRY
    assert story.asks(4_000) is None
    waiting = (list(story.sent), story.payment.owed.amount, story.payment.owed_waiting)
    story.starts()
    story.bank(D.WARNING_CLOSED)

    assert waiting == ([], usd("40.00"), usd("40.00"))
    assert (len(story.sent), story.payment.refunded, story.payment.owed.amount) == (1, usd("40.00"), usd("0"))


def test_a_deferred_part_is_sent_with_the_rest_when_together_they_are_everything() -> None:
    story = Story()
    story.bank(D.WARNING_NEEDS_RESPONSE)
    story.asks(4_000)
    story.asks(6_000)
    story.sends()

    assert (story.payment.refunded, story.payment.owed.amount, len(story.sent)) == (PRICE, usd("0"), 2)


@pytest.mark.parametrize("tiers", [(), (HALF,)], ids=["everything", "half"])
def test_a_cancellation_by_policy_during_an_inquiry_sends_everything_and_defers_a_part(tiers: Any) -> None:
    story = Story(Terms(tiers=tiers))
    story.bank(D.WARNING_NEEDS_RESPONSE)
    story.cancels(in_full=False)

    assert (story.payment.refunded, story.payment.owed_waiting) == (
        (usd("0"), usd("50.00")) if tiers else (PRICE, usd("0"))
    )


def test_an_override_sends_a_part_during_an_inquiry_and_its_quote_names_the_overridden_rule() -> None:
    story = Story()
    story.bank(D.WARNING_NEEDS_RESPONSE)
    quote = decide.quote(story.payment, NOW, usd("40.00"), override=True)

    assert (quote.deferred_by, quote.overrides) == (None, ("inquiry",))
    assert story.asks(4_000, override=True) is None
    assert (story.payment.refunded, story.payment.deferred) == (usd("40.00"), ())


def test_an_override_does_not_send_a_refund_that_the_gateway_refuses() -> None:
    story = Story()
    story.bank(D.WARNING_NEEDS_RESPONSE, refundable=False)

    assert story.asks(4_000, override=True) is None
    assert (story.sent, [each.why for each in story.payment.deferred]) == ([], [Deferral.DISPUTE])


def test_a_part_deferred_by_an_inquiry_stays_deferred_during_the_chargeback() -> None:
    story = Story()
    story.bank(D.WARNING_NEEDS_RESPONSE)
    story.asks(4_000)
    story.bank(D.NEEDS_RESPONSE, moved=(-100,))
    waiting = story.payment.owed_waiting
    story.bank(D.LOST, moved=(-100,))

    assert (waiting, story.sent) == (usd("40.00"), [])
    assert (story.payment.owed.amount, story.payment.refundable.deferred.amount) == (usd("0"), usd("0"))


def test_a_chargeback_after_a_full_refund_is_recorded_with_one_alert() -> None:
    story = Story()
    story.bank(D.WARNING_NEEDS_RESPONSE)
    story.asks()
    for status in (D.NEEDS_RESPONSE, D.UNDER_REVIEW, D.LOST):
        story.bank(status, moved=(-100,))

    assert [drift.code for drift in story.payment.drifts] == ["paid_out_beyond_captured"]
    assert (story.payment.refunded, story.payment.withdrawn, story.payment.owed.amount) == (PRICE, PRICE, usd("0"))


# --- overrides -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("started", "minor", "overrides"),
    [
        (False, 5_000, ()),
        (False, 5_001, ("tier",)),
        (False, 10_000, ("tier",)),
        (True, 1, ("event_started",)),
        (True, 10_000, ("event_started",)),
    ],
)
def test_the_quote_of_an_override_names_the_overridden_rules(
    started: bool, minor: int, overrides: tuple[str, ...]
) -> None:
    story = Story(Terms(tiers=(HALF,)))
    if started:
        story.starts()
    quote = decide.quote(story.payment, story.now, story.money(minor), override=True)

    assert (quote.reason.code, quote.overrides) == ("overridden", overrides)
    assert story.asks(minor, override=True) is None
    assert story.payment.refunded == story.money(minor)


def test_an_override_does_not_exceed_the_limit() -> None:
    story = Story()
    story.bank(D.LOST, 3_000, (-100,))
    story.starts()

    assert story.asks(7_001, override=True) == "exceeds_refundable"
    assert story.asks(7_000, override=True) is None
    assert story.asks(override=True) == "nothing_left"


# --- several disputes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocking", ["du_1", "du_2"])
def test_one_blocking_dispute_defers_every_refund(blocking: str) -> None:
    story = Story()
    for name in ("du_1", "du_2"):
        story.bank(D.WON, 1_000, (-100, 100), name=name, refundable=name != blocking)

    assert story.asks() is None
    waiting = (list(story.sent), story.payment.owed.amount)
    story.bank(D.WON, 1_000, (-100, 100), name=blocking, refundable=True)

    assert waiting == ([], PRICE)
    assert story.payment.refunded == PRICE


def test_during_a_partial_chargeback_the_unclaimed_amount_can_be_refunded_if_the_gateway_allows_it() -> None:
    story = Story()
    story.bank(D.NEEDS_RESPONSE, 3_000, (-100,), refundable=True)
    story.cancels(in_full=True)
    now = (story.payment.refunded, story.payment.owed.amount, story.payment.owed_waiting)
    story.bank(D.WON, 3_000, (-100, 100), refundable=True)

    assert now == (usd("70.00"), usd("30.00"), usd("30.00"))
    assert (story.payment.refunded, len(story.sent)) == (PRICE, 2)
