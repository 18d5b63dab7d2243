"""Events again: replayed from the inbox by id, type, time and failure, without a second effect."""

import json
from collections.abc import Sequence
from datetime import timedelta

import pytest

from booking_payments.application.replaying import UNFINISHED, Replayed
from booking_payments.application.views import PaymentView
from booking_payments.application.webhooks import WebhookFailed
from booking_payments.domain.booking import BookingStatus
from booking_payments.ports.inbox import InboxEntry, InboxFilter, InboxStatus
from booking_payments.testing.house import House
from tests.payments import pay_in_browser, payment_of, start

FAILED = InboxFilter(statuses=UNFINISHED)


async def _paid_in_browser(house: House, card: str = "pm_card_visa") -> PaymentView:
    view = await start(house)
    pay_in_browser(house, view, card)
    return view


async def _failed_deliveries(house: House) -> PaymentView:
    """A refund in the dashboard, whose webhooks could not be processed."""
    view = await _paid_in_browser(house)
    await house.deliver_webhooks()
    house.stripe.refund_in_dashboard(view.payment.intent_id or "", 3000)
    house.stripe.faults.script("GET /v1/*", "503", times=6)
    for _ in range(2):
        with pytest.raises(WebhookFailed):
            await house.deliver_webhooks()
        waiting = house.stripe.pending_deliveries()
        house.stripe.delivered(waiting[0].event_id, True, waiting[0].endpoint_id)
    return view


def _outcomes(results: Sequence[Replayed]) -> list[str]:
    return [each.outcome for each in results]


async def test_failed_events_are_processed_again(house: House) -> None:
    view = await _failed_deliveries(house)

    results = await house.payments.replay_webhooks(which=FAILED)

    assert _outcomes(results) == ["processed", "processed"]
    assert (await payment_of(house, view)).refunded.minor == 3000


async def test_what_was_replayed_waits_no_longer(house: House) -> None:
    await _failed_deliveries(house)
    await house.payments.replay_webhooks(which=FAILED)

    assert await house.payments.replay_webhooks(which=FAILED) == []


async def test_a_replay_of_what_was_processed_has_no_second_effect(house: House) -> None:
    view = await _paid_in_browser(house)
    await house.deliver_webhooks()
    before = await payment_of(house, view)

    results = await house.payments.replay_webhooks()

    assert (set(_outcomes(results)), await payment_of(house, view)) == ({"duplicate"}, before)


async def test_an_event_that_was_cut_short_is_processed_by_its_replay(house: House) -> None:
    view = await _paid_in_browser(house)
    event = next(each for each in house.stripe.pending_deliveries() if each.event["type"] == "payment_intent.succeeded")
    row = InboxEntry(
        gateway="fake",
        event_id=event.event_id,
        type="payment_intent.succeeded",
        status=InboxStatus.RECEIVED,
        object_id=None,
        received_at=house.clock.now(),
        body=json.dumps(event.event),
    )
    await house.storage.transact(lambda uow: uow.inbox.put(row))

    results = await house.payments.replay_webhooks(which=FAILED)

    booking = await house.payments.get_booking(view.payment.booking_id)
    assert (_outcomes(results), booking.status) == (["processed"], BookingStatus.CONFIRMED)


async def test_a_replay_that_fails_again_stops_no_other(house: House) -> None:
    await _failed_deliveries(house)
    house.stripe.faults.script("GET /v1/*", "503", times=3)

    results = await house.payments.replay_webhooks(which=FAILED)

    assert [(each.outcome, each.reason) for each in results] == [("failed", "Silent"), ("processed", None)]


async def test_a_replay_by_id_takes_that_event_only(house: House) -> None:
    await _failed_deliveries(house)
    wanted = (await house.payments.list_webhooks(FAILED))[0]

    results = await house.payments.replay_webhooks([wanted.event_id])

    assert [each.event_id for each in results] == [wanted.event_id]


