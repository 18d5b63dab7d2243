"""Statements of SQLAlchemy over psycopg itself: built and compiled once, prepared once, then only run.

On PostgreSQL most of what a statement costs in Python is SQLAlchemy's way to the driver, each time anew. The statements
of the repositories never change, so that way is gone once for each.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg
from attrs import frozen
from psycopg.rows import TupleRow
from sqlalchemy import Dialect, Executable
from sqlalchemy.dialects.postgresql.psycopg import dialect as psycopg_dialect
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import ReturnsRows
from sqlalchemy.types import TypeEngine

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
Processor = Callable[[Any], Any]

_DIALECT: Final[Dialect] = psycopg_dialect()  # type: ignore[no-untyped-call] # as SQLAlchemy has it


class Answer(IteratorResult[Any]):
    """Rows as SQLAlchemy gives them, and how many rows a statement has changed."""

    rowcount: int


@frozen
class _Ready:
    """A compiled statement: its text, the values that never change, and what is done to those that come and go."""

    sql: str
    constants: Mapping[str, Any]
    given: Mapping[str, Processor | None]
    columns: SimpleResultMetaData
    found: Sequence[tuple[int, Processor]]

    def values(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters for the driver. Raises ``KeyError`` for one that is missing."""
        values = dict(self.constants)
        for name, process in self.given.items():
            values[name] = _processed(parameters[name], process)
        return values

    def rows(self, fetched: Sequence[TupleRow]) -> Sequence[TupleRow]:
        """The rows, as the types of their columns have them."""
        if not self.found:
            return fetched
        changed = [list(row) for row in fetched]
        for place, process in self.found:
            for row in changed:
                row[place] = process(row[place])
        return [tuple(row) for row in changed]


def _processed(value: Any, process: Processor | None) -> Any:
    return value if process is None else process(value)


_READY: Final[WeakKeyDictionary[Executable, dict[tuple[str, ...], _Ready]]] = WeakKeyDictionary()
"""By statement and by the names of its parameters, which say which columns are written."""


class DirectConnection:
    """Runs statements over a psycopg connection, in whatever transaction that has."""

    def __init__(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        self._connection = connection

    async def execute(self, statement: Executable, parameters: Parameters = None, /) -> Answer:
        """Run one statement; many parameters at once for statements without rows.

        Raises SQLAlchemy's errors, as its own connections do.
        """
        many = parameters if isinstance(parameters, Sequence) else (parameters or {},)
        ready = _ready(statement, tuple(many[0]))
        values = [ready.values(each) for each in many]
        try:
            async with self._connection.cursor() as cursor:
                if len(values) == 1:
                    await cursor.execute(ready.sql, values[0], prepare=True)
                else:
                    await cursor.executemany(ready.sql, values)
                fetched = await cursor.fetchall() if cursor.description else ()
                answer = Answer(ready.columns, iter(ready.rows(fetched)))
                answer.rowcount = cursor.rowcount
        except psycopg.Error as error:
            raise _as_sqlalchemys(error, ready.sql, self._connection) from error
        return answer


@contextmanager
def sqlalchemys_errors(connection: psycopg.AsyncConnection[TupleRow]) -> Iterator[None]:
    """For statements of others over the connection: what they raise are SQLAlchemy's errors, too."""
    try:
        yield
    except psycopg.Error as error:
        raise _as_sqlalchemys(error, "", connection) from error


def _as_sqlalchemys(error: psycopg.Error, sql: str, connection: psycopg.AsyncConnection[TupleRow]) -> BaseException:
    broken = connection.broken or connection.closed
    return DBAPIError.instance(
        sql, None, error, psycopg.Error, hide_parameters=True, dialect=_DIALECT, connection_invalidated=broken
    )


def _ready(statement: Executable, names: tuple[str, ...]) -> _Ready:
    known = _READY.setdefault(statement, {})
    if names not in known:
        known[names] = _make_ready(statement, names)
    return known[names]


def _make_ready(statement: Executable, names: tuple[str, ...]) -> _Ready:
    compiled = statement.compile(  # type: ignore[attr-defined] # all that we execute can be compiled
        dialect=_DIALECT, column_keys=list(names) or None
    )
    assert isinstance(compiled, SQLCompiler)  # noqa: S101 - our statements are all of the query language
    processes = {name: _bind(bind.type) for bind, name in compiled.bind_names.items()}
    expanded = compiled.construct_expanded_state(dict.fromkeys(names))
    constants = {name: value for name, value in expanded.parameters.items() if name not in names}
    columns = list(statement.exported_columns) if isinstance(statement, ReturnsRows) else []
    found = [(place, _result(column.type)) for place, column in enumerate(columns)]
    return _Ready(
        sql=expanded.statement,
        constants={name: _processed(value, processes.get(name)) for name, value in constants.items()},
        given={name: process for name, process in processes.items() if name in names},
        columns=SimpleResultMetaData([column.key for column in columns]),
        found=[(place, process) for place, process in found if process is not None],
    )


def _bind(type_: TypeEngine[Any]) -> Processor | None:
    return type_.dialect_impl(_DIALECT).bind_processor(_DIALECT)


def _result(type_: TypeEngine[Any]) -> Processor | None:
    return type_.dialect_impl(_DIALECT).result_processor(_DIALECT, None)
