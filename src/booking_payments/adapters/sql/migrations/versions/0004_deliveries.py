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
UNDELIVERED = sa.text("delivered_at IS NULL")


def upgrade() -> None:
    """Messages that wait are due at once, as before."""
    op.add_column("outbox", sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("outbox", sa.Column("next_try_at", UTC_TIME, nullable=True))
    op.add_column("outbox", sa.Column("dead_at", UTC_TIME, nullable=True))
    op.add_column("outbox", sa.Column("error", sa.Text(), nullable=True))
    op.create_index(
        "outbox_of_booking",
        "outbox",
        ["booking_id", "sequence"],
        unique=False,
        postgresql_where=UNDELIVERED,
        sqlite_where=UNDELIVERED,
    )


def downgrade() -> None:
    """Forget it again; dead letters wait like any other message then."""
    op.drop_index("outbox_of_booking", "outbox")
    for name in ("error", "dead_at", "next_try_at", "tries"):
        op.drop_column("outbox", name)
