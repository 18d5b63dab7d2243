"""The console's sessions in memory."""

from collections.abc import MutableMapping, Sequence
from datetime import datetime

from attrs import evolve

from booking_payments.ports.console_sessions import ConsoleSession, OperatorIdentity


class MemoryConsoleSessions:
    """The sessions of the port, over the rows of one transaction."""

    def __init__(self, rows: MutableMapping[str, ConsoleSession]) -> None:
        self._rows = rows

    async def get(self, session_id: str) -> ConsoleSession | None:
        return self._rows.get(session_id)

    async def add(self, session: ConsoleSession) -> None:
        self._rows[session.id] = session

    async def save_use(self, session_id: str, last_used_at: datetime, check_at: datetime | None) -> None:
        known = self._rows.get(session_id)
        if known is not None:
            self._rows[session_id] = evolve(known, last_used_at=last_used_at, check_at=check_at)

    async def of_operator(self, operator: OperatorIdentity) -> Sequence[ConsoleSession]:
        return [each for each in await self.all() if _key(each.operator) == _key(operator)]

    async def all(self) -> Sequence[ConsoleSession]:
        return sorted(self._rows.values(), key=lambda each: (each.last_used_at, each.id), reverse=True)

    async def remove(self, session_id: str) -> bool:
        return self._rows.pop(session_id, None) is not None

    async def remove_ended(self, now: datetime, idle_since: datetime) -> int:
        ended = [row.id for row in self._rows.values() if row.ends_at <= now or row.last_used_at <= idle_since]
        for each in ended:
            del self._rows[each]
        return len(ended)


def _key(operator: OperatorIdentity) -> tuple[str, str, str]:
    return operator.way.value, operator.issuer, operator.subject
