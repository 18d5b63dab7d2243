"""The recorded channels in SQL."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, delete, exists, insert, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement, Executable

from booking_payments.adapters.sql.execute import Execute
from booking_payments.adapters.sql.in_array import in_array
from booking_payments.adapters.sql.tables import message_channels, outbox
from booking_payments.ports.publisher import Channel


class _LockAppending(Executable, ClauseElement):
    """Waits for all transactions that have written to the outbox, and keeps others from it until the end of this one.

    A transaction that waits to append takes its snapshot when it has the table, so it sees the channels as they are
    then. SQLite has one writer, which is the lock.
    """

    inherit_cache = True


@compiles(_LockAppending, "postgresql")
def _on_postgresql(element: _LockAppending, compiler: SQLCompiler, **_: Any) -> str:
    return f"LOCK TABLE {outbox.name} IN SHARE ROW EXCLUSIVE MODE"


@compiles(_LockAppending, "sqlite")
def _on_sqlite(element: _LockAppending, compiler: SQLCompiler, **_: Any) -> str:
    return "SELECT 1"


_LOCK: Final = _LockAppending()
_ALL: Final = select(message_channels).order_by(message_channels.c.name)
_IS_RECORDED: Final = select(exists(select(message_channels.c.name).where(message_channels.c.name == bindparam("its"))))
_ADD: Final = insert(message_channels)
_REMOVE: Final = delete(message_channels).where(message_channels.c.name == bindparam("its"))
_ALIVE: Final = update(message_channels).where(in_array(message_channels.c.name, "names"))


class SqlChannels:
    """The channels of the port, in SQL."""

    def __init__(self, connection: Execute) -> None:
        self._connection = connection

    async def lock(self) -> None:
        await self._connection.execute(_LOCK)

    async def all(self) -> Sequence[Channel]:
        result = await self._connection.execute(_ALL)
        return [Channel(**row) for row in result.mappings()]

    async def add(self, name: str, at: datetime) -> bool:
        await self.lock()
        if (await self._connection.execute(_IS_RECORDED, {"its": name})).scalar_one():
            return False
        await self._connection.execute(_ADD, {"name": name, "added_at": at})
        return True

    async def remove(self, name: str) -> bool:
        await self.lock()
        return bool((await self._connection.execute(_REMOVE, {"its": name})).rowcount)

    async def alive(self, names: Collection[str], at: datetime, *, in_worker: bool) -> None:
        values: dict[str, Any] = {"names": list(names), "last_alive_at": at}
        if in_worker:
            values["worker_alive_at"] = at
        await self._connection.execute(_ALIVE, values)
