"""Decoding of Stripe's webhooks, after checking their signature (docs.stripe.com/api/events)."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec

from booking_payments.adapters.gateways.stripe.objects import (
    UnreadableObject,
    charge_report,
    dispute_report,
    id_of,
    intent_report,
    kept_of,
    plain_value,
    refund_report,
    time_of,
)
from booking_payments.adapters.gateways.stripe.signature import verify
from booking_payments.domain import metadata_keys
from booking_payments.ports.webhooks import GatewayEvent, WebhookRefused, WebhookRequest

KINDS: Final[Mapping[str, str]] = {
    "payment_intent.created": "intent",
    "payment_intent.requires_action": "intent",
    "payment_intent.processing": "intent",
    "payment_intent.amount_capturable_updated": "intent",
    "payment_intent.succeeded": "intent",
    "payment_intent.payment_failed": "intent",
    "payment_intent.canceled": "intent",
    "charge.succeeded": "charge",
    "charge.captured": "charge",
    "charge.expired": "charge",
    "charge.refunded": "charge",
    "refund.created": "refund",
    "refund.updated": "refund",
    "refund.failed": "refund",
    "charge.refund.updated": "refund",
    "charge.dispute.created": "dispute",
    "charge.dispute.updated": "dispute",
    "charge.dispute.closed": "dispute",
    "charge.dispute.funds_withdrawn": "dispute",
    "charge.dispute.funds_reinstated": "dispute",
}
"""The types of events that are processed, and the kind of their object. All others are stored and ignored."""

REMARKS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ["charge.failed", "charge.pending", "charge.updated"],
        "kept as evidence: the intent's own events move the payment",
    ),
    "payment_intent.partially_funded": "partly funded bank transfers are not supported",
    **dict.fromkeys(
        [
            "checkout.session.completed",
            "checkout.session.async_payment_succeeded",
            "checkout.session.async_payment_failed",
            "checkout.session.expired",
        ],
        "hosted checkout is not used",
    ),
}
"""Why some of the other types change nothing (docs.stripe.com/api/events/types)."""

ALERTS: Final[Mapping[str, str]] = {
    "radar.early_fraud_warning.created": "a bank suspects fraud: check the payment; a refund may prevent a dispute",
    "review.opened": "Stripe holds the payment for review: wait with anything that cannot be undone",
    "review.closed": "Stripe's review of the payment has ended: check its result",
}
"""Types that change nothing in a payment and need an operator's attention, with the text of the alert."""

_EVENT_FIELDS: Final = ("id", "object", "type", "created", "livemode", "api_version")
THIN: Final = "v2.core.event"
"""Object type of thin events, which name the changed object without its content."""

THIN_REMARK: Final = "a thin event: switch the endpoint's payload style to snapshot in Stripe's dashboard"

SIGNATURE_HEADER: Final = "Stripe-Signature"

_decoder = msgspec.json.Decoder()


class StripeWebhooks:
    """Decodes webhooks that were signed with one of ``secrets``."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = tuple(secret for secret in secrets if secret)
        if not self._secrets:
            raise ValueError("a webhook secret is required to verify signatures")

    async def read(self, request: WebhookRequest) -> GatewayEvent:
        """Return the event in ``request.body`` after checking its signature. Raises ``WebhookRefused``."""
        verify(request.body, request.headers.get(SIGNATURE_HEADER), self._secrets, request.received_at)
        return read_event(request.body)

    def read_again(self, body: str) -> GatewayEvent:
        """Return the event in a stored body. Raises ``WebhookRefused``."""
        return _event(_decoded(body.encode()), body)


def read_event(body: bytes) -> GatewayEvent:
    """Return the event in ``body``, without checking a signature. Raises ``WebhookRefused`` for any other body."""
    event = _decoded(body)
    return _event(event, _kept(event, body))


def _decoded(body: bytes) -> Mapping[str, Any]:
    try:
        event = _decoder.decode(body)
        body.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WebhookRefused("the body is not JSON", code="body_malformed") from error
    if not isinstance(event, dict):
        raise WebhookRefused("the body is not a JSON object", code="body_malformed")
    return event


def _kept(event: Mapping[str, Any], raw: bytes) -> str:
    """Return the stored part of an event: the fields that are read, and a SHA-256 digest of the received bytes.

    The event can be processed again from it, and compared with the dashboard by its digest.
    """
    data = event.get("data")
    subject = data.get("object") if isinstance(data, dict) else None
    kept: dict[str, Any] = {name: plain_value(event[name]) for name in _EVENT_FIELDS if name in event}
    if isinstance(subject, dict):
        kept["data"] = {"object": kept_of(subject)}
    kept["sha256"] = sha256(raw).hexdigest()
    return msgspec.json.encode(kept).decode()


def _event(event: Mapping[str, Any], body: str) -> GatewayEvent:
    event_id, type_ = event.get("id"), event.get("type")
    if not _is_name(event_id) or not _is_name(type_):
        raise WebhookRefused("the event has no id or no type", code="event_malformed")
    if str(event.get("object")).startswith(THIN):
        return _thin(event, str(event_id), str(type_), body)
    data = event.get("data")
    subject = data.get("object") if isinstance(data, dict) else None
    return _about(event, str(event_id), str(type_), subject if isinstance(subject, dict) else {}, body)


def _thin(event: Mapping[str, Any], event_id: str, type_: str, body: str) -> GatewayEvent:
    """Return a thin event as an alert: it has no content, so the endpoint's payload style is set wrong."""
    livemode = event.get("livemode")
    return GatewayEvent(
        id=event_id,
        type=type_,
        created_at=None,
        livemode=livemode if isinstance(livemode, bool) else None,
        kind=None,
        object_id=None,
        intent_id=None,
        charge_id=None,
        payment_id=None,
        body=body.replace("\x00", ""),
        remark=THIN_REMARK,
        alert=True,
    )


def _about(event: Mapping[str, Any], event_id: str, type_: str, subject: Mapping[str, Any], body: str) -> GatewayEvent:
    kind, object_id = KINDS.get(type_), id_of(subject)
    if kind is not None and object_id is None:
        raise WebhookRefused("the event has no data.object.id", code="event_malformed")
    metadata = subject.get("metadata")
    payment_id = metadata.get(metadata_keys.PAYMENT_ID) if isinstance(metadata, dict) else None
    livemode, created, version = event.get("livemode"), event.get("created"), event.get("api_version")
    return GatewayEvent(
        id=event_id,
        type=type_,
        created_at=time_of(created),
        livemode=livemode if isinstance(livemode, bool) else None,
        kind=kind,
        object_id=object_id,
        intent_id=object_id if kind == "intent" else id_of(subject.get("payment_intent")),
        charge_id=object_id if kind == "charge" else id_of(subject.get("charge")),
        payment_id=payment_id if isinstance(payment_id, str) else None,
        body=body.replace("\x00", ""),
        remark=ALERTS.get(type_) or REMARKS.get(type_),
        alert=type_ in ALERTS,
        api_version=version if _is_name(version) else None,
        **(_charged(subject) if type_ == "charge.succeeded" else _snapshot(kind, subject)),
    )


def _charged(subject: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {"charge": charge_report(subject)}
    except UnreadableObject:
        return {}


def _snapshot(kind: str | None, subject: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report in the event, if it is complete."""
    read = _READERS.get(kind or "")
    try:
        return {str(kind): read(subject)} if read else {}
    except UnreadableObject:
        return {}


_READERS: Final[Mapping[str, Any]] = {
    "intent": intent_report,
    "refund": refund_report,
    "dispute": dispute_report,
}


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255 and "\x00" not in value
