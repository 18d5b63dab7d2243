"""Fills the database at DATABASE_URL with payments that wait for their success, for load generators.

    bench/seed.py --count 60000 --intent-ids ids.txt --amount 10.99 --currency usd --reset
    bench/seed.py --report

Each payment is in ``processing``, as after a bank debit that the customer has agreed to, belongs to a booking of its
own, carries the gateway id on its line of the file, and is next looked at a day ahead. Its journal is complete:
``ledger check`` finds nothing wrong.
"""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final

import attrs
import click
from sqlalchemy import Connection, Engine, Table, create_engine, func, insert, select, text

from booking_payments.adapters.memory.ids import RandomIds
from booking_payments.adapters.sql import rows, search, tables
from booking_payments.adapters.sql.engine import (
    normalize_url,
    prepare_postgresql,
    prepare_sqlite,
    schema_of,
    without_schema,
)
from booking_payments.domain.booking import Booking
from booking_payments.domain.events import OperationIntended, PaymentStarted, Recorded
from booking_payments.domain.lifecycle import PaymentStatus
from booking_payments.domain.money import Currency
from booking_payments.domain.payment import Payment
from booking_payments.ports.payments import PaymentFilter, PollState
from booking_payments.runtime.settings import load_settings
from booking_payments.testing.kit import ANN, PaymentsTestKit

AT_ONCE: Final = 5_000
"""Payments that one round writes."""

AGREED: Final = {"usd": "pm_usBankAccount_success"}
"""A payment method that leaves a payment in ``processing``, by currency; others wait in the model of Stripe, too."""

FILLED: Final = (tables.bookings, tables.payments, tables.operation_keys, tables.journal)
"""In the order in which their rows need one another."""

EMPTIED: Final = tuple(reversed(tables.metadata.sorted_tables))

Rows = dict[str, Any]


@attrs.frozen
class Pattern:
    """One payment in ``processing`` with its booking and journal, as the use cases make it."""

    booking: Booking
    payment: Payment
    journal: Sequence[Recorded]

    @property
    def key(self) -> str:
        """The idempotency key of its operation."""
        return next(each.event.idempotency_key for each in self.journal if isinstance(each.event, OperationIntended))


async def make_pattern(amount: str, currency: str, gateway: str = "stripe") -> Pattern:
    """Register a booking and pay it with a debit that is on its way, in memory. The payment belongs to ``gateway``,
    whose webhooks are the only ones that move it."""
    kit = PaymentsTestKit()
    kit.clock.advance(datetime.now(UTC) - kit.clock.now())
    booking = await kit.book(amount, currency=Currency.of(currency))
    method = AGREED.get(currency, AGREED["usd"])
    await kit.payments.start_payment(booking.id, ANN, payment_method_id=method, confirm_immediately=True)
    payments = await kit.storage.read(lambda uow: uow.payments.page(PaymentFilter(), None, 1))
    payment = payments.items[0]
    if payment.status is not PaymentStatus.PROCESSING:
        raise click.ClickException(f"a payment in {currency} does not stay in processing; try usd")
    journal = await kit.storage.read(lambda uow: uow.payments.journal(payment.id))
    return Pattern(booking, attrs.evolve(payment, gateway=gateway), [_of_gateway(each, gateway) for each in journal])


def _of_gateway(entry: Recorded, gateway: str) -> Recorded:
    if not isinstance(entry.event, PaymentStarted):
        return entry
    return attrs.evolve(entry, event=attrs.evolve(entry.event, gateway=gateway))


class Stencil:
    """The rows of the pattern, to be stamped with other ids."""

    def __init__(self, pattern: Pattern, seed: int) -> None:
        self._ids = RandomIds(Random(seed))  # noqa: S311 - repeatable on purpose
        self._pattern = pattern
        poll_state = PollState(next_check_at=datetime.now(UTC) + timedelta(days=1))
        self._rows: dict[Table, list[Rows]] = {
            tables.bookings: [rows.booking_values(pattern.booking)],
            tables.payments: [{**rows.new_payment_values(pattern.payment), **rows.poll_state_values(poll_state)}],
            tables.operation_keys: [{"idempotency_key": pattern.key, "payment_id": pattern.payment.id}],
            tables.journal: [rows.recorded_values(pattern.payment.id, each) for each in pattern.journal],
        }

    def columns(self, table: Table) -> list[str]:
        return list(self._rows[table][0])

    def stamp(self, intents: Sequence[str]) -> dict[Table, list[tuple[Any, ...]]]:
        """The rows of one payment for each of ``intents``."""
        stamped: dict[Table, list[tuple[Any, ...]]] = {table: [] for table in FILLED}
        for intent_id in intents:
            renamed = self._names(intent_id)
            for table, patterns in self._rows.items():
                stamped[table] += [tuple(_renamed(value, renamed) for value in row.values()) for row in patterns]
        return stamped

    def _names(self, intent_id: str) -> dict[str, str]:
        booking, payment = self._pattern.booking, self._pattern.payment
        booking_id = self._ids.new("bk")
        return {
            booking.id: booking_id,
            payment.id: self._ids.new("pay"),
            payment.intent_id or "": intent_id,
            self._pattern.key: self._ids.idempotency_key(),
            booking.reference: f"R-{booking_id[3:]}",
        }


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if not isinstance(value, str):
        return value
    for old, new in names.items():
        if old in value:
            value = value.replace(old, new)
    return value


