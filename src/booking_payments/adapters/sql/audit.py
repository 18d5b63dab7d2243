"""The audit trail in SQL. Triggers in the database refuse to change or delete a record."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import RowMapping, select

from booking_payments.adapters.sql.execute import Execute
from booking_payments.adapters.sql.tables import audit
from booking_payments.adapters.unit_of_work import RecordingAudit, UnitOfWorkSession
from booking_payments.ports.audit import AuditOutcome, AuditRecord


class SqlAudit(RecordingAudit):
    """The audit trail of the port, in SQL."""

    def __init__(self, session: UnitOfWorkSession, connection: Execute) -> None:
        super().__init__(session)
        self._connection = connection

    async def latest(self, limit: int, booking_id: str | None = None) -> Sequence[AuditRecord]:
        statement = select(audit).order_by(audit.c.id.desc()).limit(limit)
        if booking_id is not None:
            statement = statement.where(audit.c.booking_id == booking_id)
        return [_record(row) for row in (await self._connection.execute(statement)).mappings()]


def audit_values(record: AuditRecord) -> dict[str, Any]:
    """The columns of a record's row."""
    return {
        "at": record.at,
        "operation": record.operation,
        "actor": record.actor,
        "cause": record.cause,
        "outcome": record.outcome.value,
        "code": record.code,
        "request_id": record.request_id,
        "idempotency_key": record.key,
        "booking_id": record.booking_id,
        "payment_id": record.payment_id,
        "asked": msgspec.json.encode(record.asked, order="sorted").decode(),
    }


def _record(row: RowMapping) -> AuditRecord:
    return AuditRecord(
        at=row["at"],
        operation=row["operation"],
        actor=row["actor"],
        cause=row["cause"],
        outcome=AuditOutcome(row["outcome"]),
        code=row["code"],
        request_id=row["request_id"],
        key=row["idempotency_key"],
        booking_id=row["booking_id"],
        payment_id=row["payment_id"],
        asked=msgspec.json.decode(row["asked"]),
    )
