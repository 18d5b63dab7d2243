"""``disputes list``: what customers' banks claim back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from booking_payments.entrypoints.cli.runner import run_with_services, settings_or_fail
from booking_payments.entrypoints.cli.tables import coloured, table

if TYPE_CHECKING:
    from booking_payments.application.figures import OpenDispute
    from booking_payments.runtime.services import Services


@click.group(short_help="List disputes of customers' banks.")
def disputes() -> None:
    """Disputes: claims and inquiries of customers' banks. They are answered in the gateway's dashboard.

    \b
    Examples:
      booking-payments disputes list
      booking-payments disputes list --open
    """


@disputes.command("list", short_help="List the newest disputes, open ones first.")
@click.option("--open", "only_open", is_flag=True, help="Only disputes that are not over.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the disputes as the HTTP API has them, with their payments."
)
def list_(only_open: bool, as_json: bool) -> None:
    """List the newest disputes: open ones first, by the time until which they have to be answered.

    \b
    Examples:
      booking-payments disputes list --open
      booking-payments disputes list --json
    """
    import msgspec

    async def work(services: Services) -> Sequence[OpenDispute]:
        return await services.payments.disputes()

    found = [
        each for each in run_with_services(settings_or_fail(), work) if each.dispute.status.is_open or not only_open
    ]
    if as_json:
        click.echo(msgspec.json.encode({"items": [_content(each) for each in found]}).decode())
        return
    click.echo("\n".join(_listed(found)))


def _content(each: OpenDispute) -> dict[str, Any]:
    import msgspec

    from booking_payments.presentation import render

    return {
        **msgspec.to_builtins(render.dispute(each.dispute)),
        "currency": each.dispute.amount.currency.code,
        "payment_id": each.payment.id,
        "booking_id": each.payment.booking_id,
        "booking_reference": each.payment.booking_reference,
    }


def _listed(found: Sequence[OpenDispute]) -> Iterator[str]:
    from booking_payments.presentation.formatting import exact, money, words
    from booking_payments.presentation.status_style import STATUS_STYLE

    if not found:
        yield "no disputes"
        return
    yield from table(
        ("answer until", "status", "amount", "withdrawn", "reason", "reference", "id"),
        [
            (
                exact(each.dispute.evidence_due_by)[:16] if each.dispute.evidence_due_by else "-",
                coloured(words(each.dispute.status.value), STATUS_STYLE[each.dispute.status.value]),
                money(each.dispute.amount),
                money(each.dispute.withdrawn),
                words(each.dispute.reason),
                each.payment.booking_reference,
                each.dispute.id,
            )
            for each in found
        ],
    )
