"""The two statements of a group: one reads for all members, one writes for all of them.

Their parameters are JSON, one text for each table, so that a statement stays the same whatever the group's size, and is
prepared once.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from sqlalchemy import Column, Dialect, Table
from sqlalchemy.dialects import postgresql

from booking_payments.adapters.sql import tables


def _columns(table: Table, *without: str) -> tuple[str, ...]:
    return tuple(name for name in table.columns.keys() if name not in without)  # noqa: SIM118 - its values are columns


PAYMENT: Final = _columns(tables.payments)
BOOKING: Final = _columns(tables.bookings)
ENTRY: Final = _columns(tables.inbox, "id")
CHANGING: Final = (
    *("status", "intent_id", "captured_minor", "refunded_minor", "refund_pending_minor", "owed_minor"),
    *("holds_booking", "version", "updated_at"),
    *("state", "next_look_at", "looks", "lease_until", "lease_holder", "client_secret", "next_action"),
)
"""The columns of a payment that may change. Those that don't are written as they were read."""
CHANGING_OF_BOOKING: Final = ("id", "status", "end_reason", "payments_begun")
"""A booking's id, and its columns that may change."""

INSERTED: Final[Mapping[Table, tuple[str, ...]]] = {
    tables.payments: PAYMENT,
    tables.operation_keys: _columns(tables.operation_keys),
    tables.journal: _columns(tables.journal),
    tables.postings: _columns(tables.postings),
    tables.gateway_ids: _columns(tables.gateway_ids),
    tables.outbox: ("id", "booking_id", "sequence", "payment_id", "type", "at", "data"),
    tables.inbox: ENTRY,
    tables.audit: _columns(tables.audit, "id"),
}
"""What rows are added to, and which of their columns are given."""

JUDGED: Final = "judged_bookings"
CHANGED_BOOKINGS: Final = "changed_bookings"
CHANGED_PAYMENTS: Final = "changed_payments"
WRITTEN_BY: Final = "written_by"
"""The transaction that wrote a payment's row (``xmin``): another one has, when anything of it has changed."""

ROWS: Final = (JUDGED, CHANGED_BOOKINGS, CHANGED_PAYMENTS, *(table.name for table in INSERTED))
"""The parameters of the writing statement that hold rows."""

_DIALECT: Final[Dialect] = postgresql.dialect()  # type: ignore[no-untyped-call]


def _type_of(column: Column[Any]) -> str:
    return str(column.type.compile(dialect=_DIALECT))


def _names(prefix: str, columns: Iterable[str]) -> str:
    return ", ".join(f"{prefix}{name}" for name in columns)


def _typed(table: Table, columns: Iterable[str], **more: str) -> str:
    own = [f"{name} {_type_of(table.c[name])}" for name in columns]
    return ", ".join([*own, *(f"{name} {type_}" for name, type_ in more.items())])


def _insert(table: Table, columns: Iterable[str]) -> str:
    names = _names("", columns)
    given = f"json_to_recordset(%({table.name})s) AS new ({_typed(table, columns)})"
    return f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {given}"  # noqa: S608 - names of our own


def _insert_messages(columns: Iterable[str]) -> str:
    """The messages, and a row for each of them and each recorded channel. All of one statement sees the same channels:
    where it has to wait for somebody who adds or removes one, that is before its snapshot is taken."""
    names = _names("", columns)
    given = f"json_to_recordset(%(bp_outbox)s) AS new ({_typed(tables.outbox, columns)})"
    unassigned = "CASE WHEN EXISTS (SELECT 1 FROM bp_message_channels) THEN 0 ELSE 1 END"
    return f"""to_outbox AS (
    INSERT INTO bp_outbox ({names}, unassigned) SELECT {names}, {unassigned} FROM {given}
    RETURNING position, booking_id, sequence
), to_channels AS (
    INSERT INTO bp_message_deliveries (channel, position, booking_id, sequence)
    SELECT bp_message_channels.name, to_outbox.position, to_outbox.booking_id, to_outbox.sequence
    FROM to_outbox, bp_message_channels
)"""  # noqa: S608 - names of our own


