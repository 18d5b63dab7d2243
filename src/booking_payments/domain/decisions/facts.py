"""What decisions share: facts, and drifts that are told once."""

from booking_payments.domain import events as ev
from booking_payments.domain.errors import IllegalTransition
from booking_payments.domain.payment import Payment

Facts = tuple[ev.Fact, ...]


def unless_known(payment: Payment, drift: ev.DriftFound) -> Facts:
    """``drift``, unless the payment has it already."""
    return () if drift in payment.drifts else (drift,)


def contradicted(payment: Payment, subject: str, contradiction: IllegalTransition) -> Facts:
    """The drift of a report about ``subject`` that no lifecycle has room for."""
    drift = ev.DriftFound(code=contradiction.code, detail=f"{subject}: {contradiction.message}")
    return unless_known(payment, drift)


def has_drift(payment: Payment, code: str) -> bool:
    """Whether a drift of this kind was found in the payment."""
    return any(drift.code == code for drift in payment.drifts)
