"""A supervisor whose workers do what a test tells them: ``python -m tests.integration.supervised SOCKET BEAT_S``.

Each worker connects to the test's Unix socket before it gives a sign of life, says its process id and waits for an
order: ``serve``, ``hang`` (which it does once it has given a sign of life), or ``fail``, when it starts. It keeps the
connection, so that the test sees it end.
"""

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from booking_payments.runtime.supervisor import Supervisor, WorkersFailedError

WORKERS = 2
STOP_WITHIN_S = 60
NONE_COULD_START = 7
"""The exit status."""


class Obedient:
    """An ASGI application. It is pickled for each worker, which asks for its order when it is unpickled."""

    def __init__(self, address: str, line: socket.socket | None = None, order: str = "") -> None:
        self._address = address
        self._line = line
        self._order = order

    def __reduce__(self) -> tuple[Callable[[str], "Obedient"], tuple[str]]:
        return ask, (self._address,)

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            await receive()
            if self._order == "hang":
                os.kill(os.getpid(), signal.SIGSTOP)
            began = "complete" if self._order == "serve" else "failed"
            await send({"type": f"lifespan.startup.{began}"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


def ask(address: str) -> Obedient:
    """Wait for the order of the test that listens at ``address``."""
    line = socket.socket(socket.AF_UNIX)
    line.connect(address)
    line.sendall(f"{os.getpid()}\n".encode())
    with line.makefile() as orders:
        return Obedient(address, line, orders.readline().strip())


def main(address: str, beat_s: str) -> None:
    """Supervise until a signal comes."""
    config = uvicorn.Config(Obedient(address), log_config=None, ws="none")
    # Workers begin as those of "spawn" do, but for the imports: tests/e2e/test_workers.py starts interpreters.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.integration.supervised"])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        try:
            Supervisor(config, listening, WORKERS, STOP_WITHIN_S, float(beat_s), context).run()
        except WorkersFailedError:
            sys.exit(NONE_COULD_START)


if __name__ == "__main__":
    main(*sys.argv[1:])
