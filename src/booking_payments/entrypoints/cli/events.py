"""``events``: what canceling or moving an event would do, doing it, and its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from booking_payments.entrypoints.cli.bars import progress_bars
from booking_payments.entrypoints.cli.choices import EnumChoice, Moment, OneLineText
from booking_payments.entrypoints.cli.refunds import encoded, operator
from booking_payments.entrypoints.cli.runner import run_with_services, settings_or_fail

if TYPE_CHECKING:
    from booking_payments.application.event_jobs import EventBalance, EventPreview, EventReport
    from booking_payments.domain.refunds import RefundOnCancel
    from booking_payments.ports.event_jobs import EventTotals
    from booking_payments.runtime.services import Services

_json = click.option("--json", "as_json", is_flag=True, help="Print the answer of the HTTP API.")


def _refund(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option ``--refund``; ``default`` is what its help says of leaving it out."""
    return click.option(
        "--refund",
        type=EnumChoice("domain.refunds:RefundOnCancel"),
        help=f"What paid bookings give back: nothing, what their refund policy says, or all. [default: {default}]",
    )


@click.group()
def events() -> None:
    """Events: bookings with the same event_id.

    \b
    Examples:
      booking-payments events preview evening-1
      booking-payments events cancel evening-1 --reason "the hall is flooded"
      booking-payments events preview evening-1 --starts 2030-02-01T20:00:00Z
      booking-payments events reschedule evening-1 --starts 2030-02-01T20:00:00Z
      booking-payments events status evening-1 --csv
    """


@events.command(short_help="Print what canceling or moving an event would do now.")
@click.argument("event_id", metavar="EVENT")
@_refund("full; for an event that is canceled already, what it was canceled with")
@click.option("--starts", type=Moment(), help="Print what moving the event to this start would do instead.")
@click.option(
    "--refund-grace-until", type=Moment(), help="With --starts: until then customers may request a full refund."
)
@_json
def preview(
    event_id: str, refund: str | None, starts: datetime | None, refund_grace_until: datetime | None, as_json: bool
) -> None:
    """Print what canceling an event would do now, or with --starts what moving it would do; changes nothing.

    \b
    Examples:
      booking-payments events preview evening-1 --refund policy
      booking-payments events preview evening-1 --starts 2030-02-01T20:00:00Z \\
          --refund-grace-until 2030-01-15T00:00:00Z
    """
    from booking_payments.presentation import render

    if starts is None and refund_grace_until is not None:
        raise click.UsageError("--refund-grace-until is for moving an event: give --starts, too")
    if starts is not None and refund is not None:
        raise click.UsageError("--refund is for canceling an event, --starts for moving it: leave one of them out")

    async def work(services: Services) -> EventPreview:
        return await services.payments.preview_event(
            event_id, refund=_mode(refund), event_starts_at=starts, refund_grace_until=refund_grace_until
        )

    found = run_with_services(settings_or_fail(), work)
    lines = _preview_lines(found) if starts is None else _move_lines(found, starts, refund_grace_until)
    click.echo(encoded(render.event_preview(found)) if as_json else "\n".join(lines))


def _mode(refund: str | None) -> RefundOnCancel | None:
    from booking_payments.domain.refunds import RefundOnCancel

    return RefundOnCancel(refund) if refund is not None else None


def _move_lines(found: EventPreview, starts: datetime, grace_until: datetime | None) -> Iterator[str]:
    from booking_payments.domain.booking import BookingStatus
    from booking_payments.presentation.formatting import exact

    live = sum(number for status, number in found.bookings.items() if BookingStatus(status).is_live)
    yield _bookings_line(found)
    yield f"bookings that would start {exact(starts)}: {live}; nothing would be refunded by the move itself"
    if grace_until is not None:
        yield f"until {exact(grace_until)} customers whose date changes could request a full refund"
    for totals in found.totals:
        yield _totals_line(totals)
    for booking_id in found.disputed:
        yield f"disputed: {booking_id}"


def _bookings_line(found: EventPreview) -> str:
    return "bookings: " + ", ".join(f"{number} {status}" for status, number in found.bookings.items())


def _preview_lines(found: EventPreview) -> Iterator[str]:
    from booking_payments.presentation.formatting import money

    yield _bookings_line(found)
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
@_refund("full; for an event that is canceled already, what it was canceled with")
@_json
@click.pass_context
def cancel(context: click.Context, event_id: str, reason: str | None, refund: str | None, as_json: bool) -> None:
    """Cancel an event and all its bookings; no new ones are accepted. Run it again, without --refund or with the same
    one, to retry what failed.

    A killed command loses nothing: the same command, or background work, continues it. Exit status 1 while an
    operator has to act, else 0.

    \b
    Examples:
      booking-payments events cancel evening-1 --reason "the hall is flooded"
    """
    with progress_bars() as progress:

        async def work(services: Services) -> EventReport:
            caller = operator("events cancel")
            job = await services.payments.cancel_event(event_id, caller, refund=_mode(refund), reason=reason)
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
@click.option("--csv", "as_csv", is_flag=True, help="Print one line for each booking of the job as CSV.")
@_json
@click.pass_context
def status(context: click.Context, event_id: str, as_csv: bool, as_json: bool) -> None:
    """Print the sums of an event, and the state of its newest job. Exit status 1 while an operator has to act, else 0.
    --csv needs a job: before an event is canceled or moved there is none.

    \b
    Examples:
      booking-payments events status evening-1
      booking-payments events status evening-1 --csv
    """
    from booking_payments.presentation.event_csv import rows

    if as_csv and as_json:
        raise click.UsageError("--csv and --json are two forms of the answer: leave one of them out")

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
