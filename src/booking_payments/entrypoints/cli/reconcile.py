"""``reconcile``: compares stored payments with the gateway."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from booking_payments.entrypoints.cli.bars import progress_bars
from booking_payments.entrypoints.cli.runner import run_with_services, settings_or_fail
from booking_payments.entrypoints.cli.since import since_option

if TYPE_CHECKING:
    from booking_payments.application.findings import Finding
    from booking_payments.application.reconcile import ComparedGateway, Reconciliation
    from booking_payments.runtime.services import Services


@click.command(short_help="Compare stored payments with the gateway and repair differences.")
@since_option("Compare payments changed since then; payments that are not final are always compared.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def reconcile(context: click.Context, since: datetime | None, as_json: bool) -> None:
    """Compare stored payments with the gateway: all that are not final, and those of the last 30 days.

    First, operations with an unknown outcome are settled (this may wait for the lease of a process that died), and
    missed events are processed. Differences that can be repaired are repaired and printed. Those that wait for the end
    of a dispute or for the gateway are printed as waiting. A gateway that can't be read is printed; the others are
    compared. Exit status 1 when a difference needs an operator or a gateway can't be read, else 0.

    \b
    Examples:
      booking-payments reconcile
      booking-payments reconcile --since 7d
      booking-payments reconcile --since 2026-03-01 --json
    """
    from booking_payments.application.callers import Caller

    settings = settings_or_fail()
    with progress_bars() as progress:

        async def work(services: Services) -> Reconciliation:
            return await services.payments.reconcile(since, progress, caller=Caller.service("cli", "reconcile"))

        found = run_with_services(settings, work)
    click.echo(json.dumps(_as_json(found)) if as_json else _as_text(found))
    context.exit(1 if found.left else 0)


def _as_json(found: Reconciliation) -> dict[str, Any]:
    from attrs import asdict

    counted = ("payments", "intents", "refunds", "disputes", "foreign", "events")
    return {
        "ok": not found.left,
        "since": found.since.isoformat(),
        "until": found.until.isoformat(),
        "compared": {name: getattr(found, name) for name in counted},
        "gateways": [asdict(each) for each in found.gateways],
        "healed": [asdict(each) for each in found.healed],
        "left": [asdict(each) for each in found.left],
        "waiting": [asdict(each) for each in found.waiting],
    }


def _as_text(found: Reconciliation) -> str:
    return "\n".join(
        [
            *_section("healed", found.healed),
            *_section("left", found.left),
            *_section("waiting", found.waiting),
            *(_compared_with(each) for each in found.gateways if len(found.gateways) > 1),
            _summary(found),
        ]
    )


def _compared_with(gateway: ComparedGateway) -> str:
    counts = f"{gateway.intents} intents, {gateway.refunds} refunds and {gateway.disputes} disputes"
    ours = f" ({gateway.foreign} intents are not ours)" if gateway.foreign else ""
    unread = f"; it can't be read ({gateway.error})" if gateway.error else ""
    return f"gateway  {gateway.name}: compared {counts}{ours}{unread}"


def _section(name: str, findings: Sequence[Finding]) -> list[str]:
    return [f"{name:<7}  {each.code:<22} {_subject(each)}{each.text}" for each in findings]


def _subject(finding: Finding) -> str:
    names = [name for name in (finding.reference, finding.payment_id, finding.gateway_id) if name]
    return f"{' '.join(names)}: " if names else ""


def _summary(found: Reconciliation) -> str:
    compared = (
        f"compared {found.payments} payments with {found.intents} intents, {found.refunds} refunds and "
        f"{found.disputes} disputes since {found.since:%Y-%m-%d %H:%M} UTC"
    )
    foreign = f" ({found.foreign} intents are not ours)" if found.foreign else ""
    events = f"; {found.events} events taken in" if found.events else ""
    return (
        f"{compared}{foreign}{events}; healed {len(found.healed)}, left {len(found.left)}, waiting {len(found.waiting)}"
    )
