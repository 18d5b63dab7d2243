"""``export``: CSV on standard output or in a file."""

import csv
import io
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.entrypoints.cli.main import main
from booking_payments.testing.kit import PaymentsTestKit


@pytest.fixture(scope="module")
async def one_booking(module_database_url: str) -> str:
    """The URL of a database with one paid booking, a part of it refunded. Nothing changes it."""
    storage = SqlStorage.open(module_database_url)
    kit = PaymentsTestKit(storage=storage)
    booking = await kit.book(reference="PAID-1")
    await kit.payments.process_booking_payment(booking, "pm_card_visa")
    await kit.payments.process_booking_refund(booking, "25.00", "rain")
    await storage.close()
    return module_database_url.replace("+psycopg", "").replace("+aiosqlite", "")


@pytest.fixture
def database(one_booking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings name the database with the booking."""
    monkeypatch.setenv("DATABASE_URL", one_booking)


def export(*args: str) -> Result:
    return CliRunner().invoke(main, ["export", *args])


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("kind", "column", "values"),
    [
        ("payments", "booking_reference", ["PAID-1"]),
        ("refunds", "amount", ["25.00"]),
        ("disputes", "dispute_id", []),
        ("postings", "kind", ["charge", "processing_fee", "refund"]),
    ],
)
def test_each_kind_has_its_rows(kind: str, column: str, values: list[str]) -> None:
    done = export(kind)

    assert (done.exit_code, done.stderr) == (0, "")
    assert [row[column] for row in csv.DictReader(io.StringIO(done.stdout))] == values


@pytest.mark.usefixtures("database")
def test_a_file_is_written_whole(tmp_path: Path) -> None:
    file = tmp_path / "refunds.csv"

    done = export("refunds", "--reference", "PAID-1", "-o", str(file))

    assert (done.exit_code, done.stdout) == (0, "")
    assert file.read_text().count("25.00") == 1


@pytest.mark.usefixtures("database")
def test_a_filter_leaves_rows_out() -> None:
    assert export("payments", "--refunded", "none").stdout.count("\n") == 1


def test_an_unknown_kind_is_a_usage_error() -> None:
    refused = export("customers")

    assert refused.exit_code == 2
    assert "'payments', 'refunds', 'disputes', 'postings'" in refused.stderr
