"""The storage of the fake gateway's state, beside the service's database, so that it survives a restart."""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, Engine, MetaData, Table, Text, bindparam, create_engine, delete, insert, select
from sqlalchemy.engine import URL

from booking_payments.adapters.sql.engine import (
    create_schema,
    is_sqlite,
    normalize_url,
    prepare_postgresql,
    prepare_sqlite,
    schema_of,
    without_schema,
)
from booking_payments.sandbox.emulator import Change

metadata = MetaData()

fake_gateway = Table(
    "fake_gateway",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("document", Text, nullable=False),
)
"""This table belongs to the emulator and not to the service, so it is created when it is needed, without migrations."""

_KEY = (fake_gateway.c.kind == bindparam("its_kind")) & (fake_gateway.c.id == bindparam("its_id"))


class SqlFakeStore:
    """Stores documents by kind and id. With SQLite it uses a separate file, so that the two do not share a lock."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        metadata.create_all(engine)

    @classmethod
    def beside(cls, database_url: str) -> "SqlFakeStore":
        """Return the store that belongs to the database at ``database_url``."""
        url = normalize_url(database_url)
        if not is_sqlite(url):
            engine = create_engine(without_schema(url))
            prepare_postgresql(engine, schema_of(url))
            with engine.begin() as connection:
                create_schema(connection, schema_of(url))
            return cls(engine)
        engine = create_engine(_own_file(url))
        prepare_sqlite(engine)
        return cls(engine)

    def load(self) -> Iterable[tuple[str, str, dict[str, Any]]]:
        """Return all documents as kind, id and content."""
        with self._engine.connect() as connection:
            found = connection.execute(select(fake_gateway)).all()
        return [(row.kind, row.id, json.loads(row.document)) for row in found]

    def save(self, changes: list[Change]) -> None:
        """Store all changes in one transaction; a document that is None is removed."""
        keys = [{"its_kind": kind, "its_id": id_} for kind, id_, _ in changes]
        kept = [
            {"kind": kind, "id": id_, "document": json.dumps(document)}
            for kind, id_, document in changes
            if document is not None
        ]
        with self._engine.begin() as connection:
            connection.execute(delete(fake_gateway).where(_KEY), keys)
            if kept:
                connection.execute(insert(fake_gateway), kept)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _own_file(url: URL) -> URL:
    path = url.database or ":memory:"
    own = path if path == ":memory:" else f"{path.removesuffix('.db')}.fake-gateway.db"
    return url.set(drivername="sqlite", database=own)
