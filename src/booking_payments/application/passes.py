"""Passes of background work over many items: an error in one item does not stop the others."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import takewhile
from typing import Final, Generic, TypeVar

T = TypeVar("T")

SILENT_IN_A_ROW: Final = 3
"""A pass ends when the gateway does not respond for this many items in a row. Each of them takes the full time-out of a
call, so continuing would delay all other background work."""


def _nothing(_: object) -> bool:
    return False


class Pass(Generic[T]):
    """One pass over items. It collects their errors, and ends when the gateway stops responding."""

    def __init__(self, ask: Callable[[T], Awaitable[bool | None]]) -> None:
        self._ask = ask
        self._silent = 0
        self._broken: list[Exception] = []
        self.taken = 0

    @property
    def failures(self) -> int:
        """How many items have raised an error."""
        return len(self._broken)

    @property
    def is_answered(self) -> bool:
        """Whether the gateway still responds, so that the pass continues."""
        return self._silent < SILENT_IN_A_ROW

    async def take(self, things: Iterable[T]) -> None:
        """Process each of ``things``, as long as the gateway responds."""
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
        """Return how many items were processed. Raises an ``ExceptionGroup`` with their errors, if there were any."""
        if self._broken:
            raise ExceptionGroup(f"{len(self._broken)} errors in this pass", self._broken)
        return self.taken


async def each_by_itself(things: Iterable[T], do: Callable[[T], Awaitable[object]]) -> None:
    """Call ``do`` for each of ``things``. Raises an ``ExceptionGroup`` with all errors after the last one."""

    async def ask(thing: T) -> None:
        await do(thing)

    await while_answered(things, ask)


async def while_answered(things: Iterable[T], ask: Callable[[T], Awaitable[bool | None]]) -> int:
    """Call ``ask`` for each of ``things``, as long as the gateway responds; returns how many were processed.

    ``ask`` returns whether the gateway responded, or None when no call was made. The next pass processes the rest.

    Raises:
        ExceptionGroup: At the end, with the errors that ``ask`` raised.
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
    """Call ``ask`` for ``at_once`` ids of a queue, not counting those that stay in it; returns how many were processed.

    Ids whose ``ask`` raises, and those that ``is_stuck`` names, stay at the head of the queue. There may be any number
    of these, so each read asks for more ids than the pass has seen so far. Otherwise as ``while_answered``.

    Args:
        read: returns as many ids from the head of the queue as it is asked for.
        ask: processes one id, see ``while_answered``.
        at_once: how many ids to process.
        is_stuck: whether an id can't be processed at present, and is skipped.
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
