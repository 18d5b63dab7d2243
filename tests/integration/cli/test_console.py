"""``console sessions`` lists who is logged in to the console, and logs operators out."""

import asyncio
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve
from click.testing import CliRunner, Result

from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.entrypoints.cli import main
from booking_payments.ports.audit import AuditRecord
from booking_payments.ports.console_sessions import LogInWay, OperatorIdentity
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.runtime.settings import setting_names
from booking_payments.testing.console_sessions_contract import OLGA, session

RITA = OperatorIdentity(way=LogInWay.TOKEN, issuer="", subject="rita")
SAME_SUBJECT = evolve(RITA, subject=OLGA.subject)


@pytest.fixture
def books(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Books in which Olga is logged in twice, and two others once; a session of Rita has ended."""
    monkeypatch.chdir(tmp_path)
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("USER", "omar")
    url = f"sqlite:///{tmp_path}/books.db"
    shutil.copy(sqlite_template, tmp_path / "books.db")
    asyncio.run(_fill(url))
    return url


async def _fill(url: str) -> None:
    now = datetime.now(UTC)
    lasting = {"last_used_at": now, "ends_at": now + timedelta(hours=1)}
    sessions = [
        session(1, **lasting),
        session(2, **lasting),
        session(3, operator=RITA, may_act=False, **lasting),
        session(4, operator=SAME_SUBJECT, **lasting),
        session(5, operator=RITA, **{**lasting, "ends_at": now}),
    ]

    async def work(uow: UnitOfWork) -> None:
        for each in sessions:
            await uow.console_sessions.add(each)

    storage = SqlStorage.open(url)
    await storage.transact(work)
    await storage.close()


async def _newest_record(url: str) -> AuditRecord:
    storage = SqlStorage.open(url)
    (record,) = await storage.read(lambda uow: uow.audit.latest(1))
    await storage.close()
    return record


def run(line: str, database_url: str) -> Result:
    return CliRunner().invoke(main, line.split(), env={"DATABASE_URL": database_url})


def subjects(url: str) -> list[str]:
    listed = json.loads(run("console sessions list --json", url).stdout)["items"]
    return sorted(each["subject"] for each in listed)


def test_sessions_are_listed_that_have_not_ended(books: str) -> None:
    text = run("console sessions list", books).output

    assert subjects(books) == ["1", "1", "1", "rita"]
    assert [line.split()[0] for line in text.splitlines()].count("rita") == 1
    assert "https://id.example" in text
    assert "Firefox on Linux" in text


@pytest.mark.parametrize(
    ("words", "ended", "left", "asked"),
    [
        ("rita", 1, ["1", "1", "1"], {"operator": "rita"}),
        ("1", 3, ["rita"], {"operator": "1"}),
        (f"1 --issuer {OLGA.issuer}", 2, ["1", "rita"], {"operator": "1", "issuer": OLGA.issuer}),
        ("--all", 4, [], {"operator": "all"}),
    ],
)
def test_an_operator_is_logged_out_of_all_browsers_and_the_audit_trail_says_by_whom(
    books: str, words: str, ended: int, left: list[str], asked: dict[str, str]
) -> None:
    result = run(f"console sessions end {words} --json", books)

    assert (result.exit_code, json.loads(result.stdout)) == (0, {"ended": ended})
    assert subjects(books) == left
    record = asyncio.run(_newest_record(books))
    assert (record.operation, record.actor) == ("end_console_sessions", "operator:omar")
    assert record.asked == {**asked, "sessions": str(ended)}


def test_who_is_not_logged_in_is_said(books: str) -> None:
    result = run("console sessions end nobody", books)
    assert (result.exit_code, result.output) == (1, "0 sessions ended\n")

    run("console sessions end --all", books)
    assert run("console sessions list", books).output == "nobody is logged in to the console\n"


@pytest.mark.parametrize("words", ["", "rita --all"])
def test_it_must_be_said_whose_sessions_end(books: str, words: str) -> None:
    assert run(f"console sessions end {words}", books).exit_code == 2
    assert len(subjects(books)) == 4
