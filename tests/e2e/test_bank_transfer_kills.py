"""Bank transfers while processes are killed: the service, and the operator's commands that record transfers.

Each transfer is booked once, no refund is made twice, and the gateway's records and the payments agree at the end.
``TRANSFER_KILLS`` sets the number of kills for each database, ``KILLS_SEED`` the seed. By day on SQLite only;
``test_event_kills`` is on PostgreSQL then, ``test_kills`` on both.
"""

import json
import os
import queue
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import httpx2
import pytest
from attrs import Factory, define

from booking_payments.adapters.gateways.bank_transfer import BANK_TABLES, METHOD, TransferStore
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.domain.lifecycle import PaymentStatus, RefundStatus
from booking_payments.ports.payments import PaymentFilter
from tests import preloaded
from tests.e2e.serving import STOP_S, environment, printed
from tests.e2e.test_kills import GIVE_UP_S, SEED, Crowd, _run, database, restartable_service
from tests.nightly import NIGHTLY
from tests.ports import free_port

__all__ = ["database"]

KILLS = int(os.environ.get("TRANSFER_KILLS", "4"))
CUSTOMERS = 3
MOST = 100_000
"""Payments that are compared."""
LONGEST_LIFE_S = 60
"""The longest time between two kills of the service, on a machine that is too busy for commands."""


@define
class Operator:
    """Says that money came, again and again until the command was not killed.

    ``takes_s``: how long a command takes here and now. Most are killed within a little more than that.
    """

    process: preloaded.ForkedProcess
    chance: random.Random
    takes_s: float = 0.0
    kills: int = 0
    commands: int = 0

    def warm_up(self) -> None:
        """Import everything, and see how long a command takes."""
        for _ in range(2):
            began = time.monotonic()
            assert self._once(("transfers", "list")) == 0
            self.takes_s = time.monotonic() - began

    def insist(self, *words: str) -> int:
        """The exit status of the command."""
        until = time.monotonic() + GIVE_UP_S
        while time.monotonic() < until:
            status = self._once(words)
            if status >= 0:
                return status
            self.kills += 1
        raise AssertionError(f"{words} did not come through in {GIVE_UP_S} s")

    def _once(self, words: tuple[str, ...]) -> int:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        child = int(self._line())
        if words[1] == "received" and self.chance.random() < 0.7:
            time.sleep(self.chance.random() * 1.2 * self.takes_s)
            with suppress(ProcessLookupError):  # it may be over by now
                os.kill(child, signal.SIGKILL)
        status = int(self._line())
        self.commands += 1
        return status

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@contextmanager
def operating(folder: Path, settings: dict[str, str]) -> Iterator[Operator]:
    script = ["-m", "tests.e2e.restartable_cli"]
    env = environment(settings) | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with (folder / "operator.log").open("ab") as log:
        process = preloaded.started(
            script, cwd=folder, env=env, stdin=preloaded.PIPE, stdout=preloaded.PIPE, stderr=log
        )
        try:
            yield Operator(process, random.Random(SEED))
        finally:
            process.communicate(timeout=STOP_S)


@define
class Payers(Crowd):
    """Customers that pay by bank transfer; some want a part of it back."""

    sent: "queue.Queue[tuple[str, str]]" = Factory(queue.Queue)
    """Booking and reference of the money that is on its way."""
    received: set[str] = Factory(set)

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
        order = {"payment_method_id": METHOD, "confirm_immediately": True}
        payment = self._insist(client, f"/api/bookings/{booking}/payment/intent/", order, "ann", f"pay-{name}")
        self.sent.put((booking, payment["payment_intent_id"]))
        while booking not in self.received:
            if self.stop.is_set():
                return
            time.sleep(0.02)
        if chance.random() < 0.7:
            path = f"/api/bookings/{booking}/payment/refund/"
            refund = self._insist(client, path, {"amount": "30.00"}, "ann", f"refund-{name}")
            self.refunded[booking] = refund["refund_id"]


def _operate(operator: Operator, crowd: Payers) -> None:
    """Look at the account: each transfer came, and is said until the command is through."""
    while not crowd.stop.is_set():
        try:
            booking, reference = crowd.sent.get(timeout=0.1)
        except queue.Empty:
            continue
        try:
            operator.insist("transfers", "received", reference, "100.00", "usd")
        except AssertionError as error:
            crowd.broken.append(str(error))
            return
        crowd.paid[booking] = reference
        crowd.received.add(booking)


