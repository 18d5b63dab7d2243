"""A serving process is killed repeatedly while customers pay and refund over an unreliable network.

No customer is charged twice, no confirmed request is lost, and afterwards reconciliation finds nothing to repair.
``KILLS`` sets the number of kills for each database, ``KILLS_SEED`` the seed.
"""

import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
from attrs import Factory, define
from click.testing import Result

from tests import preloaded
from tests.e2e.serving import STOP_S, environment, invoked, printed, sandboxed
from tests.integration.postgres import PostgresServer
from tests.ports import free_port

KILLS = int(os.environ.get("KILLS", "3"))
SEED = int(os.environ.get("KILLS_SEED", "1"))
CUSTOMERS = 8
FAULTS = ["reset_before", "reset_after", "409", "429_limit", "429_lock", "500_before", "500_after", "503"]
WEBHOOK_SECRET = "whsec_kills"
GIVE_UP_S = 60

Json = dict[str, Any]


@define
class RestartableService:
    """A service that can be started and killed repeatedly, on the same port."""

    process: preloaded.ForkedProcess
    child: int | None = None

    def start(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("start\n")
        self.process.stdin.flush()
        self.child = int(self._line())

    def stop(self, by: signal.Signals) -> None:
        if self.child is not None:
            os.kill(self.child, by)
            assert self._line() == "over"
            self.child = None

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@contextmanager
def restartable_service(
    port: int | str, folder: Path, settings: dict[str, str], *bugs: str
) -> Iterator[RestartableService]:
    """Yield a service on ``port`` that was not started yet; with ``worker`` a worker. ``bugs`` are planted in it."""
    script = ["-m", "tests.e2e.restartable_service", str(port), *bugs]
    env = environment(settings) | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with (folder / "serve.log").open("ab") as log:
        process = preloaded.started(
            script, cwd=folder, env=env, stdin=preloaded.PIPE, stdout=preloaded.PIPE, stderr=log
        )
        service = RestartableService(process)
        try:
            yield service
        finally:
            service.stop(signal.SIGKILL)
            process.communicate(timeout=STOP_S)


@define
class Crowd:
    """Customers that book, pay and refund, and repeat each request with its key until its outcome is definite."""

    address: str
    tokens: dict[str, str]
    stop: threading.Event = Factory(threading.Event)
    paid: dict[str, str] = Factory(dict)
    refunded: dict[str, str] = Factory(dict)
    broken: list[str] = Factory(list)
    numbers: "count[int]" = Factory(lambda: count(1))

    def run(self, number: int) -> None:
        """One customer's day."""
        chance = random.Random(f"{SEED}-{number}")
        with httpx2.Client(base_url=self.address, trust_env=False, timeout=20) as client:
            while not self.stop.is_set():
                try:
                    self._visit(client, chance)
                except AssertionError as error:
                    self.broken.append(str(error))
                    return

    def _visit(self, client: httpx2.Client, chance: random.Random) -> None:
        name = f"{SEED}-{next(self.numbers)}"
        new = {
            "reference": name,
            "customer_id": "ann",
            "amount": "100.00",
            "currency": "usd",
            "event_starts_at": "2100-01-01T20:00:00Z",
        }
        booking = self._insist(client, "/api/bookings/", new, "app", f"book-{name}")["id"]
        card = chance.choice(["pm_card_visa", "pm_card_visa", "pm_card_mastercard", "pm_card_chargeDeclined"])
        order = {"payment_method_id": card, "confirm_immediately": True}
        path = f"/api/bookings/{booking}/payment"
        payment = self._insist(client, f"{path}/intent/", order, "ann", f"pay-{name}")
        if payment.get("status") == "succeeded":
            self.paid[booking] = payment["payment_intent_id"]
            if chance.random() < 0.5:
                refund = self._insist(client, f"{path}/refund/", {"amount": "30.00"}, "ann", f"refund-{name}")
                if refund.get("status") == "succeeded":
                    self.refunded[booking] = refund["refund_id"]

    def _insist(self, client: httpx2.Client, path: str, body: Json, who: str, key: str) -> Json:
        """Repeat a request with its key until there is an answer that is final."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}", "Idempotency-Key": f"{key:0>32}"}
        until, last = time.monotonic() + GIVE_UP_S, "nothing"
        while time.monotonic() < until:
            try:
                answer = client.post(path, json=body, headers=headers)
            except httpx2.TransportError:
                time.sleep(0.02)
                continue
            last = answer.text
            assert answer.status_code in (200, 201, 402, 409, 502, 503), answer.text
            if answer.status_code in (200, 201, 402):
                return dict(answer.json())
            time.sleep(0.05)
        raise AssertionError(f"no answer to {key} after {GIVE_UP_S} s: {last}")


def settings_for(database_url: str, sandbox: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "PAYMENT_GATEWAY": "stripe",
        "STRIPE_API_BASE": sandbox,
        "STRIPE_SECRET_KEY": "sk_test_kills",
        "STRIPE_PUBLISHABLE_KEY": "pk_test_kills",
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "JWT_SECRET": "0123456789abcdef0123456789abcdef",
        "PAYMENT_RETRY_DELAY": "0.02",
        "OPERATION_LEASE_S": "1",
        "MAX_UNPAID_BOOKINGS_PER_CUSTOMER": "0",
        "RATE_LIMIT_ENABLED": "false",
        "GATEWAY_MAX_PER_S": "0",
        "LOG_LEVEL": "WARNING",
    }


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'books.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        with server.database() as url:
            yield url


@pytest.mark.timeout(200 + 10 * KILLS)
def test_no_customer_is_charged_twice_and_no_confirmed_request_is_lost(database: str, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    with sandboxed(tmp_path, "--delay", "0.1") as sandbox, httpx2.Client(base_url=sandbox, trust_env=False) as stripe:
        stripe.auth = httpx2.BasicAuth("sk_test_kills", "")
        settings = settings_for(database, sandbox)
        printed(tmp_path, "migrate", settings=settings)
        tokens = {
            "ann": printed(tmp_path, "token", "--sub", "ann", settings=settings),
            "app": printed(tmp_path, "token", "--sub", "app", "--scope", "bookings:write", settings=settings),
        }
        port = free_port()
        crowd = Crowd(f"http://127.0.0.1:{port}", tokens)
        hook = {"url": f"{crowd.address}/api/webhooks/stripe/", "secret": WEBHOOK_SECRET}
        assert stripe.post("/_sandbox/webhook_endpoints", json=hook).is_success
        threads = [threading.Thread(target=crowd.run, args=(number,)) for number in range(CUSTOMERS)]
        with restartable_service(port, tmp_path, settings) as service:
            for thread in threads:
                thread.start()
            for _ in range(KILLS):
                service.start()
                fault = {"match": chance.choice(["POST", "GET", "webhook"]), "times": 1}
                fault["fault"] = chance.choice(["duplicate", "drop"] if fault["match"] == "webhook" else FAULTS)
                assert stripe.post("/_sandbox/faults", json=fault).is_success
                time.sleep(0.3 + chance.random() * 0.7)
                service.stop(signal.SIGKILL)
            service.start()
            crowd.stop.set()
            for thread in threads:
                thread.join()
            service.stop(signal.SIGTERM)
        reconciled = _run(tmp_path, settings, "reconcile", "--json")
        again = _run(tmp_path, settings, "reconcile", "--json")
        checked = _run(tmp_path, settings, "ledger", "check")

        assert crowd.broken == []
        assert (reconciled.exit_code, again.exit_code, checked.exit_code) == (0, 0, 0), reconciled.stdout
        assert json.loads(again.stdout)["left"] == []
        _compare(stripe, crowd)
    if database.startswith("sqlite"):
        with sqlite3.connect(database.removeprefix("sqlite:///")) as books:
            assert books.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    print(f"{KILLS} kills, {len(crowd.paid)} payments and {len(crowd.refunded)} refunds answered")


def _run(folder: Path, settings: dict[str, str], *words: str) -> Result:
    return invoked(folder, *words, settings=settings)


def _compare(stripe: httpx2.Client, crowd: Crowd) -> None:
    """What the gateway has against what the customers were told."""
    charges: dict[str, int] = {}
    intents = {intent["id"]: intent for intent in _all(stripe, "/v1/payment_intents")}
    for charge in _all(stripe, "/v1/charges"):
        booking = intents[charge["payment_intent"]]["metadata"]["booking_id"]
        charges[booking] = charges.get(booking, 0) + (charge["status"] == "succeeded")
    refunds: dict[str, int] = {}
    for refund in _all(stripe, "/v1/refunds"):
        booking = intents[refund["payment_intent"]]["metadata"]["booking_id"]
        refunds[booking] = refunds.get(booking, 0) + refund["amount"]

    assert crowd.paid, "no payment succeeded: the service was killed too soon to prove anything"
    assert max(charges.values()) == 1
    assert {booking for booking in crowd.paid if charges.get(booking) != 1} == set()
    assert {booking for booking in crowd.refunded if refunds.get(booking) != 3000} == set()
    assert max(refunds.values(), default=0) <= 3000


def _all(stripe: httpx2.Client, path: str) -> list[Json]:
    found: list[Json] = []
    params: dict[str, Any] = {"limit": 100}
    while True:
        page = stripe.get(path, params=params).json()
        found += page["data"]
        if not page["has_more"]:
            return found
        params["starting_after"] = page["data"][-1]["id"]
