"""Three services and two workers on one PostgreSQL, all of them killed again and again under load.

Each payment has one charge, each message arrives at least once and in order within its booking, and the books agree
with the gateway. ``PROCESS_KILLS`` says how many kills, ``KILLS_SEED`` which ones.
"""

import base64
import json
import os
import random
import signal
import threading
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import httpx2
import psycopg
import pytest

from tests.e2e.receiver import Received, receiving
from tests.e2e.serving import READY_S, printed, process, sandboxed
from tests.e2e.test_kills import FAULTS, SEED, WEBHOOK_SECRET, Crowd, _compare, _run, restartable_service, settings_for
from tests.integration.postgres import PostgresServer
from tests.ports import free_port

KILLS = int(os.environ.get("PROCESS_KILLS", "3"))
SERVES, WORKERS, CUSTOMERS = 3, 2, 2
SECRET = "whsec_" + base64.b64encode(b"a secret of the tests, long enough").decode()
DRAIN_S = 60


@pytest.mark.timeout(240 + 10 * KILLS)
def test_five_processes_share_the_work_while_some_of_them_are_killed(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    received = Received(SECRET, random.Random(SEED), refusals=0.1)
    with ExitStack() as stack:
        sandbox = stack.enter_context(sandboxed(tmp_path, "--delay", "0.1"))
        stripe = stack.enter_context(httpx2.Client(base_url=sandbox, trust_env=False, auth=("sk_test_kills", "")))
        database = stack.enter_context(postgres_server.database())
        settings = settings_for(database, sandbox) | {
            "OPERATION_LEASE_S": "2",
            "MESSAGES_WEBHOOK_URL": stack.enter_context(receiving(received)),
            "MESSAGES_WEBHOOK_SECRET": SECRET,
            "MESSAGES_RETRY_DELAY": "0.1",
        }
        printed(tmp_path, "migrate", settings=settings)
        tokens = {
            "ann": printed(tmp_path, "token", "--sub", "ann", settings=settings),
            "app": printed(tmp_path, "token", "--sub", "app", "--scope", "bookings:write", settings=settings),
        }
        numbers, ports = count(1), [free_port() for _ in range(SERVES)]
        crowds = [Crowd(f"http://127.0.0.1:{port}", tokens, numbers=numbers) for port in ports]
        for crowd in crowds:
            hook = {"url": f"{crowd.address}/api/webhooks/stripe/", "secret": WEBHOOK_SECRET}
            assert stripe.post("/_sandbox/webhook_endpoints", json=hook).is_success
        names: list[int | str] = [*ports, *["worker"] * WORKERS]
        services = [stack.enter_context(restartable_service(name, tmp_path, settings)) for name in names]
        for service in services:
            service.start()
        threads = [threading.Thread(target=crowd.run, args=(n,)) for crowd in crowds for n in range(CUSTOMERS)]
        for thread in threads:
            thread.start()
        for _ in range(KILLS):
            fault = {"match": chance.choice(["POST", "GET"]), "times": 1, "fault": chance.choice(FAULTS)}
            assert stripe.post("/_sandbox/faults", json=fault).is_success
            time.sleep(0.3 + chance.random() * 0.7)
            service = chance.choice(services)
            service.stop(signal.SIGKILL)
            service.start()
        for crowd in crowds:
            crowd.stop.set()
        for thread in threads:
            thread.join()
        reconciled = _run(tmp_path, settings, "reconcile", "--json")
        waiting = _drained(database)
        for service in services:
            service.stop(signal.SIGTERM)
        again = _run(tmp_path, settings, "reconcile", "--json")
        checked = _run(tmp_path, settings, "ledger", "check")

        assert [each for crowd in crowds for each in crowd.broken] == []
        assert (reconciled.exit_code, again.exit_code, checked.exit_code) == (0, 0, 0), reconciled.stdout
        assert json.loads(again.stdout)["left"] == []
        everybody = Crowd("", tokens)
        for crowd in crowds:
            everybody.paid |= crowd.paid
            everybody.refunded |= crowd.refunded
        _compare(stripe, everybody)
        assert waiting == 0
        _check_messages(received, database, everybody)


def _drained(database: str) -> int:
    """How many messages wait in the end, when they have had time to leave."""
    until = time.monotonic() + DRAIN_S
    with psycopg.connect(database.replace("+psycopg", ""), autocommit=True) as books:
        while True:
            row = books.execute("SELECT count(*) FROM bp_message_deliveries WHERE delivered_at IS NULL").fetchone()
            assert row is not None
            if row[0] == 0 or time.monotonic() > until:
                return int(row[0])
            time.sleep(0.1)


def _check_messages(received: Received, database: str, crowd: Crowd) -> None:
    """Every message has arrived, in order and with one id."""
    with psycopg.connect(database.replace("+psycopg", ""), autocommit=True) as books:
        written = books.execute(
            "SELECT booking_id, max(sequence), count(*) FROM bp_outbox GROUP BY booking_id"
        ).fetchall()

    assert received.wrong == []
    assert {booking for booking, last, number in written if last != number} == set()
    late = {booking: received.firsts(booking) for booking, last, _ in written}
    assert {booking: late[booking] for booking, last, _ in written if late[booking] != list(range(1, last + 1))} == {}
    for messages in received.messages.values():
        assert len({message["id"] for message in messages}) == len({message["sequence"] for message in messages})
    told = {booking for booking, all_ in received.messages.items() if any(_is_success(each) for each in all_)}
    assert set(crowd.paid) <= told
    total = sum(len(all_) for all_ in received.messages.values())
    print(
        f"{KILLS} kills, {len(crowd.paid)} payments, {sum(last for _, last, _ in written)} messages, {total} deliveries"
    )


def _is_success(message: dict[str, object]) -> bool:
    return message["type"] == "payment.succeeded"


def test_a_worker_shows_that_it_is_alive_and_ends_with_a_signal(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with postgres_server.database() as database:
        settings = settings_for(database, "http://127.0.0.1:9")
        printed(tmp_path, "migrate", settings=settings)
        with process("worker", directory=tmp_path, settings=settings) as worker:
            _wait_for_a_heartbeat(database)

    assert worker.returncode == 0, (tmp_path / "worker.log").read_text()


def _wait_for_a_heartbeat(database: str) -> None:
    until = time.monotonic() + READY_S
    with psycopg.connect(database.replace("+psycopg", ""), autocommit=True) as books:
        while time.monotonic() < until:
            if books.execute("SELECT 1 FROM procrastinate_workers").fetchone():
                return
            time.sleep(0.05)
    pytest.fail("the worker did not come up")
