"""When an event was delivered: one that was read from the gateway's list was not.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

UTC_TIME = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    """Of the events that are there already nobody knows."""
    op.add_column("bp_inbox", sa.Column("delivered_at", UTC_TIME))
    op.create_index("bp_inbox_delivered_at", "bp_inbox", ["delivered_at"])


def downgrade() -> None:
    """Forget it."""
    op.drop_index("bp_inbox_delivered_at", "bp_inbox")
    op.drop_column("bp_inbox", "delivered_at")
