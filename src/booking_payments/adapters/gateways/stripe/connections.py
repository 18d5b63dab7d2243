"""HTTP connections of the SDK, on aiohttp instead of the SDK's default client.

With a hundred concurrent calls httpx spends more time on finding a free connection than on the call itself, and the
SDK's own aiohttp client follows redirects.
"""

from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import stripe
from yarl import URL

from booking_payments.adapters.network import Network, tls_trusting

NOTHING_WAS_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
"""Network errors that occur before the request is sent; after any other one it may have arrived."""


class Connections(stripe.HTTPClient):
    """Sends each request once, follows no redirects, and keeps connections open.

    The number of concurrent requests is limited by ``rate_limit``, not here.

    Args:
        connect_timeout_s: time limit for opening a connection; the caller limits the whole request.
        network: proxies and certificates; None: from the environment.
    """

    name = "aiohttp"

    def __init__(self, connect_timeout_s: float, network: Network | None = None) -> None:
        super().__init__()
        self._network = network or Network.of_environment()
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s)
        self._opened: aiohttp.ClientSession | None = None

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Return body, status and headers of the response. Raises ``stripe.APIConnectionError``."""
        try:
            async with self._session().request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=post_data,
                allow_redirects=False,
                proxy=self._network.proxy_for(url),
            ) as answer:
                return await answer.read(), answer.status, answer.headers
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise stripe.APIConnectionError(  # type: ignore[no-untyped-call] # as the SDK has it
                type(error).__name__
            ) from error

    async def close_async(self) -> None:
        """Close all connections."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    def _session(self) -> aiohttp.ClientSession:
        """Return the session, opened at the first request because it belongs to the running event loop."""
        if self._opened is None:
            verified = self._network.tls() or tls_trusting(stripe.ca_bundle_path)
            connector = aiohttp.TCPConnector(ssl=verified, limit=0)
            jar = aiohttp.DummyCookieJar()
            self._opened = aiohttp.ClientSession(connector=connector, timeout=self._timeout, cookie_jar=jar)
        return self._opened
