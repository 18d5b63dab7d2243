"""The console's sessions in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import RowMapping, bindparam, delete, insert, or_, select, update

from booking_payments.adapters.sql.execute import Execute
from booking_payments.adapters.sql.tables import console_sessions
from booking_payments.ports.console_sessions import ConsoleSession, LogInWay, OperatorIdentity

_COLUMNS: Final = console_sessions.c
_BY_ID: Final = _COLUMNS.id == bindparam("its")
_GET: Final = select(console_sessions).where(_BY_ID)
_ADD: Final = insert(console_sessions)
_SAVE_USE: Final = update(console_sessions).where(_BY_ID)
_ALL: Final = select(console_sessions).order_by(_COLUMNS.last_used_at.desc(), _COLUMNS.id.desc())
_OF_OPERATOR: Final = _ALL.where(
    _COLUMNS.way == bindparam("its_way"),
    _COLUMNS.issuer == bindparam("its_issuer"),
    _COLUMNS.subject == bindparam("its_subject"),
)
_REMOVE: Final = delete(console_sessions).where(_BY_ID)
_REMOVE_ENDED: Final = delete(console_sessions).where(
    or_(_COLUMNS.ends_at <= bindparam("now"), _COLUMNS.last_used_at <= bindparam("idle_since"))
)


class SqlConsoleSessions:
    """The sessions of the port, in SQL."""

    def __init__(self, connection: Execute) -> None:
        self._connection = connection

    async def get(self, session_id: str) -> ConsoleSession | None:
        row = (await self._connection.execute(_GET, {"its": session_id})).mappings().one_or_none()
        return _session(row) if row else None

    async def add(self, session: ConsoleSession) -> None:
        await self._connection.execute(_ADD, console_session_values(session))

    async def save_use(self, session_id: str, last_used_at: datetime, check_at: datetime | None) -> None:
        values = {"its": session_id, "last_used_at": last_used_at, "check_at": check_at}
        await self._connection.execute(_SAVE_USE, values)

    async def of_operator(self, operator: OperatorIdentity) -> Sequence[ConsoleSession]:
        its = {"its_way": operator.way.value, "its_issuer": operator.issuer, "its_subject": operator.subject}
        return [_session(row) for row in (await self._connection.execute(_OF_OPERATOR, its)).mappings()]

    async def all(self) -> Sequence[ConsoleSession]:
        return [_session(row) for row in (await self._connection.execute(_ALL)).mappings()]

    async def remove(self, session_id: str) -> bool:
        return bool((await self._connection.execute(_REMOVE, {"its": session_id})).rowcount)

    async def remove_ended(self, now: datetime, idle_since: datetime) -> int:
        return (await self._connection.execute(_REMOVE_ENDED, {"now": now, "idle_since": idle_since})).rowcount


def console_session_values(session: ConsoleSession) -> dict[str, Any]:
    """The columns of a session's row."""
    operator = session.operator
    return {
        "id": session.id,
        "way": operator.way.value,
        "issuer": operator.issuer,
        "subject": operator.subject,
        "name": operator.name,
        "email": operator.email,
        "may_act": int(session.may_act),
        "device": session.device,
        "started_at": session.started_at,
        "last_used_at": session.last_used_at,
        "check_at": session.check_at,
        "ends_at": session.ends_at,
        "form_seed": session.form_seed,
        "sealed_id_token": session.sealed_id_token,
    }


def _session(row: RowMapping) -> ConsoleSession:
    operator = OperatorIdentity(
        way=LogInWay(row["way"]),
        issuer=row["issuer"],
        subject=row["subject"],
        name=row["name"],
        email=row["email"],
    )
    names = ("id", "device", "started_at", "last_used_at", "check_at", "ends_at", "form_seed", "sealed_id_token")
    return ConsoleSession(operator=operator, may_act=bool(row["may_act"]), **{name: row[name] for name in names})
