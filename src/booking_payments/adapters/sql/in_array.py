"""Many values as one parameter, for ``column IN (...)`` or as rows: the statement is the same however many there are,
and is prepared once."""

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Dialect,
    TableValuedAlias,
    Text,
    TypeDecorator,
    bindparam,
    column,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine


class TextArray(TypeDecorator[Collection[str]]):
    """An array on PostgreSQL, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(Text()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Collection[str] | None, dialect: Dialect) -> Any:
        given = list(value or ())
        return given if dialect.name == "postgresql" else msgspec.json.encode(given).decode()


class _NumberArray(TypeDecorator[Collection[int]]):
    """An array on PostgreSQL, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(BigInteger()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Collection[int] | None, dialect: Dialect) -> Any:
        given = list(value or ())
        return given if dialect.name == "postgresql" else msgspec.json.encode(given).decode()


class _InArray(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:
        """Return the element itself: SQLAlchemy would write ``IN (...) = 1`` for SQLite, which then uses no index."""
        return self


def in_array(values: ColumnElement[str], name: str = "ids") -> ColumnElement[bool]:
    """True where the value of a column is among the texts bound under ``name``."""
    return _InArray(values, bindparam(name, type_=TextArray()))


def in_array_int(values: ColumnElement[int], name: str) -> ColumnElement[bool]:
    """True where the value of a column is among the whole numbers bound under ``name``."""
    return _InArray(values, bindparam(name, type_=_NumberArray()))


@compiles(_InArray, "postgresql")
def _on_postgresql(element: _InArray, compiler: SQLCompiler, **options: Any) -> str:
    values, texts = element.clauses
    return f"{compiler.process(values, **options)} = ANY ({compiler.process(texts, **options)})"


@compiles(_InArray, "sqlite")
def _on_sqlite(element: _InArray, compiler: SQLCompiler, **options: Any) -> str:
    values, texts = element.clauses
    given = f"SELECT value FROM json_each({compiler.process(texts, **options)})"  # noqa: S608 - a parameter
    return f"{compiler.process(values, **options)} IN ({given})"


class _TextRows(FunctionElement[Any]):
    """The values of an array as rows with a ``value``."""

    inherit_cache = True


@compiles(_TextRows, "postgresql")
def _given_on_postgresql(element: _TextRows, compiler: SQLCompiler, **options: Any) -> str:
    return f"(SELECT unnest({compiler.process(element.clauses, **options)}) AS value)"


@compiles(_TextRows, "sqlite")
def _given_on_sqlite(element: _TextRows, compiler: SQLCompiler, **options: Any) -> str:
    return f"(SELECT value FROM json_each({compiler.process(element.clauses, **options)}))"  # noqa: S608


def given_texts(name: str = "ids") -> TableValuedAlias:
    """The texts bound under ``name`` as rows with a ``value``."""
    return _TextRows(bindparam(name, type_=TextArray())).table_valued(column("value", Text)).alias("given")
