"""The audit trail in memory."""

from collections.abc import Sequence

from booking_payments.ports.audit import AuditRecord


class MemoryAudit:
    """The audit trail of the port, over the records of one transaction, by their place."""

    def __init__(self, rows: dict[int, AuditRecord]) -> None:
        self._rows = rows

    async def append(self, record: AuditRecord) -> None:
        self._rows[len(self._rows) + 1] = record

    async def latest(self, limit: int, booking_id: str | None = None) -> Sequence[AuditRecord]:
        found = [row for row in self._rows.values() if booking_id in (None, row.booking_id)]
        return found[::-1][:limit]
