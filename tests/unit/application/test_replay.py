"""Replays of events from the inbox by id, type, time and failure, without a second effect."""

import json
from collections.abc import Sequence
from datetime import timedelta

import pytest

from booking_payments.application.replaying import UNFINISHED, Replayed
from booking_payments.application.views import PaymentView
from booking_payments.application.webhooks import WebhookFailed
from booking_payments.domain.booking import BookingStatus
from booking_payments.ports.inbox import InboxEntry, InboxFilter, InboxStatus
from booking_payments.testing.kit import PaymentsTestKit
from tests.payments import pay_in_browser, payment_of, start

FAILED = InboxFilter(statuses=UNFINISHED)


async def _paid_in_browser(kit: PaymentsTestKit, card: str = "pm_card_visa") -> PaymentView:
    view = await start(kit)
    pay_in_browser(kit, view, card)
    return view


async def _failed_deliveries(kit: PaymentsTestKit) -> PaymentView:
    """A refund in the dashboard whose webhooks could not be processed."""
    view = await _paid_in_browser(kit)
    await kit.deliver_webhooks()
    kit.stripe.refund_in_dashboard(view.payment.intent_id or "", 3000)
    kit.stripe.faults.script("GET /v1/*", "503", times=6)
    for _ in range(2):
        with pytest.raises(WebhookFailed):
            await kit.deliver_webhooks()
        waiting = kit.stripe.pending_deliveries()
        kit.stripe.delivered(waiting[0].event_id, True, waiting[0].endpoint_id)
    return view


def _outcomes(results: Sequence[Replayed]) -> list[str]:
    return [each.outcome for each in results]


async def test_failed_events_are_processed_again(kit: PaymentsTestKit) -> None:
    view = await _failed_deliveries(kit)

    results = await kit.payments.replay_webhooks(which=FAILED)

    assert _outcomes(results) == ["processed", "processed"]
    assert (await payment_of(kit, view)).refunded.minor == 3000


async def test_a_replayed_event_is_not_retried_any_more(kit: PaymentsTestKit) -> None:
    await _failed_deliveries(kit)
    await kit.payments.replay_webhooks(which=FAILED)

    assert await kit.payments.replay_webhooks(which=FAILED) == []


async def test_a_replay_of_a_processed_event_has_no_second_effect(kit: PaymentsTestKit) -> None:
    view = await _paid_in_browser(kit)
    await kit.deliver_webhooks()
    before = await payment_of(kit, view)

    results = await kit.payments.replay_webhooks()

    assert (set(_outcomes(results)), await payment_of(kit, view)) == ({"duplicate"}, before)


async def test_an_interrupted_event_is_processed_by_its_replay(kit: PaymentsTestKit) -> None:
    view = await _paid_in_browser(kit)
    event = next(each for each in kit.stripe.pending_deliveries() if each.event["type"] == "payment_intent.succeeded")
    row = InboxEntry(
        gateway="fake",
        event_id=event.event_id,
        type="payment_intent.succeeded",
        status=InboxStatus.RECEIVED,
        object_id=None,
        received_at=kit.clock.now(),
        body=json.dumps(event.event),
    )
    await kit.storage.transact(lambda uow: uow.inbox.put(row))

    results = await kit.payments.replay_webhooks(which=FAILED)

    booking = await kit.payments.get_booking(view.payment.booking_id)
    assert (_outcomes(results), booking.status) == (["processed"], BookingStatus.CONFIRMED)


async def test_a_replay_that_fails_again_does_not_stop_others(kit: PaymentsTestKit) -> None:
    await _failed_deliveries(kit)
    kit.stripe.faults.script("GET /v1/*", "503", times=3)

    results = await kit.payments.replay_webhooks(which=FAILED)

    assert [(each.outcome, each.reason) for each in results] == [("failed", "OutcomeAmbiguous"), ("processed", None)]


async def test_a_replay_by_id_takes_that_event_only(kit: PaymentsTestKit) -> None:
    await _failed_deliveries(kit)
    wanted = (await kit.payments.list_webhooks(FAILED))[0]

    results = await kit.payments.replay_webhooks([wanted.event_id])

    assert [each.event_id for each in results] == [wanted.event_id]


