"""Rounds of background work, in which one thing that breaks holds up no other."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


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
