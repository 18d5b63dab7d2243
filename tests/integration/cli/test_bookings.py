"""``bookings``, ``payments capture|cancel`` and ``disputes list`` on the command line."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from booking_payments import Caller, Currency, Money, NewBooking, open_payments_sync
from booking_payments.domain.instructions import CaptureMethod
from booking_payments.entrypoints.cli import main
from booking_payments.runtime.settings import setting_names


@pytest.fixture(scope="module")
def four_bookings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database that has a paid booking, an authorized one, an unpaid one, and a disputed one."""
    folder = tmp_path_factory.mktemp("four-bookings")
    settings = {"DATABASE_URL": f"sqlite:///{folder / 'booking-payments.db'}"}
    with open_payments_sync(settings, env_file=None, migrate=True) as payments:
        paid, held, _, disputed = (payments.register_booking(seat(each)).booking for each in REFERENCES)
        payments.process_booking_payment(paid, "pm_card_visa")
        payments.start_payment(
            held.id, payment_method_id="pm_card_visa", confirm_immediately=True, capture_method=CaptureMethod.MANUAL
        )
        payments.process_booking_payment(disputed, "pm_card_createDispute")
        payments.reconcile()
    return folder


@pytest.fixture(autouse=True)
def database(tmp_path: Path, four_bookings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the database with the four bookings."""
    monkeypatch.chdir(tmp_path)
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(four_bookings, tmp_path, dirs_exist_ok=True)


REFERENCES = ("PAID-1", "HELD-1", "OPEN-1", "DISP-1")


def seat(reference: str) -> NewBooking:
    return NewBooking(
        reference=reference,
        customer_id="ann",
        amount=Money.parse("100.00", Currency.USD),
        event_starts_at=datetime.now(UTC) + timedelta(days=30),
    )


def run(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def answered(*args: str) -> dict[str, Any]:
    done = run(*args, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_bookings_are_found_by_reference_customer_and_status() -> None:
    found = [
        {each["reference"] for each in answered("bookings", "find", *by)["items"]}
        for by in (["--reference", "OPEN-1"], ["--customer", "ann"], ["--status", "confirmed"], ["--customer", "bob"])
    ]

    assert found == [{"OPEN-1"}, {"PAID-1", "HELD-1", "OPEN-1", "DISP-1"}, {"PAID-1", "DISP-1"}, set()]


def test_a_list_of_bookings_has_a_header_and_the_command_for_the_next_page() -> None:
    lines = run("bookings", "find", "--limit", "1").stdout.splitlines()

    assert lines[0].split("  ")[0] == "REFERENCE"
    assert lines[-1].startswith("more with: --cursor ")
    assert run("bookings", "find", "--customer", "bob").stdout == "no booking matches\n"


def test_a_booking_is_shown_by_its_id_and_its_reference() -> None:
    by_reference = answered("bookings", "show", "PAID-1")

    assert answered("bookings", "show", by_reference["id"]) == by_reference
    assert "PAID-1  Confirmed  100.00 USD" in run("bookings", "show", "PAID-1").stdout


@pytest.mark.parametrize("choice", ["policy", "none"])
def test_a_booking_is_registered_with_its_refund_rule(choice: str) -> None:
    line = (
        "bookings create --reference NEW-1 --customer ann --amount 10.00 --currency usd --starts 2100-01-01T20:00:00Z"
    )
    made = answered(*line.split(), "--customer-refunds", choice)

    assert made["customer_refunds"] == choice
    shown = run("bookings", "show", "NEW-1").stdout
    assert ("only the organizer gives refunds of it" in shown) == (choice == "none")


def test_a_booking_that_its_customers_refund_canceled_shows_why() -> None:
    with open_payments_sync() as payments:
        booking_id = answered("bookings", "show", "PAID-1")["id"]
        payments.refund_payment(booking_id, Caller.customer("ann", "test"))

    assert "PAID-1  Canceled (refunded)  100.00 USD" in run("bookings", "show", "PAID-1").stdout


def test_a_paid_booking_is_canceled_and_refunded() -> None:
    done = answered("bookings", "cancel", "PAID-1", "--reason", "the hall is flooded", "--refund", "full")

    assert done["status"] == "canceled"
    assert answered("payments", "show", "PAID-1")["refunded_amount"] == "100.00"
    assert "the hall is flooded" in run("payments", "show", "PAID-1").stdout


def test_an_authorization_is_captured_in_part() -> None:
    captured = answered("payments", "capture", "HELD-1", "--amount", "60.00")

    assert (captured["status"], captured["amount_received"]) == ("succeeded", "60.00")


def test_canceling_a_payment_keeps_its_booking() -> None:
    told = run("payments", "cancel", "HELD-1")

    assert (told.exit_code, told.stdout) == (0, "HELD-1: canceled\n")
    assert answered("bookings", "show", "HELD-1")["status"] == "pending"


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("bookings show nothing", "no booking goes by this id or reference; see: booking-payments bookings find"),
        ("bookings cancel nothing", "no booking goes by this id or reference; see: booking-payments bookings find"),
        ("payments capture nothing", "no payment has this id; see: booking-payments payments list"),
        ("payments capture PAID-1", "paid already"),
    ],
)
def test_a_refused_command_prints_one_line_and_exits_with_1(line: str, remedy: str) -> None:
    done = run(*line.split())

    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
    assert remedy in done.stderr


def test_disputes_are_listed_with_their_deadline_for_evidence() -> None:
    [dispute] = answered("disputes", "list")["items"]
    head, line = run("disputes", "list", "--open").stdout.splitlines()

    assert (dispute["booking_reference"], dispute["status"]) == ("DISP-1", "needs_response")
    assert head.startswith("ANSWER UNTIL")
    assert f"{dispute['evidence_due_by'][:10]} " in line
    assert "Needs response" in line
