"""The rows of a table as a transaction in memory sees them: its own changes over what is committed."""

from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from typing import TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


class Rows(MutableMapping[K, V]):
    """A table that is changed without a copy of its rows, so that a transaction costs what it changes.

    The order is that of a dictionary with the same changes: a changed row keeps its place, a new one is the last.
    """

    __slots__ = ("_changed", "_committed", "_removed")

    def __init__(self, committed: MutableMapping[K, V]) -> None:
        self._committed = committed
        self._changed: dict[K, V] = {}
        self._removed: set[K] = set()

    def apply_to(self, committed: MutableMapping[K, V]) -> None:
        """Make the changes in ``committed``, which has the same rows as the table that this one was made from."""
        for key in self._removed:
            del committed[key]
        committed.update(self._changed)

    def __getitem__(self, key: K) -> V:
        if key in self._changed:
            return self._changed[key]
        if key in self._removed:
            raise KeyError(key)
        return self._committed[key]

    def __setitem__(self, key: K, row: V) -> None:
        self._changed[key] = row

    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        self._changed.pop(key, None)
        if key in self._committed:
            self._removed.add(key)

    def __contains__(self, key: object) -> bool:
        return key in self._changed or (key in self._committed and key not in self._removed)

    def __iter__(self) -> Iterator[K]:
        return iter(self._all())

    def __len__(self) -> int:
        new = sum(key in self._removed or key not in self._committed for key in self._changed)
        return len(self._committed) - len(self._removed) + new

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, default: V | D, /) -> V | D: ...
    def get(self, key: K, default: V | D | None = None, /) -> V | D | None:
        if key in self._changed:
            return self._changed[key]
        return default if key in self._removed else self._committed.get(key, default)

    def clear(self) -> None:
        self._changed.clear()
        self._removed.update(self._committed)

    def values(self) -> ValuesView[V]:
        return self._all().values()

    def items(self) -> ItemsView[K, V]:
        return self._all().items()

    def _all(self) -> MutableMapping[K, V]:
        if not self._changed and not self._removed:
            return self._committed
        return {key: row for key, row in self._committed.items() if key not in self._removed} | self._changed
