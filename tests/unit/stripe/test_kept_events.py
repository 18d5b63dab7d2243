"""The stored part of an event: enough to process it again, without secrets and personal data."""

import json
from hashlib import sha256
from typing import Any

import pytest
from attrs import evolve

from booking_payments.adapters.gateways.fake.gateway import due_deliveries
from booking_payments.adapters.gateways.stripe.objects import kept_of
from booking_payments.adapters.gateways.stripe.webhooks import StripeWebhooks, read_event
from booking_payments.ports.webhooks import GatewayEvent
from booking_payments.testing.kit import ANN, PaymentsTestKit

PERSON = "Ann-Example"
SECRETS = [PERSON, "_secret_", "hooks.stripe", "4242"]
READER = StripeWebhooks(["whsec_kept"])


def intent(**changes: Any) -> dict[str, Any]:
    """Return an intent as Stripe sends it, with a decline and personal data."""
    address = {"line1": f"{PERSON} Street 1", "city": PERSON, "postal_code": "12345", "country": "DE"}
    billing = {"name": PERSON, "email": f"{PERSON}@example.com", "phone": f"+49 {PERSON}", "address": address}
    method = {
        "id": "pm_1",
        "type": "card",
        "card": {"last4": "4242", "fingerprint": PERSON},
        "billing_details": billing,
    }
    error = {"code": "card_declined", "decline_code": "lost_card", "message": "No.", "charge": "ch_1"}
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "status": "requires_payment_method",
        "amount": 1000,
        "amount_received": 0,
        "amount_capturable": 0,
        "currency": "usd",
        "created": 1_700_000_000,
        "client_secret": "pi_1_secret_abcdefghijkl",
        "next_action": {"type": "redirect_to_url", "redirect_to_url": {"url": "https://hooks.stripe.com/redirect/x"}},
        "latest_charge": {
            "id": "ch_1",
            "billing_details": billing,
            "payment_method_details": {"card": {"last4": "4242"}},
        },
        "payment_method": method,
        "last_payment_error": {**error, "payment_method": method, "doc_url": PERSON, "param": PERSON},
        "receipt_email": f"{PERSON}@example.com",
        "description": PERSON,
        "statement_descriptor": PERSON,
        "shipping": {"name": PERSON, "address": address},
        "customer": {"id": "cus_1", "name": PERSON},
        "metadata": {"payment_id": "pay_1", "correlation_id": "req_1", "guest": PERSON},
        "charges": {"data": [{"id": "ch_1", "billing_details": billing}]},
        **changes,
    }


def dispute(**changes: Any) -> dict[str, Any]:
    evidence = {"customer_name": PERSON, "customer_email_address": PERSON, "billing_address": PERSON}
    moved = [{"id": "txn_1", "amount": -1000, "currency": "usd", "description": PERSON}]
    return {
        "id": "dp_1",
        "object": "dispute",
        "amount": 1000,
        "currency": "usd",
        "charge": {"id": "ch_1", "billing_details": {"name": PERSON}},
        "payment_intent": "pi_1",
        "status": "needs_response",
        "reason": "fraudulent",
        "created": 1_700_000_000,
        "evidence": evidence,
        "evidence_details": {"due_by": 1_700_500_000, "has_evidence": False, "note": PERSON},
        "balance_transactions": moved,
        **changes,
    }


def refund(**changes: Any) -> dict[str, Any]:
    return {
        "id": "re_1",
        "object": "refund",
        "amount": 1000,
        "currency": "usd",
        "charge": "ch_1",
        "payment_intent": {"id": "pi_1", "client_secret": "pi_1_secret_abcdefghijkl"},
        "status": "failed",
        "reason": "requested_by_customer",
        "failure_reason": "lost_or_stolen_card",
        "created": 1_700_000_000,
        "instructions_email": f"{PERSON}@example.com",
        "destination_details": {"card": {"reference": PERSON}},
        "metadata": {"refund_id": "rf_1", "payment_id": "pay_1", "note": PERSON},
        **changes,
    }


