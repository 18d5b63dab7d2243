"""Commands that are imported when they are first asked for, so that one command, its help and the completion of names
wait for no other."""

from collections.abc import Iterator, MutableMapping
from importlib import import_module

import click

PACKAGE = __name__.rpartition(".")[0]


class LazyCommands(MutableMapping[str, click.Command]):
    """The commands of a group by name. Names are known at once; a command is imported when it is looked up.

    ``homes`` has, for each name, the module and the variable in it: ``"payments:show"`` for a module of this package,
    a module with dots by its full name.
    """

    def __init__(self, homes: dict[str, str]) -> None:
        self._homes = homes
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            module, _, variable = self._homes[name].partition(":")
            self._loaded[name] = getattr(import_module(module if "." in module else f"{PACKAGE}.{module}"), variable)
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        self._homes.pop(name, None)
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        yield from {**self._homes, **self._loaded}

    def __len__(self) -> int:
        return len({**self._homes, **self._loaded})

    def __contains__(self, name: object) -> bool:
        return name in self._homes or name in self._loaded
