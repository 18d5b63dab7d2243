"""The fake gateway's webhooks, signed as Stripe does it: posted to the service itself, or handed over in process."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Protocol

import httpx2
import structlog

from booking_payments.adapters.gateways.fake.gateway import due_deliveries
from booking_payments.ports.clock import Clock
from booking_payments.ports.gateway_plugin import Receive
from booking_payments.sandbox.emulator import FakeStripe
from booking_payments.sandbox.signature import sign

TIMEOUT: Final = timedelta(seconds=10)

log = structlog.get_logger("booking_payments.sandbox")


class WebhookReceiver(Protocol):
    """Where webhooks are delivered to."""

    async def deliver(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """Deliver one; returns whether it was accepted."""
        ...


class Posted:
    """Posts webhooks to ``url``, as Stripe does."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx2.AsyncClient(timeout=TIMEOUT.total_seconds(), follow_redirects=False, trust_env=False)

    async def deliver(self, body: bytes, headers: Mapping[str, str]) -> bool:
        try:
            answer = await self._client.post(self._url, content=body, headers=headers)
        except httpx2.HTTPError:
            return False
        return answer.is_success


class HandedOver:
    """Passes webhooks to ``receive`` within this process, since an embedded library does not listen for them."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    async def deliver(self, body: bytes, headers: Mapping[str, str]) -> bool:
        try:
            await self._receive(body, headers)
        except Exception as error:
            log.warning("sandbox.webhook_not_processed", error=type(error).__name__)
            return False
        return True


class Deliveries:
    """Delivers waiting events to ``receiver``, signed with ``secret``."""

    def __init__(self, stripe: FakeStripe, clock: Clock, receiver: WebhookReceiver, secret: str) -> None:
        self._stripe, self._clock, self._receiver, self._secret = stripe, clock, receiver, secret

    async def round(self) -> int:
        """Deliver everything that is due once; returns how many were accepted."""
        accepted = 0
        for event_id, endpoint_id, body in list(due_deliveries(self._stripe)):
            signature = sign(body, self._secret, self._clock.now())
            headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signature}
            ok = await self._receiver.deliver(body, headers)
            self._stripe.delivered(event_id, ok, endpoint_id)
            accepted += ok
        return accepted
