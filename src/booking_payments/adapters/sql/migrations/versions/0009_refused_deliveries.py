"""How many webhooks were refused for their signature, by the hour.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

UTC_TIME = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Count from now on."""
    op.create_table(
        "bp_refused_deliveries",
        sa.Column("hour", UTC_TIME, nullable=False),
        sa.Column("deliveries", BIG_INT, nullable=False),
        sa.PrimaryKeyConstraint("hour", name=op.f("bp_refused_deliveries_pkey")),
        sqlite_strict=True,
    )


def downgrade() -> None:
    """Forget how many there were."""
    op.drop_table("bp_refused_deliveries")
