"""Promised amounts are owed until refunded, deferred refunds are sent once, and no refund exceeds the limit."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from booking_payments.domain import decisions as decide
from booking_payments.domain import events as ev
from booking_payments.domain.lifecycle import DisputeStatus, RefundStatus
from booking_payments.domain.refunds import Deferral, GivenBack
from tests.nightly import examples
from tests.unit.domain.builders import NOW, PRICE, a_dispute, a_request, kinds, movements, usd
from tests.unit.domain.refund_histories import ANYTHING, CONFIGS, ENDS, HALF, ChargeConfig, RefundHistory, tell

D = DisputeStatus
WON = a_dispute(D.WON, movements=movements("-100.00", "100.00"))


# --- anything may happen -------------------------------------------------------------------------------------------


@given(CONFIGS, ANYTHING)
@settings(max_examples=examples(150))
def test_own_refunds_stay_within_the_limit_and_the_ledger_agrees(config: ChargeConfig, steps: Any) -> None:
    history = RefundHistory(config)
    tell(history, steps)

    assert history.payment.operation is None


@given(CONFIGS, ANYTHING, ANYTHING)
@settings(max_examples=examples(150))
def test_a_late_payment_is_refunded_once_within_the_limit(config: ChargeConfig, before: Any, after: Any) -> None:
    history = RefundHistory(config, late=True)
    tell(history, [step for step in before if step[0] != "ask"])
    if decide.owes_late_refund(history.payment):
        history.happens(*decide.promise_late_money(history.payment, a_request(by=None), history.ids))
        history.ends("succeeded")
        history.sends()
        assert not decide.owes_late_refund(history.payment)
    tell(history, after)


@given(CONFIGS, ANYTHING, st.booleans(), ANYTHING)
@settings(max_examples=examples(150))
def test_after_a_full_cancellation_everything_went_back_or_is_owed(
    config: ChargeConfig, before: Any, started: bool, after: Any
) -> None:
    history = RefundHistory(config)
    tell(history, [step for step in before if step[0] != "settle"])
    if started:
        history.starts()
    history.cancels(in_full=True)
    tell(history, [step for step in after if step[0] != "settle"])

    payment = history.payment
    gone = payment.given_back.amount + payment.taken_by_disputes
    less_than_a_step = history.money(config.step)
    assert gone + payment.owed.amount + less_than_a_step > payment.captured


def test_a_full_cancellation_owes_a_refund_that_fails_after_refunds_in_the_dashboard() -> None:
    history = RefundHistory()
    history.asks(5_000)
    history.gives_back_elsewhere(5_000)
    history.cancels(in_full=True)
    history.fails_late(0)

    assert (history.payment.refunded, history.payment.owed.amount) == (usd("50.00"), usd("50.00"))


@pytest.mark.parametrize("again", [False, True], ids=["at once", "after one by policy"])
def test_a_cancellation_in_full_promises_refunds_of_the_dashboard_once_and_sends_nothing(again: bool) -> None:
    history = RefundHistory(ChargeConfig(tiers=(HALF,)))
    history.asks()
    if again:
        history.cancels(in_full=False)
    history.gives_back_elsewhere(5_000)
    events = history.cancels(in_full=True)
    repeated = history.cancels(in_full=True)
    history.fails_late(1)

    assert (kinds(events), repeated) == (["PromiseRaised"], ())
    assert (len(history.sent), history.payment.owed.amount) == (1, usd("50.00"))


def test_a_cancellation_by_policy_promises_of_a_dashboard_refund_what_the_policy_gives() -> None:
    history = RefundHistory(ChargeConfig(tiers=(HALF,)))
    history.gives_back_elsewhere(8_000)
    history.cancels(in_full=False)
    promised = history.payment.promised.amount
    history.fails_late()

    assert (promised, history.payment.owed.amount, history.sent) == (usd("50.00"), usd("50.00"), [])


def test_a_full_cancellation_after_a_request_beside_a_dispute_owes_the_amount_that_is_won_back() -> None:
    history = RefundHistory()
    history.bank(D.LOST, 3_000, (-100,))
    history.asks(7_000)
    history.gives_back_elsewhere(3_000)
    history.cancels(in_full=True)
    history.bank(D.WON, 3_000, (-100, 100))
    history.fails_late()

    assert (history.payment.refunded, history.payment.owed.amount) == (usd("30.00"), usd("70.00"))


@given(CONFIGS, ANYTHING, st.booleans(), ANYTHING)
@settings(max_examples=examples(150))
def test_everything_is_owed_when_all_refunds_fail_after_a_full_cancellation(
    config: ChargeConfig, before: Any, policy_first: bool, between: Any
) -> None:
    history = RefundHistory(config)
    tell(history, [step for step in before if step[0] != "settle"])
    if policy_first:
        history.cancels(in_full=False)
    tell(history, [step for step in between if step[0] != "settle"])
    history.cancels(in_full=True)
    for refund in [each for each in history.payment.refunds if not each.status.is_lost and each.gateway_refund_id]:
        history.reports(refund.id, RefundStatus.FAILED)

    payment = history.payment
    gone = payment.given_back.amount + max(payment.taken_by_disputes, payment.beside)
    assert gone + payment.owed.amount + history.money(config.step) > payment.captured


@given(CONFIGS, ANYTHING, ANYTHING)
@example(ChargeConfig(price=2), [("ask", 1, "never_sent", False, True)], [])
@settings(max_examples=examples(150))
def test_deferred_refunds_are_sent_without_disputes_and_lost_calls(
    config: ChargeConfig, before: Any, after: Any
) -> None:
    history = RefundHistory(config)
    tell(history, before)
    history.cancels(in_full=True)
    tell(history, after)
    for dispute in history.payment.disputes:
        over = dispute.amount.minor
        history.bank(D.UNKNOWN, over, (-100,), name=dispute.id)
        history.bank(D.WON, over, (-100, 100), name=dispute.id, refundable=True)
    history.stops_watching()
    history.sends()

    less_than_a_step = history.money(config.step)  # a credit of a share may leave less than the gateway's step
    assert history.payment.refundable.deferred.amount < less_than_a_step
    assert history.payment.owed_waiting < less_than_a_step


@given(CONFIGS, ANYTHING, st.sampled_from(ENDS), st.booleans())
@settings(max_examples=examples(150))
def test_a_booking_canceled_while_its_refund_is_in_flight_owes_everything_for_each_outcome(
    config: ChargeConfig, before: Any, end: Any, unknown: bool
) -> None:
    history = RefundHistory(config)
    tell(history, [step for step in before if step[0] not in ("settle", "bank")])
    history.asks(end="in flight", override=True)
    history.cancels(in_full=True)
    history.ends(end, unknown=unknown)
    history.sends()

    payment = history.payment
    assert payment.given_back.amount + payment.owed.amount + history.money(config.step) > payment.captured


# --- a cancellation promises ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_full", [True, False], ids=["full", "policy"])
@pytest.mark.parametrize("status", [D.NEEDS_RESPONSE, D.UNDER_REVIEW, D.UNKNOWN])
def test_an_amount_held_by_a_chargeback_is_promised_and_sent_once_after_it_is_won(
    in_full: bool, status: DisputeStatus
) -> None:
    history = RefundHistory()
    history.bank(status, moved=(-100,))
    events = history.cancels(in_full=in_full)
    waiting = history.payment.owed_waiting
    history.starts()
    history.bank(D.WON, moved=(-100,))
    before_it_is_back = list(history.sent)
    history.bank(D.WON, moved=(-100, 100))
    history.bank(D.WON, moved=(-100, 100))

    assert (kinds(events), waiting) == (["RefundDeferred"], PRICE)
    assert before_it_is_back == []
    assert (len(history.sent), history.payment.refunded, history.payment.owed.amount) == (1, PRICE, usd("0"))


@pytest.mark.parametrize(
    ("share", "moved", "refunded"), [(100, (-100,), None), (30, (-100,), "70.00"), (30, (-100, 50), "85.00")]
)
@pytest.mark.parametrize("status", [D.LOST, D.PREVENTED])
def test_after_a_lost_dispute_only_the_rest_of_a_deferred_refund_is_sent(
    share: int, moved: Any, refunded: str | None, status: DisputeStatus
) -> None:
    history = RefundHistory()
    history.bank(D.NEEDS_RESPONSE, share * 100, (-100,))
    history.cancels(in_full=True)
    history.bank(status, share * 100, moved)

    assert len(history.sent) == (0 if refunded is None else 1)
    assert history.payment.refunded == (usd(refunded) if refunded else usd("0"))
    assert (history.payment.owed.amount, history.payment.refundable.deferred.amount) == (usd("0"), usd("0"))


def test_a_lost_dispute_over_a_part_leaves_the_rest_refundable() -> None:
    history = RefundHistory()
    history.bank(D.LOST, 2_000, (-100,))
    quote = decide.quote(history.payment, NOW, None)

    assert (quote.amount, quote.deferred_by) == (usd("80.00"), None)
    assert history.asks() is None
    assert history.payment.refunded == usd("80.00")


def test_an_amount_of_a_prevented_dispute_is_neither_quoted_nor_refunded_as_late() -> None:
    history = RefundHistory(late=True)
    history.bank(D.PREVENTED, moved=(-100,))

    assert decide.quote(history.payment, NOW, None).reason.code == "nothing_left"
    history.happens(*decide.promise_late_money(history.payment, a_request(by=None), history.ids))
    history.sends()
    assert (history.sent, history.payment.owed.amount) == ([], usd("0"))


@pytest.mark.parametrize("in_full", [True, False], ids=["full", "policy"])
def test_an_amount_withdrawn_before_the_cancellation_is_refunded_when_it_is_won_back(in_full: bool) -> None:
    history = RefundHistory()
    history.bank(D.LOST, moved=(-100,))
    events = history.cancels(in_full=in_full)
    owed_before = history.payment.owed.amount
    history.bank(D.WON, moved=(-100, 100))

    assert (kinds(events), owed_before) == (["RefundDeferred"], usd("0"))
    assert (history.payment.refunded, history.payment.owed.amount, len(history.sent)) == (PRICE, usd("0"), 1)


def test_a_cancellation_after_a_lost_dispute_sends_the_rest_and_promises_the_whole_with_its_fee_at_once() -> None:
    history = RefundHistory()
    history.bank(D.LOST, 3_000, (-100,))
    events = history.cancels(in_full=True)

    assert kinds(events) == ["RefundRequested", "OperationIntended", "RefundDeferred"]
    assert history.payment.promised == GivenBack(amount=PRICE, fee=usd("3.00"))
    assert (history.payment.refunded, history.payment.fee_returned) == (usd("70.00"), usd("2.10"))
    assert history.payment.owed == GivenBack.zero(PRICE)


@pytest.mark.parametrize("end", ["refused", "failed", "never_sent"])
@pytest.mark.parametrize("in_full", [True, False], ids=["full", "policy"])
def test_a_refund_in_flight_that_fails_stays_owed_when_the_booking_was_canceled_meanwhile(
    end: Any, in_full: bool
) -> None:
    history = RefundHistory()
    history.asks(8_000, "in flight")
    events = history.cancels(in_full=in_full)
    history.ends(end)
    history.sends()

    assert kinds(events) == ["PromiseConfirmed", "RefundDeferred"]
    assert history.payment.given_back.amount + history.payment.owed.amount == PRICE


def test_a_cancellation_without_a_refund_does_not_confirm_a_refund_in_flight() -> None:
    history = RefundHistory()
    history.asks(8_000, "in flight")
    history.happens(ev.BookingReleased(status="canceled"))
    history.ends("refused")

    assert history.payment.owed.amount == usd("0")


# --- a failed refund -----------------------------------------------------------------------------------------------


def half_that_bounced() -> RefundHistory:
    """Return a payment with a refund of 50.00, under a tier of 50 %, that the bank returned a week later."""
    history = RefundHistory(ChargeConfig(tiers=(HALF,)))
    history.asks()
    history.starts()
    history.fails_late()
    return history


def test_a_refund_returned_after_the_event_started_is_owed_and_not_repeated() -> None:
    history = half_that_bounced()
    history.sends()

    assert (history.payment.owed.amount, history.payment.owed_waiting, len(history.sent)) == (usd("50.00"), usd("0"), 1)


def test_an_operator_may_request_a_returned_refund_again_for_the_same_amount() -> None:
    history = half_that_bounced()

    assert history.asks(5_001) == "exceeds_refundable"
    assert history.asks() is None
    assert (history.payment.refunded, history.asks()) == (usd("50.00"), "event_started")


@pytest.mark.parametrize(("in_full", "refunded"), [(False, "50.00"), (True, "100.00")])
def test_a_cancellation_after_a_returned_refund_gives_the_promised_amount_or_everything(
    in_full: bool, refunded: str
) -> None:
    history = half_that_bounced()
    history.cancels(in_full=in_full)

    assert (history.payment.refunded, history.payment.owed.amount) == (usd(refunded), usd("0"))


def test_an_amount_paid_elsewhere_is_not_owed_and_its_deferred_refund_is_dropped() -> None:
    history = RefundHistory()
    history.bank(D.NEEDS_RESPONSE, moved=(-100,))
    history.cancels(in_full=True)
    history.settles_debt(4_000)
    owed = history.payment.owed.amount
    history.settles_debt(10_000)
    history.bank(D.WON, moved=(-100, 100))

    assert (owed, history.payment.owed.amount, history.sent) == (usd("60.00"), usd("0"), [])


def test_a_part_paid_elsewhere_is_not_sent_when_the_obstacle_is_gone() -> None:
    history = RefundHistory()
    history.bank(D.NEEDS_RESPONSE, moved=(-100,))
    history.cancels(in_full=True)
    history.settles_debt(4_000)
    history.bank(D.WON, moved=(-100, 100))

    assert (history.payment.refunded, history.payment.owed.amount) == (usd("60.00"), usd("0"))


def test_a_deferred_refund_is_reduced_by_refunds_in_the_dashboard() -> None:
    history = RefundHistory()
    history.bank(D.WARNING_NEEDS_RESPONSE, refundable=False)
    history.cancels(in_full=True)
    history.gives_back_elsewhere(4_000)
    history.bank(D.WARNING_CLOSED)

    assert (history.payment.refunded, [str(each.amount) for each in history.payment.refunds]) == (
        PRICE,
        ["40.00 usd", "60.00 usd"],
    )


def test_a_partial_refund_with_a_watched_call_is_sent_again_after_the_watch() -> None:
    history = RefundHistory()
    history.asks(4_000, "in flight")
    history.ends("never_sent", unknown=True)
    history.cancels(in_full=True)
    history.sends()
    meanwhile = (len(history.sent), history.payment.refunded, history.payment.owed_waiting)
    history.stops_watching()
    history.sends()

    assert meanwhile == (2, usd("60.00"), usd("40.00"))
    assert (len(history.sent), history.payment.refunded, history.payment.owed.amount) == (3, PRICE, usd("0"))


@pytest.mark.parametrize("end", ["never_sent", "charge_disputed"])
def test_a_deferred_refund_keeps_its_id_and_is_sent_again_only_if_it_was_never_sent(end: Any) -> None:
    history = RefundHistory()
    history.bank(D.NEEDS_RESPONSE, moved=(-100,))
    history.cancels(in_full=True)
    history.happens(*decide.observe_dispute(history.payment, WON))
    history.happens(*decide.send_deferred(history.payment, history.ids, None))
    history.ends(end)
    waiting = [each.id for each in history.payment.deferred]
    history.sends()

    assert waiting == [history.sent[0]]
    assert history.sent == [history.sent[0]] * 2
    assert [(each.id, each.status) for each in history.payment.refunds] == [(history.sent[0], RefundStatus.SUCCEEDED)]


def test_a_refused_deferred_refund_is_owed_and_not_sent_again() -> None:
    history = RefundHistory()
    history.bank(D.NEEDS_RESPONSE, moved=(-100,))
    history.cancels(in_full=True)
    history.happens(*decide.observe_dispute(history.payment, WON))
    history.happens(*decide.send_deferred(history.payment, history.ids, None))
    history.ends("refused")
    history.sends()

    assert (len(history.sent), history.payment.deferred) == (1, ())
    assert (history.payment.owed.amount, history.payment.owed_waiting) == (PRICE, usd("0"))


# --- inquiries -----------------------------------------------------------------------------------------------------

INQUIRIES = [D.WARNING_NEEDS_RESPONSE, D.WARNING_UNDER_REVIEW]


@pytest.mark.parametrize("status", INQUIRIES)
@pytest.mark.parametrize("refundable", [None, True])
def test_during_an_inquiry_a_refund_of_everything_left_is_sent(status: DisputeStatus, refundable: bool | None) -> None:
    history = RefundHistory()
    history.asks(2_500)
    history.bank(status, refundable=refundable)

    assert decide.quote(history.payment, NOW, None).deferred_by is None
    assert history.asks() is None
    assert (history.payment.refunded, history.payment.deferred) == (PRICE, ())


@pytest.mark.parametrize("status", INQUIRIES)
def test_during_an_inquiry_a_partial_refund_is_deferred(status: DisputeStatus) -> None:
    history = RefundHistory()
    history.bank(status)

    assert decide.quote(history.payment, NOW, usd("40.00")).deferred_by is Deferral.INQUIRY
    assert history.asks(4_000) is None
    waiting = (list(history.sent), history.payment.owed.amount, history.payment.owed_waiting)
    history.starts()
    history.bank(D.WARNING_CLOSED)

    assert waiting == ([], usd("40.00"), usd("40.00"))
    assert (len(history.sent), history.payment.refunded, history.payment.owed.amount) == (1, usd("40.00"), usd("0"))


def test_a_deferred_part_is_sent_with_the_rest_when_together_they_are_everything() -> None:
    history = RefundHistory()
    history.bank(D.WARNING_NEEDS_RESPONSE)
    history.asks(4_000)
    history.asks(6_000)
    history.sends()

    assert (history.payment.refunded, history.payment.owed.amount, len(history.sent)) == (PRICE, usd("0"), 2)


@pytest.mark.parametrize("tiers", [(), (HALF,)], ids=["everything", "half"])
def test_a_cancellation_by_policy_during_an_inquiry_sends_everything_and_defers_a_part(tiers: Any) -> None:
    history = RefundHistory(ChargeConfig(tiers=tiers))
    history.bank(D.WARNING_NEEDS_RESPONSE)
    history.cancels(in_full=False)

    assert (history.payment.refunded, history.payment.owed_waiting) == (
        (usd("0"), usd("50.00")) if tiers else (PRICE, usd("0"))
    )


def test_an_override_sends_a_part_during_an_inquiry_and_its_quote_names_the_overridden_rule() -> None:
    history = RefundHistory()
    history.bank(D.WARNING_NEEDS_RESPONSE)
    quote = decide.quote(history.payment, NOW, usd("40.00"), override=True)

    assert (quote.deferred_by, quote.overrides) == (None, ("inquiry",))
    assert history.asks(4_000, override=True) is None
    assert (history.payment.refunded, history.payment.deferred) == (usd("40.00"), ())


def test_an_override_does_not_send_a_refund_that_the_gateway_refuses() -> None:
    history = RefundHistory()
    history.bank(D.WARNING_NEEDS_RESPONSE, refundable=False)

    assert history.asks(4_000, override=True) is None
    assert (history.sent, [each.why for each in history.payment.deferred]) == ([], [Deferral.DISPUTE])


def test_a_part_deferred_by_an_inquiry_stays_deferred_during_the_chargeback() -> None:
    history = RefundHistory()
    history.bank(D.WARNING_NEEDS_RESPONSE)
    history.asks(4_000)
    history.bank(D.NEEDS_RESPONSE, moved=(-100,))
    waiting = history.payment.owed_waiting
    history.bank(D.LOST, moved=(-100,))

    assert (waiting, history.sent) == (usd("40.00"), [])
    assert (history.payment.owed.amount, history.payment.refundable.deferred.amount) == (usd("0"), usd("0"))


def test_a_chargeback_after_a_full_refund_is_recorded_with_one_alert() -> None:
    history = RefundHistory()
    history.bank(D.WARNING_NEEDS_RESPONSE)
    history.asks()
    for status in (D.NEEDS_RESPONSE, D.UNDER_REVIEW, D.LOST):
        history.bank(status, moved=(-100,))

    assert [drift.code for drift in history.payment.drifts] == ["paid_out_beyond_captured"]
    assert (history.payment.refunded, history.payment.withdrawn, history.payment.owed.amount) == (
        PRICE,
        PRICE,
        usd("0"),
    )


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
    history = RefundHistory(ChargeConfig(tiers=(HALF,)))
    if started:
        history.starts()
    quote = decide.quote(history.payment, history.now, history.money(minor), override=True)

    assert (quote.reason.code, quote.overrides) == ("overridden", overrides)
    assert history.asks(minor, override=True) is None
    assert history.payment.refunded == history.money(minor)


def test_an_override_does_not_exceed_the_limit() -> None:
    history = RefundHistory()
    history.bank(D.LOST, 3_000, (-100,))
    history.starts()

    assert history.asks(7_001, override=True) == "exceeds_refundable"
    assert history.asks(7_000, override=True) is None
    assert history.asks(override=True) == "nothing_left"


# --- several disputes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocking", ["du_1", "du_2"])
def test_one_blocking_dispute_defers_every_refund(blocking: str) -> None:
    history = RefundHistory()
    for name in ("du_1", "du_2"):
        history.bank(D.WON, 1_000, (-100, 100), name=name, refundable=name != blocking)

    assert history.asks() is None
    waiting = (list(history.sent), history.payment.owed.amount)
    history.bank(D.WON, 1_000, (-100, 100), name=blocking, refundable=True)

    assert waiting == ([], PRICE)
    assert history.payment.refunded == PRICE


def test_during_a_partial_chargeback_the_unclaimed_amount_can_be_refunded_if_the_gateway_allows_it() -> None:
    history = RefundHistory()
    history.bank(D.NEEDS_RESPONSE, 3_000, (-100,), refundable=True)
    history.cancels(in_full=True)
    now = (history.payment.refunded, history.payment.owed.amount, history.payment.owed_waiting)
    history.bank(D.WON, 3_000, (-100, 100), refundable=True)

    assert now == (usd("70.00"), usd("30.00"), usd("30.00"))
    assert (history.payment.refunded, len(history.sent)) == (PRICE, 2)
