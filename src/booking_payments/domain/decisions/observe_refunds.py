"""Applying what the gateway reports of refunds, requested by this service or made in the gateway's dashboard."""

from attrs import evolve

from booking_payments.domain import events as ev
from booking_payments.domain import metadata_keys
from booking_payments.domain.decisions.drift import Events, contradicted, unless_known
from booking_payments.domain.decisions.lost import observe_lost_refund
from booking_payments.domain.errors import IllegalTransition
from booking_payments.domain.lifecycle import REFUND, RefundEvent, RefundStatus, move
from booking_payments.domain.money import Money, total
from booking_payments.domain.payment import Payment, Refund
from booking_payments.domain.reports import RefundReport


def is_stale_refund(payment: Payment, report: RefundReport) -> bool:
    """True when a snapshot of a refund contains nothing new."""
    known = payment.refund(report.id)
    return known is not None and known.status is report.status and known.amount == report.amount


_REFUND_EVENTS = {
    RefundStatus.PENDING: RefundEvent.PENDING,
    RefundStatus.REQUIRES_ACTION: RefundEvent.ACTION_REQUIRED,
    RefundStatus.SUCCEEDED: RefundEvent.SUCCEEDED,
    RefundStatus.FAILED: RefundEvent.FAILED,
    RefundStatus.CANCELED: RefundEvent.CANCELED,
}


def observe_refund(payment: Payment, report: RefundReport) -> Events:
    """Return the events that follow from a trusted report of a refund, from this service or from the dashboard.

    An unknown status is recorded as drift.
    """
    if report.status is None:
        return unless_known(payment, ev.DriftFound(code="unknown_refund_status", detail=report.id))
    refund = refund_of(payment, report)
    turned_up = observe_lost_refund(payment, report)
    if refund is None:
        return (*_found_refund(payment, report, report.status), *turned_up)
    try:
        return (*_known_refund(payment, refund, report, report.status), *turned_up)
    except IllegalTransition as contradiction:
        return contradicted(payment, report.id, contradiction)


def refund_of(payment: Payment, report: RefundReport) -> Refund | None:
    """Return the refund that a report is about; None for one that this service did not request.

    A refund may be sent again under a new key when its first call is not found. If the first call created a refund
    after all, its report lacks the new key, and is a separate refund.
    """
    known = payment.refund(report.id)
    named = payment.refund(report.metadata.get(metadata_keys.REFUND_ID, ""))
    if known is not None or named is None:
        return known
    sending = named.idempotency_key if named.again else None
    return named if report.metadata.get(metadata_keys.IDEMPOTENCY_KEY) == sending else None


def _known_refund(payment: Payment, refund: Refund, report: RefundReport, status: RefundStatus) -> Events:
    if refund.amount != report.amount or refund.gateway_refund_id not in (None, report.id):
        detail = f"{report.id}: requested {refund.amount}; the gateway reports {report.amount}"
        return unless_known(payment, ev.DriftFound(code="refund_differs", detail=detail))
    link = () if refund.gateway_refund_id else (_linked(refund.id, report.id),)
    target = move(REFUND, refund.status, _REFUND_EVENTS[status])
    if target is None:
        return link
    return (*link, ev.RefundMoved(refund_id=refund.id, status=target, failure_reason=report.failure_reason))


def _linked(refund_id: str, gateway_refund_id: str) -> ev.RefundLinked:
    return ev.RefundLinked(refund_id=refund_id, gateway_refund_id=gateway_refund_id)


def _found_refund(payment: Payment, report: RefundReport, status: RefundStatus) -> Events:
    if report.amount.currency is not payment.amount.currency:
        detail = f"refund {report.id} of {report.amount}"
        return unless_known(payment, ev.DriftFound(code="currency_differs", detail=detail))
    if is_release(payment, report):
        known = any(release.gateway_refund_id == report.id for release in payment.releases)
        return () if known else (ev.AuthorizationReleased(gateway_refund_id=report.id, amount=report.amount),)
    found = ev.RefundFound(
        refund_id=report.id,
        gateway_refund_id=report.id,
        amount=report.amount,
        fee_refunded=Money.zero(report.amount.currency),
        status=move(REFUND, None, _REFUND_EVENTS[status]) or status,
        reason=report.reason,
    )
    waiting = payment.deferred_refund(report.metadata.get(metadata_keys.REFUND_ID, ""))
    if waiting is None or waiting.amount != report.amount:
        return (found,)
    # The refund was abandoned as lost and has appeared: it replaces the deferred one, which is not sent again.
    found = evolve(found, refund_id=waiting.id, fee_refunded=waiting.fee_refunded)
    return ev.DeferredRefundDropped(refund_id=waiting.id), found


def is_release(payment: Payment, report: RefundReport) -> bool:
    """True when a reported refund only releases held money that was not captured.

    API versions before 2025-03-31.basil list the rest of a partly captured authorization as a refund. Up to the
    difference between the authorized and the captured amount, such refunds return nothing that was collected.
    """
    if metadata_keys.REFUND_ID in report.metadata or payment.refund(report.id) is not None:
        return False
    if any(release.gateway_refund_id == report.id for release in payment.releases):
        return True
    released = total((release.amount for release in payment.releases), payment.amount.currency)
    return payment.captured + released + report.amount <= payment.asked
