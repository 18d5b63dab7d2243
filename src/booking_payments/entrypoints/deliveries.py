"""The fake gateway's webhooks, signed and posted to the service itself, as Stripe would do it."""

from datetime import timedelta
from typing import Final

import httpx2

from booking_payments.adapters.fake_stripe import FakeStripe
from booking_payments.adapters.memory.gateway import due_deliveries
from booking_payments.adapters.stripe.signature import sign
from booking_payments.ports.clock import Clock

TIMEOUT: Final = timedelta(seconds=10)


class Deliveries:
    """Posts what waits for its delivery to ``url``, signed with ``secret``."""

    def __init__(self, stripe: FakeStripe, clock: Clock, url: str, secret: str) -> None:
        self._stripe, self._clock, self._url, self._secret = stripe, clock, url, secret
        self._client = httpx2.AsyncClient(timeout=TIMEOUT.total_seconds(), follow_redirects=False, trust_env=False)

    async def round(self) -> int:
        """Post everything that is due once; returns how many were accepted."""
        accepted = 0
        for event_id, endpoint_id, body in list(due_deliveries(self._stripe)):
            ok = await self._post(body)
            self._stripe.delivered(event_id, ok, endpoint_id)
            accepted += ok
        return accepted

    async def _post(self, body: bytes) -> bool:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(body, self._secret, self._clock.now()),
        }
        try:
            answer = await self._client.post(self._url, content=body, headers=headers)
        except httpx2.HTTPError:
            return False
        return answer.is_success
