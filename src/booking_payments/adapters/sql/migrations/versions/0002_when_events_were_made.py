"""When the gateway made an event: from there the events that never came are read after an outage.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UTC_TIME = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    """Add the time. Rows from before have none, so the first catch-up after them reads as far back as it can."""
    op.add_column("bp_inbox", sa.Column("created_at", UTC_TIME, nullable=True))
    op.create_index("bp_inbox_created_at", "bp_inbox", ["created_at"], unique=False)


def downgrade() -> None:
    """Take the time away again."""
    op.drop_index("bp_inbox_created_at", "bp_inbox")
    op.drop_column("bp_inbox", "created_at")
