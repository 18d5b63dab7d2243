"""A serving process is killed repeatedly while its job cancels an event, over an unreliable network.

Each booking is refunded once, and the report is right. ``EVENT_KILLS`` sets the number of kills for each database,
``KILLS_SEED`` the seed. By day on PostgreSQL only; ``test_bank_transfer_kills`` is on SQLite then, ``test_kills`` on
both.
"""

import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import pytest
from attrs import define
from click.testing import Result

from tests.e2e.serving import invoked, printed, sandboxed
from tests.e2e.test_kills import FAULTS as EVERY_FAULT
from tests.e2e.test_kills import SEED, WEBHOOK_SECRET, _all, database, restartable_service, settings_for
from tests.nightly import NIGHTLY
from tests.ports import free_port

__all__ = ["database"]

KILLS = int(os.environ.get("EVENT_KILLS", "1"))
BOOKINGS = 10 + 10 * KILLS
FAULTS = [each for each in EVERY_FAULT if not each.startswith("500")]
"""A 500 is stored under its key, so that such a refund can only be sent anew when the key is 23 hours old.
``bench.cancel_event`` has these, with simulated time."""
EVENT = "evening"
GIVE_UP_S = 300
"""Longer than a step takes on a machine that is busy with other work."""
NEW = {"customer_id": "ann", "amount": "100.00", "currency": "usd", "event_starts_at": "2100-01-01T20:00:00Z"}
A_TENTH = {"refund_policy": {"tiers": [{"hours_before": 1, "percent": "10"}]}}
"""So that the gateway would accept a second refund, and a third."""


def _book(client: httpx2.Client, app: dict[str, str], ann: dict[str, str]) -> None:
    """Register the bookings and pay all but one of them."""
    card = {"payment_method_id": "pm_card_visa", "confirm_immediately": True}
    for number in range(BOOKINGS):
        new = {**NEW, **A_TENTH, "reference": f"R-{number}", "event_id": EVENT}
        booking = client.post("/api/bookings/", json=new, headers=app)
        assert booking.status_code == 201, booking.text
        if number:
            paid = client.post(f"/api/bookings/{booking.json()['id']}/payment/intent/", json=card, headers=ann)
            assert paid.status_code == 200, paid.text


def _insist_on_cancellation(client: httpx2.Client, operator: dict[str, str]) -> str:
    """Ask until the service answers with the job; return its id."""
    until = time.monotonic() + GIVE_UP_S
    while time.monotonic() < until:
        try:
            answer = client.post(f"/api/events/{EVENT}/cancel/", json={"refund": "policy"}, headers=operator)
        except httpx2.TransportError:
            time.sleep(0.05)
            continue
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])
    raise AssertionError(f"no answer after {GIVE_UP_S} s")


@define
class Ended:
    """How everything stands after the kills.

    Attributes:
        jobs: ids that the service returned for the cancellation.
        reconciled, status, checked: results of the commands.
        refunds: all refunds of the sandbox.
    """

    jobs: set[str]
    reconciled: Result
    status: Result
    checked: Result
    refunds: list[dict[str, Any]]

    @property
    def most(self) -> int:
        """The largest number of refunds of one payment."""
        return Counter(each["payment_intent"] for each in self.refunds).most_common(1)[0][1]


