"""The group of commands, and what ``--help`` shows."""

from importlib.metadata import version

import click

from booking_payments.entrypoints.cli.booking import booking
from booking_payments.entrypoints.cli.doctor import doctor
from booking_payments.entrypoints.cli.ledger import ledger
from booking_payments.entrypoints.cli.messages import messages
from booking_payments.entrypoints.cli.migrate import migrate
from booking_payments.entrypoints.cli.payments import payments
from booking_payments.entrypoints.cli.reconcile import reconcile
from booking_payments.entrypoints.cli.sandbox import sandbox
from booking_payments.entrypoints.cli.serve import serve
from booking_payments.entrypoints.cli.token import token
from booking_payments.entrypoints.cli.transfers import transfers
from booking_payments.entrypoints.cli.webhooks import webhooks
from booking_payments.entrypoints.cli.worker import worker


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("booking-payments"), prog_name="booking-payments")
def main() -> None:
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


for command in (
    serve,
    worker,
    migrate,
    token,
    booking,
    payments,
    reconcile,
    ledger,
    webhooks,
    messages,
    transfers,
    sandbox,
    doctor,
):
    main.add_command(command)
