"""The index that finds bookings by a part of their search text: of every three characters in a row (a trigram), the
bookings that have them.

It is the database's own: the migration creates it, triggers on ``bp_bookings`` keep it, and they run only where a
booking is new or its search text has changed. It is apart from that table, since PostgreSQL writes every index of a row
whose status changes. On SQLite it is a table of FTS5. On PostgreSQL it is a GIN index over arrays, which needs no
extension and so no right to create one.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, Text, bindparam, func, select
from sqlalchemy import column as table_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from booking_payments.adapters.sql import tables
from booking_payments.adapters.sql.in_array import TextArray
from booking_payments.ports.search import SHORTEST, looked_for

INDEXED: Final = "bp_search_bookings"
"""The table of the indexed texts."""

TABLES: Final = (INDEXED, *(f"bp_search_trigrams{part}" for part in ("", "_config", "_data", "_idx")))
"""The tables of the index that there are on SQLite; only the first is one on PostgreSQL. They are not among the
``metadata``, which is the same for both databases."""

MOST: Final = 6
"""Trigrams of a text that are looked up. One that most bookings have costs much and excludes little; the search text of
what is found is read in any case."""


def trigrams(text: str) -> Sequence[str]:
    """Up to ``MOST`` trigrams of what is looked for; none of an empty text.

    Those with digits come first, then those inside a word: they are rarer than beginnings and ends. Of too many they
    are spread evenly.
    """
    part = looked_for(text)
    found = dict.fromkeys(part[at : at + SHORTEST] for at in range(len(part) - SHORTEST + 1))
    chosen: list[str] = []
    for commonness in range(3):
        chosen += _spread([each for each in found if _commonness(each) == commonness], MOST - len(chosen))
    return chosen


def _commonness(trigram: str) -> int:
    if any(character.isdigit() for character in trigram):
        return 0
    return 2 if " " in trigram else 1


def _spread(found: Sequence[str], most: int) -> Sequence[str]:
    if len(found) <= most:
        return found
    return [found[number * len(found) // most] for number in range(most)]


class _Candidates(FunctionElement[Any]):
    """The bookings with all trigrams of a parameter: ``booking_id`` and ``search_text``."""

    inherit_cache = True


@compiles(_Candidates, "postgresql")
def _on_postgresql(element: _Candidates, compiler: SQLCompiler, **options: Any) -> str:
    given = compiler.process(element.clauses, **options)
    return (
        "(SELECT booking_id, search_text FROM bp_search_bookings "  # noqa: S608 - a parameter
        f'WHERE bp_trigrams(search_text) COLLATE "C" @> {given})'
    )


@compiles(_Candidates, "sqlite")
def _on_sqlite(element: _Candidates, compiler: SQLCompiler, **options: Any) -> str:
    given = compiler.process(element.clauses, **options)
    # Between double quotes everything but a double quote stands for itself.
    quoted = """group_concat('"' || replace(value, '"', '""') || '"', ' AND ')"""
    return (
        "(SELECT booking_id, bp_search_bookings.search_text FROM bp_search_trigrams CROSS JOIN bp_search_bookings "  # noqa: S608
        "ON bp_search_bookings.number = bp_search_trigrams.rowid "
        f"WHERE bp_search_trigrams MATCH (SELECT {quoted} FROM json_each({given})))"
    )


def has_part(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """True where the searchable text of ``column`` has ``text``."""
    return func.coalesce(column, "").contains(looked_for(text), autoescape=True)


def bookings_with(column: ColumnElement[str], text: str) -> Select[Any]:
    """The ids of all bookings that have ``text``, which is not empty, in this column of theirs."""
    candidate = (
        _Candidates(bindparam("trigrams", trigrams(text), type_=TextArray(), unique=True))
        .table_valued(table_column("booking_id", Text), table_column("search_text", Text))
        .alias("candidate")
    )
    found = select(candidate.c.booking_id)
    if column is tables.bookings.c.search_text:
        return found.where(has_part(candidate.c.search_text, text))
    its = tables.bookings.c.id == candidate.c.booking_id
    return found.join(tables.bookings, its).where(has_part(column, text))
