"""Delivery of messages as outgoing webhooks: a signed POST request to the booking app."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import anyio
import httpx2

from booking_payments.adapters.messages.payload import MEDIA_TYPE, payload
from booking_payments.adapters.messages.signature import headers
from booking_payments.adapters.network import Network
from booking_payments.ports.clock import Clock
from booking_payments.ports.publisher import DeliveryFailed, Message
from booking_payments.ports.signing_key import signing_key

TIMEOUT: Final = timedelta(seconds=15)
"""Time limit of a delivery; the specification recommends 15 to 30 seconds."""


class WebhookPublisher:
    """Posts each message to a URL. A response with status 200 to 299 counts as delivered.

    Args:
        url: address of the receiver.
        secrets: each one signs the message.
        timeout: time limit of a delivery.
        network: proxies and certificates; None: from the environment.
    """

    def __init__(
        self,
        url: str,
        secrets: Sequence[str],
        clock: Clock,
        timeout: timedelta = TIMEOUT,
        *,
        network: Network | None = None,
    ) -> None:
        self._url, self._clock = url, clock
        self._timeout_s = timeout.total_seconds()
        self._keys = [signing_key(secret) for secret in secrets]
        network = network or Network.of_environment()
        self._client = httpx2.AsyncClient(
            timeout=self._timeout_s,
            follow_redirects=False,
            trust_env=False,
            proxy=network.proxy_for(url),
            verify=network.tls() or True,
        )

    async def publish(self, message: Message) -> None:
        body = payload(message)
        signed = headers(message.id, body, self._keys, self._clock.now())
        try:
            with anyio.fail_after(self._timeout_s):
                status = await self._post(body, {"content-type": MEDIA_TYPE, **signed})
        except (httpx2.HTTPError, TimeoutError) as error:
            raise DeliveryFailed(f"the receiver could not be reached ({type(error).__name__})") from None
        if not 200 <= status < 300:
            raise DeliveryFailed(f"the receiver answered {status}")

    async def _post(self, body: bytes, headers: dict[str, str]) -> int:
        """Return the status of the response; its body is not read."""
        async with self._client.stream("POST", self._url, content=body, headers=headers) as answer:
            return answer.status_code

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
