"""For applications with Alembic of their own in the same database: what is ours is not theirs to migrate.

::

    context.configure(connection=connection, target_metadata=metadata, include_name=include_name)
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from booking_payments.ports.schema_name import SCHEMA, VERSION_TABLE


def include_name(name: str | None, type_: str, parent_names: Mapping[str, Any]) -> bool:
    """Whether autogenerate may look at what is called ``name``: at everything but our tables and our schema.

    For Alembic's ``include_name``. Our tables are known by their names, in whatever schema they are; a schema that
    ``DATABASE_SCHEMA`` names has Procrastinate's tables besides, so leave it out of what you include.
    """
    if type_ == "schema":
        return name != SCHEMA
    return not (type_ == "table" and name in _ours())


@cache
def _ours() -> frozenset[str]:
    from booking_payments.adapters.gateways.bank_transfer import tables as _  # noqa: F401 - its tables are among them
    from booking_payments.adapters.sql.tables import metadata

    return frozenset({*metadata.tables, VERSION_TABLE})
