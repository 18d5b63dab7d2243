"""The audit trail: one record for every command that may move money. It is append-only and kept without limit.

The journal records the changes of a payment; the audit trail records who requested what, including refused and failed
commands.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Protocol

from attrs import field, frozen


class AuditOutcome(Enum):
    """How a command ended.

    ``unknown``: the gateway's outcome is not known yet; the process that resolves it appends another record.
    """

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    FAILED = "failed"


@frozen(kw_only=True)
class AuditRecord:
    """One command and its outcome. It contains no secrets.

    Attributes:
        operation: the name of the command.
        actor: who requested it, for example ``customer:ann``.
        cause: the same as in the journal events of this command.
        code: the error's code; None for a successful command.
        request_id: id of the HTTP request; None for a command of the library.
        key: the request's ``Idempotency-Key``.
        asked: the parameters of the command, as text.
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
    """The stored audit records."""

    async def append(self, record: AuditRecord) -> None:
        """Store a record after all others."""
        ...

    async def latest(self, limit: int, booking_id: str | None = None) -> Sequence[AuditRecord]:
        """Return at most ``limit`` records, newest first; with ``booking_id`` only those of that booking."""
        ...
