"""A proxy that runs a function around every public coroutine method of an object."""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

from attrs import frozen

T = TypeVar("T")


@frozen
class Call:
    """A call that is about to be made: the method's name and its arguments."""

    method: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


Around = Callable[[Call, Callable[[], Awaitable[Any]]], Awaitable[Any]]
"""Awaits the call, and returns its result or raises its error."""


def watched(target: T, around: Around) -> T:
    """Return a proxy of ``target`` with ``around`` around each public coroutine method.

    All other attributes are those of ``target``.
    """
    return cast(T, _Watched(target, around))


class _Watched:
    """The proxy. ``isinstance`` sees the target's class, as with the standard library's proxies."""

    def __init__(self, target: object, around: Around) -> None:
        self._target = target
        self._around = around

    @property  # type: ignore[misc] # the data model's way for a proxy to report its target's class
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

        setattr(self, name, call)  # cached: the next lookup does not reach ``__getattr__``
        return call
