"""Secrets pushed through every route and every error, at DEBUG: none shows in a log, an answer, a metric or a row.

The canaries are put together here, so that no text in this repository looks like a secret.
"""

import logging
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from io import StringIO
from itertools import cycle
from pathlib import Path
from typing import Any

import attrs
import httpx2
import jwt
import pytest
from click.testing import CliRunner

from booking_payments.adapters.sql.migrations import migrate
from booking_payments.entrypoints.cli import main
from booking_payments.entrypoints.http.app import create_app
from booking_payments.runtime.composition import build
from booking_payments.runtime.logging import set_up_logging
from booking_payments.runtime.services import Readiness, Services
from booking_payments.runtime.settings import Settings, load_settings, setting_names
from booking_payments.runtime.settings_error import SettingsError
from booking_payments.sandbox.signature import sign
from tests.integration.http.routes import OPERATIONS

# With a "!" where nothing in the looks of a secret would give it away: no id may hold one.
MARK = "Canary0123456789abcdef"
SK_LIVE = "_".join(["sk", "live", MARK])
WHSEC = "_".join(["whsec", MARK])
JWT_SECRET = f"jwt!secret-{MARK}-of-32-bytes"
DATABASE = "postgresql://teller:" + f"pw!{MARK}" + "@127.0.0.1:1/books"
STORE = "redis://:" + f"store!{MARK}" + "@127.0.0.1:1/0"
PAN = "42" * 8
CVC = f"cvc!{MARK}"
EMAIL = f"ann.{MARK.lower()}" + "@" + "example.com"
SECRETS: Mapping[str, str] = {
    "secret key": SK_LIVE,
    "webhook secret": WHSEC,
    "JWT secret": JWT_SECRET,
    "database password": f"pw!{MARK}",
    "store password": f"store!{MARK}",
    "card number": PAN,
    "CVC": CVC,
    "e-mail address": EMAIL,
}
NIGHTLY = os.environ.get("SIMULATION") == "nightly"
EVERY_SCOPE = "payments:operate bookings:write"
OWN_COLUMNS = {("bp_payments", "client_secret", "client secret"), ("bp_answers", "body", "client secret")}
"""Where a canary belongs: the owner's secret, and an owner's stored answer, which repeats it."""

UNREMARKABLE = ("e-mail address", "JWT secret", "CVC", "store password", "database password")
CHOSEN = {(*place, name) for place in (("bp_answers", "key"), ("bp_audit", "idempotency_key")) for name in UNREMARKABLE}
"""A client may choose any key that does not look like a secret or a card number; it stands where keys stand."""

SIGNED = {("bp_inbox", "type", "secret key"), ("bp_inbox", "body", "secret key")}
"""Events are kept as they came, once their signature was right."""


def token(sub: str = "ann") -> str:
    return jwt.encode({"sub": sub, "exp": int(time.time()) + 600, "scope": EVERY_SCOPE}, JWT_SECRET, "HS256")


def canary_settings(tmp_path: Path, **changes: str) -> Settings:
    given = {
        "PAYMENT_GATEWAY": "fake",
        "STRIPE_SECRET_KEY": SK_LIVE,
        "STRIPE_PUBLISHABLE_KEY": "pk_live_public",
        "STRIPE_WEBHOOK_SECRET": WHSEC,
        "JWT_SECRET": JWT_SECRET,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'books.db'}",
        "RATE_LIMIT_STORE_URL": STORE,
        "RATE_LIMIT_ENABLED": "false",
        "LOG_LEVEL": "DEBUG",
        "LOG_FORMAT": "json",
        "PAYMENT_RETRY_DELAY": "0",
        **changes,
    }
    return load_settings(given, env_file=None)


