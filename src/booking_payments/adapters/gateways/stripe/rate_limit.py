"""Client-side limits on requests to Stripe: per second and concurrent, for this process.

See docs.stripe.com/rate-limits. A request that would have to wait too long raises ``NotSent``: it was not sent, and
may be tried again later.
"""

import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
from attrs import define

from booking_payments.adapters.gateways.stripe.gateway import Transport, TransportResponse
from booking_payments.adapters.gateways.stripe.requests import Params
from booking_payments.ports.gateway import NotSent

LONGEST_WAIT_S: Final = 5.0
"""A request that would wait longer than this is refused, since its caller would time out first."""


@define(eq=False)
class Turn:
    """The time at which a call may be sent, on the clock of ``RateLimitedTransport``."""

    at: float


class RateLimitedTransport:
    """A transport with both limits; 0 disables one. The requests of one second may be sent in a burst.

    Reads come in bursts: each event of another system on the account may cost one. Calls that change a payment do not
    wait behind them: such a call takes the turn of the longest waiting read, which gets the call's own turn.
    """

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
        # Reads queue for a slot of their own first, so that they take at most the permitted number of shared slots.
        self._slots = anyio.Semaphore(max_concurrent) if max_concurrent else None
        self._read_slots = anyio.Semaphore(max_concurrent) if max_concurrent else None
        self._now, self._sleep = now, sleep
        self._tokens, self._seen = float(max_per_s), now()
        self._reads = deque[Turn]()

    async def call(self, method: str, path: str, params: Params, idempotency_key: str | None) -> TransportResponse:
        reads = method == "GET"
        await self._wait_for_turn(reads)
        async with _place(self._read_slots if reads else None), _place(self._slots):
            return await self._inner.call(method, path, params, idempotency_key)

    async def _wait_for_turn(self, reads: bool) -> None:
        """Take one token from a bucket that refills at the rate; a negative level is the number of waiting calls."""
        if not self._rate:
            return
        now = self._now()
        self._tokens = min(float(self._rate), self._tokens + (now - self._seen) * self._rate)
        self._seen = now
        turn = Turn(now + (1 - self._tokens) / self._rate)
        first = self._reads[0] if self._reads and not reads and turn.at > now else None
        if (first or turn).at - now > LONGEST_WAIT_S:
            raise _busy()
        self._tokens -= 1
        if first is not None:
            self._reads.popleft()
            first.at, turn.at = turn.at, first.at
            self._reads.append(first)
        if turn.at > now:
            await (self._read_at(turn) if reads else self._sleep(turn.at - now))

    async def _read_at(self, turn: Turn) -> None:
        """Sleep until the turn of a read, which a changing call may postpone."""
        self._reads.append(turn)
        try:
            at = self._now()
            while turn.at > at:
                if turn.at - self._now() > LONGEST_WAIT_S:
                    raise _busy()
                at = turn.at
                await self._sleep(at - self._now())
        finally:
            self._reads.remove(turn)


@asynccontextmanager
async def _place(slots: anyio.Semaphore | None) -> AsyncIterator[None]:
    if slots is None:
        yield
        return
    with anyio.move_on_after(LONGEST_WAIT_S) as waiting:
        await slots.acquire()
    if waiting.cancelled_caught:
        raise _busy()
    try:
        yield
    finally:
        slots.release()


def _busy() -> NotSent:
    return NotSent("too many requests to the payment provider at this moment", code="gateway_busy")
