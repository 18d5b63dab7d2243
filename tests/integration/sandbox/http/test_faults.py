"""Faults on demand, as a client of the SDK feels them."""

import socket
import time
from collections.abc import Iterator

import httpx
import httpx2
import pytest
import stripe
from stripe.params import RefundCreateParams

from booking_payments.testing.sandbox import Sandbox
from tests.integration.sandbox.http.sdk import card, connected, unpaid

ALL = {"match": "POST /v1/payment_intents"}


@pytest.fixture
def hasty(sandbox: Sandbox) -> Iterator[stripe.StripeClient]:
    """A client that gives up after a short while."""
    with connected(sandbox.url, timeout_s=0.3) as client:
        yield client


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("409", 409, "idempotency_key_in_use"),
        ("429_limit", 429, "rate_limit"),
        ("429_lock", 429, "lock_timeout"),
        ("500_before", 500, None),
        ("500_after", 500, None),
        ("500_later", 500, None),
        ("503", 503, None),
    ],
)
def test_an_error_is_stripes_own(
    sandbox: Sandbox, client: stripe.StripeClient, fault: str, status: int, code: str | None
) -> None:
    sandbox.play("/faults", **ALL, fault=fault)

    with pytest.raises(stripe.StripeError) as failed:
        client.v1.payment_intents.create(card())

    assert failed.value.http_status == status
    assert getattr(failed.value.error, "code", None) == code


def test_headers_say_whether_to_try_again(sandbox: Sandbox, http: httpx2.Client) -> None:
    for fault in ("429_limit", "429_lock", "503"):
        sandbox.play("/faults", match="GET /v1/refunds", fault=fault)

    limited, locked, away = (http.get("/v1/refunds").headers for _ in range(3))

    assert limited["Stripe-Rate-Limited-Reason"] == "global-rate"
    assert (locked["Stripe-Should-Retry"], away["Stripe-Should-Retry"]) == ("true", "true")


@pytest.mark.parametrize(("fault", "charges"), [("reset_before", 0), ("reset_after", 1)])
def test_a_connection_that_breaks_says_nothing_about_the_money(
    sandbox: Sandbox, client: stripe.StripeClient, fault: str, charges: int
) -> None:
    sandbox.play("/faults", **ALL, fault=fault)

    with pytest.raises(stripe.APIConnectionError):
        client.v1.payment_intents.create(card())

    assert len(client.v1.charges.list().data) == charges


@pytest.mark.parametrize(("fault", "charges"), [("timeout_before", 0), ("timeout_after", 1)])
def test_a_timeout_says_nothing_about_the_money(
    sandbox: Sandbox, client: stripe.StripeClient, hasty: stripe.StripeClient, fault: str, charges: int
) -> None:
    sandbox.play("/faults", **ALL, fault=fault)

    with pytest.raises(stripe.APIConnectionError) as failed:
        hasty.v1.payment_intents.create(card())

    assert isinstance(failed.value.__cause__, httpx.ReadTimeout)
    assert len(client.v1.charges.list().data) == charges


REFUND_FAULTS = {
    "timeout_before": 0,
    "timeout_after": 1,
    "reset_before": 0,
    "reset_after": 1,
    "409": 0,
    "429_limit": 0,
    "429_lock": 0,
    "500_before": 0,
    "500_after": 1,
    "503": 0,
    "slow": 1,
}
"""How many refunds there are when every try under one key met the fault."""


@pytest.mark.parametrize("fault", REFUND_FAULTS)
def test_every_fault_strikes_a_refund_as_often_as_it_says(
    sandbox: Sandbox, client: stripe.StripeClient, hasty: stripe.StripeClient, fault: str
) -> None:
    intent = client.v1.payment_intents.create(card())
    asked: RefundCreateParams = {"payment_intent": intent.id, "amount": 2000}
    sandbox.play("/faults", match="POST /v1/refunds", times=2, fault=fault, delay_s=0.5)
    for _ in range(2):
        with pytest.raises(stripe.StripeError):
            hasty.v1.refunds.create(asked, {"idempotency_key": "k"})
    there = client.v1.refunds.list({"payment_intent": intent.id}).data

    again = status_of(client, asked, "k")

    assert len(there) == REFUND_FAULTS[fault]
    assert sandbox.stripe.faults.coming() == []
    assert again == (500 if fault.startswith("500") else 200)
    assert status_of(client, asked, "another") == 200


