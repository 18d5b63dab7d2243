"""``worker`` refuses to start where it cannot work, and ``messages`` shows, replays and discards dead letters."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from anyio import to_thread
from attrs import evolve
from click.testing import CliRunner, Result

from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.entrypoints.cli import main
from booking_payments.ports.audit import AuditRecord
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.runtime.settings import setting_names
from booking_payments.testing.kit import NOW, PaymentsTestKit

STRIPE = {
    "STRIPE_SECRET_KEY": "sk_test_abc",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_abc",
    "STRIPE_WEBHOOK_SECRET": "whsec_abc",
    "JWT_SECRET": "s" * 32,
}


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def dead_letters(database_url: str) -> list[str]:
    """The ids of a booking's messages: the first is a dead letter, the second waits behind it."""
    storage = SqlStorage.open(database_url)
    kit = PaymentsTestKit(storage=storage)
    await kit.payments.attach_channels()
    await kit.payments.process_booking_payment(await kit.book(), "pm_card_visa")

    async def make_dead(uow: UnitOfWork) -> list[str]:
        first, *others = await uow.outbox.undelivered(dead=False, limit=10)
        await uow.outbox.reschedule(evolve(first, tries=18, dead_at=NOW, error="the receiver answered 500"))
        return [first.message.id, *(each.message.id for each in others)]

    ids = await storage.transact(make_dead)
    await storage.close()
    return ids


def run(line: str, database_url: str) -> Result:
    return CliRunner().invoke(main, line.split(), env={"DATABASE_URL": database_url})


def test_a_worker_with_sqlite_is_refused() -> None:
    result = CliRunner().invoke(main, ["worker"], env=STRIPE)

    assert result.exit_code == 1
    assert "DATABASE_URL names SQLite: there `serve` does all background work itself" in result.output


def test_a_worker_with_the_fake_gateway_is_refused() -> None:
    result = CliRunner().invoke(main, ["worker"], env={"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"})

    assert result.exit_code == 1
    assert "the fake gateway lives inside `serve`" in result.output


def test_dead_letters_are_shown_with_their_reason(dead_letters: list[str], database_url: str) -> None:
    listed = json.loads(run("messages list --dead --json", database_url).stdout)["items"]
    text = run("messages list", database_url).output

    assert [(each["id"], each["tries"], each["error"]) for each in listed] == [
        (dead_letters[0], 18, "the receiver answered 500")
    ]
    head, first, second = text.splitlines()
    assert head.split()[:4] == ["WRITTEN", "STATUS", "CHANNEL", "TYPE"]
    assert re.fullmatch(
        rf"2026-03-01 12:00:00  Dead letter  python:app  .*  1 +18 +{dead_letters[0]}  the receiver answered 500", first
    )
    assert re.fullmatch(rf"2026-03-01 12:00:00  Waiting      python:app  .*  2 +0 +{dead_letters[1]}", second)
    assert {"schema_version", "amount"} <= listed[0]["data"].keys()
    assert listed[0]["timestamp"] == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize("which", ["--dead", "{}"])
def test_dead_letters_are_replayed(dead_letters: list[str], database_url: str, which: str) -> None:
    replayed = run(f"messages replay {which.format(dead_letters[0])}", database_url)

    assert (replayed.exit_code, replayed.output) == (0, "1 of 1 messages are delivered again\n")
    assert run("messages list --dead", database_url).output == "no dead letters\n"


def test_a_dead_letter_is_discarded(dead_letters: list[str], database_url: str) -> None:
    dropped = run(f"messages drop {dead_letters[0]} --json", database_url)
    left = json.loads(run("messages list --json", database_url).stdout)["items"]

    assert json.loads(dropped.stdout) == {"asked": 1, "done": 1}
    assert [each["id"] for each in left] == [dead_letters[1]]


@pytest.mark.parametrize("command", ["replay", "drop"])
def test_the_operator_at_the_terminal_is_in_the_audit_trail(
    dead_letters: list[str], database_url: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "olga")
    run(f"messages {command} {dead_letters[0]}", database_url)

    record = asyncio.run(newest_record(database_url))
    assert (record.operation, record.actor, record.cause) == (
        f"{command}_messages",
        "operator:olga",
        f"messages {command}",
    )
    assert record.asked == {"messages": dead_letters[0]}


async def newest_record(database_url: str) -> AuditRecord:
    storage = SqlStorage.open(database_url)
    (record,) = await storage.read(lambda uow: uow.audit.latest(1))
    await storage.close()
    return record


