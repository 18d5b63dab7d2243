"""Events and their delivery (docs.stripe.com/webhooks)."""

from datetime import timedelta

import pytest

from .shop import Shop, made


def test_an_event_is_a_snapshot_in_stripes_shape(shop: Shop) -> None:
    intent = shop.intent()
    shop.post(f"payment_intents/{intent['id']}/cancel")

    event = shop.stripe.events[0]

    assert event["id"].startswith("evt_")
    assert (event["object"], event["type"], event["livemode"]) == ("event", "payment_intent.created", False)
    assert event["data"] == {"object": intent}
    assert event["created"] == intent["created"]


def test_events_are_listed_by_type_and_read_one_by_one(shop: Shop) -> None:
    shop.paid()

    charges = shop.get("events", type="charge.*").body["data"]
    either = shop.get("events", types=["charge.succeeded", "payment_intent.created"]).body["data"]

    assert [each["type"] for each in charges] == ["charge.succeeded"]
    assert [each["type"] for each in either] == ["charge.succeeded", "payment_intent.created"]
    assert shop.read(charges[0]) == charges[0]


def test_events_are_kept_for_30_days(shop: Shop) -> None:
    shop.intent()

    shop.wait(days=31)

    assert (shop.stripe.events, shop.stripe.deliveries()) == ([], [])


def test_an_acknowledged_event_is_not_delivered_again(shop: Shop) -> None:
    shop.intent()
    waiting = shop.stripe.pending_deliveries()

    acknowledged = shop.stripe.delivered(waiting[0].event_id, True)

    assert (acknowledged, shop.stripe.pending_deliveries()) == (True, [])
    assert shop.stripe.delivered(waiting[0].event_id, True) is False
    assert len(shop.get("events", delivery_success="true").body["data"]) == 1


def test_a_failed_delivery_comes_back_with_backoff(shop: Shop) -> None:
    shop.intent()
    event_id = shop.stripe.pending_deliveries()[0].event_id
    waits = []

    for _ in range(4):
        shop.stripe.delivered(event_id, False)
        waits.append((shop.stripe.deliveries()[0].next_attempt_at - shop.now).total_seconds())

    assert (waits, shop.stripe.pending_deliveries()) == ([1, 2, 4, 8], [])
    assert shop.stripe.deliveries()[0].attempts == 4
    assert shop.get("events", delivery_success=False).body["data"][0]["id"] == event_id


def test_a_delivery_is_given_up_after_three_days(shop: Shop) -> None:
    shop.intent()
    event_id = shop.stripe.pending_deliveries()[0].event_id

    shop.wait(days=3)
    shop.stripe.delivered(event_id, False)

    assert shop.stripe.deliveries() == []
    assert len(shop.get("events", delivery_success=False).body["data"]) == 1


def test_each_endpoint_gets_the_events_it_wants(shop: Shop) -> None:
    charges = made(shop.post("webhook_endpoints", url="https://a.example", enabled_events=["charge.*"]))
    everything = made(shop.post("webhook_endpoints", url="https://b.example", enabled_events=["*"]))
    shop.paid()

    by_endpoint: dict[str | None, list[str]] = {}
    for delivery in shop.stripe.pending_deliveries():
        by_endpoint.setdefault(delivery.endpoint_id, []).append(delivery.event["type"])

    assert by_endpoint[charges["id"]] == ["charge.succeeded"]
    assert by_endpoint[everything["id"]] == by_endpoint[None] == shop.types()


def test_a_deleted_endpoint_gets_nothing_more(shop: Shop) -> None:
    endpoint = made(shop.post("webhook_endpoints", url="https://a.example", enabled_events=["*"]))
    shop.intent()

    shop.stripe.call("DELETE", f"/v1/webhook_endpoints/{endpoint['id']}", {})
    shop.intent()

    assert {delivery.endpoint_id for delivery in shop.stripe.deliveries()} == {None}


def test_the_signing_secret_is_told_once_and_can_be_set(shop: Shop) -> None:
    endpoint = made(shop.post("webhook_endpoints", url="https://a.example", enabled_events=["*"]))

    told = shop.stripe.webhook_secret(endpoint["id"])
    shop.stripe.set_webhook_secret(endpoint["id"], "whsec_mine")

    assert endpoint["secret"] == told
    assert "secret" not in shop.get(f"webhook_endpoints/{endpoint['id']}").body
    assert shop.stripe.webhook_secret(endpoint["id"]) == "whsec_mine"


def test_a_duplicated_event_is_delivered_twice(shop: Shop) -> None:
    shop.stripe.faults.script("webhook", "duplicate")
    shop.intent()

    first, second = shop.stripe.pending_deliveries()
    shop.stripe.delivered(first.event_id, True)

    assert first.event_id == second.event_id
    assert [each.id for each in shop.stripe.pending_deliveries()] == [second.id]


def test_a_delayed_event_waits(shop: Shop) -> None:
    shop.stripe.faults.script("webhook", "delay", delay=timedelta(minutes=1))
    shop.intent()

    assert shop.stripe.pending_deliveries() == []
    shop.wait(minutes=1)
    assert len(shop.stripe.pending_deliveries()) == 1


def test_a_dropped_event_never_arrives_but_can_be_read(shop: Shop) -> None:
    shop.stripe.faults.script("webhook", "drop")
    shop.intent()

    assert shop.stripe.deliveries() == []
    assert len(shop.get("events", delivery_success=False).body["data"]) == 1


def test_shuffled_events_arrive_out_of_order(shop: Shop) -> None:
    shop.stripe.faults.script("webhook", "shuffle", times=9)
    for _ in range(3):
        shop.paid()

    shop.wait(seconds=2)

    order = [delivery.event_id for delivery in shop.stripe.pending_deliveries()]
    assert order != [event["id"] for event in shop.stripe.events]
    assert sorted(order) == sorted(event["id"] for event in shop.stripe.events)


@pytest.mark.parametrize("limit", [1, 2])
def test_the_transport_takes_as_many_as_it_can(shop: Shop, limit: int) -> None:
    shop.paid()

    assert len(shop.stripe.pending_deliveries(limit)) == limit
