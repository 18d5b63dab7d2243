"""Signed deliveries to the registered webhook endpoints, each in its own task: who does not answer holds up no other.

When an attempt is made, and made again, is the model's decision.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import anyio
import httpx2
import msgspec
import structlog
from anyio.abc import TaskGroup

from booking_payments.sandbox.emulator import EventDelivery
from booking_payments.sandbox.http.account import SandboxStripe
from booking_payments.sandbox.signature import sign

TIMEOUT: Final = timedelta(seconds=10)
"""How long an endpoint may take to answer. Stripe does not publish its time limit."""

AT_ONCE: Final = 16
"""Deliveries under way to one endpoint."""

PAUSE: Final = timedelta(milliseconds=20)
"""Between two checks for due deliveries."""

USER_AGENT: Final = "Stripe/1.0 (+https://stripe.com/docs/webhooks)"

log = structlog.get_logger("booking_payments.sandbox")


class EventSender:
    """Lets time do its work in the model, and carries the events out."""

    def __init__(self, stripe: SandboxStripe) -> None:
        self._stripe = stripe
        self._under_way: set[tuple[str, str]] = set()
        self._client: httpx2.AsyncClient | None = None

    async def run(self) -> None:
        """Work until canceled."""
        try:
            async with anyio.create_task_group() as tasks:
                while True:
                    self._start_due(tasks)
                    await anyio.sleep(PAUSE.total_seconds())
        finally:
            with anyio.CancelScope(shield=True):
                await self._close()

    def _start_due(self, tasks: TaskGroup) -> None:
        try:
            self._stripe.tick()
            due = self._stripe.pending_deliveries()
        except Exception:
            log.exception("sandbox.deliveries_failed")
            return
        for delivery in due:
            self._start(tasks, delivery)

    def _start(self, tasks: TaskGroup, delivery: EventDelivery) -> None:
        """One attempt of an event at a time, and not too many of an endpoint."""
        if delivery.endpoint_id is None:
            return
        attempt = (delivery.event_id, delivery.endpoint_id)
        busy = sum(endpoint_id == delivery.endpoint_id for _, endpoint_id in self._under_way)
        if attempt not in self._under_way and busy < AT_ONCE:
            self._under_way.add(attempt)
            tasks.start_soon(self._deliver, delivery, delivery.endpoint_id)

    async def _deliver(self, delivery: EventDelivery, endpoint_id: str) -> None:
        try:
            ok = await self._post(delivery, endpoint_id)
            self._stripe.delivered(delivery.event_id, ok, endpoint_id)
        finally:
            self._under_way.discard((delivery.event_id, endpoint_id))

    async def _post(self, delivery: EventDelivery, endpoint_id: str) -> bool:
        """Whether the endpoint answered with 2xx. Any other result is a failed attempt, tried again later."""
        target = self._stripe.target_of(endpoint_id)
        if target is None:
            return False
        url, secret = target
        body = msgspec.json.encode(delivery.event)
        try:
            with anyio.fail_after(TIMEOUT.total_seconds()):
                answer = await self._http_client().post(url, content=body, headers=_headers(body, secret))
        except Exception as error:
            log.debug("sandbox.webhook_failed", event_type=delivery.event["type"], error=type(error).__name__)
            return False
        return answer.is_success

    def _http_client(self) -> httpx2.AsyncClient:
        """Made when the first letter leaves: a client costs more than the rest of the start."""
        if self._client is None:
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=AT_ONCE)
            self._client = httpx2.AsyncClient(
                timeout=TIMEOUT.total_seconds(), limits=limits, follow_redirects=False, trust_env=False
            )
        return self._client

    async def _close(self) -> None:
        if self._client is not None:
            await self._client.aclose()


def _headers(body: bytes, secret: str) -> dict[str, str]:
    """Signed with the system's time: receivers check it against their own clocks, which were not advanced."""
    return {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": sign(body, secret, datetime.now(UTC)),
        "User-Agent": USER_AGENT,
    }
