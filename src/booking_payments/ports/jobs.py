"""Background work, asked for in the transaction that makes it necessary.

Our tables stay the truth: what is due can always be found by a query, so a job that gets lost is only late.
"""

from datetime import datetime
from typing import Protocol

from attrs import frozen


@frozen(kw_only=True)
class SettlePayment:
    """Carry on with the operation of a payment, or look at its intent."""

    payment_id: str


@frozen(kw_only=True)
class DeliverMessages:
    """Publish what waits in the outbox."""


Job = SettlePayment | DeliverMessages


class Jobs(Protocol):
    """Takes work that is to be done once the transaction is committed."""

    def defer(self, job: Job, run_at: datetime) -> None:
        """Have ``job`` done at ``run_at`` or later; it is dropped when the transaction is rolled back."""
        ...
