"""The examples that change their own rows by messages: once for each message, also when they are killed, run
concurrently, or receive unknown messages. With SQLite, and with PostgreSQL in the payments' database.
"""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from booking_payments import Currency, Money, NewBooking, open_payments_sync
from tests import preloaded
from tests.examples.test_examples import ENV, EXAMPLES, running
from tests.integration.postgres import PostgresServer

NIGHTLY = os.environ.get("SIMULATION") == "nightly"
SERVE = [["-m", "uvicorn", "fastapi_messages:app", "--app-dir", str(EXAMPLES), "--port", "PORT"]]
SETUP = """
import os, signal, sys, time
sys.path.insert(0, {examples!r})
from datetime import UTC, datetime
from booking_payments import Message, open_payments, open_payments_sync

def dies(message):
    if message.data["booking_reference"] == "A-2" and message.type == "booking.confirmed":
        os.kill(os.getpid(), signal.SIGKILL)

strange = Message(id="msg_1", type="booking.painted", booking_id="bk_unknown", payment_id=None, sequence=1,
                  at=datetime.now(UTC), data={{}})
"""
DJANGO = """
import django_messages as app
app.create_tables()

def catch_up(apply=None, times=1):
    app.apply = apply or app.apply
    with open_payments_sync(background=False) as payments:
        return sum(app.catch_up(payments) for _ in range(times))

def seats():
    return [(each.name, each.status, each.changes) for each in app.Seat.objects.order_by("name")]

def then(before, after):
    def apply(message):
        before(message)
        after(message)
    return apply
"""
FASTAPI = """
import asyncio
import fastapi_messages as app
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

def catch_up(apply=None, times=1):
    app.apply = apply or app.apply
    async def run():
        engine = await app.open_seats()
        async with open_payments(background=False) as payments:
            done = [await app.catch_up(payments, engine) for _ in range(times)]
        await engine.dispose()
        return sum(done)
    return asyncio.run(run())

def seats():
    async def run():
        engine = await app.open_seats()
        async with AsyncSession(engine) as session:
            found = (await session.scalars(select(app.Seat).order_by(app.Seat.name))).all()
        await engine.dispose()
        return [(each.name, each.status, each.changes) for each in found]
    return asyncio.run(run())

def then(before, after):
    async def apply(message, session):
        await before(message, session)
        await session.flush()
        after(message)
    return apply
"""
EXAMPLE = {"django": DJANGO, "fastapi": FASTAPI}
DEALT_WITH = [("A-1", "sold", 1), ("A-2", "sold", 1), ("A-3", "free", 1)]


class ExampleFolder:
    """A folder and a database for an example, whose code runs in a new process each time."""

    def __init__(self, folder: Path, settings: Mapping[str, str], example: str) -> None:
        self._folder, self.env, self._example = folder, {**ENV, **settings}, example

    def begun(self, code: str) -> preloaded.ForkedProcess:
        words = ["-c", SETUP.format(examples=str(EXAMPLES)) + EXAMPLE[self._example] + code]
        return preloaded.started(words, cwd=self._folder, env=self.env, stdout=preloaded.PIPE, stderr=preloaded.PIPE)

    def run(self, code: str, status: int = 0) -> str:
        """Run the code, and return its output."""
        started = self.begun(code)
        said, wrong = started.communicate(timeout=120)
        assert started.returncode == status, wrong
        return said.strip()

    def seats(self) -> list[tuple[str, str, int]]:
        found: list[tuple[str, str, int]] = eval(self.run("print(seats())"))  # noqa: S307 - what our own code printed
        return found


