"""Names of this service's schema in a database that may belong to another application."""

import re
from typing import Final

SCHEMA: Final = "booking_payments"
"""The default schema. The database may be another application's, with tables of the same names."""

SCHEMA_PARAMETER: Final = "schema"
"""The parameter of a database URL that names the schema. It is removed before a driver sees the URL."""

VERSION_TABLE: Final = "booking_payments_version"
"""The table of the migration revision. Alembic's default name may be in use by the application."""

_NAMES: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}", re.ASCII)


def is_schema_name(name: str) -> bool:
    """True for a valid schema name: letters a-z, digits and underscores, not reserved by PostgreSQL."""
    return _NAMES.fullmatch(name) is not None
