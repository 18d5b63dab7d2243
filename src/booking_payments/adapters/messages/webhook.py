"""Messages as outgoing webhooks: a signed POST to the booking app."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import anyio
import httpx2

from booking_payments.adapters.messages.payload import MEDIA_TYPE, payload
from booking_payments.adapters.messages.signature import headers
from booking_payments.adapters.network import Network
from booking_payments.ports.clock import Clock
from booking_payments.ports.publisher import Message, NotTaken
from booking_payments.ports.signing_key import signing_key

TIMEOUT: Final = timedelta(seconds=15)
"""How long a receiver may take in all; the specification recommends 15 to 30 seconds."""


class WebhookPublisher:
    """Posts each message to ``url``, signed with each of ``secrets``. Any answer of 200 to 299 takes it.

    ``network``: proxies and certificates, by default the environment's.
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
            raise NotTaken(f"the receiver could not be reached ({type(error).__name__})") from None
        if not 200 <= status < 300:
            raise NotTaken(f"the receiver answered {status}")

    async def _post(self, body: bytes, headers: dict[str, str]) -> int:
        """Only the status is read: what else a receiver says is none of our business."""
        async with self._client.stream("POST", self._url, content=body, headers=headers) as answer:
            return answer.status_code

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()
