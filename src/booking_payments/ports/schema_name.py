"""What our things are called in a database that may be another application's."""

import re
from typing import Final

SCHEMA: Final = "booking_payments"
"""The schema, unless the address says otherwise: the database may be another application's, with tables of the same
names."""

SCHEMA_PARAMETER: Final = "schema"
"""The parameter of an address that names the schema. It is ours: no driver sees it."""

VERSION_TABLE: Final = "booking_payments_version"
"""Where the revision stands: not in Alembic's usual table, which is that of the application whose database it is."""

_NAMES: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}", re.ASCII)


def is_schema_name(name: str) -> bool:
    """Whether ``name`` may be that of our schema: letters a-z, digits and underscores, and none of PostgreSQL's own."""
    return _NAMES.fullmatch(name) is not None
