"""The options of ``serve``, ``worker`` and ``doctor``. Their implementation is imported when they run."""

import click


@click.command(short_help="Serve the HTTP API and the pages.")
@click.option("--host", metavar="ADDRESS", help="Where to listen; over HOST.  [default: 127.0.0.1]")
@click.option(
    "--port", metavar="PORT", type=click.IntRange(1, 65535), help="Where to listen; over PORT.  [default: 8000]"
)
@click.option(
    "--workers", metavar="N", type=click.IntRange(1, 256), help="How many processes; over WORKERS.  [default: 1]"
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
    from booking_payments.entrypoints import lean  # noqa: F401 - before the libraries that it keeps small
    from booking_payments.serving import run

    run(host, port, workers, wait)


@click.command(short_help="Do background work until a signal ends it.")
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 100),
    help="Jobs at the same time; over WORKER_CONCURRENCY.  [default: 10]",
)
def worker(concurrency: int | None) -> None:
    """Do background work until a signal ends it; jobs under way are finished first.

    Any number of workers on any number of machines share the work of one PostgreSQL: they settle unknown outcomes,
    deliver messages, expire bookings, try failed webhooks again, reconcile and clean up. While one of them is alive,
    `serve` leaves all of that to them. A worker needs a direct connection, or a pooler in session mode.

    \b
    Examples:
      booking-payments worker
      DATABASE_URL=postgresql://... booking-payments worker --concurrency 20
    """
    from booking_payments.entrypoints import lean  # noqa: F401 - before the libraries that it keeps small
    from booking_payments.entrypoints.cli.worker import run

    run(concurrency)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check settings, database, migrations and gateway. Exit status 0 when all is well, else 1.

    \b
    Examples:
      booking-payments doctor
      booking-payments doctor --json
    """
    from booking_payments.entrypoints import lean  # noqa: F401 - before the libraries that it keeps small
    from booking_payments.entrypoints.cli.doctor import report

    context.exit(0 if report(as_json) else 1)
