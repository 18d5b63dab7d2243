"""Exports: the rows and columns that accountants get, and which rows a filter leaves out."""

import csv
import io
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from booking_payments.application import exporting
from booking_payments.application.exporting import ExportKind, export_columns
from booking_payments.ports.payments import PaymentFilter
from booking_payments.presentation.tables import csv_lines
from booking_payments.testing.kit import NOW, PaymentsTestKit

Rows = list[dict[str, str]]


async def exported(kit: PaymentsTestKit, kind: ExportKind, **conditions: Any) -> Rows:
    """The rows of an export as a program reads them from its CSV."""
    groups = [group async for group in kit.payments.export_rows(kind, PaymentFilter(**conditions))]
    text = csv_lines([export_columns(kind), *(row for group in groups for row in group)])
    return list(csv.DictReader(io.StringIO(text)))


async def paid_and_refunded(kit: PaymentsTestKit, reference: str = "R-1") -> str:
    booking = await kit.book(reference=reference)
    await kit.payments.process_booking_payment(booking, "pm_card_visa")
    await kit.settle()
    kit.clock.advance(timedelta(days=1))
    await kit.payments.process_booking_refund(booking, "25.00", "rain")
    await kit.settle()
    return booking.id


async def test_a_payment_has_one_row_with_all_its_sums(kit: PaymentsTestKit) -> None:
    booking_id = await paid_and_refunded(kit)

    (row,) = await exported(kit, ExportKind.PAYMENTS)

    told = {name: row[name] for name in ("booking_id", "booking_reference", "status", "currency", "amount", "captured")}
    assert told == {
        "booking_id": booking_id,
        "booking_reference": "R-1",
        "status": "succeeded",
        "currency": "usd",
        "amount": "100.00",
        "captured": "100.00",
    }
    assert (row["fee"], row["net"], row["refunded"], row["method"], row["last4"]) == (
        "3.00",
        "97.00",
        "25.00",
        "card",
        "4242",
    )
    assert row["created_at"] == NOW.isoformat().replace("+00:00", "Z")


async def test_refunds_and_postings_have_rows_of_their_own(kit: PaymentsTestKit) -> None:
    await paid_and_refunded(kit)

    (refund,) = await exported(kit, ExportKind.REFUNDS)
    postings = await exported(kit, ExportKind.POSTINGS)

    assert (refund["amount"], refund["status"], refund["note"]) == ("25.00", "succeeded", "rain")
    assert [(each["number"], each["kind"], each["amount"]) for each in postings] == [
        ("1", "charge", "100.00"),
        ("2", "processing_fee", "3.00"),
        ("3", "refund", "25.00"),
    ]


async def test_a_dispute_has_a_row(kit: PaymentsTestKit) -> None:
    booking = await kit.book()
    await kit.payments.process_booking_payment(booking, "pm_card_createDispute")
    await kit.settle()

    (row,) = await exported(kit, ExportKind.DISPUTES)

    assert (row["amount"], row["withdrawn"], row["reason"]) == ("100.00", "100.00", "fraudulent")


@pytest.mark.parametrize("kind", [ExportKind.REFUNDS, ExportKind.POSTINGS])
async def test_the_time_of_the_row_decides_and_not_that_of_its_payment(kit: PaymentsTestKit, kind: ExportKind) -> None:
    await paid_and_refunded(kit)

    later = await exported(kit, kind, created_from=NOW + timedelta(hours=1))
    earlier = await exported(kit, kind, created_to=NOW + timedelta(hours=1))

    assert [each["amount"] for each in later] == ["25.00"]
    assert "25.00" not in [each["amount"] for each in earlier]


async def test_an_export_goes_on_over_all_pages(kit: PaymentsTestKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "PAGE_SIZE", 2)
    for number in range(5):
        await kit.payments.process_booking_payment(await kit.book(reference=f"R-{number}"), "pm_card_visa")
        kit.clock.advance(timedelta(seconds=1))

    rows = await exported(kit, ExportKind.PAYMENTS)

    assert [each["booking_reference"] for each in rows] == ["R-4", "R-3", "R-2", "R-1", "R-0"]


async def test_only_payments_that_are_asked_for_are_exported(kit: PaymentsTestKit) -> None:
    await paid_and_refunded(kit, "R-1")
    await kit.payments.process_booking_payment(await kit.book(reference="R-2"), "pm_card_visa")

    rows = await exported(kit, ExportKind.POSTINGS, reference="R-2")

    assert {each["booking_reference"] for each in rows} == {"R-2"}


@pytest.mark.parametrize("reference", ["=1+1", " =1+1", "\uff1d1+1", "@SUM(A1)"])
async def test_text_that_begins_like_a_formula_stays_text(kit: PaymentsTestKit, reference: str) -> None:
    booking = await kit.book(reference=reference)
    await kit.payments.process_booking_payment(booking, "pm_card_visa")

    (row,) = await exported(kit, ExportKind.PAYMENTS)

    assert row["booking_reference"] == f"'{reference}"


async def test_no_column_has_a_secret_or_a_name() -> None:
    columns = {name for kind in ExportKind for name in export_columns(kind)}

    assert not columns & {"client_secret", "idempotency_key", "customer_email", "customer_name"}


def test_a_line_has_a_cell_for_each_column() -> None:
    lengths: Sequence[int] = [len(set(export_columns(kind))) for kind in ExportKind]

    assert lengths == [len(export_columns(kind)) for kind in ExportKind]
