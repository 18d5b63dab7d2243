"""The sandbox on a socket: uvicorn's HTTP protocol, without uvicorn's server, which knows no broken connections."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, cast

import anyio
import uvicorn
from anyio import lowlevel
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from booking_payments.sandbox.http.account import SandboxStripe
from booking_payments.sandbox.http.app import SandboxApp
from booking_payments.sandbox.http.deliveries import EventSender

GRACE: Final = timedelta(seconds=1)
"""How long answers under way may take at the end."""

BACKLOG: Final = 2048
_TRANSPORT: Final = "transport"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


@asynccontextmanager
async def serving(stripe: SandboxStripe, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """The sandbox's address while the block lasts; port 0 takes a free one. Raises ``OSError``."""
    with _listen(host, port) as listening:
        app = SandboxApp(stripe, _abort)
        stripe.serve_bank_at(_address(listening, for_browsers=True))
        async with _answering(app, listening), anyio.create_task_group() as tasks:
            tasks.start_soon(EventSender(stripe).run)
            yield _address(listening)
            tasks.cancel_scope.cancel()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def _address(listening: socket.socket, *, for_browsers: bool = False) -> str:
    """The address as it was given; ``for_browsers``: loopback in place of "every address", where no browser gets."""
    host, port = listening.getsockname()[:2]
    if for_browsers:
        host = _LOOPBACK.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not listened on


@asynccontextmanager
async def _answering(app: SandboxApp, listening: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(
        cast(Any, app), log_config=None, access_log=False, lifespan="off", ws="none", interface="asgi3"
    )
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Protocol(config, state, {}), sock=listening)
    try:
        yield
    finally:
        server.close()
        app.stopping.set()
        with anyio.CancelScope(shield=True):
            await _end(state)


async def _end(state: ServerState) -> None:
    """Finish the answers under way, within limits, and close everything."""
    for connection in list(state.connections):
        connection.shutdown()
    if state.tasks:
        await asyncio.wait(list(state.tasks), timeout=GRACE.total_seconds())
    for connection in list(state.connections):
        if connection.transport is not None:
            connection.transport.abort()
    for task in list(state.tasks):
        task.cancel()
    await asyncio.gather(*list(state.tasks), return_exceptions=True)
    await lowlevel.checkpoint()


class _Protocol(H11Protocol):
    """Tells each request on which connection it came."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.app_state = {**self.app_state, _TRANSPORT: transport}
        self.access_log = False  # uvicorn asks a logger that another server in this process may have switched on
        _send_at_once(transport)
        super().connection_made(transport)


def _send_at_once(transport: asyncio.Transport) -> None:
    """asyncio switches Nagle's algorithm off only for sockets made with an explicit protocol; ours costs 40 ms else."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _abort(scope: MutableMapping[str, Any]) -> None:
    """End the connection with a reset, as a broken line would."""
    transport: asyncio.Transport = scope["state"][_TRANSPORT]
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
