"""A booking that was canceled because all of its money goes back says so.

Revision ID: 0016
Revises: 0015
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

BEFORE: Final = "end_reason IN ('attempts_exhausted')"
AFTER: Final = "end_reason IN ('attempts_exhausted', 'refunded')"


def upgrade() -> None:
    """Bookings that were ended so before keep no reason; the journal has it."""
    _replace(BEFORE, AFTER)


def downgrade() -> None:
    """Forget the reason that is not known there."""
    op.execute("UPDATE bp_bookings SET end_reason = NULL WHERE end_reason = 'refunded'")
    _replace(AFTER, BEFORE)


def _replace(old: str, new: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("bp_bookings_end_reason", "bp_bookings")
        op.create_check_constraint(op.f("bp_bookings_end_reason"), "bp_bookings", f"end_reason IS NULL OR {new}")
    else:
        _rebuild(old, new)


def _rebuild(old: str, new: str) -> None:
    """SQLite can't change a constraint: the table is made anew from its own definition, with its indexes.

    Payments and messages point at its rows, so the rows are put aside and come back under the same name before that is
    checked, at the end of the transaction.
    """
    connection = op.get_bind()
    kept = connection.execute(
        sa.text("SELECT type, sql FROM sqlite_schema WHERE tbl_name = 'bp_bookings' AND sql IS NOT NULL ORDER BY rowid")
    ).all()
    (table,) = [each.sql for each in kept if each.type == "table"]
    if old not in table:
        raise RuntimeError(f"the table bp_bookings has no constraint {old}")
    op.execute("PRAGMA defer_foreign_keys = ON")
    op.execute("CREATE TEMPORARY TABLE bp_bookings_aside AS SELECT * FROM bp_bookings")
    op.drop_table("bp_bookings")
    connection.exec_driver_sql(table.replace(old, new))
    op.execute("INSERT INTO bp_bookings SELECT * FROM bp_bookings_aside")
    op.execute("DROP TABLE bp_bookings_aside")
    for each in kept:
        if each.type != "table":
            connection.exec_driver_sql(each.sql)
