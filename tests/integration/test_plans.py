"""Each statement of everyday work finds its rows by an index, so that it takes no longer when there are millions."""

import json
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from typing import Any

import anyio
import psycopg
import pytest
from bench.seed import Pattern, Stencil, fill, make_pattern
from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from booking_payments.adapters.sql.engine import normalize_url, prepare_postgresql, prepare_sqlite
from booking_payments.adapters.sql.groups.statements import COUNTED, READ, ROWS, SESSION, count_of, write
from booking_payments.adapters.sql.migrations import migrate
from booking_payments.adapters.sql.unit_of_work import LOOKED_AT, SqlUnitOfWork
from booking_payments.domain.booking import BookingStatus
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.ports.bookings import BookingFilter
from booking_payments.ports.overview import Period
from booking_payments.ports.payments import PaymentFilter, Refunded
from booking_payments.ports.schema_name import SCHEMA
from booking_payments.ports.unit_of_work import UnitOfWork
from booking_payments.testing.kit import NOW
from tests.integration.postgres import PostgresServer

PAYMENTS = 5_000
INTENTS = [f"pi_{number:06d}" for number in range(PAYMENTS)]
Ask = Callable[[UnitOfWork], Awaitable[object]]
Said = list[tuple[str, Any]]

LATER = NOW + timedelta(days=3_000)
EVENTS = [f"evening-{number}" for number in range(25)]
DAYS = [Period(begins=NOW - timedelta(days=day + 1), ends=NOW - timedelta(days=day)) for day in range(90)]

RARE = {
    "by a part of a text": PaymentFilter(text="nobody of this name"),
    "by the beginning of a word": PaymentFilter(text="zq"),
    "by a part of an address": PaymentFilter(email="nobody@"),
    "by text and address": PaymentFilter(text="nobody", email="nobody@"),
    "by amount": PaymentFilter(amount=Decimal("987.65")),
    "by last four": PaymentFilter(last4="0000"),
    "of an event": PaymentFilter(event_id="evening"),
    "refunded": PaymentFilter(refunded=Refunded.ANY),
    "refunded in part": PaymentFilter(refunded=Refunded.PARTLY),
    "refunded in full": PaymentFilter(refunded=Refunded.FULLY),
    "disputed": PaymentFilter(disputed=True),
}
"""Filters that few payments may fulfil, or none: a walk through all of them, newest first, would not end soon."""

RARE_BOOKINGS = {
    "by a part of a text": BookingFilter(text="nobody of this name"),
    "by the beginning of a word": BookingFilter(text="zq"),
    "of an event": BookingFilter(event_id="evening"),
    "expired": BookingFilter(status=BookingStatus.EXPIRED),
}
NEWEST_WEBHOOKS = {"webhooks by day"}
"""What reads a limited number of rows by the number of each, which SQLite calls a scan."""

FEW = [f"a page of payments {name}" for name in RARE] + [f"a page of bookings {name}" for name in RARE_BOOKINGS]
WALK = ("bp_payments_page", "bp_bookings_page")


def _page(which: PaymentFilter) -> Ask:
    return lambda uow: uow.payments.page(which, None, 20)


def _page_of_bookings(which: BookingFilter) -> Ask:
    return lambda uow: uow.bookings.page(which, None, 20)


