"""Sums over many payments have no bound of a single charge: on the command line, in the metrics, in the console, over
both databases; and beyond the integers of the databases."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from anyio import to_thread
from click.testing import CliRunner, Result
from sqlalchemy import insert

from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.adapters.sql.tables import postings
from booking_payments.application.views import NewBooking
from booking_payments.domain.ledger import Account, PostingKind
from booking_payments.domain.money import Currency, Money
from booking_payments.entrypoints.cli import main
from booking_payments.entrypoints.http.app import create_app
from booking_payments.ports.overview import Period
from booking_payments.runtime.composition import build
from booking_payments.runtime.services import Services
from booking_payments.runtime.settings import setting_names
from booking_payments.testing.kit import PaymentsTestKit
from tests.integration.http.api import settings, token

BILLION = "1000000000.00"
ELEVEN = [(BILLION, Currency.IDR)] * 11


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)


@asynccontextmanager
async def _open(database_url: str, **changes: str) -> AsyncIterator[Services]:
    async with build(settings(DATABASE_URL=database_url, **changes)) as services:
        yield services


async def _pay(services: Services, amounts: Sequence[tuple[str, Currency]]) -> None:
    for number, (amount, currency) in enumerate(amounts):
        new = NewBooking(
            reference=f"R-{number}",
            customer_id=f"customer {number}",
            amount=Money.parse(amount, currency),
            event_starts_at=datetime.now(UTC) + timedelta(days=30),
        )
        booking = (await services.payments.register_booking(new)).booking
        assert (await services.payments.process_booking_payment(booking, "pm_card_visa")).success


@asynccontextmanager
async def _browser(services: Services) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser of an operator who is logged in."""
    transport = httpx2.ASGITransport(create_app(services))  # type: ignore[arg-type]  # named otherwise
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        fields = {"token": token("olga", "payments:operate"), "next": ""}
        await client.post("/console/login", data=fields, headers={"Origin": str(client.base_url).rstrip("/")})
        yield client


async def _run(line: str, database_url: str) -> Result:
    return await to_thread.run_sync(lambda: CliRunner().invoke(main, line.split(), env={"DATABASE_URL": database_url}))


async def test_the_command_line_adds_up_eleven_of_the_largest_charges(database_url: str) -> None:
    async with _open(database_url) as services:
        await _pay(services, ELEVEN)

    told = await _run("ledger check", database_url)
    found = json.loads((await _run("ledger check --json", database_url)).stdout)

    assert (told.exit_code, "Gateway    11,000,000,000.00 IDR" in told.stdout) == (0, True), told.output
    assert found["ok"]
    assert {"gateway": "fake", "account": "gateway", "currency": "idr", "balance": "11000000000.00"} in found[
        "balances"
    ]


async def test_console_and_metrics_add_up_eleven_of_the_largest_charges(database_url: str) -> None:
    async with _open(database_url) as services:
        await _pay(services, ELEVEN)
        async with _browser(services) as browser:
            page, metrics = await browser.get("/console/"), await browser.get("/metrics")

    assert page.status_code == 200
    assert "11,000,000,000.00 IDR" in page.text
    assert "booking_payments_books_readable 1.0" in metrics.text


async def test_the_console_shows_every_currency_and_the_time_zone(database_url: str) -> None:
    amounts = [
        ("70", Currency.JPY),
        ("71", Currency.EUR),
        ("72", Currency.USD),
        ("73", Currency.SEK),
        ("7", Currency.KWD),
    ]
    async with _open(database_url, BUSINESS_TIME_ZONE="Europe/Berlin") as services:
        await _pay(services, amounts)
        async with _browser(services) as browser:
            page = (await browser.get("/console/?days=1")).text

    assert [shown in page for shown in ("70 JPY", "71.00 EUR", "72.00 USD", "73.00 SEK", "7.000 KWD")] == [True] * 5
    assert all(f"Money in {currency.code.upper()} by the day it moved" in page for _, currency in amounts)
    assert all(f"<td>{currency.code.upper()}</td>" in page for _, currency in amounts)
    assert "Days begin at midnight in Europe/Berlin." in page


# --- beyond the integers of a database


async def test_a_sum_beyond_64_bits_is_exact(kit: PaymentsTestKit, storage: SqlStorage) -> None:
    booking = await kit.book()
    payment = (await kit.payments.start_payment(booking.id)).payment
    at, largest = kit.clock.now(), 2**63 - 1
    charge, refund = PostingKind.CHARGE, PostingKind.REFUND
    rows = [
        {
            "payment_id": payment.id,
            "sequence": number,
            "kind": kind.value,
            "at": at,
            "subject": payment.id,
            "currency": "usd",
            "debit": Account.GATEWAY.value,
            "credit": Account.ORGANIZER.value,
            "amount_minor": amount,
        }
        for number, (kind, amount) in enumerate([*[(charge, largest)] * 3, *[(refund, -largest)] * 3], start=1)
    ]
    async with storage.engine.begin() as connection:
        await connection.execute(insert(postings), rows)
    period = Period(begins=at, ends=at + timedelta(days=1))

    (found,) = await storage.read(lambda uow: uow.overview.moved([period]))

    assert (found.gross.minor, found.refunded.minor, found.charges) == (3 * largest, -3 * largest, 3)
