"""``ledger check``: checks that journals, snapshots and postings agree."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from booking_payments.entrypoints.cli.bars import progress_bars
from booking_payments.entrypoints.cli.runner import run_with_services, settings_or_fail
from booking_payments.entrypoints.cli.tables import table

if TYPE_CHECKING:
    from booking_payments.application.bookkeeping import LedgerCheck
    from booking_payments.runtime.services import Services


@click.group()
def ledger() -> None:
    """Check the ledger.

    \b
    Examples:
      booking-payments ledger check
    """


@ledger.command(short_help="Check that journals, snapshots and postings agree.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def check(context: click.Context, as_json: bool) -> None:
    """Check that every posting balances, and that snapshots and postings follow from the journals.

    Changes nothing, and may run while the service runs. Exit status 0 when they agree, else 1.

    \b
    Examples:
      booking-payments ledger check
      booking-payments ledger check --json
    """
    settings = settings_or_fail()
    with progress_bars() as progress:

        async def work(services: Services) -> LedgerCheck:
            return await services.payments.check_ledger(progress)

        found = run_with_services(settings, work)
    click.echo(json.dumps(_as_json(found)) if as_json else _as_text(found))
    context.exit(0 if found.agrees else 1)


def _as_json(found: LedgerCheck) -> dict[str, Any]:
    from attrs import asdict

    return {
        "ok": found.agrees,
        "payments": found.payments,
        "events": found.events,
        "postings": found.postings,
        "balances": [
            {"gateway": gateway, "account": account.value, "currency": currency.code, "balance": amount.major()}
            for (gateway, account, currency), amount in sorted(found.balances.items(), key=_order)
        ],
        "faults_found": found.faults_found,
        "faults": [asdict(each) for each in found.faults],
    }


def _as_text(found: LedgerCheck) -> str:
    from booking_payments.presentation.formatting import money, words

    lines = [f"FAULT  {each.payment_id}  {each.code}: {each.text}" for each in found.faults]
    more = found.faults_found - len(found.faults)
    lines += [f"and {more} more"] if more else []
    balances = [
        (gateway, words(account.value), money(amount))
        for (gateway, account, _), amount in sorted(found.balances.items(), key=_order)
    ]
    lines += table(("gateway", "account", "balance"), balances) if balances else []
    verdict = "the books agree" if found.agrees else f"{found.faults_found} faults"
    read = f"{found.payments} payments, {found.events} events and {found.postings} postings checked"
    return "\n".join([*lines, f"{read}: {verdict}"])


def _order(item: tuple[tuple[str, Any, Any], Any]) -> tuple[str, str, str]:
    (gateway, account, currency), _ = item
    return gateway, currency.code, account.value
