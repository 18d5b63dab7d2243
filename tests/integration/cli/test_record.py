"""``payments record``: kinds, the reference, and refusals."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from booking_payments.domain.receipts import ReceiptKind
from booking_payments.entrypoints.cli import main
from booking_payments.runtime.settings import setting_names


@pytest.fixture(autouse=True)
def _migrated_directory(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PAYMENT_GATEWAYS", "fake,manual")
    shutil.copy(sqlite_template, tmp_path / "booking-payments.db")


def run(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def book(reference: str = "R-1") -> str:
    made = run(
        *("booking", "create", "--reference", reference, "--customer", "ann", "--amount", "100.00"),
        *("--currency", "usd", "--starts", "2100-01-01T20:00:00Z"),
    )
    assert made.exit_code == 0, made.output
    return reference


def record(*more: str, amount: str = "100.00", kind: str = "cash", reference: str = "17-204") -> Result:
    return run("payments", "record", "R-1", "--amount", amount, "--kind", kind, "--reference", reference, *more)


@pytest.mark.parametrize("kind", [each.value for each in ReceiptKind])
def test_money_of_each_kind_is_recorded_with_its_reference(kind: str) -> None:
    book()

    done = record("--json", kind=kind)

    assert done.exit_code == 0, done.output
    payment = json.loads(done.stdout)
    assert (payment["gateway"], payment["status"], payment["amount_received"]) == ("manual", "succeeded", "100.00")
    assert payment["method"]["type"] == kind
    audit = json.loads(run("payments", "show", payment["payment_id"], "--json").stdout)
    assert "17-204" in json.dumps(audit)


def test_a_recorded_receipt_is_printed_in_one_line() -> None:
    book()

    assert record().stdout == "R-1: succeeded, 100.00 USD captured\n"


def test_a_receipt_is_not_recorded_twice() -> None:
    book()
    record()

    again = record(reference="17-205")

    assert again.exit_code == 1
    assert "already" in again.stderr


@pytest.mark.parametrize(
    ("given", "status", "message"),
    [
        ({"amount": "90.00"}, 1, "the price is 100.00 usd"),
        ({"amount": "much"}, 1, "amount"),
        ({"kind": "barter"}, 2, "'barter' is not one of 'cash', 'invoice', 'voucher', 'gift_card'"),
        ({"reference": " "}, 1, "reference"),
    ],
    ids=["another amount", "no amount", "another kind", "no reference"],
)
def test_a_refused_receipt_prints_the_reason(given: dict[str, str], status: int, message: str) -> None:
    book()

    refused = record(**given)

    assert (refused.exit_code, message in refused.stderr) == (status, True), refused.output
    assert json.loads(run("payments", "list", "--json").stdout)["items"] == []


def test_an_unknown_booking_is_named() -> None:
    refused = record()

    assert refused.exit_code == 1
    assert "no booking goes by this id or reference" in refused.stderr


@pytest.mark.parametrize("missing", ["--amount", "--kind", "--reference"])
def test_a_missing_option_is_a_usage_error(missing: str) -> None:
    given = {"--amount": "100.00", "--kind": "cash", "--reference": "17-204"}
    args = [part for name, value in given.items() if name != missing for part in (name, value)]

    refused = run("payments", "record", "R-1", *args)

    assert (refused.exit_code, missing in refused.stderr) == (2, True)


def test_without_the_gateway_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    book()
    monkeypatch.setenv("PAYMENT_GATEWAYS", "fake")

    refused = record()

    assert refused.exit_code == 1
    assert "add manual to PAYMENT_GATEWAYS" in refused.stderr
