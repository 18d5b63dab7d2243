"""The group of commands, and what ``--help`` shows."""

import os

import click

from booking_payments.entrypoints.cli.lazy import LazyCommands, LazyGroup

COMMANDS = LazyCommands(
    {
        # In a module outside this package, since the command line imports no HTTP.
        "serve": ("booking_payments.serve_command:serve", "Serve the HTTP API and the pages."),
        "worker": ("service:worker", "Do background work until a signal ends it."),
        "migrate": ("migrate:migrate", "Bring the database at DATABASE_URL to the newest schema."),
        "token": ("token:token", "Print a token, signed with JWT_SECRET."),
        "booking": ("booking:booking", "Bookings: what is to be paid for."),
        "bookings": ("bookings:bookings", "Bookings: what is to be paid for."),
        "events": ("events:events", "Events: their sums, canceling and moving them."),
        "payments": ("payments:payments", "Payments: which there are, and what happened to one."),
        "disputes": ("disputes:disputes", "Disputes: claims of customers' banks."),
        "reconcile": ("reconcile:reconcile", "Compare our books with the gateway's."),
        "ledger": ("ledger:ledger", "The ledger: where the money is."),
        "webhooks": ("webhooks:webhooks", "Webhook events: list them, process them again."),
        "messages": ("messages:messages", "Messages to the booking app."),
        "transfers": ("transfers:transfers", "Bank transfers: awaited, received, sent back."),
        "sandbox": ("sandbox:sandbox", "Play Stripe: its HTTP interface, offline."),
        "doctor": ("service:doctor", "Check settings, database, migrations and gateway."),
    }
)


@click.group(
    cls=LazyGroup, commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="booking-payments", prog_name="booking-payments")
@click.pass_context
def main(context: click.Context) -> None:
    """Takes payments for bookings, gives them back, and never twice.

    Settings come from the environment or a .env file; `booking-payments doctor` checks them.

    \b
    Examples:
      booking-payments migrate
      booking-payments serve --port 8080
      booking-payments token --sub ann

    Names are completed by the shell after: eval "$(_BOOKING_PAYMENTS_COMPLETE=bash_source booking-payments)"
    (zsh_source and fish_source for the other shells).
    """
    if os.environ.get("NO_COLOR"):  # no-color.org: whatever it says, unless it is empty
        context.color = False
