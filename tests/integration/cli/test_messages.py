"""``worker`` says where it can't work, and ``messages`` shows, replays and drops dead letters."""

import json
from pathlib import Path

import pytest
from attrs import evolve
from click.testing import CliRunner, Result

from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.entrypoints.cli import main
from booking_payments.ports.storage import UnitOfWork
from booking_payments.settings import SETTING_NAMES
from booking_payments.testing.house import NOW, House

STRIPE = {
    "STRIPE_SECRET_KEY": "sk_test_abc",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_abc",
    "STRIPE_WEBHOOK_SECRET": "whsec_abc",
    "JWT_SECRET": "s" * 32,
}


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in SETTING_NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def dead_letters(database_url: str) -> list[str]:
    """The ids of a booking's messages: the first was given up, the second waits behind it."""
    storage = SqlStorage.open(database_url)
    house = House(storage=storage)
    await house.payments.process_booking_payment(await house.book(), "pm_card_visa")

    async def give_up(uow: UnitOfWork) -> list[str]:
        first, *others = await uow.outbox.undelivered(dead=False, limit=10)
        await uow.outbox.put_off(evolve(first, tries=18, dead_at=NOW, error="the receiver answered 500"))
        return [first.message.id, *(each.message.id for each in others)]

    ids = await storage.transact(give_up)
    await storage.close()
    return ids


def run(line: str, database_url: str) -> Result:
    return CliRunner().invoke(main, line.split(), env={"DATABASE_URL": database_url})


def test_a_worker_says_that_sqlite_needs_none() -> None:
    result = CliRunner().invoke(main, ["worker"], env=STRIPE)

    assert result.exit_code == 1
    assert "DATABASE_URL names SQLite: there `serve` does all background work itself" in result.output


def test_a_worker_says_that_the_fake_lives_elsewhere() -> None:
    result = CliRunner().invoke(main, ["worker"], env={"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"})

    assert result.exit_code == 1
    assert "the fake gateway lives inside `serve`" in result.output


def test_dead_letters_are_shown_with_their_reason(dead_letters: list[str], database_url: str) -> None:
    listed = json.loads(run("messages list --dead --json", database_url).output)["messages"]
    text = run("messages list", database_url).output

    assert [(each["id"], each["tries"], each["error"]) for each in listed] == [
        (dead_letters[0], 18, "the receiver answered 500")
    ]
    assert text.splitlines()[0].endswith("18 tries  (the receiver answered 500)")
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize("which", ["--dead", "{}"])
def test_dead_letters_are_replayed(dead_letters: list[str], database_url: str, which: str) -> None:
    replayed = run(f"messages replay {which.format(dead_letters[0])}", database_url)

    assert (replayed.exit_code, replayed.output) == (0, "1 of 1 messages are delivered again\n")
    assert run("messages list --dead", database_url).output == "no dead letters\n"


def test_a_dead_letter_is_dropped(dead_letters: list[str], database_url: str) -> None:
    dropped = run(f"messages drop {dead_letters[0]} --json", database_url)
    left = json.loads(run("messages list --json", database_url).output)["messages"]

    assert json.loads(dropped.output) == {"asked": 1, "done": 1}
    assert [each["id"] for each in left] == [dead_letters[1]]


@pytest.mark.parametrize("command", ["replay", "drop"])
def test_what_is_no_dead_letter_is_left_alone(dead_letters: list[str], database_url: str, command: str) -> None:
    result = run(f"messages {command} {dead_letters[1]}", database_url)

    assert result.exit_code == 1
    assert result.output.startswith("0 of 1 messages")
