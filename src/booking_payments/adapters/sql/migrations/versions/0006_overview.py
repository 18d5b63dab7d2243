"""What the operator's pages read: an index of rare facts across payments, and what reconciliations said.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UTC_TIME = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
RARE = sa.text("type IN ('attempt_refused', 'refund_requested', 'refund_moved', 'dispute_opened', 'drift_found')")


def upgrade() -> None:
    """Add both. Facts of other kinds stay out of the index, so that an ordinary payment costs nothing more."""
    op.create_index(
        "bp_journal_rare", "bp_journal", ["type", "at"], unique=False, postgresql_where=RARE, sqlite_where=RARE
    )
    op.create_table(
        "bp_drift_reports",
        sa.Column("id", BIG_INT, primary_key=True, autoincrement=True),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("bp_drift_reports_pkey")),
        sqlite_strict=True,
    )


def downgrade() -> None:
    """Take both away again."""
    op.drop_table("bp_drift_reports")
    op.drop_index("bp_journal_rare", "bp_journal")
