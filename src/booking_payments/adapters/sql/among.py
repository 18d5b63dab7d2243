"""``column IN (many values)`` with one parameter: the statement is the same however many there are, and is prepared
once."""

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import ARRAY, BigInteger, Boolean, ColumnElement, Dialect, Text, TypeDecorator, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine


class _Texts(TypeDecorator[Collection[str]]):
    """An array on PostgreSQL, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(Text()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Collection[str] | None, dialect: Dialect) -> Any:
        given = list(value or ())
        return given if dialect.name == "postgresql" else msgspec.json.encode(given).decode()


class _Numbers(TypeDecorator[Collection[int]]):
    """An array on PostgreSQL, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(BigInteger()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Collection[int] | None, dialect: Dialect) -> Any:
        given = list(value or ())
        return given if dialect.name == "postgresql" else msgspec.json.encode(given).decode()


class _Among(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True


def among(column: ColumnElement[str], name: str = "ids") -> ColumnElement[bool]:
    """True where the value of ``column`` is among the texts bound under ``name``."""
    return _Among(column, bindparam(name, type_=_Texts()))


def among_numbers(column: ColumnElement[int], name: str) -> ColumnElement[bool]:
    """True where the value of ``column`` is among the whole numbers bound under ``name``."""
    return _Among(column, bindparam(name, type_=_Numbers()))


@compiles(_Among, "postgresql")
def _on_postgresql(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, texts = element.clauses
    return f"{compiler.process(column, **options)} = ANY ({compiler.process(texts, **options)})"


@compiles(_Among, "sqlite")
def _on_sqlite(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, texts = element.clauses
    values = f"SELECT value FROM json_each({compiler.process(texts, **options)})"  # noqa: S608 - a parameter
    return f"{compiler.process(column, **options)} IN ({values})"
