"""Signed events that report a successful payment, each with new ids, as complete HTTP requests."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from booking_payments.sandbox.signature import sign
from booking_payments.testing.kit import ANN, PaymentsTestKit

SECRET: Final = "whsec_of_the_benchmark"  # noqa: S105 - signs nothing but events of our own
PATH: Final = "/api/webhooks/stripe/"


async def _pattern() -> str:
    """The event of a payment of 10.99 usd that our model of Stripe has seen succeed."""
    kit = PaymentsTestKit()
    booking = await kit.book("10.99")
    await kit.payments.start_payment(booking.id, ANN, payment_method_id="pm_card_visa", confirm_immediately=True)
    events = kit.stripe.call("GET", "/v1/events", {"type": "payment_intent.succeeded"}).body["data"]
    intent = events[0]["data"]["object"]
    intent["metadata"] = {"order": "A-1"}
    text = json.dumps(events[0], indent=2)
    for value, name in (
        (events[0]["id"], "@EVENT@"),
        (intent["id"], "@INTENT@"),
        (intent["latest_charge"], "@CHARGE@"),
    ):
        text = text.replace(value, name)
    return text


def requests(intents: Sequence[str], first: int = 0, secret: str = SECRET) -> Iterator[bytes]:
    """A request for each of ``intents``, signed with ``secret``; events are numbered from ``first`` on."""
    pattern = asyncio.run(_pattern())
    for number, intent_id in enumerate(intents, start=first):
        text = pattern.replace("@EVENT@", f"evt_bench{number:012d}").replace("@INTENT@", intent_id)
        body = text.replace("@CHARGE@", f"ch_bench{number:012d}").encode()
        yield request(body, sign(body, secret, datetime.now(UTC)))


def request(body: bytes, signature: str) -> bytes:
    """One delivery, as it goes over the wire."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Stripe-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
