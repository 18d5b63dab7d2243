"""Rounds of background work, in which one thing that breaks holds up no other."""

from collections.abc import Awaitable, Callable, Iterable
from itertools import takewhile
from typing import Final, TypeVar

T = TypeVar("T")

SILENT_IN_A_ROW: Final = 3
"""About so many things one after another the gateway has to be silent for a round to end. Each takes all the patience
that one call has, so to go on would keep everybody waiting who comes next."""


async def each_by_itself(things: Iterable[T], do: Callable[[T], Awaitable[object]]) -> None:
    """``do`` it for each of ``things``. Raises an ``ExceptionGroup`` of what broke when all had their turn."""
    broken: list[Exception] = []
    for thing in things:
        try:
            await do(thing)
        except Exception as error:
            broken.append(error)
    if broken:
        raise ExceptionGroup(f"{len(broken)} broke in this round", broken)


async def while_answered(things: Iterable[T], ask: Callable[[T], Awaitable[bool | None]]) -> int:
    """``ask`` the gateway about each of ``things``, as long as it answers; how many had their turn.

    ``ask`` tells whether it did: None where there was nothing to ask. What is left is for the next round. Raises an
    ``ExceptionGroup`` in the end of what broke.
    """
    taken = silent = 0

    async def take(thing: T) -> None:
        nonlocal taken, silent
        taken += 1
        answered = await ask(thing)
        if answered is not None:
            silent = 0 if answered else silent + 1

    await each_by_itself(takewhile(lambda _: silent < SILENT_IN_A_ROW, things), take)
    return taken
