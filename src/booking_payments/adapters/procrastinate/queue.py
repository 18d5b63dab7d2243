"""Asking for work in the transaction that makes it necessary: the job is there when, and only when, the transaction is.

Settling is asked for job by job. Delivering is asked for once in a while: a job for it takes whatever it finds, and
goes on looking for longer than this process then holds its tongue. So however many webhooks come in a second, a few
jobs are made of them. A job that is lost after all is only a late one: workers look for what is due anyway.
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

FIRST, AFTERWARDS = 1, 0
"""Priorities: whatever has to do with money goes before deliveries. Older releases gave everything 0."""

QUIET_S: Final = 0.25
"""For so long a process asks for one delivery at most."""

LINGER_S: Final = 2 * QUIET_S
"""For so long a delivery goes on looking: until those have committed that held their tongue because of it."""


class JobQueue:
    """Defers jobs on the connection of a transaction; only while there are workers to do them (``has_workers``)."""

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._app = App(connector=PsycopgConnector())  # never opened: it writes on the transactions' connections
        self._elapsed = elapsed
        self._asked_at: float | None = None
        self.has_workers = False

    async def defer(self, jobs: Sequence[tuple[Job, datetime]], connection: AsyncConnection[Any]) -> None:
        """Write the jobs of one transaction, all at once, on its connection, before it commits."""
        wanted = self._wanted(jobs) if self.has_workers else []
        if wanted:
            try:
                await self._app.job_manager.batch_defer_jobs_async(wanted, connection=connection)
            except ConnectorException as error:
                raise error.__cause__ or error from None  # the driver's own, which storage knows what to do about

    def _wanted(self, jobs: Sequence[tuple[Job, datetime]]) -> list[QueuedJob]:
        settled = {job.payment_id: at for job, at in jobs if isinstance(job, SettlePayment)}
        wanted = [self._settle(payment_id, at) for payment_id, at in settled.items()]
        if any(isinstance(job, DeliverMessages) for job, _ in jobs) and self._may_ask():
            wanted.append(self._app.configure_task(DELIVER, queue=QUEUE, priority=AFTERWARDS).job)
        return wanted

    def _settle(self, payment_id: str, at: datetime) -> QueuedJob:
        payment = {"payment_id": payment_id}
        return self._app.configure_task(SETTLE, queue=QUEUE, priority=FIRST, schedule_at=at, task_kwargs=payment).job

    def _may_ask(self) -> bool:
        now = self._elapsed()
        if self._asked_at is not None and now - self._asked_at < QUIET_S:
            return False
        self._asked_at = now
        return True
