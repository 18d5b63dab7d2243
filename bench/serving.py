"""What the event loop and the socket option of ``serve`` gain: processor time and median delay of a request.

    python -m bench.serving            # two minutes, prints a table

Four servers run side by side, each with its own SQLite file: as shipped, with asyncio's loop, with asyncio's loop and
without ``TCP_NODELAY``, and with uvloop without it. They get the same requests in turn, in batches, so that whatever
else runs on the machine disturbs all alike. *Alone* is ``GET /health/live``, in which only HTTP takes part; *end to
end* registers a booking. Given are medians over the rounds.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

import click
from attrs import define, field

from bench.events import SECRET
from bench.load import drive
from bench.paying import SETTINGS, booking_requests
from bench.small import Server, serving

BATCH: Final = 100

_START: Final = "from booking_payments.entrypoints.cli import main; main()"
_ASYNCIO: Final = (
    "import asyncio; from booking_payments.runtime import process; process.new_event_loop = asyncio.new_event_loop; "
)
_DELAY: Final = "from booking_payments.runtime import process; process._without_delay = lambda listening: listening; "
VARIANTS: Final[Mapping[str, str]] = {
    "uvloop, TCP_NODELAY (as shipped)": _START,
    "asyncio, TCP_NODELAY": _ASYNCIO + _START,
    "asyncio": _ASYNCIO + _DELAY + _START,
    "uvloop": _DELAY + _START,
}
"""Each variant as a program; the replaced functions are looked up after the command line is imported."""

LIVE: Final = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@define
class Measured:
    """Processor milliseconds and median milliseconds of a request, one entry for each batch."""

    processor_ms: list[float] = field(factory=list)
    took_ms: list[float] = field(factory=list)


async def batch(server: Server, requests: Iterator[bytes], measured: Measured) -> None:
    """Send one batch over one connection that is kept open, and add its figures."""
    before = server.processor_s
    load = await drive(server.port, requests, connections=1, seconds=600)
    if not all(200 <= status < 300 for status in load.statuses):
        raise RuntimeError(f"requests were answered with {dict(load.statuses)}")
    measured.processor_ms.append((server.processor_s - before) / len(load.took) * 1000)
    measured.took_ms.append(load.percentile_ms(50))


async def measure(servers: Mapping[str, Server], rounds: int) -> dict[tuple[str, str], Measured]:
    """Send the batches in turn, and return the figures by kind of request and variant."""
    found = {(kind, name): Measured() for kind in ("alone", "end to end") for name in servers}
    for number in range(-1, rounds):  # one round is for warming up
        for name, server in servers.items():
            for kind in ("alone", "end to end"):
                requests = iter([LIVE] * BATCH) if kind == "alone" else booking_requests(range(BATCH))
                await batch(server, requests, found[kind, name] if number >= 0 else Measured())
    return found


@click.command()
@click.option("--rounds", type=click.IntRange(min=1), default=10, show_default=True, help="Batches of each variant.")
def main(rounds: int) -> None:
    """Compare the event loops, and TCP_NODELAY with its absence."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {}
        for number, (name, program) in enumerate(VARIANTS.items()):
            settings = {
                **SETTINGS,
                "STRIPE_WEBHOOK_SECRET": SECRET,
                "DATABASE_URL": f"sqlite:///{folder / f'{number}.db'}",
            }
            subprocess.run(
                [sys.executable, "-P", "-c", _START, "migrate"],
                env={**os.environ, **settings},
                check=True,
                capture_output=True,
            )
            command = [sys.executable, "-P", "-c", program, "serve"]
            servers[name] = stack.enter_context(serving(command, settings))
        found = asyncio.run(measure(servers, rounds))
    click.echo(f"{'':36}{'processor ms':>14}{'median ms':>12}")
    for (kind, name), measured in found.items():
        processor, took = median(measured.processor_ms), median(measured.took_ms)
        click.echo(f"{kind + ': ' + name:46}{processor:4.2f}{took:12.2f}")


if __name__ == "__main__":
    main()
