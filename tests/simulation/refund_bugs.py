"""Bugs planted in the rules of refunds, disputes and fees, each with the history that finds it.

Like those of ``bugs``, none is in the product's code; here a word of ``refund_histories`` finds each, so that it is
known which rule sees it.
"""

import inspect
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import attrs
import pytest
from attrs import frozen

from booking_payments.domain import decisions
from booking_payments.domain import events as ev
from booking_payments.domain import payment as payment_module
from booking_payments.domain.decisions import closing, obligations, observe_disputes
from booking_payments.domain.disputes import withdrawn_by
from booking_payments.domain.fees import FeeOnRefund, FeePayer
from booking_payments.domain.lifecycle import DisputeStatus, RefundStatus
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Dispute, Payment, Refund
from booking_payments.domain.refunds import Deferral, GivenBack, Refundable
from booking_payments.domain.reports import DisputeReport, RefundReport
from tests.simulation.refund_histories import Setting

Patch = pytest.MonkeyPatch
Events = tuple[ev.Event, ...]


@frozen
class RefundBug:
    """A planted bug: its description, the function that plants it, the word that finds it, and the setting."""

    wrong: str
    plant: Callable[[Patch], None]
    word: tuple[str, ...]
    setting: Setting


REFUND_BUGS: Final[dict[str, RefundBug]] = {}

IN_DOLLARS: Final = Setting()
IN_EUROS: Final = Setting(settles="eur")
RETURNED: Final = Setting(fee=FeeOnRefund.RETURNED)
ON_TOP: Final = Setting(payer=FeePayer.CUSTOMER, fee=FeeOnRefund.RETURNED)


