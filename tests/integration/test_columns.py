"""Every write path writes every column of its tables; a new column that a path leaves out fails here.

The columns come from the tables' metadata. Each path stores the values of ``testing/storage_samples.py``, which differ
from the columns' defaults, and then changes every mutable value. A column that stays NULL or at its default is missing
in the insert; one that does not change and is not listed as fixed is missing in the update.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from sqlalchemy import Column, Table, select

from booking_payments.adapters.gateways.bank_transfer.tables import BANK_TABLES, MANUAL_TABLES
from booking_payments.adapters.sql import tables
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.ports.event_jobs import BookingOutcome, BookingResult, EventJob, EventJobKind, EventJobState
from booking_payments.ports.overview import DriftReport
from booking_payments.ports.publisher import MessageDelivery
from booking_payments.ports.unit_of_work import LockScope, TransactionBody, UnitOfWork
from booking_payments.testing import storage_samples as samples
from booking_payments.testing.console_sessions_contract import session
from booking_payments.testing.kit import NOW
from booking_payments.testing.storage_samples import LATER

Rows = Mapping[tuple[Any, ...], Mapping[str, Any]]
Snapshot = Mapping[str, Rows]
Transact = Callable[[TransactionBody[None], LockScope | None], Awaitable[None]]

FIXED: Final[Mapping[str, frozenset[str]]] = {
    "bp_bookings": frozenset(
        {
            *("id", "reference", "customer_id", "currency", "refund_policy", "created_at", "event_id"),
        }
    ),
    "bp_payments": frozenset(
        {"id", "booking_id", "reference", "customer_id", "gateway", "currency", "created_at", "terms"}
    ),
    "bp_event_jobs": frozenset(
        {
            *("id", "event_id", "kind", "actor", "cause", "created_at", "refund", "reason", "event_starts_at"),
            "refund_grace_until",
        }
    ),
    "bp_event_results": frozenset({"job_id", "booking_id"}),
    "bp_console_sessions": frozenset(
        {
            *("id", "way", "issuer", "subject", "name", "email", "may_act", "device", "started_at", "ends_at"),
            *("form_seed", "sealed_id_token"),
        }
    ),
    "bp_inbox": frozenset({"id", "event_id", "type", "gateway"}),
    "bp_answers": frozenset({"caller", "route", "key"}),
    "bp_refused_deliveries": frozenset({"gateway", "hour"}),
    "bp_outbox": frozenset({"position", "id", "booking_id", "sequence", "payment_id", "type", "at", "data"}),
    "bp_message_channels": frozenset({"name", "added_at"}),
    "bp_message_deliveries": frozenset({"channel", "position", "booking_id", "sequence"}),
}
"""The columns that are written once, of tables whose rows change. In all other tables rows are only added."""

SET_LATER: Final[Mapping[str, frozenset[str]]] = {
    "bp_bookings": frozenset({"end_reason", "payments_begun"}),
    "bp_message_channels": frozenset({"last_alive_at", "worker_alive_at"}),
    "bp_message_deliveries": frozenset(
        {"number", "delivered_at", "discarded_at", "discarded_by", "tries", "next_try_at", "dead_at", "error"}
    ),
}
"""The columns that are empty when their row is new, and that a change fills."""

SET_IN_SOME: Final[Mapping[str, frozenset[str]]] = {"bp_outbox": frozenset({"unassigned"})}
"""The columns that only some rows have. Any other column that is inserted has a value in all rows of these tests."""

WRITTEN_ELSEWHERE: Final = {
    "bp_installation": "by its migration, once",
    BANK_TABLES.transfers.name: "by the bank transfer gateway",
    BANK_TABLES.bank_refunds.name: "by the bank transfer gateway",
    MANUAL_TABLES.transfers.name: "by the manual gateway",
    MANUAL_TABLES.bank_refunds.name: "by the manual gateway",
}

ROWS_BY_ALL_PATHS: Final = frozenset(
    {
        *("bp_payments", "bp_operation_keys", "bp_gateway_ids", "bp_journal", "bp_postings", "bp_inbox", "bp_outbox"),
        *("bp_message_deliveries", "bp_audit"),
    }
)
"""The tables to which work with a subject adds rows."""

CHANGED_BY_ALL_PATHS: Final = frozenset({"bp_bookings", "bp_payments"})
"""The tables whose rows work with a subject changes."""

NOT_INSERTED: Final = (
    "nothing inserts a value into these columns: a path leaves them out (for payments: adapters/sql/rows.py), or no "
    "sample in testing/storage_samples.py has a value for them"
)
NOT_CHANGED: Final = (
    "nothing changes these columns: a path leaves them out (for payments: adapters/sql/rows.py), or no changed sample "
    "in testing/storage_samples.py has another value for them. A column that is written once is listed in FIXED here, "
    "and has info=_FIXED in adapters/sql/tables.py"
)

TABLES: Final = {table.name: table for table in tables.metadata.sorted_tables}


@attrs.frozen
class WritePath:
    """A way from a unit of work to the database. ``grouped``: work with a subject shares its transaction."""

    storage: SqlStorage
    transact: Transact
    grouped: bool = False


@pytest.fixture(params=["sqlite", "postgresql", "group commit"])
async def path(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[WritePath]:
    if request.param == "sqlite":
        file = tmp_path / "books.db"
        file.write_bytes(request.getfixturevalue("sqlite_template").read_bytes())
        url = f"sqlite:///{file}"
    else:
        url = request.getfixturevalue("postgres_copy")
    storage = SqlStorage.open(url)

    async def transact(work: TransactionBody[None], subject: LockScope | None) -> None:
        await storage.transact(work, subject if request.param == "group commit" else None)

    yield WritePath(storage, transact, request.param == "group commit")
    await storage.close()


async def _rows(storage: SqlStorage) -> Snapshot:
    found: dict[str, Rows] = {}
    async with storage.engine.connect() as connection:
        for name, table in TABLES.items():
            result = await connection.execute(select(table))
            keys = [column.name for column in table.primary_key]
            found[name] = {tuple(row[key] for key in keys): dict(row) for row in result.mappings()}
    return found


EVENT_JOB: Final = EventJob(
    id="evj_1",
    event_id="evening-1",
    kind=EventJobKind.RESCHEDULE,
    actor="operator:olga",
    cause="req_1",
    created_at=NOW,
    reason="snow",
    event_starts_at=LATER,
    refund_grace_until=LATER,
    finished_at=NOW,
    lease_until=NOW,
    holder="run_1",
    taken_up_at=NOW,
)
EVENT_RESULT: Final = BookingResult(
    job_id="evj_1", booking_id="bk_1", outcome=BookingOutcome.FAILED, at=NOW, reason="why"
)


async def _store_the_rest(uow: UnitOfWork) -> None:
    """One row in each table that only its own statements write."""
    await uow.inbox.count_refused("stripe", NOW, 3)
    await uow.overview.keep_report(DriftReport(at=NOW, actor="olga", content='{"n": 1}'))
    await uow.console_sessions.add(session())
    await uow.events.add(EVENT_JOB)
    await uow.events.put(EVENT_RESULT)


async def _change_the_rest(uow: UnitOfWork) -> None:
    changed = attrs.evolve(
        EVENT_JOB, state=EventJobState.DONE, finished_at=LATER, lease_until=LATER, holder="run_2", taken_up_at=LATER
    )
    await uow.events.save(changed)
    await uow.console_sessions.save_use(session().id, LATER, LATER)
    await uow.events.put(attrs.evolve(EVENT_RESULT, outcome=BookingOutcome.DONE, reason="none", at=LATER))
    await uow.inbox.count_refused("stripe", NOW, 4)
    await uow.channels.alive(["python:app"], LATER, in_worker=True)
    first, second = await uow.outbox.undelivered(dead=False, limit=2)
    await uow.outbox.number("python:app", 0, 2, NOW)
    await uow.outbox.reschedule(_failed(first, dead=True))
    await uow.outbox.delivered("python:app", [second.message.id], NOW)


async def _discard(uow: UnitOfWork) -> None:
    await uow.outbox.discard(["msg_1"], NOW, "olga")


async def _tell_nobody(uow: UnitOfWork) -> None:
    """A message that is written while no channel is recorded."""
    await uow.channels.remove("python:app")
    await uow.outbox.append(attrs.evolve(samples.MESSAGES[0], id="msg_3", sequence=0))
    await uow.channels.add("python:app", NOW)


async def _assign(uow: UnitOfWork) -> None:
    await uow.outbox.assign(10)


def _failed(delivery: MessageDelivery, *, dead: bool) -> MessageDelivery:
    return attrs.evolve(
        delivery, tries=1, next_try_at=NOW + timedelta(minutes=1), dead_at=LATER if dead else None, error="no"
    )


async def _stages(path: WritePath) -> tuple[Snapshot, Snapshot, Snapshot]:
    """The rows once the booking is there, once everything is stored, and once everything has changed."""
    for step in samples.PREPARE:
        await path.transact(step.work, step.subject)
    prepared = await _rows(path.storage)
    for step in samples.STORE:
        await path.transact(step.work, step.subject)
    for work in (_store_the_rest, _tell_nobody):
        await path.transact(work, None)
    stored = await _rows(path.storage)
    for step in samples.CHANGE:
        await path.transact(step.work, step.subject)
    for work in (_assign, _change_the_rest, _discard):
        await path.transact(work, None)
    return prepared, stored, await _rows(path.storage)


def _is_set(column: Column[Any], value: object) -> bool:
    default = column.server_default.arg if column.server_default is not None else None  # type: ignore[attr-defined]
    return value is not None and str(value) != str(default)


def _not_inserted(table: Table, rows: Rows) -> set[str]:
    later, in_some = (lists.get(table.name, frozenset()) for lists in (SET_LATER, SET_IN_SOME))
    is_set = {
        column.name: [_is_set(column, row[column.name]) for row in rows.values()]
        for column in table.columns
        if column.name not in later
    }
    return {name for name, its in is_set.items() if not any(its) or (name not in in_some and not all(its))}


def _not_changed(table: Table, before: Rows, after: Rows) -> set[str]:
    both = before.keys() & after.keys()
    fixed = FIXED.get(table.name, frozenset(column.name for column in table.columns))
    return {
        column.name
        for column in table.columns
        if column.name not in fixed and all(before[key][column.name] == after[key][column.name] for key in both)
    }


async def test_every_path_inserts_every_column(path: WritePath) -> None:
    _, stored, _ = await _stages(path)

    missing = {
        name: _not_inserted(table, stored[name]) for name, table in TABLES.items() if name not in WRITTEN_ELSEWHERE
    }
    assert {name: columns for name, columns in missing.items() if columns} == {}, NOT_INSERTED


async def test_every_path_changes_every_column_that_is_not_fixed(path: WritePath) -> None:
    prepared, stored, changed = await _stages(path)

    before = {**stored, "bp_bookings": prepared["bp_bookings"]}
    left = {
        name: _not_changed(table, before[name], changed[name])
        for name, table in TABLES.items()
        if name not in WRITTEN_ELSEWHERE
    }
    assert {name: columns for name, columns in left.items() if columns} == {}, NOT_CHANGED


async def test_a_column_that_is_fixed_never_changes(path: WritePath) -> None:
    """Else the list of fixed columns would hide that a path leaves one of them out."""
    _, stored, changed = await _stages(path)

    moved = {
        (name, column)
        for name, fixed in FIXED.items()
        for column in fixed
        for key in stored[name].keys() & changed[name].keys()
        if stored[name][key][column] != changed[name][key][column]
    }
    assert moved == set()


@pytest.mark.parametrize("path", ["group commit"], indirect=True)
async def test_work_with_a_subject_is_written_by_its_group(path: WritePath, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else these tests would say nothing about the group's own statement."""
    ran_alone: list[str] = []
    groups = path.storage._groups
    assert groups is not None
    alone = groups._alone

    async def noted(work: TransactionBody[Any]) -> Any:
        ran_alone.append(getattr(work, "__name__", "?"))
        return await alone(work)

    monkeypatch.setattr(groups, "_alone", noted)
    prepared, stored, changed = await _stages(path)

    assert ran_alone == []
    added = {name for name in TABLES if stored[name].keys() - prepared[name].keys()}
    assert added >= ROWS_BY_ALL_PATHS
    assert all(stored[name] != changed[name] for name in CHANGED_BY_ALL_PATHS)


def test_the_lists_of_these_tests_name_columns_that_there_are() -> None:
    listed = {
        (name, column)
        for lists in (FIXED, SET_LATER, SET_IN_SOME)
        for name, columns in lists.items()
        for column in columns
    }

    assert listed <= {(table.name, column.name) for table in TABLES.values() for column in table.columns}
    assert TABLES.keys() >= WRITTEN_ELSEWHERE.keys()
