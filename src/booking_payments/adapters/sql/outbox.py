"""The outbox in SQL: messages in order per booking, claimed by whoever delivers them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Select, and_, bindparam, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from booking_payments.adapters.sql import rows, tables
from booking_payments.adapters.sql.among import among
from booking_payments.adapters.sql.execute import Execute
from booking_payments.adapters.sql.failures import is_taken
from booking_payments.ports.publisher import Delivery, Message
from booking_payments.ports.storage import AlreadyExists

_OUTBOX: Final = tables.outbox
_EARLIER: Final = tables.outbox.alias("earlier")
_WAITS: Final = _OUTBOX.c.delivered_at.is_(None)
_IS_MEANT: Final = among(_OUTBOX.c.id)

_ADD: Final = insert(_OUTBOX)
_NEXT: Final = select(func.coalesce(func.max(_OUTBOX.c.sequence), 0) + 1).where(
    _OUTBOX.c.booking_id == bindparam("booking_id")
)
_WAITING: Final = select(_OUTBOX).where(_WAITS).order_by(_OUTBOX.c.position).limit(bindparam("most"))


def _has_predecessor(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(
        _EARLIER.c.booking_id == _OUTBOX.c.booking_id,
        _EARLIER.c.sequence < _OUTBOX.c.sequence,
        _EARLIER.c.delivered_at.is_(None),
        *conditions,
    )


def _firsts(past_dead: bool, is_due: ColumnElement[bool], order: Column[Any]) -> Select[Any]:
    """The first messages of their bookings that are due; rows that somebody else is claiming are passed over."""
    alive = [_EARLIER.c.dead_at.is_(None)] if past_dead else []
    return (
        select(_OUTBOX.c.id, _OUTBOX.c.booking_id)
        .where(_WAITS, is_due, _OUTBOX.c.dead_at.is_(None), ~_has_predecessor(*alive))
        .order_by(order)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
    )


_UNTRIED: Final = {each: _firsts(each, _OUTBOX.c.next_try_at.is_(None), _OUTBOX.c.position) for each in (True, False)}
_DUE: Final = {
    each: _firsts(each, _OUTBOX.c.next_try_at <= bindparam("now"), _OUTBOX.c.next_try_at) for each in (True, False)
}
"""Only the first message of a booking is claimed, and stands for all behind it: so nobody else can begin with them.

Two statements, with and without ``past_dead`` each, because each has an index that holds what it looks for in order,
however much waits.
"""

_CLAIM: Final = update(_OUTBOX).where(_IS_MEANT).values(next_try_at=bindparam("until"))
_OF_BOOKINGS: Final = (
    select(_OUTBOX).where(_WAITS, among(_OUTBOX.c.booking_id, "booking_ids")).order_by(_OUTBOX.c.position)
)
_DELIVERED: Final = update(_OUTBOX).where(_IS_MEANT).values(delivered_at=bindparam("at_this_moment"))
_LET_GO: Final = (
    update(_OUTBOX)
    .where(_OUTBOX.c.position.in_(select(_OUTBOX.c.position).where(_WAITS).order_by(_OUTBOX.c.position)
                                  .limit(bindparam("most")).with_for_update(skip_locked=True)))
    .values(delivered_at=bindparam("at_this_moment"))
)  # fmt: skip
_PUT_OFF: Final = (
    update(_OUTBOX)
    .where(_OUTBOX.c.id == bindparam("its_id"), _WAITS)
    .values({name: bindparam(name) for name in ("tries", "next_try_at", "dead_at", "error")})
)
_PUT_OFF_OTHERS: Final = (
    update(_OUTBOX)
    .where(_OUTBOX.c.booking_id == bindparam("its_booking"), _WAITS, _OUTBOX.c.next_try_at.is_(None))
    .values(next_try_at=bindparam("until"))
)
"""What waits behind is not looked at before."""

_DEAD: Final = and_(_WAITS, _OUTBOX.c.dead_at.is_not(None))
_REVIVE: Final = update(_OUTBOX).where(_IS_MEANT, _DEAD).values(dead_at=None, next_try_at=None, tries=0)
_DROP: Final = update(_OUTBOX).where(_IS_MEANT, _DEAD).values(delivered_at=bindparam("at_this_moment"))


class SqlOutbox:
    """The outbox of the port, in SQL."""

    def __init__(self, connection: Execute) -> None:
        self._connection = connection

    async def append(self, message: Message, *, wanted: bool = True) -> None:
        result = await self._connection.execute(_NEXT, {"booking_id": message.booking_id})
        given = {"sequence": int(result.scalar_one()), "delivered_at": None if wanted else message.at}
        try:
            await self._connection.execute(_ADD, {**rows.message_values(message), **given})
        except IntegrityError as error:
            if not is_taken(error):
                raise
            raise AlreadyExists(message.id) from error

    async def waiting(self, limit: int) -> Sequence[Message]:
        result = await self._connection.execute(_WAITING, {"most": limit})
        return [rows.message_from(row) for row in result.mappings()]

    async def claim(self, now: datetime, until: datetime, limit: int, *, past_dead: bool) -> Sequence[Delivery]:
        again = await self._connection.execute(_DUE[past_dead], {"now": now, "most": max(1, limit // 2)})
        first = list(again.all())
        if len(first) < limit:
            untried = await self._connection.execute(_UNTRIED[past_dead], {"most": limit - len(first)})
            first += [row for row in untried if row.booking_id not in {each.booking_id for each in first}]
        if not first:
            return []
        await self._connection.execute(_CLAIM, {"ids": [row.id for row in first], "until": until})
        bookings = [row.booking_id for row in first]
        result = await self._connection.execute(_OF_BOOKINGS, {"booking_ids": bookings})
        return [rows.delivery_from(row) for row in result.mappings()]

    async def delivered(self, message_ids: Collection[str], at: datetime) -> None:
        await self._connection.execute(_DELIVERED, {"ids": list(message_ids), "at_this_moment": at})

    async def let_go(self, at: datetime, limit: int) -> int:
        return (await self._connection.execute(_LET_GO, {"at_this_moment": at, "most": limit})).rowcount

    async def put_off(self, delivery: Delivery) -> None:
        await self._connection.execute(_PUT_OFF, rows.delivery_values(delivery))
        if delivery.next_try_at is not None:
            its = {"its_booking": delivery.message.booking_id, "until": delivery.next_try_at}
            await self._connection.execute(_PUT_OFF_OTHERS, its)

    async def undelivered(self, *, dead: bool, limit: int) -> Sequence[Delivery]:
        statement = select(_OUTBOX).where(_DEAD if dead else _WAITS).order_by(_OUTBOX.c.position).limit(limit)
        result = await self._connection.execute(statement)
        return [rows.delivery_from(row) for row in result.mappings()]

    async def revive(self, message_ids: Collection[str]) -> int:
        return (await self._connection.execute(_REVIVE, {"ids": list(message_ids)})).rowcount

    async def drop(self, message_ids: Collection[str], at: datetime) -> int:
        values: dict[str, Any] = {"ids": list(message_ids), "at_this_moment": at}
        return (await self._connection.execute(_DROP, values)).rowcount
