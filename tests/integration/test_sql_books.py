"""Checks of an SQL database: a row that was changed behind the service's back is found."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.testing.kit import ANN, PaymentsTestKit
from tests.payments import book_and_pay


async def _run(storage: SqlStorage, statement: str, **values: object) -> None:
    """Run a statement with the database's password, past the triggers."""
    async with storage.engine.begin() as connection:
        if storage.engine.dialect.name == "postgresql":
            await connection.execute(text("SET session_replication_role = replica"))
        else:
            for trigger in ("bp_journal_refuses_update", "bp_journal_refuses_delete", "bp_postings_refuses_update"):
                await connection.execute(text(f"DROP TRIGGER {trigger}"))
        await connection.execute(text(statement), values)


CHANGES = [
    ("UPDATE bp_journal SET data = '{\"broken' WHERE sequence = 2", ["unreadable"]),
    ("UPDATE bp_journal SET type = 'payment_teleported' WHERE sequence = 2", ["unreadable"]),
    ("UPDATE bp_postings SET debit = 'pocket' WHERE sequence = 1", ["unreadable"]),
    ("UPDATE bp_payments SET state = '{}'", ["unreadable"]),
    ("UPDATE bp_postings SET amount_minor = amount_minor - 1 WHERE sequence = 1", ["postings_differ"]),
    ("DELETE FROM bp_journal WHERE sequence = 3", ["journal_gap"]),
    ("UPDATE bp_payments SET status = 'processing'", ["snapshot_differs"]),
    ("UPDATE bp_payments SET captured_minor = 9999", ["snapshot_differs"]),
    ("UPDATE bp_payments SET refunded_minor = 1", ["columns_differ"]),
    ("UPDATE bp_payments SET holds_booking = 0", ["columns_differ"]),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
async def test_a_change_behind_our_back_is_found_and_named(
    kit: PaymentsTestKit, storage: SqlStorage, change: str, expected: list[str]
) -> None:
    payment_id = (await book_and_pay(kit)).payment.id
    await _run(storage, change)

    found = await kit.payments.check_ledger()

    assert [(fault.payment_id, fault.code) for fault in found.faults] == [(payment_id, code) for code in expected]


async def test_a_payment_of_an_earlier_release_that_did_not_keep_its_return_url_goes_on(
    kit: PaymentsTestKit, storage: SqlStorage
) -> None:
    booking = await kit.book()
    await kit.payments.start_payment(booking.id, ANN, return_url="https://shop.example/back")
    async with storage.engine.begin() as connection:
        state = json.loads((await connection.execute(text("SELECT state FROM bp_payments"))).scalar_one())
        assert state.pop("return_url") == "https://shop.example/back"
        await connection.execute(text("UPDATE bp_payments SET state = :state"), {"state": json.dumps(state)})

    view = await kit.payments.confirm_payment(
        booking.id, ANN, payment_method_id="pm_card_visa", return_url="https://shop.example/again"
    )

    assert view.payment.status is PaymentStatus.SUCCEEDED
    assert (await kit.payments.check_ledger()).agrees


async def test_an_unreadable_payment_does_not_hide_others(kit: PaymentsTestKit, storage: SqlStorage) -> None:
    broken, sound = (await book_and_pay(kit)).payment.id, (await book_and_pay(kit, reference="R-2")).payment.id
    await _run(storage, "UPDATE bp_payments SET state = '{}' WHERE id = :id", id=broken)

    found = await kit.payments.check_ledger()

    assert ([fault.payment_id for fault in found.faults], found.payments) == ([broken], 2)
    assert found.postings == 2
    assert sound != broken


async def test_the_inbox_of_the_first_schema_is_kept(kit: PaymentsTestKit, storage: SqlStorage) -> None:
    await _run(
        storage,
        "INSERT INTO bp_inbox (event_id, type, gateway, status, received_at, tries, body) "
        "VALUES ('evt_old', 'x', 'stripe', 'processed', :at, 1, '{}')",
        at=_stored(storage, datetime(2026, 1, 1, tzinfo=UTC)),
    )

    newest = await storage.read(lambda uow: uow.inbox.newest("stripe"))
    rows = await kit.payments.list_webhooks()
    assert (newest, [row.event_id for row in rows]) == (None, ["evt_old"])
    assert kit.clock.now() - rows[0].received_at > timedelta(days=50)


def _stored(storage: SqlStorage, at: datetime) -> object:
    return at if storage.engine.dialect.name == "postgresql" else at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
