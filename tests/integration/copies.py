"""Copies of an empty, migrated PostgreSQL database.

To make a copy takes a tenth of a second, and to empty one after a test a tenth of that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Self
from uuid import uuid4

import psycopg
from psycopg import sql

from tests.integration.postgres import PostgresServer, sees_our_tables

USES: Final = 50
"""So many tests may have a database one after another; then the dead rows in it would cost more than a new copy."""

SHAPE: Final = """
SELECT
  (SELECT md5(string_agg(format('%s %s', oid, relname), ',' ORDER BY oid)) FROM pg_class WHERE relkind IN ('r', 'i')),
  (SELECT md5(string_agg(format('%s %s %s %s %s', attrelid, attname, atttypid, attnotnull, attisdropped), ','
     ORDER BY attrelid, attnum)) FROM pg_attribute WHERE attrelid >= 16384),
  (SELECT md5(string_agg(format('%s %s %s', tgrelid, tgname, tgenabled), ',' ORDER BY oid)) FROM pg_trigger),
  (SELECT md5(string_agg(format('%s %s', oid, conname), ',' ORDER BY oid)) FROM pg_constraint),
  (SELECT md5(string_agg(format('%s %s', oid, proname), ',' ORDER BY oid)) FROM pg_proc WHERE oid >= 16384),
  (SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
     WHERE d.datname = current_database() AND s.setrole = 0)
"""
"""What the migration has made, and the settings of the database. Objects of a copy have the ids of the template."""

TABLES: Final = """
SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2
"""
OTHERS: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
RESTART: Final = "SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence"


class Copies:
    """Lends copies of ``template`` (its SQLAlchemy URL), each to one test at a time.

    A database that comes back is emptied and gets a new name, so that whoever is still connected to the old one, or
    connects to it later, disturbs nobody. It is dropped when its tables, triggers or settings have changed.
    """

    def __init__(self, server: PostgresServer, template: str) -> None:
        self._server = server
        self._base, _, self._template = template.rpartition("/")
        self._spare: list[tuple[str, int]] = []
        self._admin = psycopg.connect(server.dsn, autocommit=True)
        self._shape: Any = None
        self._filled: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name, _used in self._spare:
            self._drop(name)
        self._admin.close()

    @contextmanager
    def one(self) -> Iterator[str]:
        """Yield the SQLAlchemy URL of an empty, migrated database."""
        name, used = self._spare.pop() if self._spare else (self._copy(), 0)
        try:
            yield f"{self._base}/{name}"
        finally:
            self._admin.execute(OTHERS, [name])
            if used + 1 < USES and self._empty(name):
                self._spare.append((self._renamed(name), used + 1))
            else:
                self._drop(name)

    def _copy(self) -> str:
        name = _new_name()
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._admin.execute(copy.format(sql.Identifier(name), sql.Identifier(self._template)))
        self._admin.execute(sees_our_tables(name))
        if self._shape is None:
            with self._connected(name) as connection:
                self._shape = connection.execute(SHAPE).fetchone()
                self._filled = [each for each in _tables(connection) if _has_rows(connection, each)]
        return name

    def _empty(self, name: str) -> bool:
        """Delete what a test has written; False when the database is no longer as the template."""
        with self._connected(name) as connection:
            if connection.execute(SHAPE).fetchone() != self._shape:
                return False
            connection.execute("SET session_replication_role = replica")  # no triggers, in any order
            tables = [each for each in _tables(connection) if each not in self._filled]
            connection.execute(
                sql.SQL(";").join(sql.SQL("DELETE FROM {}").format(sql.Identifier(*it)) for it in tables)
            )
            connection.execute(RESTART)
        return True

    def _renamed(self, name: str) -> str:
        new = _new_name()
        self._admin.execute(OTHERS, [name])
        self._admin.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(new)))
        return new

    def _drop(self, name: str) -> None:
        self._admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextmanager
    def _connected(self, name: str) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self._server.dsn, dbname=name, autocommit=True) as connection:
            yield connection


def _new_name() -> str:
    return f"case_{uuid4().hex}"


def _tables(connection: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    return [(schema, table) for schema, table in connection.execute(TABLES)]


def _has_rows(connection: psycopg.Connection[Any], table: tuple[str, str]) -> bool:
    row = connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(*table))).fetchone()
    return bool(row and row[0])
