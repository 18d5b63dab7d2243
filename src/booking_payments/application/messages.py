"""Which messages to the booking app follow from which facts."""

from collections.abc import Mapping

from booking_payments.domain import events as ev
from booking_payments.domain.lifecycle import RefundStatus
from booking_payments.domain.payment import Payment

Told = tuple[str, Mapping[str, object]]


def told_by(fact: ev.Fact, payment: Payment) -> Told | None:
    """Type and content of the message that tells of ``fact``; None for facts that concern nobody else."""
    if isinstance(fact, ev.RefundMoved | ev.RefundFound):
        return _refund(fact)
    if isinstance(fact, ev.DisputeOpened):
        return "payment.disputed", {"dispute_id": fact.dispute_id, "reason": fact.reason, **_amount(payment)}
    if isinstance(fact, ev.BookingReleased):
        return f"booking.{fact.status}", {}
    name = _SIMPLE.get(type(fact))
    return (name, _amount(payment)) if name else None


_SIMPLE = {
    ev.PaymentSucceeded: "payment.succeeded",
    ev.PaymentFailed: "payment.failed",
    ev.PaymentCanceled: "payment.canceled",
    ev.BookingConfirmed: "booking.confirmed",
}


def _refund(fact: ev.RefundMoved | ev.RefundFound) -> Told | None:
    if fact.status is RefundStatus.SUCCEEDED:
        return "payment.refunded", {"refund_id": fact.refund_id}
    return ("payment.refund_failed", {"refund_id": fact.refund_id}) if fact.status.is_lost else None


def _amount(payment: Payment) -> dict[str, object]:
    return {"amount": payment.amount.major(), "currency": payment.amount.currency.code}