def fill(engine: Engine, stencil: Stencil, intents: Sequence[str]) -> None:
    """Write a payment for each of ``intents``, a few thousand in each transaction."""
    todo = iter(intents)
    with click.progressbar(length=len(intents), label="payments", file=sys.stderr) as progress:
        while batch := list(islice(todo, AT_ONCE)):
            with engine.begin() as connection:
                for table, values in stencil.stamp(batch).items():
                    _write(connection, table, stencil.columns(table), values)
            progress.update(len(batch))


def _write(connection: Connection, table: Table, columns: list[str], values: list[tuple[Any, ...]]) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(insert(table), [dict(zip(columns, row, strict=True)) for row in values])
        return
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {table.name} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in values:
            copy.write_row(row)


def reset(engine: Engine) -> None:
    """Empty every table of the service. The triggers of journal and postings are disabled for it; the database belongs
    to the benchmark."""
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            _without_triggers(connection)
            return
        names = ", ".join([*(table.name for table in EMPTIED), "bp_search_bookings"])
        for table in EMPTIED:
            connection.execute(text(f"ALTER TABLE {table.name} DISABLE TRIGGER USER"))
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
        for table in EMPTIED:
            connection.execute(text(f"ALTER TABLE {table.name} ENABLE TRIGGER USER"))


def _without_triggers(connection: Connection) -> None:
    names = [table.name for table in EMPTIED]
    connection.execute(text(f"DELETE FROM {search.INDEXED}"))  # noqa: S608 - a name of our own; its triggers stay
    triggers = connection.execute(text("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
    ours = [each for each in triggers if each.tbl_name in names]
    for each in ours:
        connection.execute(text(f"DROP TRIGGER {each.name}"))
    for name in names:
        connection.execute(text(f"DELETE FROM {name}"))  # noqa: S608 - a name of our own
    for each in ours:
        connection.execute(text(each.sql))


def report(engine: Engine) -> dict[str, int]:
    """How many payments there are, how many have succeeded, and how many events were received."""
    payments, inbox = tables.payments, tables.inbox
    succeeded = select(func.count()).where(payments.c.status == PaymentStatus.SUCCEEDED.value)
    with engine.connect() as connection:
        return {
            "payments": connection.execute(select(func.count()).select_from(payments)).scalar_one(),
            "succeeded": connection.execute(succeeded).scalar_one(),
            "events": connection.execute(select(func.count()).select_from(inbox)).scalar_one(),
        }


def _open(url: str) -> Engine:
    parsed = normalize_url(url)
    engine = create_engine(without_schema(parsed).set(drivername=parsed.drivername.replace("+aiosqlite", "")))
    if engine.dialect.name == "sqlite":
        prepare_sqlite(engine)
    else:
        prepare_postgresql(engine, schema_of(parsed))
    return engine


def _lines(path: Path, count: int) -> list[str]:
    with path.open() as file:
        found = list(islice(_ids(file), count))
    if len(found) < count:
        raise click.ClickException(f"{path} has {len(found)} ids, and --count asks for {count}")
    return found


def _ids(lines: Iterator[str]) -> Iterator[str]:
    return (line.strip() for line in lines if line.strip())


@click.command(help=__doc__.split("\n\n", maxsplit=1)[0])
@click.option("--count", type=click.IntRange(1), help="How many payments.")
@click.option("--intent-ids", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Ids, one a line.")
@click.option("--amount", default="10.99", show_default=True, help="What each booking costs.")
@click.option("--currency", default="usd", show_default=True)
@click.option("--gateway", default="stripe", show_default=True, help="The gateway that the payments belong to.")
@click.option("--reset", "empties", is_flag=True, help="Empty all tables first. Everything in them is lost.")
@click.option("--report", "reports", is_flag=True, help="Print the numbers of rows as JSON.")
def main(
    count: int | None,
    intent_ids: Path | None,
    amount: str,
    currency: str,
    gateway: str,
    empties: bool,
    reports: bool,
) -> None:
    """Fill, empty, or describe the database."""
    if not (count or empties or reports):
        raise click.UsageError("say what to do: --count N --intent-ids FILE, --reset or --report")
    if count and intent_ids is None:
        raise click.UsageError("--count needs --intent-ids: the gateway ids that the payments carry")
    engine = _open(load_settings().normalized_database_url)
    if empties:
        reset(engine)
    if count and intent_ids is not None:
        pattern = asyncio.run(make_pattern(amount, currency, gateway))
        found = _lines(intent_ids, count)
        fill(engine, Stencil(pattern, seed=report(engine)["payments"]), found)
    if reports:
        click.echo(json.dumps(report(engine)))


if __name__ == "__main__":
    main()
