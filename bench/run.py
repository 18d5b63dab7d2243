"""Measures webhooks and payments on a separate PostgreSQL, compared with a minimal handler and pgbench.

    python -m bench.run                  # half an hour; writes the table and picture of docs/performance.md
    python -m bench.run --webhooks       # three minutes; webhooks only, nothing is written
    python -m bench.run --quick          # checks that it works

Every configuration uses the same server, sixteen connections and new events; rounds are interleaved; medians are
reported.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import click
import psycopg
from attrs import define, field
from tests.integration.postgres import PostgresServer, postgres_binaries, private_server

from bench import events, paying, small
from bench.load import Load, drive
from bench.page import write
from booking_payments.adapters.sql.migrations import migrate

ROOT: Final = Path(__file__).resolve().parent.parent
CONNECTIONS: Final = 16
WORKERS: Final = 2
SECOND_WORKER_S: Final = 2.0
"""How long after the first worker the last one is surely there."""

AT_MOST: Final = 30_000
"""Events that one slot prepares; more than it can take in."""

PACES: Final = (25, 50, 100, 200)
"""Customers who come in a second."""

GATEWAY_S: Final = 0.1
NO_END_S: Final = 3_600.0

_TRANSACTION: Final = """\\set n random(1, 1000000000)
\\set p random(1, :payments)
BEGIN;
INSERT INTO bare_events (id, body) VALUES (:client_id || '-' || :n, :body) ON CONFLICT DO NOTHING;
UPDATE bare_payments SET status = 'succeeded', updated_at = now()
    WHERE intent_id = 'pi_bench' || lpad(:p::text, 9, '0');
