"""``webhooks list`` and ``webhooks replay``: the events received, and processing them again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from booking_payments.entrypoints.cli.bars import progress_bars
from booking_payments.entrypoints.cli.runner import run_with_services, settings_or_fail
from booking_payments.entrypoints.cli.since import since_option
from booking_payments.entrypoints.cli.tables import coloured, limit_option, table

if TYPE_CHECKING:
    from booking_payments.application.replaying import Replayed
    from booking_payments.ports.inbox import InboxEntry, InboxFilter
    from booking_payments.runtime.services import Services

_failed = click.option("--failed", is_flag=True, help="Only those whose processing failed or was interrupted.")
_type = click.option("--type", "type_", metavar="TYPE", help="Only this type, for example refund.updated.")
_since = since_option("Only those received since then.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the events as JSON.")


def _filter(failed: bool, type_: str | None, since: datetime | None) -> InboxFilter:
    from booking_payments.application.replaying import UNFINISHED
    from booking_payments.ports.inbox import InboxFilter

    return InboxFilter(statuses=UNFINISHED if failed else None, type=type_, received_from=since)


@click.group(short_help="List received webhook events and process them again.")
def webhooks() -> None:
    """List received webhook events with their outcome, and process them again.

    \b
    Examples:
      booking-payments webhooks list --failed
      booking-payments webhooks replay --failed
    """


# --- list ------------------------------------------------------------------------------------------------------


@webhooks.command("list")
@_failed
@_type
@_since
@limit_option(50, 10_000)
@_json
def list_(failed: bool, type_: str | None, since: datetime | None, limit: int, as_json: bool) -> None:
    """List events received, newest first.

    \b
    Examples:
      booking-payments webhooks list
      booking-payments webhooks list --failed --since 7d
      booking-payments webhooks list --type refund.updated --limit 200 --json
    """

    async def work(services: Services) -> Sequence[InboxEntry]:
        return await services.payments.list_webhooks(_filter(failed, type_, since), limit)

    entries = run_with_services(settings_or_fail(), work)
    click.echo(_as_json([_content(each) for each in entries]) if as_json else _listed(entries))


def _as_json(items: Sequence[Any]) -> str:
    import msgspec

    return msgspec.json.encode({"items": items}).decode()


def _content(entry: InboxEntry) -> dict[str, Any]:
    """The fields of an event for scripts. The body is left out, since it may contain personal data."""
    return {
        "event_id": entry.event_id,
        "type": entry.type,
        "gateway": entry.gateway,
        "status": entry.status.value,
        "object_id": entry.object_id,
        "reason": entry.reason,
        "tries": entry.tries,
        "api_version": _version(entry),
        "created_at": entry.created_at,
        "received_at": entry.received_at,
        "processed_at": entry.processed_at,
    }


def _version(entry: InboxEntry) -> str | None:
    """The version of the gateway's interface in which the event is written."""
    import msgspec

    try:
        event = msgspec.json.decode(entry.body)
    except msgspec.DecodeError:
        return None
    version = event.get("api_version") if isinstance(event, dict) else None
    return version if isinstance(version, str) else None


def _listed(entries: Sequence[InboxEntry]) -> str:
    if not entries:
        return "no such events were received; what never came is taken in by: booking-payments reconcile"
    head = ("received", "status", "gateway", "event", "type", "reason")
    return "\n".join(table(head, [_row(each) for each in entries]))


def _row(entry: InboxEntry) -> tuple[str, ...]:
    from booking_payments.presentation.formatting import words
    from booking_payments.presentation.status_style import STATUS_STYLE

    status = coloured(words(entry.status.value), STATUS_STYLE[entry.status.value])
    return (
        f"{entry.received_at:%Y-%m-%d %H:%M:%S}",
        status,
        entry.gateway,
        entry.event_id,
        entry.type,
        entry.reason or "",
    )


# --- replay ----------------------------------------------------------------------------------------------------


@webhooks.command(short_help="Process received events again.")
@click.argument("event_ids", nargs=-1, metavar="[EVENT_ID]...")
@_failed
@_type
@_since
@click.option("--dry-run", is_flag=True, help="Only print which events would be processed.")
@_json
@click.pass_context
def replay(
    context: click.Context,
    event_ids: tuple[str, ...],
    failed: bool,
    type_: str | None,
    since: datetime | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Process received events again, oldest first, as if they had just arrived.

    Select events by id, --failed, --type or --since; several conditions must all hold. An event that was processed
    already has no second effect. Exit status 1 when one fails, else 0.

    \b
    Examples:
      booking-payments webhooks replay evt_1a2b3c
      booking-payments webhooks replay --failed
      booking-payments webhooks replay --type charge.refunded --since 2026-03-01 --dry-run
    """
    from attrs import asdict

    from booking_payments.application.callers import Caller

    if not (event_ids or failed or type_ or since):
        raise click.UsageError("say which events: ids, --failed, --type or --since")
    settings = settings_or_fail()
    with progress_bars() as progress:

        async def work(services: Services) -> Sequence[Replayed]:
            which = _filter(failed, type_, since)
            caller = Caller.service("cli", "webhooks replay")
            return await services.payments.replay_webhooks(
                event_ids, which, dry_run=dry_run, progress=progress, caller=caller
            )

        results = run_with_services(settings, work)
    click.echo(_as_json([asdict(each) for each in results]) if as_json else _replayed(results))
    context.exit(1 if any(each.failed for each in results) else 0)


def _replayed(results: Sequence[Replayed]) -> str:
    if not results:
        return "no such events were received: nothing to replay; see: booking-payments webhooks list"
    return "\n".join(table(("outcome", "gateway", "event", "type", "reason"), [_result(each) for each in results]))


def _result(each: Replayed) -> tuple[str, ...]:
    from booking_payments.presentation.formatting import words
    from booking_payments.presentation.status_style import STATUS_STYLE

    if each.outcome == "unknown":
        return "Unknown", "-", each.event_id, "-", "it was not received, or is not among those meant"
    return (
        coloured(words(each.outcome), STATUS_STYLE.get(each.outcome, "")),
        each.gateway,
        each.event_id,
        each.type or "-",
        each.reason or "",
    )
