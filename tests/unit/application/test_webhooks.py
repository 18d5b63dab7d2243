"""Webhooks: duplicate, late, early, out of order, and foreign."""

import json
from collections.abc import Mapping
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from booking_payments.application.webhooks import WebhookFailed
from booking_payments.domain import decisions
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.errors import CardDeclined
from booking_payments.domain.lifecycle import DisputeStatus, PaymentStatus, RefundStatus
from booking_payments.ports.inbox import InboxEntry, InboxStatus
from booking_payments.ports.webhooks import WebhookRefused
from booking_payments.sandbox.signature import sign
from booking_payments.testing.kit import ANN, SECRET, PaymentsTestKit
from tests.payments import book_and_pay, pay, pay_in_browser, payment_of, postpone_evidence, start

Event = dict[str, Any]


def _event(kit: PaymentsTestKit, kind: str) -> Event:
    return next(event for event in kit.stripe.events if event["type"] == kind)


def _body(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event).encode()


async def _row(kit: PaymentsTestKit, event: Event) -> InboxEntry:
    return (await kit.storage.read(lambda uow: uow.inbox.find(event["id"])))[0]


async def test_a_success_in_the_browser_confirms_the_booking(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view)

    await kit.deliver_webhooks()

    booking = await kit.payments.get_booking(view.payment.booking_id)
    assert booking.status is BookingStatus.CONFIRMED


async def test_an_attempt_in_the_browser_counts_like_one_of_the_server(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view, "pm_card_chargeDeclined")

    await kit.deliver_webhooks()

    assert (await payment_of(kit, view)).attempts_made == 1


async def test_the_same_event_again_has_no_second_effect(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view)
    event = _body(_event(kit, "payment_intent.succeeded"))
    await kit.deliver(event)
    before = await payment_of(kit, view)

    again = await kit.deliver(event)

    assert (again.outcome, await payment_of(kit, view)) == ("duplicate", before)


async def test_an_equal_event_with_another_id_has_no_second_effect(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view)
    event = _event(kit, "payment_intent.succeeded")
    await kit.deliver(_body(event))
    before = await payment_of(kit, view)

    await kit.deliver(_body({**event, "id": "evt_twin"}))

    assert await payment_of(kit, view) == before


async def test_a_late_failure_does_not_undo_a_paid_booking(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view, "pm_card_chargeDeclined")
    pay_in_browser(kit, view)
    await kit.deliver(_body(_event(kit, "payment_intent.succeeded")))

    await kit.deliver(_body(_event(kit, "payment_intent.payment_failed")))

    assert (await payment_of(kit, view)).status is PaymentStatus.SUCCEEDED


async def test_an_event_without_a_final_status_makes_the_intent_be_read(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view, "pm_card_chargeDeclined")
    pay_in_browser(kit, view)

    await kit.deliver(_body(_event(kit, "payment_intent.payment_failed")))

    assert (await payment_of(kit, view)).status is PaymentStatus.SUCCEEDED


