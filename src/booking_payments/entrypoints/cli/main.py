"""The group of commands and its help text."""

import os

import click

from booking_payments.entrypoints.cli.gateway_commands import commands_of_installed_gateways
from booking_payments.entrypoints.cli.lazy import LazyCommands, LazyGroup

COMMANDS = LazyCommands(
    {
        # In a module outside this package, since the command line imports no HTTP.
        "serve": ("booking_payments.serve_command:serve", "Serve the HTTP API and the pages."),
        "worker": ("service:worker", "Run background work until a signal ends it."),
        "migrate": ("migrate:migrate", "Upgrade the database at DATABASE_URL to the newest schema."),
        "token": ("token:token", "Print a token, signed with JWT_SECRET."),
        "booking": ("booking:booking", "Register a booking that is to be paid."),
        "bookings": ("bookings:bookings", "Find, show, register, amend and cancel bookings."),
        "events": ("events:events", "Events: bookings with the same event_id."),
        "payments": ("payments:payments", "List and show payments, refund, capture, cancel and record them."),
        "disputes": ("disputes:disputes", "List disputes of customers' banks."),
        "reconcile": ("reconcile:reconcile", "Compare stored payments with the gateway and repair differences."),
        "ledger": ("ledger:ledger", "Check the ledger."),
        "export": ("export:export", "Write payments, refunds, disputes or postings as CSV."),
        "webhooks": ("webhooks:webhooks", "List received webhook events and process them again."),
        "messages": ("messages:messages", "List, retry and discard messages to the booking app; manage channels."),
        "console": ("console:console", "List and end the sessions of operators in the console."),
        "transfers": ("transfers:transfers", "List bank transfers and record their receipt and refunds."),
        "sandbox": ("sandbox:sandbox", "Run an offline emulator of Stripe's HTTP API."),
        "doctor": ("service:doctor", "Check settings, database, migrations and gateway."),
    },
    commands_of_installed_gateways,
)


@click.group(
    cls=LazyGroup, commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="booking-payments", prog_name="booking-payments")
@click.pass_context
def main(context: click.Context) -> None:
    """Takes and refunds payments for bookings, each exactly once.

    Settings come from the environment or a .env file; `booking-payments doctor` checks them.

    \b
    Examples:
      booking-payments migrate
      booking-payments serve --port 8080
      booking-payments token --sub ann

    To complete names in bash, run: eval "$(_BOOKING_PAYMENTS_COMPLETE=bash_source booking-payments)"
    (zsh_source in zsh, fish_source in fish).
    """
    if os.environ.get("NO_COLOR"):  # no-color.org: any value but the empty one
        context.color = False
