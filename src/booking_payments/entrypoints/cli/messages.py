"""``messages list``, ``messages replay`` and ``messages drop``: what the booking app has not been told yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from booking_payments.entrypoints.cli.house import in_the_house, settings_or_fail

if TYPE_CHECKING:
    from booking_payments.entrypoints.http.services import Services
    from booking_payments.ports.publisher import Delivery

ALL: Final = 1_000_000
"""As many dead letters as are taken up by ``--dead`` at once."""

_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
_ids = click.argument("message_ids", nargs=-1, metavar="[MESSAGE_ID]...")


@click.group(short_help="Messages to the booking app.")
def messages() -> None:
    """Messages to the booking app: what waits, what was given up, and delivering it after all.

    \b
    Examples:
      booking-payments messages list --dead
      booking-payments messages replay --dead
    """


@messages.command("list")
@click.option("--dead", is_flag=True, help="Only dead letters: those that were given up.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most."
)
@_json
def list_(dead: bool, limit: int, as_json: bool) -> None:
    """List messages that were not delivered, oldest first.

    \b
    Examples:
      booking-payments messages list
      booking-payments messages list --dead --json
    """

    async def work(services: Services) -> Sequence[Delivery]:
        return await services.payments.undelivered_messages(dead=dead, limit=limit)

    found = in_the_house(settings_or_fail(), work)
    click.echo(json.dumps({"messages": [_content(each) for each in found]}) if as_json else _listed(found, dead))


def _content(delivery: Delivery) -> dict[str, Any]:
    message = delivery.message
    return {
        "id": message.id,
        "type": message.type,
        "booking_id": message.booking_id,
        "payment_id": message.payment_id,
        "sequence": message.sequence,
        "at": message.at.isoformat(),
        "tries": delivery.tries,
        "next_try_at": delivery.next_try_at.isoformat() if delivery.next_try_at else None,
        "dead_at": delivery.dead_at.isoformat() if delivery.dead_at else None,
        "error": delivery.error,
    }


def _listed(found: Sequence[Delivery], dead: bool) -> str:
    if not found:
        return "no dead letters" if dead else "every message was delivered"
    return "\n".join(_line(each) for each in found)


def _line(delivery: Delivery) -> str:
    message = delivery.message
    state = "dead" if delivery.dead_at else "waits"
    error = f"  ({delivery.error})" if delivery.error else ""
    name = f"{message.id}  {message.booking_id} #{message.sequence}  {message.type}"
    return f"{message.at:%Y-%m-%d %H:%M:%S}  {state:<5}  {name}  {delivery.tries} tries{error}"


@messages.command(short_help="Have dead letters delivered after all.")
@_ids
@click.option("--dead", is_flag=True, help="All dead letters.")
@_json
def replay(message_ids: tuple[str, ...], dead: bool, as_json: bool) -> None:
    """Have dead letters delivered after all, as if they had never been tried.

    Exit status 1 when one of the ids is no dead letter, else 0.

    \b
    Examples:
      booking-payments messages replay msg_1a2b3c
      booking-payments messages replay --dead
    """
    if bool(message_ids) == dead:
        raise click.UsageError("say which messages: ids, or --dead for all dead letters")

    async def work(services: Services) -> tuple[int, int]:
        ids = message_ids or await _dead_ids(services)
        return len(ids), await services.payments.replay_messages(ids)

    _report("are delivered again", in_the_house(settings_or_fail(), work), as_json)


@messages.command(short_help="Give dead letters up for good.")
@_ids
@_json
def drop(message_ids: tuple[str, ...], as_json: bool) -> None:
    """Give dead letters up for good: the booking app never hears of them, and its later messages go on.

    Exit status 1 when one of the ids is no dead letter, else 0.

    \b
    Examples:
      booking-payments messages drop msg_1a2b3c
    """
    if not message_ids:
        raise click.UsageError("say which messages by their ids; see: booking-payments messages list --dead")

    async def work(services: Services) -> tuple[int, int]:
        return len(message_ids), await services.payments.drop_messages(message_ids)

    _report("were dropped", in_the_house(settings_or_fail(), work), as_json)


async def _dead_ids(services: Services) -> Sequence[str]:
    return [each.message.id for each in await services.payments.undelivered_messages(dead=True, limit=ALL)]


def _report(what: str, counts: tuple[int, int], as_json: bool) -> None:
    asked, done = counts
    text = f"{done} of {asked} messages {what}"
    click.echo(json.dumps({"asked": asked, "done": done}) if as_json else text)
    click.get_current_context().exit(0 if asked == done else 1)
