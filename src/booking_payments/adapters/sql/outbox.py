"""The outbox in SQL: messages, ordered per booking, and their delivery on each of their channels."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal_column,
    select,
    true,
    update,
)

from booking_payments.adapters.memory.cursors import unknown_cursor
from booking_payments.adapters.sql import rows, tables
from booking_payments.adapters.sql.execute import Execute
from booking_payments.adapters.sql.in_array import in_array, in_array_int
from booking_payments.adapters.unit_of_work import RecordingOutbox, UnitOfWorkSession
from booking_payments.ports.publisher import MOST_COUNTED, Backlog, Message, MessageDelivery

_OUTBOX: Final = tables.outbox
_CHANNELS: Final = tables.message_channels
_ITS: Final = tables.message_deliveries
_EARLIER: Final = tables.message_deliveries.alias("earlier")

BEFORE_CHANNELS: Final = ""
"""The channel of messages that were discarded before there was one."""


def _waits(table: Any) -> ColumnElement[bool]:
    return and_(table.c.delivered_at.is_(None), table.c.discarded_at.is_(None))


_WAITS: Final = _waits(_ITS)
_ON_CHANNEL: Final = _ITS.c.channel == bindparam("on_channel")
_DEAD: Final = and_(_WAITS, _ITS.c.dead_at.is_not(None))
_IS_UNASSIGNED: Final = _OUTBOX.c.unassigned == literal_column("1")

_MESSAGE: Final = [_OUTBOX.c[name] for name in ("id", "booking_id", "sequence", "payment_id", "type", "at", "data")]
_DELIVERY: Final = [_ITS.c[name] for name in ("channel", "tries", "next_try_at", "dead_at", "error")]
_WITH_MESSAGE: Final = select(*_MESSAGE, *_DELIVERY, _OUTBOX.c.position).join_from(
    _ITS, _OUTBOX, _OUTBOX.c.position == _ITS.c.position
)

# --- writing ---------------------------------------------------------------------------------------------------

ADD: Final = insert(_OUTBOX).values(
    unassigned=case((exists(select(_CHANNELS.c.name)), literal_column("0")), else_=literal_column("1"))
)
FAN_OUT: Final = insert(_ITS).from_select(
    ["channel", "position", "booking_id", "sequence"],
    select(_CHANNELS.c.name, _OUTBOX.c.position, _OUTBOX.c.booking_id, _OUTBOX.c.sequence)
    .join_from(_OUTBOX, _CHANNELS, true())
    .where(in_array(_OUTBOX.c.id)),
)
"""Deliveries of the messages that were just added, one for each recorded channel. Channels can't change between the two
statements: adding or removing one waits until this transaction has ended."""

_HAS_CHANNEL: Final = select(exists(select(_CHANNELS.c.name)))
_UNASSIGNED: Final = (
    select(_OUTBOX.c.position)
    .where(_IS_UNASSIGNED)
    .order_by(_OUTBOX.c.position)
    .limit(bindparam("most"))
    .with_for_update()
)
_LEFT_UNASSIGNED: Final = select(exists(select(_OUTBOX.c.position).where(_IS_UNASSIGNED)))
_ASSIGN: Final = insert(_ITS).from_select(
    ["channel", "position", "booking_id", "sequence"],
    select(_CHANNELS.c.name, _OUTBOX.c.position, _OUTBOX.c.booking_id, _OUTBOX.c.sequence)
    .join_from(_OUTBOX, _CHANNELS, true())
    .where(in_array_int(_OUTBOX.c.position, "positions")),
)
_ASSIGNED: Final = update(_OUTBOX).where(in_array_int(_OUTBOX.c.position, "positions")).values(unassigned=0)

# --- delivering ------------------------------------------------------------------------------------------------


def _has_predecessor(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(
        _EARLIER.c.channel == _ITS.c.channel,
        _EARLIER.c.booking_id == _ITS.c.booking_id,
        _EARLIER.c.sequence < _ITS.c.sequence,
        _waits(_EARLIER),
        *conditions,
    )


def _firsts(skip_dead: bool, is_due: ColumnElement[bool], order: Column[Any]) -> Select[Any]:
    """Select the first due message of each booking; skip rows that another transaction is claiming."""
    alive = [_EARLIER.c.dead_at.is_(None)] if skip_dead else []
    return (
        select(_ITS.c.position, _ITS.c.booking_id)
        .where(_ON_CHANNEL, _WAITS, is_due, _ITS.c.dead_at.is_(None), ~_has_predecessor(*alive))
        .order_by(order)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
    )


_UNTRIED: Final = {each: _firsts(each, _ITS.c.next_try_at.is_(None), _ITS.c.position) for each in (True, False)}
_DUE: Final = {
    each: _firsts(each, _ITS.c.next_try_at <= bindparam("now"), _ITS.c.next_try_at) for each in (True, False)
}
"""The statements that claim: only the first message of a booking is claimed, on behalf of all its later messages, so
that no other process starts with one of them.

