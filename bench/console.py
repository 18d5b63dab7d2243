"""Times the pages of the console over a database with many payments: the processor time of this process, and on
PostgreSQL that of the server's processes for it, if the server runs on this machine.

    python -m bench.console --payments 1000000 --folder /dev/shm
    DATABASE_URL=postgresql://... python -m bench.console --payments 1000000

The payments are varied: customers, names, addresses, amounts, cards, declines, refunds, disputes and webhooks, over
400 days. A database that is filled already is used as it is.
"""

import asyncio
import gc
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final

import attrs
import click
from sqlalchemy import Connection, Engine, Table, create_engine, func, select, text

from bench.seed import AT_ONCE, Rows, _open, _renamed, _write
from booking_payments.adapters.memory.ids import RandomIds
from booking_payments.adapters.sql import rows, tables
from booking_payments.adapters.sql.engine import normalize_url
from booking_payments.adapters.sql.migrations import migrate
from booking_payments.adapters.sql.storage import SqlStorage
from booking_payments.application.payments import BookingPayments
from booking_payments.application.views import NewBooking
from booking_payments.domain.booking import BookingDetails, BookingStatus
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency, Money
from booking_payments.entrypoints.pages.console.dashboard import panels
from booking_payments.ports.bookings import BookingFilter
from booking_payments.ports.inbox import InboxFilter
from booking_payments.ports.payments import PaymentFilter, Refunded, search_email, search_text
from booking_payments.testing.kit import PaymentsTestKit

DAYS: Final = 400
CUSTOMERS: Final = 50_000
BOOKINGS: Final = 300
"""Of an event, all of which start at the same time."""
CARDS: Final = (
    *["visa", "mastercard", "amex"] * 8,
    "chargeDeclinedInsufficientFunds",
    "chargeDeclinedExpiredCard",
    "createDispute",
    "authenticationRequired",
)
FILLED: Final = (
    tables.bookings,
    tables.payments,
    tables.gateway_ids,
    tables.operation_keys,
    tables.journal,
    tables.postings,
    tables.inbox,
)
CUSTOMER: Final = "customer-0000000"
TIMES: Final = {"created_at", "updated_at", "at", "received_at", "processed_at", "event_starts_at", "expires_at"}
Ask = Callable[[BookingPayments], Awaitable[Any]]


@attrs.frozen
class PatternRows:
    """The rows of one payment, from which others are made: with the names that differ, and the time it began."""

    rows: Mapping[Table, Sequence[Rows]]
    names: Sequence[str]
    began: datetime


async def make_models() -> list[PatternRows]:
    """Pay bookings with each of ``CARDS`` in memory; some are refunded."""
    models = []
    for number, card in enumerate(CARDS):
        kit = PaymentsTestKit()
        kit.clock.advance(datetime.now(UTC) - timedelta(days=DAYS) - kit.clock.now())
        currency = (Currency.USD, Currency.EUR, Currency.GBP, Currency.JPY)[number % 4]
        details = BookingDetails(
            title="An evening of music", customer_name="Name " + CUSTOMER, customer_email=f"{CUSTOMER}@example.com"
        )
        amount = f"{20 + number}{'00' if currency is Currency.JPY else '.50'}"
        new = NewBooking(
            reference="REFERENCE-0",
            customer_id=CUSTOMER,
            amount=Money.parse(amount, currency),
            event_starts_at=kit.clock.now() + timedelta(days=30),
            event_id="evening-0",
            details=details,
        )
        booking = (await kit.payments.register_booking(new)).booking
        paid = await kit.payments.process_booking_payment(booking, f"pm_card_{card}")
        if paid.success and number % 5 == 0:
            await kit.payments.process_booking_refund(booking.id, "500" if currency is Currency.JPY else "5.00")
        await kit.deliver_webhooks()
        models.append(await _model(kit, booking.id))
    return models


