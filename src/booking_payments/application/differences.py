"""Comparing a payment in our books with the gateway's objects. Pure functions.

A difference to an object in a list is only a suspicion, since the list may be older than our books; a difference to an
object that was read after our books is drift.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import frozen

from booking_payments.domain import decisions
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Payment
from booking_payments.domain.reports import DisputeReport, IntentReport, RefundReport


@frozen(kw_only=True)
class Difference:
    """One difference: ``code`` for scripts, ``text`` for operators, and the id of the gateway's object."""

    code: str
    text: str
    gateway_id: str | None


Differences = Iterator[Difference]


def all_differences(
    payment: Payment, intent: IntentReport, refunds: Sequence[RefundReport], disputes: Sequence[DisputeReport]
) -> Differences:
    """Yield the differences between our payment and the gateway's intent, refunds and disputes."""
    yield from of_intent(payment, intent)
    for refund in refunds:
        yield from of_refund(payment, refund)
    for dispute in disputes:
        yield from of_dispute(payment, dispute)
    yield from _missing(payment, refunds, disputes)


# --- intents ---------------------------------------------------------------------------------------------------

_SAME: Final[Mapping[PaymentStatus, PaymentStatus]] = {PaymentStatus.FAILED: PaymentStatus.CANCELED}
"""Our statuses that the gateway does not have: a payment without attempts left is a canceled intent there."""


def of_intent(payment: Payment, intent: IntentReport) -> Differences:
    """Yield the difference between our payment and its intent."""
    if intent.amount.currency is not payment.amount.currency:
        text = f"we asked for {payment.amount}, the gateway has {intent.amount}"
        yield Difference(code="currency_differs", text=text, gateway_id=intent.id)
    elif intent.status is not _SAME.get(payment.status, payment.status):
        yield _status(intent.id, payment.status.value, intent.status.value if intent.status else "one we don't know")
    elif _amounts(payment, intent):
        yield Difference(code="amount_differs", text=_amounts(payment, intent), gateway_id=intent.id)
    elif _shows_unknown_charge(payment, intent):
        text = "the gateway has a failed charge that our books don't have"
        yield Difference(code="attempt_unknown", text=text, gateway_id=intent.id)


def _status(gateway_id: str, ours: str, theirs: str) -> Difference:
    return Difference(
        code="status_differs", text=f"our books say {ours}, the gateway says {theirs}", gateway_id=gateway_id
    )


def _amounts(payment: Payment, intent: IntentReport) -> str:
    """Return a text that says how the amounts differ; empty when they are equal."""
    ours, theirs = _compared(payment, intent)
    return "" if ours == theirs else f"our books have {ours}, the gateway {theirs}"


def _compared(payment: Payment, intent: IntentReport) -> tuple[Money, Money]:
    if payment.status is PaymentStatus.SUCCEEDED:
        return payment.captured, intent.amount_received
    if payment.status is PaymentStatus.REQUIRES_CAPTURE:
        return payment.authorized, intent.amount_capturable
    return (payment.amount, intent.amount) if payment.status.is_open else (payment.captured, intent.amount_received)


def _shows_unknown_charge(payment: Payment, intent: IntentReport) -> bool:
    charge_id = intent.failure.charge_id if intent.failure else None
    open_for_it = payment.status is PaymentStatus.REQUIRES_PAYMENT_METHOD
    return open_for_it and charge_id is not None and all(each.charge_id != charge_id for each in payment.attempts)


# --- refunds and disputes --------------------------------------------------------------------------------------


def of_refund(payment: Payment, report: RefundReport) -> Differences:
    """Yield the difference between a refund at the gateway and ours."""
    refund = decisions.refund_of(payment, report)
    if refund is None and decisions.is_release(payment, report):
        return
    if refund is None:
        text = f"the gateway has a refund of {report.amount} that our books don't have"
        yield Difference(code="refund_unknown", text=text, gateway_id=report.id)
    elif refund.amount != report.amount or refund.gateway_refund_id != report.id:
        text = f"our refund {refund.id} is over {refund.amount}, the gateway's over {report.amount}"
        yield Difference(code="refund_differs", text=text, gateway_id=report.id)
    elif refund.status is not report.status:
        theirs = report.status.value if report.status else "one we don't know"
        text = f"refund {refund.id}: our books say {refund.status.value}, the gateway says {theirs}"
        yield Difference(code="refund_status_differs", text=text, gateway_id=report.id)


def of_dispute(payment: Payment, report: DisputeReport) -> Differences:
    """Yield the difference between a dispute at the gateway and ours."""
    known = payment.dispute_by_id(report.id)
    if known is None:
        text = f"the gateway has a dispute over {report.amount} that our books don't have"
        yield Difference(code="dispute_unknown", text=text, gateway_id=report.id)
    elif known.status is not report.status:
        text = f"dispute: our books say {known.status.value}, the gateway says {report.status.value}"
        yield Difference(code="dispute_status_differs", text=text, gateway_id=report.id)
    elif known.withdrawn != (theirs := decisions.withdrawn_amount(payment, report)):
        text = f"dispute: our books have {known.withdrawn} withdrawn, the gateway {theirs}"
        yield Difference(code="dispute_amount_differs", text=text, gateway_id=report.id)
    elif known.amount != (disputed := decisions.disputed_amount(payment, report)):
        text = f"dispute: over {known.amount} in our books, over {disputed} at the gateway"
        yield Difference(code="dispute_amount_differs", text=text, gateway_id=report.id)
    elif report.evidence_due_by and known.evidence_due_by != report.evidence_due_by:
        ours, deadline = _deadline(known.evidence_due_by), _deadline(report.evidence_due_by)
        text = f"dispute: our books have {ours} for the evidence, the gateway {deadline}"
        yield Difference(code="dispute_deadline_differs", text=text, gateway_id=report.id)


def _deadline(due_by: datetime | None) -> str:
    return f"until {due_by:%Y-%m-%d %H:%M} UTC" if due_by else "no deadline"


def _missing(payment: Payment, refunds: Sequence[RefundReport], disputes: Sequence[DisputeReport]) -> Differences:
    """Yield the refunds and disputes that our books have and the gateway does not."""
    there = {report.id for report in refunds}
    for refund in payment.refunds:
        if not refund.status.is_lost and refund.gateway_refund_id not in there:
            text = f"the gateway does not have our refund {refund.id} of {refund.amount}"
            yield Difference(code="refund_not_at_gateway", text=text, gateway_id=refund.gateway_refund_id)
    opened = {report.id for report in disputes}
    for dispute in payment.disputes:
        if dispute.id not in opened:
            text = f"the gateway does not have the dispute over {dispute.amount}"
            yield Difference(code="dispute_not_at_gateway", text=text, gateway_id=dispute.id)


# --- our own side ----------------------------------------------------------------------------------------------


def refund_owed(payment: Payment) -> Differences:
    """Yield the promised refund that an operator has to send, if no operation is in flight."""
    owed = payment.owed.amount - payment.owed_waiting
    if owed and payment.operation is None:
        text = f"{owed} was promised to the customer and was not refunded; refund it, or settle it otherwise"
        yield Difference(code="refund_owed", text=text, gateway_id=payment.intent_id)


def refund_waiting(payment: Payment) -> Differences:
    """Yield the promised refund that the system sends by itself, when an open dispute has ended for example."""
    if payment.owed_waiting and payment.operation is None:
        text = f"{payment.owed_waiting} was promised to the customer and is sent automatically once that is possible"
        yield Difference(code="waiting", text=text, gateway_id=payment.intent_id)
