"""Decoding of Stripe's events: every type is classified, and no content raises an unexpected error."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking_payments.adapters.gateways.stripe.webhooks import ALERTS, KINDS, REMARKS, StripeWebhooks, read_event
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.domain.reports import MethodDetails
from booking_payments.ports.webhooks import GatewayEvent, WebhookRefused, WebhookRequest
from booking_payments.sandbox.signature import sign

NOW = datetime(2026, 3, 1, tzinfo=UTC)
INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 10000,
    "amount_received": 10000,
    "currency": "usd",
    "status": "succeeded",
    "latest_charge": "ch_1",
    "metadata": {"payment_id": "pay_1"},
}
REFUND = {
    "id": "re_1",
    "object": "refund",
    "amount": 2500,
    "currency": "usd",
    "status": "pending",
    "charge": "ch_1",
    "payment_intent": "pi_1",
}
DISPUTE = {
    "id": "du_1",
    "object": "dispute",
    "amount": 10000,
    "currency": "usd",
    "status": "needs_response",
    "reason": "fraudulent",
    "charge": "ch_1",
    "payment_intent": "pi_1",
}
CHARGE = {"id": "ch_1", "object": "charge", "payment_intent": "pi_1", "amount": 10000, "currency": "usd"}
SUBJECTS = {"intent": INTENT, "refund": REFUND, "dispute": DISPUTE, "charge": CHARGE}

# Every event type of Stripe about a payment (docs.stripe.com/api/events/types).
OF_PAYMENTS = [
    "payment_intent.created",
    "payment_intent.requires_action",
    "payment_intent.processing",
    "payment_intent.amount_capturable_updated",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "payment_intent.partially_funded",
    "charge.succeeded",
    "charge.failed",
    "charge.pending",
    "charge.captured",
    "charge.expired",
    "charge.updated",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.refund.updated",
    "charge.dispute.created",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "radar.early_fraud_warning.created",
    "review.opened",
    "review.closed",
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
]


def event(type_: str, subject: object, **more: Any) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "object": "event",
        "type": type_,
        "created": 1767225600,
        "livemode": False,
        "data": {"object": subject},
        **more,
    }


def read(body: Mapping[str, Any]) -> GatewayEvent:
    return read_event(json.dumps(body).encode())


@pytest.mark.parametrize("type_", OF_PAYMENTS)
def test_every_event_type_of_a_payment_is_classified(type_: str) -> None:
    assert (type_ in KINDS) + (type_ in REMARKS) + (type_ in ALERTS) == 1


@pytest.mark.parametrize(("type_", "kind"), KINDS.items())
def test_a_processed_event_has_its_object(type_: str, kind: str) -> None:
    seen = read(event(type_, SUBJECTS[kind]))

    assert (seen.type, seen.kind, seen.object_id, seen.intent_id) == (type_, kind, SUBJECTS[kind]["id"], "pi_1")
    assert seen.charge_id in ("ch_1", None)


def test_an_intent_event_has_its_snapshot_and_the_payment_id() -> None:
    seen = read(event("payment_intent.succeeded", INTENT))

    assert seen.intent is not None
    assert (seen.intent.status, seen.intent.amount.minor, seen.payment_id) == (PaymentStatus.SUCCEEDED, 10000, "pay_1")


def test_refund_and_dispute_events_have_their_snapshots() -> None:
    refund, dispute = read(event("refund.updated", REFUND)), read(event("charge.dispute.created", DISPUTE))

    assert refund.refund is not None
    assert dispute.dispute is not None
    assert (refund.refund.status, dispute.dispute.status) == (RefundStatus.PENDING, DisputeStatus.NEEDS_RESPONSE)


@pytest.mark.parametrize("type_", sorted(ALERTS))
def test_an_alert_has_an_instruction_for_the_operator(type_: str) -> None:
    seen = read(event(type_, {"id": "issfr_1", "charge": "ch_1"}))

    assert seen.alert
    assert seen.kind is None
    assert seen.remark == ALERTS[type_]


@pytest.mark.parametrize("field", ["payment_intent", "charge"])
def test_an_expanded_field_is_read_like_its_id(field: str) -> None:
    seen = read(event("refund.created", {**REFUND, field: {"id": REFUND[field], "object": field}}))

    assert (seen.intent_id, seen.charge_id) == ("pi_1", "ch_1")


@pytest.mark.parametrize(
    "subject",
    [
        {**INTENT, "status": "requires_source_action"},
        {**INTENT, "status": "a_status_of_tomorrow"},
        {**INTENT, "charges": {"data": [{"id": "ch_1"}]}, "latest_charge": None},
        {**INTENT, "next_action": "not an object"},
        {**INTENT, "metadata": None},
        {**INTENT, "a_field_of_tomorrow": [{}]},
    ],
)
def test_events_of_other_api_versions_are_decoded(subject: dict[str, Any]) -> None:
    seen = read(event("payment_intent.payment_failed", subject, api_version="2019-02-11", pending_webhooks=1))

    assert (seen.kind, seen.intent_id) == ("intent", "pi_1")


def test_an_unknown_status_is_no_status() -> None:
    seen = read(event("payment_intent.processing", {**INTENT, "status": "a_status_of_tomorrow"}))

    assert seen.intent is not None
    assert seen.intent.status is None


@pytest.mark.parametrize(
    "subject", [{"id": "pi_1"}, {**INTENT, "amount": "10000"}, {**INTENT, "currency": "xyz"}, {**INTENT, "amount": 1.5}]
)
def test_an_incomplete_snapshot_is_left_out_so_that_the_object_is_read(subject: dict[str, Any]) -> None:
    seen = read(event("payment_intent.succeeded", subject))

    assert (seen.intent, seen.intent_id) == (None, "pi_1")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"id": "evt_1"}',
        b'{"type": "x"}',
        b'{"id": 1, "type": "x"}',
        b'{"id": "", "type": "x"}',
        b'{"id": "evt_1", "type": null}',
        json.dumps({"id": "e" * 256, "type": "x"}).encode(),
        json.dumps({"id": "evt\x00", "type": "x"}).encode(),
        b'{"id": "evt_1", "type": "payment_intent.succeeded"}',
        b'{"id": "evt_1", "type": "payment_intent.succeeded", "data": []}',
        b'{"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": []}}',
        b'{"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": {"id": 7}}}',
    ],
)
def test_a_body_without_an_event_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookRefused):
        read_event(body)


def test_an_ignored_event_needs_no_object() -> None:
    seen = read({"id": "evt_1", "type": "ping.tomorrow", "data": None})

    assert (seen.kind, seen.object_id, seen.livemode, seen.created_at) == (None, None, None, None)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    type_=st.sampled_from(sorted(KINDS)),
    spoilt=st.sampled_from(
        ["id", "amount", "currency", "status", "metadata", "payment_intent", "charge", "reason", "last_payment_error"]
    ),
    value=_JSON,
    created=_JSON,
)
def test_no_field_value_raises_an_unexpected_error(type_: str, spoilt: str, value: object, created: object) -> None:
    subject = {**SUBJECTS[KINDS[type_]], spoilt: value}
    body = event(type_, subject, created=created)

    assert _outcome(body) in (type_, "event_malformed")


def _outcome(body: Mapping[str, Any]) -> str:
    try:
        return read(body).type
    except WebhookRefused as refused:
        return refused.code


def _signed(body: bytes, secret: str) -> WebhookRequest:
    return WebhookRequest(body=body, headers={"Stripe-Signature": sign(body, secret, NOW)}, received_at=NOW)


async def test_only_signed_bodies_are_read() -> None:
    body = json.dumps(event("payment_intent.succeeded", INTENT)).encode()
    webhooks = StripeWebhooks(["whsec_new", "whsec_old"])

    assert (await webhooks.read(_signed(body, "whsec_old"))).id == "evt_1"
    with pytest.raises(WebhookRefused):
        await webhooks.read(_signed(body, "whsec_other"))


@pytest.mark.parametrize("secrets", [[], [""], ["", ""]])
def test_a_reader_needs_a_secret(secrets: list[str]) -> None:
    with pytest.raises(ValueError, match="secret is required"):
        StripeWebhooks(secrets)


def test_the_guide_names_the_processed_events() -> None:
    """An operator selects them in Stripe's dashboard; ``doctor`` compares them with those of the endpoint."""
    guide = (Path(__file__).parents[3] / "docs/guides/go-live.md").read_text(encoding="utf-8")
    listed = guide.split("select these events:", 1)[1].split("```text", 1)[1].split("```", 1)[0]

    assert set(listed.split()) == {*KINDS, *ALERTS}


def test_a_successful_charge_has_its_payment_method() -> None:
    details = {"type": "card", "card": {"brand": "visa", "last4": "4242", "capture_before": 1767225600}}
    seen = read(event("charge.succeeded", {**CHARGE, "captured": False, "payment_method_details": details}))

    assert seen.charge is not None
    assert (seen.charge.id, seen.charge.charge_id, seen.charge.method) == (
        "pi_1",
        "ch_1",
        MethodDetails(type="card", brand="visa", last4="4242"),
    )
    assert seen.charge.capture_before == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_charge_of_an_older_api_version_has_no_payment_method() -> None:
    seen = read(event("charge.succeeded", {"id": "ch_1", "amount": 100, "currency": "usd"}))

    assert (seen.kind, seen.charge, seen.intent_id) == ("charge", None, None)