INSERT INTO bare_audit (event_id, what) VALUES (:n::text, 'paid');
COMMIT;
"""


@define
class Slot:
    """One configuration that is measured, and the results of its rounds."""

    name: str
    rates: list[float] = field(factory=list)
    p50_ms: list[float] = field(factory=list)
    p99_ms: list[float] = field(factory=list)
    processor_ms: list[float] = field(factory=list)

    def add(self, load: Load) -> None:
        """Keep the figures of one round. Raises when an answer was not good."""
        bad = {status: times for status, times in load.statuses.items() if status != 200}
        if bad:
            raise click.ClickException(f"{self.name}: answers other than 200: {bad}")
        self.rates.append(load.per_second)
        self.p50_ms.append(load.percentile_ms(50))
        self.p99_ms.append(load.percentile_ms(99))
        self.processor_ms.append(load.processor_ms)

    @property
    def rate(self) -> float:
        return median(self.rates)


@define
class Bench:
    """The server, and how long and how often everything is run."""

    server: PostgresServer
    seconds: float
    rounds: int
    payments: int
    numbers: Iterator[int] = field(factory=lambda: iter(range(0, 10**12, 10**6)))

    def url(self, database: str) -> str:
        base, _, _ = self.server.dsn.rpartition("/")
        return f"{base}/{database}"

    # --- ours

    def service(self) -> Load:
        """Our service with two worker processes, over payments in processing, each paid once at most."""
        return next(self.rounds_over(self.payments))

    def rounds_over(self, payments: int) -> Iterator[Load]:
        """Rounds of that, over ``payments`` in the tables. They are filled anew when too few still wait."""
        url, each = self.url("service"), min(payments, AT_MOST)
        for place in range(self.rounds):
            turn = place % (payments // each)
            if turn == 0:
                self._seed(url, payments)
            with self._serving(url, "http://127.0.0.1:9") as server:
                yield self._deliver(server, _intents(payments)[turn * each : (turn + 1) * each])

    def _seed(self, url: str, payments: int) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as ids:
            ids.write("\n".join(_intents(payments)))
            ids.flush()
            command = [
                sys.executable,
                "-m",
                "bench.seed",
                "--reset",
                "--count",
                str(payments),
                "--intent-ids",
                ids.name,
            ]
            _run(command, DATABASE_URL=url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    @contextmanager
    def _serving(self, url: str, gateway: str, workers: int = WORKERS) -> Iterator[small.RunningServer]:
        settings = {**paying.SETTINGS, "DATABASE_URL": url, "STRIPE_API_BASE": gateway}
        settings["STRIPE_WEBHOOK_SECRET"] = events.SECRET
        command = [sys.executable, "-m", "booking_payments", "serve", "--workers", str(workers)]
        with small.serving(command, settings) as server:
            time.sleep(SECOND_WORKER_S if workers > 1 else 0)
            yield server

    def pay(self, *, delay_s: float) -> paying.Paid:
        """Two hundred customers at once, with a gateway that takes ``delay_s``."""
        url = self.url("service")
        self._seed(url, 1)
        with paying.gateway(delay_s) as address, self._serving(url, address) as server:
            return asyncio.run(paying.pay(server.port, int(2_000 * self.seconds), self.seconds))

    def pay_one_by_one(self, per_second: float) -> paying.Paid:
        """Customers who come at a pace of their own, with a gateway that takes a tenth of a second."""
        url = self.url("service")
        self._seed(url, 1)
        with paying.gateway(GATEWAY_S) as address, self._serving(url, address) as server:
            return asyncio.run(paying.pay_one_by_one(server.port, per_second, self.seconds))

    def memory(self, payments: int) -> tuple[float, float]:
        """Megabytes of one process after a few payments and after ``payments``."""
        url = self.url("service")
        self._seed(url, 1)
        with paying.gateway(0) as address, self._serving(url, address, workers=1) as server:
            asyncio.run(paying.pay(server.port, 500, NO_END_S))
            few = server.resident_mb
            asyncio.run(paying.pay(server.port, payments, NO_END_S))
            return few, server.resident_mb

    # --- what it is held against

    def bare(self) -> Load:
        """The bare handler, with two worker processes."""
        url = self.url("bare")
        self._fill_bare(url)
        settings = {"DATABASE_URL": url, "STRIPE_WEBHOOK_SECRET": events.SECRET}
        with small.serving([sys.executable, "-m", "bench.bare", "--workers", str(WORKERS)], settings) as server:
            time.sleep(SECOND_WORKER_S)
            return self._deliver(server, _intents(self.payments))

    def _fill_bare(self, url: str) -> None:
        from bench.bare import SCHEMA

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SCHEMA)
            with connection.cursor().copy("COPY bare_payments (intent_id, status) FROM STDIN") as copy:
                for intent_id in _intents(self.payments):
                    copy.write_row((intent_id, "processing"))
            connection.execute("ANALYZE")
            connection.execute("CHECKPOINT")

    def _deliver(self, server: small.RunningServer, intents: Sequence[str]) -> Load:
        prepared = list(events.requests(intents, next(self.numbers)))
        before = server.processor_s
        load = asyncio.run(drive(server.port, iter(prepared), connections=CONNECTIONS, seconds=self.seconds))
        load.processor_s = server.processor_s - before
        return load

    def pgbench(self) -> float:
        """Transactions a second of the bare handler's five statements, without a handler."""
        url = self.url("bare")
        self._fill_bare(url)
        body = next(events.requests(["pi_1"])).partition(b"\r\n\r\n")[2].decode().replace("'", "''")
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "transaction.sql"
            script.write_text(_TRANSACTION.replace(":body", f"'{body}'").replace(":payments", str(self.payments)))
            command = [str(postgres_binaries() / "pgbench"), "-n", "-M", "simple", "-c", str(CONNECTIONS), "-j", "2"]
            said = _run([*command, "-T", str(max(1, round(self.seconds))), "-f", str(script), url])
        line = next(line for line in said.splitlines() if line.startswith("tps = "))
        return float(line.split()[2])


def _intents(count: int) -> list[str]:
    return [f"pi_bench{number:09d}" for number in range(1, count + 1)]


def _run(command: Sequence[str], **settings: str) -> str:
    environment = {**os.environ, **settings}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{' '.join(command[:4])} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def _rate(load: Load) -> str:
    return f"{load.per_second:.0f}/s, {load.processor_ms:.2f} ms of a processor each"


def _say(what: str, measure: Callable[[], Any], tell: Callable[[Any], str]) -> Any:
    began = time.perf_counter()
    found = measure()
    click.echo(f"{what:<34} {tell(found):<60} {time.perf_counter() - began:5.1f} s", err=True)
    return found


