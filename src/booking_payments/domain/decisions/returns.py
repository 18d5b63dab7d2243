"""Judging what the gateway says of refunds and disputes: money on its way back."""

import attrs

from booking_payments.domain import events as ev
from booking_payments.domain.decisions.facts import Facts, contradicted, unless_known
from booking_payments.domain.errors import IllegalTransition
from booking_payments.domain.lifecycle import DISPUTE, REFUND, DisputeStatus, RefundEvent, RefundStatus, move
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Dispute, Payment, Refund
from booking_payments.domain.reports import DisputeReport, RefundReport


def is_old_refund_news(payment: Payment, report: RefundReport) -> bool:
    """Whether a snapshot of a refund tells nothing that our books don't have."""
    known = payment.refund(report.id)
    return known is not None and known.status is report.status and known.amount == report.amount


def is_old_dispute_news(payment: Payment, report: DisputeReport) -> bool:
    """Whether a snapshot of a dispute tells nothing that our books don't have."""
    known = payment.dispute_by_id(report.id)
    if known is None or _dispute_terms(known, report):
        return False
    return (known.status, known.withdrawn) == (report.status, report.withdrawn)


_REFUND_EVENTS = {
    RefundStatus.PENDING: RefundEvent.PENDING,
    RefundStatus.REQUIRES_ACTION: RefundEvent.ACTION_REQUIRED,
    RefundStatus.SUCCEEDED: RefundEvent.SUCCEEDED,
    RefundStatus.FAILED: RefundEvent.FAILED,
    RefundStatus.CANCELED: RefundEvent.CANCELED,
}


def observe_refund(payment: Payment, report: RefundReport) -> Facts:
    """What a trusted report of a refund means, be it ours or one made in the gateway's dashboard."""
    if report.status is None:
        return unless_known(payment, ev.DriftFound(code="unknown_refund_status", detail=report.id))
    refund = payment.refund(report.metadata.get("refund_id", report.id)) or payment.refund(report.id)
    if refund is None:
        return _found_refund(payment, report, report.status)
    try:
        return _known_refund(payment, refund, report, report.status)
    except IllegalTransition as contradiction:
        return contradicted(payment, report.id, contradiction)


def _known_refund(payment: Payment, refund: Refund, report: RefundReport, status: RefundStatus) -> Facts:
    if refund.amount != report.amount or refund.gateway_refund_id not in (None, report.id):
        detail = f"{report.id}: we asked for {refund.amount}, the gateway says {report.amount}"
        return unless_known(payment, ev.DriftFound(code="refund_differs", detail=detail))
    link = () if refund.gateway_refund_id else (_linked(refund.id, report.id),)
    target = move(REFUND, refund.status, _REFUND_EVENTS[status])
    if target is None:
        return link
    return (*link, ev.RefundMoved(refund_id=refund.id, status=target, failure_reason=report.failure_reason))


def _linked(refund_id: str, gateway_refund_id: str) -> ev.RefundLinked:
    return ev.RefundLinked(refund_id=refund_id, gateway_refund_id=gateway_refund_id)


def _found_refund(payment: Payment, report: RefundReport, status: RefundStatus) -> Facts:
    if report.amount.currency is not payment.amount.currency:
        detail = f"refund {report.id} of {report.amount}"
        return unless_known(payment, ev.DriftFound(code="currency_differs", detail=detail))
    reserved = payment.refunded + payment.refund_pending
    if not status.is_lost and reserved + report.amount > payment.captured:
        detail = f"refund {report.id} of {report.amount} goes beyond the {payment.captured} that was captured"
        return unless_known(payment, ev.DriftFound(code="refund_exceeds_payment", detail=detail))
    return (
        ev.RefundFound(
            refund_id=report.id,
            gateway_refund_id=report.id,
            amount=report.amount,
            fee_refunded=Money.zero(report.amount.currency),
            status=move(REFUND, None, _REFUND_EVENTS[status]) or status,
            reason=report.reason,
        ),
    )


def observe_dispute(payment: Payment, report: DisputeReport) -> Facts:
    """What a trusted report of a dispute means: its status, and what it holds of our balance."""
    if report.status is None:
        return unless_known(payment, ev.DriftFound(code="unknown_dispute_status", detail=report.id))
    if report.amount.currency is not payment.amount.currency:
        detail = f"dispute {report.id} of {report.amount}"
        return unless_known(payment, ev.DriftFound(code="currency_differs", detail=detail))
    try:
        return (*_dispute_status(payment, report, report.status), *_dispute_funds(payment, report))
    except IllegalTransition as contradiction:
        return contradicted(payment, report.id, contradiction)


def _dispute_status(payment: Payment, report: DisputeReport, status: DisputeStatus) -> Facts:
    known = payment.dispute_by_id(report.id)
    if known is None:
        return (
            ev.DisputeOpened(
                dispute_id=report.id,
                status=move(DISPUTE, None, status) or status,
                reason=report.reason,
                amount=report.amount,
                evidence_due_by=report.evidence_due_by,
            ),
        )
    target = move(DISPUTE, known.status, status)
    if target is not None:
        moved = ev.DisputeMoved(dispute_id=known.id, status=target, evidence_due_by=report.evidence_due_by)
        known = attrs.evolve(known, evidence_due_by=report.evidence_due_by)
        return (moved, *_dispute_terms(known, report))
    # A report from before the present status is older than our books, and so are the terms that it tells.
    return _dispute_terms(known, report) if status is known.status else ()


def _dispute_terms(known: Dispute, report: DisputeReport) -> Facts:
    """What a dispute is over, and until when it may be answered, where that is not as we know it."""
    if (known.amount, known.evidence_due_by) == (report.amount, report.evidence_due_by):
        return ()
    return (ev.DisputeChanged(dispute_id=known.id, amount=report.amount, evidence_due_by=report.evidence_due_by),)


def _dispute_funds(payment: Payment, report: DisputeReport) -> Facts:
    known = payment.dispute_by_id(report.id)
    withdrawn = known.withdrawn if known else Money.zero(report.amount.currency)
    if report.withdrawn == withdrawn:
        return ()
    return (ev.DisputeFundsMoved(dispute_id=report.id, withdrawn=report.withdrawn),)
