"""How evenly connections are spread over worker processes: one socket for each worker, or one shared socket.

    python -m bench.spread             # half a minute, prints a table

The workers accept connections as ``serve`` does and answer each request after two milliseconds of processor time, as
much as a webhook takes. *Busiest* is the share of the connections that one of the four workers has; the latencies are
those of all requests. The figures are medians over the rounds.
"""

import asyncio
import multiprocessing
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from statistics import median
from typing import Any, Final

import click
from tests.ports import free_port

from bench.load import drive
from booking_payments.runtime import process
from booking_payments.runtime.settings import load_settings

WORKERS: Final = 4
CONNECTIONS: Final = (16, 32, 200)
REQUESTS: Final = 10
"""Requests of each connection."""

WORK_S: Final = 0.002
REQUEST: Final = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
RESPONSE: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

_spawn = multiprocessing.get_context("spawn")


def work(listening: socket.socket, accepted: Any, ready: Any) -> None:
    """Serve on ``listening`` until the process is ended, and count its connections in ``accepted``."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.value += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                until = time.process_time() + WORK_S
                while time.process_time() < until:
                    pass
                writer.write(RESPONSE)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, sock=listening, backlog=process.BACKLOG)
        ready.set()
        await server.serve_forever()

    asyncio.run(serve())


@contextmanager
def workers(*, shared: bool) -> Iterator[tuple[int, list[Any]]]:
    """Run the workers; yields their port, and the number of connections that each has accepted."""
    settings = load_settings({"PORT": str(free_port())}, env_file=None)
    started: list[BaseProcess] = []
    accepted = [_spawn.Value("i", 0) for _ in range(WORKERS)]
    with process.listen(settings) if shared else process.reserve(settings) as listening:
        port = listening.getsockname()[1]
        try:
            for count in accepted:
                ready = _spawn.Event()
                started.append(_spawn.Process(target=work, args=(listening, count, ready)))
                started[-1].start()
                ready.wait()
            yield port, accepted
        finally:
            for each in started:
                each.terminate()
                each.join()


def measure(port: int, accepted: list[Any], connections: int) -> tuple[float, float, float]:
    """Return the busiest worker's share (0 to 1), and the median and the 99th percentile of the latencies in ms."""
    before = [each.value for each in accepted]
    requests = iter([REQUEST] * (connections * REQUESTS))
    load = asyncio.run(drive(port, requests, connections=connections, seconds=600))
    counts = [each.value - earlier for each, earlier in zip(accepted, before, strict=True)]
    return max(counts) / sum(counts), load.percentile_ms(50), load.percentile_ms(99)


@click.command()
@click.option("--rounds", type=click.IntRange(min=1), default=10, show_default=True, help="Measurements of each kind.")
def main(rounds: int) -> None:
    """Compare one socket for each of four workers with one shared socket."""
    found: dict[tuple[int, str], list[tuple[float, float, float]]] = {}
    with workers(shared=False) as separate, workers(shared=True) as shared:
        for _ in range(rounds):
            for connections in CONNECTIONS:
                for name, (port, accepted) in (("each its own", separate), ("one shared", shared)):
                    found.setdefault((connections, name), []).append(measure(port, accepted, connections))
    click.echo(f"connections  {'sockets':<14}busiest   median ms      p99 ms")
    for (connections, name), measured in found.items():
        share, middle, slow = (median(each[place] for each in measured) for place in range(3))
        click.echo(f"{connections:11}  {name:<14}{share:7.2f}{middle:12.1f}{slow:12.1f}")


if __name__ == "__main__":
    main()
