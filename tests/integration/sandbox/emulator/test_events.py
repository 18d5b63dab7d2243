"""Events and their delivery (docs.stripe.com/webhooks)."""

from datetime import timedelta

import pytest

from .stripe_account import StripeAccountClient, made


def test_an_event_is_a_snapshot_in_stripes_shape(account: StripeAccountClient) -> None:
    intent = account.intent()
    account.post(f"payment_intents/{intent['id']}/cancel")

    event = account.stripe.events[0]

    assert event["id"].startswith("evt_")
    assert (event["object"], event["type"], event["livemode"]) == ("event", "payment_intent.created", False)
    assert event["data"] == {"object": intent}
    assert event["created"] == intent["created"]


def test_events_are_listed_by_type_and_read_one_by_one(account: StripeAccountClient) -> None:
    account.paid()

    charges = account.get("events", type="charge.*").body["data"]
    either = account.get("events", types=["charge.succeeded", "payment_intent.created"]).body["data"]

    assert [each["type"] for each in charges] == ["charge.succeeded"]
    assert [each["type"] for each in either] == ["charge.succeeded", "payment_intent.created"]
    assert account.read(charges[0]) == charges[0]


def test_events_are_kept_for_30_days(account: StripeAccountClient) -> None:
    account.intent()

    account.wait(days=31)

    assert (account.stripe.events, account.stripe.deliveries()) == ([], [])


def test_an_acknowledged_event_is_not_delivered_again(account: StripeAccountClient) -> None:
    account.intent()
    waiting = account.stripe.pending_deliveries()

    acknowledged = account.stripe.delivered(waiting[0].event_id, True)

    assert (acknowledged, account.stripe.pending_deliveries()) == (True, [])
    assert account.stripe.delivered(waiting[0].event_id, True) is False
    assert len(account.get("events", delivery_success="true").body["data"]) == 1


def test_a_failed_delivery_comes_back_with_backoff(account: StripeAccountClient) -> None:
    account.intent()
    event_id = account.stripe.pending_deliveries()[0].event_id
    waits = []

    for _ in range(4):
        account.stripe.delivered(event_id, False)
        waits.append((account.stripe.deliveries()[0].next_attempt_at - account.now).total_seconds())

    assert (waits, account.stripe.pending_deliveries()) == ([1, 2, 4, 8], [])
    assert account.stripe.deliveries()[0].attempts == 4
    assert account.get("events", delivery_success=False).body["data"][0]["id"] == event_id


def test_a_delivery_is_given_up_after_three_days(account: StripeAccountClient) -> None:
    account.intent()
    event_id = account.stripe.pending_deliveries()[0].event_id

    account.wait(days=3)
    account.stripe.delivered(event_id, False)

    assert account.stripe.deliveries() == []
    assert len(account.get("events", delivery_success=False).body["data"]) == 1


def test_each_endpoint_gets_the_events_it_wants(account: StripeAccountClient) -> None:
    charges = made(account.post("webhook_endpoints", url="https://a.example", enabled_events=["charge.*"]))
    everything = made(account.post("webhook_endpoints", url="https://b.example", enabled_events=["*"]))
    account.paid()

    by_endpoint: dict[str | None, list[str]] = {}
    for delivery in account.stripe.pending_deliveries():
        by_endpoint.setdefault(delivery.endpoint_id, []).append(delivery.event["type"])

    assert by_endpoint[charges["id"]] == ["charge.succeeded"]
    assert by_endpoint[everything["id"]] == by_endpoint[None] == account.types()


def test_a_deleted_endpoint_gets_nothing_more(account: StripeAccountClient) -> None:
    endpoint = made(account.post("webhook_endpoints", url="https://a.example", enabled_events=["*"]))
    account.intent()

    account.stripe.call("DELETE", f"/v1/webhook_endpoints/{endpoint['id']}", {})
    account.intent()

    assert {delivery.endpoint_id for delivery in account.stripe.deliveries()} == {None}


def test_the_signing_secret_is_shown_once_and_can_be_set(account: StripeAccountClient) -> None:
    endpoint = made(account.post("webhook_endpoints", url="https://a.example", enabled_events=["*"]))

    told = account.stripe.webhook_secret(endpoint["id"])
    account.stripe.set_webhook_secret(endpoint["id"], "whsec_mine")

    assert endpoint["secret"] == told
    assert "secret" not in account.get(f"webhook_endpoints/{endpoint['id']}").body
    assert account.stripe.webhook_secret(endpoint["id"]) == "whsec_mine"


def test_a_duplicated_event_is_delivered_twice(account: StripeAccountClient) -> None:
    account.stripe.faults.script("webhook", "duplicate")
    account.intent()

    first, second = account.stripe.pending_deliveries()
    account.stripe.delivered(first.event_id, True)

    assert first.event_id == second.event_id
    assert [each.id for each in account.stripe.pending_deliveries()] == [second.id]


def test_a_delayed_event_waits(account: StripeAccountClient) -> None:
    account.stripe.faults.script("webhook", "delay", delay=timedelta(minutes=1))
    account.intent()

    assert account.stripe.pending_deliveries() == []
    account.wait(minutes=1)
    assert len(account.stripe.pending_deliveries()) == 1


def test_a_dropped_event_never_arrives_but_can_be_read(account: StripeAccountClient) -> None:
    account.stripe.faults.script("webhook", "drop")
    account.intent()

    assert account.stripe.deliveries() == []
    assert len(account.get("events", delivery_success=False).body["data"]) == 1


def test_shuffled_events_arrive_out_of_order(account: StripeAccountClient) -> None:
    account.stripe.faults.script("webhook", "shuffle", times=9)
    for _ in range(3):
        account.paid()

    account.wait(seconds=2)

    order = [delivery.event_id for delivery in account.stripe.pending_deliveries()]
    assert order != [event["id"] for event in account.stripe.events]
    assert sorted(order) == sorted(event["id"] for event in account.stripe.events)


@pytest.mark.parametrize("limit", [1, 2])
def test_the_transport_takes_as_many_as_it_can(account: StripeAccountClient, limit: int) -> None:
    account.paid()

    assert len(account.stripe.pending_deliveries(limit)) == limit