@pytest.mark.parametrize("database", ["sqlite", *(["postgresql"] if NIGHTLY else [])], indirect=True)
@pytest.mark.timeout(200 + 15 * KILLS)
def test_transfers_are_booked_once_and_all_books_are_equal(database: str, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    settings = {
        "DATABASE_URL": database,
        "PAYMENT_GATEWAY": "bank_transfer",
        "BANK_TRANSFER_PAY_TO": "Example Cinemas, DE02 1203 0000 0000 2020 51",
        "JWT_SECRET": "0123456789abcdef0123456789abcdef",
        "OPERATION_LEASE_S": "1",
        "MAX_UNPAID_BOOKINGS_PER_CUSTOMER": "0",
        "RATE_LIMIT_ENABLED": "false",
        "LOG_LEVEL": "WARNING",
    }
    printed(tmp_path, "migrate", settings=settings)
    tokens = {
        "ann": printed(tmp_path, "token", "--sub", "ann", settings=settings),
        "app": printed(tmp_path, "token", "--sub", "app", "--scope", "bookings:write", settings=settings),
    }
    port = free_port()
    crowd = Payers(f"http://127.0.0.1:{port}", tokens)
    with restartable_service(port, tmp_path, settings) as service, operating(tmp_path, settings) as operator:
        operator.warm_up()
        threads = [threading.Thread(target=crowd.run, args=(number,)) for number in range(CUSTOMERS)]
        threads.append(threading.Thread(target=_operate, args=(operator, crowd)))
        for thread in threads:
            thread.start()
        for _ in range(KILLS):
            service.start()
            _wait(partial(_has_run, operator, operator.commands + chance.randint(1, 3)))
            time.sleep(chance.random() * operator.takes_s)
            service.stop(signal.SIGKILL)
        service.start()
        _wait(lambda: operator.kills >= KILLS // 2 and bool(crowd.refunded))
        crowd.stop.set()
        for thread in threads:
            thread.join()
        service.stop(signal.SIGTERM)
    settled = [_run(tmp_path, settings, "reconcile", "--json") for _ in range(2)]
    checked = _run(tmp_path, settings, "ledger", "check")

    assert crowd.broken == []
    assert [*(each.exit_code for each in settled), checked.exit_code] == [0, 0, 0], settled[0].stdout
    assert json.loads(settled[1].stdout)["left"] == []
    assert operator.kills >= KILLS // 2, "hardly any command was killed, so nothing was proved"
    with ThreadPoolExecutor(1) as thread_of_its_own:
        thread_of_its_own.submit(anyio.run, _compare, database, crowd).result()
    print(
        f"{KILLS} kills of the service and {operator.kills} of commands,"
        f" {len(crowd.paid)} transfers and {len(crowd.refunded)} refunds answered"
    )


def _has_run(operator: Operator, commands: int) -> bool:
    return operator.commands >= commands


def _wait(is_enough: Callable[[], bool]) -> None:
    until = time.monotonic() + LONGEST_LIFE_S
    while time.monotonic() < until and not is_enough():
        time.sleep(0.01)


async def _compare(database_url: str, crowd: Payers) -> None:
    """The gateway's own records, the payments' books, and what customers and the operator were answered."""
    store, storage = TransferStore.open(database_url, BANK_TABLES), SqlStorage.open(database_url)
    try:
        transfers = await store.read(lambda records: records.transfers())
        bank_refunds = await store.read(lambda records: records.bank_refunds())
        payments = list((await storage.read(lambda uow: uow.payments.page(PaymentFilter(), None, MOST))).items)
    finally:
        await store.close()
        await storage.close()

    came = {each.id: each.amount for each in transfers if each.status is PaymentStatus.SUCCEEDED}
    booked = {each.intent_id: each.captured for each in payments if each.status is PaymentStatus.SUCCEEDED}
    promised = {
        each.id: (each.transfer_id, each.amount) for each in bank_refunds if each.status is RefundStatus.PENDING
    }
    ours = {
        refund.gateway_refund_id: (payment.intent_id, refund.amount)
        for payment in payments
        for refund in payment.refunds
        if refund.status is RefundStatus.PENDING
    }
    assert crowd.paid, "no transfer came through: the service was killed too soon to prove anything"
    assert crowd.refunded, "no refund came through"
    assert came == booked
    assert set(crowd.paid.values()) <= set(came)
    assert promised == ours
    assert len(promised) == len(bank_refunds), "nobody has sent or refused any"
    assert max(Counter(each.transfer_id for each in bank_refunds).values()) == 1
    assert set(crowd.refunded) <= {each.booking_id for each in payments if each.refunds}
    assert max(Counter(each.booking_id for each in payments).values()) == 1
