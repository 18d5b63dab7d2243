"""``export``: payments, refunds, disputes and postings as CSV."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import click

from booking_payments.entrypoints.cli.choices import EnumChoice
from booking_payments.entrypoints.cli.conditions import payment_conditions
from booking_payments.entrypoints.cli.runner import run_with_services, settings_or_fail

if TYPE_CHECKING:
    from booking_payments.ports.payments import PaymentFilter
    from booking_payments.runtime.services import Services


@click.command()
@click.argument("kind", type=EnumChoice("application.exporting:ExportKind"))
@payment_conditions
@click.option(
    "--output",
    "-o",
    type=click.File("w", encoding="utf-8", lazy=True, atomic=True),
    default="-",
    metavar="FILE",
    help="The file to write; it is replaced only when complete; standard output by default.",
)
def export(kind: str, which: PaymentFilter, output: IO[str]) -> None:
    """Write payments, refunds, disputes or postings as CSV.

    The rows of the newest payment come first. --since and --until are compared with the time of each row: when a
    payment was begun, a refund requested, a dispute opened, an amount posted.

    \b
    Examples:
      booking-payments export payments --since 2026-11-01 --until 2026-12-01
      booking-payments export postings --since 30d --output postings.csv
      booking-payments export refunds --event hamlet-0301
    """
    from booking_payments.application.exporting import ExportKind, export_columns
    from booking_payments.presentation.tables import csv_lines

    exported = ExportKind(kind)

    async def work(services: Services) -> None:
        output.write(csv_lines([export_columns(exported)]))
        async for group in services.payments.export_rows(exported, which):
            output.write(csv_lines(group))

    run_with_services(settings_or_fail(), work)
