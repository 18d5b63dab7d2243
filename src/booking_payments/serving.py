"""The command ``serve``: connects the command line with the HTTP API, neither of which imports the other."""

import asyncio
import os
import socket
from datetime import timedelta
from errno import EADDRINUSE
from typing import TYPE_CHECKING, Any, Final

import click
import structlog

from booking_payments.entrypoints.cli.runner import extra_or_fail, fail, require_ready, settings_or_fail
from booking_payments.runtime.process import (
    BACKLOG,
    collect_garbage_less,
    collecting_traces,
    listen,
    new_event_loop,
    reserve,
)
from booking_payments.runtime.settings import PREFIX, LogFormat, Settings
from booking_payments.runtime.settings_error import SettingsError

if TYPE_CHECKING:
    import uvicorn

SHUTDOWN_S: Final = 30
"""Seconds that requests in flight may take after a signal; longer than a usual gateway call with its retries."""

WORKER_STOPS_S: Final = SHUTDOWN_S + 5
"""Seconds that worker processes may take to end after a signal: requests in flight, and closing connections."""

log = structlog.get_logger("booking_payments.serve")


def run(host: str | None, port: int | None, workers: int | None, wait_s: int) -> None:
    """Serve until a signal arrives. An argument that is None is taken from the settings.

    Ends the process with one line on standard error when the service can't start.
    """
    settings = settings_or_fail({"HOST": host, "PORT": port, "WORKERS": workers})
    with extra_or_fail("http", "serve"):
        from booking_payments.entrypoints.http import app, protocol  # noqa: F401 - everything that serving needs
    listening = _listen(settings)
    if settings.uses_development_jwt_secret:
        log.warning(
            "serve.development_secret",
            remedy="tokens are signed with the development secret; set JWT_SECRET before others can reach this service",
        )
    try:
        if settings.workers > 1:
            _serve_with_workers(settings, listening)
        else:
            serve_until_stopped(settings, listening, timedelta(seconds=wait_s))
    except SettingsError as error:
        fail(str(error))
    except KeyboardInterrupt:
        pass


def serve_until_stopped(settings: Settings, listening: socket.socket, wait: timedelta = timedelta(seconds=30)) -> None:
    """Serve on ``listening`` until a signal arrives, and close it at the end.

    On SQLite it waits at most ``wait`` for the end of another ``serve`` on the same file.

    Raises:
        SettingsError: When the settings or the database can't be used, or the other ``serve`` still runs.
    """
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(settings, listening, wait))


def _serve_with_workers(settings: Settings, listening: socket.socket) -> None:
    """Serve with several worker processes, each with its own socket; one that ends is replaced.

    Each worker loads the settings again, from the environment.
    """
    from booking_payments.runtime.supervisor import Supervisor, WorkersFailedError

    asyncio.run(_check(settings))
    if settings.rate_limit_enabled and settings.rate_limit_store_url is None:
        log.warning(
            "serve.rate_limits_per_worker", remedy="set RATE_LIMIT_STORE_URL to count the workers' requests together"
        )
    overrides = {"HOST": settings.host, "PORT": settings.port, "WORKERS": settings.workers}
    # The workers inherit the environment, in which the prefixed names override file and other names.
    os.environ.update({f"{PREFIX}{name}": str(value) for name, value in overrides.items()})
    config = _config("booking_payments.asgi:app", factory=True)
    _announce(settings)
    with listening:
        try:
            Supervisor(config, listening, settings.workers, WORKER_STOPS_S).run()
        except WorkersFailedError:
            fail("no worker process could start; see the errors above, and run `booking-payments doctor`")


async def _check(settings: Settings) -> None:
    from booking_payments.runtime.channels import attach_channels
    from booking_payments.runtime.composition import build

    async with build(settings, serving=True) as services:
        await require_ready(services)
        await attach_channels(services)


def _announce(settings: Settings) -> None:
    """Print the address: as a log event in JSON, or as a sentence on standard error for a terminal."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{settings.port}"
    if settings.log_format is LogFormat.JSON:
        log.info("serve.listening", address=address)
        return
    shown = {"the API": "/schema" if settings.docs_enabled else "", "operators": "/console/" * settings.console_enabled}
    pages = ", ".join(f"{what}: {path}" for what, path in shown.items() if path)
    click.echo(f"booking-payments listens on {address}{f' ({pages})' if pages else ''}", err=True)


def _listen(settings: Settings) -> socket.socket:
    try:
        return reserve(settings) if settings.workers > 1 else listen(settings)
    except OSError as error:
        reason = (error.strerror or "unknown host").partition(" (while")[0].lower()
        remedy = "; choose another port with PORT" if error.errno == EADDRINUSE else ""
        fail(f"can't listen on {settings.host} port {settings.port}: {reason}{remedy}")


async def _serve(settings: Settings, listening: socket.socket, wait: timedelta) -> None:
    import uvicorn

    from booking_payments.entrypoints.http.app import create_app
    from booking_payments.runtime.channels import attach_channels
    from booking_payments.runtime.composition import build

    with listening, collecting_traces():
        async with build(settings, serving=True, wait=wait) as services:
            await require_ready(services)
            await attach_channels(services)
            _announce(settings)
            server = uvicorn.Server(_config(create_app(services)))
            collect_garbage_less()
            await server.serve(sockets=[listening])


def _config(app: Any, **more: Any) -> "uvicorn.Config":
    import uvicorn

    from booking_payments.entrypoints.http.protocol import StrictHttpProtocol

    return uvicorn.Config(
        app,
        http=StrictHttpProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
        backlog=BACKLOG,
        **more,
    )
