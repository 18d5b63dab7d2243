"""Several processes, with and without channels: every message is delivered on each recorded channel."""

import base64
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from booking_payments import Currency, Message, Money, NewBooking, SyncBookingPayments, open_payments_sync
from tests import preloaded
from tests.e2e.receiver import Received, receiving
from tests.e2e.serving import environment, printed, process, wait_until_ready
from tests.integration.postgres import PostgresServer
from tests.ports import free_port

TIMEOUT_S = 90
SECRET = "whsec_" + base64.b64encode(b"c" * 32).decode()
STRIPE = {
    "STRIPE_SECRET_KEY": "sk_test_channels",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_channels",
    "STRIPE_WEBHOOK_SECRET": "whsec_channels",
    "STRIPE_API_BASE": "http://127.0.0.1:9",
    "JWT_SECRET": "0123456789abcdef0123456789abcdef",
}
README = Path(__file__).resolve().parents[2] / "README.md"


def until(look: Callable[[], bool], what: str) -> None:
    """Return when ``look`` says so."""
    end = time.monotonic() + TIMEOUT_S
    while not look():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def write(payments: SyncBookingPayments, *references: str) -> None:
    """Write one message for each of these bookings, which are free."""
    for reference in references:
        starts = datetime(2100, 1, 1, tzinfo=UTC) + timedelta(days=1)
        price = Money.parse("10.00", Currency.USD)
        new = NewBooking(reference=reference, customer_id="ann", amount=price, event_starts_at=starts)
        payments.cancel_booking(payments.register_booking(new).booking.id)


def a_worker_lives(url: str) -> bool:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        found = connection.execute("SELECT count(*) FROM procrastinate_workers").fetchone()
    return bool(found and found[0])


def test_consumers_beside_a_worker_get_every_message(postgres_server: PostgresServer, tmp_path: Path) -> None:
    got: list[Message] = []
    with postgres_server.database() as url:
        settings = {**STRIPE, "DATABASE_URL": url}
        printed(tmp_path, "migrate", settings=settings)
        with process("worker", directory=tmp_path, settings=settings):
            until(lambda: a_worker_lives(url), "the worker came up")
            with open_payments_sync(settings, env_file=None, consumers=[got.append]) as payments:
                write(payments, "A-1", "A-2", "A-3")
                until(lambda: len(got) == 3, "the consumers get all three")

    assert sorted(str(each.data["booking_reference"]) for each in got) == ["A-1", "A-2", "A-3"]