QUESTIONS: dict[str, Ask] = {
    "a payment by its intent": lambda uow: uow.payments.by_gateway_id("pi_000007"),
    "a payment by another id of the gateway": lambda uow: uow.payments.by_gateway_id("ch_1"),
    "a payment": lambda uow: uow.payments.get("pay_1"),
    "the payments of a booking": lambda uow: uow.payments.of_booking("bk_1"),
    "the journal of a payment": lambda uow: uow.payments.journal("pay_1"),
    "the postings of a payment": lambda uow: uow.payments.postings("pay_1"),
    "what is due": lambda uow: uow.payments.due(NOW, 100),
    "a page": lambda uow: uow.payments.page(PaymentFilter(), None, 20),
    "a page of one customer": lambda uow: uow.payments.page(PaymentFilter(customer_id="bob"), None, 20),
    "a page of one status": lambda uow: uow.payments.page(PaymentFilter(status=PaymentStatus.FAILED), None, 20),
    **{f"a page of payments {name}": _page(which) for name, which in RARE.items()},
    **{f"a page of bookings {name}": _page_of_bookings(which) for name, which in RARE_BOOKINGS.items()},
    "a page of one reference": lambda uow: uow.payments.page(PaymentFilter(reference="R-1"), None, 20),
    "events to come": lambda uow: uow.events.upcoming(NOW, None, 20),
    "a booking, locked": lambda uow: uow.bookings.lock("bk_1"),
    "a booking by its reference": lambda uow: uow.bookings.by_reference("R-1"),
    "a page of bookings": lambda uow: uow.bookings.page(BookingFilter(), None, 20),
    "a page of one customer's bookings": lambda uow: uow.bookings.page(BookingFilter(customer_id="bob"), None, 20),
    "a page of one booking": lambda uow: uow.bookings.page(BookingFilter(reference="R-1"), None, 20),
    "money that is held": lambda uow: uow.overview.held(100),
    "bookings that are overdue": lambda uow: uow.bookings.due_to_expire(NOW, 100),
    "unpaid bookings of a customer": lambda uow: uow.bookings.count_unpaid("bob"),
    "an event": lambda uow: uow.inbox.find("evt_1"),
    "events that were not processed": lambda uow: uow.inbox.unfinished(10),
    "the newest event": lambda uow: uow.inbox.newest("stripe"),
    "messages to deliver": lambda uow: uow.outbox.claim("webhook", NOW, LATER, 100, skip_dead=False),
    "messages of no channel": lambda uow: uow.outbox.assign(1_000),
    "messages behind a cursor": lambda uow: uow.outbox.number("pull:app", 0, 100, NOW),
    "what waits on the channels": lambda uow: uow.outbox.backlogs(),
    "holds that end soon": lambda uow: uow.bookings.due_to_warn(NOW, NOW + timedelta(minutes=10), 100),
    "an answer": lambda uow: uow.answers.get("ann", "POST /", "key"),
    "payments by day": lambda uow: uow.overview.tallies(DAYS),
    "money by day": lambda uow: uow.overview.moved(DAYS),
    "declines": lambda uow: uow.overview.declines(NOW, 5_000, 5),
    "how long refunds took": lambda uow: uow.overview.refund_times(NOW, NOW - timedelta(days=30), 5_000),
    "disputed payments": lambda uow: uow.overview.disputed(NOW, 500),
    "webhooks by day": lambda uow: uow.overview.received_webhooks(NOW, DAYS, 5_000),
    "sums of events": lambda uow: uow.events.totals(EVENTS),
    "the newest bookings of events": lambda uow: uow.events.newest_bookings(EVENTS),
    "the newest jobs of events": lambda uow: uow.events.newest_jobs(EVENTS),
    "the records of a booking": lambda uow: uow.audit.latest(10, "bk_1"),
}


_engines: dict[str, AsyncEngine] = {}
_planners: dict[str, psycopg.Connection[Any]] = {}


@pytest.fixture(scope="module", autouse=True)
async def connections() -> AsyncIterator[None]:
    """Close what the questions of this module share: a new connection for each would take longer than the plan."""
    yield
    for engine in _engines.values():
        await engine.dispose()
    for planner in _planners.values():
        planner.close()
    _engines.clear()
    _planners.clear()


@pytest.fixture(scope="module")
def pattern() -> Pattern:
    with ThreadPoolExecutor(1) as elsewhere:  # the loop of the tests runs already in this thread
        return elsewhere.submit(anyio.run, make_pattern, "10.99", "usd", "stripe").result()


@pytest.fixture(scope="module")
def filled(postgres_server: PostgresServer, pattern: Pattern) -> Iterator[str]:
    """A database with some thousand payments and up-to-date statistics for the planner."""
    with postgres_server.database() as url:
        migrate(url)
        engine = create_engine(normalize_url(url))
        fill(engine, Stencil(pattern, seed=1), INTENTS)
        engine.dispose()
        with psycopg.connect(_plain(url), autocommit=True) as connection:
            connection.execute("ANALYZE")
        yield url


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


async def _said(url: str, ask: Ask) -> Said:
    """The statements that a question is asked with, and their parameters."""
    said = Said()
    engine = _engine(url)

    def note(_: object, cursor: object, statement: str, parameters: Any, context: object, many: bool) -> None:
        said.append((statement, parameters))

    async with engine.connect() as connection:
        event.listen(connection.sync_connection, "before_cursor_execute", note)
        await ask(SqlUnitOfWork(connection))
        await connection.rollback()
    return said


