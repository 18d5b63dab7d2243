"""What the repositories need of a connection."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Executable, MappingResult, Row


class StatementResult(Protocol):
    """The result of a statement: its rows, which can be read once, and the number of rows that it changed."""

    @property
    def rowcount(self) -> int: ...

    def __iter__(self) -> Iterator[Row[Any]]: ...

    def all(self) -> Sequence[Row[Any]]: ...

    def mappings(self) -> MappingResult: ...

    def scalar_one(self) -> Any: ...


class Execute(Protocol):
    """Runs one statement. The repositories need no more of a connection."""

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None, /
    ) -> StatementResult: ...