There are two statements, each with and without ``skip_dead``, because each uses an index that has its rows in order,
whatever the
length of the outbox.
"""

_CLAIM: Final = (
    update(_ITS).where(_ON_CHANNEL, in_array_int(_ITS.c.position, "positions")).values(next_try_at=bindparam("until"))
)
_OF_BOOKINGS: Final = _WITH_MESSAGE.where(_ON_CHANNEL, _WAITS, in_array(_ITS.c.booking_id, "booking_ids")).order_by(
    _ITS.c.position
)
_ARE_MEANT: Final = _ITS.c.position.in_(select(_OUTBOX.c.position).where(in_array(_OUTBOX.c.id)))
_DELIVERED: Final = update(_ITS).where(_ON_CHANNEL, _WAITS, _ARE_MEANT).values(delivered_at=bindparam("at_this_moment"))
_IS_IT: Final = (
    _ITS.c.position == select(_OUTBOX.c.position).where(_OUTBOX.c.id == bindparam("its_id")).scalar_subquery()
)
_PUT_OFF: Final = (
    update(_ITS)
    .where(_ON_CHANNEL, _WAITS, _IS_IT)
    .values({name: bindparam(name) for name in ("tries", "next_try_at", "dead_at", "error")})
)
_PUT_OFF_OTHERS: Final = (
    update(_ITS)
    .where(_ON_CHANNEL, _ITS.c.booking_id == bindparam("its_booking"), _WAITS, _ITS.c.next_try_at.is_(None))
    .values(next_try_at=bindparam("until"))
)
"""Later messages of a booking are not read before its first one is claimed."""

# --- for people ------------------------------------------------------------------------------------------------

_LIST: Final = _WITH_MESSAGE.where(_WAITS).order_by(_ITS.c.position, _ITS.c.channel).limit(bindparam("most"))
_LIST_DEAD: Final = _WITH_MESSAGE.where(_DEAD).order_by(_ITS.c.position, _ITS.c.channel).limit(bindparam("most"))
_LIST_UNASSIGNED: Final = (
    select(*_MESSAGE, _OUTBOX.c.position).where(_IS_UNASSIGNED).order_by(_OUTBOX.c.position).limit(bindparam("most"))
)

_REVIVED: Final = {"dead_at": None, "next_try_at": None, "tries": 0}
_DISCARDED: Final[dict[str, Any]] = {"discarded_at": bindparam("at_this_moment"), "discarded_by": bindparam("by")}
_REVIVE: Final = update(_ITS).where(_DEAD, _ARE_MEANT).values(_REVIVED)
_DISCARD: Final = update(_ITS).where(_DEAD, _ARE_MEANT).values(_DISCARDED)
_MEANT_DEAD: Final = select(func.count(func.distinct(_ITS.c.position))).where(_DEAD, _ARE_MEANT)
_DISCARD_WAITING: Final = update(_ITS).where(_ON_CHANNEL, _WAITS).values(_DISCARDED)
_DISCARD_UNASSIGNED: Final = insert(_ITS).from_select(
    ["channel", "position", "booking_id", "sequence", "discarded_at", "discarded_by"],
    select(
        literal_column(f"'{BEFORE_CHANNELS}'"),
        _OUTBOX.c.position,
        _OUTBOX.c.booking_id,
        _OUTBOX.c.sequence,
        bindparam("at_this_moment", type_=tables.UtcTime()),
        bindparam("by", type_=_ITS.c.discarded_by.type),
    ).where(_IS_UNASSIGNED),
)
_NONE_UNASSIGNED: Final = update(_OUTBOX).where(_IS_UNASSIGNED).values(unassigned=0)

_NAMES: Final = select(_CHANNELS.c.name).order_by(_CHANNELS.c.name)


def _count(*conditions: ColumnElement[bool]) -> Select[Any]:
    some = select(_ITS.c.position).where(*conditions).limit(MOST_COUNTED).subquery()
    return select(func.count()).select_from(some)


_COUNT_WAITING: Final = _count(_ON_CHANNEL, _WAITS)
_COUNT_DEAD: Final = _count(_ON_CHANNEL, _DEAD)
_SOME_DISCARDED: Final = select(_ITS.c.channel).where(_ITS.c.discarded_at.is_not(None)).limit(MOST_COUNTED).subquery()
_COUNT_DISCARDED: Final = select(_SOME_DISCARDED.c.channel, func.count().label("many")).group_by(
    _SOME_DISCARDED.c.channel
)
_OLDEST: Final = (
    select(_OUTBOX.c.at)
    .join_from(_ITS, _OUTBOX, _OUTBOX.c.position == _ITS.c.position)
    .where(_ON_CHANNEL, _WAITS)
    .order_by(_ITS.c.position)
    .limit(1)
)
_SOME_UNASSIGNED: Final = select(_OUTBOX.c.position).where(_IS_UNASSIGNED).limit(MOST_COUNTED).subquery()
_COUNT_UNASSIGNED: Final = select(func.count()).select_from(_SOME_UNASSIGNED)
_OLDEST_UNASSIGNED: Final = select(_OUTBOX.c.at).where(_IS_UNASSIGNED).order_by(_OUTBOX.c.position).limit(1)

# --- reading with a cursor -------------------------------------------------------------------------------------

_LOCK_CHANNEL: Final = select(_CHANNELS.c.name).where(_CHANNELS.c.name == bindparam("on_channel")).with_for_update()
_LAST_NUMBER: Final = select(func.coalesce(func.max(_ITS.c.number), 0)).where(_ON_CHANNEL)
_HAS_READ: Final = (
    update(_ITS)
    .where(_ON_CHANNEL, _WAITS, _ITS.c.number.is_not(None), _ITS.c.number <= bindparam("behind"))
    .values(delivered_at=bindparam("at_this_moment"))
)
_NOT_NUMBERED: Final = (
    select(_EARLIER.c.position)
    .where(
        _EARLIER.c.channel == bindparam("on_channel"),
        _waits(_EARLIER),
        _EARLIER.c.next_try_at.is_(None),
        _EARLIER.c.number.is_(None),
    )
    .order_by(_EARLIER.c.position)
    .limit(bindparam("most"))
    .subquery()
)
_PLACES: Final = select(
    _NOT_NUMBERED.c.position, func.row_number().over(order_by=_NOT_NUMBERED.c.position).label("place")
).subquery()
_NUMBER: Final = (
    update(_ITS)
    .where(_ON_CHANNEL, _ITS.c.position == _PLACES.c.position)
    .values(number=_PLACES.c.place + bindparam("last", type_=tables.BigInt))
)
_BEHIND: Final = (
    select(*_MESSAGE, _ITS.c.number)
    .join_from(_ITS, _OUTBOX, _OUTBOX.c.position == _ITS.c.position)
    .where(_ON_CHANNEL, _ITS.c.number > bindparam("behind"))
    .order_by(_ITS.c.number)
    .limit(bindparam("most"))
)


def _and_channel(statement: Any) -> dict[bool, Any]:
    """The statement for all channels, and for one."""
    return {False: statement, True: statement.where(_ON_CHANNEL)}


_LISTS: Final = {False: _and_channel(_LIST), True: _and_channel(_LIST_DEAD)}
_REVIVES: Final = _and_channel(_REVIVE)
_DISCARDS: Final = _and_channel(_DISCARD)
_MEANT: Final = _and_channel(_MEANT_DEAD)


def _on(channel: str | None) -> dict[str, Any]:
    return {} if channel is None else {"on_channel": channel}


class SqlOutbox(RecordingOutbox):
    """The outbox of the port, in SQL."""

    def __init__(self, session: UnitOfWorkSession, connection: Execute) -> None:
        super().__init__(session)
        self._connection = connection

    async def assign(self, limit: int) -> bool:
        if not await self._is(_LEFT_UNASSIGNED):
            return True
        if not await self._is(_HAS_CHANNEL):
            return True
        found = [row.position for row in await self._connection.execute(_UNASSIGNED, {"most": limit})]
        if found:
            await self._connection.execute(_ASSIGN, {"positions": found})
            await self._connection.execute(_ASSIGNED, {"positions": found})
        return not await self._is(_LEFT_UNASSIGNED)

    async def _is(self, statement: Select[Any]) -> bool:
        return bool((await self._connection.execute(statement)).scalar_one())

    async def claim(
        self, channel: str, now: datetime, until: datetime, limit: int, *, skip_dead: bool
    ) -> Sequence[MessageDelivery]:
        on = {"on_channel": channel}
        again = await self._connection.execute(_DUE[skip_dead], {**on, "now": now, "most": max(1, limit // 2)})
        first = list(again.all())
        if len(first) < limit:
            untried = await self._connection.execute(_UNTRIED[skip_dead], {**on, "most": limit - len(first)})
            first += [row for row in untried if row.booking_id not in {each.booking_id for each in first}]
        if not first:
            return []
        positions = [row.position for row in first]
        await self._connection.execute(_CLAIM, {**on, "positions": positions, "until": until})
        bookings = [row.booking_id for row in first]
        result = await self._connection.execute(_OF_BOOKINGS, {**on, "booking_ids": bookings})
        return [rows.delivery_from(row) for row in result.mappings()]

    async def delivered(self, channel: str, message_ids: Collection[str], at: datetime) -> None:
        values = {"on_channel": channel, "ids": list(message_ids), "at_this_moment": at}
        await self._connection.execute(_DELIVERED, values)

    async def reschedule(self, delivery: MessageDelivery) -> None:
        on = {"on_channel": delivery.channel}
        await self._connection.execute(_PUT_OFF, {**on, **rows.delivery_values(delivery)})
        if delivery.next_try_at is not None:
            its = {"its_booking": delivery.message.booking_id, "until": delivery.next_try_at}
            await self._connection.execute(_PUT_OFF_OTHERS, {**on, **its})

    async def undelivered(self, *, dead: bool, limit: int, channel: str | None = None) -> Sequence[MessageDelivery]:
        statement = _LISTS[dead][channel is not None]
        result = await self._connection.execute(statement, {"most": limit, **_on(channel)})
        found = [(row["position"], rows.delivery_from(row)) for row in result.mappings()]
        if not dead and channel is None:
            result = await self._connection.execute(_LIST_UNASSIGNED, {"most": limit})
            found += [(row["position"], MessageDelivery(message=rows.message_from(row))) for row in result.mappings()]
        return [delivery for _, delivery in sorted(found, key=lambda each: each[0])[:limit]]

    async def backlogs(self) -> Sequence[Backlog]:
        discarded = {row.channel: row.many for row in await self._connection.execute(_COUNT_DISCARDED)}
        names = [row.name for row in await self._connection.execute(_NAMES)]
        unassigned = int((await self._connection.execute(_COUNT_UNASSIGNED)).scalar_one())
        found = []
        if unassigned or BEFORE_CHANNELS in discarded:
            oldest = [row.at for row in await self._connection.execute(_OLDEST_UNASSIGNED)]
            many = discarded.pop(BEFORE_CHANNELS, 0)
            found.append(_backlog(None, unassigned, 0, many, oldest))
        for name in names:
            on = {"on_channel": name}
            waiting = int((await self._connection.execute(_COUNT_WAITING, on)).scalar_one())
            dead = int((await self._connection.execute(_COUNT_DEAD, on)).scalar_one())
            oldest = [row.at for row in await self._connection.execute(_OLDEST, on)]
            found.append(_backlog(name, waiting, dead, discarded.pop(name, 0), oldest))
        return [*found, *(_backlog(name, 0, 0, many, []) for name, many in sorted(discarded.items()))]

    async def requeue(self, message_ids: Collection[str], channel: str | None = None) -> int:
        values = {"ids": list(message_ids), **_on(channel)}
        return await self._end(_REVIVES[channel is not None], values, values, channel)

    async def discard(self, message_ids: Collection[str], at: datetime, by: str, channel: str | None = None) -> int:
        meant = {"ids": list(message_ids), **_on(channel)}
        values = {**meant, "at_this_moment": at, "by": by}
        return await self._end(_DISCARDS[channel is not None], values, meant, channel)

    async def _end(self, statement: Any, values: dict[str, Any], meant: dict[str, Any], channel: str | None) -> int:
        """How many messages are meant; one may be dead on several channels."""
        many = int((await self._connection.execute(_MEANT[channel is not None], meant)).scalar_one())
        await self._connection.execute(statement, values)
        return many

    async def discard_waiting(self, channel: str | None, at: datetime, by: str) -> int:
        values = {"at_this_moment": at, "by": by, **_on(channel)}
        if channel is not None:
            return (await self._connection.execute(_DISCARD_WAITING, values)).rowcount
        await self._connection.execute(_DISCARD_UNASSIGNED, values)
        return (await self._connection.execute(_NONE_UNASSIGNED)).rowcount

    async def number(self, channel: str, after: int, limit: int, at: datetime) -> Sequence[Message]:
        on = {"on_channel": channel}
        (await self._connection.execute(_LOCK_CHANNEL, on)).all()
        last = int((await self._connection.execute(_LAST_NUMBER, on)).scalar_one())
        if after > last:
            raise unknown_cursor()
        await self._connection.execute(_HAS_READ, {**on, "behind": after, "at_this_moment": at})
        if last - after < limit:
            await self._connection.execute(_NUMBER, {**on, "last": last, "most": limit - (last - after)})
        result = await self._connection.execute(_BEHIND, {**on, "behind": after, "most": limit})
        return [rows.numbered_message_from(row) for row in result.mappings()]


def _backlog(channel: str | None, waiting: int, dead: int, discarded: int, oldest: Sequence[datetime]) -> Backlog:
    at = oldest[0] if oldest else None
    return Backlog(channel=channel, waiting=waiting, dead=dead, discarded=discarded, oldest_at=at)