async def _model(kit: PaymentsTestKit, booking_id: str) -> PatternRows:
    async def work(uow: Any) -> PatternRows:
        booking, (payment,) = await uow.bookings.get(booking_id), await uow.payments.of_booking(booking_id)
        journal, postings = await uow.payments.journal(payment.id), await uow.payments.postings(payment.id)
        inbox = await uow.inbox.latest(InboxFilter(), 20)
        keys = {each.event.idempotency_key for each in journal if hasattr(each.event, "idempotency_key")}
        ids = {payment.intent_id, *(each.charge_id for each in payment.attempts)} - {None}
        ids |= {each.gateway_refund_id for each in payment.refunds} | {each.id for each in payment.disputes}
        made: dict[Table, list[Rows]] = {
            tables.bookings: [rows.booking_values(booking)],
            tables.payments: [rows.new_payment_values(payment)],
            tables.gateway_ids: [{"gateway_id": each, "payment_id": payment.id} for each in sorted(ids - {None})],
            tables.operation_keys: [{"idempotency_key": each, "payment_id": payment.id} for each in sorted(keys)],
            tables.journal: [rows.recorded_values(payment.id, each) for each in journal],
            tables.postings: [rows.posting_values(payment.id, n, each) for n, each in enumerate(postings, start=1)],
            tables.inbox: [rows.inbox_values(each) for each in inbox],
        }
        made[tables.inbox] = [{**each, "body": "{}"} for each in made[tables.inbox]]
        refunds = [each.id for each in payment.refunds]
        events = [each.event_id for each in inbox]
        names = [booking.id, payment.id, *sorted(ids - {None}), *sorted(keys), *refunds, *events]
        return PatternRows(made, names, payment.created_at)

    return await kit.storage.read(work)


