"""What each optimization inside a process gains: processor time of one webhook with it and without it.

    python -m bench.optimizations            # some minutes; prints a table

Webhooks of 2.8 kB go through the whole ASGI application (signature, inbox, payment, journal, outbox, log line) with its
data in memory, one after another: what a database and the sockets cost is not in the figures. Each optimization is
switched off for a batch and on for the next one, ``--batches`` times. A gain is the median over these pairs, with its
quartiles: other programs on the machine disturb both halves of a pair alike.
"""

import asyncio
import gc
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from statistics import quantiles
from typing import Any, Final
from unittest.mock import patch

import click
import structlog
from litestar import Litestar
from tests.services import services_over

from bench import events
from booking_payments.domain import fees
from booking_payments.entrypoints.http.app import create_app
from booking_payments.runtime import logging as logs
from booking_payments.runtime import process
from booking_payments.runtime.settings import Settings, load_settings
from booking_payments.testing.kit import ANN, SECRET, PaymentsTestKit

PER_BATCH: Final = 20


@contextmanager
def default_collection() -> Iterator[None]:
    """Python's default settings of garbage collection."""
    gc.unfreeze()
    gc.set_threshold(700, 10, 10)
    yield
    process.collect_garbage_less()


@contextmanager
def records_with_origin() -> Iterator[None]:
    """Log records that carry thread, process and line of code."""
    origin = vars(logging)["_srcfile"]
    vars(logging)["_srcfile"] = logging.addLevelName.__code__.co_filename
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = True
    yield
    vars(logging)["_srcfile"] = origin
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def _whole_chain(self: Any, record: logging.LogRecord) -> str:
    return structlog.stdlib.ProcessorFormatter.format(self, record)


WITHOUT: Final[Mapping[str, Callable[[], Any]]] = {
    "garbage collection: less often": default_collection,
    "log records without origin": records_with_origin,
    "log lines: own lines skip the second chain": lambda: patch.object(logs._Formatter, "format", _whole_chain),
    "redaction: plain search before patterns": lambda: patch.object(logs, "_is_suspicious", lambda text: True),
    "cache of fee breakdowns": lambda: patch.object(fees, "_breakdown_of", fees._breakdown_of.__wrapped__),
}


async def measure(batches: int) -> dict[str, list[tuple[float, float]]]:
    """Microseconds of one webhook by optimization: a pair without and with it for each batch."""
    settings = load_settings({"JWT_SECRET": "x" * 32, "RATE_LIMIT_ENABLED": "false"}, env_file=None)
    logs.set_up_logging(settings, stream=open(os.devnull, "w"))  # noqa: SIM115, ASYNC230 - until the process ends
    application = create_app(services_over(PaymentsTestKit(), settings))
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in WITHOUT}
    async with application.lifespan():
        process.collect_garbage_less()
        for _ in range(batches):
            for name, without in WITHOUT.items():
                with without():
                    off = await _batch(application, settings)
                figures[name].append((off, await _batch(application, settings)))
    return figures


async def _processing(kit: PaymentsTestKit, number: int) -> str:
    """The intent of a new payment whose debit is under way."""
    booking = await kit.book("10.99", reference=f"R-{number}")
    method = "pm_usBankAccount_success"
    started = await kit.payments.start_payment(booking.id, ANN, payment_method_id=method, confirm_immediately=True)
    return started.payment.intent_id or ""


async def _batch(application: Litestar, settings: Settings) -> float:
    """Return microseconds per webhook over a new service with few payments, so that the cost of the in-memory storage
    does not grow."""
    logging.disable()
    kit = PaymentsTestKit()
    kit.clock.advance(datetime.now(UTC) - kit.clock.now())
    intents = [await _processing(kit, number) for number in range(PER_BATCH)]
    deliveries = await asyncio.to_thread(lambda: list(events.requests(intents, secret=SECRET)))
    requests = [_scope(each) for each in deliveries]
    application.state["services"] = services_over(kit, settings)
    logging.disable(logging.NOTSET)
    began = time.process_time()
    for scope, body in requests:
        await _deliver(application, scope, body)
    return (time.process_time() - began) / PER_BATCH * 1e6


def _scope(request: bytes) -> tuple[dict[str, Any], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    path = first.split()[1]
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path.decode(),
        "raw_path": path,
    }
    scope |= {"query_string": b"", "headers": headers, "scheme": "http", "root_path": "", "asgi": {"version": "3.0"}}
    return {**scope, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {}}, body


async def _deliver(application: Any, scope: dict[str, Any], body: bytes) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise RuntimeError(f"a webhook was answered with {message['status']}")

    await application(scope, receive, send)


@click.command(help=__doc__)
@click.option("--batches", type=click.IntRange(2), default=100, show_default=True)
def main(batches: int) -> None:
    """Print what each optimization gains."""
    figures = asyncio.run(measure(batches))
    click.echo("| optimization | with it, at best | gain: median | quartiles |\n|---|---:|---:|---:|")
    for name, pairs in figures.items():
        low, median, high = quantiles([100 * (off - on) / off for off, on in pairs], n=4)
        best = min(on for _, on in pairs)
        click.echo(f"| {name} | {best:.0f} µs | {median:.0f} % | {low:.0f} to {high:.0f} % |")


if __name__ == "__main__":
    main()
