"""``reconcile``, ``ledger check`` and ``webhooks`` on the command line: exit statuses, texts, and JSON for scripts."""

import asyncio
import json
import re
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner, Result

from booking_payments.adapters.gateways.fake.settings import DEVELOPMENT_WEBHOOK_SECRET
from booking_payments.application.views import NewBooking
from booking_payments.domain.money import Currency, Money
from booking_payments.entrypoints.cli import main
from booking_payments.entrypoints.cli.since import Since
from booking_payments.runtime.composition import build
from booking_payments.runtime.services import Services
from booking_payments.runtime.settings import load_settings, setting_names
from booking_payments.sandbox.emulator import FakeStripe
from booking_payments.sandbox.signature import sign

T = TypeVar("T")
DATABASE = "booking-payments.db"
COMMANDS = ["reconcile", "ledger check", "webhooks list", "webhooks replay --failed"]


@pytest.fixture(autouse=True)
def _migrated_directory(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    shutil.copy(sqlite_template, tmp_path / DATABASE)


def run(line: str, **env: str) -> Result:
    return CliRunner().invoke(main, line.split(), env=env)


def run_with_services(work: Callable[[Services], Awaitable[T]]) -> T:
    async def inside() -> T:
        async with build(load_settings()) as services:
            return await work(services)

    return asyncio.run(inside())


def pay(reference: str = "R-1", *, then: Callable[[FakeStripe, str], object] = lambda stripe, intent_id: None) -> str:
    """Register a paid booking whose webhooks never arrived; ``then`` is run at the gateway. Returns the payment's
    id.
    """

    async def work(services: Services) -> str:
        new = NewBooking(
            reference=reference,
            customer_id="ann",
            amount=Money.parse("100.00", Currency.USD),
            event_starts_at=datetime.now(UTC) + timedelta(days=30),
        )
        booking = (await services.payments.register_booking(new)).booking
        await services.payments.process_booking_payment(booking, "pm_card_visa")
        payment = (await services.payments.payment_status(booking.id)).payment
        assert services.sandbox is not None
        then(services.sandbox, payment.intent_id or "")
        return payment.id

    return run_with_services(work)


def charge_nobody_knows() -> str:
    """Make a charge that names a payment missing in the database; returns its intent's id."""

    async def work(services: Services) -> str:
        assert services.sandbox is not None
        methods = {"enabled": True, "allow_redirects": "never"}
        order = {"amount": 500, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
        named = {"automatic_payment_methods": methods, "metadata": {"payment_id": "pay_x", "booking_id": "bk_x"}}
        return str(services.sandbox.call("POST", "/v1/payment_intents", {**order, **named}).body["id"])

    return run_with_services(work)


def deliver(kind: str, subject: dict[str, Any], event_id: str = "evt_1") -> None:
    """Deliver a webhook, whether it can be processed or not."""
    body = json.dumps({"id": event_id, "object": "event", "type": kind, "data": {"object": subject}}).encode()

    async def work(services: Services) -> None:
        signature = sign(body, DEVELOPMENT_WEBHOOK_SECRET, datetime.now(UTC))
        await services.payments.receive_webhook(body, {"Stripe-Signature": signature})

    run_with_services(work)


def refund(stripe: FakeStripe, intent_id: str) -> None:
    assert stripe.refund_in_dashboard(intent_id, 3000).ok


# --- all commands


@pytest.mark.parametrize(
    "command", ["reconcile", "ledger", "ledger check", "webhooks", "webhooks list", "webhooks replay"]
)
def test_help_has_examples(command: str) -> None:
    result = run(f"{command} --help")

    assert (result.exit_code, "Examples:" in result.output) == (0, True)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unmigrated_database_fails_with_the_command_to_run(command: str) -> None:
    result = run(command, DATABASE_URL="sqlite:///other.db")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "run: booking-payments migrate" in result.stderr


@pytest.mark.parametrize(
    "line",
    [
        "reconcile now",
        "reconcile --since yesterday",
        "reconcile --since 7",
        "reconcile --since 2026-03-01T12:00:00",
        "reconcile --since 2026-13-01",
        "reconcile --since 2999-01-01",
        "reconcile --since 999999d",
        "reconcile --since -7d",
        "ledger",
        "ledger check all",
        "webhooks",
        "webhooks list --limit 0",
        "webhooks list --since soon",
        "webhooks replay",
        "webhooks replay --dry-run",
    ],
)
def test_a_usage_error_exits_with_2(line: str) -> None:
    assert run(line).exit_code == 2


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("90m", timedelta(minutes=90)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("4w", timedelta(weeks=4)),
        ("0d", timedelta(0)),
    ],
)
def test_since_accepts_a_duration(text: str, age: timedelta) -> None:
    off = datetime.now(UTC) - Since().convert(text, None, None) - age

    assert abs(off) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00+02:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
    ],
)
def test_since_accepts_a_date_or_a_time_with_a_zone(text: str, moment: datetime) -> None:
    assert Since().convert(text, None, None) == moment


