"""Signed deliveries to the registered endpoints."""

from collections.abc import Callable

import httpx2
import pytest
import stripe

from booking_payments.testing.sandbox import Sandbox
from tests.integration.sandbox.http.receiver import Receiver
from tests.integration.sandbox.http.sdk import card

SECRET = "whsec_receiver"
PAID = ["charge.succeeded", "payment_intent.created", "payment_intent.succeeded"]


def register(sandbox: Sandbox, receiver: Receiver, secret: str = SECRET) -> str:
    return str(sandbox.play("/webhook_endpoints", url=receiver.url, secret=secret)["id"])


def test_events_arrive_signed(sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver) -> None:
    register(sandbox, receiver)
    client.v1.payment_intents.create(card())

    assert sorted(receiver.wait_for(3)) == PAID
    assert sorted(event.type for event in receiver.events(SECRET)) == PAID


def test_an_endpoint_made_through_the_interface_gets_its_events(
    client: stripe.StripeClient, receiver: Receiver
) -> None:
    made = client.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["payment_intent.succeeded"]})
    client.v1.payment_intents.create(card())
    receiver.wait_for(1)

    assert [event.type for event in receiver.events(str(made.secret))] == ["payment_intent.succeeded"]


def test_a_signature_is_fresh_however_far_the_clock_was_advanced(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    register(sandbox, receiver)
    sandbox.play("/clock", advance_s=86400 * 30)
    client.v1.payment_intents.create(card())
    receiver.wait_for(3)

    assert len(receiver.events(SECRET)) == 3


def test_an_address_that_is_registered_again_gets_each_event_once_under_the_new_secret(
    sandbox: Sandbox, client: stripe.StripeClient, http: httpx2.Client, receiver: Receiver
) -> None:
    register(sandbox, receiver, "whsec_old")
    register(sandbox, receiver)
    client.v1.payment_intents.create(card())

    assert sorted(receiver.wait_for(3)) == PAID
    assert len(receiver.events(SECRET)) == 3
    assert len(http.get("/_sandbox/webhook_endpoints").json()["webhook_endpoints"]) == 1


def test_an_endpoint_that_does_not_answer_holds_up_no_other(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    with Receiver(silent=True) as silent:
        register(sandbox, silent)
        register(sandbox, receiver)
        for _ in range(20):
            client.v1.payment_intents.create(card())

        assert len(receiver.wait_for(60)) >= 60
        assert silent.got


def test_a_delivery_that_failed_is_made_again(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver, http: httpx2.Client
) -> None:
    register(sandbox, receiver)
    receiver.status = 500
    client.v1.payment_intents.create(card())
    receiver.wait_for(3)
    receiver.status = 200

    assert sorted(receiver.wait_for(6)[3:]) == PAID
    assert len(receiver.events(SECRET)) == 6


def test_a_removed_endpoint_gets_no_events(
    sandbox: Sandbox, client: stripe.StripeClient, http: httpx2.Client, receiver: Receiver
) -> None:
    endpoint = register(sandbox, receiver)
    http.delete(f"/_sandbox/webhook_endpoints/{endpoint}")
    client.v1.payment_intents.create(card())

    assert http.get("/_sandbox/deliveries").json() == {"deliveries": []}


@pytest.mark.parametrize(
    ("fault", "count"), [("duplicate", 4), ("shuffle", 3), ("delay", 3), ("drop", 2)], ids=lambda value: str(value)
)
def test_deliveries_fail_as_scripted(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver, fault: str, count: int
) -> None:
    register(sandbox, receiver)
    sandbox.play("/faults", match="webhook", fault=fault, delay_s=0.2)
    client.v1.payment_intents.create(card())
    got = receiver.wait_for(count)

    assert (len(got), len(set(got))) == (count, 2 if fault == "drop" else 3)


def test_a_delayed_event_is_overtaken(sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver) -> None:
    register(sandbox, receiver)
    sandbox.play("/faults", match="webhook", fault="delay", delay_s=0.3)
    client.v1.payment_intents.create(card())

    assert receiver.wait_for(3)[-1] == "payment_intent.created"


def test_an_unused_address_is_tried_again_later(
    sandbox: Sandbox, client: stripe.StripeClient, http: httpx2.Client, receiver: Receiver, until: Callable[..., None]
) -> None:
    sandbox.play("/webhook_endpoints", url="http://127.0.0.1:1/", secret=SECRET)
    client.v1.payment_intents.create(card())

    until(lambda: all(delivery.attempts for delivery in sandbox.stripe.deliveries()))
    assert len(http.get("/_sandbox/deliveries").json()["deliveries"]) == 3