async def test_an_outdated_event_makes_no_gateway_call(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    calls = len(kit.stripe.calls)

    await kit.deliver(_body(_event(kit, "payment_intent.created")))

    assert (len(kit.stripe.calls), (await payment_of(kit, view)).version) == (calls, view.payment.version)


async def test_a_final_success_is_recorded_without_a_gateway_call(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view)
    calls = len(kit.stripe.calls)

    await kit.deliver(_body(_event(kit, "payment_intent.succeeded")))

    assert len(kit.stripe.calls) == calls


async def test_events_in_any_order_lead_to_the_same_state() -> None:
    async def deliver(order: tuple[int, ...]) -> tuple[object, ...]:
        kit = PaymentsTestKit()
        view = await start(kit)
        pay_in_browser(kit, view, "pm_card_chargeDeclined")
        pay_in_browser(kit, view)
        events = [_body(event) for event in kit.stripe.events if event["type"].startswith("payment_intent.")]
        for place in order:
            await kit.deliver(events[place])
        payment = await payment_of(kit, view)
        return payment.status, payment.captured, payment.attempts_made

    ends = {await deliver(order) for order in permutations(range(3))}
    assert len(ends) == 1


async def test_an_event_that_arrives_before_the_response_finds_its_payment(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    kit.stripe.faults.script("POST /v1/payment_intents", "slow", times=1)
    outcomes: list[str] = []

    async def webhook_first() -> None:
        outcomes.append((await kit.deliver(_body(_event(kit, "payment_intent.succeeded")))).outcome)

    kit.clock.meanwhile(webhook_first)
    view = await pay(kit, booking)

    assert (outcomes, view.payment.status, view.payment.attempts_made) == (["processed"], PaymentStatus.SUCCEEDED, 1)


async def test_a_dispute_that_arrives_before_the_response_finds_its_payment(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    kit.stripe.faults.script("POST /v1/payment_intents", "slow", times=1)

    async def webhook_first() -> None:
        await kit.deliver(_body(_event(kit, "charge.dispute.created")))

    kit.clock.meanwhile(webhook_first)
    view = await pay(kit, booking, "pm_card_createDispute")

    assert [dispute.status for dispute in view.payment.disputes] == [DisputeStatus.NEEDS_RESPONSE]


async def test_a_response_that_arrives_after_a_newer_webhook_is_read_again(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    kit.stripe.faults.script("POST /v1/payment_intents", "slow", times=1)

    async def customer_is_faster() -> None:
        intent = _event(kit, "payment_intent.requires_action")["data"]["object"]
        kit.stripe.authenticate(intent["id"], intent["client_secret"], "failed")
        await kit.deliver_webhooks()

    kit.clock.meanwhile(customer_is_faster)
    view = await pay(kit, booking, "pm_card_authenticationRequired")

    assert (view.payment.status, view.payment.attempts_made) == (PaymentStatus.REQUIRES_PAYMENT_METHOD, 1)


async def test_an_event_of_an_unprocessed_type_is_stored_and_ignored(kit: PaymentsTestKit) -> None:
    result = await kit.deliver(_body({"id": "evt_1", "type": "customer.created", "data": {"object": {}}}))

    row = await _row(kit, {"id": "evt_1"})
    assert (result.outcome, row.status) == ("ignored", InboxStatus.IGNORED)


async def test_an_event_of_the_other_mode_is_ignored_with_the_reason(kit: PaymentsTestKit) -> None:
    await start(kit)
    event = {**_event(kit, "payment_intent.created"), "livemode": True}

    result = await kit.deliver(_body(event))

    assert (result.outcome, result.reason) == ("ignored", "the event is of the other mode (livemode)")


async def test_an_event_of_a_foreign_object_is_ignored(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    event = _event(kit, "payment_intent.created")
    event["data"]["object"].update(id="pi_foreign", metadata={})

    result = await kit.deliver(_body({**event, "id": "evt_foreign"}))

    assert (result.outcome, (await payment_of(kit, view)).version) == ("ignored", view.payment.version)


async def test_an_event_id_seen_under_another_type_is_ignored(kit: PaymentsTestKit) -> None:
    await start(kit)
    event = _event(kit, "payment_intent.created")
    await kit.deliver(_body(event))

    result = await kit.deliver(_body({**event, "type": "payment_intent.succeeded"}))

    assert (result.outcome, result.reason) == ("ignored", "this event id was seen under another type")


@pytest.mark.parametrize("changes", [{"amount": 9999, "amount_received": 9999}, {"currency": "eur"}])
async def test_a_success_with_another_amount_is_reported_as_drift_and_not_recorded(
    kit: PaymentsTestKit, changes: dict[str, object]
) -> None:
    view = await start(kit)
    pay_in_browser(kit, view)
    event = _event(kit, "payment_intent.succeeded")
    event["data"]["object"].update(changes)

    await kit.deliver(_body(event))

    payment = await payment_of(kit, view)
    assert (payment.status, len(payment.drifts)) == (PaymentStatus.REQUIRES_PAYMENT_METHOD, 1)


async def test_a_charge_on_another_intent_with_the_payments_id_is_reported_as_drift(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit)
    other = kit.stripe.call(
        "POST",
        "/v1/payment_intents",
        {
            "amount": 10000,
            "currency": "usd",
            "payment_method": "pm_card_visa",
            "confirm": True,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "metadata": {"payment_id": view.payment.id, "booking_id": view.payment.booking_id},
        },
    )
    assert other.ok

    await kit.deliver_webhooks()

    payment = await payment_of(kit, view)
    assert [drift.code for drift in payment.drifts] == ["other_intent"]
    assert payment.intent_id == view.payment.intent_id


async def test_an_incomplete_event_makes_the_intent_be_read(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view)
    short = {"id": view.payment.intent_id, "status": "succeeded"}

    await kit.deliver(_body({"id": "evt_s", "type": "payment_intent.succeeded", "data": {"object": short}}))

    assert (await payment_of(kit, view)).status is PaymentStatus.SUCCEEDED


async def test_a_success_event_that_the_gateway_does_not_confirm_records_nothing(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    short = {"id": view.payment.intent_id, "status": "succeeded"}

    await kit.deliver(_body({"id": "evt_s", "type": "payment_intent.succeeded", "data": {"object": short}}))

    assert (await payment_of(kit, view)).status is PaymentStatus.REQUIRES_PAYMENT_METHOD


async def test_a_webhook_that_cannot_be_processed_is_stored_and_requested_again(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view, "pm_card_chargeDeclined")
    event = _event(kit, "payment_intent.payment_failed")
    kit.stripe.faults.script("GET /v1/*", "503", times=3)

    with pytest.raises(WebhookFailed):
        await kit.deliver(_body(event))

    row = await _row(kit, event)
    assert (row.status, row.reason) == (InboxStatus.FAILED, "OutcomeAmbiguous")


async def test_a_failed_webhook_is_processed_when_it_is_delivered_again(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view, "pm_card_chargeDeclined")
    event = _body(_event(kit, "payment_intent.payment_failed"))
    kit.stripe.faults.script("GET /v1/*", "503", times=3)
    with pytest.raises(WebhookFailed):
        await kit.deliver(event)

    again = await kit.deliver(event)

    assert (again.outcome, (await payment_of(kit, view)).attempts_made) == ("processed", 1)


async def test_a_delivery_counts_as_one_try(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    pay_in_browser(kit, view, "pm_card_chargeDeclined")
    event = _event(kit, "payment_intent.payment_failed")

    await kit.deliver(_body(event))

    assert (await _row(kit, event)).tries == 1


@pytest.mark.parametrize("step", ["first", "second"])
async def test_each_failed_delivery_counts_as_one_more_try(
    kit: PaymentsTestKit, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    view = await start(kit)
    pay_in_browser(kit, view, "pm_card_chargeDeclined")
    event = _event(kit, "payment_intent.payment_failed")
    if step == "first":
        monkeypatch.setattr(decisions, "is_stale_intent", _broken)
    else:
        kit.stripe.faults.script("GET /v1/*", "503", times=9)

    for _ in range(3):
        with pytest.raises(Exception, match=r"processed|broken"):
            await kit.deliver(_body(event))

    row = await _row(kit, event)
    assert (row.status, row.tries) == (InboxStatus.FAILED, 3)


def _broken(*_: object) -> bool:
    raise RuntimeError("broken")


async def test_a_dispute_blocks_only_refunds(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, "pm_card_createDispute")

    await kit.deliver_webhooks()

    payment = await payment_of(kit, view)
    assert (payment.status, payment.held_by_disputes) == (PaymentStatus.SUCCEEDED, payment.captured)


async def test_a_changed_deadline_of_a_dispute_is_recorded(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, "pm_card_createDispute")
    await kit.deliver_webhooks()
    before = (await payment_of(kit, view)).disputes[0]

    told = await kit.deliver_event("charge.dispute.updated", postpone_evidence(kit, before.id, 7))
    again = await kit.deliver_event("charge.dispute.updated", postpone_evidence(kit, before.id, 0))

    payment = await payment_of(kit, view)
    journal = await kit.payments.journal(view.payment.booking_id)
    assert before.evidence_due_by is not None
    assert payment.disputes[0].evidence_due_by == before.evidence_due_by + timedelta(days=7)
    assert [type(each.event).__name__ for each in journal].count("DisputeChanged") == 1
    assert (told.outcome, again.outcome) == ("processed", "processed")


async def test_a_late_webhook_does_not_restore_an_old_deadline(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, "pm_card_createDispute")
    await kit.deliver_webhooks()
    dispute = (await payment_of(kit, view)).disputes[0]
    first = postpone_evidence(kit, dispute.id, 1)
    await kit.deliver_event("charge.dispute.updated", postpone_evidence(kit, dispute.id, 7))
    newest = await payment_of(kit, view)

    result = await kit.deliver_event("charge.dispute.updated", first)

    assert (result.outcome, await payment_of(kit, view)) == ("processed", newest)


async def test_a_won_dispute_returns_the_amount_in_the_ledger(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, "pm_card_createDispute")
    await kit.deliver_webhooks()
    dispute = (await payment_of(kit, view)).disputes[0]
    kit.stripe.call("POST", f"/v1/disputes/{dispute.id}", {"evidence": {"uncategorized_text": "winning_evidence"}})
    kit.clock.advance(timedelta(seconds=10))

    await kit.deliver_webhooks()

    settled = (await payment_of(kit, view)).disputes[0]
    assert (settled.status, settled.withdrawn.minor) == (DisputeStatus.WON, 0)


async def test_a_late_failure_of_a_refund_is_recorded_from_its_webhook(kit: PaymentsTestKit) -> None:
    view = await book_and_pay(kit, "pm_card_refundFail")
    await kit.payments.refund_payment(view.payment.booking_id, ANN)
    kit.clock.advance(timedelta(seconds=3))

    await kit.deliver_webhooks()

    assert (await payment_of(kit, view)).refunds[0].status is RefundStatus.FAILED


async def test_the_last_failure_in_the_browser_ends_the_payment(kit: PaymentsTestKit) -> None:
    view = await start(kit)
    for _ in range(3):
        pay_in_browser(kit, view, "pm_card_chargeDeclined")
        await kit.deliver_webhooks()

    await kit.settle()

    assert (await payment_of(kit, view)).status is PaymentStatus.FAILED


async def test_a_wrong_signature_is_refused(kit: PaymentsTestKit) -> None:
    with pytest.raises(WebhookRefused):
        await kit.payments.receive_webhook(b"{}", {"Stripe-Signature": sign(b"{}", "whsec_other", kit.clock.now())})


@pytest.mark.parametrize("body", [b"[]", b"nonsense", b'"text"', b'{"id": "evt_1"}', b'{"type": "x"}', b"\xff"])
async def test_a_body_that_is_not_an_event_is_refused(kit: PaymentsTestKit, body: bytes) -> None:
    with pytest.raises(WebhookRefused):
        await kit.payments.receive_webhook(body, {"Stripe-Signature": sign(body, SECRET, kit.clock.now())})


async def test_a_decline_in_response_and_webhook_counts_once(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    with pytest.raises(CardDeclined):
        await pay(kit, booking, "pm_card_chargeDeclined")

    await kit.deliver_webhooks()

    assert (await payment_of(kit, booking)).attempts_made == 1


# --- old shapes, alerts, thin events


async def test_a_dispute_that_names_only_its_charge_finds_its_payment(kit: PaymentsTestKit) -> None:
    """An event in an old API version that arrives before the success: the charge is not stored yet."""
    view = await start(kit)
    pay_in_browser(kit, view, "pm_card_createDispute")
    event = _event(kit, "charge.dispute.created")
    del event["data"]["object"]["payment_intent"]

    result = await kit.deliver(_body(event))

    assert result.outcome == "processed"
    assert [dispute.status for dispute in (await payment_of(kit, view)).disputes] == [DisputeStatus.NEEDS_RESPONSE]


async def test_a_dispute_of_a_foreign_charge_is_ignored(kit: PaymentsTestKit) -> None:
    await book_and_pay(kit)
    result = await kit.deliver_event("charge.dispute.created", {"id": "du_other", "charge": "ch_other"})

    assert (result.outcome, result.reason) == ("ignored", "the event is about an object that is not ours")


REVIEW = {"id": "prv_1", "object": "review", "open": True}


@pytest.mark.parametrize("kind", ["review.opened", "review.closed", "radar.early_fraud_warning.created"])
@pytest.mark.parametrize("named", ["payment_intent", "charge"])
async def test_an_alert_names_intent_charge_and_payment(kit: PaymentsTestKit, kind: str, named: str) -> None:
    payment = (await book_and_pay(kit)).payment
    charge = payment.attempts[0].charge_id
    ids = {"payment_intent": payment.intent_id, "charge": charge}

    result = await kit.deliver_event(kind, {**REVIEW, named: ids[named]})

    assert (result.outcome, result.alert) == ("ignored", True)
    assert (result.about["intent_id"], result.about["charge_id"]) == (payment.intent_id, charge)
    assert (result.about["payment_id"], result.about["booking_reference"]) == (payment.id, "R-1")


async def test_an_alert_that_arrives_before_the_response_is_raised(kit: PaymentsTestKit) -> None:
    """The intent is not stored yet; its metadata names the payment."""
    view = await start(kit)
    other = kit.stripe.call(
        "POST", "/v1/payment_intents", {"amount": 100, "currency": "usd", "metadata": {"payment_id": view.payment.id}}
    )

    result = await kit.deliver_event("review.opened", {**REVIEW, "payment_intent": other.body["id"]})

    assert (result.alert, result.about["payment_id"]) == (True, view.payment.id)


@pytest.mark.parametrize("subject", [{"payment_intent": "pi_other"}, {"charge": "ch_other"}, {"payment_intent": None}])
async def test_an_alert_about_a_foreign_payment_is_ignored(kit: PaymentsTestKit, subject: Event) -> None:
    result = await kit.deliver_event("review.opened", {**REVIEW, **subject})

    assert (result.alert, result.reason) == (False, "the event is about an object that is not ours")


async def test_an_alert_of_the_other_mode_is_ignored(kit: PaymentsTestKit) -> None:
    payment = (await book_and_pay(kit)).payment
    subject = {**REVIEW, "payment_intent": payment.intent_id}
    event = {"id": "evt_1", "type": "review.opened", "livemode": True, "data": {"object": subject}}

    assert not (await kit.deliver(_body(event))).alert


@pytest.mark.parametrize("kind", ["v1.billing.meter.no_meter_found", "payment_intent.succeeded"])
async def test_a_thin_event_is_accepted_and_raises_an_alert(kit: PaymentsTestKit, kind: str) -> None:
    event = {
        "id": "evt_thin",
        "object": "v2.core.event",
        "type": kind,
        "livemode": False,
        "created": "2026-11-29T12:00:00.000Z",
        "related_object": {"id": "pi_1", "type": "payment_intent", "url": "/v1/payment_intents/pi_1"},
    }

    result = await kit.deliver(_body(event))
    again = await kit.deliver(_body(event))

    assert (result.outcome, result.alert, again.outcome) == ("ignored", True, "duplicate")
    assert "snapshot" in (result.reason or "")


async def test_the_api_version_of_an_event_is_stored(kit: PaymentsTestKit) -> None:
    event = {"id": "evt_1", "type": "invoice.paid", "api_version": "2020-08-27", "data": {"object": {"id": "in_1"}}}

    result = await kit.deliver(_body(event))

    assert result.api_version == "2020-08-27"
    assert '"api_version":"2020-08-27"' in (await _row(kit, event)).body


# --- invalid signatures


async def _refused(kit: PaymentsTestKit, deliveries: int) -> None:
    for _ in range(deliveries):
        with pytest.raises(WebhookRefused):
            await kit.payments.receive_webhook(b"{}", {"Stripe-Signature": "t=1,v1=" + "0" * 64})


async def _counted(kit: PaymentsTestKit) -> int:
    return await kit.storage.read(lambda uow: uow.inbox.refused_since("fake", kit.clock.now() - timedelta(hours=24)))


async def test_deliveries_with_an_invalid_signature_are_counted(kit: PaymentsTestKit) -> None:
    await _refused(kit, 3)

    assert await _counted(kit) == 3


async def test_a_malformed_body_with_a_valid_signature_is_not_counted(kit: PaymentsTestKit) -> None:
    with pytest.raises(WebhookRefused):
        await kit.deliver(b"[]")

    assert await _counted(kit) == 0


async def test_many_invalid_signatures_are_counted_with_few_writes(kit: PaymentsTestKit) -> None:
    await _refused(kit, 1000)
    during = await _counted(kit)
    kit.clock.advance(timedelta(seconds=1))
    await _refused(kit, 1)

    assert (during, await _counted(kit)) == (60, 1001)
