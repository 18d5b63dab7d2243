"""The command ``serve`` and its options. The HTTP API is imported when it runs, so that help and completion are quick.

It is outside of ``entrypoints.cli`` because it needs HTTP, which the command line does not import; the command line
finds it by name.
"""

import click


@click.command(short_help="Serve the HTTP API and the pages.")
@click.option("--host", metavar="ADDRESS", help="Address to listen on; overrides HOST.  [default: 127.0.0.1]")
@click.option(
    "--port", metavar="PORT", type=click.IntRange(1, 65535), help="Port to listen on; overrides PORT.  [default: 8000]"
)
@click.option(
    "--workers", metavar="N", type=click.IntRange(1, 256), help="Number of processes; overrides WORKERS.  [default: 1]"
)
@click.option(
    "--wait",
    metavar="SECONDS",
    type=click.IntRange(0, 3600),
    default=30,
    show_default=True,
    help="How long to wait for another serve on the same SQLite file to end.",
)
def serve(host: str | None, port: int | None, workers: int | None, wait: int) -> None:
    """Serve the HTTP API until a signal ends it; requests in flight are finished first.

    \b
    Examples:
      booking-payments serve
      booking-payments serve --port 8080
      HOST=0.0.0.0 JWT_SECRET=... booking-payments serve
    """
    from booking_payments.serving import run

    run(host, port, workers, wait)