@pytest.mark.parametrize("command", ["replay", "drop"])
def test_messages_that_are_not_dead_letters_are_not_changed(
    dead_letters: list[str], database_url: str, command: str
) -> None:
    result = run(f"messages {command} {dead_letters[1]}", database_url)

    assert result.exit_code == 1
    assert result.output.startswith("0 of 1 messages")


# --- channels --------------------------------------------------------------------------------------------------


async def pay(database_url: str, *, attach: bool = False) -> None:
    """Write two messages; with ``attach`` the kit's channel is recorded before."""
    storage = SqlStorage.open(database_url)
    kit = PaymentsTestKit(storage=storage)
    if attach:
        await kit.payments.attach_channels()
    await kit.payments.process_booking_payment(await kit.book(), "pm_card_visa")
    await storage.close()


def test_channels_are_added_listed_and_removed(database_url: str) -> None:
    empty = run("messages channels list", database_url)
    added = [run("messages channels add webhook", database_url) for _ in range(2)]
    listed = json.loads(run("messages channels list --json", database_url).stdout)
    shown = run("messages channels list", database_url).output.splitlines()
    removed = run("messages channels remove webhook --json", database_url)
    gone = run("messages channels remove webhook", database_url)

    assert empty.output == "no channel is recorded; 0 messages wait for the first one\n"
    assert [each.output for each in added] == ["webhook is recorded\n", "webhook was recorded before\n"]
    assert [(each["name"], each["waiting"], each["last_alive_at"]) for each in listed["items"]] == [
        ("webhook", 0, None)
    ]
    assert [re.split("  +", line) for line in shown] == [
        ["CHANNEL", "WAITING", "OLDEST", "DEAD LETTERS", "DISCARDED", "LAST ALIVE"],
        ["webhook", "0", "-", "0", "0", "never yet"],
    ]
    assert json.loads(removed.stdout) == {"name": "webhook", "discarded": 0}
    assert (gone.exit_code, "no channel webhook is recorded" in gone.output) == (1, True)


def test_an_unknown_channel_name_is_refused_with_the_possible_ones(database_url: str) -> None:
    result = run("messages channels add email", database_url)

    assert (result.exit_code, "webhook, broker, python:NAME or pull:NAME" in result.output) == (1, True)


async def test_messages_that_wait_for_a_channel_are_not_listed_as_delivered(database_url: str) -> None:
    nothing = await to_thread.run_sync(run, "messages list", database_url)
    await pay(database_url)
    waits = await to_thread.run_sync(run, "messages list", database_url)
    await to_thread.run_sync(run, "messages channels add webhook --discard-waiting", database_url)
    discarded = await to_thread.run_sync(run, "messages list", database_url)

    assert nothing.output == "no message waits; no channel is recorded, so messages will wait for the first one\n"
    assert waits.output.count("  the first one  ") == 2
    assert discarded.output == "no message waits; 2 were discarded\n"


def test_with_a_channel_and_no_messages_every_message_was_delivered(database_url: str) -> None:
    run("messages channels add webhook", database_url)

    assert run("messages list", database_url).output == "every message was delivered\n"


async def test_a_channel_with_messages_is_removed_only_by_force(database_url: str) -> None:
    await pay(database_url, attach=True)

    refused = await to_thread.run_sync(run, "messages channels remove python:app", database_url)
    forced = await to_thread.run_sync(run, "messages channels remove python:app --force", database_url)

    assert (refused.exit_code, "2 messages wait on the channel python:app" in refused.output) == (1, True)
    assert forced.output == "python:app is removed; 2 messages were discarded\n"


async def test_doctor_shows_channels_and_warns_when_none_is_recorded(database_url: str) -> None:
    none = await to_thread.run_sync(run, "doctor", database_url)
    await pay(database_url, attach=True)
    one = await to_thread.run_sync(run, "doctor", database_url)

    assert "warn  channels    none is recorded; 0 messages wait for the first one" in none.output
    assert "channels    python:app: 2 wait, the oldest since 2026-03-01 12:00:00" in one.output
    assert one.exit_code == 1  # no process has served it since


def test_doctor_names_a_channel_of_the_settings_that_is_not_recorded(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("messages channels add python:app", database_url)
    monkeypatch.setenv("MESSAGES_WEBHOOK_URL", "https://app.example/hook")
    monkeypatch.setenv("MESSAGES_WEBHOOK_SECRET", "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")

    result = run("doctor", database_url)

    said = "FAIL  channels    webhook is not recorded; run: booking-payments messages channels add webhook"
    assert said in result.output
