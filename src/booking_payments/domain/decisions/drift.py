"""Drift: contradictions between gateway and journal, each recorded once; and the type of a decision's result."""

from booking_payments.domain import events as ev
from booking_payments.domain.errors import IllegalTransition
from booking_payments.domain.payment import Payment

Events = tuple[ev.Event, ...]


def unless_known(payment: Payment, drift: ev.DriftFound) -> Events:
    """Return ``drift``, or nothing when the payment has an equal one already."""
    return () if drift in payment.drifts else (drift,)


def contradicted(payment: Payment, subject: str, contradiction: IllegalTransition) -> Events:
    """Return the drift for a report of ``subject`` that the lifecycle table does not allow; nothing if it is known."""
    drift = ev.DriftFound(code=contradiction.code, detail=f"{subject}: {contradiction.message}")
    return unless_known(payment, drift)


def has_drift(payment: Payment, code: str) -> bool:
    """True when a drift with this code was recorded for the payment."""
    return any(drift.code == code for drift in payment.drifts)
