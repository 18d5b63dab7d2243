"""``messages``: undelivered messages to the booking app, and the channels on which they are delivered."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from booking_payments.entrypoints.cli.runner import run_with_services, settings_or_fail
from booking_payments.entrypoints.cli.tables import coloured, limit_option, table

if TYPE_CHECKING:
    from booking_payments.application.callers import Caller
    from booking_payments.application.channels import ChannelState, ChannelStates
    from booking_payments.ports.publisher import MessageDelivery
    from booking_payments.runtime.services import Services

ALL: Final = 1_000_000
"""As many dead letters as are taken up by ``--dead`` at once."""

_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
_channel = click.option("--channel", help="Only on this channel, such as webhook or python:app.")
_ids = click.argument("message_ids", nargs=-1, metavar="[MESSAGE_ID]...")


@click.group(short_help="List, retry and discard messages to the booking app; manage channels.")
def messages() -> None:
    """List, retry and discard messages to the booking app, and manage the channels that deliver them.

    \b
    Examples:
      booking-payments messages list --dead
      booking-payments messages replay --dead
      booking-payments messages channels list
    """


@messages.command("list", short_help="List undelivered messages.")
@click.option("--dead", is_flag=True, help="Only dead letters: those whose last try failed.")
@limit_option(50, 10_000)
@_channel
@_json
def list_(dead: bool, limit: int, channel: str | None, as_json: bool) -> None:
    """List messages that wait, oldest first, once for each channel that does not have them yet.

    \b
    Examples:
      booking-payments messages list
      booking-payments messages list --dead --json
    """
    import msgspec

    async def work(services: Services) -> tuple[Sequence[MessageDelivery], ChannelStates]:
        found = await services.payments.undelivered_messages(dead=dead, limit=limit, channel=channel)
        return found, await services.payments.channel_states()

    found, states = run_with_services(settings_or_fail(), work)
    if as_json:
        names = [each.channel.name for each in states.channels]
        content = {"items": [_content(each) for each in found], "channels": names, "discarded": states.discarded}
        click.echo(msgspec.json.encode(content))
    else:
        click.echo(_listed(found, dead, states))


def _content(delivery: MessageDelivery) -> dict[str, Any]:
    """The message as its receiver gets it, with the state of its delivery."""
    return {
        **delivery.message.to_dict(),
        "channel": delivery.channel,
        "tries": delivery.tries,
        "next_try_at": delivery.next_try_at,
        "dead_at": delivery.dead_at,
        "error": delivery.error,
    }


def _listed(found: Sequence[MessageDelivery], dead: bool, states: ChannelStates) -> str:
    if not found:
        return _nothing_listed(dead, states)
    head = ("written", "status", "channel", "type", "booking", "no.", "tries", "id", "last error")
    return "\n".join(table(head, [_row(each) for each in found]))


def _nothing_listed(dead: bool, states: ChannelStates) -> str:
    """Print that every message was delivered only if that is so."""
    if dead:
        return "no dead letters"
    if states.waiting:
        return f"no message waits here; {states.waiting} wait on other channels"
    discarded = f"; {states.discarded} were discarded" if states.discarded else ""
    if not states.channels:
        return f"no message waits{discarded}; no channel is recorded, so messages will wait for the first one"
    return f"no message waits{discarded}" if discarded else "every message was delivered"


def _row(delivery: MessageDelivery) -> tuple[str, ...]:
    from booking_payments.presentation.formatting import exact

    message = delivery.message
    return (
        exact(message.at)[:19],
        coloured("Dead letter", "bad") if delivery.dead_at else coloured("Waiting", "warn"),
        delivery.channel or "the first one",
        message.type,
        message.booking_id,
        str(message.sequence),
        str(delivery.tries),
        message.id,
        delivery.error or "",
    )


@messages.command(short_help="Deliver dead letters again.")
@_ids
@click.option("--dead", is_flag=True, help="All dead letters.")
@_channel
@_json
def replay(message_ids: tuple[str, ...], dead: bool, channel: str | None, as_json: bool) -> None:
    """Deliver dead letters again, with a new series of tries. The operator is recorded in the audit trail.

    Exit status 1 when one of the ids is not a dead letter, else 0.

    \b
    Examples:
      booking-payments messages replay msg_1a2b3c
      booking-payments messages replay --dead
    """
    if bool(message_ids) == dead:
        raise click.UsageError("say which messages: ids, or --dead for all dead letters")

    async def work(services: Services) -> tuple[int, int]:
        ids = message_ids or await _dead_ids(services, channel)
        return len(ids), await services.payments.replay_messages(ids, _operator("replay"), channel=channel)

    _report("are delivered again", run_with_services(settings_or_fail(), work), as_json)


@messages.command(short_help="Discard dead letters.")
@_ids
@_channel
@_json
def drop(message_ids: tuple[str, ...], channel: str | None, as_json: bool) -> None:
    """Discard dead letters: the booking app does not receive them, and later messages are delivered. The operator is
    recorded in the audit trail.

    Exit status 1 when one of the ids is not a dead letter, else 0.

    \b
    Examples:
      booking-payments messages drop msg_1a2b3c
    """
    if not message_ids:
        raise click.UsageError("say which messages by their ids; see: booking-payments messages list --dead")

    async def work(services: Services) -> tuple[int, int]:
        dropped = await services.payments.drop_messages(message_ids, _operator("drop"), channel=channel)
        return len(message_ids), dropped

    _report("were discarded", run_with_services(settings_or_fail(), work), as_json)


async def _dead_ids(services: Services, channel: str | None) -> Sequence[str]:
    dead = await services.payments.undelivered_messages(dead=True, limit=ALL, channel=channel)
    return list(dict.fromkeys(each.message.id for each in dead))


def _operator(command: str) -> Caller:
    from booking_payments.application.callers import Caller

    return Caller.operator_of(os.environ.get("USER") or "cli", f"messages {command}")


def _report(what: str, counts: tuple[int, int], as_json: bool) -> None:
    asked, done = counts
    text = f"{done} of {asked} messages {what}"
    click.echo(json.dumps({"asked": asked, "done": done}) if as_json else text)
    click.get_current_context().exit(0 if asked == done else 1)


# --- channels --------------------------------------------------------------------------------------------------

_name = click.argument("name", metavar="CHANNEL")


@messages.group(short_help="The channels on which messages go out.")
def channels() -> None:
    """The channels on which messages go out: webhook, broker, python:NAME and pull:NAME.

    \b
    Examples:
      booking-payments messages channels list
      booking-payments messages channels add python:app
      booking-payments messages channels remove python:app --force
    """


@channels.command("list", short_help="List the recorded channels.")
@_json
def list_channels(as_json: bool) -> None:
    """List the recorded channels and the number of messages that wait on each.

    \b
    Examples:
      booking-payments messages channels list
      booking-payments messages channels list --json
    """
    import msgspec

    async def work(services: Services) -> ChannelStates:
        return await services.payments.channel_states()

    states = run_with_services(settings_or_fail(), work)
    if as_json:
        content = [_channel_content(each) for each in states.channels]
        counts = {"unassigned": states.unassigned, "discarded": states.discarded}
        click.echo(msgspec.json.encode({"items": content, **counts}))
    elif states.channels:
        head = ("channel", "waiting", "oldest", "dead letters", "discarded", "last alive")
        click.echo("\n".join(table(head, [_channel_row(each) for each in states.channels])))
    else:
        click.echo(f"no channel is recorded; {states.unassigned} messages wait for the first one")


def _channel_row(state: ChannelState) -> tuple[str, ...]:
    from booking_payments.presentation.formatting import exact

    channel, backlog = state.channel, state.backlog
    alive = exact(channel.last_alive_at)[:19] if channel.last_alive_at else "never yet"
    return (
        channel.name,
        str(backlog.waiting),
        exact(backlog.oldest_at)[:19] if backlog.oldest_at else "-",
        coloured(str(backlog.dead), "bad") if backlog.dead else "0",
        str(backlog.discarded),
        coloured(alive, "bad") if state.silent_since else alive,
    )


def _channel_content(state: ChannelState) -> dict[str, Any]:
    channel, backlog = state.channel, state.backlog
    return {
        "name": channel.name,
        "added_at": channel.added_at,
        "last_alive_at": channel.last_alive_at,
        "silent": state.silent_since is not None,
        "waiting": backlog.waiting,
        "dead": backlog.dead,
        "discarded": backlog.discarded,
        "oldest_at": backlog.oldest_at,
    }


def channel_line(state: ChannelState) -> str:
    """Describe the channel: number and age of waiting messages, and when a process was last alive on it."""
    channel, backlog = state.channel, state.backlog
    oldest = f", the oldest since {backlog.oldest_at:%Y-%m-%d %H:%M:%S}" if backlog.oldest_at else ""
    counted = [f"{backlog.waiting} wait{oldest}", f"{backlog.dead} dead", f"{backlog.discarded} discarded"]
    alive = f"alive at {channel.last_alive_at:%Y-%m-%d %H:%M:%S}" if channel.last_alive_at else "never alive yet"
    return f"{channel.name}: {'; '.join([*counted, alive])}"


@channels.command("add", short_help="Record a channel.")
@_name
@click.option(
    "--discard-waiting",
    is_flag=True,
    help="Discard messages that were written while no channel was recorded, instead of delivering them.",
)
@_json
def add(name: str, discard_waiting: bool, as_json: bool) -> None:
    """Record a channel, which gets every message from now on.

    \b
    Examples:
      booking-payments messages channels add webhook
      booking-payments messages channels add python:app
    """

    async def work(services: Services) -> bool:
        return await services.payments.add_channel(name, _operator("channels add"), discard_waiting=discard_waiting)

    added = run_with_services(settings_or_fail(), work)
    text = f"{name} is recorded" if added else f"{name} was recorded before"
    click.echo(json.dumps({"name": name, "added": added}) if as_json else text)


@channels.command("remove", short_help="Remove a channel.")
@_name
@click.option("--force", is_flag=True, help="Discard the messages that wait on it.")
@_json
def remove(name: str, force: bool, as_json: bool) -> None:
    """Remove a channel. While messages wait on it, this requires --force, which discards them.

    \b
    Examples:
      booking-payments messages channels remove python:app
      booking-payments messages channels remove webhook --force
    """

    async def work(services: Services) -> int:
        return await services.payments.remove_channel(name, _operator("channels remove"), force=force)

    discarded = run_with_services(settings_or_fail(), work)
    text = f"{name} is removed; {discarded} messages were discarded"
    click.echo(json.dumps({"name": name, "discarded": discarded}) if as_json else text)
