"""Deferring jobs in the transaction that requires them, so that they commit together.

Jobs that settle a payment are deferred one by one. Jobs that deliver messages are deferred once in
``DEFER_INTERVAL_S``: such a job delivers everything that it finds, and continues to look for longer than that. So a
burst of webhooks creates only a few jobs. A lost job only delays its work, since workers also look for due work
themselves.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job as QueuedJob
from psycopg import AsyncConnection

from booking_payments.ports.jobs import DeliverMessages, Job, SettlePayment

QUEUE: Final = "booking_payments"
SETTLE: Final = "booking_payments.settle_payment"
DELIVER: Final = "booking_payments.deliver_messages"

FIRST: Final = 2
SOON: Final = 1
"""Priorities; other jobs have 0.

Jobs that rarely need the gateway are not delayed by jobs that wait for its response.
"""

DEFER_INTERVAL_S: Final = 0.25
"""A process defers at most one delivery job in this time, in seconds."""

POLL_DURATION_S: Final = 2 * DEFER_INTERVAL_S
"""How long a delivery job looks for messages, in seconds.

By then the transactions that deferred no job because of this one are committed.
"""


class ProcrastinateJobQueue:
    """Defers jobs on a transaction's connection, as long as there are workers (``has_workers``)."""

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._app = App(connector=PsycopgConnector())  # never opened: jobs are written on the transactions' connections
        self._elapsed = elapsed
        self._asked_at: float | None = None
        self.has_workers = False

    async def defer(self, jobs: Sequence[tuple[Job, datetime]], connection: AsyncConnection[Any]) -> None:
        """Write all jobs of one transaction on its connection, before it commits."""
        wanted = self._wanted(jobs) if self.has_workers else []
        if wanted:
            try:
                await self._app.job_manager.batch_defer_jobs_async(wanted, connection=connection)
            except ConnectorException as error:
                raise error.__cause__ or error from None  # the driver's error, which the storage adapter handles

    def _wanted(self, jobs: Sequence[tuple[Job, datetime]]) -> list[QueuedJob]:
        settled = {job.payment_id: at for job, at in jobs if isinstance(job, SettlePayment)}
        wanted = [self._settle(payment_id, at) for payment_id, at in settled.items()]
        if any(isinstance(job, DeliverMessages) for job, _ in jobs) and self._may_ask():
            wanted.append(self._app.configure_task(DELIVER, queue=QUEUE, priority=FIRST).job)
        return wanted

    def _settle(self, payment_id: str, at: datetime) -> QueuedJob:
        payment = {"payment_id": payment_id}
        return self._app.configure_task(SETTLE, queue=QUEUE, schedule_at=at, task_kwargs=payment).job

    def _may_ask(self) -> bool:
        now = self._elapsed()
        if self._asked_at is not None and now - self._asked_at < DEFER_INTERVAL_S:
            return False
        self._asked_at = now
        return True
