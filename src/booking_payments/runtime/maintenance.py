"""Scheduled maintenance by name. ``serve`` and the workers run the same tasks."""

from datetime import timedelta
from typing import Final

import structlog
from attrs import frozen

from booking_payments.application.callers import Caller
from booking_payments.application.payments import BookingPayments
from booking_payments.application.replaying import REDELIVERY, UNFINISHED
from booking_payments.ports.clock import Clock
from booking_payments.ports.idempotency import ANSWER_LIFETIME
from booking_payments.ports.inbox import InboxFilter

MAX_PASSES: Final = 1_000
"""How many passes of deliveries one run makes at most; the next scheduled run continues."""

log = structlog.get_logger("booking_payments.background")


@frozen
class MaintenanceTasks:
    """The maintenance tasks. Each looks for due work itself, so it does no harm to run one too often."""

    payments: BookingPayments
    clock: Clock

    async def forget_answers(self) -> int:
        """Remove stored answers whose lifetime is over."""
        return await self.payments.forget_answers(self.clock.now() - ANSWER_LIFETIME)

    async def retry_webhooks(self) -> int:
        """Process webhooks again whose processing failed or was interrupted; returns how many."""
        unfinished = InboxFilter(statuses=UNFINISHED, received_from=self.clock.now() - REDELIVERY)
        return len(await self.payments.replay_webhooks(which=unfinished, caller=Caller.system("replay")))

    async def watch_channels(self) -> int:
        """Log an error for each channel on which no process has been alive for too long; returns how many."""
        states = await self.payments.channel_states()
        silent = [each for each in states.channels if each.silent_since is not None]
        for each in silent:
            log.error(
                "message.channel_silent",
                channel=each.channel.name,
                since=each.silent_since.isoformat() if each.silent_since else None,
                waiting=each.backlog.waiting,
            )
        return len(silent)

    async def catch_up(self) -> int:
        """Fetch and process events that were never delivered; returns how many."""
        return len(await self.payments.catch_up())

    async def reconcile(self) -> None:
        """Compare the books with the gateway, and log a warning for each difference that an operator has to resolve."""
        result = await self.payments.reconcile(caller=Caller.system("reconcile"))
        for finding in result.left:
            log.warning(
                "reconciliation.difference_left", code=finding.code, text=finding.text, payment_id=finding.payment_id
            )

    async def deliver(self, delay: timedelta = timedelta(0)) -> int:
        """Deliver messages until no more are due, and again after ``delay``; returns how many were delivered."""
        delivered = await self._deliver_all()
        if delay:
            await self.clock.sleep(delay)
            delivered += await self._deliver_all()
        return delivered

    async def _deliver_all(self) -> int:
        total = 0
        for _ in range(MAX_PASSES):
            delivered = await self.payments.deliver_messages()
            total += delivered
            if not delivered:
                break
        return total