# --- reconcile


def test_a_reconciliation_without_findings_exits_with_0() -> None:
    pay()
    run("reconcile")

    result = run("reconcile")

    assert result.exit_code == 0
    assert re.fullmatch(
        r"compared 1 payments with 1 intents, 0 refunds and 0 disputes since .*; healed 0, left 0, waiting 0\n",
        result.stdout,
    )


def test_healed_differences_are_printed_and_do_not_change_the_exit_status() -> None:
    payment_id = pay(then=refund)
    with sqlite3.connect("booking-payments.fake-gateway.db") as gateway:
        gateway.execute("DELETE FROM fake_gateway WHERE kind = 'event'")
    gateway.close()

    result = run("reconcile")

    assert result.exit_code == 0
    assert f"healed   healed                 R-1 {payment_id}" in result.stdout
    assert "refund found" in result.stdout


def test_a_remaining_difference_exits_with_1() -> None:
    intent_id = charge_nobody_knows()

    result = run("reconcile")

    assert result.exit_code == 1
    assert "unknown_charge" in result.stdout
    assert intent_id in result.stdout


def test_reconcile_can_print_json() -> None:
    intent_id = charge_nobody_knows()

    result = run("reconcile --since 7d --json")

    found = json.loads(result.stdout)
    assert (found["ok"], found["compared"]["intents"], result.exit_code) == (False, 1, 1)
    assert (found["healed"], [each["code"] for each in found["left"]]) == ([], ["unknown_charge"])
    assert found["left"][0]["gateway_id"] == intent_id


STRIPE_THAT_IS_AWAY = {
    "PAYMENT_GATEWAYS": "manual,stripe",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_1",
    "STRIPE_SECRET_KEY": "sk_test_1",
    "STRIPE_WEBHOOK_SECRET": "whsec_1",
    "STRIPE_API_BASE": "http://127.0.0.1:9",
    "JWT_SECRET": "0123456789abcdef0123456789abcdef",
    "PAYMENT_RETRY_ATTEMPTS": "1",
}
"""Two gateways, of which one can't be reached: nothing listens on this port."""


def test_an_unreachable_gateway_is_named_and_the_other_is_compared() -> None:
    result = run("reconcile", **STRIPE_THAT_IS_AWAY)

    assert result.exit_code == 1
    assert "not_compared           the gateway stripe can't be read (unreachable)" in result.stdout
    assert "gateway  manual: compared 0 intents, 0 refunds and 0 disputes\n" in result.stdout
    assert "gateway  stripe: compared 0 intents, 0 refunds and 0 disputes; it can't be read" in result.stdout


def test_each_gateway_has_its_figures_in_json() -> None:
    found = json.loads(run("reconcile --json", **STRIPE_THAT_IS_AWAY).stdout)

    assert [(each["name"], each["error"]) for each in found["gateways"]] == [
        ("manual", None),
        ("stripe", "unreachable"),
    ]
    assert [(each["code"], each["gateway"]) for each in found["left"]] == [("not_compared", "stripe")]


def test_events_that_never_arrived_are_processed() -> None:
    pay(then=refund)

    found = json.loads(run("reconcile --json").stdout)

    assert found["compared"]["events"] > 0
    assert len(json.loads(run("webhooks list --json").stdout)["items"]) == found["compared"]["events"]


# --- ledger check


def test_a_consistent_ledger_exits_with_0() -> None:
    pay(then=refund)
    run("reconcile")

    result = run("ledger check")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].endswith("3 postings checked: the books agree")
    assert result.stdout.splitlines()[0].split() == ["GATEWAY", "ACCOUNT", "BALANCE"]
    assert re.search(r"^fake +Gateway +70.00 USD$", result.stdout, re.MULTILINE)


def test_an_empty_ledger_is_consistent() -> None:
    assert run("ledger check").exit_code == 0