@click.command(help=__doc__.split("\n\n", maxsplit=1)[0])
@click.option("--quick", is_flag=True, help="One short round; nothing is written.")
@click.option("--webhooks", is_flag=True, help="Webhooks beside the bare handler and pgbench only; nothing is written.")
@click.option("--payments", default=1_000_000, show_default=True, help="Payments in the largest tables.")
@click.option("--memory", default=100_000, show_default=True, help="Payments after which memory is looked at.")
def main(quick: bool, webhooks: bool, payments: int, memory: int) -> None:
    """Measure, and write the page."""
    seconds, rounds, few = (1.5, 1, 3_000) if quick else (8.0, 3, AT_MOST)
    sizes = (1_000, few) if quick else (1_000, 100_000, payments)
    with private_server(settings=()) as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("CREATE DATABASE service")
            connection.execute("CREATE DATABASE bare")
        bench = Bench(server, seconds, rounds, few)
        migrate(bench.url("service"))
        if webhooks:
            _compare(_ingestion(bench))
            return
        # Growth comes last: after it was filled, the server writes to disk for a while.
        measured = {**_ingestion(bench), **_paying(bench)}
        resident = _resident(bench, 1_000 if quick else memory)
        measured["growth"] = _growth(bench, sizes)
    if not quick:
        write(ROOT / "docs", **measured, small={**small.figures(), **resident})


def _compare(measured: dict[str, Any]) -> None:
    """Print the medians, and what the service is of the bare handler."""
    bare, service = measured["bare"], measured["service"]
    for slot in (bare, service):
        each_ms = median(slot.processor_ms)
        click.echo(
            f"{slot.name:<18} {slot.rate:6.0f}/s, p50 {median(slot.p50_ms):.1f} ms, {each_ms:.2f} ms of a processor"
        )
    taken = median(service.processor_ms) / median(bare.processor_ms)
    click.echo(f"of the bare handler: {service.rate / bare.rate:.2f} of the rate, {taken:.2f} of the processor time")


def _ingestion(bench: Bench) -> dict[str, Any]:
    """Webhooks, alternating with the programs they are compared with."""
    bare, service, tps = Slot("bare handler"), Slot("booking-payments"), list[float]()
    for _ in range(bench.rounds):
        bare.add(_say("bare handler", bench.bare, _rate))
        service.add(_say("booking-payments", bench.service, _rate))
        tps.append(_say("pgbench", bench.pgbench, lambda rate: f"{rate:.0f}/s"))
    return {"bare": bare, "service": service, "pgbench": median(tps)}


def _paying(bench: Bench) -> dict[str, Any]:
    paid = {
        delay: _median(bench, f"paying, gateway takes {delay * 1000:.0f} ms", partial(bench.pay, delay_s=delay))
        for delay in (0.0, GATEWAY_S)
    }
    paced = {
        pace: _median(bench, f"paying, {pace} customers a second", partial(bench.pay_one_by_one, pace))
        for pace in PACES
    }
    return {"paid": paid, "paced": paced, "gateway_ms": GATEWAY_S * 1000}


def _median(bench: Bench, what: str, pay: Callable[[], paying.Paid]) -> paying.Paid:
    """The round that took neither longest nor shortest."""
    rounds: list[paying.Paid] = [_say(what, pay, str) for _ in range(bench.rounds)]
    return sorted(rounds, key=lambda each: each.p50_ms)[len(rounds) // 2]


def _resident(bench: Bench, payments: int) -> dict[str, str]:
    few_mb, many_mb = _say(f"memory after {payments:,} payments", partial(bench.memory, payments), str)
    return {
        "resident memory of a process after 500 payments": f"{few_mb:.0f} MB",
        f"the same after {payments:,} payments": f"{many_mb:.0f} MB",
    }


def _growth(bench: Bench, sizes: Sequence[int]) -> dict[int, Slot]:
    growth = {size: Slot(f"{size:,} payments") for size in sizes}
    for size, slot in growth.items():
        loads = bench.rounds_over(size)
        for _ in range(bench.rounds):
            slot.add(_say(slot.name, partial(next, loads), _rate))
    return growth


if __name__ == "__main__":
    main()
