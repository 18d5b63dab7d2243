"""The tables of the job queue, on PostgreSQL only: SQLite has one process, which needs none.

The statements are Procrastinate's own, kept as they were when this revision was written, since they can't be run twice.
A newer schema of Procrastinate's is a revision of its own, made of the files in its ``sql/migrations``.

Revision ID: 0005
Revises: 0004
"""

from pathlib import Path
from typing import Final

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA: Final = Path(__file__).parents[1] / "procrastinate.sql"


def upgrade() -> None:
    """Apply Procrastinate's schema in the transaction of the revision."""
    _run(SCHEMA.read_text())


def downgrade() -> None:
    """Remove it with all jobs; what is due is found by queries over our own tables."""
    _run("""
        DROP TABLE procrastinate_events, procrastinate_periodic_defers, procrastinate_jobs, procrastinate_workers
            CASCADE;
        DO $$ DECLARE name text; BEGIN
            FOR name IN SELECT oid::regprocedure FROM pg_proc
                WHERE proname LIKE 'procrastinate\\_%' AND pronamespace = current_schema()::regnamespace
            LOOP EXECUTE 'DROP FUNCTION ' || name || ' CASCADE'; END LOOP;
        END $$;
        DROP TYPE procrastinate_job_to_defer_v1, procrastinate_job_status, procrastinate_job_event_type;
    """)


def _run(statements: str) -> None:
    """Several statements at once, which only the driver itself takes: there they need no parameters."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        driver = connection.connection.driver_connection
        assert driver is not None  # noqa: S101 - it is open
        driver.execute(statements)
