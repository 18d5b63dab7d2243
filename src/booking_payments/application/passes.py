"""Rounds of background work, in which one thing that breaks holds up no other."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import takewhile
from typing import Final, Generic, TypeVar

T = TypeVar("T")

SILENT_IN_A_ROW: Final = 3
"""About so many things one after another the gateway has to be silent for a round to end. Each takes all the patience
that one call has, so to go on would keep everybody waiting who comes next."""


def _nothing(_: object) -> bool:
    return False


class Pass(Generic[T]):
    """One pass over things, in which one that breaks holds up no other and which ends when the gateway falls silent."""

    def __init__(self, ask: Callable[[T], Awaitable[bool | None]]) -> None:
        self._ask = ask
        self._silent = 0
        self._broken: list[Exception] = []
        self.taken = 0

    @property
    def failures(self) -> int:
        """How many broke."""
        return len(self._broken)

    @property
    def is_answered(self) -> bool:
        """Whether it makes sense to go on."""
        return self._silent < SILENT_IN_A_ROW

    async def take(self, things: Iterable[T]) -> None:
        """Ask about each of ``things``, as long as the gateway answers."""
        for thing in takewhile(lambda _: self.is_answered, things):
            self.taken += 1
            try:
                answered = await self._ask(thing)
            except Exception as error:
                self._broken.append(error)
            else:
                if answered is not None:
                    self._silent = 0 if answered else self._silent + 1

    def end(self) -> int:
        """How many had their turn. Raises an ``ExceptionGroup`` of what broke."""
        if self._broken:
            raise ExceptionGroup(f"{len(self._broken)} broke in this round", self._broken)
        return self.taken


async def each_by_itself(things: Iterable[T], do: Callable[[T], Awaitable[object]]) -> None:
    """``do`` it for each of ``things``. Raises an ``ExceptionGroup`` of what broke when all had their turn."""

    async def ask(thing: T) -> None:
        await do(thing)

    await while_answered(things, ask)


async def while_answered(things: Iterable[T], ask: Callable[[T], Awaitable[bool | None]]) -> int:
    """``ask`` the gateway about each of ``things``, as long as it answers; how many had their turn.

    ``ask`` tells whether it did: None where there was nothing to ask. What is left is for the next round. Raises an
    ``ExceptionGroup`` in the end of what broke.
    """
    pass_ = Pass(ask)
    await pass_.take(things)
    return pass_.end()


async def through_queue(
    read: Callable[[int], Awaitable[Sequence[str]]],
    ask: Callable[[str], Awaitable[bool | None]],
    *,
    at_once: int,
    is_stuck: Callable[[str], bool] = _nothing,
) -> int:
    """``ask`` about ``at_once`` ids of a queue, not counting those that stay at its head; how many had their turn.

    ``read`` gives the ids at the head of the queue, as many as it is asked for. Those that break, or that ``is_stuck``
    says nothing can be done about, stay there, however many: so the round reads beyond all that it has seen.
    Otherwise as ``while_answered``.
    """
    pass_, seen, left = Pass(ask), set[str](), at_once
    more = True
    while more and left > 0 and pass_.is_answered:
        limit = len(seen) + at_once
        found = await read(limit)
        more = len(found) == limit
        new = [each for each in found if each not in seen][:left]
        seen.update(new)
        before = pass_.failures
        await pass_.take(each for each in new if not is_stuck(each))
        left -= len(new) - sum(map(is_stuck, new)) - (pass_.failures - before)
    return pass_.end()
