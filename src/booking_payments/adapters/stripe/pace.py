"""How hard we press Stripe: so many requests a second, so many at once, in this process (docs.stripe.com/rate-limits).

Who has to wait too long is told that nothing was sent, and may try again later.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio

from booking_payments.adapters.stripe.gateway import Reply, Transport
from booking_payments.adapters.stripe.requests import Params
from booking_payments.ports.gateway import Unreachable

LONGEST_WAIT_S: Final = 5.0
"""Beyond this a request is turned away: it would outlast the patience of whoever asked for it."""


class Paced:
    """A transport behind both bounds; 0 takes one away. A second's worth of requests may go out at once."""

    def __init__(
        self,
        inner: Transport,
        *,
        max_per_s: int,
        max_concurrent: int,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._inner = inner
        self._rate = max_per_s
        self._slots = anyio.Semaphore(max_concurrent) if max_concurrent else None
        self._now, self._sleep = now, sleep
        self._tokens, self._seen = float(max_per_s), now()

    async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> Reply:
        async with self._slot():
            await self._wait_for_token()
            return await self._inner.call(method, path, params, idempotency_key)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._slots is None:
            yield
            return
        with anyio.move_on_after(LONGEST_WAIT_S) as waiting:
            await self._slots.acquire()
        if waiting.cancelled_caught:
            raise _busy()
        try:
            yield
        finally:
            self._slots.release()

    async def _wait_for_token(self) -> None:
        """Take one token of those that come back at the rate; below zero they are promised to those who wait."""
        if not self._rate:
            return
        now = self._now()
        self._tokens = min(float(self._rate), self._tokens + (now - self._seen) * self._rate)
        self._seen = now
        wait = (1 - self._tokens) / self._rate
        if wait > LONGEST_WAIT_S:
            raise _busy()
        self._tokens -= 1
        if wait > 0:
            await self._sleep(wait)


def _busy() -> Unreachable:
    return Unreachable("too much is asked of the payment provider at this moment", code="gateway_busy")
