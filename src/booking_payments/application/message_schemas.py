"""The JSON Schema (2020-12) of each type of message, as it goes out on every channel.

The reference pages print these schemas, and tests validate every message against them. They allow fields that they do
not name, so that a receiver that validates with them accepts messages of later releases; ``data.schema_version`` grows
when a field is removed or changes its meaning.
"""

from collections.abc import Mapping
from typing import Any, Final

from booking_payments.application.messages import SCHEMA_VERSION
from booking_payments.domain.booking import BookingStatus, EndReason
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus
from booking_payments.domain.refunds import Deferral

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string", "minLength": 1}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_TIME_OR_NONE: Final[Schema] = {"anyOf": [_TIME, {"type": "null"}]}


def _amount(meaning: str) -> Schema:
    text = "Decimal text in major units."
    return {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "description": f"{meaning} {text}"}


def _text(meaning: str, **more: Any) -> Schema:
    return {**_TEXT, "description": meaning, **more}


_COMMON: Final[Mapping[str, Schema]] = {
    "schema_version": {"const": SCHEMA_VERSION, "description": "Of this data."},
    "booking_id": _text("The booking."),
    "booking_reference": _text("The booking app's own name of the booking."),
    "booking_status": {"enum": [each.value for each in BookingStatus], "description": "After the event."},
    "actor": {
        "enum": ["customer", "operator", "service", "gateway", "system"],
        "description": "Who caused it.",
    },
    "status": {
        "enum": [*(each.value for each in PaymentStatus), None],
        "description": "Of the payment, after the event; null without one.",
    },
    "amount": _amount("Amount of the payment; without a payment, the booking's price."),
    "currency": _text("ISO 4217, in lower case.", pattern="^[a-z]{3}$"),
    "refunded_amount": _amount("Refunded so far."),
    "remaining_refundable": _amount("The amount that can still be refunded."),
    "refund_owed": _amount("Promised, and not refunded yet."),
}
_REFUND: Final[Mapping[str, Schema]] = {
    "refund_id": _text("The refund."),
    "refund_amount": _amount("Of this refund."),
}
_DISPUTE: Final[Mapping[str, Schema]] = {
    "dispute_id": _text("The dispute, by the gateway's id."),
    "status": {"enum": [each.value for each in DisputeStatus], "description": "Of the dispute, after the event."},
    "reason": _text("Why, in the words of the customer's bank."),
    "amount": _amount("The disputed amount."),
    "withdrawn_amount": _amount("The amount that the gateway has taken back for it."),
    "evidence_due_by": {**_TIME_OR_NONE, "description": "When evidence is due; null without."},
}
_DEFERRED: Final[Mapping[str, Schema]] = {
    **_REFUND,
    "reason": {"enum": [each.value for each in Deferral], "description": "The obstacle for which it waits."},
}
_EXPIRING: Final[Mapping[str, Schema]] = {"expires_at": {**_TIME, "description": "When the hold ends."}}
_ITEM: Final[Mapping[str, Schema]] = {
    "id": _text("The booking app's own id of the item."),
    "label": _text("The item's name for customers."),
    "quantity": {"type": "integer", "minimum": 1, "description": "The number of units."},
    "unit_amount": _amount("The price of one unit."),
    "refunded_quantity": {"type": "integer", "minimum": 0, "description": "Refunded units that the booking keeps."},
}
_AMENDED: Final[Mapping[str, Schema]] = {
    "event_id": {"type": ["string", "null"], "description": "The booking app's own id of the event; null without one."},
    "changed": {
        "type": "array",
        "items": _TEXT,
        "description": "The names of the booking's fields that changed.",
    },
    "booking_amount_before": _amount("The booking's price before."),
    "booking_amount": _amount("The booking's price from now on."),
    "items": {
        "type": "array",
        "items": {"type": "object", "required": sorted(_ITEM), "properties": dict(_ITEM)},
        "description": "The booking's items from now on, as the HTTP API shows them; empty without items.",
    },
    "event_starts_at": {**_TIME, "description": "When the event starts, from now on."},
    "expires_at": {**_TIME, "description": "Until when the booking may be paid, from now on."},
    "refund_grace_until": {
        **_TIME_OR_NONE,
        "description": "Until then the customer may request a full refund; null without.",
    },
    "given_back": _amount("The amount refunded because the booking costs less."),
}


def _closed(reason: EndReason, meaning: str) -> Mapping[str, Schema]:
    return {"reason": {"const": reason.value, "description": f"{meaning} Left out otherwise."}}


_CANCELED: Final = _closed(
    EndReason.REFUNDED, "The customer requested a full refund, or one was made in the gateway's dashboard."
)
_EXPIRED: Final = _closed(EndReason.ATTEMPTS_EXHAUSTED, "The last attempt was refused before the time was over.")
_OPTIONAL: Final[Mapping[str, frozenset[str]]] = {
    "booking.canceled": frozenset(_CANCELED),
    "booking.expired": frozenset(_EXPIRED),
}
"""Fields of ``data``, by type, that some messages lack."""

_TYPES: Final[Mapping[str, tuple[str, Mapping[str, Schema]]]] = {
    "payment.succeeded": ("The money was collected.", {}),
    "payment.failed": ("The last attempt was refused.", {}),
    "payment.canceled": ("The payment was canceled.", {}),
    "payment.refunded": ("A refund succeeded.", _REFUND),
    "payment.refund_failed": ("A refund failed, at once or later.", _REFUND),
    "refund.deferred": ("A refund is promised, and waits.", _DEFERRED),
    "dispute.opened": ("The customer's bank claims money back, or asks about a charge.", _DISPUTE),
    "dispute.changed": ("The dispute moved on, or its money did.", _DISPUTE),
    "dispute.closed": ("The dispute ended.", _DISPUTE),
    "booking.confirmed": ("The booking is paid in time.", {}),
    "booking.amended": ("The booking has another price, other items, another date or other texts.", _AMENDED),
    "booking.expiring": ("The hold ends soon, and the booking is not paid.", _EXPIRING),
    "booking.canceled": ("The booking was canceled: the seat is free.", _CANCELED),
    "booking.expired": ("The hold ended unpaid: the seat is free.", _EXPIRED),
}

MESSAGE_TYPES: Final = tuple(_TYPES)
"""All types of messages."""


def message_schema(kind: str) -> Schema:
    """Return the JSON Schema of a message of this type. Raises ``KeyError`` for an unknown type."""
    meaning, own = _TYPES[kind]
    data = {**_COMMON, **own}
    properties: Schema = {
        "id": _text("Unique for each message; a receiver uses it to detect repeated deliveries."),
        "type": {"const": kind},
        "timestamp": {**_TIME, "description": "When it happened."},
        "booking_id": _text("The booking."),
        "payment_id": {"type": ["string", "null"], "description": "The payment; null without one."},
        "sequence": {"type": "integer", "minimum": 1, "description": "Counts the messages of the booking."},
        "data": {"type": "object", "required": sorted(data.keys() - _OPTIONAL.get(kind, ())), "properties": data},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind,
        "description": meaning,
        "type": "object",
        "required": sorted(properties),
        "properties": properties,
    }
