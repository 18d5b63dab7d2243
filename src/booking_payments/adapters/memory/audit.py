"""The audit trail in memory."""

from collections.abc import Mapping, Sequence

from booking_payments.adapters.unit_of_work import RecordingAudit, UnitOfWorkSession
from booking_payments.ports.audit import AuditRecord


class MemoryAudit(RecordingAudit):
    """The audit trail of the port, over the records of one transaction, by their place."""

    def __init__(self, session: UnitOfWorkSession, rows: Mapping[int, AuditRecord]) -> None:
        super().__init__(session)
        self._rows = rows

    async def latest(self, limit: int, booking_id: str | None = None) -> Sequence[AuditRecord]:
        found = [row for row in self._rows.values() if booking_id in (None, row.booking_id)]
        return found[::-1][:limit]