async def test_a_replay_of_an_unknown_id_is_refused(kit: PaymentsTestKit) -> None:
    results = await kit.payments.replay_webhooks(["evt_never"])

    assert [(each.event_id, each.outcome, each.failed) for each in results] == [("evt_never", "unknown", True)]


async def test_a_replay_by_type_takes_that_type_only(kit: PaymentsTestKit) -> None:
    await _failed_deliveries(kit)

    results = await kit.payments.replay_webhooks(which=InboxFilter(type="charge.refunded"))

    assert [each.type for each in results] == ["charge.refunded"]


async def test_a_replay_by_time_takes_events_received_since(kit: PaymentsTestKit) -> None:
    await _paid_in_browser(kit)
    await kit.deliver_webhooks()
    kit.clock.advance(timedelta(hours=1))
    later = await kit.deliver_event("customer.created", {"id": "cus_1"})

    results = await kit.payments.replay_webhooks(which=InboxFilter(received_from=kit.clock.now()))

    assert [each.event_id for each in results] == [later.event_id]


async def test_events_are_replayed_oldest_first(kit: PaymentsTestKit) -> None:
    await _failed_deliveries(kit)
    newest_first = [each.event_id for each in await kit.payments.list_webhooks(FAILED)]

    results = await kit.payments.replay_webhooks(which=FAILED)

    assert [each.event_id for each in results] == newest_first[::-1]


async def test_a_dry_run_changes_nothing(kit: PaymentsTestKit) -> None:
    view = await _failed_deliveries(kit)

    results = await kit.payments.replay_webhooks(which=FAILED, dry_run=True)

    assert _outcomes(results) == ["waiting", "waiting"]
    assert (await payment_of(kit, view)).refunded.minor == 0


async def test_events_are_listed_newest_first(kit: PaymentsTestKit) -> None:
    await kit.deliver_event("customer.created", {"id": "cus_1"})
    await kit.deliver_event("customer.updated", {"id": "cus_1"})

    assert [each.type for each in await kit.payments.list_webhooks()] == ["customer.updated", "customer.created"]


async def test_the_list_of_events_is_limited(kit: PaymentsTestKit) -> None:
    for _ in range(3):
        await kit.deliver_event("customer.created", {"id": "cus_1"})

    assert len(await kit.payments.list_webhooks(limit=2)) == 2


async def test_events_have_the_time_of_their_creation_at_the_gateway(kit: PaymentsTestKit) -> None:
    await _paid_in_browser(kit)
    made = kit.clock.now()
    kit.clock.advance(timedelta(hours=1))
    await kit.deliver_webhooks()

    rows = await kit.payments.list_webhooks()
    assert {(each.created_at, each.received_at) for each in rows} == {(made, made + timedelta(hours=1))}


async def test_named_events_are_replayed_oldest_first_too(kit: PaymentsTestKit) -> None:
    for event_id in ("evt_b", "evt_a"):
        body = {"id": event_id, "type": "customer.created", "data": {"object": {"id": "cus_1"}}}
        await kit.deliver(json.dumps(body).encode())
        kit.clock.advance(timedelta(seconds=1))

    results = await kit.payments.replay_webhooks(["evt_a", "evt_b", "evt_a"])

    assert [each.event_id for each in results] == ["evt_b", "evt_a"]


async def test_ids_and_filters_are_combined_with_and(kit: PaymentsTestKit) -> None:
    await kit.deliver_event("customer.created", {"id": "cus_1"})

    results = await kit.payments.replay_webhooks(["evt_made_1"], InboxFilter(type="refund.created"))

    assert [(each.event_id, each.outcome) for each in results] == [("evt_made_1", "unknown")]


async def test_of_two_events_with_one_id_the_one_of_the_type_is_replayed(kit: PaymentsTestKit) -> None:
    for type_ in ("customer.created", "customer.updated"):
        body = json.dumps({"id": "evt_1", "type": type_, "data": {"object": {"id": "cus_1"}}})
        row = InboxEntry(
            gateway="fake",
            event_id="evt_1",
            type=type_,
            status=InboxStatus.FAILED,
            object_id="cus_1",
            received_at=kit.clock.now(),
            body=body,
        )
        await kit.storage.transact(lambda uow, row=row: uow.inbox.put(row))  # type: ignore[misc]

    results = await kit.payments.replay_webhooks(which=InboxFilter(type="customer.updated"))

    assert [each.type for each in results] == ["customer.updated"]
