"""The gateway plugins that are installed, found by name."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final

from booking_payments.ports.gateway_plugin import GROUP, GatewayPlugin

_OURS: Final = "booking_payments.adapters.gateways"


@cache
def plugin_named(name: str) -> GatewayPlugin | None:
    """Return the plugin of the gateway ``name``; None when no such gateway is installed.

    Those of this package are looked up first, by the folder of their name: reading the entry points of all installed
    distributions takes tens of milliseconds, and no other distribution can replace one of our gateways.
    """
    if own := _of_this_package(name):
        return own
    for each in entry_points(group=GROUP, name=name):
        found: GatewayPlugin = each.load()
        return found
    return None


def _of_this_package(name: str) -> GatewayPlugin | None:
    module = f"{_OURS}.{name}.plugin"
    try:
        plugin: GatewayPlugin = import_module(module).PLUGIN
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise  # a module that the plugin imports is missing
        return None
    return plugin


@cache
def installed_gateways() -> tuple[str, ...]:
    """Return the names of all installed gateways, in alphabetical order. They are looked up once in a process."""
    return tuple(sorted(entry_points(group=GROUP).names))


def installed_plugins() -> Mapping[str, GatewayPlugin]:
    """Return the plugins of all installed gateways, by name."""
    found = {name: plugin_named(name) for name in installed_gateways()}
    return {name: plugin for name, plugin in found.items() if plugin is not None}
