"""Measure what ``serve`` gains by ``TCP_NODELAY``, and by one listening socket for each worker process.

    python -m bench.serving            # a few minutes, prints two tables

Both variants of a comparison run side by side on one PostgreSQL and get the same requests in turn, in batches, so that
other load on the machine affects both alike. *Alone* is ``GET /health/live``, in which only HTTP takes part; *end to
end* is a signed webhook that reports a payment as paid. The figures are medians over the rounds.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final

import click
import psycopg
from attrs import define, field, frozen
from tests.integration.postgres import private_server

from bench.events import SECRET, requests
from bench.load import drive
from bench.paying import SETTINGS
from bench.small import RunningServer, serving
from booking_payments.adapters.sql.migrations import migrate

PAYMENTS: Final = 60_000
LIVE: Final = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
WORKERS_START_S: Final = 6.0

_START: Final = "from booking_payments.entrypoints.cli import main; main()"
_PROCESS: Final = "from booking_payments.runtime import process; "
AS_SHIPPED: Final = "as shipped"


@frozen(kw_only=True)
class ServeComparison:
    """Two variants of ``serve``: as shipped, and ``without`` something.

    Attributes:
        without: name of the other variant.
        program: Python statements that make it, run before the command line.
        workers: number of worker processes.
        connections: numbers of connections, each kept open with one request under way.
        batch: number of requests in a batch, alone and end to end.
    """

    without: str
    program: str
    workers: int
    connections: Sequence[int]
    batch: Mapping[str, int]


COMPARISONS: Final = (
    ServeComparison(
        without="without TCP_NODELAY",
        program=f"{_PROCESS}process._without_delay = lambda listening: listening; ",
        workers=1,
        connections=(1,),
        batch={"alone": 50, "end to end": 50},
    ),
    ServeComparison(
        without="one shared socket",
        program=f"{_PROCESS}process.SPREADS = False; ",
        workers=4,
        connections=(16, 32, 200),
        batch={"alone": 1500, "end to end": 400},
    ),
)


@define
class Measured:
    """One entry for each batch: milliseconds of the processor per request, latencies, and the busiest worker's share
    of the processor time of all workers (0 to 1)."""

    processor_ms: list[float] = field(factory=list)
    median_ms: list[float] = field(factory=list)
    p99_ms: list[float] = field(factory=list)
    busiest: list[float] = field(factory=list)


async def batch(server: RunningServer, prepared: Sequence[bytes], connections: int, measured: Measured) -> None:
    """Send one batch over ``connections``, and add its figures. Raises ``RuntimeError`` for another status than 200."""
    before = server.processor_s_of_each
    load = await drive(server.port, iter(prepared), connections=connections, seconds=600)
    if set(load.statuses) != {200}:
        raise RuntimeError(f"requests were answered with {dict(load.statuses)}")
    taken = [after - before.get(pid, 0.0) for pid, after in server.processor_s_of_each.items()]
    measured.processor_ms.append(sum(taken) / len(load.took) * 1000)
    measured.median_ms.append(load.percentile_ms(50))
    measured.p99_ms.append(load.percentile_ms(99))
    measured.busiest.append(max(taken) / sum(taken))


def measure(
    servers: Mapping[str, RunningServer], comparison: ServeComparison, webhooks: Iterator[bytes], rounds: int
) -> dict[tuple[str, int, str], Measured]:
    """Send the batches in turn, and return the figures by kind of request, connections and variant."""
    found: dict[tuple[str, int, str], Measured] = {}
    for number in range(-1, rounds):  # the first round warms up
        for connections in comparison.connections:
            for kind, count in comparison.batch.items():
                for name, server in servers.items():
                    prepared = [LIVE] * count if kind == "alone" else list(islice(webhooks, count))
                    measured = found.setdefault((kind, connections, name), Measured())
                    asyncio.run(batch(server, prepared, connections, measured if number >= 0 else Measured()))
    return found


@contextmanager
def seeded_database() -> Iterator[str]:
    """Yield the URL of a PostgreSQL database with ``PAYMENTS`` payments in processing."""
    with private_server(settings=()) as server, tempfile.TemporaryDirectory() as folder:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("CREATE DATABASE service")
        url = f"{server.dsn.rpartition('/')[0]}/service"
        migrate(url)
        ids = Path(folder) / "ids.txt"
        ids.write_text("\n".join(_intents()))
        seed = [sys.executable, "-m", "bench.seed", "--count", str(PAYMENTS), "--intent-ids", str(ids), "--reset"]
        subprocess.run(seed, env={**os.environ, "DATABASE_URL": url}, check=True, capture_output=True)
        yield url


def _intents() -> list[str]:
    return [f"pi_bench{number:09d}" for number in range(1, PAYMENTS + 1)]


def compare(url: str, comparison: ServeComparison, webhooks: Iterator[bytes], rounds: int) -> None:
    """Run both variants side by side, and print a table."""
    settings = {
        **SETTINGS,
        "DATABASE_URL": url,
        "STRIPE_API_BASE": "http://127.0.0.1:9",
        "STRIPE_WEBHOOK_SECRET": SECRET,
    }
    programs = {AS_SHIPPED: _START, comparison.without: comparison.program + _START}
    with ExitStack() as stack:
        servers = {}
        for name, program in programs.items():
            command = [sys.executable, "-P", "-c", program, "serve", "--workers", str(comparison.workers)]
            servers[name] = stack.enter_context(serving(command, settings))
        time.sleep(WORKERS_START_S)
        found = measure(servers, comparison, webhooks, rounds)
    click.echo(f"{comparison.workers} processes{'':20}connections  processor ms   median ms      p99 ms  busiest")
    for (kind, connections, name), each in found.items():
        times = "".join(f"{median(values):12.2f}" for values in (each.processor_ms, each.median_ms, each.p99_ms))
        click.echo(f"{kind + ': ' + name:31}{connections:11}{times}{median(each.busiest):9.2f}")


@click.command()
@click.option("--rounds", type=click.IntRange(min=1), default=8, show_default=True, help="Batches of each variant.")
def main(rounds: int) -> None:
    """Compare TCP_NODELAY, and a socket for each worker, with their absence."""
    with seeded_database() as url:
        webhooks = requests(_intents())
        for comparison in COMPARISONS:
            compare(url, comparison, webhooks, rounds)


if __name__ == "__main__":
    main()
