"""Pages of the console ask a fixed number of statements, however much they show, and leave sums to the database."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from attrs import frozen
from sqlalchemy import event

from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.testing.kit import PaymentsTestKit

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@frozen
class Said:
    """A statement, and the names of the columns that it returns."""

    sql: str
    columns: tuple[str, ...]


async def _said(storage: SqlStorage, ask: Callable[[], Awaitable[Any]]) -> list[Said]:
    said: list[Said] = []

    def note(_: object, cursor: Any, sql: str, *__: object) -> None:
        said.append(Said(sql, tuple(each[0] for each in cursor.description or ())))

    event.listen(storage.engine.sync_engine, "after_cursor_execute", note)
    try:
        await ask()
    finally:
        event.remove(storage.engine.sync_engine, "after_cursor_execute", note)
    return said


async def _events(kit: PaymentsTestKit, names: str) -> None:
    for number, name in enumerate(names, start=1):
        booking = await kit.book(reference=name, event_id=name, starts_in=timedelta(days=number))
        await kit.payments.process_booking_payment(booking, "pm_card_visa")


async def test_many_events_to_come_take_as_many_statements_as_one(kit: PaymentsTestKit, storage: SqlStorage) -> None:
    async def ask() -> None:
        assert len((await kit.payments.upcoming_events(limit=25)).items) == events

    await _events(kit, "a")
    events = 1
    of_one = await _said(storage, ask)
    await _events(kit, "bcdefgh")
    events = 8
    of_many = await _said(storage, ask)

    assert [each.sql for each in of_many] == [each.sql for each in of_one]


async def test_the_dashboard_reads_neither_journal_nor_bodies_of_webhooks(
    kit: PaymentsTestKit, storage: SqlStorage
) -> None:
    refunded, declined = await kit.book(reference="R-1"), await kit.book(reference="R-2")
    await kit.payments.process_booking_payment(refunded, "pm_card_visa")
    await kit.payments.process_booking_refund(refunded.id, "5.00")
    await kit.payments.process_booking_payment(declined, "pm_card_chargeDeclinedExpiredCard")
    await kit.deliver_webhooks()

    figures = await kit.payments.recent_figures(7)
    assert (figures.declines, len(figures.refund_times_s)) == ((("expired_card", 1),), 1)
    assert figures.received["fake"].received > 0
    said = await _said(storage, lambda: kit.payments.recent_figures(90))

    of_rows = [each.columns for each in said if "bp_journal" in each.sql or "bp_inbox" in each.sql]
    assert len(of_rows) > 0
    assert [columns for columns in of_rows if {"data", "body"} & set(columns)] == []