def killed_repeatedly(database: str, folder: Path, *bugs: str) -> Ended:
    """Kill a service repeatedly while it cancels an event, and let it end its work; ``bugs`` are planted in it."""
    chance = random.Random(SEED)
    with sandboxed(folder, "--delay", "0.1") as sandbox, httpx2.Client(base_url=sandbox, trust_env=False) as stripe:
        stripe.auth = httpx2.BasicAuth("sk_test_kills", "")
        settings = settings_for(database, sandbox)
        printed(folder, "migrate", settings=settings)
        tokens = {
            who: {"Authorization": "Bearer " + printed(folder, "token", "--sub", who, *scope, settings=settings)}
            for who, scope in {
                "ann": (),
                "app": ("--scope", "bookings:write"),
                "olga": ("--scope", "payments:operate"),
            }.items()
        }
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        hook = {"url": f"{address}/api/webhooks/stripe/", "secret": WEBHOOK_SECRET}
        assert stripe.post("/_sandbox/webhook_endpoints", json=hook).is_success
        with (
            restartable_service(port, folder, settings, *bugs) as service,
            httpx2.Client(base_url=address, trust_env=False, timeout=GIVE_UP_S) as client,
        ):
            service.start()
            _wait_until_ready(client)
            _book(client, tokens["app"], tokens["ann"])
            jobs = set()
            for _ in range(KILLS):
                if not bugs:
                    fault = {"match": "POST /v1/refunds", "times": 2, "fault": chance.choice(FAULTS)}
                    assert stripe.post("/_sandbox/faults", json=fault).is_success
                jobs.add(_insist_on_cancellation(client, tokens["olga"]))
                time.sleep(chance.random() * 0.6)
                service.stop(signal.SIGKILL)
                service.start()
            jobs.add(_insist_on_cancellation(client, tokens["olga"]))
            _wait_until_done(client, tokens["olga"])
            service.stop(signal.SIGTERM)
        # Refunds whose calls failed several times would be looked at ten minutes later; the command does so now.
        assert stripe.delete("/_sandbox/faults").is_success
        return Ended(
            jobs=jobs,
            reconciled=invoked(folder, "reconcile", "--json", settings=settings),
            status=invoked(folder, "events", "status", EVENT, "--json", settings=settings),
            checked=invoked(folder, "ledger", "check", settings=settings),
            refunds=_all(stripe, "/v1/refunds"),
        )


@pytest.mark.parametrize("database", ["postgresql", *(["sqlite"] if NIGHTLY else [])], indirect=True)
@pytest.mark.timeout(240 + 30 * KILLS)
def test_a_killed_event_job_refunds_every_booking_once(database: str, tmp_path: Path) -> None:
    ended = killed_repeatedly(database, tmp_path)

    job = json.loads(ended.status.stdout)["job"]
    codes = (ended.reconciled.exit_code, ended.status.exit_code, ended.checked.exit_code)
    assert codes == (0, 0, 0), ended.reconciled.stdout
    assert (job["state"], job["done"], job["total"]) == ("done", BOOKINGS, BOOKINGS)
    assert len(ended.jobs) == 1
    assert len(ended.refunds) == BOOKINGS - 1
    assert ended.most == 1
    assert {(each["amount"], each["status"]) for each in ended.refunds} == {(1000, "succeeded")}


@pytest.mark.timeout(240 + 30 * KILLS)
@pytest.mark.skipif(not NIGHTLY, reason="nightly: takes as long as the test above, whose worth it proves")
def test_the_kills_find_a_job_that_forgets_its_refunds(tmp_path: Path) -> None:
    ended = killed_repeatedly(f"sqlite:///{tmp_path / 'books.db'}", tmp_path, "event_job_forgets_its_refunds")

    assert ended.most > 1


def _wait_until_ready(client: httpx2.Client) -> None:
    until = time.monotonic() + GIVE_UP_S
    while time.monotonic() < until:
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not ready after {GIVE_UP_S} s")


def _wait_until_done(client: httpx2.Client, operator: dict[str, str]) -> None:
    """Wait until the job has ended; ``GIVE_UP_S`` without progress is a failure."""
    until, last = time.monotonic() + GIVE_UP_S, None
    while time.monotonic() < until:
        job = client.get(f"/api/events/{EVENT}/", headers=operator).json()["job"]
        if job["state"] == "done":
            return
        if job != last:
            until, last = time.monotonic() + GIVE_UP_S, job
        time.sleep(0.2)
    raise AssertionError(f"no progress in {GIVE_UP_S} s: {last}")
