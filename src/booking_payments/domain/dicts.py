"""Results as plain dictionaries, for apps that embed the library: the names and JSON types of the HTTP API.

Everything is written out field by field, so that nothing gets out that is not named here. Amounts are decimal text in
major units, times are RFC 3339 text in UTC. A test holds these against the answers of the HTTP API.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from booking_payments.domain.booking import Booking
from booking_payments.domain.instructions import ANY_METHOD, MethodChoice
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.payment import AttemptOutcome, DeferredRefund, Dispute, Payment, Refund
from booking_payments.domain.refunds import RefundPolicy, RefundQuote, RefundReason
from booking_payments.domain.retry import Decline
from booking_payments.domain.texts import rfc3339

Plain = dict[str, Any]
"""A JSON object."""


def _maybe(value: datetime | None) -> str | None:
    return rfc3339(value) if value else None


def booking_dict(booking: Booking) -> Plain:
    """A booking, without what is owed for it, which its payments know."""
    details = booking.details
    return {
        "id": booking.id,
        "reference": booking.reference,
        "customer_id": booking.customer_id,
        "amount": booking.amount.major(),
        "currency": booking.amount.currency.code,
        "event_starts_at": rfc3339(booking.event_starts_at),
        "expires_at": rfc3339(booking.expires_at),
        "status": booking.status.value,
        "reason": booking.end_reason.value if booking.end_reason else None,
        "free": booking.free,
        "refund_policy": _policy(booking.refund_policy) if booking.refund_policy else None,
        "title": details.title,
        "description": details.description,
        "customer_email": details.customer_email,
        "statement_descriptor_suffix": details.statement_descriptor_suffix,
        "payment_methods": _methods(details.methods),
        "capture_method": details.capture_method.value if details.capture_method else None,
        "customer_refunds": details.customer_refunds.value if details.customer_refunds else None,
    }


def _policy(policy: RefundPolicy) -> Plain:
    tiers = [{"hours_before": t.hours_before, "percent": f"{t.percent.normalize():f}"} for t in policy.tiers]
    return {"tiers": tiers, "fee": policy.fee.value}


def _methods(chosen: MethodChoice) -> Plain | None:
    if chosen == ANY_METHOD:
        return None
    named = {"allowed": list(chosen.allowed), "excluded": list(chosen.excluded)}
    return {name: types for name, types in named.items() if types}


def payment_dict(
    payment: Payment,
    now: datetime,
    *,
    client_secret: str | None = None,
    next_action: Mapping[str, object] | None = None,
    operator: bool = False,
) -> Plain:
    """A payment at ``now``. ``client_secret`` and ``next_action`` are what its owner's browser goes on with: they are
    shown while it is the customer's turn. ``operator``: the reasons are shown that the gateway hides from customers."""
    refused = bool(payment.attempts) and payment.attempts[-1].outcome is AttemptOutcome.REFUSED
    decline = _shown(payment.last_decline, operator) if refused else None
    turn = payment.status.is_open and payment.status.awaits_customer
    acts = payment.status is PaymentStatus.REQUIRES_ACTION
    method, breakdown = payment.method, payment.breakdown
    return {
        "success": payment.status not in (PaymentStatus.FAILED, PaymentStatus.CANCELED),
        "booking_id": payment.booking_id,
        "payment_id": payment.id,
        "payment_intent_id": payment.intent_id,
        "client_secret": client_secret if turn else None,
        "status": payment.status.value,
        "requires_action": acts,
        "next_action": dict(next_action) if acts and next_action else None,
        "outcome_unknown": payment.operation is not None and payment.operation.unknown,
        "amount": payment.amount.major(),
        "currency": payment.amount.currency.code,
        "amount_received": payment.captured.major(),
        "fee": {
            "rate": f"{breakdown.rate:f}",
            "amount": breakdown.fee.major(),
            "payer": breakdown.payer.value,
            "net": breakdown.net.major(),
        },
        "refunded_amount": payment.refunded.major(),
        "refund_pending_amount": payment.refund_pending.major(),
        "refund_owed": payment.owed.amount.major(),
        "refund_waiting": payment.owed_waiting.major(),
        "withdrawn_amount": payment.withdrawn.major(),
        "refunds": [refund_dict(payment, each, now, operator=operator) for each in payment.refunds],
        "dispute": _dispute(payment.dispute) if payment.dispute else None,
        "disputes": [_dispute(each) for each in payment.disputes],
        "capture_before": _maybe(payment.captured_by),
        "method": {"type": method.type, "brand": method.brand, "last4": method.last4, "wallet": method.wallet}
        if method
        else None,
        "attempts_made": payment.attempts_made,
        "attempts_left": payment.attempts_left,
        "error": decline.message if decline else None,
        "error_code": decline.code if decline else None,
        "decline_code": decline.decline_code if decline else None,
        "created_at": rfc3339(payment.created_at),
        "updated_at": rfc3339(payment.updated_at),
    }


def _shown(decline: Decline | None, operator: bool) -> Decline | None:
    return decline if decline is None or operator else decline.for_customer()


def _dispute(dispute: Dispute) -> Plain:
    return {
        "dispute_id": dispute.id,
        "status": dispute.status.value,
        "reason": dispute.reason,
        "amount": dispute.amount.major(),
        "withdrawn_amount": dispute.withdrawn.major(),
        "is_inquiry": dispute.status.is_inquiry,
        "opened_at": rfc3339(dispute.opened_at),
        "evidence_due_by": _maybe(dispute.evidence_due_by),
    }


def refund_dict(payment: Payment, refund: Refund | DeferredRefund, now: datetime, *, operator: bool) -> Plain:
    """A refund of ``payment``, and what can still be refunded at ``now``. Only an ``operator`` sees that a refund was
    made because of fraud."""
    reason = refund.reason.value if isinstance(refund.reason, RefundReason) else refund.reason
    hidden = reason == RefundReason.FRAUDULENT.value and not operator
    return {
        "success": not refund.status.is_lost,
        "refund_id": refund.id,
        "gateway_refund_id": refund.gateway_refund_id,
        "status": refund.status.value,
        "amount": refund.amount.major(),
        "currency": refund.amount.currency.code,
        "reason": None if hidden else reason,
        "refunded_amount": payment.refunded.major(),
        "remaining_refundable": payment.refundable.remaining(now).major(),
        "deferred": isinstance(refund, DeferredRefund),
        "refund_owed": payment.owed.amount.major(),
    }


def quote_dict(quote: RefundQuote) -> Plain:
    """What a refund would give."""
    return {
        "allowed": quote.allowed,
        "amount": quote.amount.major(),
        "currency": quote.amount.currency.code,
        "fee_refunded": quote.fee_refunded.major(),
        "refundable_until": _maybe(quote.refundable_until),
        "reason_code": quote.reason.code,
        "deferred": quote.deferred_by is not None,
        "overrides": list(quote.overrides),
    }
