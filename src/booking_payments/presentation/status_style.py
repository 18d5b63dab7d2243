"""The style in which a status or an event is shown: good, bad, to be watched, or none."""

from collections.abc import Mapping
from typing import Final

from booking_payments.domain import events as ev
from booking_payments.domain.lifecycle import DisputeStatus, RefundStatus

STATUS_STYLE: Final[Mapping[str, str]] = {
    # bookings
    "confirmed": "good",
    "expired": "",
    # payments and refunds
    "succeeded": "good",
    "failed": "bad",
    "canceled": "",
    "processing": "warn",
    "pending": "warn",
    "requires_action": "warn",
    "requires_capture": "warn",
    "requires_payment_method": "",
    "requires_confirmation": "",
    # disputes
    "warning_needs_response": "warn",
    "warning_under_review": "warn",
    "warning_closed": "",
    "needs_response": "bad",
    "under_review": "warn",
    "won": "good",
    "lost": "bad",
    "prevented": "good",
    "appeal_needs_response": "bad",
    "appeal_under_review": "warn",
    # jobs of events
    "running": "warn",
    "owed": "warn",
    "disputed": "bad",
    "waiting": "warn",
    # webhooks and commands
    "received": "warn",
    "processed": "good",
    "ignored": "",
    "done": "good",
    "refused": "warn",
    "unknown": "bad",
}

_EVENTS: Final[Mapping[type, str]] = {
    ev.PaymentSucceeded: "good",
    ev.PaymentAuthorized: "good",
    ev.BookingConfirmed: "good",
    ev.AttemptRefused: "bad",
    ev.PaymentFailed: "bad",
    ev.DisputeOpened: "bad",
    ev.DriftFound: "bad",
    ev.OutcomeLeftUnknown: "warn",
    ev.CallNotFound: "warn",
    ev.CallGivenUp: "warn",
    ev.ActionRequired: "warn",
    ev.DisputeChanged: "warn",
    ev.LatePaymentDecided: "warn",
    ev.PaymentAdopted: "warn",
}


def style_of_event(event: ev.Event) -> str:
    """The style of an event."""
    if isinstance(event, ev.RefundMoved):
        return "bad" if event.status.is_lost else "good" if event.status is RefundStatus.SUCCEEDED else ""
    if isinstance(event, ev.DisputeMoved):
        return "bad" if event.status is DisputeStatus.LOST else "good" if event.status is DisputeStatus.WON else ""
    return _EVENTS.get(type(event), "")