def test_messages_written_by_a_serve_without_a_webhook_url_are_delivered_by_the_worker_that_has_one(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    received = Received(SECRET, random.Random(1))
    with postgres_server.database() as url, receiving(received) as address:
        settings = {**STRIPE, "DATABASE_URL": url}
        printed(tmp_path, "migrate", settings=settings)
        port = free_port()
        with process("serve", "--port", str(port), directory=tmp_path, settings=settings) as served:
            wait_until_ready(f"http://127.0.0.1:{port}/health/ready", served)
            with open_payments_sync(settings, env_file=None) as payments:  # background work without a channel
                write(payments, "A-1", "A-2")
                payments.work()
            told = {**settings, "MESSAGES_WEBHOOK_URL": address, "MESSAGES_WEBHOOK_SECRET": SECRET}
            with process("worker", directory=tmp_path, settings=told):
                until(lambda: len(received.messages) == 2, "the worker delivers both")
        refused = preloaded.ran(["-c", ONE_CONSUMER], cwd=tmp_path, env=environment(settings))

    assert received.wrong == []
    assert "booking-payments messages channels add python:app" in refused.stderr


ONE_CONSUMER = """
from booking_payments import open_payments_sync
with open_payments_sync(consumers=[print]):
    pass
"""

ONLY_LISTS = """
from booking_payments import open_payments_sync
with open_payments_sync() as payments:
    payments.list_payments()
    payments.work()
"""


def run(
    code: str, folder: Path, settings: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
) -> preloaded.ForkedProcess:
    words = ["-c", code, *arguments]
    return preloaded.started(words, cwd=folder, env=environment(settings), stdout=preloaded.PIPE)


def books(folder: Path) -> dict[str, str]:
    return {"DATABASE_URL": f"sqlite:///{folder / 'booking-payments.db'}"}


def test_a_script_that_only_lists_payments_erases_no_message(tmp_path: Path) -> None:
    got: list[Message] = []
    with open_payments_sync(books(tmp_path), env_file=None, migrate=True) as payments:
        write(payments, "A-1", "A-2")

    script = run(ONLY_LISTS, tmp_path)
    script.communicate(timeout=TIMEOUT_S)
    assert script.returncode == 0
    with open_payments_sync(books(tmp_path), env_file=None, consumers=[got.append]):
        until(lambda: len(got) == 2, "both arrive")


HANGS = """
import time
from booking_payments import open_payments_sync

def hang(message):
    print(message.id, flush=True)
    time.sleep(600)

with open_payments_sync(consumers=[hang]):
    time.sleep(600)
"""


def test_messages_of_a_killed_process_are_delivered_by_another(tmp_path: Path) -> None:
    settings = {**books(tmp_path), "OPERATION_LEASE_S": "2"}
    got: list[Message] = []
    with open_payments_sync(settings, env_file=None, migrate=True, background=False) as payments:
        write(payments, "A-1")

    killed = run(HANGS, tmp_path, settings)
    assert killed.stdout is not None
    begun = killed.stdout.readline().strip()
    killed.kill()
    killed.wait(TIMEOUT_S)
    killed.stdout.close()
    with open_payments_sync(settings, env_file=None, consumers=[got.append]):
        until(lambda: len(got) == 1, "the other process delivers it")

    assert [each.id for each in got] == [begun]


def test_two_processes_with_different_consumers_both_get_every_message(tmp_path: Path) -> None:
    settings = books(tmp_path)
    printed(tmp_path, "migrate", settings=settings)
    code = """
import sys
from booking_payments import open_payments_sync
from threading import Event

done, got = Event(), []

def take(message):
    got.append(str(message.data["booking_reference"]))
    if len(got) == 3:
        done.set()

with open_payments_sync(consumers=[take], channel=sys.argv[1]):
    done.wait(60)
print(sorted(got))
"""
    printed(tmp_path, "messages", "channels", "add", "python:one", settings=settings)
    printed(tmp_path, "messages", "channels", "add", "python:two", settings=settings)
    started = [run(code, tmp_path, settings, [name]) for name in ("one", "two")]
    with open_payments_sync(settings, env_file=None, background=False) as payments:
        write(payments, "A-1", "A-2", "A-3")

    assert [each.communicate(timeout=TIMEOUT_S)[0] for each in started] == ["['A-1', 'A-2', 'A-3']\n"] * 2


def test_the_readmes_snippet_in_two_processes_loses_no_message(tmp_path: Path) -> None:
    snippets = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    code = next(each for each in snippets if "open_payments" in each)
    printed(tmp_path, "migrate", settings=books(tmp_path))
    started = [run(code.replace('reference="', f'reference="{name}-'), tmp_path) for name in ("one", "two")]
    for each in started:
        each.communicate(timeout=TIMEOUT_S)
    got: list[Message] = []

    with open_payments_sync(books(tmp_path), env_file=None, background=False) as payments:
        written = {each.message.id for each in payments.undelivered_messages(limit=100)}
    with open_payments_sync(books(tmp_path), env_file=None, consumers=[got.append]):
        until(lambda: len(got) >= len(written), "all arrive")

    assert [each.returncode for each in started] == [0, 0]
    assert len(written) >= 4
    assert {each.id for each in got} == written
    assert {str(each.data["booking_reference"]).partition("-")[0] for each in got} == {"one", "two"}
