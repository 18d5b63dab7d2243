"""Commands that are imported when they are first run or completed, so that help and completion import only the commands
that they concern."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

PACKAGE: Final = __name__.rpartition(".")[0]


class LazyCommands(MutableMapping[str, click.Command]):
    """The commands of a group by name. Names are known at once; a command is imported when it is looked up.

    ``homes`` has, for each name, the module and the variable in it (``"payments:show"`` for a module of this package, a
    module with dots by its full name), and the short help of the command. ``elsewhere`` returns the same for commands
    that other distributions bring, with full names of modules; it is called when all commands are listed, and for a
    name that ``homes`` lacks.
    """

    def __init__(
        self,
        homes: Mapping[str, tuple[str, str]],
        elsewhere: Callable[[], Mapping[str, tuple[str, str]]] = dict,
    ) -> None:
        self._homes = dict(homes)
        self._elsewhere = elsewhere
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name in self._loaded:
            return self._loaded[name]
        if name not in self._homes:
            module, _, variable = self._elsewhere()[name][0].partition(":")
            found: click.Command = getattr(import_module(module), variable)
            return found
        module, _, variable = self._homes[name][0].partition(":")
        self._loaded[name] = getattr(import_module(module if "." in module else f"{PACKAGE}.{module}"), variable)
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        self._homes.pop(name, None)
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        yield from {**self._homes, **self._elsewhere(), **self._loaded}

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._homes or name in self._loaded or name in self._elsewhere()

    def short_helps(self) -> list[tuple[str, str]]:
        """Return names with their short help in alphabetical order, without importing the commands of ``homes``."""
        own = {name: command.get_short_help_str(limit=100) for name, command in self._loaded.items()}
        listed = {**self._elsewhere(), **self._homes}
        return sorted({**own, **{name: text for name, (_, text) in listed.items()}}.items())


class LazyGroup(click.Group):
    """A group of ``LazyCommands`` whose help and completion name them without importing them."""

    def __init__(self, name: str | None = None, *, commands: LazyCommands, **more: Any) -> None:
        super().__init__(name, commands=commands, **more)
        self.lazy: Final = commands

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with its short help."""
        with formatter.section("Commands"):
            formatter.write_dl(self.lazy.short_helps())

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands and options that begin with ``incomplete``."""
        named = [
            CompletionItem(name, help=text) for name, text in self.lazy.short_helps() if name.startswith(incomplete)
        ]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]
