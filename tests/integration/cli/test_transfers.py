"""``transfers``: an operator records at a terminal what happened on the bank account."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from booking_payments.adapters.gateways.bank_transfer import METHOD
from booking_payments.application.views import NewBooking
from booking_payments.domain.money import Currency, Money
from booking_payments.embedding import open_payments_sync
from booking_payments.entrypoints.cli import main
from booking_payments.runtime.settings import setting_names

PAY_TO = "Example Cinemas, DE02 1203 0000 0000 2020 51"


@pytest.fixture(autouse=True)
def _set_up(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'payments.db'}")
    monkeypatch.setenv("PAYMENT_GATEWAY", "bank_transfer")
    monkeypatch.setenv("BANK_TRANSFER_PAY_TO", PAY_TO)
    monkeypatch.setenv("JWT_SECRET", "x" * 32)
    shutil.copy(sqlite_template, tmp_path / "payments.db")


def asked() -> tuple[str, str]:
    """A booking whose customer has the bank details: its id, and the payment reference."""
    new = NewBooking(
        reference="SEAT-1",
        customer_id="ann",
        amount=Money(10000, Currency.USD),
        event_starts_at=datetime.now(UTC) + timedelta(days=30),
    )
    with open_payments_sync(env_file=None, background=False) as payments:
        booking = payments.register_booking(new).booking
        view = payments.start_payment(booking.id, payment_method_id=METHOD, confirm_immediately=True)
    return booking.id, str(view.payment.intent_id)


def refund(booking_id: str) -> None:
    with open_payments_sync(env_file=None, background=False) as payments:
        payments.refund_payment(booking_id, amount="25.00")


def run(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def listed() -> dict[str, list[dict[str, str]]]:
    done = run("transfers", "list", "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, list[dict[str, str]]] = json.loads(done.stdout)
    return found


def test_an_empty_list_says_so() -> None:
    assert run("transfers", "list").stdout.splitlines() == ["no transfer is awaited", "no refund is to be sent"]


def test_awaited_transfers_are_listed_with_their_booking() -> None:
    _, reference = asked()

    head, line, _ = run("transfers", "list").stdout.splitlines()
    assert head.split() == ["SINCE", "STATUS", "AMOUNT", "BOOKING", "ID"]
    assert line.endswith(f"  Awaited  100.00 USD  SEAT-1   {reference}")
    assert [each["id"] for each in listed()["awaited"]] == [reference]


def test_a_received_transfer_confirms_the_booking() -> None:
    _, reference = asked()

    done = run("transfers", "received", reference.upper(), "100.00", "USD")

    assert (done.exit_code, done.stdout) == (0, f"{reference}: 100.00 usd received\n")
    shown = run("payments", "list", "--json")
    assert [each["status"] for each in json.loads(shown.stdout)["items"]] == ["succeeded"]
    assert listed()["awaited"] == []


def test_a_refund_is_listed_until_it_was_sent() -> None:
    booking_id, reference = asked()
    run("transfers", "received", reference, "100.00", "usd")
    refund(booking_id)
    to_send = listed()["to_send"][0]
    assert (to_send["amount"], to_send["booking_reference"]) == ("25.00", "SEAT-1")

    done = run("transfers", "sent", to_send["id"])

    assert done.stdout == f"{to_send['id']}: 25.00 usd sent\n"
    assert listed()["to_send"] == []


def test_a_refund_that_cannot_be_sent_is_recorded_with_its_reason() -> None:
    booking_id, reference = asked()
    run("transfers", "received", reference, "100.00", "usd")
    refund(booking_id)

    done = run("transfers", "failed", listed()["to_send"][0]["id"], "--reason", "account closed")

    assert done.stdout.endswith("the refund of 25.00 usd failed\n")
    assert "account closed" in run("payments", "show", "SEAT-1").stdout


def test_a_returned_refund_is_shown_as_failed() -> None:
    booking_id, reference = asked()
    run("transfers", "received", reference, "100.00", "usd")
    refund(booking_id)
    refund_id = listed()["to_send"][0]["id"]
    run("transfers", "sent", refund_id)

    done = run("transfers", "failed", refund_id, "--reason", "account closed")

    assert (done.exit_code, done.stdout) == (0, f"{refund_id}: the refund of 25.00 usd failed\n")
    assert "account closed" in run("payments", "show", "SEAT-1").stdout


def test_the_wrong_amount_is_refused_in_one_line() -> None:
    _, reference = asked()

    done = run("transfers", "received", reference, "99.00", "usd")

    expected = "100.00 usd was requested, not 99.00 usd; settle the difference with the customer first"
    assert (done.exit_code, done.stderr) == (1, f"Error: {expected}\n")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["received", "bt_nobody", "100.00", "usd"], "no transfer has this reference"),
        (["received", "bt_nobody", "lots", "usd"], "AMOUNT, CURRENCY"),
        (["received", "bt_nobody", "100.00", "zzz"], "lower-case ISO 4217"),
        (["sent", "btr_nobody"], "no refund has this id"),
        (["failed", "btr_nobody"], "--reason"),
    ],
)
def test_invalid_arguments_are_an_error(args: list[str], said: str) -> None:
    done = run("transfers", *args)

    assert done.exit_code in (1, 2)
    assert said in done.stderr


def test_with_another_gateway_the_command_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENT_GATEWAY", "fake")

    done = run("transfers", "list")

    assert (done.exit_code, "PAYMENT_GATEWAY=bank_transfer" in done.stderr) == (1, True)


def test_doctor_warns_that_real_money_moves() -> None:
    done = run("doctor")

    assert (done.exit_code, "bank_transfer: real money moves" in done.stdout) == (0, True)


def test_without_a_bank_account_the_service_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BANK_TRANSFER_PAY_TO")

    done = run("transfers", "list")

    assert done.stderr == "Error: BANK_TRANSFER_PAY_TO: set it to the account that customers send their money to\n"
