"""Outgoing webhooks over real sockets; their signatures are judged by the scheme's own library."""

import base64
import random
import re
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from booking_payments.adapters.memory.clock import SystemClock
from booking_payments.adapters.messages.payload import payload
from booking_payments.adapters.messages.signature import headers
from booking_payments.adapters.messages.webhook import WebhookPublisher
from booking_payments.ports.publisher import DeliveryFailed, Message
from booking_payments.ports.signing_key import signing_key
from tests.e2e.receiver import Received, receiving

NEW, OLD = ("whsec_" + base64.b64encode(bytes([fill]) * 32).decode() for fill in b"no")
DATA = {
    "schema_version": 1,
    "booking_id": "bk_1",
    "booking_reference": "Käse",
    "booking_status": "confirmed",
    "actor": "customer",
    "status": "succeeded",
    "amount": "100.00",
    "currency": "usd",
    "refunded_amount": "0.00",
    "remaining_refundable": "100.00",
    "refund_owed": "0.00",
}
MESSAGE = Message(
    id="msg_1",
    type="payment.succeeded",
    booking_id="bk_1",
    payment_id="pay_1",
    at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    data=DATA,
    sequence=3,
)


@pytest.fixture
def received() -> Received:
    return Received(NEW, random.Random(1))


@pytest.fixture
def address(received: Received) -> Iterator[str]:
    with receiving(received) as address:
        yield address


@pytest.fixture
async def publisher(address: str) -> AsyncIterator[WebhookPublisher]:
    publisher = WebhookPublisher(address, [NEW], SystemClock())
    yield publisher
    await publisher.close()


async def test_a_message_is_signed_and_has_its_ordering_headers(
    publisher: WebhookPublisher, received: Received
) -> None:
    await publisher.publish(MESSAGE)

    assert received.wrong == []
    assert received.messages["bk_1"] == [
        {
            "id": "msg_1",
            "type": "payment.succeeded",
            "timestamp": "2026-03-01T12:00:00Z",
            "booking_id": "bk_1",
            "payment_id": "pay_1",
            "sequence": 3,
            "data": DATA,
        }
    ]


async def test_a_response_other_than_2xx_is_a_failed_delivery(publisher: WebhookPublisher, received: Received) -> None:
    received.refusals = 1.0

    with pytest.raises(DeliveryFailed, match="the receiver answered 500"):
        await publisher.publish(MESSAGE)


async def test_an_unreachable_receiver_is_a_failure_that_does_not_reveal_its_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    publisher = WebhookPublisher(f"http://127.0.0.1:{port}/secret-path", [NEW], SystemClock())

    with pytest.raises(DeliveryFailed) as refused:
        await publisher.publish(MESSAGE)
    await publisher.close()

    assert str(refused.value) == "the receiver could not be reached (ConnectError)"


async def test_a_receiver_that_never_responds_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        publisher = WebhookPublisher(address, [NEW], SystemClock(), timeout=timedelta(milliseconds=50))

        with pytest.raises(DeliveryFailed, match="could not be reached"):
            await publisher.publish(MESSAGE)
        await publisher.close()


@pytest.mark.parametrize("known", [NEW, OLD])
def test_while_a_secret_is_changed_both_are_good(known: str) -> None:
    body = payload(MESSAGE)
    signed = headers(MESSAGE.id, body, [signing_key(NEW), signing_key(OLD)], datetime.now(UTC))

    assert Webhook(known).verify(body.decode(), signed)


def test_a_changed_body_is_not_verified() -> None:
    body = payload(MESSAGE)
    signed = headers(MESSAGE.id, body, [signing_key(NEW)], datetime.now(UTC))

    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(body.decode().replace("100.00", "1.00"), signed)


@pytest.mark.parametrize(
    "wrong",
    ["", "whsec_", "whsec_c2hvcnQ=", "no prefix", "whsec_%%%%", "whsec_" + base64.b64encode(b"x" * 65).decode()],
)
def test_a_secret_is_bounded_as_the_scheme_says(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"base64|Standard Webhooks"):
        signing_key(wrong)


def test_the_documented_check_accepts_genuine_signatures_only() -> None:
    page = (Path(__file__).parents[3] / "docs" / "messages.md").read_text()
    code = next(each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "is_genuine" in each)
    shown: dict[str, Any] = {}
    exec(code, shown)  # noqa: S102 - our own page
    body = payload(MESSAGE)
    signed = headers(MESSAGE.id, body, [signing_key(OLD), signing_key(NEW)], datetime.now(UTC))
    stale = headers(MESSAGE.id, body, [signing_key(NEW)], datetime.now(UTC) - timedelta(minutes=6))

    is_genuine = shown["is_genuine"]
    assert is_genuine(NEW, signed, body)
    assert not is_genuine(NEW, signed, body + b" ")
    assert not is_genuine(NEW, stale, body)


async def test_a_message_goes_through_the_proxy_of_the_environment(
    address: str, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver acts as the proxy: the request names another host."""
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTP_PROXY", address)
    publisher = WebhookPublisher("http://booking-app.example/hook", [NEW], SystemClock())

    await publisher.publish(MESSAGE)
    await publisher.close()

    assert len(received.messages["bk_1"]) == 1
