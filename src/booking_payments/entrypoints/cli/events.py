"""``events``: what canceling or moving an event would do, doing it, and its report."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from booking_payments.entrypoints.cli.bars import progress_bars
from booking_payments.entrypoints.cli.booking import Moment, OneLineText
from booking_payments.entrypoints.cli.choices import EnumChoice
from booking_payments.entrypoints.cli.refunds import encoded, operator
from booking_payments.entrypoints.cli.runner import run_with_services, settings_or_fail

if TYPE_CHECKING:
    from booking_payments.application.event_jobs import EventBalance, EventPreview, EventReport
    from booking_payments.ports.event_jobs import EventTotals
    from booking_payments.runtime.services import Services

_json = click.option("--json", "as_json", is_flag=True, help="Print the answer of the HTTP API.")
_refund = click.option(
    "--refund",
    type=EnumChoice("domain.refunds:RefundOnCancel"),
    default="full",
    show_default=True,
    help="What paid bookings give back: nothing, what their refund policy says, or all.",
)


@click.group()
def events() -> None:
    """Events: bookings with the same event_id.

    \b
    Examples:
      booking-payments events preview evening-1
      booking-payments events cancel evening-1 --reason "the hall is flooded"
      booking-payments events reschedule evening-1 --starts 2030-02-01T20:00:00Z
      booking-payments events status evening-1 --csv
    """


@events.command()
@click.argument("event_id", metavar="EVENT")
@_refund
@_json
def preview(event_id: str, refund: str, as_json: bool) -> None:
    """Print what canceling an event would do now; changes nothing.

    \b
    Examples:
      booking-payments events preview evening-1 --refund policy
    """
    from booking_payments.domain.refunds import RefundOnCancel
    from booking_payments.presentation import render

    async def work(services: Services) -> EventPreview:
        return await services.payments.preview_event(event_id, refund=RefundOnCancel(refund))

    found = run_with_services(settings_or_fail(), work)
    click.echo(encoded(render.event_preview(found)) if as_json else "\n".join(_preview_lines(found)))


def _preview_lines(found: EventPreview) -> Iterator[str]:
    from booking_payments.presentation.formatting import money

    yield "bookings: " + ", ".join(f"{number} {status}" for status, number in found.bookings.items())
    for amount in found.to_refund:
        yield f"to refund: {money(amount)}"
    for balance in found.balances:
        yield _balance_line(balance)
    yield f"holds to release: {found.held}; unpaid: {found.unpaid}; processing: {found.processing}"
    for booking_id in found.disputed:
        yield f"disputed: {booking_id}"


def _balance_line(balance: EventBalance) -> str:
    from booking_payments.application.event_jobs import BalanceUnknown
    from booking_payments.presentation.formatting import money

    if balance.available is None or balance.missing is None:
        settles = balance.unknown is BalanceUnknown.OTHER_CURRENCY
        why = "the account settles in another currency" if settles else "it cannot be read"
        return f"balance at {balance.gateway} in {balance.needed.currency.code}: not known, {why}"
    enough = f"{money(balance.missing)} missing" if balance.missing.minor else "enough"
    return f"balance at {balance.gateway}: {money(balance.available)} available, {enough}"


@events.command()
@click.argument("event_id", metavar="EVENT")
@click.option("--reason", type=OneLineText(), metavar="TEXT", help="Why, for the journal.")
@_refund
@_json
@click.pass_context
def cancel(context: click.Context, event_id: str, reason: str | None, refund: str, as_json: bool) -> None:
    """Cancel an event and all its bookings; no new ones are accepted. Run it again to retry what failed.

    A killed command loses nothing: the same command, or background work, continues it. Exit status 1 while an
    operator has to act, else 0.

    \b
    Examples:
      booking-payments events cancel evening-1 --reason "the hall is flooded"
    """
    from booking_payments.domain.refunds import RefundOnCancel

    with progress_bars() as progress:

        async def work(services: Services) -> EventReport:
            caller = operator("events cancel")
            job = await services.payments.cancel_event(event_id, caller, refund=RefundOnCancel(refund), reason=reason)
            return await services.payments.run_event_job(job, progress)

        report = run_with_services(settings_or_fail(), work)
    _end(context, report, as_json)


@events.command()
@click.argument("event_id", metavar="EVENT")
@click.option("--starts", type=Moment(), required=True, help="The new start of the event.")
@click.option("--refund-grace-until", type=Moment(), help="Until then customers may request a full refund.")
@_json
@click.pass_context
def reschedule(
    context: click.Context, event_id: str, starts: datetime, refund_grace_until: datetime | None, as_json: bool
) -> None:
    """Move an event: all its live bookings get the new date. Exit status 1 while an operator has to act, else 0.

    \b
    Examples:
      booking-payments events reschedule evening-1 --starts 2030-02-01T20:00:00Z \\
          --refund-grace-until 2030-01-15T00:00:00Z
    """
    with progress_bars() as progress:

        async def work(services: Services) -> EventReport:
            job = await services.payments.reschedule_event(
                event_id,
                operator("events reschedule"),
                event_starts_at=starts,
                refund_grace_until=refund_grace_until,
            )
            return await services.payments.run_event_job(job, progress)

        report = run_with_services(settings_or_fail(), work)
    _end(context, report, as_json)


@events.command()
@click.argument("event_id", metavar="EVENT")
@click.option("--csv", "as_csv", is_flag=True, help="Print one line for each booking as CSV.")
@_json
@click.pass_context
def status(context: click.Context, event_id: str, as_csv: bool, as_json: bool) -> None:
    """Print the sums of an event, and the state of its newest job. Exit status 1 while an operator has to act, else 0.

    \b
    Examples:
      booking-payments events status evening-1
      booking-payments events status evening-1 --csv
    """

    from booking_payments.presentation.event_csv import rows

    async def work(services: Services) -> EventReport:
        report = await services.payments.event_report(event_id)
        if as_csv:
            async for row in rows(services.payments.each_event_line(event_id)):
                click.echo(row, nl=False)
        return report

    report = run_with_services(settings_or_fail(), work)
    if as_csv:
        context.exit(1 if report.needs_person else 0)
    _end(context, report, as_json)


def _end(context: click.Context, report: EventReport, as_json: bool) -> None:
    from booking_payments.presentation import render

    click.echo(encoded(render.event_report(report)) if as_json else "\n".join(_report_lines(report)))
    context.exit(1 if report.needs_person else 0)


def _report_lines(report: EventReport) -> Iterator[str]:
    from booking_payments.presentation.formatting import exact

    for totals in report.totals:
        yield _totals_line(totals)
    job = report.job
    if job is None:
        yield "no job"
        return
    what = "canceled" if job.event_starts_at is None else f"moved to {exact(job.event_starts_at)}"
    counts = ", ".join(f"{number} {outcome.value}" for outcome, number in report.counts.items() if number)
    yield f"{what}: {job.state.value}; {counts or 'nothing yet'} of {report.total}"


def _totals_line(totals: EventTotals) -> str:
    from booking_payments.presentation.formatting import money

    return (
        f"captured {money(totals.captured)}, refunded {money(totals.refunded)}, "
        f"pending {money(totals.refund_pending)}, owed {money(totals.owed)}, unpaid {money(totals.unpaid)}"
    )
