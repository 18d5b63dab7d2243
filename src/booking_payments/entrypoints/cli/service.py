"""The options of ``worker`` and ``doctor``. Their implementation is imported when they run."""

import click


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
    from booking_payments.entrypoints.cli.doctor import report

    context.exit(0 if report(as_json) else 1)
