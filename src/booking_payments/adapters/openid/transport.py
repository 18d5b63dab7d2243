"""The only way to the provider: named hosts, no redirect, no large answer."""

from collections.abc import Collection
from typing import Final

import httpx2

from booking_payments.adapters.network import Network

LARGEST: Final = 512 * 1024
"""Bytes of an answer; the largest documents, the keys of a provider with many tenants, have a tenth of it."""


class NotAllowed(httpx2.TransportError):
    """A request that is not sent, or an answer that is not read. The message says why."""


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends requests to the hosts in ``hosts`` and to no other.

    A client may be closed; the connections stay open until ``close``, so that several clients can share them.

    Args:
        hosts: names of hosts, in lower case.
        insecure_hosts: hosts on this machine, to which requests may go without TLS.
        network: proxies and certificates.
        inner: sends the requests in place of connections to the network, for tests.
    """

    def __init__(
        self,
        hosts: Collection[str],
        *,
        insecure_hosts: Collection[str] = (),
        network: Network,
        inner: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._hosts, self._insecure_hosts = frozenset(hosts), frozenset(insecure_hosts)
        self._network, self._given = network, inner
        self._opened = dict[str | None, httpx2.AsyncBaseTransport]()

    def require_allowed(self, url: str) -> None:
        """Raise ``NotAllowed`` for an address to which no request is sent."""
        try:
            parts = httpx2.URL(url)
        except httpx2.InvalidURL:
            raise NotAllowed("an address is not valid") from None
        if parts.host not in self._hosts:
            raise NotAllowed(f"{parts.host or 'an address without a host'} is not the host of OIDC_ISSUER")
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.host in self._insecure_hosts):
            raise NotAllowed(f"{parts.host} must be reached by https")
        if parts.userinfo:
            raise NotAllowed("an address has a user name")

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.require_allowed(str(request.url))
        request.headers["Accept-Encoding"] = "identity"  # a packed answer could be larger than its bytes
        answer = await self._way_to(str(request.url)).handle_async_request(request)
        try:
            if answer.is_redirect:
                raise NotAllowed(f"{request.url.host} redirects; redirects are not followed")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise NotAllowed(f"{request.url.host} packs its answers, which was not asked for")
            content = await _read(answer)
        finally:
            await answer.aclose()
        return httpx2.Response(answer.status_code, headers=answer.headers, content=content, request=request)

    def _way_to(self, url: str) -> httpx2.AsyncBaseTransport:
        if self._given is not None:
            return self._given
        proxy = self._network.proxy_for(url)
        if proxy not in self._opened:
            self._opened[proxy] = httpx2.AsyncHTTPTransport(
                proxy=proxy, verify=self._network.tls() or True, trust_env=False
            )
        return self._opened[proxy]

    async def close(self) -> None:
        """Close all connections."""
        for each in self._opened.values():
            await each.aclose()


async def _read(answer: httpx2.Response) -> bytes:
    found = bytearray()
    async for part in answer.aiter_raw():
        found += part
        if len(found) > LARGEST:
            raise NotAllowed("an answer is too large")
    return bytes(found)