@pytest.fixture
def log() -> Iterator[StringIO]:
    """Everything that is logged, at DEBUG."""
    root, names = logging.getLogger(), ("booking_payments", "booking_payments.payments", "uvicorn")
    handlers, levels = root.handlers[:], {name: logging.getLogger(name).level for name in (None, *names)}
    yield StringIO()
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@asynccontextmanager
async def serving(services: Services) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(create_app(services), raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client


async def open_payment(client: httpx2.AsyncClient, services: Services) -> str:
    """A booking with a payment that still waits for its customer, over HTTP; returns the client secret."""
    headers = {"Authorization": f"Bearer {token()}"}
    new = {"reference": "R-1", "customer_id": "ann", "amount": "100.00", "currency": "usd"}
    new["event_starts_at"] = "2030-01-01T20:00:00Z"
    booking_id = (await client.post("/api/bookings/", headers=headers, json=new)).json()["id"]
    path = f"/api/bookings/{booking_id}/payment/intent/"
    keyed = {**headers, "Idempotency-Key": "a-key-of-some-length"}
    started = await client.post(path, headers=keyed, json={"payment_method_id": "pm_card_authenticationRequired"})
    secret = started.json()["client_secret"]
    assert services.sandbox is not None
    for fault in ("500_before", "timeout_before", "409"):
        services.sandbox.faults.script("POST /v1/payment_intents/{id}/confirm", fault, times=3)
        await client.post(path.replace("intent", "confirm"), headers=headers, json={})
    services.sandbox.faults.clear()
    return str(secret)


def pushed(canary: str) -> Iterator[dict[str, Any]]:
    """A request's parts, with the canary in each place where a client can write something."""
    yield {"headers": {"Authorization": f"Bearer {canary}"}}
    yield {"headers": {"Authorization": canary, "Cookie": f"session={canary}"}}
    own = {"Authorization": f"Bearer {token()}"}
    yield {"headers": {**own, "X-Request-Id": canary, "User-Agent": canary, "Referer": f"https://x/?token={canary}"}}
    yield {"headers": {**own, "Idempotency-Key": f"{canary}-{canary}"[:255]}}
    yield {"headers": {**own, "Stripe-Signature": f"t=1,v1={canary}"}, "content": f'{{"id": "{canary}"}}'}
    yield {"headers": own, "params": {"token": canary, "cursor": canary}}
    yield {"headers": own, "params": {"customer_id": canary, "amount": canary}}
    for name in ("payment_method_id", "return_url", "client_secret", "cvc", "number", "token", canary):
        yield {"headers": own, "json": {name: canary}}
    yield {"headers": own, "json": {"card": {"number": canary, "cvc": canary}}}
    yield {"headers": own, "json": [canary]}
    yield {"headers": own, "content": canary}
    yield {"headers": {**own, "Content-Type": canary}, "content": "{}"}


async def push(client: httpx2.AsyncClient, canaries: Mapping[str, str], booking_id: str) -> list[str]:
    """Push the canaries through every operation, in every place; all answers, in full.

    By day each place of each operation gets one of them in turn, at night all of them.
    """
    answers, turns = [], cycle(canaries.values())
    for method, path in [*OPERATIONS, ("GET", "/nowhere/{booking_id}"), ("DELETE", "/api/bookings/{booking_id}")]:
        for place in range(len(list(pushed("")))):
            for canary in canaries.values() if NIGHTLY else [next(turns)]:
                parts = list(pushed(canary))[place]
                for id_ in (booking_id, canary) if "{" in path else ("",):
                    address = path.replace("{booking_id}", id_).replace("{intent_id}", id_)
                    response = await client.request(method, httpx2.URL(path=address), **parts)
                    answers.append(f"{response.headers!r} {response.text}")
    return answers


def found_in(text: str, canaries: Mapping[str, str]) -> set[str]:
    return {name for name, canary in canaries.items() if canary in text}


def rows_of(database: Path) -> Iterator[tuple[str, str, str]]:
    """Every value of every row: table, column, text."""
    connection = sqlite3.connect(database)
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        rows = connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - the names are the database's own
        columns = [each[0] for each in rows.description]
        for row in rows:
            for column, value in zip(columns, row, strict=True):
                text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                yield table, column, text
    connection.close()


async def test_no_canary_shows_anywhere(tmp_path: Path, log: StringIO) -> None:
    settings = canary_settings(tmp_path)
    migrate(settings.normalized_database_url)
    set_up_logging(settings, log)
    async with build(settings, serving=True) as services, serving(services) as client:
        client_secret = await open_payment(client, services)
        canaries = {**SECRETS, "client secret": client_secret, "token": token()}
        listed = (await client.get("/api/payments/", headers={"Authorization": f"Bearer {token()}"})).json()["items"]
        pushed_back = await push(client, canaries, listed[0]["booking_id"])
        body = f'{{"id": "evt_1", "object": "event", "type": "{SK_LIVE}", "livemode": false}}'.encode()
        signed = {"Stripe-Signature": sign(body, WHSEC, services.clock.now())}
        await client.post("/api/webhooks/stripe/", content=body, headers=signed)
        metrics = (await client.get("/metrics")).text
        shown = repr(services) + repr(settings) + str(settings) + repr(services.payments)
    answers = "\n".join(_without_the_owners(each, client_secret) for each in pushed_back)
    rows = {
        (table, column, name)
        for table, column, text in rows_of(tmp_path / "books.db")
        for name in found_in(text, canaries)
    }

    assert found_in(log.getvalue(), canaries) == set()
    assert log.getvalue().count("\n") > 20
    assert found_in(answers, canaries) == set()
    assert found_in(metrics, canaries) == set()
    assert found_in(shown, canaries) == set()
    assert rows - OWN_COLUMNS - CHOSEN - SIGNED == set()
    assert rows >= OWN_COLUMNS


def _without_the_owners(answer: str, client_secret: str) -> str:
    """The owner gets the client secret in its one place; anywhere else it counts."""
    return answer.replace(f'"client_secret":"{client_secret}"', '"client_secret":"..."')


async def test_an_error_that_quotes_every_secret_is_not_repeated(tmp_path: Path, log: StringIO) -> None:
    told = " ".join([SK_LIVE, WHSEC, DATABASE, STORE, PAN, EMAIL, f"Bearer {token()}", f"pi_1_secret_{MARK}"])
    canaries = {**SECRETS, "client secret": f"pi_1_secret_{MARK}", "token": token()}
    del canaries["CVC"], canaries["JWT secret"]  # nobody can know these three digits or that text by their looks
    settings = canary_settings(tmp_path)
    set_up_logging(settings, log)

    async def broken() -> Readiness:
        raise RuntimeError(told)

    async with build(settings, serving=True) as services, serving(attrs.evolve(services, ready=broken)) as client:
        response = await client.get("/health/ready")

    assert response.status_code == 500
    assert "RuntimeError" in log.getvalue()
    assert found_in(response.text + log.getvalue(), canaries) == set()


@pytest.mark.parametrize(
    "command", ["doctor", "doctor --json", "migrate", "reconcile", "booking create", "token --sub x"]
)
def test_the_command_line_shows_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(tmp_path)
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    env = {"DATABASE_URL": DATABASE, "STRIPE_SECRET_KEY": SK_LIVE, "STRIPE_WEBHOOK_SECRET": WHSEC}
    env |= {"JWT_SECRET": JWT_SECRET, "STRIPE_PUBLISHABLE_KEY": "pk_live_public", "RATE_LIMIT_STORE_URL": STORE}
    env |= {"LOG_LEVEL": "DEBUG", "STRIPE_API_BASE": "https://127.0.0.1:1"}

    result = CliRunner().invoke(main, command.split(), env=env)

    assert found_in(result.output + repr(result.exception), SECRETS) == set()


@pytest.mark.parametrize("name", sorted(setting_names()))
def test_a_wrong_setting_does_not_show_its_value(name: str) -> None:
    told = ""
    try:
        load_settings({name: f"\x01{MARK}"}, env_file=None)
    except SettingsError as error:
        told = f"{error} {error!r} {error.__cause__!r} {error.problems!r}"

    assert MARK not in told


def test_no_file_of_this_repository_contains_a_live_secret() -> None:
    root = Path(__file__).parents[2]
    pattern = re.compile(
        "|".join(
            [r"[sr]k_" + r"live_[A-Za-z0-9]{16}", r"whsec_" + r"[A-Za-z0-9]{24}", "-----BEGIN [A-Z ]*PRIVATE" + " KEY"]
        )
    )
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=False).stdout.split()
    files = [root / name for name in listed if (root / name).is_file()] or list(root.rglob("*.py"))

    assert [path.name for path in files if pattern.search(path.read_text(encoding="utf-8", errors="replace"))] == []
