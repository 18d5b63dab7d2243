"""What became of a message so far: tries, when the next one may begin, why the last one failed, given up when.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UTC_TIME = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
INDEXES = (
    ("bp_outbox_untried", "position", sa.text("delivered_at IS NULL AND next_try_at IS NULL")),
    ("bp_outbox_due", "next_try_at", sa.text("delivered_at IS NULL AND next_try_at IS NOT NULL")),
)


def upgrade() -> None:
    """Messages that wait are due at once, as before."""
    op.add_column("bp_outbox", sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("bp_outbox", sa.Column("next_try_at", UTC_TIME, nullable=True))
    op.add_column("bp_outbox", sa.Column("dead_at", UTC_TIME, nullable=True))
    op.add_column("bp_outbox", sa.Column("error", sa.Text(), nullable=True))
    for name, column, which in INDEXES:
        op.create_index(name, "bp_outbox", [column], unique=False, postgresql_where=which, sqlite_where=which)


def downgrade() -> None:
    """Forget it again; dead letters wait like any other message then."""
    for name, _, _ in INDEXES:
        op.drop_index(name, "bp_outbox")
    for name in ("error", "dead_at", "next_try_at", "tries"):
        op.drop_column("bp_outbox", name)
