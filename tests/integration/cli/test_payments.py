"""``payments list`` and ``payments show``: output for a person at a terminal and for a script."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.entrypoints.cli import main
from booking_payments.runtime.settings import setting_names
from booking_payments.testing.kit import PaymentsTestKit


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
async def three_bookings(module_database_url: str) -> str:
    """The URL of a database with three bookings: one paid, one declined, one without a payment. Nothing changes it."""
    storage = SqlStorage.open(module_database_url)
    kit = PaymentsTestKit(storage=storage)
    for reference, card in (("PAID-1", "pm_card_visa"), ("NO-1", "pm_card_chargeDeclined")):
        booking = await kit.book(reference=reference)
        await kit.payments.process_booking_payment(booking, card)
        kit.clock.advance(timedelta(minutes=1))
    await kit.book(reference="OPEN-1")
    await storage.close()
    return module_database_url.replace("+psycopg", "").replace("+aiosqlite", "")


@pytest.fixture
def database(three_bookings: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings name the database with the three bookings."""
    monkeypatch.setenv("DATABASE_URL", three_bookings)


def run(*args: str, colour: bool = False) -> Result:
    return CliRunner().invoke(main, ["payments", *args], color=colour)


def listed(*args: str) -> list[dict[str, str]]:
    done = run("list", "--json", *args)
    assert done.exit_code == 0, done.output
    found: list[dict[str, str]] = json.loads(done.stdout)["items"]
    return found


@pytest.mark.usefixtures("database")
def test_payments_are_listed_newest_first() -> None:
    lines = run("list").stdout.splitlines()

    assert lines[0].split() == ["BEGUN", "STATUS", "AMOUNT", "REFUNDED", "REFERENCE", "ID"]
    assert ["NO-1" in lines[1], "PAID-1" in lines[2]] == [True, True]
    assert "  Succeeded                100.00 USD  -         PAID-1     pay_" in lines[2]
    assert "  Requires payment method  100.00 USD  -         NO-1       pay_" in lines[1]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["--status", "succeeded"], ["PAID-1"]),
        (["--reference", "NO-1"], ["NO-1"]),
        (["--customer", "ann"], ["NO-1", "PAID-1"]),
        (["--customer", "nobody"], []),
        (["--since", "2100-01-01T00:00:00Z"], []),
        (["--since", "2000-01-01"], ["NO-1", "PAID-1"]),
        (["--until", "2000-01-01"], []),
        (["--until", "2100-01-01T00:00:00Z"], ["NO-1", "PAID-1"]),
        (["--find", "aid-"], ["PAID-1"]),
        (["--amount", "100"], ["NO-1", "PAID-1"]),
        (["--amount", "100.01"], []),
        (["--last4", "4242"], ["PAID-1"]),
        (["--refunded", "any"], []),
        (["--disputed"], []),
        (["--undisputed", "--refunded", "none"], ["NO-1", "PAID-1"]),
        (["--event", "hamlet"], []),
        (["--email", "ann"], []),
    ],
)
def test_filters_limit_the_list(given: list[str], found: list[str]) -> None:
    assert [each["booking_reference"] for each in listed(*given)] == found


@pytest.mark.parametrize(
    "wrong",
    [
        ("--last4", "44"),
        ("--last4", ""),
        ("--customer", ""),
        ("--reference", " "),
        ("--event", "a\nb"),
        ("--find", ""),
        ("--email", " "),
    ],
)
@pytest.mark.parametrize("command", [["payments", "list"], ["export", "payments"]])
def test_a_filter_that_can_find_nothing_is_a_usage_error(command: list[str], wrong: tuple[str, str]) -> None:
    refused = CliRunner().invoke(main, [*command, *wrong])

    assert refused.exit_code == 2
    assert wrong[0] in refused.stderr


@pytest.mark.parametrize("amount", ["9,25", "-1", "1e3", "much"])
def test_an_invalid_amount_is_a_usage_error(amount: str) -> None:
    refused = run("list", "--amount", amount)

    assert refused.exit_code == 2
    assert 'write the amount as plain decimal text, for example "100.00"' in refused.stderr


@pytest.mark.usefixtures("database")
def test_a_long_list_continues_after_its_cursor() -> None:
    first = json.loads(run("list", "--json", "--limit", "1").stdout)

    assert f"--cursor {first['next_cursor']}" in run("list", "--limit", "1").stdout
    assert [each["booking_reference"] for each in listed("--cursor", first["next_cursor"])] == ["PAID-1"]


@pytest.mark.usefixtures("database")
def test_an_empty_list_says_so() -> None:
    assert run("list", "--customer", "nobody").stdout == "no payment matches\n"


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("named_by", ["payment_id", "booking_id", "booking_reference", "payment_intent_id"])
def test_a_payment_is_shown_by_each_of_its_ids(named_by: str) -> None:
    (payment,) = listed("--reference", "PAID-1")

    assert json.loads(run("show", payment[named_by], "--json").stdout)["payment_id"] == payment["payment_id"]


@pytest.mark.usefixtures("database")
def test_the_timeline_has_event_time_actor_and_cause() -> None:
    told = run("show", "PAID-1").stdout

    assert told.index("Payment started") < told.index("Payment succeeded") < told.index("Booking confirmed")
    assert "UTC by service:backend, " in told
    assert "pm_card_visa" in told


@pytest.mark.usefixtures("database")
def test_the_timeline_formats_values_for_people() -> None:
    told = run("show", "PAID-1").stdout

    assert "  breakdown: gross: 100.00 USD, fee: 3.00 USD, net: 97.00 USD" in told
    assert [each for each in told.splitlines() if set(each) & set('{}[]"()')] == []


@pytest.mark.usefixtures("database")
def test_successes_are_green_and_failures_are_red() -> None:
    green, red = "\x1b[32m", "\x1b[31m"

    assert f"{green}\x1b[1mPayment succeeded" in run("show", "PAID-1", colour=True).stdout
    assert f"{red}\x1b[1mAttempt refused" in run("show", "NO-1", colour=True).stdout
    assert "\x1b" not in run("show", "NO-1").stdout


@pytest.mark.usefixtures("database")
def test_an_unknown_id_is_an_error_that_names_the_next_command() -> None:
    done = run("show", "nothing")

    assert done.exit_code == 1
    assert done.stderr == "Error: no payment has this id; see: booking-payments payments list\n"


@pytest.mark.usefixtures("database")
def test_an_invalid_cursor_is_an_error() -> None:
    done = run("list", "--cursor", "x")

    assert done.exit_code == 1
    assert "cursor" in done.stderr


@pytest.mark.usefixtures("database")
def test_colour_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    told = CliRunner().invoke(main, ["payments", "list"], color=True).stdout

    assert "Succeeded" in told
    assert "\x1b" not in told
