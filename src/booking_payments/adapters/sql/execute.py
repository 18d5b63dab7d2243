"""What the repositories need of a connection."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import CursorResult, Executable


class Execute(Protocol):
    """Runs one statement; all that the repositories need of a connection."""

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None, /
    ) -> CursorResult[Any]: ...
