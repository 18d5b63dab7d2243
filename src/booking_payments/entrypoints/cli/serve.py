"""``serve``: the HTTP API."""

import asyncio
import socket
from typing import Final

import click
import structlog
import uvicorn

from booking_payments.entrypoints.cli.house import fail, require_ready, settings_or_fail
from booking_payments.settings import Settings, SettingsError

BACKLOG: Final = 2048
SHUTDOWN_S: Final = 30
"""How long requests in flight may go on after a signal; longer than a gateway call with its retries takes usually."""

log = structlog.get_logger("booking_payments.serve")


@click.command()
@click.option("--host", help="Where to listen; over HOST.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Where to listen; over PORT.  [default: 8000]")
@click.option("--workers", type=click.IntRange(1, 256), help="How many processes; over WORKERS.  [default: 1]")
def serve(host: str | None, port: int | None, workers: int | None) -> None:
    """Serve the HTTP API until a signal ends it; requests in flight are finished first.

    \b
    Examples:
      booking-payments serve
      booking-payments serve --port 8080
      HOST=0.0.0.0 JWT_SECRET=... booking-payments serve
    """
    settings = settings_or_fail({"HOST": host, "PORT": port, "WORKERS": workers})
    if settings.workers > 1:
        fail("WORKERS: this version serves with one process; start it again on another port for more")
    listening = _listen(settings)
    if settings.uses_development_jwt_secret:
        log.warning("tokens are signed with the development secret; set JWT_SECRET before anybody else can call")
    try:
        serve_until_stopped(settings, listening)
    except SettingsError as error:
        fail(str(error))
    except KeyboardInterrupt:
        pass


def serve_until_stopped(settings: Settings, listening: socket.socket) -> None:
    """Serve on ``listening``, which is closed at the end. Raises ``SettingsError``."""
    asyncio.run(_serve(settings, listening))


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        fail(f"can't listen on {settings.host} port {settings.port}: {error.strerror or 'unknown host'}")


async def _serve(settings: Settings, listening: socket.socket) -> None:
    from booking_payments.container import build
    from booking_payments.entrypoints.http.app import create_app

    with listening:
        async with build(settings) as services:
            await require_ready(services)
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            click.echo(f"booking-payments listens on http://{host}:{settings.port} (API: /schema)", err=True)
            await uvicorn.Server(_config(create_app(services))).serve(sockets=[listening])


def _config(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
