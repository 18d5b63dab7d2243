"""Rates: how many requests may come in a period, counted by the generic cell rate algorithm.

A full allowance may be used at once and comes back evenly: with 60 a minute one more is allowed each second, and the
time to wait is known exactly. Counts are kept in memory, or in a Redis-compatible store for all processes together;
while that store does not answer, each process counts for itself, so that its failure neither stops payments nor opens
the doors.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, Self

import anyio
import structlog
from attrs import frozen
from throttled.asyncio import BaseStore, MemoryStore, RateLimiterType, RedisStore, Throttled, rate_limiter

MOST_KEPT: Final = 50_000
"""Keys counted in memory, about 20 MB; beyond it the least recently seen ones are dropped."""
STORE_TIMEOUT_S: Final = 0.25
"""Seconds within which a shared store must respond: as long as the service waits for the database."""
PAUSE_S: Final = 5.0
"""After a failure the shared store is left alone for so long."""
PREFIX: Final = "booking-payments"

log = structlog.get_logger("booking_payments.throttle")


@frozen(kw_only=True)
class RateDecision:
    """``wait_s``: when to come again, 0 for go ahead. ``alone``: the shared store did not answer."""

    wait_s: float
    alone: bool = False


class Counters:
    """Where rates are counted: the memory of this process, and the shared store in front of it if there is one."""

    def __init__(self, shared: RedisStore | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self.memory: BaseStore = MemoryStore(options={"MAX_SIZE": MOST_KEPT})
        self.shared = shared
        self._now = now
        self._down_until = float("-inf")

    @classmethod
    def open(cls, url: str | None) -> Self:
        """Counters in memory, or in the store at ``url`` (``redis``, ``rediss``, ``valkey``, ``valkeys``, ``unix``). It
        connects when it is first asked. Raises ``ImportError`` without the client library."""
        if url is None:
            return cls()
        import redis.asyncio  # noqa: F401 - missing is told now, not at the first request

        address = url.replace("valkey", "redis", 1) if url.startswith("valkey") else url
        timeouts = {"SOCKET_TIMEOUT": STORE_TIMEOUT_S, "SOCKET_CONNECT_TIMEOUT": STORE_TIMEOUT_S}
        return cls(RedisStore(server=address, options=timeouts))

    def shared_is_down(self) -> bool:
        """Whether the shared store failed a moment ago."""
        return self._now() < self._down_until

    def note_failure(self, reason: str) -> None:
        """Leave the shared store alone for a while."""
        log.warning("rate_limits.store_unreachable", reason=reason)
        self._down_until = self._now() + PAUSE_S

    async def close(self) -> None:
        """Give the connections back."""
        if self.shared is not None:
            client: Any = self.shared._backend.get_client()
            await client.connection_pool.disconnect()


Question = Callable[[Throttled, str], Awaitable[float]]
"""Asks about a key; answers with the seconds to wait."""


class Throttle:
    """A rate limit: ``requests`` in each ``period_s``, counted for each key separately."""

    def __init__(self, name: str, counters: Counters, *, requests: int, period_s: int) -> None:
        self._counters = counters
        quota = rate_limiter.per_duration(timedelta(seconds=period_s), requests)

        def over(store: BaseStore) -> Throttled:
            kind = RateLimiterType.GCRA.value
            return Throttled(using=kind, quota=quota, store=store, key_prefix=f"{PREFIX}:{name}")

        self._local = over(counters.memory)
        self._shared = over(counters.shared) if counters.shared is not None else None

    async def take(self, key: str) -> RateDecision:
        """Count one request of ``key``, unless it has to wait."""
        return await self._ask(key, _take)

    async def _ask(self, key: str, ask: Question) -> RateDecision:
        if self._shared is None:
            return RateDecision(wait_s=await ask(self._local, key))
        if not self._counters.shared_is_down():
            try:
                with anyio.fail_after(STORE_TIMEOUT_S):
                    return RateDecision(wait_s=await ask(self._shared, key))
            except Exception as error:  # an error of the store must not stop a payment
                self._counters.note_failure(type(error).__name__)
        return RateDecision(wait_s=await ask(self._local, key), alone=True)


async def _take(throttled: Throttled, key: str) -> float:
    result = await throttled.limit(key)
    return result.state.retry_after if result.limited else 0.0
