"""Background jobs, deferred in the transaction that requires them.

Correctness does not depend on jobs: due work can always be found by a query, so a lost job only delays it.
"""

from datetime import datetime
from typing import Protocol

from attrs import frozen


@frozen(kw_only=True)
class SettlePayment:
    """Continue the operation of a payment, or check its intent."""

    payment_id: str


@frozen(kw_only=True)
class DeliverMessages:
    """Publish the messages in the outbox."""


Job = SettlePayment | DeliverMessages


class Jobs(Protocol):
    """Accepts jobs that run once the transaction is committed."""

    def defer(self, job: Job, run_at: datetime) -> None:
        """Schedule ``job`` for ``run_at`` or later; a rollback discards it."""
        ...