class Press:
    """Makes rows of many payments from the models."""

    def __init__(self, models: Sequence[PatternRows], count: int) -> None:
        self._models, self._count, self._days = models, count, DAYS if count < BLOCK else 4
        self._random = Random(7)  # noqa: S311 - repeatable on purpose
        self._ids = RandomIds(self._random)

    def columns(self, table: Table) -> list[str]:
        return next(list(model.rows[table][0]) for model in self._models if model.rows[table])

    def print(self, numbers: Sequence[int]) -> Mapping[Table, list[tuple[Any, ...]]]:
        """Return the rows of these payments."""
        made: dict[Table, list[tuple[Any, ...]]] = {table: [] for table in FILLED}
        for number in numbers:
            model = self._models[self._random.randrange(len(self._models))]
            later = timedelta(days=self._days) * number / self._count
            of_event = timedelta(days=self._days) * (number // BOOKINGS + 1) * BOOKINGS / self._count
            named = {
                name: f"{name.partition('_')[0]}_{number:08x}{place:04x}" for place, name in enumerate(model.names)
            }
            named |= {
                "REFERENCE-0": f"R-{number:07d}",
                CUSTOMER: f"customer-{self._random.randrange(CUSTOMERS):07d}",
                "evening-0": f"evening-{number // BOOKINGS}",
            }
            for table, patterns in model.rows.items():
                for row in patterns:
                    values = {
                        name: _stamped(name, value, named, of_event if name == "event_starts_at" else later)
                        for name, value in row.items()
                    }
                    if table is tables.bookings:
                        values |= _searched_in(values)
                    made[table].append(tuple(values.values()))
        return made


def _searched_in(row: Rows) -> Rows:
    """The search texts of a booking's row, as the product writes them."""
    booking = rows.booking_from(row)
    return {"search_text": search_text(booking), "search_email": search_email(booking) or None}


def _stamped(column: str, value: Any, named: dict[str, str], later: timedelta) -> Any:
    if column in TIMES and isinstance(value, datetime):
        return value + later
    if column == "last4" and value:
        return f"{hash(named[CUSTOMER]) % 10_000:04d}"
    return _renamed(value, named)


def fill(url: str, models: Sequence[PatternRows], count: int) -> None:
    """Write ``count`` payments."""
    engine = _open(url)
    press, todo = Press(models, count), iter(range(count))
    gc.disable()
    with click.progressbar(length=count, label="payments", file=sys.stderr) as progress:
        while batch := list(islice(todo, AT_ONCE)):
            with engine.begin() as connection:
                for table, values in press.print(batch).items():
                    _write(connection, table, press.columns(table), values)
            progress.update(len(batch))
    gc.enable()


BLOCK: Final = 10_000
"""Payments that are made in Python; the others are copies of them in SQL, with other ids, references and days."""

_NEW_TEXT: Final = (
    "replace(replace(search_text, lower(reference), lower({{0}})), {0} || '  00' || {0}, CASE substr({{0}}, 3, 2) "
    "WHEN '00' THEN {0} || '  00' || {0} ELSE {0} || '  ' || substr({{0}}, 3, 2) || {0} || '  00' || {0} END)"
)
"""The search text of a copy, with its own reference and the two digits that this begins with. In the first block both
the references and the names of customers begin with ``00``, which is in a text once."""

_COPIED: Final = {
    "sqlite": {
        "later": "date(substr({0}, 1, 10), '+' || :days || ' days') || substr({0}, 11)",
        "reference": "'R-' || printf('%07d', CAST(substr({0}, 3) AS INTEGER) + :first)",
        "event": "'evening-' || (CAST(substr({0}, 9) AS INTEGER) + :first / 300)",
        "search_text": _NEW_TEXT.format("char(10)"),
    },
    "postgresql": {
        "later": "{0} + make_interval(days => CAST(:days AS integer))",
        "reference": "'R-' || lpad(CAST(CAST(substr({0}, 3) AS integer) + CAST(:first AS integer) AS text), 7, '0')",
        "event": "'evening-' || (CAST(substr({0}, 9) AS integer) + CAST(:first AS integer) / 300)",
        "search_text": _NEW_TEXT.format("chr(10)"),
    },
}
COPIED: Final = tuple(table for table in FILLED if table is not tables.operation_keys)
_IDS: Final = {"id", "booking_id", "payment_id", "gateway_id", "idempotency_key", "event_id", "object_id", "intent_id"}


def copy(url: str, copies: int) -> None:
    """Multiply the payments of the first block, each copy a few days later. JSON columns keep the first block's ids."""
    engine = _open(url)
    words = _COPIED[engine.dialect.name]
    with _bulk(engine) as connection, click.progressbar(range(1, copies), label="copies", file=sys.stderr) as numbers:
        for number in numbers:
            given = {"mark": f"-{number}", "days": DAYS * number // copies, "first": number * BLOCK}
            for table in COPIED:
                connection.execute(text(_copying(table, words)), given)
    engine.dispose()


_SECONDARY: Final = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name LIKE 'bp_%'",
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() "
    "AND indexname NOT IN (SELECT conname FROM pg_constraint) AND starts_with(tablename, 'bp_')",
}
_BEFORE: Final = {
    "sqlite": ("journal_mode = DELETE", "synchronous = OFF", "cache_size = -2000000", "locking_mode = EXCLUSIVE"),
    "postgresql": ("session_replication_role = replica", "maintenance_work_mem = '512MB'"),
}
_SEARCHED: Final = "INSERT INTO bp_search_bookings (booking_id, search_text) SELECT id, search_text FROM bp_bookings"
"""Fills the index of searches where the triggers are disabled."""


@contextmanager
def _bulk(engine: Engine) -> Iterator[Connection]:
    """A transaction for very many rows: indexes are dropped before and created after it, and the database is not
    durable meanwhile. The planner has statistics at the end."""
    name = engine.dialect.name
    if name == "sqlite":
        engine = create_engine(engine.url)  # without our own handling of transactions
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for setting in _BEFORE[name]:
            connection.exec_driver_sql(f"{'PRAGMA' if name == 'sqlite' else 'SET'} {setting}")
        if name == "postgresql":
            connection.exec_driver_sql("TRUNCATE bp_search_bookings")
        indexes = connection.exec_driver_sql(_SECONDARY[name]).all()
        for index, _ in indexes:
            connection.exec_driver_sql(f"DROP INDEX {index}")
        connection.exec_driver_sql("BEGIN")
        yield connection
        if name == "postgresql":
            connection.exec_driver_sql(_SEARCHED)
        connection.exec_driver_sql("COMMIT")
        for _, definition in indexes:
            connection.exec_driver_sql(definition)
        connection.exec_driver_sql("ANALYZE" if name == "sqlite" else "VACUUM (FREEZE, ANALYZE)")
    engine.dispose()  # its connection to SQLite would keep the file to itself


def _copying(table: Table, words: Mapping[str, str]) -> str:
    reference = words["reference"].format("reference")
    made = {}
    for column in table.columns:
        name = column.name
        if name in TIMES:
            made[name] = words["later"].format(name)
        elif name == "reference":
            made[name] = reference
        elif name == "event_id" and table is tables.bookings:
            made[name] = words["event"].format(name)
        elif name == "search_text":
            made[name] = words["search_text"].format(reference)
        elif name == "id" and table is tables.inbox:
            continue
        else:
            made[name] = f"{name} || :mark" if name in _IDS else name
    named = {tables.bookings: "id", tables.payments: "id", tables.inbox: "event_id"}.get(table, "payment_id")
    first = f"{named} NOT LIKE '%-%'"
    if table is tables.journal:
        first = f"{first} AND {tables.RARE}"  # the others are read of one payment at a time
    columns, values = ", ".join(made), ", ".join(made.values())
    return f"INSERT INTO {table.name} ({columns}) SELECT {values} FROM {table.name} WHERE {first}"  # noqa: S608 - ours


def check(url: str) -> None:
    """Compare the search texts of some bookings with those that the product writes."""
    columns = tables.bookings.c
    searched = select(text("search_text FROM bp_search_bookings WHERE booking_id = bp_bookings.id"))
    some = select(tables.bookings, searched.scalar_subquery().label("indexed"))
    engine = _open(url)
    with engine.connect() as connection:
        for order in (columns.created_at, columns.created_at.desc(), columns.id, columns.id.desc()):
            for row in connection.execute(some.order_by(order).limit(250)).mappings():
                given = {"search_text": row["search_text"], "search_email": row["search_email"]}
                if given != _searched_in(dict(row)) or row["indexed"] != row["search_text"]:
                    raise click.ClickException(f"the search texts of {row['id']} are not those of the product")
    engine.dispose()


def asked(payments: int) -> Iterator[tuple[str, Ask]]:
    """Yield what pages of the console ask for, by name."""
    some = f"R-{payments // 2:07d}"
    filters = {
        "payments": PaymentFilter(),
        "by a whole reference": PaymentFilter(text=some),
        "by a part of a reference": PaymentFilter(text=some[3:]),
        "by a part of a name": PaymentFilter(text="name customer-00041"),
        "by an unknown name": PaymentFilter(text="nobody of this name"),
        "by a common word": PaymentFilter(text="evening"),
        "by one of a hundred, none new": PaymentFilter(text=f"r-{payments // 2:07d}"[:5]),
        "by one of ten, none new": PaymentFilter(text=f"r-{payments // 2:07d}"[:4]),
        "by two letters": PaymentFilter(text="zq"),
        "by e-mail": PaymentFilter(email="customer-0004123@"),
        "by an unknown e-mail": PaymentFilter(email="nobody@nowhere"),
        "by amount": PaymentFilter(amount=Decimal("21.50")),
        "by an unknown amount": PaymentFilter(amount=Decimal("987654.32")),
        "by last four": PaymentFilter(last4="4242"),
        "by last four and amount": PaymentFilter(last4="4242", amount=Decimal("21.50")),
        "by event": PaymentFilter(event_id="evening-1500"),
        "by customer": PaymentFilter(customer_id="customer-0004123"),
        "failed": PaymentFilter(status=PaymentStatus.FAILED),
        "partly refunded": PaymentFilter(refunded=Refunded.PARTLY),
        "fully refunded": PaymentFilter(refunded=Refunded.FULLY),
        "disputed": PaymentFilter(disputed=True),
        "of a day": PaymentFilter(
            created_from=datetime.now(UTC) - timedelta(days=200), created_to=datetime.now(UTC) - timedelta(days=199)
        ),
        "disputed, by last four": PaymentFilter(disputed=True, last4="4242"),
        "refunded, of an event": PaymentFilter(refunded=Refunded.ANY, event_id="evening-1500"),
    }
    for name, which in filters.items():
        yield f"list: {name}", lambda of, which=which: of.list_payments(which, limit=25)  # type: ignore[misc]
    of_bookings = {
        "bookings": BookingFilter(),
        "bookings, by a part of a reference": BookingFilter(text=some[3:]),
        "bookings, by an unknown name": BookingFilter(text="nobody of this name"),
        "bookings, of an event": BookingFilter(event_id="evening-1500"),
        "bookings, confirmed": BookingFilter(status=BookingStatus.CONFIRMED),
        "bookings, expired": BookingFilter(status=BookingStatus.EXPIRED),
    }
    for name, of_booking in of_bookings.items():
        yield f"list: {name}", lambda of, which=of_booking: of.list_bookings(which, limit=25)  # type: ignore[misc]
    yield "list: disputes", lambda of: of.disputes()
    yield "list: events to come", lambda of: of.upcoming_events(limit=25)
    for days in (1, 7, 30, 90):
        yield f"dashboard: {days} days", lambda of, days=days: of.recent_figures(days)  # type: ignore[misc]
        yield f"dashboard: {days} days, with its charts", lambda of, days=days: _drawn(of, days)  # type: ignore[misc]


async def _drawn(of: BookingPayments, days: int) -> None:
    list(panels(await of.recent_figures(days)))


async def measure(url: str, rounds: int, only: str) -> None:
    """Print the median time of each question."""
    kit = PaymentsTestKit()
    kit.clock.advance(datetime.now(UTC) - kit.clock.now())
    storage = SqlStorage.open(url)
    payments = BookingPayments(attrs.evolve(kit.deps, storage=storage))
    async with storage.engine.connect() as connection:
        count = (await connection.execute(select(func.count()).select_from(tables.payments))).scalar_one()
    click.echo(f"{count:,} payments")
    for name, ask in asked(count):
        if only not in name:
            continue
        times, processor, server = [], [], []
        for _ in range(rounds):
            spent = await _server_s(storage)
            begun, worked = time.perf_counter(), time.process_time()
            await ask(payments)
            processor.append((time.process_time() - worked) * 1000)
            times.append((time.perf_counter() - begun) * 1000)
            server.append((await _server_s(storage) - spent) * 1000)
        of_server = f", {median(server):>7.1f} ms of the server" if any(server) else ""
        click.echo(f"{name:<44} {median(times):>9.1f} ms, {median(processor):>7.1f} ms of this process{of_server}")
    await storage.close()


async def _server_s(storage: SqlStorage) -> float:
    """Seconds of processor time that a PostgreSQL on this machine has spent for the connections of this database."""
    if storage.engine.dialect.name == "sqlite":
        return 0.0
    of_database = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
    async with storage.engine.connect() as connection:
        pids = (await connection.execute(of_database)).scalars().all()
    files = [Path(f"/proc/{pid}/schedstat") for pid in pids]
    return sum(int(file.read_text().split()[0]) for file in files if file.exists()) / 1e9


@click.command(help=__doc__.split("\n\n", maxsplit=1)[0])
@click.option("--payments", "count", type=click.IntRange(1), default=100_000, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Where the SQLite file is.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--only", default="", help="Only the questions with this text in their name.")
def main(count: int, folder: Path | None, rounds: int, only: str) -> None:
    """Fill the database unless it is filled, and time the pages."""
    url = f"sqlite:///{folder / f'console-{count}.db'}" if folder else os.environ["DATABASE_URL"]
    parsed = normalize_url(url).render_as_string(hide_password=False)
    migrate(parsed)
    engine = _open(url)
    with engine.connect() as connection:
        filled = connection.execute(select(tables.payments.c.id).limit(1)).first()
    engine.dispose()
    if filled is None:
        fill(url, asyncio.run(make_models()), min(count, BLOCK))
        copy(url, -(-count // BLOCK))
        check(url)
    asyncio.run(measure(parsed, rounds, only))


if __name__ == "__main__":
    main()
