"""Applying what the gateway reports of disputes: their status, and the funds that they withdraw from the balance."""

from booking_payments.domain import events as ev
from booking_payments.domain.decisions.drift import Events, unless_known
from booking_payments.domain.disputes import in_currency_of, withdrawn_by
from booking_payments.domain.errors import IllegalTransition
from booking_payments.domain.lifecycle import DISPUTE, DisputeStatus, move
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Dispute, Payment
from booking_payments.domain.reports import DisputeReport


def disputed_amount(payment: Payment, report: DisputeReport) -> Money:
    """Return the disputed amount in the payment's currency."""
    return in_currency_of(report.amount, payment.captured or payment.amount, report.movements)


def withdrawn_amount(payment: Payment, report: DisputeReport) -> Money:
    """Return what the dispute has withdrawn from the balance and not returned, in the payment's currency."""
    won = report.status is DisputeStatus.WON
    return withdrawn_by(report.movements, disputed_amount(payment, report), won=won)


def is_stale_dispute(payment: Payment, report: DisputeReport) -> bool:
    """True when a snapshot of a dispute contains nothing new."""
    known = payment.dispute_by_id(report.id)
    if known is None or known.status is not report.status or _terms_changed(payment, known, report):
        return False
    return known.withdrawn == withdrawn_amount(payment, report)


def observe_dispute(payment: Payment, report: DisputeReport) -> Events:
    """Return the events that follow from a report of a dispute that was just read.

    The withdrawn amount follows from the dispute's transactions, independent of its status. An unknown status, and one
    that the table does not allow, leave the disputed amount held and are recorded as drift for an operator.
    """
    return (*_alerts(payment, report), *_status(payment, report), *_funds(payment, report))


def _alerts(payment: Payment, report: DisputeReport) -> Events:
    found: list[ev.DriftFound] = []
    if report.status is DisputeStatus.UNKNOWN:
        detail = f"dispute {report.id} is {report.status_text or 'without a status'}"
        found.append(ev.DriftFound(code="unknown_dispute_status", detail=detail))
    if report.amount.currency is not payment.amount.currency:
        booked = disputed_amount(payment, report)
        detail = f"dispute {report.id} of {report.amount} is booked as {booked}"
        found.append(ev.DriftFound(code="currency_differs", detail=detail))
    return tuple(event for drift in found for event in unless_known(payment, drift))


def _status(payment: Payment, report: DisputeReport) -> Events:
    known = payment.dispute_by_id(report.id)
    amount = disputed_amount(payment, report)
    if known is None:
        opened = ev.DisputeOpened(
            dispute_id=report.id,
            status=report.status,
            reason=report.reason,
            amount=amount,
            evidence_due_by=report.evidence_due_by,
            charge_refundable=report.charge_refundable,
        )
        return (opened,)
    if report.status is known.status:
        return _changed(known, amount, report) if _terms_changed(payment, known, report) else ()
    drift = _impossible_move(known, report)
    moved = ev.DisputeMoved(
        dispute_id=known.id,
        status=report.status,
        evidence_due_by=report.evidence_due_by or known.evidence_due_by,
        charge_refundable=report.charge_refundable,
        contradictory=drift is not None,
    )
    alert = unless_known(payment, drift) if drift else ()
    return (*alert, moved, *(_changed(known, amount, report) if amount != known.amount else ()))


def _impossible_move(known: Dispute, report: DisputeReport) -> ev.DriftFound | None:
    try:
        move(DISPUTE, known.status, report.status)
    except IllegalTransition as contradiction:
        return ev.DriftFound(code=contradiction.code, detail=f"dispute {report.id}: {contradiction.message}")
    return None


def _terms_changed(payment: Payment, known: Dispute, report: DisputeReport) -> bool:
    ours = (known.amount, known.evidence_due_by, known.charge_refundable)
    deadline = report.evidence_due_by or known.evidence_due_by
    return ours != (disputed_amount(payment, report), deadline, report.charge_refundable)


def _changed(known: Dispute, amount: Money, report: DisputeReport) -> Events:
    """Return the change of a dispute's amount, deadline or refundability without a change of status."""
    changed = ev.DisputeChanged(
        dispute_id=known.id,
        amount=amount,
        evidence_due_by=report.evidence_due_by or known.evidence_due_by,
        charge_refundable=report.charge_refundable,
    )
    return (changed,)


def _funds(payment: Payment, report: DisputeReport) -> Events:
    known = payment.dispute_by_id(report.id)
    before = known.withdrawn if known else Money.zero(payment.amount.currency)
    now = withdrawn_amount(payment, report)
    return () if now == before else (ev.DisputeFundsMoved(dispute_id=report.id, withdrawn=now),)
