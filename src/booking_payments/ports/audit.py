"""The audit trail: one record for everything that may move money, kept for ever.

The journal tells what became of a payment; this tells who asked for what, refusals and failures included. Storages
only ever append to it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Protocol

from attrs import field, frozen


class AuditOutcome(Enum):
    """How a command ended. ``unknown``: the gateway has not said; who settles it later leaves a record of their own."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    FAILED = "failed"


@frozen(kw_only=True)
class AuditRecord:
    """Who (``actor``) asked for what (``operation``, with ``asked``), and what came of it.

    ``cause`` stands in the journal's facts of the same command, too. ``request_id`` and ``key`` are those of the HTTP
    request, the latter its ``Idempotency-Key``. ``code`` is the error's. Secrets have no place here.
    """

    at: datetime
    operation: str
    actor: str
    cause: str
    outcome: AuditOutcome
    code: str | None = None
    request_id: str | None = None
    key: str | None = None
    booking_id: str | None = None
    payment_id: str | None = None
    asked: Mapping[str, str] = field(factory=dict)


class AuditTrail(Protocol):
    """The records."""

    async def append(self, record: AuditRecord) -> None:
        """Store a record behind all others."""
        ...

    async def latest(self, limit: int, booking_id: str | None = None) -> Sequence[AuditRecord]:
        """Records, newest first; of one booking where its id is given."""
        ...
