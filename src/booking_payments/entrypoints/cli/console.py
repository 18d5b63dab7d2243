"""``console sessions list`` and ``end``: which operators are logged in to the console, and logging them out."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from booking_payments.entrypoints.cli.runner import run_with_services, settings_or_fail
from booking_payments.entrypoints.cli.tables import table

if TYPE_CHECKING:
    from booking_payments.ports.console_sessions import ConsoleSession
    from booking_payments.runtime.services import Services

_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")


@click.group(short_help="List and end the sessions of operators in the console.")
def console() -> None:
    """The operators' console.

    \b
    Examples:
      booking-payments console sessions list
      booking-payments console sessions end olga
    """


@console.group(short_help="List and end sessions.")
def sessions() -> None:
    """The browsers in which operators are logged in to the console.

    \b
    Examples:
      booking-payments console sessions list
      booking-payments console sessions end olga
      booking-payments console sessions end --all
    """


@sessions.command("list", short_help="List the sessions that have not ended.")
@_json
def list_(as_json: bool) -> None:
    """List the sessions of all operators that have not ended, the one used last first.

    \b
    Examples:
      booking-payments console sessions list
      booking-payments console sessions list --json
    """
    import msgspec

    async def work(services: Services) -> Sequence[ConsoleSession]:
        return await services.operator_sessions.of_everybody()

    found = run_with_services(settings_or_fail(), work)
    if as_json:
        click.echo(msgspec.json.encode({"items": [_content(each) for each in found]}).decode())
    elif found:
        head = ("subject", "name", "log-in", "role", "device", "logged in", "last used", "ends at the latest")
        click.echo("\n".join(table(head, [_row(each) for each in found])))
    else:
        click.echo("nobody is logged in to the console")


def _content(each: ConsoleSession) -> dict[str, Any]:
    return {
        "subject": each.operator.subject,
        "issuer": each.operator.issuer or None,
        "way": each.operator.way.value,
        "name": each.operator.name,
        "email": each.operator.email,
        "role": _role(each),
        "device": each.device,
        "started_at": each.started_at,
        "last_used_at": each.last_used_at,
        "ends_at": each.ends_at,
    }


def _role(each: ConsoleSession) -> str:
    return "payments:operate" if each.may_act else "payments:read"


def _row(each: ConsoleSession) -> tuple[str, ...]:
    from booking_payments.presentation.formatting import exact

    name = each.operator.name or each.operator.email or "-"
    times = (exact(at)[:16] for at in (each.started_at, each.last_used_at, each.ends_at))
    return (
        each.operator.subject,
        name,
        each.operator.issuer or each.operator.way.value,
        _role(each),
        each.device,
        *times,
    )


@sessions.command(short_help="Log an operator out of all browsers.")
@click.argument("subject", required=False, metavar="[SUBJECT]")
@click.option("--issuer", metavar="URL", help="Only the operator of this issuer, where several have the same subject.")
@click.option("--all", "everybody", is_flag=True, help="All operators.")
@_json
def end(subject: str | None, issuer: str | None, everybody: bool, as_json: bool) -> None:
    """Log an operator out of all browsers. SUBJECT is the one in the list: the "sub" of the token, or the provider's id
    of the account. Who ends the sessions is recorded in the audit trail.

    The operator can log in again with a token that is valid, or with an account that has a role at the provider. To
    keep somebody out, take the role away first.

    Exit status 1 when the operator is not logged in, else 0.

    \b
    Examples:
      booking-payments console sessions end olga
      booking-payments console sessions end 248289761001 --issuer https://id.example.com
      booking-payments console sessions end --all
    """
    from booking_payments.application.callers import Caller
    from booking_payments.application.console_sessions import ChosenOperators

    if bool(subject) == everybody:
        raise click.UsageError("say whose sessions: a subject, or --all; see: booking-payments console sessions list")
    chosen = ChosenOperators(subject=subject, issuer=issuer)
    caller = Caller.operator_of(os.environ.get("USER") or "cli", "console sessions end")

    async def work(services: Services) -> int:
        return await services.operator_sessions.end_of_others(caller, chosen)

    ended = run_with_services(settings_or_fail(), work)
    click.echo(json.dumps({"ended": ended}) if as_json else f"{ended} {'session' if ended == 1 else 'sessions'} ended")
    click.get_current_context().exit(0 if ended or everybody else 1)
