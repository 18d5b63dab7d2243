"""The options of ``worker`` and ``doctor``. Their implementation is imported when they run."""

import click


@click.command(short_help="Run background work until a signal ends it.")
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 100),
    help="Number of concurrent jobs; overrides WORKER_CONCURRENCY.  [default: 10]",
)
def worker(concurrency: int | None) -> None:
    """Run background work until a signal ends it; running jobs are finished first.

    Any number of workers on any number of machines share the work of one PostgreSQL database: they settle unknown
    outcomes, deliver messages, expire bookings, retry failed webhooks, reconcile and clean up. While a worker is alive,
    `serve` does none of this. A worker needs a direct connection, or a pooler in session mode.

    \b
    Examples:
      booking-payments worker
      DATABASE_URL=postgresql://... booking-payments worker --concurrency 20
    """
    from booking_payments.entrypoints.cli.worker import run

    run(concurrency)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check settings, database, migrations and gateway. Exit status 0 when no check fails, else 1.

    \b
    Examples:
      booking-payments doctor
      booking-payments doctor --json
    """
    from booking_payments.entrypoints.cli.doctor import report

    context.exit(0 if report(as_json) else 1)