READ: Final = f"""
SELECT about.place,
       {_names("b.", BOOKING)}, (SELECT coalesce(max(sequence), 0) FROM bp_outbox WHERE booking_id = b.id),
       {_names("p.", PAYMENT)}, (SELECT coalesce(max(sequence), 0) FROM bp_postings WHERE payment_id = p.id),
       p.xmin::text,
       {_names("i.", ENTRY)}
FROM json_to_recordset(%(subjects)s) AS about (place integer, booking_id text, intent_id text, event_id text)
LEFT JOIN bp_payments AS named ON named.intent_id = about.intent_id
LEFT JOIN bp_bookings AS b ON b.id = coalesce(about.booking_id, named.booking_id)
LEFT JOIN bp_payments AS p ON p.booking_id = b.id
LEFT JOIN bp_inbox AS i ON i.event_id = about.event_id
ORDER BY about.place, p.created_at, i.id
"""  # noqa: S608 - names of our own
"""For each member one row, and more of them where its booking has several payments, or its event was seen under
another type, too."""

READ_TIME: Final = "SELECT clock_timestamp()"

_PARTS: Final[Mapping[str, str]] = {
    JUDGED: f"""judged AS (
    SELECT bp_bookings.id
    FROM bp_bookings
    JOIN json_to_recordset(%({JUDGED})s) AS seen ({_typed(tables.bookings, CHANGING_OF_BOOKING)})
    ON bp_bookings.id = seen.id AND bp_bookings.status = seen.status
       AND bp_bookings.payments_begun = seen.payments_begun
    FOR UPDATE OF bp_bookings SKIP LOCKED
)""",  # noqa: S608
    CHANGED_BOOKINGS: f"""changed AS (
    UPDATE bp_bookings SET {", ".join(f"{name} = new.{name}" for name in CHANGING_OF_BOOKING[1:])}
    FROM judged, json_to_recordset(%({CHANGED_BOOKINGS})s)
         AS new ({_typed(tables.bookings, CHANGING_OF_BOOKING)})
    WHERE bp_bookings.id = judged.id AND new.id = judged.id
)""",  # noqa: S608
    CHANGED_PAYMENTS: f"""moved AS (
    UPDATE bp_payments SET {", ".join(f"{name} = new.{name}" for name in CHANGING)}
    FROM json_to_recordset(%({CHANGED_PAYMENTS})s)
         AS new ({_typed(tables.payments, ("id", *CHANGING), **{WRITTEN_BY: "XID"})})
    WHERE bp_payments.id = new.id AND bp_payments.xmin = new.{WRITTEN_BY}
    RETURNING bp_payments.id
)""",  # noqa: S608
    **{table.name: f"to_{table.name} AS ({_insert(table, columns)})" for table, columns in INSERTED.items()},
    tables.outbox.name: _insert_messages(INSERTED[tables.outbox]),
}
"""The parts of the writing statement, by the parameter that they write."""

COUNTED: Final[Mapping[str, str]] = {JUDGED: "judged", CHANGED_PAYMENTS: "moved"}
"""Parts that have to find all that they were given, and what they are called."""


@cache
def write(*parameters: str) -> str:
    """The statement that writes these parameters, which are some of ``ROWS``, in that order.

    Each part opens its table with all its indexes, whether there is anything to write or not; so those without are left
    out. The statement divides by zero, and so does nothing, unless all payments and bookings are as they were when they
    were judged.
    """
    counted = [each for each in parameters if each in COUNTED]
    found = [f"(SELECT count(*) FROM {COUNTED[each]}) = %({each}_count)s" for each in counted]  # noqa: S608
    parts = ", ".join(_PARTS[each] for each in parameters)
    return f"WITH {parts} SELECT 1 / ({' AND '.join(found) or 'true'})::integer"


SESSION: Final[Mapping[str, str]] = {
    "timezone": "UTC",
    "default_transaction_isolation": "read committed",
    "lock_timeout": "200ms",
    "plan_cache_mode": "force_generic_plan",
    **dict.fromkeys(["enable_seqscan", "enable_hashjoin", "enable_mergejoin"], "off"),
}
"""Each statement is planned once, perhaps while its tables are empty, and stays as it was planned when they are large:
so all rows are looked up by their keys, one by one. For a lock that somebody keeps, each member waits by itself."""