def status_of(client: stripe.StripeClient, asked: RefundCreateParams, key: str) -> int:
    """How a refund that is asked for under a key is answered."""
    try:
        client.v1.refunds.create(asked, {"idempotency_key": key})
    except stripe.StripeError as error:
        return error.http_status or 0
    return 200


@pytest.mark.parametrize("fault", ["timeout_after", "reset_after"])
def test_the_same_key_finds_what_a_lost_answer_told(
    sandbox: Sandbox, client: stripe.StripeClient, hasty: stripe.StripeClient, fault: str
) -> None:
    sandbox.play("/faults", **ALL, fault=fault)
    with pytest.raises(stripe.APIConnectionError):
        hasty.v1.payment_intents.create(card(), {"idempotency_key": "k"})

    again = client.v1.payment_intents.create(card(), {"idempotency_key": "k"})

    assert again.last_response is not None
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert len(client.v1.charges.list().data) == 1


def test_a_slow_answer_comes_late(sandbox: Sandbox, client: stripe.StripeClient, hasty: stripe.StripeClient) -> None:
    sandbox.play("/faults", **ALL, fault="slow", times=2, delay_s=0.5)
    with pytest.raises(stripe.APIConnectionError):
        hasty.v1.payment_intents.create(card())

    assert client.v1.payment_intents.create(card()).status == "succeeded"


def test_a_fault_is_used_up_by_as_many_requests_as_it_says(
    sandbox: Sandbox, client: stripe.StripeClient, http: httpx2.Client
) -> None:
    sandbox.play("/faults", **ALL, fault="503", times=2)
    with pytest.raises(stripe.APIError):
        client.v1.payment_intents.create(card())

    coming = http.get("/_sandbox/faults").json()["faults"]
    cleared = http.delete("/_sandbox/faults").json()["faults"]

    assert [(fault["match"], fault["fault"], fault["times"]) for fault in coming] == [(ALL["match"], "503", 1)]
    assert cleared == []
    assert client.v1.payment_intents.create(card()).status == "succeeded"


def test_a_fault_strikes_a_pattern(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    sandbox.play("/faults", match="POST /v1/payment_intents/{id}/confirm", fault="500_before")
    made = client.v1.payment_intents.create(unpaid())

    with pytest.raises(stripe.APIError):
        client.v1.payment_intents.confirm(made.id, {"payment_method": "pm_card_visa"})


def test_faults_strike_only_after_the_key_was_checked(sandbox: Sandbox, http: httpx2.Client) -> None:
    sandbox.play("/faults", match="GET /v1/refunds", fault="503")

    assert httpx2.get(f"{sandbox.url}/v1/refunds", trust_env=False, verify=False).status_code == 401
    assert http.get("/v1/refunds").status_code == 503


@pytest.mark.parametrize(("fault", "heard"), [("timeout_before", b""), ("slow", b"HTTP/1.1 200 ")])
def test_held_connections_do_not_hold_up_the_end(fault: str, heard: bytes) -> None:
    with Sandbox() as sandbox, connection(sandbox) as held:
        sandbox.play("/faults", match="GET /v1/refunds", fault=fault, delay_s=3600)
        held.sendall(b"GET /v1/refunds HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_test_x\r\n\r\n")
        while not sandbox.stripe.calls_so_far():
            time.sleep(0.01)
        sandbox.__exit__(None, None, None)
        try:
            answer = held.recv(len(b"HTTP/1.1 200 "))
        except ConnectionResetError:
            answer = b""

    assert answer == heard


def connection(sandbox: Sandbox) -> socket.socket:
    host, port = sandbox.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)