def settings_on(database: str, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The settings of a new database for payments and seats."""
    if database == "sqlite":
        yield {}
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as url:
        yield {"DATABASE_URL": url, "SEATS_DATABASE_URL": url}


@pytest.fixture(params=["django on sqlite", "django on postgresql", "fastapi on sqlite", "fastapi on postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ExampleFolder]:
    """An example with two paid seats of which one was canceled, and with unread messages."""
    example, _, database = request.param.partition(" on ")
    for settings in settings_on(database, request):
        pay_and_cancel(settings or {"DATABASE_URL": f"sqlite:///{tmp_path / 'booking-payments.db'}"})
        yield ExampleFolder(tmp_path, settings, example)


def pay_and_cancel(settings: Mapping[str, str]) -> None:
    with open_payments_sync(settings, env_file=None, migrate=True, background=False) as payments:
        payments.messages()  # records the channel
        for name in ("A-1", "A-2", "A-3"):
            price, starts = Money.parse("10.00", Currency.USD), datetime(2100, 1, 1, tzinfo=UTC)
            new = NewBooking(reference=name, customer_id="ann", amount=price, event_starts_at=starts)
            booking = payments.register_booking(new).booking
            if name == "A-3":
                payments.cancel_booking(booking.id)
            else:
                payments.process_booking_payment(booking, "pm_card_visa")


# Each framework and each database once; all four pairs in the nightly run.
@pytest.mark.parametrize(
    "place",
    ["django on sqlite", "fastapi on postgresql", *(["django on postgresql", "fastapi on sqlite"] if NIGHTLY else [])],
    indirect=True,
)
def test_a_seat_is_changed_once_when_the_process_is_killed_before_its_commit(place: ExampleFolder) -> None:
    place.run("catch_up(then(app.apply, dies))", status=-signal.SIGKILL)
    after_the_kill = place.seats()

    done, again, seats = place.run("print(catch_up(), catch_up(), seats(), sep=';')").split(";")

    assert after_the_kill == DEALT_WITH[:1]
    assert (int(done) > 0, int(again)) == (True, 0)
    assert seats == repr(DEALT_WITH)


SLOWLY = """
def slow(message):
    time.sleep(0.05)

catch_up(then(app.apply, slow), times=20)
"""


@pytest.mark.parametrize("place", ["django on postgresql", "fastapi on sqlite"], indirect=True)
def test_two_concurrent_processes_change_a_seat_once_for_each_message(place: ExampleFolder) -> None:
    assert place.seats() == []  # creates the tables
    started = [place.begun(SLOWLY) for _ in range(2)]
    wrong = [each.communicate(timeout=120)[1] for each in started]

    assert [each.returncode for each in started] == [0, 0], wrong
    assert place.seats() == DEALT_WITH


@pytest.mark.parametrize(
    ("place", "call"),
    [
        ("django on sqlite", "app.apply(strange)"),
        ("fastapi on sqlite", "asyncio.run(app.apply(strange, None))"),
    ],
    indirect=["place"],
)
def test_an_unknown_message_changes_nothing(place: ExampleFolder, call: str) -> None:
    assert place.run(f"{call}; print(seats())") == "[]"


def test_the_fastapi_example_changes_a_seat_by_its_messages_across_a_restart(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    seen = []
    for settings in settings_on("postgresql", request):  # the test below serves on SQLite
        for seat in ("A-1", "A-2"):
            with running(SERVE, tmp_path, settings) as client:
                bought = client.post(f"/seats/{seat}/buy", params={"customer": "ann", "card": "pm_card_visa"}).json()
                for _ in range(200):
                    shown = client.get(f"/seats/{seat}").json()
                    if shown["status"] == "sold":
                        break
                    time.sleep(0.05)
                seen.append((bought, shown, client.get("/seats/A-1").json()))

    assert seen == [({"paid": True}, {"status": "sold", "changes": 1}, {"status": "sold", "changes": 1})] * 2


def test_the_fastapi_example_answers_misuse_with_the_right_status(tmp_path: Path) -> None:
    with running(SERVE, tmp_path) as client:

        def buy(customer: str) -> int:
            return client.post("/seats/A-1/buy", params={"customer": customer, "card": "pm_card_visa"}).status_code

        answers = [buy("ann"), buy("ann"), buy("bob"), client.post("/seats/A-1/buy").status_code]
        unknown = client.get("/seats/nobody-has-heard-of").json()

    assert answers == [200, 200, 409, 422]
    assert unknown == {"status": "free", "changes": 0}