def _bug(
    wrong: str, *word: str, setting: Setting = IN_DOLLARS
) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    def register(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
        REFUND_BUGS[plant.__name__] = RefundBug(wrong, plant, word, setting)
        return plant

    return register


def _nothing(*_: Any, **__: Any) -> Events:
    return ()


def _none(of: Money) -> Money:
    return Money.zero(of.currency)


def _zero(payment: Any) -> Money:
    return Money.zero(payment.captured.currency)


def _computed(of: type, name: str) -> Callable[[Any], Any]:
    """The function of a cached property: attrs keeps it beside the class, whose slot holds the value."""
    found: Callable[[Any], Any] = vars(of)["__getattr__"].__globals__["cached_properties"][name]
    return found


def _property(patch: Patch, of: type, name: str, change: Callable[[Any, Any], Any]) -> None:
    """Have a property give what ``change`` makes of the object and the right value."""
    found = inspect.getattr_static(of, name)
    known = found.fget if isinstance(found, property) else _computed(of, name)
    assert known is not None
    patch.setattr(of, name, property(lambda self: change(self, known(self))))


# --- 1. promises -----------------------------------------------------------------------------------------------


@_bug("a booking that is canceled during a dispute promises nothing", "dispute", "cancel full", "won")
def canceled_under_dispute_promises_nothing(patch: Patch) -> None:
    promise = decisions.promise_on_cancel

    def other(payment: Payment, *args: Any, **kwargs: Any) -> Events:
        return () if payment.has_open_dispute else tuple(promise(payment, *args, **kwargs))

    patch.setattr(decisions, "promise_on_cancel", other)


@_bug("a deferred refund is never sent", "dispute", "cancel full", "won")
def deferred_is_never_sent(patch: Patch) -> None:
    patch.setattr(decisions, "send_deferred", _nothing)


@_bug("what the bank has taken is still owed", "dispute", "cancel full", "lost")
def taken_is_still_owed(patch: Patch) -> None:
    patch.setattr(Payment, "taken_by_disputes", property(_zero))


@_bug("a refund that the bank sent back is sent again by the system", "refund", "refund fails")
def failed_refund_is_sent_again(patch: Patch) -> None:
    observe = decisions.observe_refund

    def other(payment: Payment, report: RefundReport) -> Events:
        events = tuple(observe(payment, report))
        lost = [each for each in events if isinstance(each, ev.RefundMoved) and each.status is RefundStatus.FAILED]
        refund = payment.refund(report.id)
        if not lost or refund is None:
            return events
        return (
            *events,
            obligations._NewRefund.again(attrs.evolve(refund, id="rf_again"), None).deferred(Deferral.DISPUTE),
        )

    patch.setattr(decisions, "observe_refund", other)


@_bug("a refund promises nothing", "refund", "refund fails")
def refund_promises_nothing(patch: Patch) -> None:
    patch.setattr(obligations, "_raise_on_request", lambda payment, given: (None, None))


@_bug("asking again for what failed promises it once more", "refund", "refund fails", "refund", "refund fails")
def failed_refund_is_promised_twice(patch: Patch) -> None:
    patch.setattr(obligations, "_raise_on_request", lambda payment, given: (given, None))


@_bug("a debt that was settled outside the gateway is still owed", "refund", "refund fails", "settle")
def settled_debt_is_still_owed(patch: Patch) -> None:
    patch.setattr(decisions, "settle_debt", _nothing)


@_bug("a refund of a cancellation that was not sent is given up", "cancel full, not sent")
def canceled_and_never_sent_is_given_up(patch: Patch) -> None:
    def other(payment: Payment, refund: Refund, refusal: str, *, answered: bool) -> Events:
        return (ev.RefundMoved(refund_id=refund.id, status=RefundStatus.FAILED, failure_reason=refusal),)

    patch.setattr(closing, "after_refusal", other)


@_bug("a dispute over a part that was lost ends the whole promise", "partial dispute", "cancel full", "lost")
def partial_loss_ends_the_promise(patch: Patch) -> None:
    def other(payment: Payment) -> Money:
        taken = sum(each.taken.minor for each in payment.disputes)
        return payment.captured if taken else Money.zero(payment.captured.currency)

    # A cached property of a slotted class can't be wrapped, so it is replaced.
    patch.setattr(Payment, "taken_by_disputes", property(other))


@_bug("canceling again in full promises it on top", "cancel policy", "cancel full")
def canceled_again_is_promised_on_top(patch: Patch) -> None:
    def other(payment: Payment, request: Any, ids: Any, *, in_full: bool, again: bool) -> Events:
        if not again:
            return tuple(promise(payment, request, ids, in_full=in_full, again=again))
        given = GivenBack(amount=payment.captured, fee=payment.breakdown.fee)
        return tuple(obligations._promise(payment, request, ids, given, None))

    promise = decisions.promise_on_cancel
    patch.setattr(decisions, "promise_on_cancel", other)


@_bug("the customer takes what the cancellation kept", "cancel none", "refund")
def cancellation_leaves_no_trace(patch: Patch) -> None:
    patch.setitem(payment_module._FOLDS, ev.BookingReleased, payment_module._unchanged)


# --- 2. the bound ----------------------------------------------------------------------------------------------


@_bug("what disputes hold and took may be refunded", "partial dispute", "lost", "cancel full")
def disputes_hold_nothing(patch: Patch) -> None:
    patch.setattr(Payment, "held_by_disputes", property(_zero))
    patch.setattr(Payment, "taken_by_disputes", property(_zero))


@_bug("a prevented dispute has taken nothing", "prevented", "cancel full")
def prevented_took_nothing(patch: Patch) -> None:
    _property(patch, Dispute, "taken", lambda self, known: known if self.status is DisputeStatus.LOST else _none(known))
    _property(patch, Dispute, "held", lambda self, known: known if self.status is DisputeStatus.LOST else _none(known))


@_bug("a dispute over a part that was lost freezes the rest", "partial dispute", "lost", "cancel full")
def partial_loss_freezes_the_rest(patch: Patch) -> None:
    _property(patch, Dispute, "blocks_refunds", lambda self, known: known or self.status is DisputeStatus.LOST)


@_bug("an inquiry that was closed still holds the charge", "inquiry", "inquiry closed", "refund")
def closed_inquiry_holds(patch: Patch) -> None:
    _property(patch, Dispute, "held", lambda self, known: self.amount)


@_bug("a part is refunded during an inquiry", "inquiry", "refund")
def part_is_sent_during_an_inquiry(patch: Patch) -> None:
    patch.setattr(Refundable, "deferral_of", lambda self, amount, *, override=False: None)
    patch.setattr(Refundable, "may_send_deferred", True)


@_bug("a deferred refund is sent while the gateway accepts none", "dispute", "cancel full")
def deferred_is_sent_during_a_dispute(patch: Patch) -> None:
    _property(patch, Dispute, "blocks_refunds", lambda self, known: False)
    _property(patch, Dispute, "held", lambda self, known: _none(known))


# --- 3. repetitions --------------------------------------------------------------------------------------------


@_bug("a repetition of a refund whose outcome is unknown is a new one", "refund, no answer", "refund")
def repetition_is_a_new_refund(patch: Patch) -> None:
    patch.setattr(decisions, "repeated", lambda *_: None)


@_bug("a refund that was settled meanwhile is acknowledged", "refund, no answer", "refund")
def settled_is_acknowledged(patch: Patch) -> None:
    settle = decisions.settle

    def other(*args: Any, **kwargs: Any) -> Events:
        events = settle(*args, **kwargs)
        return tuple(attrs.evolve(f, answered=True) if isinstance(f, ev.OperationSettled) else f for f in events)

    patch.setattr(decisions, "settle", other)


@_bug("any refund repeats the one whose outcome is unknown", "refund, saved 500", "refund of another amount")
def another_amount_is_a_repetition(patch: Patch) -> None:
    patch.setattr(obligations, "_is_same_request", lambda refund, amount, items: True)


@_bug("a refund repeats one whose outcome was answered", "refund", "refund")
def answered_is_repeated(patch: Patch) -> None:
    def other(payment: Payment, by: str, amount: Money | None, now: datetime) -> Refund | None:
        return next((each for each in payment.refunds if each.amount == amount), None)

    patch.setattr(decisions, "repeated", other)


@_bug("a repetition is not acknowledged by its answer", "refund, no answer", "refund", "refund")
def repetition_is_not_acknowledged(patch: Patch) -> None:
    def other(payment: Payment, by: str, amount: Money | None, now: datetime) -> Refund | None:
        unknown = (each for each in payment.refunds if each.idempotency_key in asked)
        found = repeated(payment, by, amount, now) or next(unknown, None)
        asked.update([found.idempotency_key] if isinstance(found, Refund) else [])
        return found if isinstance(found, Refund) else None

    asked: set[str | None] = set()
    repeated = decisions.repeated
    patch.setattr(decisions, "repeated", other)


@_bug("a refund that was never sent stays promised, and is sent later", "refund, not sent")
def never_sent_stays_promised(patch: Patch) -> None:
    after = obligations.after_refusal
    patch.setattr(closing, "after_refusal", lambda *args, answered, **kwargs: after(*args, answered=False, **kwargs))


# --- 4. money is in the balance ------------------------------------------------------------------------------


def _of_report(patch: Patch, withdrawn: Callable[[DisputeReport, Money], Money]) -> None:
    def other(payment: Payment, report: DisputeReport) -> Money:
        return withdrawn(report, observe_disputes.disputed_amount(payment, report))

    patch.setattr(observe_disputes, "withdrawn_amount", other)
    patch.setattr(decisions, "withdrawn_amount", other)


@_bug("what a dispute took is read from its status", "dispute", "partly lost")
def status_moves_money(patch: Patch) -> None:
    lost = (DisputeStatus.LOST, DisputeStatus.NEEDS_RESPONSE, DisputeStatus.PREVENTED)
    _of_report(patch, lambda report, amount: amount if report.status in lost else _none(amount))


@_bug("a dispute that is won after it was lost is not booked", "dispute", "lost", "won")
def won_after_lost_is_dropped(patch: Patch) -> None:
    funds = observe_disputes._funds

    def other(payment: Payment, report: DisputeReport) -> Events:
        known = payment.dispute_by_id(report.id)
        ended = known is not None and not known.status.is_open
        return () if ended else tuple(funds(payment, report))

    patch.setattr(observe_disputes, "_funds", other)


@_bug("sums in the settlement currency are taken for the payment's", "dispute", setting=IN_EUROS)
def settlement_currency_is_ours(patch: Patch) -> None:
    def taken(report: DisputeReport, amount: Money) -> Money:
        return Money(max(-sum(each.amount for each in report.movements), 0), amount.currency)

    _of_report(patch, taken)


@_bug("a dispute that is won at another rate keeps a rest", "dispute", "won", setting=IN_EUROS)
def won_at_another_rate_keeps_a_rest(patch: Patch) -> None:
    _of_report(patch, lambda report, amount: withdrawn_by(report.movements, amount, won=False))


@_bug("an appeal is not booked", "dispute", "cancel full", "lost", "appeal")
def appeal_is_dropped(patch: Patch) -> None:
    observe = decisions.observe_dispute

    def other(payment: Payment, report: DisputeReport) -> Events:
        appeals = (DisputeStatus.APPEAL_NEEDS_RESPONSE, DisputeStatus.APPEAL_UNDER_REVIEW)
        return () if report.status in appeals else tuple(observe(payment, report))

    patch.setattr(decisions, "observe_dispute", other)


@_bug("of several disputes only the first is booked", "partial dispute", "lost", "partial dispute")
def second_dispute_is_dropped(patch: Patch) -> None:
    observe = decisions.observe_dispute

    def other(payment: Payment, report: DisputeReport) -> Events:
        first = not payment.disputes or payment.disputes[0].id == report.id
        return tuple(observe(payment, report)) if first else ()

    patch.setattr(decisions, "observe_dispute", other)


# --- 5. fees ---------------------------------------------------------------------------------------------------


@_bug("the organizer's fee is kept though the organizer cancels", "cancel full")
def fee_is_kept_on_cancel(patch: Patch) -> None:
    patch.setattr(obligations, "_fee_of_promise", lambda payment, amount, *, in_full: _none(amount))


@_bug("the fee of a refund that failed is lost", "cancel full", "refund fails", "cancel full")
def fee_of_what_failed_is_lost(patch: Patch) -> None:
    fee_of = obligations._fee_of_promise

    def other(payment: Payment, amount: Money, *, in_full: bool) -> Money:
        return _none(amount) if payment.refundable.failed.amount else fee_of(payment, amount, in_full=in_full)

    patch.setattr(obligations, "_fee_of_promise", other)
    patch.setattr(payment_module, "fee_by_refunds", lambda promised, bank, breakdown: _none(promised.fee))


# --- what an operator sees -------------------------------------------------------------------------------------


@_bug("a refund that waits for a dispute is an operator's task", "dispute", "cancel full")
def waiting_is_left(patch: Patch) -> None:
    patch.setattr(Payment, "owed_waiting", property(_zero))


@_bug("what failed waits for something", "refund", "refund fails")
def failed_is_waiting(patch: Patch) -> None:
    patch.setattr(Payment, "owed_waiting", property(lambda self: self.owed.amount))


@_bug("the start of the event ends a promise", "refund", "refund fails", "event starts", "refund")
def promise_ends_with_the_event(patch: Patch) -> None:
    _property(
        patch,
        Refundable,
        "failed",
        lambda self, known: known if self.given.amount else GivenBack.zero(known.amount),
    )


@_bug("an override is bound by the tier", "override")
def override_is_bound_by_the_tier(patch: Patch) -> None:
    quote = Refundable.quote

    def other(self: Refundable, now: datetime, amount: Money | None, **kwargs: Any) -> Any:
        return quote(self, now, amount, **{**kwargs, "override": False})

    patch.setattr(Refundable, "quote", other)