def _engine(url: str) -> AsyncEngine:
    if url not in _engines:
        if url.startswith("sqlite"):
            _engines[url] = create_async_engine(normalize_url(url))
            prepare_sqlite(_engines[url].sync_engine)
        else:
            _engines[url] = create_async_engine(normalize_url(url), isolation_level="READ COMMITTED")
            prepare_postgresql(_engines[url].sync_engine, SCHEMA)
    return _engines[url]


@pytest.fixture(scope="module")
def filled_sqlite(tmp_path_factory: pytest.TempPathFactory, pattern: Pattern) -> str:
    """The same in SQLite, with a few more payments than a search looks at one by one, and without statistics."""
    url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'filled.db'}"
    migrate(url)
    engine = create_engine(url)
    fill(engine, Stencil(pattern, seed=1), INTENTS[: LOOKED_AT + 100])
    engine.dispose()
    return url


def _sqlite_plan(url: str, statement: str, parameters: Any) -> list[str]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]


def _scanned(url: str, statement: str, parameters: Any, settings: dict[str, str] | None = None) -> list[str]:
    """The tables that the plan reads from end to end."""
    plan = _plan(url, statement, parameters, settings)
    return [line.partition("Seq Scan on ")[2].split()[0] for line in plan if "Seq Scan on " in line]


def _plan(url: str, statement: str, parameters: Any, settings: dict[str, str] | None = None) -> list[str]:
    if url not in _planners:
        _planners[url] = psycopg.connect(_plain(url))
    connection = _planners[url]
    with connection.transaction(force_rollback=True):
        for name, value in (settings or {}).items():
            connection.execute(f"SET LOCAL {name} = '{value}'".encode())
        cursor = psycopg.RawCursor(connection) if isinstance(parameters, list) else connection.cursor()
        lines = cursor.execute(f"EXPLAIN {statement}".encode(), parameters).fetchall()
    return [str(line[0]) for line in lines]


EMPTY = {
    *("bp_message_channels", "bp_message_deliveries", "bp_inbox", "bp_outbox"),
    *("bp_answers", "bp_audit", "bp_gateway_ids", "bp_postings", "bp_event_jobs"),
}
"""Tables that are empty here may be read in whole."""


@pytest.mark.parametrize("question", QUESTIONS)
async def test_everyday_questions_are_answered_by_an_index(filled: str, question: str) -> None:
    said = await _said(filled, QUESTIONS[question])
    if question in FEW:
        said = said[-1:]  # the others look at the newest rows: at most of these few here

    assert said != []
    assert {table for each in said for table in _scanned(filled, *each)} <= EMPTY


@pytest.mark.parametrize("question", QUESTIONS)
async def test_queries_over_empty_tables_have_an_index(filled: str, question: str) -> None:
    """With sequential scans disabled the planner uses an index if one exists."""
    said = await _said(filled, QUESTIONS[question])

    assert [_scanned(filled, *each, {"enable_seqscan": "off"}) for each in said] == [[]] * len(said)


@pytest.mark.parametrize("question", FEW)
async def test_what_few_have_is_not_searched_for_from_the_newest_on(filled: str, question: str) -> None:
    said = await _said(filled, QUESTIONS[question])

    assert [line for line in _plan(filled, *said[-1]) for walk in WALK if walk in line] == []


@pytest.mark.parametrize("question", QUESTIONS)
async def test_questions_are_answered_by_an_index_on_sqlite(filled_sqlite: str, question: str) -> None:
    said = await _said(filled_sqlite, QUESTIONS[question])

    plans = [_sqlite_plan(filled_sqlite, *each) for each in said]
    scans = [line for plan in plans for line in plan if re.fullmatch(r"SCAN bp_\w+", line)]
    assert scans == (["SCAN bp_inbox"] if question in NEWEST_WEBHOOKS else [])
    if question in FEW:
        assert [line for line in plans[-1] for walk in WALK if walk in line] == []


async def test_a_group_is_read_and_written_by_keys_alone(filled: str) -> None:
    subjects = [
        {"place": 0, "event_id": "evt_1", "intent_id": "pi_000007"},
        {"place": 1, "booking_id": "bk_000007"},
    ]
    reading = {"subjects": json.dumps(subjects)}

    writing = write(*ROWS), {**dict.fromkeys(ROWS, "[]"), **{count_of(name): 0 for name in COUNTED}}
    for statement, parameters in ((READ, reading), writing):
        assert _scanned(filled, statement.text, statement.values(parameters), dict(SESSION)) == []