async def test_an_id_that_was_never_received_is_told(house: House) -> None:
    results = await house.payments.replay_webhooks(["evt_never"])

    assert [(each.event_id, each.outcome, each.failed) for each in results] == [("evt_never", "unknown", True)]


async def test_a_replay_by_type_takes_that_type_only(house: House) -> None:
    await _failed_deliveries(house)

    results = await house.payments.replay_webhooks(which=InboxFilter(type="charge.refunded"))

    assert [each.type for each in results] == ["charge.refunded"]


async def test_a_replay_by_time_takes_what_came_since(house: House) -> None:
    await _paid_in_browser(house)
    await house.deliver_webhooks()
    house.clock.advance(timedelta(hours=1))
    later = await house.deliver_event("customer.created", {"id": "cus_1"})

    results = await house.payments.replay_webhooks(which=InboxFilter(received_from=house.clock.now()))

    assert [each.event_id for each in results] == [later.event_id]


async def test_events_are_replayed_oldest_first(house: House) -> None:
    await _failed_deliveries(house)
    newest_first = [each.event_id for each in await house.payments.list_webhooks(FAILED)]

    results = await house.payments.replay_webhooks(which=FAILED)

    assert [each.event_id for each in results] == newest_first[::-1]


async def test_a_dry_run_does_nothing(house: House) -> None:
    view = await _failed_deliveries(house)

    results = await house.payments.replay_webhooks(which=FAILED, dry_run=True)

    assert _outcomes(results) == ["waiting", "waiting"]
    assert (await payment_of(house, view)).refunded.minor == 0


async def test_events_are_listed_newest_first(house: House) -> None:
    await house.deliver_event("customer.created", {"id": "cus_1"})
    await house.deliver_event("customer.updated", {"id": "cus_1"})

    assert [each.type for each in await house.payments.list_webhooks()] == ["customer.updated", "customer.created"]


async def test_a_list_has_an_end(house: House) -> None:
    for _ in range(3):
        await house.deliver_event("customer.created", {"id": "cus_1"})

    assert len(await house.payments.list_webhooks(limit=2)) == 2


async def test_events_keep_when_the_gateway_made_them(house: House) -> None:
    await _paid_in_browser(house)
    made = house.clock.now()
    house.clock.advance(timedelta(hours=1))
    await house.deliver_webhooks()

    rows = await house.payments.list_webhooks()
    assert {(each.created_at, each.received_at) for each in rows} == {(made, made + timedelta(hours=1))}


async def test_named_events_are_replayed_oldest_first_too(house: House) -> None:
    for event_id in ("evt_b", "evt_a"):
        body = {"id": event_id, "type": "customer.created", "data": {"object": {"id": "cus_1"}}}
        await house.deliver(json.dumps(body).encode())
        house.clock.advance(timedelta(seconds=1))

    results = await house.payments.replay_webhooks(["evt_a", "evt_b", "evt_a"])

    assert [each.event_id for each in results] == ["evt_b", "evt_a"]


async def test_ids_and_filters_narrow_each_other(house: House) -> None:
    await house.deliver_event("customer.created", {"id": "cus_1"})

    results = await house.payments.replay_webhooks(["evt_made_1"], InboxFilter(type="refund.created"))

    assert [(each.event_id, each.outcome) for each in results] == [("evt_made_1", "unknown")]


async def test_of_two_events_with_one_id_the_one_of_the_type_is_replayed(house: House) -> None:
    for type_ in ("customer.created", "customer.updated"):
        body = json.dumps({"id": "evt_1", "type": type_, "data": {"object": {"id": "cus_1"}}})
        row = InboxEntry(
            gateway="fake",
            event_id="evt_1",
            type=type_,
            status=InboxStatus.FAILED,
            object_id="cus_1",
            received_at=house.clock.now(),
            body=body,
        )
        await house.storage.transact(lambda uow, row=row: uow.inbox.put(row))  # type: ignore[misc]

    results = await house.payments.replay_webhooks(which=InboxFilter(type="customer.updated"))

    assert [each.type for each in results] == ["customer.updated"]
