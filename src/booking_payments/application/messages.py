"""The messages to the booking app: which domain event causes which, and the data of each."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from booking_payments.domain import events as ev
from booking_payments.domain.booking import Booking
from booking_payments.domain.lifecycle import RefundStatus
from booking_payments.domain.money import Money
from booking_payments.domain.payment import Payment
from booking_payments.domain.texts import rfc3339, rfc3339_or_none

SCHEMA_VERSION: Final = 1
"""Version of the ``data`` of every message; it grows when a field is removed or changes its meaning."""

Content = dict[str, object]


def message_for(event: ev.Event, payment: Payment, booking: Booking) -> tuple[str, Content] | None:
    """Return the type of the message that ``event`` causes, and its data in addition to ``standing``.

    None for an event that causes no message. ``payment`` is the payment after the event, ``booking`` its booking.
    Amounts are decimal text in major units.
    """
    if isinstance(event, ev.BookingAmended):
        return "booking.amended", amended_content(event, booking)
    make = _MAKERS.get(type(event))
    return make(event, payment) if make else None


def standing(booking: Booking, payment: Payment | None, now: datetime) -> Content:
    """Return the status and amounts of the booking's payment at ``now``, which each message has in its data.

    Without a payment, ``amount`` is the booking's price, and the other amounts are zero.
    """
    if payment is None:
        none = Money.zero(booking.amount.currency).major()
        return {
            "status": None,
            "amount": booking.amount.major(),
            "currency": booking.amount.currency.code,
            "refunded_amount": none,
            "remaining_refundable": none,
            "refund_owed": none,
        }
    return {
        "status": payment.status.value,
        "amount": payment.amount.major(),
        "currency": payment.amount.currency.code,
        "refunded_amount": payment.refunded.major(),
        "remaining_refundable": payment.refundable.remaining(now).major(),
        "refund_owed": payment.owed.amount.major(),
    }


Made = tuple[str, Content] | None


def _refund(event: ev.RefundMoved | ev.RefundFound, payment: Payment) -> Made:
    refund = payment.refund(event.refund_id)
    content: Content = {"refund_id": event.refund_id}
    if refund is not None:
        content["refund_amount"] = refund.amount.major()
    if event.status is RefundStatus.SUCCEEDED:
        return "payment.refunded", content
    return ("payment.refund_failed", content) if event.status.is_lost else None


def _deferred(event: ev.RefundDeferred, payment: Payment) -> Made:
    if not payment.owed_waiting:
        return None  # a lost dispute has paid it; it is kept for the case that the dispute is won after all
    return "refund.deferred", {
        "refund_id": event.refund_id,
        "refund_amount": event.amount.major(),
        "reason": event.why.value,
    }


def _dispute(kind: str, dispute_id: str, payment: Payment) -> Made:
    dispute = payment.dispute_by_id(dispute_id)
    if dispute is None:
        return None
    return kind, {
        "dispute_id": dispute.id,
        "status": dispute.status.value,
        "reason": dispute.reason,
        "amount": dispute.amount.major(),
        "withdrawn_amount": dispute.withdrawn.major(),
        "evidence_due_by": dispute.evidence_due_by.isoformat() if dispute.evidence_due_by else None,
    }


def _opened(event: ev.DisputeOpened, payment: Payment) -> Made:
    return _dispute("dispute.opened", event.dispute_id, payment)


def _moved(event: ev.DisputeMoved, payment: Payment) -> Made:
    return _dispute("dispute.changed" if event.status.is_open else "dispute.closed", event.dispute_id, payment)


def _changed(event: ev.DisputeChanged | ev.DisputeFundsMoved, payment: Payment) -> Made:
    return _dispute("dispute.changed", event.dispute_id, payment)


def _released(event: ev.BookingReleased, payment: Payment) -> Made:
    return f"booking.{event.status}", {"reason": event.reason} if event.reason else {}


def amended_content(event: ev.BookingAmended, booking: Booking) -> Content:
    """Return the data of ``booking.amended`` in addition to ``standing``: changed fields and their new values, the old
    and the new price. Texts and metadata are left out: they may be about a person."""
    given, new = event.given_back, event.amendment
    return {
        "event_id": booking.event_id,
        "changed": list(event.changed),
        "booking_amount_before": event.amount_before.major(),
        "booking_amount": event.amount.major(),
        "items": [item.to_dict() for item in new.items],
        "event_starts_at": rfc3339(new.event_starts_at),
        "expires_at": rfc3339(new.expires_at),
        "refund_grace_until": rfc3339_or_none(new.refund_grace_until),
        "given_back": given.major() if given is not None else Money.zero(event.amount.currency).major(),
    }


def _plain(kind: str) -> Callable[[object, Payment], Made]:
    return lambda event, payment: (kind, {})


_MAKERS: Final[Mapping[type, Callable[..., Made]]] = {
    ev.PaymentSucceeded: _plain("payment.succeeded"),
    ev.PaymentFailed: _plain("payment.failed"),
    ev.PaymentCanceled: _plain("payment.canceled"),
    ev.BookingConfirmed: _plain("booking.confirmed"),
    ev.BookingReleased: _released,
    ev.RefundMoved: _refund,
    ev.RefundFound: _refund,
    ev.RefundDeferred: _deferred,
    ev.DisputeOpened: _opened,
    ev.DisputeMoved: _moved,
    ev.DisputeChanged: _changed,
    ev.DisputeFundsMoved: _changed,
}
