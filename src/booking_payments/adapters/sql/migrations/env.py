"""Alembic's entry: runs the revisions on the connection that ``migrate`` hands in."""

from alembic import context

from booking_payments.adapters.sql.tables import metadata
from booking_payments.ports.schema_name import VERSION_TABLE

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True, version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