EVENTS = {
    "an intent": ("payment_intent.payment_failed", intent()),
    "an intent of tomorrow": ("payment_intent.processing", intent(status="a_status_of_tomorrow", latest_charge=None)),
    "an intent without an error": ("payment_intent.succeeded", intent(last_payment_error=None, metadata=None)),
    "a poor intent": ("payment_intent.succeeded", {"id": "pi_1", "receipt_email": PERSON}),
    "an intent of wrong types": ("payment_intent.succeeded", intent(amount="1000", currency=5, created=10**30)),
    "a charge": ("charge.refunded", {"id": "ch_1", "payment_intent": "pi_1", "billing_details": {"name": PERSON}}),
    "a refund": ("refund.failed", refund()),
    "a dispute": ("charge.dispute.created", dispute()),
    "a dispute in another currency": (
        "charge.dispute.updated",
        dispute(balance_transactions=[{"amount": -900, "currency": "eur"}, "odd", None]),
    ),
    "something else": ("customer.created", {"id": "cus_1", "name": PERSON, "email": PERSON}),
    "without an object": ("payout.paid", {}),
}


def sent(name: str) -> bytes:
    type_, subject = EVENTS[name]
    event = {"id": "evt_1", "object": "event", "type": type_, "created": 1_700_000_000, "livemode": False}
    event |= {
        "account": PERSON,
        "request": {"id": PERSON},
        "data": {"object": subject, "previous_attributes": {"x": PERSON}},
    }
    return json.dumps(event).encode()


def without_what_acts(event: GatewayEvent) -> GatewayEvent:
    if event.intent is None:
        return event
    metadata = {name: value for name, value in event.intent.metadata.items() if name.endswith("_id")}
    return evolve(event, intent=evolve(event.intent, client_secret=None, next_action=None, metadata=metadata))


@pytest.mark.parametrize("name", EVENTS)
def test_neither_secrets_nor_personal_data_are_stored(name: str) -> None:
    kept = read_event(sent(name)).body

    assert [secret for secret in SECRETS if secret in kept] == []


@pytest.mark.parametrize("name", EVENTS)
def test_a_stored_event_decodes_to_the_same_event(name: str) -> None:
    first = read_event(sent(name))
    again = READER.read_again(first.body)
    wanted = without_what_acts(first)
    if wanted.refund is not None:
        metadata = {each: value for each, value in wanted.refund.metadata.items() if each.endswith("_id")}
        wanted = evolve(wanted, refund=evolve(wanted.refund, metadata=metadata))

    assert again == wanted
    assert READER.read_again(again.body) == again


def test_the_digest_is_that_of_the_received_bytes() -> None:
    raw = sent("a dispute")

    assert json.loads(read_event(raw).body)["sha256"] == sha256(raw).hexdigest()


def test_long_texts_are_cut() -> None:
    assert (
        len(
            read_event(
                json.dumps({"id": "evt_1", "type": "x.y", "data": {"object": intent(reason="x" * 9_999)}}).encode()
            ).body
        )
        < 3_000
    )
    assert kept_of({"id": ["a", "list"]}) == {"id": None}


async def test_no_event_of_a_whole_payment_leaves_a_secret_in_the_inbox() -> None:
    kit = PaymentsTestKit()
    booking = await kit.book()
    view = await kit.payments.start_payment(
        booking.id, ANN, payment_method_id="pm_card_authenticationRequired", confirm_immediately=True
    )
    sent_secrets = [body for _, _, body in due_deliveries(kit.stripe) if b"_secret_" in body]
    await kit.deliver_webhooks()
    kit.authenticate(view, "succeeded")
    await kit.deliver_webhooks()
    await kit.payments.refund_payment(booking.id, ANN)
    await kit.deliver_webhooks()

    entries = await kit.payments.list_webhooks(limit=100)
    assert sent_secrets, "the fake gateway sends client secrets, as Stripe does"
    assert len(entries) > 3
    assert [each.event_id for each in entries if "_secret_" in each.body or "billing_details" in each.body] == []


async def test_a_replayed_event_keeps_the_stored_client_secret() -> None:
    kit = PaymentsTestKit()
    booking = await kit.book()
    await kit.payments.start_payment(
        booking.id, ANN, payment_method_id="pm_card_authenticationRequired", confirm_immediately=True
    )
    await kit.deliver_webhooks()

    await kit.payments.replay_webhooks()

    client_action = (await kit.payments.payment_status(booking.id, ANN)).client_action
    assert client_action is not None
    assert client_action.client_secret
    assert client_action.next_action