def test_a_fault_is_named_with_its_payment() -> None:
    payment_id = pay()
    with sqlite3.connect(DATABASE) as books:
        books.execute("UPDATE bp_payments SET captured_minor = 9999")
    books.close()

    result = run("ledger check")

    assert result.exit_code == 1
    assert f"FAULT  {payment_id}  snapshot_differs: the journal gives another captured" in result.stdout


def test_the_ledger_check_can_print_json() -> None:
    payment_id = pay()
    with sqlite3.connect(DATABASE) as books:
        books.execute("UPDATE bp_payments SET captured_minor = 9999")
    books.close()

    found = json.loads(run("ledger check --json").stdout)

    assert (found["ok"], found["faults_found"]) == (False, 1)
    assert [(each["payment_id"], each["code"]) for each in found["faults"]] == [(payment_id, "snapshot_differs")]
    assert {"gateway": "fake", "account": "gateway", "currency": "usd", "balance": "100.00"} in found["balances"]


# --- webhooks


def test_an_empty_inbox_says_so() -> None:
    result = run("webhooks list")

    assert (result.exit_code, result.stdout.startswith("no such events were received")) == (0, True)


def test_events_are_listed_with_their_result() -> None:
    deliver("customer.created", {"id": "cus_1"})

    result = run("webhooks list --type customer.created --since 1h")

    head, line = result.stdout.splitlines()
    assert head.split() == ["RECEIVED", "STATUS", "GATEWAY", "EVENT", "TYPE", "REASON"]
    assert re.fullmatch(r"20.*  Ignored  fake +evt_1  customer.created  events of this type.*", line)


def test_events_are_listed_in_json_without_their_bodies() -> None:
    deliver("customer.created", {"id": "cus_1", "email": "ann@example.org"})

    result = run("webhooks list --json")

    row = json.loads(result.stdout)["items"][0]
    assert (row["event_id"], row["status"], "body" in row) == ("evt_1", "ignored", False)
    assert "ann@example.org" not in result.stdout


def test_the_list_can_be_limited_to_failed_events() -> None:
    deliver("customer.created", {"id": "cus_1"})

    assert json.loads(run("webhooks list --failed --json").stdout) == {"items": []}


def _fail_the_events() -> None:
    with sqlite3.connect(DATABASE) as books:
        books.execute("UPDATE bp_inbox SET status = 'failed', reason = 'OutcomeAmbiguous'")
    books.close()


def test_failed_events_are_replayed() -> None:
    deliver("customer.created", {"id": "cus_1"})
    _fail_the_events()

    result = run("webhooks replay --failed")

    assert (result.exit_code, result.stdout.split()[5:9]) == (0, ["Ignored", "fake", "evt_1", "customer.created"])
    assert json.loads(run("webhooks list --failed --json").stdout) == {"items": []}


def test_a_replay_of_a_processed_event_is_a_duplicate() -> None:
    deliver("customer.created", {"id": "cus_1"})

    head, line = run("webhooks replay evt_1").stdout.splitlines()
    assert head.split() == ["OUTCOME", "GATEWAY", "EVENT", "TYPE", "REASON"]
    assert line.split() == ["Duplicate", "fake", "evt_1", "customer.created"]


def test_a_dry_run_only_reports_the_effect() -> None:
    deliver("customer.created", {"id": "cus_1"})
    _fail_the_events()

    result = run("webhooks replay --failed --dry-run")

    assert (result.exit_code, result.stdout.split()[5:8]) == (0, ["Waiting", "fake", "evt_1"])
    assert len(json.loads(run("webhooks list --failed --json").stdout)["items"]) == 1


def test_a_replay_of_an_unknown_event_exits_with_1() -> None:
    result = run("webhooks replay evt_never")

    assert (result.exit_code, "was not received" in result.stdout) == (1, True)


def test_a_failed_replay_exits_with_1() -> None:
    deliver("customer.created", {"id": "cus_1"})
    with sqlite3.connect(DATABASE) as books:
        books.execute("UPDATE bp_inbox SET status = 'failed', body = '{}'")
    books.close()

    result = run("webhooks replay --failed --json")

    assert (result.exit_code, json.loads(result.stdout)["items"][0]["outcome"]) == (1, "failed")


def test_a_replay_without_events_says_so() -> None:
    result = run("webhooks replay --failed")

    assert (result.exit_code, "nothing to replay" in result.stdout) == (0, True)
