"""Something around every call of an object's coroutine methods."""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

from attrs import frozen

T = TypeVar("T")


@frozen
class Call:
    """A call that is about to be made: the method's name, and what it is given."""

    method: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


Around = Callable[[Call, Callable[[], Awaitable[Any]]], Awaitable[Any]]
"""Awaits the call, and returns or raises what comes of it."""


def watched(target: T, around: Around) -> T:
    """``target``, with ``around`` around each of its public coroutine methods. All else is the target's own."""
    return cast(T, _Watched(target, around))


class _Watched:
    """Stands before its target. ``isinstance`` sees the target's class, as with the standard library's proxies."""

    def __init__(self, target: object, around: Around) -> None:
        self._target = target
        self._around = around

    @property  # type: ignore[misc] # a class as an attribute is how Python lets one object stand for another
    def __class__(self) -> type:
        return type(self._target)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if name.startswith("_") or not iscoroutinefunction(found):
            return found
        around = self._around

        @wraps(found)
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await around(Call(name, args, kwargs), lambda: found(*args, **kwargs))

        setattr(self, name, call)  # found by itself the next time
        return call
