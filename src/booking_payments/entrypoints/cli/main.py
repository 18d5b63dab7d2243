"""The group of commands, and what ``--help`` shows."""

import os

import click

from booking_payments.entrypoints.cli.lazy import LazyCommands

COMMANDS = LazyCommands(
    {
        # In a module outside this package, since the command line imports no HTTP.
        "serve": "booking_payments.serve_command:serve",
        "worker": "service:worker",
        "migrate": "migrate:migrate",
        "token": "token:token",
        "booking": "booking:booking",
        "bookings": "bookings:bookings",
        "payments": "payments:payments",
        "disputes": "disputes:disputes",
        "reconcile": "reconcile:reconcile",
        "ledger": "ledger:ledger",
        "webhooks": "webhooks:webhooks",
        "messages": "messages:messages",
        "transfers": "transfers:transfers",
        "sandbox": "sandbox:sandbox",
        "doctor": "service:doctor",
    }
)


@click.group(commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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
