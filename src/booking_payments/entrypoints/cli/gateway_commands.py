"""The commands of gateways that other distributions bring, found by the entry points of their plugins."""

from collections.abc import Mapping

import click

GROUP = "booking_payments.gateways"
"""As in ``ports.gateway_plugin``, which help and completion don't import."""


def commands_of_installed_gateways() -> Mapping[str, tuple[str, str]]:
    """Return where each command is, and its short help, by name, as ``LazyCommands`` has them.

    Plugins of this package are not imported: their commands are in the table of ``main``. A plugin that can't be
    imported is named on standard error, and its commands are missing.
    """
    from importlib.metadata import entry_points

    found = dict[str, tuple[str, str]]()
    for each in entry_points(group=GROUP):
        if each.value.startswith("booking_payments."):
            continue
        try:
            commands = each.load().commands
        except Exception as error:  # any error of the other distribution must not break --help
            click.echo(f"the gateway {each.name} can't be imported: {type(error).__name__}", err=True)
            continue
        found |= {name: (command.target, command.help) for name, command in commands.items()}
    return found
